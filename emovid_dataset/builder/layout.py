"""Lay clips out in shards: everything about a shard is known before a byte of it is written.

Which clips, in which order, in how many shards depends on clip ids, sizes and the seed only. So shards are
written in any order, by any number of workers, and come out byte for byte the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from emovid_dataset.builder.plan import Plan
from emovid_dataset.schema.benchmark import BENCHMARK
from emovid_dataset.schema.clip import CONTENT_TYPES, SPLITS
from emovid_dataset.schema.file_names import shard_path
from emovid_dataset.schema.no_emotion import NONE

MIN_TRAIN_SHARDS = 8
"""A train split has at least so many shards, where it has as many clips: loaders share shards out."""


def lay_out(
    plan: Plan,
    *,
    shard_size: int,
    seed: int,
    content_types: Sequence[str] = CONTENT_TYPES,
    after: Mapping[tuple[str, str], int] | None = None,
) -> int:
    """Give every clip its shard and its place in it.

    Args:
        plan: its clips have their splits; gets the shards, in the order of content types, splits and numbers,
            and after them those of clips that show no specific emotion.
        shard_size: bytes aimed at.
        seed: of the order of the clips.
        content_types: that clips may have, in the order in which they are listed.
        after: by content type and split the number of the first new shard, where a build has shards already.

    Returns:
        Number of shards.
    """
    count = 0
    parts = [(content_type, split) for content_type in content_types for split in (*SPLITS, BENCHMARK)]
    with plan.writing():
        plan.sort_into_parts()
        for content_type, split in (*parts, *((content_type, NONE) for content_type in content_types)):
            numbers, sizes = plan.shuffled(content_type, split, seed)
            if not numbers:
                continue
            begin = (after or {}).get((content_type, split), 0)
            least = MIN_TRAIN_SHARDS if split == "train" and not begin else 1
            for index, (first, last) in enumerate(cut(sizes, shard_size, least), begin):
                path = shard_path(content_type, split, index)
                plan.add_shard(count, path, content_type, split)
                plan.place(count, numbers[first:last])
                count += 1
    return count


def cut(sizes: Sequence[int], shard_size: int, least: int) -> Iterator[tuple[int, int]]:
    """Cut a list into pieces of about the same number of bytes, none empty.

    Args:
        sizes: bytes of each member.
        shard_size: bytes aimed at for a piece.
        least: pieces there must be, if there are as many members.

    Yields:
        First member, and the one after the last.

    >>> list(cut([5, 5, 5, 5, 5], 10, 1))
    [(0, 2), (2, 4), (4, 5)]
    """
    total = sum(sizes)
    count = min(len(sizes), max(least if len(sizes) >= least else 1, -(-total // shard_size)))
    first = before = pieces = 0
    for index, size in enumerate(sizes):
        full = before * count >= total * (pieces + 1)
        short = len(sizes) - index == count - (pieces + 1)
        if index > first and pieces + 1 < count and (full or short):
            yield first, index
            first, pieces = index, pieces + 1
        before += size
    yield first, len(sizes)
