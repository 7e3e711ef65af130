"""What `emovid build --append` does and says."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import typer

from emovid_dataset.builder.sheet.options import SheetOptions
from emovid_dataset.cli.counts import print_counts, print_problems, print_row_findings, print_unlabelled
from emovid_dataset.cli.errors import FOUND_WRONG
from emovid_dataset.engine import Executor


def append_rows(
    raw: str,
    labels: str | None,
    out: str,
    *,
    sheet: SheetOptions,
    settings: Mapping[str, Any],
    update: bool,
    restore: bool,
    runner: Executor,
    allow_rejected: bool,
    as_json: bool,
) -> None:
    """Append, and print what was done.

    Args:
        raw, labels, out, sheet, update, restore: as in `builder.append.append`.
        settings: fields of `builder.append_settings.AppendSettings`.
        runner: who does the work.
        allow_rejected: exit 0 although rows were refused.
        as_json: print the report as JSON.
    """
    from emovid_dataset.builder.append import append
    from emovid_dataset.builder.append_settings import AppendSettings
    from emovid_dataset.report.problems import to_json

    report = append(
        raw,
        labels,
        out,
        sheet=sheet,
        settings=AppendSettings(**settings),
        update=update,
        restore=restore,
        engine=runner,
        progress=not as_json,
    )
    manifest = report.manifest
    clips = sum(shard.samples for shard in manifest.shards)
    if as_json:
        rows = [
            {"content_type": content_type, "emotion": emotion, "split": split, "clips": count}
            for (content_type, emotion, split), count in sorted(report.added.items())
        ]
        body = {
            "out": out,
            "clips": clips,
            "added": rows,
            "updated": list(report.updated),
            "held": report.held,
            "removed_before": list(report.removed_before),
            "rejected": [asdict(rejection) for rejection in report.rejections],
            "damaged": [asdict(clip) for clip in report.damaged],
            "problems": to_json(report.problems),
            "unlabelled": list(report.unlabelled),
            "remarks": list(report.remarks),
            "shards": list(report.shards),
            "rewritten": list(report.rewritten),
            "seconds": round(report.seconds, 3),
        }
        typer.echo(json.dumps(body, ensure_ascii=False, allow_nan=False))
    else:
        print_counts(report.added, manifest)
        print_problems(report.problems)
        print_row_findings(report.remarks, report.rejections, report.damaged)
        for key in report.removed_before:
            typer.echo(f"left out: {key} was removed earlier; --restore takes it in again")
        for key in report.updated:
            typer.echo(f"updated: {key}")
        print_unlabelled(report.unlabelled)
        typer.echo(
            f"{out}: {report.added.total()} clips added, {len(report.updated)} updated, {report.held} there "
            f"already, {len(report.rejections)} refused; {len(report.shards)} new shards, "
            f"{len(report.rewritten)} written again; {clips} clips in all; {report.seconds:.1f} s"
        )
    if report.rejections and not allow_rejected:
        raise typer.Exit(FOUND_WRONG)
