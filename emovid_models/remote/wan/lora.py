"""The LoRA file: written whole or not at all, read by the stock loader, checked against its base.

`pytorch_lora_weights.safetensors` holds the weights under diffusers' names and, in its header, the adapter
metadata that diffusers reads (rank, alpha, modules) and one key of our own that it ignores: wording, task,
base and dataset. Part of the pipelines' remote code.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialize

from .modules import (
    ATTENTION_MODULES,
    TARGET_MODULES,
    needs_no_image,
    original_name,
    target_names,
    weight_name,
)

WEIGHT_NAME = "pytorch_lora_weights.safetensors"
"""The file name that the stock loader looks for."""

SECOND_WEIGHT_NAME = "pytorch_lora_weights_2.safetensors"
"""The file beside it that holds the LoRA of the second transformer, where a base has two."""

TRANSFORMERS = ("high", "low")
"""The transformers of a base that has two, as Wan2.2 A14B: for much noise and for little."""

FACTS_KEY = "emovid"
"""Our key in the file's header."""

ADAPTER_KEY = "lora_adapter_metadata"
"""diffusers' key in the file's header."""

_MOOD_OF_OLD = (None, "1")
"""What older files say, or do not say, of the only wording that there was."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoraFacts:
    """Where a LoRA comes from.

    Attributes:
        wording: of the conditioning text that it was trained with.
        task: "t2v" or "i2v".
        transformer: on which of a base's two transformers it was trained, "high" or "low"; "" where the base
            has one.
        base: name of the base model.
        base_revision: the base's revision, or None.
        dataset_revision: sha256 of the dataset's manifest, or None.
        steps: optimizer steps taken.
        recipe: by which its training was set up, or "" where the file does not say.
        changes: settings that differ from the recipe's, with their values.
        version: version of this package.
    """

    wording: str
    task: str
    base: str
    base_revision: str | None = None
    dataset_revision: str | None = None
    steps: int = 0
    recipe: str = ""
    changes: Mapping[str, Any] = field(default_factory=dict)
    version: str = ""
    transformer: str = ""

    def to_json(self) -> str:
        """What stands in the file's header."""
        stored = asdict(self)
        if not self.transformer:
            del stored["transformer"]
        return json.dumps(stored, allow_nan=False)


def adapter_tensors(transformer: torch.nn.Module, adapter: str = "default") -> dict[str, torch.Tensor]:
    """The adapter's weights under the names of the LoRA file.

    Args:
        transformer: a `WanTransformer3DModel` that carries the adapter.
        adapter: the adapter's name.

    Returns:
        ``transformer.blocks.0.attn1.to_q.lora_A.weight`` and so on, as stored by peft.
    """
    from peft import get_peft_model_state_dict

    state = get_peft_model_state_dict(transformer, adapter_name=adapter)
    return {f"transformer.{name}": tensor for name, tensor in state.items()}


def write_lora(
    path: Path, transformer: torch.nn.Module, facts: LoraFacts, *, adapter: str = "default"
) -> None:
    """Write an adapter as a file that the stock loader reads.

    Args:
        path: the file; an older one is replaced only when the new one is complete.
        transformer: carries the adapter.
        facts: goes into the header.
        adapter: the adapter's name.

    Raises:
        OSError: the file could not be written; an older one is untouched.
    """
    config: Any = transformer.peft_config[adapter]  # type: ignore[index]
    # Only what the weights need: the collector of diffusers stores every field that today's peft has, and an
    # older peft then refuses the file.
    adapter_metadata = {
        "transformer.r": config.r,
        "transformer.lora_alpha": config.lora_alpha,
        "transformer.target_modules": config.target_modules,
    }
    header = {ADAPTER_KEY: json.dumps(adapter_metadata, allow_nan=False), FACTS_KEY: facts.to_json()}
    write_safetensors(path, adapter_tensors(transformer, adapter), header)


def write_safetensors(
    path: Path, tensors: Mapping[str, torch.Tensor], header: Mapping[str, str] | None = None
) -> None:
    """Write tensors to a file that is either complete or absent; the same contents give the same bytes.

    Args:
        path: the file.
        tensors: by name.
        header: strings for the file's header.

    Raises:
        OSError: it could not be written; an older file at `path` is untouched.
    """
    data = safetensors_bytes(tensors, header)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def safetensors_bytes(tensors: Mapping[str, torch.Tensor], header: Mapping[str, str] | None = None) -> bytes:
    """The bytes of a safetensors file; the same contents give the same bytes.

    Args:
        tensors: by name.
        header: strings for the file's header.
    """
    stored = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    return _in_order(serialize(stored, {**(header or {}), "format": "pt"}))


