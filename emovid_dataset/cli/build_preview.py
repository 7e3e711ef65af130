"""What `emovid build --check` prints."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from emovid_dataset.builder.sheet import SheetOptions
from emovid_dataset.media.video_settings import AS_IT_IS, COPIED, ENCODED
from emovid_dataset.terminal import print_table

if TYPE_CHECKING:
    from emovid_dataset.builder.preview import Preview
    from emovid_dataset.media.video_settings import VideoSettings


def print_preview(
    raw: str,
    labels: str | None,
    sheet: SheetOptions,
    *,
    keep_none: bool,
    video: VideoSettings,
    split: str,
    as_json: bool,
) -> Preview:
    """Say what a build would do.

    Args:
        raw: as in `builder.preview.preview`, like the next four.
        labels: see there.
        sheet: see there.
        keep_none: see there.
        video: see there.
        split: the shares by which clips are shared out that the sheet gives no split, as text.
        as_json: print JSON.

    Raises:
        ValueError: the sheet has no rows.
    """
    from emovid_dataset.builder.preview import preview

    found = preview(raw, labels, sheet=sheet, keep_none=keep_none, video=video)
    if not (found.counts or found.rejections or found.without_emotion):
        raise ValueError("no clip could be used; the sheet is empty")
    typer.echo(_as_json(found)) if as_json else _print(found, sheet, split)
    return found


def _as_json(found: Preview) -> str:
    counts = [
        {"content_type": content_type, "emotion": emotion, "split": side, "clips": count}
        for (content_type, emotion, side), count in sorted(found.counts.items(), key=str)
    ]
    agreement = found.ratings.agreement
    body = {
        "clips": found.counts.total(),
        "counts": counts,
        "rejected": [asdict(rejection) for rejection in found.rejections],
        "unlabelled": list(found.unlabelled),
        "remarks": list(found.remarks),
        "agreement": None if agreement is None else asdict(agreement),
        "files": dict(found.kinds.most_common()),
        "becomes": [
            {"way": way, "why": why, "clips": count} for (way, why), count in found.ways.most_common()
        ],
        "no_specific_emotion": found.without_emotion,
        "bytes": found.size,
        "output_bytes": found.output,
        "seconds": round(found.seconds, 3),
    }
    return json.dumps(body, ensure_ascii=False, allow_nan=False)


def _print(found: Preview, sheet: SheetOptions, split: str) -> None:
    table: Counter[tuple[str, str]] = Counter()
    sides: Counter[str] = Counter()
    for (content_type, emotion, side), count in found.counts.items():
        table[content_type, emotion] += count
        sides[side or f"shared out {split}"] += count
    types = sorted({content_type for content_type, _ in table})
    held = {emotion for _, emotion in table}
    names = [name for name in sheet.labels.taxonomy.names if name in held]
    names += sorted(held - set(names))
    rows: list[list[object]] = [[name, *(table[kind, name] for kind in types)] for name in names]
    print_table("what would be built", ["emotion", *types], rows)
    if found.counts:
        typer.echo("splits: " + ", ".join(f"{name} {count}" for name, count in sorted(sides.items())))
        kinds = ", ".join(f"{count} {kind}" for kind, count in found.kinds.most_common())
        typer.echo(f"files: {kinds}")
        for line in _ways(found):
            typer.echo(line)
    if found.ratings.agreement is not None:
        typer.echo(found.ratings.agreement.in_words())
    for remark in found.remarks:
        typer.echo(f"note: {remark}")
    if found.without_emotion:
        typer.echo(f"no specific emotion: {_count(found.without_emotion, 'row')}, not among these clips")
    for rejection in found.rejections:
        typer.echo(f"refused: row {rejection.row}: {rejection.path}: {rejection.reason}")
    if found.unlabelled:
        typer.echo(f"no label for {len(found.unlabelled)} files, such as {found.unlabelled[0]}")
    about = "about " if any(way == ENCODED for way, _ in found.ways) else ""
    typer.echo(
        f"{_count(found.counts.total(), 'clip')} of {found.seconds:.1f} s, {about}{_bytes(found.output)} "
        f"made from {_bytes(found.size)}, {_count(len(found.rejections), 'row')} refused; "
        "nothing was written"
    )


def _ways(found: Preview) -> Iterator[str]:
    """What is done to how many clips, a line each, with the reasons."""
    for way in (AS_IT_IS, COPIED, ENCODED):
        whys = Counter({why: count for (done, why), count in found.ways.items() if done == way})
        if not whys:
            continue
        reasons = ", ".join(f"{why} {count}" for why, count in whys.most_common() if why is not None)
        said = f" ({reasons})" if reasons else ""
        yield f"{way}: {_count(whys.total(), 'clip')}{said}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _bytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB" if size >= 100_000 else f"{size / 1e3:.0f} kB"
