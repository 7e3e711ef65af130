"""The command `emovid build`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from emovid_dataset.cli.counts import print_counts
from emovid_dataset.cli.sizes import parse_byte_size


def register(app: typer.Typer) -> None:
    """Add the command.

    Args:
        app: gets ``build``.
    """
    app.command("build", epilog="Example: emovid build clips/ --labels labels.csv --out emovid/ --workers 8")(
        build
    )


def build(
    raw: Annotated[Path, typer.Argument(help="Folder of mp4, mkv, mov, avi, webm, gif, webp, apng files.")],
    labels: Annotated[Path, typer.Option(help="CSV, JSON Lines or Parquet with at least path and emotion.")],
    out: Annotated[Path, typer.Option(help="Folder to write.")],
    workers: Annotated[int | None, typer.Option(help="Processes; by default one per core.")] = None,
    shard_size: Annotated[str, typer.Option(help="Bytes aimed at for a shard.")] = "256MB",
    split: Annotated[str, typer.Option(help="Shares of train, validation and test.")] = "80/10/10",
    seed: Annotated[int, typer.Option(help="Seed of splits and order.")] = 0,
    frames: Annotated[int, typer.Option(help="Frames a clip for the visual attributes.")] = 16,
    overwrite: Annotated[
        bool, typer.Option("--overwrite/--resume", help="Start anew, or go on where a run was interrupted.")
    ] = False,
    allow_rejected: Annotated[bool, typer.Option(help="Exit 0 although files were refused.")] = False,
    note: Annotated[
        list[Path] | None, typer.Option(help="Text file, one sentence a line, for the card.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Build a verified, sharded dataset from a folder of clips and a label sheet."""
    from emovid_dataset.builder.build import build as build_dataset
    from emovid_dataset.builder.splits import parse_ratios

    notes = [line.strip() for path in note or [] for line in path.read_text(encoding="utf-8").splitlines()]
    try:
        report = build_dataset(
            raw,
            labels,
            out,
            workers=workers,
            shard_size=parse_byte_size(shard_size),
            ratios=parse_ratios(split),
            seed=seed,
            frames=frames,
            overwrite=overwrite,
            notes=[line for line in notes if line],
            progress=not as_json,
        )
    except KeyboardInterrupt:
        typer.echo("emovid: interrupted; run the same command again to go on", err=True)
        raise typer.Exit(130) from None
    totals = {
        "clips": sum(shard.samples for shard in report.manifest.shards),
        "shards": len(report.manifest.shards),
        "bytes": sum(shard.size for shard in report.manifest.shards),
    }
    if as_json:
        rows = [
            {"content_type": content_type, "emotion": emotion, "split": part, "clips": count}
            for (content_type, emotion, part), count in sorted(report.counts.items())
        ]
        refused = [
            {"row": rejection.row, "path": rejection.path, "reason": rejection.reason}
            for rejection in report.rejections
        ]
        body = {
            "out": str(out),
            **totals,
            "counts": rows,
            "rejected": refused,
            "unlabelled": list(report.unlabelled),
            "reused": report.reused,
            "seconds": round(report.seconds, 3),
        }
        typer.echo(json.dumps(body, ensure_ascii=False))
    else:
        print_counts(report.counts)
        for rejection in report.rejections:
            typer.echo(f"refused: row {rejection.row}: {rejection.path}: {rejection.reason}")
        if report.unlabelled:
            more = f" and {len(report.unlabelled) - 3} more" if len(report.unlabelled) > 3 else ""
            typer.echo(f"no label for: {', '.join(report.unlabelled[:3])}{more}")
        done = "was built already" if report.reused else f"built in {report.seconds:.1f} s"
        typer.echo(
            f"{out}: {totals['clips']} clips, {totals['shards']} shards, {totals['bytes'] / 1e6:.1f} MB, "
            f"{len(report.rejections)} refused; {done}"
        )
    if report.rejections and not allow_rejected:
        raise typer.Exit(1)
