"""What is to be rated: the clips of a sheet, labelled or not, or of a build, under a build's ids.

::

    sheet: path, start, end  --read_sheet_clips--+
                                                 +--> RatedClip: id, where its video is, its scores if any
    build: metadata/*.parquet --read_build_clips-+
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from emovid_dataset.builder.sheet.annotations import are_annotations, as_row, as_sheet
from emovid_dataset.builder.sheet.cells import read_scores
from emovid_dataset.builder.sheet.columns import meaning_of, name_columns
from emovid_dataset.builder.sheet.formats import cells_of, open_table
from emovid_dataset.builder.sheet.options import SheetOptions
from emovid_dataset.builder.sheet.parse import read_content_type, read_path, read_stretch
from emovid_dataset.builder.sheet.paths import Finder
from emovid_dataset.builder.sheet.rows import Rejection, printable
from emovid_dataset.builder.sheet.table import Table
from emovid_dataset.builder.sheet.words import EmotionWords
from emovid_dataset.read.manifest import read_manifest
from emovid_dataset.read.select import read_members
from emovid_dataset.schema.clip import clip_id
from emovid_dataset.schema.manifest import MANIFEST_NAME
from emovid_dataset.schema.taxonomy import Taxonomy
from emovid_dataset.store import Store
from emovid_dataset.terminal import Progress


@dataclass(frozen=True, slots=True)
class RatedClip:
    """A clip that people are shown.

    Attributes:
        id: as a build gives it.
        path: of its file in the raw store, or of its shard in the build.
        start: first second of a segment of the file, None for a whole file.
        end: last second of the segment, exclusive.
        offset: of its MP4 in the shard, None for a file of a raw store.
        size: bytes of its MP4 in the shard.
        scores: a probability for each emotion, or None.
    """

    id: str
    path: str
    start: float | None = None
    end: float | None = None
    offset: int | None = None
    size: int | None = None
    scores: tuple[float, ...] | None = None


@dataclass(frozen=True, slots=True)
class RatedClips:
    """What is to be rated.

    Attributes:
        clips: in the order of the sheet or of the shards, each once.
        store: where their files or shards are.
        taxonomy: the emotions.
        refused: rows of the sheet of which no clip can be shown, and why.
    """

    clips: tuple[RatedClip, ...]
    store: Store
    taxonomy: Taxonomy
    refused: tuple[Rejection, ...] = ()


def is_build(source: str | os.PathLike[str]) -> bool:
    """Whether a folder, or what is below a URL, is a build rather than a sheet."""
    text = os.fspath(source)
    if "://" in text:
        return Store.find(text).exists(MANIFEST_NAME)
    return os.path.isdir(text)


def read_build_clips(source: str | os.PathLike[str]) -> RatedClips:
    """The clips of a build; what it says of their emotions is left aside, but for an annotator's scores.

    Raises:
        FileNotFoundError: it is not a build.
        ValueError: its manifest or its metadata cannot be read.
    """
    store = Store.find(source)
    manifest = read_manifest(store)
    members = read_members(store, manifest, manifest.content_types, manifest.split_names)
    clips = tuple(
        RatedClip(
            member.clip.id,
            member.shard,
            offset=member.offset,
            size=member.size,
            scores=member.clip.emotion_scores if member.clip.emotion_source == "model" else None,
        )
        for member in members
    )
    return RatedClips(clips, store, manifest.taxonomy)


def read_sheet_clips(
    sheet: str | os.PathLike[str],
    raw: Store,
    *,
    options: SheetOptions = SheetOptions(),
    progress: bool = False,
) -> RatedClips:
    """The clips of a sheet, which needs no column but the path.

    Args:
        sheet: in any format that `build` takes; what `emovid annotate` wrote is one, too.
        raw: where the source files are. Each is read once, since its bytes are in the clips' ids.
        options: how the sheet is read.
        progress: show how many files were read.

    Raises:
        FileNotFoundError: there is no such sheet.
        ValueError: it cannot be read.
    """
    place = Path(sheet)
    if not place.is_file():
        raise FileNotFoundError(f"sheet {sheet} does not exist")
    refused: list[Rejection] = []
    rows: list[_Row] = []
    for found in _read_rows(place, raw, options):
        if isinstance(found, Rejection):
            refused.append(found)
        else:
            rows.append(found)
    paths = dict.fromkeys(row.path for row in rows)
    digests: dict[str, Any] = {}
    with Progress(len(paths), unit="files", title="read", enabled=progress) as bar:
        for path in paths:
            digests[path] = _digest(raw, path)
            bar.update()
    clips: dict[str, RatedClip] = {}
    for row in rows:
        digest = digests[row.path]
        if isinstance(digest, str):
            refused.append(Rejection(row.number, printable(row.path), digest))
            continue
        identity = clip_id(row.content_type, digest, row.start, row.end)
        clips.setdefault(identity, RatedClip(identity, row.path, row.start, row.end, scores=row.scores))
    return RatedClips(tuple(clips.values()), raw, options.labels.taxonomy, tuple(sorted(refused)))


@dataclass(frozen=True, slots=True)
class _Row:
    number: int
    path: str
    content_type: str
    start: float | None
    end: float | None
    scores: tuple[float, ...] | None


def _read_rows(sheet: Path, raw: Store, options: SheetOptions) -> Iterator[_Row | Rejection]:
    finder = Finder(raw, sheet)
    for number, values in read_table(sheet, options, ("path",)):
        try:
            if isinstance(values, ValueError):
                raise values
            named = read_path(values)
            if named is None:
                raise ValueError("has no path")
            path = finder.find(named)
            start, end = read_stretch(values)
            scores = read_scores(values.get("emotion_scores"), options.labels.taxonomy)
            yield _Row(number, path, read_content_type(values, path, options), start, end, scores)
        except ValueError as error:
            shown = "" if isinstance(values, ValueError) else printable(str(values.get("path") or ""))
            yield Rejection(number, shown, printable(str(error)))


def read_table(
    sheet: Path, options: SheetOptions, needed: Sequence[str]
) -> Iterator[tuple[int, dict[str, Any] | ValueError]]:
    """The rows of a sheet, which may be what `emovid annotate` wrote, by the meanings of its columns.

    Args:
        sheet: the file.
        options: how it is read.
        needed: meanings that it must have a column of.

    Yields:
        The number of each row, and its cells by meaning, or what is wrong with it.

    Raises:
        ValueError: it is not a sheet, or lacks a column.
    """
    where, taxonomy = f"sheet {sheet}", options.labels.taxonomy
    with _as_one_line(where):
        table: Table = open_table(sheet, where, partial(_is_known, options))
    headers, chosen = table.headers, dict(options.columns)
    annotated = are_annotations(headers, taxonomy)
    if annotated:
        headers = as_sheet(headers, taxonomy)
        chosen = ({"path": "key"} if "key" in headers else {}) | chosen
    meanings = name_columns(where, headers, chosen, needed)
    words = EmotionWords.of(options.labels, options.words)
    for row in table.read():
        try:
            values, others = cells_of(as_row(row, words) if annotated else row, meanings)
            yield row.number, {**others, **values}
        except ValueError as error:
            yield row.number, error


@contextmanager
def _as_one_line(where: str) -> Iterator[None]:
    try:
        yield
    except UnicodeDecodeError as error:
        raise ValueError(f"{where} is not text: {error}") from error


def _is_known(options: SheetOptions, header: str) -> bool:
    chosen = (name.strip().lower() for name in options.columns.values())
    return meaning_of(header) is not None or header.strip().lower() in chosen


def _digest(raw: Store, path: str) -> Any:
    """The hash object of a file, or why it cannot be read."""
    digest = hashlib.sha256()
    try:
        with raw.open(path) as file:
            while block := file.read(1 << 20):
                digest.update(block)
    except OSError as error:
        return f"cannot be read: {error.strerror or error}"
    return digest
