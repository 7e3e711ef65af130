"""Choose the miniature's benchmark: `emovid_dataset/mini/benchmark.txt`, the ids for `--benchmark-ids`.

The rule: at most two clips per emotion and content type, and never more than half of a cell. The groups are
taken as `emovid build --benchmark` takes them, those first that lose the fewest other clips, and seed 0 draws
between equal ones. No model and no result has a part in it. Every clip qualifies, since one person labelled
them all: the rule of three raters in full agreement is for corpora that have them.
"""

from __future__ import annotations

import csv
import hashlib
from collections import Counter
from pathlib import Path

from emovid_dataset.builder.benchmark import choose, groups_of, price
from emovid_dataset.schema.clip import clip_id

NAME = "benchmark.txt"
PER_CELL = 2
SEED = 0


def benchmark_ids(folder: Path) -> list[str]:
    """The ids of the miniature's benchmark, sorted.

    Args:
        folder: a corpus with its clips and `labels.csv`.
    """
    with (folder / "labels.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    sizes = Counter(row["group"] for row in rows)
    cells = Counter((row["content_type"], row["emotion"]) for row in rows)
    wanted = {cell: min(PER_CELL, count // 2) for cell, count in cells.items()}
    keys = [clip_id(row["content_type"], hashlib.sha256((folder / row["path"]).read_bytes())) for row in rows]
    clips = [
        (row["group"], sizes[row["group"]], row["content_type"], row["emotion"], number, key)
        for number, (row, key) in enumerate(zip(rows, keys, strict=True))
    ]
    giving = (group for group in groups_of(sorted(clips)) if group.gives(wanted))
    ordered = sorted(giving, key=lambda group: price(group, wanted, SEED))
    return sorted(keys[number] for _, numbers in choose(ordered, wanted, SEED) for number in numbers)


def write_benchmark(folder: Path) -> None:
    """Write the list beside the corpus's label sheet."""
    text = "".join(f"{key}\n" for key in benchmark_ids(folder))
    (folder / NAME).write_text(text, encoding="utf-8")
