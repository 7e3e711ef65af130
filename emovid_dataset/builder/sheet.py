"""A raw folder and its label sheet: which clips there are, and what was refused and why."""

from __future__ import annotations

import csv
import json
import math
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from emovid_dataset.builder.votes import read_votes
from emovid_dataset.media.source import SUFFIXES
from emovid_dataset.schema.clip import CONTENT_TYPES, EMOTION_SOURCES
from emovid_dataset.schema.emotions import MIKELS
from emovid_dataset.schema.no_emotion import NO_EMOTION, is_no_emotion
from emovid_dataset.schema.taxonomy import Taxonomy
from emovid_dataset.store import Store

if TYPE_CHECKING:
    import pyarrow

COLUMNS = (
    "path",
    "emotion",
    "content_type",
    "caption",
    "group",
    "license",
    "source",
    "start",
    "end",
    "emotion_source",
    "emotion_scores",
    "raters",
    "votes",
    "agreement",
    "color",
)
"""Columns of a label sheet that have a meaning; `path` and `emotion` it must have, others become `extra`."""


@dataclass(frozen=True, slots=True)
class Label:
    """One accepted row of a label sheet.

    Attributes:
        row: number of the row, 1 for the first one after the header.
        path: of the file below the raw folder, with slashes.
        emotion: index in the taxonomy, None for no specific emotion.
        content_type: such as "sticker".
        caption: may be empty.
        group: None when the sheet gives none.
        license: None when the sheet gives none.
        source: None when the sheet gives none.
        start: seconds, None for a whole file.
        end: seconds, None for a whole file.
        emotion_source: "human" or "model".
        emotion_scores: a probability for each emotion, or None.
        raters: people who labelled the clip, or None.
        votes: how many of them chose each emotion, or None.
        agreement: share of the raters that chose the clip's emotion, or None.
        color: what was done to the colours, or None.
        extra: the other columns as a JSON object, or None.
    """

    row: int
    path: str
    emotion: int | None
    content_type: str
    caption: str
    group: str | None
    license: str | None
    source: str | None
    start: float | None
    end: float | None
    emotion_source: str
    emotion_scores: tuple[float, ...] | None
    raters: int | None = None
    votes: tuple[int, ...] | None = None
    agreement: float | None = None
    color: str | None = None
    extra: str | None = None


@dataclass(frozen=True, slots=True, order=True)
class Rejection:
    """A row or file that is refused.

    Attributes:
        row: number of the row in the label sheet, 1 for the first one after the header.
        path: as the sheet gives it.
        reason: one line.
    """

    row: int
    path: str
    reason: str


def read_sheet(
    sheet: str | os.PathLike[str], raw: Store, *, taxonomy: Taxonomy = MIKELS
) -> Iterator[Label | Rejection]:
    """Read a label sheet, row by row, and look every file up.

    Args:
        sheet: CSV, JSON Lines (.jsonl, .ndjson) or Parquet, by its suffix: a path or a URL. UTF-8, with or
            without a byte-order mark, any line ends.
        raw: where the source files are; the sheet's paths are relative to its root.
        taxonomy: the emotions that the sheet may name.

    Yields:
        The accepted rows and the refused ones, in the sheet's order. Two rows may name the same stretch of
        one file; `Plan.add` refuses the second.

    Raises:
        FileNotFoundError: there is no such sheet or folder.
        ValueError: the sheet cannot be read, or has no column `path` or `emotion`.
    """
    if raw.folder is not None and not raw.folder.is_dir():
        raise FileNotFoundError(f"raw folder {raw.folder} does not exist")
    root = None if raw.folder is None else raw.folder.resolve()

    def find(name: str) -> str:
        return _inside(root, name) if root else _below(raw, name)

    with _fetched(sheet) as path:
        for number, values in enumerate(_rows(path), start=1):
            try:
                yield _parse(number, values, find, taxonomy)
            except ValueError as error:
                named = printable(str(values.get("path") or ""))
                yield Rejection(number, named, printable(str(error)))


@contextmanager
def _fetched(sheet: str | os.PathLike[str]) -> Iterator[Path]:
    """The sheet as a file of the disk."""
    text = os.fspath(sheet)
    if "://" in text:
        folder, _, name = text.rpartition("/")
        with Store.find(folder).local(name) as path:
            yield path
        return
    if not os.path.isfile(text):
        raise FileNotFoundError(f"label sheet {text} does not exist")
    yield Path(text)


def is_video_name(name: str) -> bool:
    """Whether a file has the ending of a video."""
    return PurePosixPath(name).suffix.lower() in SUFFIXES


def unlabelled(raw: Store, knows: Callable[[str], bool]) -> Iterator[str]:
    """Video files of the raw store that no row of the sheet names, sorted; hidden folders are left out.

    Args:
        raw: where the source files are.
        knows: whether a row names a file.
    """
    for name in raw.list():
        hidden = any(part.startswith(".") for part in name.split("/")[:-1])
        if is_video_name(name) and not hidden and not knows(name):
            yield printable(name)


