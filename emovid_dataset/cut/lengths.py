"""From shots to stretches of bounded length: long shots are divided at calm frames, short ones told apart.

A shot of 23 s with clips of at most 10 s becomes three; where it is divided, little moves and nobody speaks::

    change   ~~~~~~~~~_~~~~~~~~~~~~_~~~~~~~~~~~~
    shot     |--------------------------------|
    clips    |--------|------------|----------|
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from emovid_dataset.cut.records import Transition
from emovid_dataset.cut.speech import SPOKEN, Speech

_CALM_OVER = 5  # frames over which change is averaged
_ATTEMPTS = 4  # after which the whole shot is listened to
_IN_WORD = 50.0  # levels that a division in the middle of speech costs


@dataclass(frozen=True, slots=True)
class ShotPart:
    """Frames of one shot, `first` to `stop` (exclusive)."""

    first: int
    stop: int
    shot: int


def shots_between(transitions: Sequence[Transition], frames: int) -> list[ShotPart]:
    """The shots between transitions, ascending, without the frames of gradual ones."""
    found: list[ShotPart] = []
    first = 0
    for transition in [*transitions, Transition(frames, frames)]:
        if transition.first > first:
            found.append(ShotPart(first, transition.first, len(found)))
        first = max(first, transition.stop)
    return found


def divided(
    shot: ShotPart, times: np.ndarray, change: np.ndarray, spoken: np.ndarray, least: float, most: float
) -> list[ShotPart]:
    """Divide a shot that is too long, at its calmest frames, into as few stretches as will do.

    Args:
        shot: to be divided.
        times: seconds at which each frame of the film is shown, and its end, float64 [n + 1].
        change: of each frame of the film from the one before, float32 [n].
        spoken: whether somebody speaks where a frame of the shot begins, bool [shot.stop - shot.first].
        least: seconds of a stretch at least; shorter ones come out only of frames that stand long.
        most: seconds of a stretch at most.

    Returns:
        The stretches, which follow each other without a gap.
    """
    at = times[shot.first : shot.stop + 1] - times[shot.first]
    length = float(at[-1])
    if length <= most + 1e-6:
        return [shot]
    window = np.ones(_CALM_OVER) / _CALM_OVER
    cost = np.convolve(change[shot.first : shot.stop], window, "same") + _IN_WORD * spoken
    count = len(cost)
    pieces = int(np.ceil(length / most - 1e-9))
    while pieces <= count:
        ends = _cheapest(at, cost, pieces, least, most)
        if ends is not None:
            bounds = [0, *ends, count]
            return [ShotPart(shot.first + a, shot.first + b, shot.shot) for a, b in pairwise(bounds)]
        pieces += 1
        if pieces * least > length:
            break
    return [shot]


def divided_between_words(
    shot: ShotPart,
    times: np.ndarray,
    change: np.ndarray,
    speaks_at: Callable[[np.ndarray], np.ndarray],
    least: float,
    most: float,
) -> list[ShotPart]:
    """Divide a shot as `divided` does, asking about speech only where it might be divided.

    A division that turns out to be in the middle of speech is known from then on, and a better one is looked
    for. As frames of which nothing is known count as silent, what comes out is the best of all.

    Args:
        shot, times, change, least, most: as for `divided`.
        speaks_at: tells for places of frames whether somebody speaks as they begin.
    """
    spoken = np.zeros(shot.stop - shot.first, bool)
    for _ in range(_ATTEMPTS):
        parts = divided(shot, times, change, spoken, least, most)
        ends = np.array([part.first for part in parts[1:]], np.int64)
        told = speaks_at(ends)
        if not (told & ~spoken[ends - shot.first]).any():
            return parts
        spoken[ends - shot.first] |= told
    return divided(shot, times, change, speaks_at(np.arange(shot.first, shot.stop)), least, most)


def _cheapest(at: np.ndarray, cost: np.ndarray, pieces: int, least: float, most: float) -> list[int] | None:
    """Where to divide into so many pieces at the least cost together; None where it cannot be done."""
    count = len(cost)
    best = np.where((at[:count] >= least - 1e-6) & (at[:count] <= most + 1e-6), cost, np.inf)
    came: list[np.ndarray] = []
    for _ in range(pieces - 2):
        following, source = np.full(count, np.inf), np.zeros(count, np.int64)
        low = np.searchsorted(at, at[:count] - most - 1e-6)
        high = np.searchsorted(at, at[:count] - least + 1e-6, side="right")
        for place in range(count):
            if low[place] < high[place]:
                before = int(low[place]) + int(np.argmin(best[low[place] : high[place]]))
                following[place], source[place] = best[before] + cost[place], before
        came.append(source)
        best = following
    rest = at[-1] - at[:count]
    best = np.where((rest >= least - 1e-6) & (rest <= most + 1e-6), best, np.inf)
    place = int(np.argmin(best))
    if not np.isfinite(best[place]):
        return None
    ends = [place]
    for source in reversed(came):
        place = int(source[place])
        ends.append(place)
    return ends[::-1]


def out_of_words(
    stretch: ShotPart, times: np.ndarray, speaks_at: Callable[[np.ndarray], np.ndarray], least: float
) -> tuple[ShotPart, str | None]:
    """Move the ends of a stretch inwards to where nobody speaks.

    Args:
        stretch: of a shot.
        times: as for `divided`.
        speaks_at: tells for places of frames whether somebody speaks as they begin.
        least: seconds that must be left.

    Returns:
        The stretch, and why it cannot be used; None where it can.
    """
    first, stop = stretch.first, stretch.stop
    if speaks_at(np.array([first]))[0]:
        room = int(np.searchsorted(times, times[stop] - least + 1e-6, side="right"))
        places = np.arange(first, max(first + 1, room))
        quiet = places[~speaks_at(places)]
        if not len(quiet):
            return stretch, "begins in the middle of speech"
        first = int(quiet[0])
    if speaks_at(np.array([stop]))[0]:
        room = int(np.searchsorted(times, times[first] + least - 1e-6))
        places = np.arange(room, stop + 1)
        quiet = places[~speaks_at(places)]
        if not len(quiet):
            return stretch, "ends in the middle of speech"
        stop = int(quiet[-1])
    return ShotPart(first, stop, stretch.shot), None


class SpeaksAt:
    """Whether somebody speaks as a frame begins.

    Args:
        times: seconds of each frame, and the film's end, float64 [n + 1].
        spoken: gives the probability of speech at some moments; None for a film without sound.
    """

    def __init__(self, times: np.ndarray, spoken: Speech | None) -> None:
        self._times, self._spoken = times, spoken

    def __call__(self, places: np.ndarray) -> np.ndarray:
        """For places 0..n, bool [len(places)]."""
        if self._spoken is None:
            return np.zeros(len(places), bool)
        return self._spoken.at(self._times[places]) >= SPOKEN
