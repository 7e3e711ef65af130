"""Set the benchmark aside in a plan, before what is left is split."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from emovid_dataset.builder.benchmark import Cell, choose, groups_of, rank
from emovid_dataset.schema.benchmark import BENCHMARK, LEAST_RATERS, Benchmark, BenchmarkCell
from emovid_dataset.schema.emotions import MIKELS
from emovid_dataset.schema.taxonomy import Taxonomy

LEFT_OUT = "left out"
"""In the place of the split of a clip that is in none; no split can be called so."""

_NAMED = 3
"""Unknown ids that a message names."""


def set_aside(
    base: sqlite3.Connection,
    per_cell: int | None,
    listed: Sequence[str],
    seed: int,
    taxonomy: Taxonomy = MIKELS,
) -> Benchmark:
    """Put clips into the benchmark, and leave the other clips of their groups out of every split.

    Args:
        base: a plan's, in a transaction; its clips have no split yet.
        per_cell: clips per emotion and content type; None takes those that are listed.
        listed: ids.
        seed: draws between equal groups and clips.
        taxonomy: of the build.

    Returns:
        What was asked for and what was found.

    Raises:
        ValueError: a listed id is not that of a clip that shows an emotion.
    """
    base.execute("CREATE TABLE aside (family TEXT PRIMARY KEY)")
    base.execute("CREATE TABLE chosen (number INTEGER PRIMARY KEY)")
    cells = (
        _drawn(base, per_cell, seed, taxonomy) if per_cell is not None else _listed(base, listed, taxonomy)
    )
    base.execute(
        "UPDATE clips SET split = CASE WHEN number IN (SELECT number FROM chosen) THEN ? ELSE ? END "
        "WHERE emotion IS NOT NULL AND family IN (SELECT family FROM aside)",
        (BENCHMARK, LEFT_OUT),
    )
    left_out = base.execute("SELECT count(*) FROM clips WHERE split = ?", (LEFT_OUT,)).fetchone()[0]
    return Benchmark(per_cell, int(left_out), tuple(cells))


def _drawn(base: sqlite3.Connection, per_cell: int, seed: int, taxonomy: Taxonomy) -> list[BenchmarkCell]:
    found = base.execute("SELECT content_type, emotion, count(*), sum(qualifies) FROM unplaced GROUP BY 1, 2")
    counts = {(kind, emotion): (count, fit) for kind, emotion, count, fit in found}
    wanted = {cell: min(per_cell, fit) for cell, (_, fit) in counts.items()}
    for group, numbers in choose(groups_of(_candidates(base, wanted, seed)), wanted, seed):
        _take(base, group.name, numbers)
    held = sorted({kind for kind, _ in counts})
    return [
        BenchmarkCell(kind, emotion, per_cell, wanted.get((kind, emotion), 0), reason)
        for kind in held
        for emotion in taxonomy.names
        for reason in [_shortage(per_cell, *counts.get((kind, emotion), (0, 0)))]
    ]


def _shortage(asked: int, clips: int, fit: int) -> str | None:
    """Why a cell holds fewer clips than were asked for, if it does."""
    if fit >= asked:
        return None
    if not clips:
        return "it has no clips"
    return f"{fit} of its {clips} clips were labelled by at least {LEAST_RATERS} people who all agreed"


def _candidates(
    base: sqlite3.Connection, wanted: dict[Cell, int], seed: int
) -> Iterator[tuple[str, int, str, str, int, str]]:
    """Clips that qualify, a group's together, groups in the order of `benchmark.price`."""
    base.create_function(
        "wanted", 2, lambda content_type, emotion: wanted[content_type, emotion], deterministic=True
    )
    base.create_function("drawn", 1, lambda name: rank(name, seed), deterministic=True)
    yield from base.execute(
        "WITH cells AS (SELECT family, min(count(*), wanted(content_type, emotion)) AS gives "
        "FROM unplaced WHERE qualifies GROUP BY family, content_type, emotion), "
        "offers AS (SELECT family, sum(gives) AS gives FROM cells GROUP BY family), "
        "sizes AS (SELECT family, count(*) AS clips FROM unplaced GROUP BY family) "
        "SELECT family, sizes.clips, content_type, emotion, number, id "
        "FROM offers JOIN sizes USING (family) JOIN unplaced USING (family) WHERE qualifies "
        "ORDER BY (sizes.clips - gives) * 1.0 / gives, drawn(family), family, number"
    )


def _listed(base: sqlite3.Connection, ids: Sequence[str], taxonomy: Taxonomy) -> list[BenchmarkCell]:
    members: dict[str, list[int]] = defaultdict(list)
    cells: dict[Cell, int] = defaultdict(int)
    unknown = []
    for key in ids:
        row = base.execute(
            "SELECT family, number, content_type, emotion FROM unplaced WHERE id = ?", (key,)
        ).fetchone()
        if row is None:
            unknown.append(key)
            continue
        family, number, content_type, emotion = row
        members[family].append(number)
        cells[content_type, emotion] += 1
    if unknown:
        more = f" and {len(unknown) - _NAMED} more" if len(unknown) > _NAMED else ""
        raise ValueError(
            f"benchmark_ids: no clip with an emotion is called {', '.join(unknown[:_NAMED])}{more}"
        )
    for family, numbers in members.items():
        _take(base, family, numbers)
    held = sorted(cells, key=lambda cell: (cell[0], taxonomy.names.index(cell[1])))
    return [BenchmarkCell(*cell, cells[cell], cells[cell], None) for cell in held]


def _take(base: sqlite3.Connection, family: str, numbers: Iterable[int]) -> None:
    base.execute("INSERT INTO aside VALUES (?)", (family,))
    base.executemany("INSERT INTO chosen VALUES (?)", ((number,) for number in numbers))
