"""The dataset's commands of the program `emovid`: build, verify, stats."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from emovid_dataset.schema.clip import CONTENT_TYPES, SPLITS
from emovid_dataset.schema.emotions import EMOTIONS
from emovid_dataset.terminal import print_table

app = typer.Typer(
    name="emovid",
    help="EmoVid: build, verify, annotate, train, generate and judge emotion-labelled video.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}


def parse_size(text: str) -> int:
    """Read a number of bytes with an optional unit.

    Raises:
        ValueError: it is no positive size.

    >>> parse_size("256MB"), parse_size("1.5 GiB"), parse_size("4096")
    (256000000, 1610612736, 4096)
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-zA-Z]*)\s*", text)
    size = int(float(match[1]) * _UNITS.get(match[2].upper(), 0)) if match else 0
    if size < 1:
        raise ValueError(f"size {text!r} must be a number with B, KB, MB, GB, KiB, MiB or GiB, such as 256MB")
    return size


@app.command(epilog="Example: emovid build clips/ --labels labels.csv --out emovid/ --workers 8")
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
            shard_size=parse_size(shard_size),
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
        _print_counts(report.counts)
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


def _print_counts(counts: Counter[tuple[str, str, str]]) -> None:
    held = [name for name in CONTENT_TYPES if any(key[0] == name for key in counts)]
    rows: list[list[object]] = []
    for content_type in held:
        for emotion in EMOTIONS:
            cells = [counts[content_type, emotion, split] for split in SPLITS]
            if any(cells):
                rows.append([content_type, emotion, *cells, sum(cells)])
    sums = [sum(count for key, count in counts.items() if key[2] == split) for split in SPLITS]
    rows.append(["all", "all", *sums, sum(sums)])
    print_table("Clips", ["content type", "emotion", *SPLITS, "all"], rows)


@app.command(epilog="Example: emovid verify emovid/ --decode")
def verify(
    folder: Annotated[Path, typer.Argument(help="Folder of a build.")],
    decode: Annotated[bool, typer.Option(help="Decode every clip too.")] = False,
    workers: Annotated[int | None, typer.Option(help="Processes; by default one per core.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Check hashes, members, types, offsets, counts, splits and card; one line a violation, then exit 1."""
    from emovid_dataset.check import verify as verify_dataset
    from emovid_dataset.schema.manifest import Manifest

    found = verify_dataset(folder, decode=decode, workers=workers, progress=not as_json)
    if as_json:
        typer.echo(json.dumps({"folder": str(folder), "decoded": decode, "violations": found}))
    else:
        for line in found:
            typer.echo(line)
        if not found:
            manifest = Manifest.read(folder)
            clips = sum(shard.samples for shard in manifest.shards)
            how = "every clip decoded" if decode else "not decoded"
            typer.echo(f"{folder}: {clips} clips in {len(manifest.shards)} shards are sound, {how}")
    if found:
        raise typer.Exit(1)


@app.command(epilog="Example: emovid stats emovid/ --html report.html")
def stats(
    source: Annotated[
        str, typer.Argument(metavar="DIR", help="A build: its folder, a Hub repo, or an http(s) address.")
    ],
    html: Annotated[Path | None, typer.Option(help="Page to write, with plots and pictures.")] = None,
    seed: Annotated[int, typer.Option(help="Draws the clips of the contact sheets.")] = 0,
    clips: Annotated[int, typer.Option(help="Clips an emotion on the contact sheets.")] = 8,
    frames: Annotated[int, typer.Option(help="Frames a clip on the contact sheets.")] = 4,
    as_json: Annotated[bool, typer.Option("--json", help="Print the statistics as JSON.")] = False,
) -> None:
    """Count and measure the clips of a build, and show them on one self-contained HTML page."""
    from emovid_dataset.report.page import write_report
    from emovid_dataset.report.stats import measure, table_rows

    report = None
    if html is not None:
        report = write_report(source, html, seed=seed, clips=clips, frames=frames, progress=not as_json)
    statistics = measure(source) if report is None else report.statistics
    unshown = () if report is None else report.unshown
    if as_json:
        page = None if report is None else {"path": str(report.path), "bytes": report.size}
        problems = [{"id": key, "reason": reason} for key, reason in unshown]
        body = {"source": source, **statistics.to_json(), "html": page, "unshown": problems}
        typer.echo(json.dumps(body, ensure_ascii=False))
    else:
        _print_counts(statistics.counts)
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
        for refusal in statistics.refusals:
            typer.echo(f"refused: row {refusal.row}: {refusal.path}: {refusal.reason}")
        for key, reason in unshown:
            typer.echo(f"cannot be shown: {key}: {reason}")
        if report is not None:
            typer.echo(f"{report.path}: {report.size / 1e6:.1f} MB, {statistics.total.clips} clips")
    if unshown:
        raise typer.Exit(1)
