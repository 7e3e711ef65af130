"""The valence-arousal map: where each emotion's word lies, and how many clips carry it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from emovid_dataset.analyse.clips import ClipTable
from emovid_dataset.analyse.outcomes import NotComputed

WARRINER: dict[str, tuple[float, float]] = {
    "amusement": (7.00, 4.82),
    "awe": (6.85, 3.83),
    "contentment": (6.62, 4.60),
    "excitement": (7.62, 6.21),
    "anger": (2.50, 5.93),
    "disgust": (3.32, 5.00),
    "fear": (2.93, 6.14),
    "sadness": (2.40, 2.81),
}
"""Mean valence and arousal of a word on scales of 1..9, 5 the middle.

Source: A. B. Warriner, V. Kuperman and M. Brysbaert, "Norms of valence, arousal, and dominance for 13,915
English lemmas", Behavior Research Methods 45, 2013: the columns V.Mean.Sum and A.Mean.Sum.
"""

MIDDLE = 5.0
"""Middle of both scales."""


@dataclass(frozen=True, slots=True)
class PlacedEmotion:
    """An emotion on the map.

    Attributes:
        emotion: its name.
        valence: 1 unpleasant .. 9 pleasant; `NotComputed` for a word whose norm is not known here.
        arousal: 1 calm .. 9 excited; as `valence`.
        clips: that carry it.
        share: of all clips, 0..1.
    """

    emotion: str
    valence: float | NotComputed
    arousal: float | NotComputed
    clips: int
    share: float


def valence_arousal(clips: ClipTable) -> tuple[PlacedEmotion, ...]:
    """Place every emotion of the taxonomy by the norms of its word.

    Args:
        clips: the build's.

    Returns:
        One record per emotion, in the taxonomy's order. The norms are of words, not of clips.
    """
    counts = np.bincount(clips.labels, minlength=len(clips.emotions))
    unknown = NotComputed("the word's norm is not known here")
    placed = []
    for emotion, count in zip(clips.emotions, counts, strict=True):
        valence, arousal = WARRINER.get(emotion, (unknown, unknown))
        placed.append(PlacedEmotion(emotion, valence, arousal, int(count), float(count / len(clips))))
    return tuple(placed)
