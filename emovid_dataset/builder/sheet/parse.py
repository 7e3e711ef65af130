"""Parse a row of a label sheet into a `Label`, or say what is wrong with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from emovid_dataset.builder.sheet.cells import read_emotion, read_scores, read_seconds, read_text
from emovid_dataset.builder.sheet.columns import extra_of
from emovid_dataset.builder.sheet.formats import cells_of
from emovid_dataset.builder.sheet.options import SheetOptions
from emovid_dataset.builder.sheet.rows import Label
from emovid_dataset.builder.sheet.table import Row, is_empty
from emovid_dataset.builder.votes import read_votes
from emovid_dataset.schema.clip import CONTENT_TYPES, EMOTION_SOURCES


def parse_row(
    row: Row, meanings: Mapping[str, str], find: Callable[[str], str], options: SheetOptions
) -> Label:
    """Parse a row.

    Args:
        row: of the sheet.
        meanings: by meaning the header of its column.
        find: gives the name in the raw store of the file that a path names.
        options: how the sheet is read.

    Raises:
        ValueError: the row is wrong; the message says what.
    """
    values, others = cells_of(row, meanings)
    if row.beyond:
        raise ValueError(f"has more cells than the header: {list(row.beyond)}")
    path = read_path(values)
    if path is None:
        raise ValueError("has no path")
    relative = find(path)
    if is_empty(values.get("emotion")):
        raise ValueError("has no emotion")
    label = read_emotion(values["emotion"], options.taxonomy)
    start, end = _stretch(values)
    source = read_text(values, "emotion_source") or "human"
    if source not in EMOTION_SOURCES:
        raise ValueError(f"emotion_source {source!r} is unknown; allowed: {', '.join(EMOTION_SOURCES)}")
    raters, votes, agreement = read_votes(values, label, options.taxonomy)
    return Label(
        row=row.number,
        path=relative,
        emotion=label,
        content_type=_content_type(values, relative),
        caption=read_text(values, "caption") or "",
        group=read_text(values, "group"),
        license=read_text(values, "license"),
        source=read_text(values, "source"),
        start=start,
        end=end,
        emotion_source=source,
        emotion_scores=read_scores(values.get("emotion_scores"), options.taxonomy),
        raters=raters,
        votes=votes,
        agreement=agreement,
        color=read_text(values, "color"),
        extra=extra_of(others),
    )


def read_path(values: Mapping[str, Any]) -> str | None:
    """The path that a row names; a video of `datasets` is a path beside bytes."""
    value = values.get("path")
    return read_text(
        {"path": value["path"]} if isinstance(value, dict) and "path" in value else values, "path"
    )


def _content_type(values: Mapping[str, Any], path: str) -> str:
    folder, slash, _ = path.partition("/")
    content_type = (read_text(values, "content_type") or (folder if slash else "")).lower()
    if content_type not in CONTENT_TYPES:
        raise ValueError(
            f"content_type {content_type!r} is unknown; allowed: {', '.join(CONTENT_TYPES)}, "
            "in the column content_type or as the top folder"
        )
    return content_type


def _stretch(values: Mapping[str, Any]) -> tuple[float | None, float | None]:
    """Start and end of a segment, None for a whole file."""
    start, end = read_seconds(values, "start"), read_seconds(values, "end")
    if (start is None) != (end is None):
        raise ValueError(f"start is {start} but end is {end}: a segment needs both")
    if start is not None and end is not None:
        if start < 0:
            raise ValueError(f"start {start} is below 0")
        if end <= start:
            raise ValueError(f"the segment ends at {end} s, not after it starts at {start} s")
    return start, end