def printable(text: str) -> str:
    """One line of valid Unicode: what is not, such as a file name's stray bytes, becomes escapes.

    >>> printable("a\\udcffb\\nc")
    'a\\\\udcffb\\\\nc'
    """
    encoded = text.encode("utf-8", "backslashreplace").decode()
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in encoded)


def _rows(sheet: Path) -> Iterator[Mapping[str, Any]]:
    suffix = sheet.suffix.lower()
    if suffix == ".csv":
        yield from _csv_rows(sheet)
    elif suffix in (".jsonl", ".ndjson"):
        yield from _json_rows(sheet)
    elif suffix == ".parquet":
        yield from _parquet_rows(sheet)
    else:
        raise ValueError(f"labels {str(sheet)!r} must end in .csv, .jsonl, .ndjson or .parquet")


def _check_columns(sheet: Path, columns: list[str]) -> None:
    missing = [name for name in ("path", "emotion") if name not in columns]
    if missing:
        raise ValueError(f"label sheet {sheet} has no column {' and '.join(missing)}; it has: {columns}")


def _csv_rows(sheet: Path) -> Iterator[Mapping[str, Any]]:
    with sheet.open(encoding="utf-8-sig", newline="") as file:
        try:
            reader = csv.DictReader(file, strict=True)
            columns = [name.strip() for name in reader.fieldnames or []]
            reader.fieldnames = columns
            _check_columns(sheet, columns)
            for row in reader:
                extra = row.pop(None, None)
                yield {**row, "_extra": extra} if extra else row
        except (csv.Error, UnicodeDecodeError) as error:
            raise ValueError(f"label sheet {sheet} is not a UTF-8 CSV file: {error}") from error


def _json_rows(sheet: Path) -> Iterator[Mapping[str, Any]]:
    with sheet.open(encoding="utf-8-sig") as file:
        first = True
        try:
            for number, line in enumerate(file, start=1):
                if not line.strip():
                    continue
                row = json.loads(line)
                if not isinstance(row, dict):
                    raise ValueError(f"label sheet {sheet} line {number} is not an object")
                if first:
                    _check_columns(sheet, list(row))
                    first = False
                yield row
        except UnicodeDecodeError as error:
            raise ValueError(f"label sheet {sheet} is not UTF-8: {error}") from error
        except json.JSONDecodeError as error:
            raise ValueError(f"label sheet {sheet} line {number} is not JSON: {error}") from error
    if first:
        raise ValueError(f"label sheet {sheet} is empty")


def _parquet_rows(sheet: Path) -> Iterator[Mapping[str, Any]]:
    import pyarrow
    from pyarrow import parquet

    try:
        file = parquet.ParquetFile(sheet)
    except (pyarrow.ArrowInvalid, OSError) as error:
        raise ValueError(f"label sheet {sheet} is not a Parquet file: {error}") from error
    with file:
        columns = file.schema_arrow.names
        _check_columns(sheet, columns)
        # JSON, which keeps the columns that have no meaning here, knows no bytes
        fields = [field.name for field in file.schema_arrow if not _is_binary(field.type)]
        for batch in file.iter_batches(batch_size=1024, columns=fields):
            yield from batch.to_pylist()


def _is_binary(kind: pyarrow.DataType) -> bool:
    from pyarrow import types

    return types.is_binary(kind) or types.is_large_binary(kind) or types.is_fixed_size_binary(kind)


def _parse(row: int, values: Mapping[str, Any], find: Callable[[str], str], taxonomy: Taxonomy) -> Label:
    if values.get("_extra"):
        raise ValueError(f"has more cells than the header: {values['_extra']}")
    path = _text(values, "path")
    if not path:
        raise ValueError("has no path")
    relative = find(path)
    emotion = values.get("emotion")
    if emotion is None or (isinstance(emotion, str) and not emotion.strip()):
        raise ValueError("has no emotion")
    label = _emotion(emotion, taxonomy)
    content_type = (_text(values, "content_type") or _top_folder(relative) or "").lower()
    if content_type not in CONTENT_TYPES:
        raise ValueError(
            f"content_type {content_type!r} is unknown; allowed: {', '.join(CONTENT_TYPES)}, "
            "in the column content_type or as the top folder"
        )
    start, end = _seconds(values, "start"), _seconds(values, "end")
    if (start is None) != (end is None):
        raise ValueError(f"start is {start} but end is {end}: a segment needs both")
    if start is not None and end is not None:
        if start < 0:
            raise ValueError(f"start {start} is below 0")
        if end <= start:
            raise ValueError(f"the segment ends at {end} s, not after it starts at {start} s")
    source = _text(values, "emotion_source") or "human"
    if source not in EMOTION_SOURCES:
        raise ValueError(f"emotion_source {source!r} is unknown; allowed: {', '.join(EMOTION_SOURCES)}")
    raters, votes, agreement = read_votes(values, label, taxonomy)
    return Label(
        row=row,
        path=relative,
        emotion=label,
        content_type=content_type,
        caption=_text(values, "caption") or "",
        group=_text(values, "group"),
        license=_text(values, "license"),
        source=_text(values, "source"),
        start=start,
        end=end,
        emotion_source=source,
        emotion_scores=_scores(values.get("emotion_scores"), taxonomy),
        raters=raters,
        votes=votes,
        agreement=agreement,
        color=_text(values, "color"),
        extra=extra_of(values),
    )


