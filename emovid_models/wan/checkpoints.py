"""What lets a run go on after an interruption: checkpoints, the log of steps, and the handling of signals."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from peft import set_peft_model_state_dict
from safetensors.torch import load_file

from emovid_models.remote.wan.lora import (
    WEIGHT_NAME,
    LoraFacts,
    adapter_tensors,
    read_facts,
    read_header,
    write_lora,
    write_safetensors,
)
from emovid_models.wan.lora_settings import LoraSettings
from emovid_models.wan.recipes import RECIPES

CHECKPOINTS = "checkpoints"
SETTINGS_KEY = "settings"
NUMBERS_KEY = "numbers"
BASE_KEY = "base"


def find_checkpoint(out: Path, settings: LoraSettings) -> tuple[int, Path | None]:
    """Find where a run goes on.

    Args:
        out: the output folder.
        settings: of this run.

    Returns:
        The number of steps done, and the checkpoint's folder or None.

    Raises:
        ValueError: the checkpoint is of a run with other settings.
    """
    found = sorted((out / CHECKPOINTS).glob("step-*"))
    if not found:
        return 0, None
    stored = json.loads(read_header(found[-1] / "optimizer.safetensors")[SETTINGS_KEY])
    free = {"steps", "epochs", "out", "cache", "use_cache", "checkpoint_every", "checkpointing", "comfyui"}
    free |= {name for name in stored if name.startswith("valid")}
    # Before there was a choice of recipes, every run did what is light now.
    stored = {**json.loads(json.dumps({**RECIPES["light"], "recipe": "light"}, allow_nan=False)), **stored}
    for name, value in json.loads(json.dumps(asdict(settings), allow_nan=False)).items():
        if name not in free and stored.get(name) != value:
            raise ValueError(
                f"{out} holds a run with {name} {stored.get(name)!r}, now it is {value!r}; "
                "choose another output folder, or delete that one"
            )
    return int(found[-1].name.removeprefix("step-")), found[-1]


def refuse_other_origin(checkpoint: Path, base: str, dataset_revision: str) -> None:
    """Refuse to go on with a run on other data or another base, whatever they are called.

    Args:
        checkpoint: its folder.
        base: identity of the base, see `BaseOutline.identity`.
        dataset_revision: of the data, see `LoraFacts`.

    Raises:
        ValueError: one of them was another.
    """
    facts = read_facts(checkpoint / WEIGHT_NAME)
    # Runs of older versions do not say what their base held.
    stored = read_header(checkpoint / "optimizer.safetensors").get(BASE_KEY, base)
    differs = [
        name
        for name, before, now in (
            ("the data", None if facts is None else facts.dataset_revision, dataset_revision),
            ("the base", stored, base),
        )
        if before != now
    ]
    if differs:
        raise ValueError(
            f"{checkpoint.parent.parent} holds a run from before {' and '.join(differs)} changed; "
            "choose another output folder, or delete that one"
        )


def save_checkpoint(
    out: Path,
    step: int,
    settings: LoraSettings,
    base: str,
    transformer: torch.nn.Module,
    optimizer: Any,
    facts: LoraFacts,
) -> None:
    """Write LoRA and optimizer; the folder gets its name when both are complete. The last two are kept.

    Args:
        out: the output folder.
        step: steps done.
        settings: stored beside, so that a run with others is refused.
        base: identity of the base, stored for the same reason.
        transformer: carries the adapter.
        optimizer: of its parameters.
        facts: for the LoRA's header.
    """
    folder = out / CHECKPOINTS / f"step-{step:08d}"
    part = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    write_lora(part / WEIGHT_NAME, transformer, replace(facts, steps=step))
    state = {
        f"{index}.{name}": value
        for index, values in optimizer.state_dict()["state"].items()
        for name, value in values.items()
    }
    tensors = {name: value for name, value in state.items() if isinstance(value, torch.Tensor)}
    numbers = {name: value for name, value in state.items() if name not in tensors}
    header = {
        SETTINGS_KEY: json.dumps(asdict(settings), allow_nan=False),
        NUMBERS_KEY: json.dumps(numbers, allow_nan=False),
        BASE_KEY: base,
    }
    write_safetensors(part / "optimizer.safetensors", tensors, header)
    shutil.rmtree(folder, ignore_errors=True)
    os.replace(part, folder)
    for old in sorted(folder.parent.glob("step-*"))[:-2]:
        shutil.rmtree(old)


def load_checkpoint(folder: Path, transformer: torch.nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Read LoRA and optimizer back.

    Raises:
        ValueError: a file is cut short, or its keys are not the adapter's.
    """
    read_facts(folder / WEIGHT_NAME)
    tensors = load_file(folder / WEIGHT_NAME)
    if tensors.keys() != adapter_tensors(transformer).keys():
        raise ValueError(f"{folder} does not hold this adapter's weights")
    set_peft_model_state_dict(
        transformer, {name.removeprefix("transformer."): tensor for name, tensor in tensors.items()}
    )
    numbers = json.loads(read_header(folder / "optimizer.safetensors")[NUMBERS_KEY])
    state: dict[int, dict[str, Any]] = {}
    for key, value in {**load_file(folder / "optimizer.safetensors"), **numbers}.items():
        index, name = key.split(".", 1)
        state.setdefault(int(index), {})[name] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


@contextmanager
def interruption(processes: int) -> Iterator[Any]:
    """Turn SIGINT and SIGTERM into a flag, so that the running step is finished and saved.

    With several processes the signals stay as they are: they may reach the processes in different steps,
    and the last checkpoint is what a new run goes on from.
    """
    received: list[int] = []
    saved: dict[signal.Signals, Any] = {}
    if processes == 1:
        for number in (signal.SIGINT, signal.SIGTERM):
            saved[number] = signal.signal(number, lambda *_: received.append(1))
    try:
        yield lambda: bool(received)
    finally:
        for number, handler in saved.items():
            signal.signal(number, handler)


class StepLog:
    """One line of JSON per step; lines of steps that are repeated are replaced.

    Args:
        path: the file.
        start: first step of this run.
        enabled: False writes nothing.
    """

    def __init__(self, path: Path, start: int, *, enabled: bool) -> None:
        self.path, self.enabled = path, enabled
        if not enabled:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        old = path.read_text().splitlines() if path.exists() else []
        kept = [line for line in old if line.endswith("}") and json.loads(line)["step"] < start]
        path.write_text("".join(f"{line}\n" for line in kept))

    def write(self, **values: float) -> None:
        """Add a line."""
        if self.enabled:
            self._file.write(json.dumps(values, allow_nan=False) + "\n")
            self._file.flush()

    def __enter__(self) -> StepLog:
        if self.enabled:
            self._file = self.path.open("a")
        return self

    def __exit__(self, *_: object) -> None:
        if self.enabled:
            self._file.close()
