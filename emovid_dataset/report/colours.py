"""The colour of each emotion, on pages and in pictures."""

from __future__ import annotations

from collections.abc import Sequence

PALETTE: dict[str, tuple[str, str]] = {
    "amusement": ("#b0883a", "#c8a712"),
    "awe": ("#4297a6", "#5bf6f5"),
    "contentment": ("#117965", "#71bbaf"),
    "excitement": ("#de487d", "#a94d71"),
    "anger": ("#7a2a2a", "#e16f6f"),
    "disgust": ("#5e6d01", "#def765"),
    "fear": ("#5e3a78", "#ba8aef"),
    "sadness": ("#5e6ae9", "#4968c8"),
}
"""One colour per emotion, on a light and on a dark page.

Chosen so that any two of them differ also to colour-blind eyes, each stands out from the page, and an emotion
has one hue on both.
"""

_OTHER_COLOURS = tuple(PALETTE.values())


def palette(emotions: Sequence[str]) -> dict[str, tuple[str, str]]:
    """A colour for each emotion of a taxonomy, on a light and on a dark page; its own where it has one."""
    free = [pair for name, pair in PALETTE.items() if name not in emotions] or list(_OTHER_COLOURS)
    others = (free[index % len(free)] for index in range(len(emotions)))
    return {name: PALETTE.get(name) or next(others) for name in emotions}