def _in_order(data: bytes) -> bytes:
    """The same safetensors file, the strings of its header sorted: the library orders them at random."""
    end = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:end])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + data[end:]


def read_header(path: Path) -> dict[str, str]:
    """Read the strings of a safetensors file's header.

    Args:
        path: the file.

    Raises:
        ValueError: the file is cut short or not a safetensors file.
    """
    try:
        with safe_open(path, framework="pt") as file:
            return dict(file.metadata() or {})
    except SafetensorError as error:
        raise ValueError(f"{path} is cut short or not a safetensors file ({error})") from error


def read_facts(path: Path) -> LoraFacts | None:
    """Read where a LoRA comes from.

    Args:
        path: a LoRA file.

    Returns:
        The facts, or None for a LoRA that was not trained with this package.

    Raises:
        ValueError: the file is cut short or not a safetensors file.
    """
    stored = read_header(path).get(FACTS_KEY)
    if stored is None:
        return None
    known = {its.name for its in fields(LoraFacts)}
    values = {name: value for name, value in json.loads(stored).items() if name in known}
    if values.get("wording") in _MOOD_OF_OLD:
        values["wording"] = "mood"
    return LoraFacts(**values)


def check_fits(path: Path, transformer: torch.nn.Module) -> None:
    """Refuse a LoRA that was trained on another base.

    The stock loader only logs keys that it misses or does not know.

    Args:
        path: a LoRA file with diffusers' names, or with those of `export_comfyui`.
        transformer: the `WanTransformer3DModel` to load it into.

    Raises:
        ValueError: modules are missing or unknown, or have another width.
    """
    with safe_open(path, framework="pt") as file:
        names = [name for name in file.keys() if not name.endswith(".alpha")]  # noqa: SIM118
        shapes = {weight_name(name): tuple(file.get_slice(name).get_shape()) for name in names}
    widths = {
        name: shape[1] if name.endswith("lora_A.weight") else shape[0] for name, shape in shapes.items()
    }
    attention_alone = not any(".ffn." in name for name in widths)
    modules = target_names(transformer, ATTENTION_MODULES if attention_alone else TARGET_MODULES)
    expected = _widths(transformer, modules)
    # A LoRA of the text-to-video model also serves the image-to-video model, which may have more projections.
    required = _widths(transformer, needs_no_image(modules))
    same = required.keys() <= widths.keys() <= expected.keys()
    if not same or any(expected[name] != width for name, width in widths.items()):
        facts = read_facts(path)
        base = facts.base if facts else "another base"
        found = f"{len(widths) // 2} modules of width {max(widths.values(), default=0)}"
        wanted = f"{len(expected) // 2} of width {max(expected.values(), default=0)}"
        raise ValueError(
            f"LoRA {path} was trained for {base} and does not fit: it has {found}, this model {wanted}"
        )


def _widths(transformer: torch.nn.Module, names: Iterable[str]) -> dict[str, int]:
    """The width of each weight that a LoRA on these modules has, beside its rank."""
    widths = {}
    for name in names:
        module: Any = transformer.get_submodule(name)
        linear = module.get_base_layer() if hasattr(module, "get_base_layer") else module
        widths[f"transformer.{name}.lora_A.weight"] = linear.in_features
        widths[f"transformer.{name}.lora_B.weight"] = linear.out_features
    return widths


def export_comfyui(source: Path, target: Path) -> int:
    """Rewrite a LoRA under the names of the original Wan code, which ComfyUI loads.

    Args:
        source: a LoRA file with diffusers' names.
        target: the file to write.

    Returns:
        The number of modules.

    Raises:
        ValueError: the source has no adapter metadata or a name that has no counterpart.
    """
    header = read_header(source)
    if ADAPTER_KEY not in header:
        raise ValueError(f"{source} has no adapter metadata, so its alpha is unknown")
    metadata = json.loads(header[ADAPTER_KEY])
    alpha = float(metadata["transformer.lora_alpha"])
    tensors: dict[str, torch.Tensor] = {}
    with safe_open(source, framework="pt") as file:
        for name in file.keys():  # noqa: SIM118
            match = re.fullmatch(r"transformer\.(.+)\.lora_([AB])\.weight", name)
            original = None if match is None else original_name(match[1])
            if match is None or original is None:
                raise ValueError(f"{source}: {name} has no name in the original Wan code")
            module = f"diffusion_model.{original}"
            tensors[f"{module}.lora_{'down' if match[2] == 'A' else 'up'}.weight"] = file.get_tensor(name)
            tensors[f"{module}.alpha"] = torch.tensor(alpha)
    # Without adapter metadata: beside `.alpha` the stock loader would scale twice.
    write_safetensors(target, tensors, {FACTS_KEY: header[FACTS_KEY]} if FACTS_KEY in header else None)
    return len(tensors) // 3
