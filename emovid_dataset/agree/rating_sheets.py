"""Read ratings from a sheet: a row per rating, or a row per clip with a column for each rater."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from emovid_dataset.agree.label_studio import media_path
from emovid_dataset.agree.places import stretch_id
from emovid_dataset.agree.rating import PLACE, Rating, Vocabulary, milliseconds, name_of, place_of
from emovid_dataset.builder.sheet.columns import meaning_of
from emovid_dataset.builder.sheet.formats import open_table
from emovid_dataset.builder.sheet.table import Row, is_empty

_RATER = ("rater", "annotator", "worker", "coder", "user", "completed_by")
_ID = ("clip_id", "id", "clip", "item")
_EMOTION = ("emotion", "label", "answer", "rating", "choice", "sentiment")
_NOT_RATERS = frozenset((*PLACE, *_ID, "split", "color", "comment", "note", "duration", "fps", "rejected"))


def read_rating_sheet(
    path: Path,
    where: str,
    words: Vocabulary,
    raters: Sequence[str] = (),
    tell: Callable[[str], None] = lambda remark: None,
) -> Iterator[Rating]:
    """Read a sheet of ratings, in any format that a label sheet may have.

    Long: the columns rater, id and emotion, a row per rating. Wide: the column id and one for each rater, a
    row per clip; an empty cell is a clip that the rater did not rate. Where there is no id the path of the
    clip, with its stretch, is its id.

    Args:
        path: of the sheet.
        where: names it in messages.
        words: in which ratings are given.
        raters: columns of the raters; by default, where there is no column of the raters' names, all
            columns that do not say where the clip comes from.
        tell: gets what a person should know of how it was read.

    Raises:
        ValueError: it cannot be read, or a cell is not a rating; the message names the row.
    """
    table = open_table(path, where, lambda header: meaning_of(header) is not None or _plain(header) in _ID)
    for remark in table.remarks:
        tell(remark)
    columns = {_plain(header): header for header in reversed(table.headers)}
    clip = _first(columns, [name for name in _ID if name != "id" or not _is_studio(columns)])
    file = next((header for header in table.headers if meaning_of(header) == "path"), None)
    if clip is None and file is None:
        raise ValueError(f"{where} has no column id and no path; it has: {list(table.headers)}")
    rater, emotion = _first(columns, _RATER), _first(columns, _EMOTION)
    if raters or rater is None:
        people = _rater_columns(where, table.headers, raters)
        tell(f"{where}: the columns {', '.join(people)} are raters")
    else:
        if emotion is None:
            raise ValueError(f"{where} has no column emotion; it has: {list(table.headers)}")
        people = []
    for row in table.read():
        try:
            yield from _ratings(row, columns, clip, file, rater, emotion, people, words)
        except ValueError as error:
            raise ValueError(f"{where} row {row.number}: {error}") from None


def _ratings(
    row: Row,
    columns: dict[str, str],
    clip: str | None,
    file: str | None,
    rater: str | None,
    emotion: str | None,
    people: Sequence[str],
    words: Vocabulary,
) -> Iterator[Rating]:
    place = place_of({name: row.cells.get(header) for name, header in columns.items()})
    if file is not None and not is_empty(row.cells.get(file)):
        place["path"] = media_path(str(row.cells[file]))
    found: Any = row.cells.get(clip) if clip is not None else None
    if is_empty(found):
        found = stretch_id(place)
    name = name_of("id", found)
    if people:
        for person in people:
            if not is_empty(cell := row.cells.get(person)):
                yield Rating(rater=person, id=name, emotion=words.emotion(cell), place=place)
    elif rater is not None and emotion is not None and not is_empty(cell := row.cells.get(emotion)):
        said = words.emotion(cell)
        yield Rating(
            rater=name_of("rater", row.cells.get(rater)),
            id=name,
            emotion=said,
            second=words.second(row.cells.get(columns.get("second", "")), said),
            ms=milliseconds(row.cells.get(columns.get("ms", ""))),
            repeat=_repeat(row.cells.get(columns.get("repeat", ""))),
            place=place,
        )


def _rater_columns(where: str, headers: Sequence[str], wanted: Sequence[str]) -> list[str]:
    unknown = [name for name in wanted if name not in headers]
    if unknown:
        raise ValueError(f"{where} has no column {unknown[0]!r}; it has: {list(headers)}")
    others = [name for name in headers if _plain(name) not in _NOT_RATERS and meaning_of(name) != "path"]
    found = list(wanted) or others
    if not found:
        raise ValueError(f"{where} has no column of a rater; it has: {list(headers)}")
    return found


def _is_studio(columns: dict[str, str]) -> bool:
    """Whether it is Label Studio's CSV, whose `id` is that of a task in a project."""
    return {"annotation_id", "annotator"} <= set(columns)


def _first(columns: dict[str, str], names: Sequence[str]) -> str | None:
    return next((columns[name] for name in names if name in columns), None)


def _plain(header: str) -> str:
    return "_".join(header.strip().lower().replace("-", " ").replace("_", " ").split())


def _repeat(value: Any) -> int:
    if is_empty(value):
        return 0
    text = str(value).strip().removesuffix(".0")
    if not text.isdigit():
        raise ValueError(f"repeat is {value!r}, not the how-many-eth time the clip was shown again")
    return int(text)
