"""The command `emovid stats`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from emovid_dataset.cli.arguments import Engine, RayAddress, chosen_executor, new_file, whole
from emovid_dataset.cli.counts import print_benchmark, print_counts, print_problems
from emovid_dataset.cli.errors import FOUND_WRONG
from emovid_dataset.store import without_credentials
from emovid_dataset.terminal import print_table


def register(app: typer.Typer) -> None:
    """Add the command.

    Args:
        app: gets ``stats``.
    """
    app.command("stats", epilog="Example: emovid stats emovid/ --html report.html")(stats)


def stats(
    source: Annotated[
        str, typer.Argument(metavar="DIR", help="A build: its folder, a Hub repo, or an http(s) address.")
    ],
    html: Annotated[
        Path | None, typer.Option(help="Page to write, with plots and pictures.", callback=new_file)
    ] = None,
    seed: Annotated[int, typer.Option(help="Draws the clips of the contact sheets.")] = 0,
    clips: Annotated[
        int, typer.Option(help="Clips per emotion on the contact sheets.", callback=whole(0, 100))
    ] = 8,
    frames: Annotated[
        int, typer.Option(help="Frames per clip on the contact sheets.", callback=whole(1, 16))
    ] = 4,
    workers: Annotated[
        int | None,
        typer.Option(help="Processes that read the metadata; by default this one.", callback=whole(1)),
    ] = None,
    engine: Engine = None,
    ray_address: RayAddress = None,
    paper: Annotated[
        bool | None,
        typer.Option(
            "--paper/--no-paper",
            help="Put the paper's figures beside; by default if the build is the paper's corpus.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the statistics as JSON.")] = False,
) -> None:
    """Count and measure the clips of a build, and show them on one self-contained HTML page."""
    runner = chosen_executor(engine, workers, ray_address)
    from emovid_dataset.report.ambiguity import ambiguity_table
    from emovid_dataset.report.corpus_table import corpus_rows, label_columns, length_columns, paper_notes
    from emovid_dataset.report.page import write_report
    from emovid_dataset.report.stats import measure, table_rows

    report = None
    if html is not None:
        report = write_report(
            source,
            html,
            seed=seed,
            clips=clips,
            frames=frames,
            engine=runner,
            progress=not as_json,
            paper=paper,
        )
        statistics = report.statistics
    else:
        statistics = measure(source, engine=runner, progress=not as_json)
    rows = corpus_rows(statistics, paper=paper)
    unshown = () if report is None else report.unshown
    if as_json:
        page = None if report is None else {"path": str(report.path), "bytes": report.size}
        problems = [{"id": key, "reason": reason} for key, reason in unshown]
        tables = {"corpus": statistics.manifest.corpus, "table_2": [row.to_json() for row in rows]}
        body = {
            "source": without_credentials(source),
            **statistics.to_json(),
            **tables,
            "html": page,
            "unshown": problems,
        }
        typer.echo(json.dumps(body, ensure_ascii=False, allow_nan=False))
    else:
        print_counts(statistics.counts, statistics.manifest)
        columns = [
            "content type",
            "emotion",
            "clips",
            "brightness",
            "colorfulness",
            "seconds",
            "hue",
            "audible",
        ]
        print_table("Medians, mean hue, clips with sound", columns, list(table_rows(statistics)))
        title = "Lengths and sound"
        print_table(
            f"{title}, as the paper's Table 2" if any(row.paper for row in rows) else title,
            *length_columns(rows),
        )
        print_table("Who labelled the clips, and how many of them agreed", *label_columns(rows))
        if statistics.ambiguity:
            print_table("How divided raters were", *ambiguity_table(statistics.ambiguity))
        for note in paper_notes(rows):
            typer.echo(note)
        if statistics.manifest.benchmark is not None:
            print_benchmark(statistics.manifest.benchmark)
        if statistics.manifest.none_clips:
            typer.echo(f"no specific emotion: {statistics.manifest.none_clips} more rows")
        if statistics.problems:
            print_problems(statistics.problems)
        for refusal in statistics.refusals:
            typer.echo(f"refused: row {refusal.row}: {refusal.path}: {refusal.reason}")
        if unlisted := statistics.manifest.rejected - len(statistics.refusals):
            typer.echo(f"refused: {unlisted} rows, which this build does not list")
        for key, reason in unshown:
            typer.echo(f"cannot be shown: {key}: {reason}")
        if report is not None:
            typer.echo(f"{report.path}: {report.size / 1e6:.1f} MB, {statistics.total.clips} clips")
    if unshown:
        raise typer.Exit(FOUND_WRONG)
