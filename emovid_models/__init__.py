"""EmoVid's model side: the annotator, Wan2.1 with emotion, and the EA-8cls metric."""

from __future__ import annotations

from pathlib import Path

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

__all__ = ["MINI_ANNOTATOR", "MINI_LORA_I2V", "MINI_LORA_T2V", "MINI_WAN_I2V", "MINI_WAN_T2V"]


def __getattr__(name: str) -> Path:
    if name == "MINI_ANNOTATOR":
        from emovid_models.miniature import annotator_folder

        return annotator_folder()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
