"""The command `emovid verify`."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from emovid_dataset.cli.arguments import whole
from emovid_dataset.cli.errors import FOUND_WRONG


def register(app: typer.Typer) -> None:
    """Add the command.

    Args:
        app: gets ``verify``.
    """
    app.command("verify", epilog="Example: emovid verify emovid/ --decode")(verify)


def verify(
    folder: Annotated[str, typer.Argument(help="A build: its folder or URL.")],
    decode: Annotated[bool, typer.Option(help="Decode every clip too.")] = False,
    workers: Annotated[
        int | None, typer.Option(help="Processes; by default one per core.", callback=whole(1))
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Check hashes, members, types, offsets, counts, splits and card; one line per violation, then exit 1."""
    from emovid_dataset.check import verify as verify_dataset
    from emovid_dataset.read.manifest import read_manifest

    found = verify_dataset(folder, decode=decode, workers=workers, progress=not as_json)
    if as_json:
        typer.echo(json.dumps({"folder": folder, "decoded": decode, "violations": found}))
    else:
        for line in found:
            typer.echo(line)
        if not found:
            manifest = read_manifest(folder)
            clips = sum(shard.samples for shard in manifest.shards)
            how = "every clip decoded" if decode else "not decoded"
            typer.echo(f"{folder}: {clips} clips in {len(manifest.shards)} shards are sound, {how}")
    if found:
        raise typer.Exit(FOUND_WRONG)
