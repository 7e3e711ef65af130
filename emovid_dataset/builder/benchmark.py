"""Choose the benchmark: so many clips per emotion and content type, and no group on two sides.

A clip of the benchmark takes its whole group out of training. What else is in the group would unbalance the
benchmark, so it goes into no split at all; groups are chosen so that little is lost that way::

    group          clips that qualify     size   lost
    one sticker    amusement 1            1      0      chosen first
    a film         fear 2, anger 1        5      2      then those that lose least per clip they give
    another film   fear 1                 40     39     last, and only while fear is short
"""

from __future__ import annotations

import hashlib
import heapq
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

Cell = tuple[str, str]
"""Content type and emotion."""


@dataclass(frozen=True, slots=True)
class BenchmarkGroup:
    """A group with clips that qualify.

    Attributes:
        name: of the group.
        size: all its clips.
        clips: number and id of its clips that qualify, by cell.
    """

    name: str
    size: int
    clips: Mapping[Cell, tuple[tuple[int, str], ...]]

    def gives(self, wanted: Mapping[Cell, int]) -> int:
        """How many clips it can still give."""
        return sum(min(len(clips), wanted.get(cell, 0)) for cell, clips in self.clips.items())


def price(group: BenchmarkGroup, wanted: Mapping[Cell, int], seed: int) -> tuple[float, bytes]:
    """The order of groups: clips lost per clip given, equal ones as the seed draws them.

    Args:
        group: it gives at least one clip.
        wanted: clips that each cell still lacks.
        seed: of the order of equal groups.
    """
    given = group.gives(wanted)
    return (group.size - given) / given, rank(group.name, seed)


def choose(
    groups: Iterable[BenchmarkGroup], wanted: Mapping[Cell, int], seed: int
) -> Iterator[tuple[BenchmarkGroup, list[int]]]:
    """Choose groups until every cell is full.

    Args:
        groups: sorted by `price` with all of `wanted`; no more of them are read or held than matter.
        wanted: clips of each cell; no more than qualify.
        seed: draws between equal groups, and between clips of one cell in one group.

    Yields:
        A group, and the numbers of its clips that are in the benchmark.
    """
    lacking = Counter(wanted)
    held: list[tuple[tuple[float, bytes], str, BenchmarkGroup]] = []
    coming = iter(groups)
    ahead = next(coming, None)
    while any(lacking.values()):
        while ahead is not None and (not held or price(ahead, wanted, seed) <= held[0][0]):
            heapq.heappush(held, (price(ahead, wanted, seed), ahead.name, ahead))
            ahead = next(coming, None)
        if not held:
            return
        asked, name, group = heapq.heappop(held)
        if not group.gives(lacking):
            continue
        # Prices only rise while cells fill up: one that is as low as before is the lowest.
        if (now := price(group, lacking, seed)) > asked:
            heapq.heappush(held, (now, name, group))
            continue
        chosen: list[int] = []
        for cell, clips in group.clips.items():
            drawn = sorted(clips, key=lambda clip: rank(clip[1], seed))[: lacking[cell]]
            lacking[cell] -= len(drawn)
            chosen += [number for number, _ in drawn]
        yield group, sorted(chosen)


def groups_of(clips: Iterable[tuple[str, int, str, str, int, str]]) -> Iterator[BenchmarkGroup]:
    """Gather clips that qualify into their groups.

    Args:
        clips: name of the group, its size, content type, emotion, number and id, a group's clips together.
    """
    name, size = "", 0
    cells: dict[Cell, list[tuple[int, str]]] = defaultdict(list)
    for group, its_size, content_type, emotion, number, key in clips:
        if cells and group != name:
            yield BenchmarkGroup(name, size, {cell: tuple(found) for cell, found in cells.items()})
            cells = defaultdict(list)
        name, size = group, its_size
        cells[content_type, emotion].append((number, key))
    if cells:
        yield BenchmarkGroup(name, size, {cell: tuple(found) for cell, found in cells.items()})


def rank(name: str, seed: int) -> bytes:
    """The place of a group or clip among equal ones, drawn by the seed."""
    return hashlib.sha256(f"benchmark/{seed}/{name}".encode()).digest()
