"""The colour of each emotion, on pages and in pictures."""

from __future__ import annotations

from collections.abc import Sequence

PALETTE: dict[str, tuple[str, str]] = {
    "amusement": ("#b0883a", "#917702"),
    "awe": ("#4297a6", "#62b2be"),
    "contentment": ("#117965", "#19766a"),
    "excitement": ("#de487d", "#d91d7a"),
    "anger": ("#7a2a2a", "#c67f72"),
    "disgust": ("#5e6d01", "#9ca731"),
    "fear": ("#5e3a78", "#8649c7"),
    "sadness": ("#5e6ae9", "#7183b7"),
}
"""One colour per emotion, on a light and on a dark page.

Chosen so that any two of them differ also to colour-blind eyes, each stands out from the page, and an emotion
has nearly one colour on both: those on a dark page are the nearest ones that the former two allow.
"""

_OTHER_COLOURS = tuple(PALETTE.values())


def palette(emotions: Sequence[str]) -> dict[str, tuple[str, str]]:
    """A colour for each emotion of a taxonomy, on a light and on a dark page; its own where it has one."""
    free = [pair for name, pair in PALETTE.items() if name not in emotions] or list(_OTHER_COLOURS)
    others = (free[index % len(free)] for index in range(len(emotions)))
    return {name: PALETTE.get(name) or next(others) for name in emotions}
