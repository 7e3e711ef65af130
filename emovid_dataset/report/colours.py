"""The colour of each emotion, on pages and in pictures."""

from __future__ import annotations

from collections.abc import Sequence

PALETTE: dict[str, tuple[str, str]] = {
    "amusement": ("#b0883a", "#ffcc9c"),
    "awe": ("#4297a6", "#7cecf5"),
    "contentment": ("#117965", "#76a16e"),
    "excitement": ("#de487d", "#cc86a5"),
    "anger": ("#7a2a2a", "#d44f0a"),
    "disgust": ("#5e6d01", "#bab900"),
    "fear": ("#5e3a78", "#8864e0"),
    "sadness": ("#5e6ae9", "#7fb0f7"),
}
"""One colour per emotion, on a light and on a dark page.

Chosen so that any two of them differ also to colour-blind eyes, and each stands out from the page.
"""

_OTHER_COLOURS = tuple(PALETTE.values())


def palette(emotions: Sequence[str]) -> dict[str, tuple[str, str]]:
    """A colour for each emotion of a taxonomy, on a light and on a dark page; its own where it has one."""
    free = [pair for name, pair in PALETTE.items() if name not in emotions] or list(_OTHER_COLOURS)
    others = (free[index % len(free)] for index in range(len(emotions)))
    return {name: PALETTE.get(name) or next(others) for name in emotions}
