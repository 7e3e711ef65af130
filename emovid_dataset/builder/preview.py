"""What a build would do: the sheet and the heads of the files are read, and nothing is written."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass

from emovid_dataset.builder.plan import Plan
from emovid_dataset.builder.ratings import Ratings
from emovid_dataset.builder.sheet import Label, Rejection, SheetOptions, printable
from emovid_dataset.builder.sheet.paths import raw_files, unlabelled
from emovid_dataset.builder.sheet.read import read_sheet
from emovid_dataset.media.source import Reader, VideoError
from emovid_dataset.schema.no_emotion import NO_EMOTION
from emovid_dataset.store import Store


@dataclass(frozen=True, slots=True)
class Preview:
    """What a build would do.

    Attributes:
        counts: clips by (content type, emotion, given split or None).
        rejections: rows that are refused already, in the sheet's order.
        unlabelled: video files below the raw folder that the sheet does not name.
        remarks: what a person should know of how the sheet was read, a line each.
        ratings: how far its raters agree, and how many rows have a split of their own.
        kinds: files by container and codec.
        size: bytes of the files.
        seconds: of the clips.
    """

    counts: Counter[tuple[str, str, str | None]]
    rejections: tuple[Rejection, ...]
    unlabelled: tuple[str, ...]
    remarks: tuple[str, ...]
    ratings: Ratings
    kinds: Counter[str]
    size: int
    seconds: float


def preview(
    raw: str | os.PathLike[str],
    labels: str | os.PathLike[str] | None,
    *,
    sheet: SheetOptions = SheetOptions(),
    keep_none: bool = False,
) -> Preview:
    """Read a sheet as a build does, and of each file what stands at its head.

    What shows only when a file is decoded or hashed, such as damage in its middle or the same content twice,
    is not found.

    Args:
        raw, labels, sheet, keep_none: as in `build`.

    Raises:
        FileNotFoundError: the raw folder or the sheet does not exist.
        ValueError: the sheet cannot be read.
    """
    source = raw_files(raw, sheet.allow_roots)
    taxonomy = sheet.labels.taxonomy
    remarks: list[str] = []
    counts: Counter[tuple[str, str, str | None]] = Counter()
    kinds: Counter[str] = Counter()
    size, seconds = 0, 0.0
    with Plan(keep_none=keep_none, taxonomy=taxonomy) as plan:
        with plan.writing():
            for row in read_sheet(labels, source, options=sheet, tell=remarks.append):
                plan.add(row)
        ratings = plan.settle(sheet.min_agreement)
        for rows in plan.labels_by_path():
            try:
                kind, length, fps = _head(source, rows[0].path)
            except (VideoError, OSError) as error:
                for label in rows:
                    plan.reject(Rejection(label.row, printable(label.path), printable(str(error))))
                continue
            kinds[kind] += 1
            size += source.size(rows[0].path)
            for label in rows:
                if label.end is not None and label.end > length + 0.5 / fps:
                    reason = f"the segment ends at {label.end} s, beyond the film's end at {length:.3f} s"
                    plan.reject(Rejection(label.row, printable(label.path), reason))
                    continue
                seconds += _length(label, length)
                emotion = NO_EMOTION if label.emotion is None else taxonomy.names[label.emotion]
                counts[label.content_type, emotion, label.split] += 1
        return Preview(
            counts,
            tuple(plan.rejections()),
            tuple(unlabelled(source, plan.knows)),
            tuple(remarks),
            ratings,
            kinds,
            size,
            seconds,
        )


def _length(label: Label, whole: float) -> float:
    return whole if label.start is None or label.end is None else label.end - label.start


def _head(source: Store, name: str) -> tuple[str, float, float]:
    """Container and codec, seconds, frames per second."""
    with source.local(name) as path, Reader(path, quick=True) as reader:
        if reader.file is None:
            kind = "webp"
        else:
            names = reader.file.container.format.name.split(",")
            kind = f"{'mp4' if 'mp4' in names else names[0]} {reader.file.stream.codec_context.name}"
        return kind, reader.info.duration, reader.info.fps
