"""EmoVid's model side: the annotator, Wan2.1 with emotion, and the EA-8cls metric.

What this module exports may be relied upon; everything else may change.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from emovid_models.annotator.annotate import AnnotationReport, annotate
    from emovid_models.annotator.annotations import Annotation, read_annotations
    from emovid_models.annotator.items import Item, find_items
    from emovid_models.annotator.loading import load_annotator
    from emovid_models.annotator.relabel import relabel_build
    from emovid_models.evaluation import (
        Comparison,
        Figures,
        Judge,
        Judged,
        Judgement,
        Prompt,
        Share,
        compare,
        judge_clips,
        judge_videos,
        load_judge,
        load_prompts,
        score,
    )
    from emovid_models.remote.annotator.pipeline import VideoEmotionPipeline
    from emovid_models.remote.wan.conditioning import conditioning_text
    from emovid_models.remote.wan.pipeline_i2v import EmoVidWanImageToVideoPipeline
    from emovid_models.remote.wan.pipeline_t2v import EmoVidWanPipeline
    from emovid_models.wan.loras import WeightedLora
    from emovid_models.wan.sticker import Sticker, StickerSet, make_stickers

MINI_ANNOTATOR: Path
"""Folder of the miniature annotator that ships, for `from_pretrained` and `pipeline`.

In a checkout it is put together in the user's cache when it is asked for (`emovid_models.miniature`).
"""

MINI_WAN_T2V = Path(__file__).parent / "mini" / "wan-t2v"
"""Folder of the miniature text-to-video base, in the layout of diffusers: 64x64, 17 frames."""

MINI_WAN_I2V = Path(__file__).parent / "mini" / "wan-i2v"
"""Folder of the miniature image-to-video base."""

MINI_LORA_T2V = Path(__file__).parent / "mini" / "lora-t2v"
"""Folder of the emotion LoRA for the miniature text-to-video base."""

MINI_LORA_I2V = Path(__file__).parent / "mini" / "lora-i2v"
"""Folder of the emotion LoRA for the miniature image-to-video base."""

__all__ = [
    "MINI_ANNOTATOR",
    "MINI_LORA_I2V",
    "MINI_LORA_T2V",
    "MINI_WAN_I2V",
    "MINI_WAN_T2V",
    "Annotation",
    "AnnotationReport",
    "Comparison",
    "EmoVidWanImageToVideoPipeline",
    "EmoVidWanPipeline",
    "Figures",
    "Item",
    "Judge",
    "Judged",
    "Judgement",
    "Prompt",
    "Share",
    "Sticker",
    "StickerSet",
    "VideoEmotionPipeline",
    "WeightedLora",
    "annotate",
    "compare",
    "conditioning_text",
    "find_items",
    "judge_clips",
    "judge_videos",
    "load_annotator",
    "load_judge",
    "load_prompts",
    "make_stickers",
    "read_annotations",
    "relabel_build",
    "score",
]

_PLACES = {
    "Annotation": "annotator.annotations",
    "AnnotationReport": "annotator.annotate",
    "Comparison": "evaluation",
    "EmoVidWanImageToVideoPipeline": "remote.wan.pipeline_i2v",
    "EmoVidWanPipeline": "remote.wan.pipeline_t2v",
    "Figures": "evaluation",
    "Item": "annotator.items",
    "Judge": "evaluation",
    "Judged": "evaluation",
    "Judgement": "evaluation",
    "Prompt": "evaluation",
    "Share": "evaluation",
    "Sticker": "wan.sticker",
    "StickerSet": "wan.sticker",
    "VideoEmotionPipeline": "remote.annotator.pipeline",
    "WeightedLora": "wan.loras",
    "annotate": "annotator.annotate",
    "compare": "evaluation",
    "conditioning_text": "remote.wan.conditioning",
    "find_items": "annotator.items",
    "judge_clips": "evaluation",
    "judge_videos": "evaluation",
    "load_annotator": "annotator.loading",
    "load_judge": "evaluation",
    "load_prompts": "evaluation",
    "make_stickers": "wan.sticker",
    "read_annotations": "annotator.annotations",
    "relabel_build": "annotator.relabel",
    "score": "evaluation",
}
"""Where each name comes from."""


def __getattr__(name: str) -> Any:
    # Imported when first asked for: torch, transformers and diffusers take seconds.
    if name == "MINI_ANNOTATOR":
        from emovid_models.miniature import annotator_folder

        return annotator_folder()
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_PLACES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
