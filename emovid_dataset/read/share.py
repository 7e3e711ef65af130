"""Which clips of a split one reader yields, among all ranks and DataLoader workers.

Three shards of 7, 5 and 9 clips on two ranks, in the order that seed and epoch give them::

    |------ s1 ------|--- s0 ---|-------- s2 --------|
    |-------- rank 0: 11 -------|------ rank 1: 10 ------|   + 1 of s1 again with even="pad"
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

Even = Literal["pad", "drop", "none"]
"""What happens where the clips cannot be divided evenly among the ranks."""

EVEN: tuple[str, ...] = get_args(Even)


@dataclass(frozen=True, slots=True)
class StreamReader:
    """One of those that share a split.

    Attributes:
        rank: 0..world_size - 1.
        world_size: processes that share the clips.
        worker: 0..workers - 1.
        workers: of the DataLoader of each process, at least 1.
    """

    rank: int = 0
    world_size: int = 1
    worker: int = 0
    workers: int = 1

    @property
    def number(self) -> int:
        """0..readers - 1."""
        return self.rank * self.workers + self.worker

    @property
    def readers(self) -> int:
        """Of all ranks."""
        return self.world_size * self.workers


@dataclass(frozen=True, slots=True)
class Take:
    """Clips of one shard that a reader yields.

    Attributes:
        shard: its index among those given.
        ordinals: of the clips in the shard, ascending.
        padding: whether another reader yields the same clips, or this one has before.
    """

    shard: int
    ordinals: Sequence[int]
    padding: bool = False


def whole_shards(counts: Sequence[int], order: Sequence[int], reader: StreamReader) -> list[Take]:
    """Divide shards among the workers of one rank, or single clips where there are fewer shards.

    Args:
        counts: clips of each shard.
        order: indices of the shards, in the order in which they are read.
        reader: who asks.
    """
    number, readers = reader.number, reader.readers
    if len(order) >= readers:
        return [Take(shard, range(counts[shard])) for shard in order[number::readers]]
    takes, before = [], 0
    for shard in order:
        takes.append(Take(shard, range((number - before) % readers, counts[shard], readers)))
        before += counts[shard]
    return takes


def even_parts(
    chosen: Sequence[Sequence[int]], order: Sequence[int], reader: StreamReader, even: Even, turn: int = 0
) -> list[Take]:
    """Divide the chosen clips among all readers: each has a run of the clips in the order of the shards.

    The workers with the same number have equally many on every rank, so that the ranks' DataLoaders give
    equally many batches.

    Args:
        chosen: for each shard the ordinals of its chosen clips, ascending.
        order: indices of the shards, in the order in which they are read.
        reader: who asks.
        even: "pad" lets every rank yield as many as the fullest, by beginning again from the first clip;
            "drop" leaves the last clips out; with "none" the ranks differ by at most one clip.
        turn: the clip of that order with which the first reader begins.
    """
    total = sum(len(ordinals) for ordinals in chosen)
    if not total:
        return []
    ranks, rank = reader.world_size, reader.rank
    if even == "none":
        first, end = rank * total // ranks, (rank + 1) * total // ranks
    else:
        each = -(-total // ranks) if even == "pad" else total // ranks
        first, end = rank * each, (rank + 1) * each
    start, stop = (first + _part(end - first, reader.workers, reader.worker + more) for more in (0, 1))
    takes = []
    for low, high, padding in ((start, min(stop, total), False), (max(start, total), stop, True)):
        takes += _runs(chosen, order, low + turn, high + turn, total, padding)
    return takes


def _part(count: int, parts: int, index: int) -> int:
    """Where a part of a count begins; the first parts are the longer ones."""
    return index * (count // parts) + min(index, count % parts)


def _runs(
    chosen: Sequence[Sequence[int]], order: Sequence[int], low: int, high: int, total: int, padding: bool
) -> list[Take]:
    """The clips from `low` to `high` of a sequence that begins again when it is at its end."""
    takes: list[Take] = []
    while low < high:
        before = low - low % total
        for shard in order:
            held = len(chosen[shard])
            first, end = max(low - before, 0), min(high - before, held)
            if first < end:
                takes.append(Take(shard, chosen[shard][first:end], padding))
            before += held
        low = before
    return takes
