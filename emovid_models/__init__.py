"""EmoVid's model side: the annotator, Wan2.1 with emotion, and the EA-8cls metric."""

from __future__ import annotations

from pathlib import Path

MINI_ANNOTATOR = Path(__file__).parent / "mini" / "annotator"
"""Folder of the miniature annotator that ships in the package, for `from_pretrained`."""
