"""The command `emovid repair`."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from emovid_dataset.builder.sheet.options import (
    SheetOptions,
    parse_column,
    parse_content_type,
    parse_word,
)
from emovid_dataset.cli.arguments import (
    Engine,
    RayAddress,
    chosen_executor,
    existing_file,
    existing_folder,
    new_folder,
    parsed_by,
    whole,
)
from emovid_dataset.cli.errors import FOUND_WRONG
from emovid_dataset.schema.label_set import MIKELS_LABELS, read_label_set
from emovid_dataset.terminal import print_table


def register(app: typer.Typer) -> None:
    """Add the command.

    Args:
        app: gets ``repair``.
    """
    app.command("repair", epilog="Example: emovid repair emovid/ --from clips/ --labels labels.csv")(repair)


def repair(
    folder: Annotated[str, typer.Argument(help="A build: its folder or URL.", callback=new_folder)],
    raw: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="RAW",
            help="Folder or URL of the source files, for videos that are damaged themselves.",
            callback=existing_folder,
        ),
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option(
            help="The label sheet, if it gave clips a source of its own; else their source is the path.",
            callback=existing_file,
        ),
    ] = None,
    column: Annotated[
        list[str] | None,
        typer.Option(
            metavar="MEANING=HEADER",
            help="Which column has a meaning, as for emovid build.",
            callback=parsed_by(parse_column),
        ),
    ] = None,
    allow_root: Annotated[
        list[Path] | None,
        typer.Option(metavar="DIR", help="As for emovid build.", callback=existing_folder),
    ] = None,
    content_type: Annotated[
        str | None,
        typer.Option(metavar="TYPE", help="As for emovid build.", callback=parsed_by(parse_content_type)),
    ] = None,
    word: Annotated[
        list[str] | None,
        typer.Option(
            "--map", metavar="WORD=EMOTION", help="As for emovid build.", callback=parsed_by(parse_word)
        ),
    ] = None,
    taxonomy: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="As for emovid build.", callback=existing_file),
    ] = None,
    repo: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Fetch what is damaged from this Hub repo, folder or URL of the same build."
        ),
    ] = None,
    revision: Annotated[str | None, typer.Option(help="Branch, tag or commit of the Hub repo.")] = None,
    workers: Annotated[
        int | None, typer.Option(help="Processes; by default one per core.", callback=whole(1))
    ] = None,
    engine: Engine = None,
    ray_address: RayAddress = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Mend damaged and missing shards; what is put in their place has the sha256 of the manifest."""
    if raw is not None and repo is not None:
        raise ValueError(f"--from {raw} and --repo {repo} exclude each other")
    if revision is not None and repo is None:
        raise ValueError(f"--revision {revision} needs --repo")
    sheet_options: dict[str, object] = {
        "--labels": labels,
        "--column": column,
        "--allow-root": allow_root,
        "--content-type": content_type,
        "--map": word,
        "--taxonomy": taxonomy,
    }
    for name, given in sheet_options.items():
        if given and raw is None:
            raise ValueError(f"{name} needs --from RAW")
        if given and labels is None and name != "--allow-root":
            raise ValueError(f"{name} needs --labels")
    sheet = SheetOptions(
        columns=dict(parse_column(text) for text in column or []),
        allow_roots=tuple(allow_root or ()),
        labels=MIKELS_LABELS if taxonomy is None else read_label_set(taxonomy),
        content_type=content_type,
        words=dict(parse_word(text) for text in word or []),
    )
    runner = chosen_executor(engine, workers, ray_address, default="processes")
    from emovid_dataset.builder.repair import repair as repair_build

    report = repair_build(
        folder,
        raw=raw,
        labels=labels,
        sheet=sheet,
        repo=repo,
        revision=revision,
        engine=runner,
        progress=not as_json,
    )
    if as_json:
        body = {
            "folder": folder,
            "shards": report.shards,
            "files": [asdict(file) for file in report.files],
            "seconds": round(report.seconds, 3),
        }
        typer.echo(json.dumps(body, allow_nan=False))
    else:
        for file in report.files:
            typer.echo(f"{file.path}: {file.wrong}; {file.reason or 'mended'}")
        mended = len(report.files) - len(report.left)
        rows = [("shards", report.shards), ("mended", mended), ("still damaged", len(report.left))]
        print_table("Repair", ("", "files"), rows)
    if report.left:
        raise typer.Exit(FOUND_WRONG)
