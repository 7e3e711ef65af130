"""How many clips of each content type carry each emotion."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from emovid_dataset.analyse.clips import ALL, NO_VALENCE, ClipTable
from emovid_dataset.analyse.outcomes import NotComputed


@dataclass(frozen=True, slots=True)
class EmotionCounts:
    """Emotions of one content type, or of all.

    Attributes:
        content_type: its name, or "all".
        clips: number of its clips.
        counts: clips by emotion.
        shares: of its clips by emotion, 0..1.
        positive: share of clips with a positive emotion, 0..1; `NotComputed` where the taxonomy has no
            valence.
    """

    content_type: str
    clips: int
    counts: dict[str, int]
    shares: dict[str, float]
    positive: float | NotComputed


def emotions_by_type(clips: ClipTable) -> tuple[EmotionCounts, ...]:
    """Count the emotions of every content type that has clips, and of all.

    Args:
        clips: the build's.

    Returns:
        One record per content type; the first is of all of them.
    """
    return tuple(_counted(clips, name, inside) for name, inside in _every_scope(clips))


def _every_scope(clips: ClipTable) -> list[tuple[str, np.ndarray]]:
    each = [(name, clips.types == index) for index, name in enumerate(clips.content_types)]
    return [(ALL, np.ones(len(clips), bool)), *each]


def _counted(clips: ClipTable, name: str, inside: np.ndarray) -> EmotionCounts:
    counts = np.bincount(clips.labels[inside], minlength=len(clips.emotions))
    total = int(counts.sum())
    return EmotionCounts(
        content_type=name,
        clips=total,
        counts={emotion: int(count) for emotion, count in zip(clips.emotions, counts, strict=True)},
        shares={emotion: float(count / total) for emotion, count in zip(clips.emotions, counts, strict=True)},
        positive=NO_VALENCE if clips.valences is None else float(clips.positive[inside].mean()),
    )
