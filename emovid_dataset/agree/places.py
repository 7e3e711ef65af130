"""Where the clips come from that were rated: a sheet of them, or a build."""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from emovid_dataset.builder.sheet.cells import read_seconds
from emovid_dataset.builder.sheet.columns import meaning_of
from emovid_dataset.builder.sheet.formats import ENDINGS, open_table
from emovid_dataset.builder.sheet.paths import Finder, raw_files
from emovid_dataset.builder.sheet.table import is_empty
from emovid_dataset.label.items import read_sheet_clips
from emovid_dataset.read.manifest import read_manifest
from emovid_dataset.read.metadata import row_groups
from emovid_dataset.schema.manifest import tables_of
from emovid_dataset.store import Store, store_of

_OF_A_BUILD = ("id", "source", "start", "end", "content_type", "caption", "group", "license")


def read_places(
    source: str | os.PathLike[str],
    tell: Callable[[str], None] = lambda remark: None,
    *,
    raw: str | os.PathLike[str] | None = None,
    progress: bool = False,
) -> dict[str, dict[str, Any]]:
    """Read where clips come from.

    Args:
        source: a sheet of clips, by its ending, or a build: a folder, a Hub repo, or an address.
        raw: where the sheet's files are: the ids are then those that `emovid label` and a build give them,
            for which each file is read once.
        progress: show how many files were read.
        tell: gets what a person should know of how it was read.

    Returns:
        By id of the clip the sheet's columns, `path`, `start` and `end` among them. Of a sheet without ids
        the id is the path, with its stretch if it has one.

    Raises:
        FileNotFoundError: there is no such sheet or build.
        ValueError: it cannot be read.
    """
    text = os.fspath(source)
    if PurePosixPath(text).suffix.lower() in ENDINGS and not os.path.isdir(text):
        rows = dict(_of_sheet(text, tell))
        return rows if raw is None else dict(_identified(text, raw, rows, tell, progress))
    return dict(_of_build(Store.find(text)))


def stretch_id(place: Mapping[str, Any]) -> str | None:
    """The id of a clip that has none: its path, with its stretch; None without a path.

    >>> stretch_id({"path": "a.mp4", "start": 1.5, "end": 4}), stretch_id({"path": "a.mp4"})
    ('a.mp4@1.5-4', 'a.mp4')
    """
    if is_empty(place.get("path")):
        return None
    if is_empty(place.get("start")) or is_empty(place.get("end")):
        return str(place["path"])
    return f"{place['path']}@{place['start']}-{place['end']}"


def _of_sheet(sheet: str, tell: Callable[[str], None]) -> Iterator[tuple[str, dict[str, Any]]]:
    store, name = store_of(sheet, to_read=True)
    where = f"sheet {store.shown(name)}"
    with store.local(name) as path:
        table = open_table(path, where, lambda header: meaning_of(header) is not None or header == "id")
        for remark in table.remarks:
            tell(remark)
        for row in table.read():
            place = {
                meaning_of(header) or header: cell for header, cell in row.cells.items() if not is_empty(cell)
            }
            key = place.pop("id", None) or stretch_id(place)
            if key is None:
                raise ValueError(f"{where} row {row.number} has no id and no path")
            yield str(key), place


def _identified(
    sheet: str,
    raw: str | os.PathLike[str],
    rows: Mapping[str, dict[str, Any]],
    tell: Callable[[str], None],
    progress: bool,
) -> Iterator[tuple[str, dict[str, Any]]]:
    store = raw_files(raw, ())
    found = read_sheet_clips(sheet, store, progress=progress)
    for refused in found.refused:
        tell(f"sheet {sheet} row {refused.row}: {refused.path}: {refused.reason}")
    finder = Finder(store, Path(sheet))
    by_stretch = {as_stretch(_named_below(finder, place)): place for place in rows.values()}
    for clip in found.clips:
        place = {"path": clip.path, "start": clip.start, "end": clip.end}
        place["content_type"] = clip.id.rpartition("-")[0]
        known = {name: value for name, value in place.items() if value is not None}
        yield clip.id, {**by_stretch.get(as_stretch(place), {}), **known}


def _named_below(finder: Finder, place: Mapping[str, Any]) -> dict[str, Any]:
    """The same with the path of its file below the raw folder; a sheet may name that folder too."""
    try:
        return {**place, "path": finder.find(str(place.get("path")))}
    except ValueError:  # it was refused, and that was told
        return dict(place)


def as_stretch(place: Mapping[str, Any]) -> Hashable:
    """A path with its stretch as numbers, whatever they are written as, so that two can be compared.

    >>> as_stretch({"path": "a.mp4", "start": "1.50", "end": 4}) == as_stretch(
    ...     {"path": "a.mp4", "start": 1.5, "end": "4.0"})
    True
    """
    times = []
    for name in ("start", "end"):
        try:
            times.append(None if is_empty(place.get(name)) else read_seconds(place, name))
        except ValueError:
            times.append(None)
    return place.get("path"), *times


def _of_build(store: Store) -> Iterator[tuple[str, dict[str, Any]]]:
    manifest = read_manifest(store)
    for name in tables_of((*manifest.shards, *manifest.none_shards)):
        with row_groups(store, name) as groups:
            for group in groups:
                for row in group.to_table(columns=list(_OF_A_BUILD)).to_pylist():
                    place = {key: value for key, value in row.items() if value not in (None, "")}
                    place["path"] = place.pop("source", "")
                    yield place.pop("id"), place
