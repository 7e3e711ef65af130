"""The mean of one number over some clips, with an interval that knows their groups."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from emovid_dataset.analyse.intervals import grouped_mean_interval
from emovid_dataset.analyse.outcomes import Interval, NotComputed


@dataclass(frozen=True, slots=True)
class MeanOfClips:
    """The mean of one number over some clips.

    Attributes:
        name: of the clips: an emotion, a valence, or "high arousal" or "low arousal".
        clips: number of them.
        mean: of the number.
        deviation: standard deviation over clips.
        interval: of the mean, where clips of one group are not independent.
    """

    name: str
    clips: int
    mean: float | NotComputed
    deviation: float | NotComputed
    interval: Interval | NotComputed

    @classmethod
    def of(
        cls,
        name: str,
        values: np.ndarray,
        groups: np.ndarray,
        *,
        within: tuple[float, float] = (-math.inf, math.inf),
    ) -> MeanOfClips:
        """The mean of these values.

        Args:
            name: of the clips.
            values: float [n].
            groups: int [n], the group of each clip.
            within: least and greatest value that is possible.
        """
        few = NotComputed("no clips" if not len(values) else "one clip only")
        return cls(
            name=name,
            clips=len(values),
            mean=float(values.mean()) if len(values) else few,
            deviation=float(values.std(ddof=1)) if len(values) > 1 else few,
            interval=grouped_mean_interval(values, groups, within=within),
        )
