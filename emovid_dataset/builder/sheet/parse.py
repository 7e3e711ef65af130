"""Parse a row of a label sheet into a `Label`, or say what is wrong with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from emovid_dataset.builder.sheet.cells import read_emotion, read_scores, read_seconds, read_text
from emovid_dataset.builder.sheet.columns import extra_of
from emovid_dataset.builder.sheet.rows import Label
from emovid_dataset.builder.votes import read_votes
from emovid_dataset.schema.clip import CONTENT_TYPES, EMOTION_SOURCES
from emovid_dataset.schema.taxonomy import Taxonomy


def parse_row(row: int, values: Mapping[str, Any], find: Callable[[str], str], taxonomy: Taxonomy) -> Label:
    if values.get("_extra"):
        raise ValueError(f"has more cells than the header: {values['_extra']}")
    path = read_text(values, "path")
    if not path:
        raise ValueError("has no path")
    relative = find(path)
    emotion = values.get("emotion")
    if emotion is None or (isinstance(emotion, str) and not emotion.strip()):
        raise ValueError("has no emotion")
    label = read_emotion(emotion, taxonomy)
    content_type = (read_text(values, "content_type") or _top_folder(relative) or "").lower()
    if content_type not in CONTENT_TYPES:
        raise ValueError(
            f"content_type {content_type!r} is unknown; allowed: {', '.join(CONTENT_TYPES)}, "
            "in the column content_type or as the top folder"
        )
    start, end = read_seconds(values, "start"), read_seconds(values, "end")
    if (start is None) != (end is None):
        raise ValueError(f"start is {start} but end is {end}: a segment needs both")
    if start is not None and end is not None:
        if start < 0:
            raise ValueError(f"start {start} is below 0")
        if end <= start:
            raise ValueError(f"the segment ends at {end} s, not after it starts at {start} s")
    source = read_text(values, "emotion_source") or "human"
    if source not in EMOTION_SOURCES:
        raise ValueError(f"emotion_source {source!r} is unknown; allowed: {', '.join(EMOTION_SOURCES)}")
    raters, votes, agreement = read_votes(values, label, taxonomy)
    return Label(
        row=row,
        path=relative,
        emotion=label,
        content_type=content_type,
        caption=read_text(values, "caption") or "",
        group=read_text(values, "group"),
        license=read_text(values, "license"),
        source=read_text(values, "source"),
        start=start,
        end=end,
        emotion_source=source,
        emotion_scores=read_scores(values.get("emotion_scores"), taxonomy),
        raters=raters,
        votes=votes,
        agreement=agreement,
        color=read_text(values, "color"),
        extra=extra_of(values),
    )


def _top_folder(path: str) -> str | None:
    first, slash, _ = path.partition("/")
    return first if slash else None
