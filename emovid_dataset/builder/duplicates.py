"""Find clips that show nearly the same pictures: the same film in another size, quality, rate or container.

Every clip has a fingerprint of eight hashes of 64 bits, of frames spread uniformly in time. Two clips are
alike if the hashes of every frame are, and if they are about equally light and colourful, which a hash does
not tell.

Not every pair is compared. The bits of a fingerprint are cut into 32 pieces of 16, and only clips that agree
in one of them wholly are. Clips that are alike nearly always do: even with 40 of 512 bits that differ, the
most that may, all 32 pieces hold one of these about four times in a hundred thousand.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TypeVar

import numpy as np

Thing = TypeVar("Thing", bound=Hashable)

MEAN_BITS = 5.0
"""Of 64 bits so many may differ in the mean over the frames."""

MOST_BITS = 12
"""Of 64 bits so many may differ in any one frame."""

LUMA_OFF = 0.06
COLOURFULNESS_OFF = 0.08
"""By how much luma and colorfulness_m3 may differ."""

_FRAMES, _PIECES = 8, 32
_AT_ONCE = 2048  # clips of one piece that are compared with each other in a block
_BITS = np.array([bin(number).count("1") for number in range(1 << 16)], np.uint8)


@dataclass(frozen=True, slots=True)
class Looks:
    """What clips are compared by.

    Attributes:
        fingerprint: of `media.traits`; None is alike to nothing.
        luma, colorfulness: as in `Clip`: `luma`, `colorfulness_m3`.
    """

    fingerprint: str | None
    luma: float
    colorfulness: float


def near_duplicates(clips: Iterable[Looks]) -> list[tuple[int, ...]]:
    """Families of clips of which each is alike to another one.

    Args:
        clips: numbered from 0.

    Returns:
        Their numbers, ascending; families in the order of their first one.
    """
    numbers: list[int] = []
    prints: list[bytes] = []
    shades: list[tuple[float, float]] = []
    first_of: dict[Looks, int] = {}
    equal: list[tuple[int, int]] = []
    for number, clip in enumerate(clips):
        if clip.fingerprint is None or len(clip.fingerprint) != 16 * _FRAMES:
            continue
        first = first_of.setdefault(clip, number)
        if first != number and clip.fingerprint.strip("0"):
            equal.append((first, number))  # what is alike to one is alike to the other: one is compared
            continue
        numbers.append(number)
        prints.append(bytes.fromhex(clip.fingerprint))
        shades.append((clip.luma, clip.colorfulness))
    pieces = np.frombuffer(b"".join(prints), ">u2").reshape(len(prints), _PIECES).astype(np.uint16)
    alike = ((numbers[one], numbers[other]) for one, other in _pairs(pieces, np.array(shades, np.float32)))
    families = joined(chain(equal, alike))
    return sorted(tuple(sorted(family)) for family in families)


def _pairs(pieces: np.ndarray, shades: np.ndarray) -> Iterator[tuple[int, int]]:
    """Numbers of clips that are alike; some pairs come several times."""
    for piece in range(_PIECES):
        order = np.argsort(pieces[:, piece], kind="stable")
        held = pieces[order, piece]
        begins = np.flatnonzero(np.concatenate([[True], held[1:] != held[:-1]]))
        ends = np.append(begins[1:], len(held))
        for begin, end in zip(begins, ends, strict=True):
            if end - begin > 1 and held[begin]:  # zero is that of frames of one level
                yield from _alike(pieces, shades, order[begin:end])


def _alike(pieces: np.ndarray, shades: np.ndarray, members: np.ndarray) -> Iterator[tuple[int, int]]:
    for first in range(len(members) - 1):
        others = members[first + 1 : first + 1 + _AT_ONCE]
        one = members[first]
        near = np.abs(shades[others] - shades[one]) <= (LUMA_OFF, COLOURFULNESS_OFF)
        others = others[near.all(axis=1)]
        if not len(others):
            continue
        bits = _BITS[pieces[others] ^ pieces[one]].reshape(len(others), _FRAMES, -1).sum(axis=2)
        for other in others[(bits.mean(axis=1) <= MEAN_BITS) & (bits.max(axis=1) <= MOST_BITS)]:
            yield int(one), int(other)


def joined(pairs: Iterable[Sequence[Thing]]) -> list[list[Thing]]:
    """Sets of things that are tied to each other, directly or by others.

    >>> joined([("a", "b"), ("c", "d"), ("b", "e")])
    [['a', 'b', 'e'], ['c', 'd']]
    """
    root: dict[Thing, Thing] = {}

    def find(thing: Thing) -> Thing:
        while root.setdefault(thing, thing) != thing:
            root[thing] = root[root[thing]]
            thing = root[thing]
        return thing

    for first, *others in pairs:
        find(first)
        for other in others:
            root[find(other)] = find(first)
    families: dict[Thing, list[Thing]] = defaultdict(list)
    for thing in root:
        families[find(thing)].append(thing)
    return list(families.values())
