"""Where a training run goes on: its checkpoints, the best of them, and whether it has ended."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transformers import TrainerState
from transformers.trainer import TRAINER_STATE_NAME

from emovid_models.annotator.training_config import TrainingConfig

RUN_FILE = "run.json"
"""File of a checkpoint that says of which run it is."""

_WITHOUT_EFFECT = frozenset({"gradient_checkpointing"})  # on what is learnt

_BEFORE = {"targets": "hard"}
"""What runs did whose checkpoints do not say it."""


def write_run(checkpoint: Path, run: Mapping[str, Any]) -> None:
    """Write beside a checkpoint's weights what the run trains on and how.

    Args:
        checkpoint: its folder, which may not be there yet.
        run: JSON values by name.
    """
    checkpoint.mkdir(parents=True, exist_ok=True)
    (checkpoint / RUN_FILE).write_text(json.dumps(run, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def refuse_another_run(checkpoint: Path, run: Mapping[str, Any]) -> None:
    """Refuse to go on with another run's checkpoint.

    Args:
        checkpoint: its folder.
        run: what would be trained on now and how.

    Raises:
        ValueError: something differs, or the checkpoint does not say of which run it is.
    """
    out = checkpoint.parent.parent
    remedy = "choose another output folder, or train --anew"
    try:
        stored = json.loads((checkpoint / RUN_FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(f"{checkpoint} does not say what it was trained on; {remedy}") from None
    for name, value in run.items():
        before = stored.get(name, _BEFORE.get(name))
        if name not in _WITHOUT_EFFECT and before != value:
            raise ValueError(f"{out} holds a run with {name} {before!r}, now it is {value!r}; {remedy}")


def find_checkpoint(folder: Path) -> tuple[Path | None, list[Path]]:
    """The newest checkpoint that was saved to its end, and all that were cut off.

    The `Trainer` writes the state last, so that a checkpoint without one lacks other files too.
    """
    complete: dict[int, Path] = {}
    incomplete = []
    for path in folder.glob("checkpoint-*"):
        step = path.name.removeprefix("checkpoint-")
        if not step.isdecimal():
            continue
        try:
            json.loads((path / TRAINER_STATE_NAME).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            incomplete.append(path)
        else:
            complete[int(step)] = path
    return (complete[max(complete)] if complete else None), incomplete


def is_finished(checkpoint: Path, config: TrainingConfig) -> bool:
    """Whether the run that saved this has done all its epochs, or used up its patience."""
    state = TrainerState.load_from_json(str(checkpoint / TRAINER_STATE_NAME))
    return (state.epoch or 0) >= config.epochs or evaluations_since_best(state) >= config.patience


def evaluations_since_best(state: TrainerState) -> int:
    """Evaluations after the one with the best macro recall."""
    recalls = [entry["eval_macro_recall"] for entry in state.log_history if "eval_macro_recall" in entry]
    return len(recalls) - 1 - recalls.index(max(recalls)) if recalls else 0


def best_checkpoint(folder: Path, state: TrainerState) -> Path:
    """Where the best weights lie, also after the folder was moved.

    Raises:
        FileNotFoundError: they are gone.
    """
    path = folder / f"checkpoint-{state.best_global_step}"
    if not path.is_dir():
        raise FileNotFoundError(f"{path} is missing; it held the best weights, so train --anew")
    return path
