"""The valence-arousal map: where each emotion's word lies, and how many clips carry it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from emovid_dataset.analyse.clips import ClipTable
from emovid_dataset.analyse.outcomes import NotComputed
from emovid_dataset.schema.portable.norms import WARRINER


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
