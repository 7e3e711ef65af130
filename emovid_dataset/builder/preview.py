"""What a build would do: the sheet and the heads of the files are read, and nothing is written."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from emovid_dataset.builder.plan import Plan
from emovid_dataset.builder.prepare import Segment, cut_to_length, refuse_beyond_end
from emovid_dataset.builder.ratings import Ratings
from emovid_dataset.builder.sheet import Label, Rejection, SheetOptions, printable
from emovid_dataset.builder.sheet.paths import raw_files, unlabelled
from emovid_dataset.builder.sheet.read import read_sheet
from emovid_dataset.media.crop import Crop
from emovid_dataset.media.encoding import Encoding
from emovid_dataset.media.forecast import Forecast, by_first_frame, forecast
from emovid_dataset.media.source import Reader, VideoError, refuse_still_picture
from emovid_dataset.media.video_settings import USUAL, VideoSettings
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
        ways: clips by what is done to them, see `media.forecast`, and why.
        size: bytes of the files.
        output: bytes of the clips; a guess for those that are encoded.
        seconds: of the clips.
        without_emotion: rows that say "no specific emotion" and whose clips are not kept.
    """

    counts: Counter[tuple[str, str, str | None]]
    rejections: tuple[Rejection, ...]
    unlabelled: tuple[str, ...]
    remarks: tuple[str, ...]
    ratings: Ratings
    kinds: Counter[str]
    ways: Counter[tuple[str, str | None]]
    size: int
    output: int
    seconds: float
    without_emotion: int


def preview(
    raw: str | os.PathLike[str],
    labels: str | os.PathLike[str] | None,
    *,
    sheet: SheetOptions = SheetOptions(),
    keep_none: bool = False,
    video: VideoSettings = USUAL,
) -> Preview:
    """Read a sheet as a build does, and of each file what stands at its head.

    What shows only when a file is decoded or hashed, such as damage in its middle or the same content twice,
    is not found.

    Args:
        raw, labels, sheet, keep_none, video: as in `build`.

    Raises:
        FileNotFoundError: the raw folder or the sheet does not exist.
        ValueError: the sheet cannot be read.
    """
    source = raw_files(raw, sheet.allow_roots)
    taxonomy = sheet.labels.taxonomy
    remarks: list[str] = []
    counts: Counter[tuple[str, str, str | None]] = Counter()
    kinds: Counter[str] = Counter()
    ways: Counter[tuple[str, str | None]] = Counter()
    size, output, seconds = 0, 0, 0.0
    with Plan(keep_none=keep_none, taxonomy=taxonomy) as plan:
        with plan.writing():
            for row in read_sheet(labels, source, options=sheet, tell=remarks.append):
                plan.add(row)
        ratings = plan.settle(sheet.min_agreement)
        for rows in plan.labels_by_path():
            kind, looks = _looked_at(source, rows, video)
            if kind is not None:
                kinds[kind] += 1
                size += source.size(rows[0].path)
            for label, look in zip(rows, looks, strict=True):
                if isinstance(look, str):
                    plan.reject(Rejection(label.row, printable(label.path), printable(look)))
                    continue
                seconds += look.seconds
                output += look.becomes.size
                ways[look.becomes.way, look.becomes.why] += 1
                emotion = NO_EMOTION if label.emotion is None else taxonomy.names[label.emotion]
                counts[label.content_type, emotion, label.split] += 1
        return Preview(
            counts,
            tuple(plan.rejections()),
            tuple(unlabelled(source, plan.knows)),
            tuple(remarks),
            ratings,
            kinds,
            ways,
            size,
            output,
            seconds,
            sum(1 for _ in plan.without_emotion()),
        )


@dataclass(frozen=True, slots=True)
class _Look:
    """What one row's clip would be."""

    seconds: float
    becomes: Forecast


def _looked_at(
    source: Store, rows: Sequence[Label], video: VideoSettings
) -> tuple[str | None, list[_Look | str]]:
    """Look at the head of a file.

    Args:
        source: holds it.
        rows: that name it.
        video: what is made of videos.

    Returns:
        Its container and codec, None where it cannot be read; for each row its clip, or why there is none.
    """
    name = rows[0].path
    with ExitStack() as stack:
        try:
            reader = stack.enter_context(Reader(stack.enter_context(source.local(name))))
            refuse_still_picture(reader)
        except (VideoError, OSError) as error:
            return None, [str(error)] * len(rows)
        looks: list[_Look | str] = []
        for label in rows:
            try:
                looks.append(_look(reader, label, source.size(name), video))
            except (VideoError, OSError) as error:
                looks.append(str(error))
        return _kind(reader), looks


def _look(reader: Reader, label: Label, size: int, video: VideoSettings) -> _Look:
    """What a row's clip would be.

    Raises:
        VideoError: there is none; the message says why.
        OSError: the file cannot be read.
    """
    segment = Segment(label.content_type, label.start, label.end, label.crop_bars)
    refuse_beyond_end(segment, reader)
    start, end = cut_to_length(segment, reader, video) or (label.start, label.end)
    crop = None if label.crop_bars is None else Crop.read(label.crop_bars)
    encoding = Encoding.of(reader, video, is_whole=start is None, crop=crop, by_header=True)
    encoding = by_first_frame(reader, encoding)
    if encoding.refusal is not None:
        raise VideoError(encoding.refusal)
    seconds = reader.info.duration if start is None or end is None else end - start
    return _Look(seconds, forecast(reader, encoding, size, start, end))


def _kind(reader: Reader) -> str:
    """Container and codec."""
    if reader.file is None:
        return "webp"
    names = reader.file.container.format.name.split(",")
    return f"{'mp4' if 'mp4' in names else names[0]} {reader.file.stream.codec_context.name}"