def extra_of(values: Mapping[str, Any]) -> str | None:
    """The row's columns that have no meaning here, as a JSON object; None where it has none.

    Args:
        values: of the row. Empty cells are left out; what JSON does not know, such as a date, becomes text.

    Raises:
        ValueError: a number is not finite, or a text is not valid Unicode.

    >>> extra_of({"path": "a.mp4", "emotion": "awe", "film": "Sintel", "scene": 3, "note": ""})
    '{"film": "Sintel", "scene": 3}'
    """
    others = {
        name: value
        for name, value in values.items()
        if name not in COLUMNS and not (value is None or value == "" or value != value)
    }
    if not others:
        return None
    try:
        text = json.dumps(others, ensure_ascii=False, default=str, allow_nan=False)
        text.encode()
    except ValueError as error:
        raise ValueError(f"its further columns {others!r} cannot be kept as JSON: {error}") from error
    return text


def _emotion(value: Any, taxonomy: Taxonomy) -> int | None:
    """Index of an emotion, None for no specific emotion."""
    try:
        return taxonomy.parse(value)
    except ValueError as error:
        if is_no_emotion(value):
            return None
        raise ValueError(f"{error}, or {NO_EMOTION!r}") from None


def _text(values: Mapping[str, Any], name: str) -> str | None:
    value = values.get(name)
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    text = " ".join(str(value).split()) if name == "caption" else str(value).strip()
    if "\0" in text:
        raise ValueError(f"{name} holds a zero character")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{name} {text!r} is not valid Unicode") from None
    return text or None


def _top_folder(path: str) -> str | None:
    first, slash, _ = path.partition("/")
    return first if slash else None


def _inside(root: Path, path: str) -> str:
    """The file's path below the root with slashes; refuses whatever leads outside, links too."""
    # the dots go first, so that what is checked is what is opened, whatever links do
    joined = Path(os.path.normpath(root / path.replace("\\", "/")))
    try:
        resolved = joined.resolve()
        relative = joined.relative_to(root)
        resolved.relative_to(root)
    except (ValueError, OSError, RuntimeError):
        raise ValueError("lies outside the raw folder") from None
    try:
        if resolved.is_dir():
            raise ValueError("is a folder")
        if not resolved.exists():
            raise ValueError("does not exist")
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from None
    if not resolved.is_file():
        raise ValueError("is not a regular file")
    _check_suffix(relative.as_posix())
    return relative.as_posix()


def _below(raw: Store, path: str) -> str:
    """The file's name in a remote store."""
    name = os.path.normpath(path.replace("\\", "/")).replace(os.sep, "/")
    if name.startswith(("/", "../")) or name == "..":
        raise ValueError("lies outside the raw folder")
    _check_suffix(name)
    if not raw.exists(name):
        raise ValueError("does not exist")
    return name


def _check_suffix(name: str) -> None:
    if not is_video_name(name):
        ending = PurePosixPath(name).suffix
        raise ValueError(f"has the ending {ending!r}; allowed: {', '.join(sorted(SUFFIXES))}")


def _seconds(values: Mapping[str, Any], name: str) -> float | None:
    value = values.get(name)
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    try:
        seconds = float(value)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"{name} {value!r} is not a number of seconds") from None
    if math.isnan(seconds) and not isinstance(value, str):
        return None  # an empty cell of a Parquet column of floats
    if not math.isfinite(seconds):
        raise ValueError(f"{name} {value!r} is not a number of seconds")
    return seconds


def _scores(value: Any, taxonomy: Taxonomy) -> tuple[float, ...] | None:
    if value is None or value == "":
        return None
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            raise ValueError(f"emotion_scores {value!r} is not a JSON list") from None
    try:
        scores = tuple(float(score) for score in value)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"emotion_scores {value!r} is not a list of numbers") from None
    inside = all(0 <= score <= 1 for score in scores)
    if len(scores) != len(taxonomy) or not inside or abs(sum(scores) - 1) > 1e-3:
        raise ValueError(f"emotion_scores {value!r} is not {len(taxonomy)} probabilities that sum to 1")
    return scores
