"""Give the groups of a plan their sides: which of train, validation and test each is in."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import groupby

from emovid_dataset.builder.splits import Placement
from emovid_dataset.schema.clip import SPLITS


def take_sides(
    base: sqlite3.Connection,
    ratios: tuple[float, float, float],
    seed: int,
    held: Iterable[tuple[tuple[str, str], str, int]] = (),
) -> None:
    """Give every clip that shows an emotion and is not set aside a split, as `splits.split_groups` does.

    Args:
        base: a plan's, in a transaction.
        ratios: shares of train, validation and test.
        seed: draws the order of groups of the same size.
        held: clips that have their places for good: content type and emotion, split, and how many there are.
    """
    base.execute(  # whoever has no split of its own goes with its group
        "UPDATE clips SET split = (SELECT max(mate.split) FROM clips mate "
        "WHERE mate.family = clips.family) "
        "WHERE emotion IS NOT NULL AND split IS NULL"
    )
    strata = base.execute("SELECT content_type, emotion, count(*) FROM unplaced GROUP BY 1, 2")
    wanted = Counter({(kind, emotion): count for kind, emotion, count in strata})
    held = list(held)
    if held:  # clips that came with them into their splits count too
        held += [
            ((kind, emotion), split, count)
            for kind, emotion, split, count in base.execute(
                "SELECT content_type, emotion, split, count(*) FROM placed GROUP BY 1, 2, 3"
            )
            if split in SPLITS
        ]
        for stratum, _, count in held:
            wanted[stratum] += count
    placement = Placement(wanted, ratios)
    for stratum, split, count in held:
        placement.hold(stratum, split, count)
    base.create_function("rank", 1, lambda family: Placement.rank(family, seed), deterministic=True)
    base.execute(
        "INSERT INTO families (family, size, rank, row) "
        "SELECT family, count(*), rank(family), min(row) FROM unplaced GROUP BY family"
    )
    chosen = base.cursor()
    for family, members, _ in _families(base):
        chosen.execute("INSERT INTO sides VALUES (?, ?)", (family, placement.place(members)))
    if placement.settle():
        for family, members, side in _families(base):
            settled = placement.settled(members, side)
            if settled != side:
                chosen.execute("UPDATE sides SET split = ? WHERE family = ?", (settled, family))
    base.execute(
        "UPDATE clips SET split = (SELECT split FROM sides WHERE sides.family = clips.family) "
        "WHERE emotion IS NOT NULL AND split IS NULL"
    )


def _families(base: sqlite3.Connection) -> Iterator[tuple[str, Counter[tuple[str, str]], str]]:
    """Every group, its clips by content type and emotion, and its side so far: the largest first."""
    found = base.execute(
        "SELECT family, content_type, emotion, count(*), sides.split "
        "FROM families JOIN unplaced USING (family) LEFT JOIN sides USING (family) "
        "GROUP BY families.size, families.rank, families.row, family, content_type, emotion "
        "ORDER BY families.size DESC, families.rank, families.row, min(unplaced.row)"
    )
    for family, rows in groupby(found, key=lambda row: row[0]):
        held = list(rows)
        yield family, Counter({(kind, emotion): count for _, kind, emotion, count, _ in held}), held[0][4]
