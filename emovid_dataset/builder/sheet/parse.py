"""Parse a row of a label sheet into a `Label`, or say what is wrong with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from emovid_dataset.builder.sheet.cells import read_scores, read_seconds, read_text
from emovid_dataset.builder.sheet.columns import extra_of
from emovid_dataset.builder.sheet.formats import cells_of
from emovid_dataset.builder.sheet.kept import KeptColumn
from emovid_dataset.builder.sheet.options import SheetOptions
from emovid_dataset.builder.sheet.rows import Label
from emovid_dataset.builder.sheet.table import Row, is_empty
from emovid_dataset.builder.sheet.words import EmotionWords
from emovid_dataset.builder.votes import read_votes
from emovid_dataset.media.crop import Crop
from emovid_dataset.schema.benchmark import BENCHMARK
from emovid_dataset.schema.clip import EMOTION_SOURCES, SPLITS


def parse_row(
    row: Row,
    meanings: Mapping[str, str],
    find: Callable[[str], str],
    words: EmotionWords,
    options: SheetOptions,
    kept: Sequence[KeptColumn] = (),
) -> Label:
    """Parse a row.

    Args:
        row: of the sheet.
        meanings: by meaning the header of its column.
        find: gives the name in the raw store of the file that a path names.
        words: what the sheet's emotions mean.
        options: how the sheet is read.
        kept: columns that become fields of the clip.

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
    taxonomy = options.labels.taxonomy
    label = words.read(values["emotion"])
    start, end = read_stretch(values)
    fields = {column.header for column in kept}
    source = read_text(values, "emotion_source") or "human"
    if source not in EMOTION_SOURCES:
        raise ValueError(f"emotion_source {source!r} is unknown; allowed: {', '.join(EMOTION_SOURCES)}")
    raters, votes, agreement = read_votes(values, label, taxonomy, words.read)
    return Label(
        row=row.number,
        path=relative,
        emotion=label,
        content_type=read_content_type(values, relative, options),
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
        extra=extra_of({name: cell for name, cell in others.items() if name not in fields}),
        split=_split(values),
        rater=read_text(values, "rater"),
        kept={column.name: column.value(others.get(column.header)) for column in kept} or None,
        crop_bars=_crop(values),
    )


def read_path(values: Mapping[str, Any]) -> str | None:
    """The path that a row names; a video of `datasets` is a path beside bytes."""
    value = values.get("path")
    return read_text(
        {"path": value["path"]} if isinstance(value, dict) and "path" in value else values, "path"
    )


def read_content_type(values: Mapping[str, Any], path: str, options: SheetOptions) -> str:
    """The content type of a row's clip: of its column, of its top folder, or the one for all others.

    Args:
        values: cells by meaning.
        path: the name of its file in the raw store.
        options: how the sheet is read.

    Raises:
        ValueError: it is not one of those that are allowed.
    """
    *folders, _ = path.split("/")
    folder = next((name.lower() for name in folders if not name.startswith("+")), "")
    given = (read_text(values, "content_type") or "").lower()
    allowed = options.content_types
    if not given:
        given = folder if folder in allowed else options.content_type or folder
    if given not in allowed:
        wrong = f"content_type {given!r} is unknown" if given else "has no content type"
        raise ValueError(
            f"{wrong}; allowed: {', '.join(allowed)}, in the column content_type, as the top folder, or by "
            "--content-type"
        )
    return given


SPLIT_WORDS = {name: name for name in SPLITS} | dict.fromkeys(("val", "valid", "dev"), "validation")
"""What a sheet may call the splits."""


def _split(values: Mapping[str, Any]) -> str | None:
    given = read_text(values, "split")
    if given is None:
        return None
    if given.lower() not in SPLIT_WORDS:
        hint = "; --benchmark or --benchmark-ids sets a benchmark aside" if given.lower() == BENCHMARK else ""
        raise ValueError(f"split {given!r} is unknown; allowed: {', '.join(SPLIT_WORDS)}{hint}")
    return SPLIT_WORDS[given.lower()]


def _crop(values: Mapping[str, Any]) -> str | None:
    """What is taken from the sides of a row's pictures; None for nothing."""
    text = read_text(values, "crop_bars")
    crop = None if text is None else Crop.read(text)
    return None if crop is None else str(crop)


def read_stretch(values: Mapping[str, Any]) -> tuple[float | None, float | None]:
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
