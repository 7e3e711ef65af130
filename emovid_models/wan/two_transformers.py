"""Bases with two transformers, as Wan2.2 A14B: which of them is trained, and what its files are called.

The first one works where there is much noise, the second one where there is little.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emovid_models.remote.wan.lora import SECOND_WEIGHT_NAME, TRANSFORMERS, WEIGHT_NAME
from emovid_models.wan.checkpoints import CHECKPOINTS
from emovid_models.wan.encode import BaseOutline, dtype_option

if TYPE_CHECKING:
    import torch

    from emovid_models.wan.lora_settings import LoraSettings

COMFYUI_NAME = "comfyui_lora_weights.safetensors"

SECOND_NAMES = {
    WEIGHT_NAME: SECOND_WEIGHT_NAME,
    COMFYUI_NAME: "comfyui_lora_weights_2.safetensors",
}
"""What the files of the second transformer's LoRA are called beside those of the first one's."""


def runs_of(settings: LoraSettings, base: BaseOutline) -> tuple[LoraSettings, ...]:
    """The runs that a training takes: one for each transformer that is trained.

    Args:
        settings: as given.
        base: says how many transformers there are.

    Raises:
        ValueError: a transformer is named for a base that has one, or the output folder holds a run for
            others.
    """
    if base.boundary is None:
        if settings.transformer is not None:
            raise ValueError(
                f"transformer {settings.transformer!r} is for a base with two, and {base.name} has one; "
                "leave it out"
            )
        return (settings,)
    out = Path(settings.out)
    both = settings.transformer in (None, "both")
    if other := _run_for_others(out, both):
        raise ValueError(f"{out} holds a run for {other}; choose another output folder, or delete that one")
    if not both:
        return (settings,)
    cache = settings.cache or str(out / "cache")
    return tuple(
        replace(settings, transformer=name, out=str(out / name), cache=cache) for name in TRANSFORMERS
    )


def _run_for_others(out: Path, both: bool) -> str | None:
    if both and (out / CHECKPOINTS).is_dir():
        return "one transformer"
    if not both and any((out / name / CHECKPOINTS).is_dir() for name in TRANSFORMERS):
        return "both transformers"
    return None


def load_transformer(base: BaseOutline, dtype: torch.dtype, which: str | None = None) -> Any:
    """Load a transformer of the base with its weights.

    Args:
        base: the base.
        dtype: of the weights.
        which: "high" or "low" of two, None for the only one.
    """
    from diffusers import WanTransformer3DModel

    return WanTransformer3DModel.from_pretrained(
        base.name,
        subfolder="transformer_2" if which == "low" else "transformer",
        revision=base.revision,
        use_safetensors=True,
        **dtype_option(dtype),
    )
