"""The tables of clips that `emovid build` and `emovid stats` close with, and lines about a sheet's rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer

from emovid_dataset.schema.benchmark import Benchmark
from emovid_dataset.schema.manifest import LEFT_OUT_NAME, Manifest
from emovid_dataset.terminal import print_table

if TYPE_CHECKING:
    from emovid_dataset.builder.sheet import Rejection
    from emovid_dataset.report.problems import Problem
    from emovid_dataset.schema.damage import Damaged


def print_counts(counts: Counter[tuple[str, str, str]], manifest: Manifest) -> None:
    splits = manifest.split_names
    held = [name for name in manifest.content_types if any(key[0] == name for key in counts)]
    rows: list[list[object]] = []
    for content_type in held:
        for emotion in manifest.taxonomy.names:
            cells = [counts[content_type, emotion, split] for split in splits]
            if any(cells):
                rows.append([content_type, emotion, *cells, sum(cells)])
    sums = [sum(count for key, count in counts.items() if key[2] == split) for split in splits]
    rows.append(["all", "all", *sums, sum(sums)])
    print_table("Clips", ["content type", "emotion", *splits, "all"], rows)


def print_problems(problems: Sequence[Problem]) -> None:
    """The table "Problems": each kind that there is, how many, and the first few by name.

    Args:
        problems: of the build.
    """
    from emovid_dataset.report.problems import PROBLEMS_NAME, table_of

    if problems:
        print_table("Problems", ["problem", "how many", "which"], table_of(problems))
        print(f"problems are not refusals; all of them are listed in {PROBLEMS_NAME}")
    else:
        print("Problems: none")


def print_benchmark(benchmark: Benchmark) -> None:
    """Say what is in the benchmark, and cell by cell what could not be filled.

    Args:
        benchmark: of the build.
    """
    if benchmark.short:
        columns = ["content type", "emotion", "asked", "filled", "why"]
        rows = [
            (cell.content_type, cell.emotion, cell.asked, cell.filled, cell.reason)
            for cell in benchmark.short
        ]
        print_table("What the benchmark lacks", columns, rows)
    print(f"benchmark: {benchmark.filled} of {benchmark.asked} clips")
    if benchmark.left_out:
        print(f"in no split: {benchmark.left_out} other clips of their groups, listed in {LEFT_OUT_NAME}")


def print_row_findings(
    remarks: Sequence[str], rejections: Sequence[Rejection], damaged: Sequence[Damaged]
) -> None:
    """A line for each remark on a label sheet, each row that was refused and each clip with damage."""
    for remark in remarks:
        typer.echo(f"note: {remark}")
    for rejection in rejections:
        typer.echo(f"refused: row {rejection.row}: {rejection.path}: {rejection.reason}")
    for clip in damaged:
        typer.echo(f"damaged: row {clip.row}: {clip.path}: {clip.reason}")


def print_unlabelled(paths: Sequence[str]) -> None:
    """The first few videos of the raw folder that no row names, if there are any."""
    if paths:
        more = f" and {len(paths) - 3} more" if len(paths) > 3 else ""
        typer.echo(f"no label for: {', '.join(paths[:3])}{more}")
