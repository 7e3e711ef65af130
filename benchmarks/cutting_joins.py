"""Joins of a film's shots, made for measuring: hard cuts, dissolves, fades by way of black, and none.

Each is a film of a hundred frames. Which shots, where, and how long is drawn from a seed; the pictures are
the film's own, reduced.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

Kind = Literal["cut", "dissolve", "fade", "none"]
KINDS: tuple[Kind, ...] = ("cut", "dissolve", "fade", "none")
FRAMES = 100
_LONGEST_DISSOLVE, _LONGEST_HALF_FADE, _LONGEST_BLACK = 48, 24, 12  # frames
_JITTER = 10  # frames by which the middle of a transition is off the middle of the film
_ROOM = 2  # frames that a shot keeps at either end: the film's own transitions blur them


@dataclass(frozen=True, slots=True)
class Join:
    """One of the made films.

    Attributes:
        kind: of its transition.
        before: the film's frame with which it begins.
        behind: the film's frame with which it ends.
        first: the first frame that is not of the shot before alone.
        stop: the first frame that is of the shot behind alone.
        black: frames of black in the middle of a fade.
        fading_in: of them and the others, those behind the black.
    """

    kind: Kind
    before: int
    behind: int
    first: int
    stop: int
    black: int = 0
    fading_in: int = 0

    @property
    def transitions(self) -> list[tuple[int, int]]:
        """What a detector should find."""
        return [] if self.kind == "none" else [(self.first, self.stop)]

    def pictures(self, film: np.ndarray) -> np.ndarray:
        """Its frames.

        Args:
            film: uint8 [n, h, w, 3].

        Returns:
            uint8 [100, h, w, 3].
        """
        before, behind = self._shares()
        # beyond the part of it that is seen a shot may not reach so far, nor the film
        places = np.arange(FRAMES)
        a = film[np.minimum(self.before + places, len(film) - 1)].astype(np.float32)
        if self.kind == "none":
            return np.asarray(film[self.before : self.before + FRAMES])
        b = film[np.maximum(self.behind - FRAMES + 1 + places, 0)].astype(np.float32)
        mixed = a * before[:, None, None, None] + b * behind[:, None, None, None]
        return np.round(mixed).astype(np.uint8)

    def _shares(self) -> tuple[np.ndarray, np.ndarray]:
        """Of each frame the share of the shot before and of the one behind, float32 [100] each."""
        places = np.arange(FRAMES)
        if self.kind == "fade":
            out, into = self.stop - self.first - self.black - self.fading_in, self.fading_in
            before = np.clip(1 - (places - self.first + 1) / (out + 1), 0, 1)
            behind = np.clip(1 - (self.stop - places) / (into + 1), 0, 1)
            before[self.first + out :] = 0
            behind[: self.stop - into] = 0
            return before.astype(np.float32), behind.astype(np.float32)
        length = self.stop - self.first
        behind = np.clip((places - self.first + 1) / (length + 1), 0, 1)
        return (1 - behind).astype(np.float32), behind.astype(np.float32)


def joins(
    shots: Sequence[tuple[int, int]], count: int, seed: int, kinds: Sequence[Kind] = KINDS
) -> Iterator[Join]:
    """Draw joins, `count` of each kind.

    Args:
        shots: first frame and the one behind the last of each shot that is used.
        count: of each kind.
        seed: of the draw.
        kinds: that are drawn, in this order.
    """
    random = np.random.default_rng(seed)
    for kind in kinds:
        made = 0
        while made < count:
            join = _draw(kind, shots, random)
            if join is not None:
                made += 1
                yield join


def _draw(kind: Kind, shots: Sequence[tuple[int, int]], random: np.random.Generator) -> Join | None:
    """A join, or None where the two shots are too short for it."""
    a, b = (shots[int(place)] for place in random.choice(len(shots), 2, replace=False))
    if kind == "none":
        room = a[1] - a[0] - 2 * _ROOM - FRAMES
        if room < 0:
            return None
        before = a[0] + _ROOM + int(random.integers(0, room + 1))
        return Join(kind, before, before, 0, 0)
    black = fading_in = length = 0
    if kind == "dissolve":
        length = int(random.integers(4, _LONGEST_DISSOLVE + 1))
    elif kind == "fade":
        black = int(random.integers(1, _LONGEST_BLACK + 1))
        out, fading_in = (int(number) for number in random.integers(4, _LONGEST_HALF_FADE + 1, 2))
        length = out + black + fading_in
    middle = FRAMES // 2 + int(random.integers(-_JITTER, _JITTER + 1))
    first = middle - length // 2
    stop = first + length
    # shots are read from their ends; where one is shorter than its part of the film, it is no good
    needs_before, needs_behind = stop, FRAMES - first
    if a[1] - a[0] - 2 * _ROOM < needs_before or b[1] - b[0] - 2 * _ROOM < needs_behind:
        return None
    before = a[0] + _ROOM + int(random.integers(0, a[1] - a[0] - 2 * _ROOM - needs_before + 1))
    behind = b[1] - _ROOM - 1 - int(random.integers(0, b[1] - b[0] - 2 * _ROOM - needs_behind + 1))
    return Join(kind, before, behind, first, stop, black, fading_in)
