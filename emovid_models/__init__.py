"""EmoVid's model side: the annotator, Wan2.1 with emotion, and the EA-8cls metric."""

from __future__ import annotations

from pathlib import Path

MINI_ANNOTATOR = Path(__file__).parent / "mini" / "annotator"
"""Folder of the miniature annotator that ships in the package, for `from_pretrained`."""

MINI_WAN_T2V = Path(__file__).parent / "mini" / "wan-t2v"
"""Folder of the miniature text-to-video base, in the layout of diffusers: 64x64, 17 frames."""

MINI_WAN_I2V = Path(__file__).parent / "mini" / "wan-i2v"
"""Folder of the miniature image-to-video base."""

MINI_LORA_T2V = Path(__file__).parent / "mini" / "lora-t2v"
"""Folder of the emotion LoRA for the miniature text-to-video base."""

MINI_LORA_I2V = Path(__file__).parent / "mini" / "lora-i2v"
"""Folder of the emotion LoRA for the miniature image-to-video base."""
