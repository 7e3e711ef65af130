"""Wan2.1 with an emotion: the conditioning text, the T2V and I2V pipelines, LoRA training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from emovid_models.remote.wan.conditioning import WORDINGS, conditioning_text

if TYPE_CHECKING:
    from emovid_models.remote.wan.pipeline_i2v import EmoVidWanImageToVideoPipeline
    from emovid_models.remote.wan.pipeline_t2v import EmoVidWanPipeline

__all__ = [
    "WORDINGS",
    "EmoVidWanImageToVideoPipeline",
    "EmoVidWanPipeline",
    "conditioning_text",
]


def __getattr__(name: str) -> Any:
    # diffusers takes seconds to import; the conditioning text needs none of it.
    if name == "EmoVidWanPipeline":
        from emovid_models.remote.wan.pipeline_t2v import EmoVidWanPipeline

        return EmoVidWanPipeline
    if name == "EmoVidWanImageToVideoPipeline":
        from emovid_models.remote.wan.pipeline_i2v import EmoVidWanImageToVideoPipeline

        return EmoVidWanImageToVideoPipeline
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
