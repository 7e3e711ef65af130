"""The command `emovid remove`."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from emovid_dataset.builder.conditions import parse_condition
from emovid_dataset.cli.arguments import (
    Engine,
    RayAddress,
    check_by,
    chosen_executor,
    new_folder,
    parsed_by,
    whole,
)
from emovid_dataset.schema.clip import is_clip_id
from emovid_dataset.terminal import print_table


def register(app: typer.Typer) -> None:
    """Add the command.

    Args:
        app: gets ``remove``.
    """
    app.command("remove", epilog="Example: emovid remove emovid/ --ids sticker-0123456789abcdef")(remove)


def _no_ids(value: str) -> str | None:
    for key in _split(value):
        if not is_clip_id(key):
            return f": id {key!r} is not of the form sticker-0123456789abcdef"
    return None if _split(value) else " names no clip"


def _split(value: str) -> list[str]:
    return [key.strip() for key in value.split(",") if key.strip()]


def remove(
    folder: Annotated[str, typer.Argument(help="A build: its folder or URL.", callback=new_folder)],
    ids: Annotated[
        list[str] | None,
        typer.Option(
            metavar="A,B", help="Ids of clips to remove; may be repeated.", callback=check_by(_no_ids)
        ),
    ] = None,
    where: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CONDITION",
            help="Remove clips that meet this, such as license=CC-BY-4.0 or duration>30; repeated, all of "
            "them must be met.",
            callback=parsed_by(parse_condition),
        ),
    ] = None,
    source: Annotated[
        list[str] | None,
        typer.Option(help="Remove clips whose field source is this text; may be repeated."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Name the clips, and change nothing.")] = False,
    workers: Annotated[
        int | None, typer.Option(help="Processes; by default one per core.", callback=whole(1))
    ] = None,
    engine: Engine = None,
    ray_address: RayAddress = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Remove clips for good; only the shards that hold them are written again."""
    keys = [key for text in ids or [] for key in _split(text)]
    if not keys and not where and not source:
        raise ValueError("nothing is to be removed; give --ids, --where or --source")
    runner = chosen_executor(engine, workers, ray_address, default="processes")
    from emovid_dataset.builder.remove import remove as remove_clips

    report = remove_clips(
        folder,
        ids=keys,
        where=where or [],
        source=source or [],
        dry_run=dry_run,
        engine=runner,
        progress=not as_json,
    )
    clips = sum(shard.samples for shard in report.manifest.all_shards)
    if as_json:
        body = {
            "folder": folder,
            "removed": list(report.removed),
            "removed_before": list(report.before),
            "rewritten": list(report.rewritten),
            "deleted": list(report.deleted),
            "bytes": report.size,
            "clips": clips,
            "dry_run": dry_run,
            "seconds": round(report.seconds, 3),
        }
        typer.echo(json.dumps(body, allow_nan=False))
        return
    for key in report.removed:
        typer.echo(f"{'would be removed' if dry_run else 'removed'}: {key}")
    for key in report.before:
        typer.echo(f"was removed already: {key}")
    rows = [
        ("clips removed", len(report.removed)),
        ("shards written again", len(report.rewritten)),
        ("shards deleted", len(report.deleted)),
        ("clips in all", clips),
    ]
    print_table("Nothing was changed" if dry_run else "Removed", ("", "number"), rows)
    if report.removed and not dry_run:
        typer.echo(
            f"{folder}: push it, so that the Hub's main revision no longer holds them; push --purge also "
            "deletes them from its earlier revisions"
        )
