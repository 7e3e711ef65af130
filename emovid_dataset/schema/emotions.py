"""Mikels' eight emotions: their fixed order, their valence, and how a label is read.

The order is that of EmoSet (Yang et al., ICCV 2023) and of EmoVid: four positive emotions, then four
negative ones, so that ``index // 4`` is the valence.
"""

from __future__ import annotations

from emovid_dataset.schema.taxonomy import Taxonomy

EMOTIONS: tuple[str, ...] = (
    "amusement",
    "awe",
    "contentment",
    "excitement",
    "anger",
    "disgust",
    "fear",
    "sadness",
)
"""The eight emotions; a label is an index into this tuple."""

VALENCES: tuple[str, str] = ("positive", "negative")
"""The two valences; ``VALENCES[label // 4]`` is the valence of a label."""

MIKELS = Taxonomy("mikels", EMOTIONS, (0, 0, 0, 0, 1, 1, 1, 1))
"""The taxonomy of EmoVid, and that of every build that names no other."""


def parse_emotion(value: object) -> int:
    """Read one of the eight emotions.

    Args:
        value: a name in any case with surrounding spaces, or an index 0..7 as int or as decimal text.

    Returns:
        The index of the emotion in `EMOTIONS`.

    Raises:
        ValueError: the value is neither; the message names it and what is allowed.

    >>> parse_emotion(" Awe "), parse_emotion(7), parse_emotion("0")
    (1, 7, 0)
    >>> parse_emotion("joy")
    Traceback (most recent call last):
    ...
    ValueError: emotion 'joy' is unknown; allowed: amusement, awe, contentment, excitement, anger, disgust,
    fear, sadness or 0..7
    """
    return MIKELS.parse(value)


def valence(emotion: object) -> int:
    """Valence of an emotion: 0 positive, 1 negative.

    Args:
        emotion: whatever `parse_emotion` reads.

    Returns:
        0 or 1, an index into `VALENCES`.

    >>> valence("awe"), valence("fear")
    (0, 1)
    """
    return parse_emotion(emotion) // 4
