"""The metadata that the analyses work on: one row per clip, as columns."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from emovid_dataset._parquet import parquet_errors
from emovid_dataset.analyse.outcomes import NotComputed
from emovid_dataset.read.manifest import read_manifest
from emovid_dataset.schema.emotions import VALENCES
from emovid_dataset.schema.manifest import Manifest
from emovid_dataset.store import Store

if TYPE_CHECKING:
    import pyarrow

ALL = "all"
"""Stands for every content type."""

ATTRIBUTES = ("brightness", "colorfulness", "hue")
"""The attributes that are analysed: the paper's three."""

NO_VALENCE = NotComputed("the taxonomy has no valence")
"""Stands for what is counted by valence, where some emotion is neither positive nor negative."""

_COLUMNS = (
    *("id", "content_type", "emotion", "caption", "has_audio"),
    *("source", "group", "start", "end", "sha256"),
)


@dataclass(frozen=True, slots=True)
class ClipTable:
    """The clips of a build, in the order of its metadata; what is numbered is counted from 0.

    Attributes:
        name: the title that the owner gave, else the build's name.
        emotions: names of the labels, in the taxonomy's order.
        valences: of each label, an index into `valence_names`; None where a label of the taxonomy has none.
        valence_names: "positive", "negative".
        content_types: those that have clips.
        ids: of the clips, [n].
        types: int [n], indices into `content_types`.
        labels: int [n], indices into `emotions`.
        attributes: by name float [n]; NaN where the build does not say, as in one of format 1.
        format: of the build.
        has_audio: bool [n].
        captions: str [n].
        sources: int [n], the source film of each clip: equal numbers for equal `source` fields.
        groups: int [n], the group of each clip.
        starts: float [n], seconds in the source film, NaN for a whole file.
        ends: float [n], as `starts`.
        hashes: str [n], sha256 of each MP4.
    """

    name: str
    emotions: tuple[str, ...]
    valences: tuple[int, ...] | None
    valence_names: tuple[str, ...]
    content_types: tuple[str, ...]
    ids: tuple[str, ...]
    types: np.ndarray
    labels: np.ndarray
    attributes: dict[str, np.ndarray]
    format: int
    has_audio: np.ndarray
    captions: tuple[str, ...]
    sources: np.ndarray
    groups: np.ndarray
    starts: np.ndarray
    ends: np.ndarray
    hashes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def group_count(self) -> int:
        """Number of groups."""
        return len(np.unique(self.groups))

    def without(self, attribute: str) -> NotComputed:
        """Why there are no values of an attribute."""
        if self.format == 1:
            return NotComputed(
                f"a build of format 1 has no {attribute} as the paper defines it; build it again"
            )
        return NotComputed(f"no clip has a {attribute}")

    @property
    def positive(self) -> np.ndarray:
        """bool [n], whether the clip's emotion is positive.

        Raises:
            ValueError: the taxonomy has no valence.
        """
        if self.valences is None:
            raise ValueError(NO_VALENCE.reason)
        return np.array(self.valences)[self.labels] == 0

    def scopes(self) -> Iterator[tuple[str, np.ndarray]]:
        """`ALL` and, where there are several, every content type: its name and its clips as bool [n]."""
        yield ALL, np.ones(len(self), bool)
        if len(self.content_types) > 1:
            for index, name in enumerate(self.content_types):
                yield name, self.types == index


def read_clips(
    source: str | os.PathLike[str], *, revision: str | None = None, token: str | bool | None = None
) -> ClipTable:
    """Read the metadata of a build; no shard is read.

    Args:
        source: a build: its folder, a Hub repo (``owner/name``), or an http(s) address.
        revision: branch, tag or commit of a Hub repo.
        token: for a private Hub repo.

    Returns:
        `ClipTable`.

    Raises:
        FileNotFoundError: the source is not a build, or a file of its metadata is missing.
        ValueError: the build is unfinished, holds no clips, or its metadata is damaged.
    """
    store = Store.find(source, revision=revision, token=token)
    manifest = read_manifest(store)
    table = _metadata(store, manifest)
    if not len(table):
        raise ValueError(f"{store.name} holds no clips, so there is nothing to analyse")
    name = store.name.rpartition("/")[2].partition("@")[0]
    return _of_table(manifest.info.title or name, manifest, table)


def _metadata(store: Store, manifest: Manifest) -> pyarrow.Table:
    import pyarrow
    from pyarrow import parquet

    # what format 1 calls brightness, colorfulness and hue is something else
    columns = [*_COLUMNS, *(ATTRIBUTES if manifest.format > 1 else ())]
    tables = []
    for name in manifest.tables():
        data = store.read(name)
        with parquet_errors(f"{store.shown(name)} is not metadata of clips", KeyError):
            tables.append(parquet.read_table(io.BytesIO(data), columns=columns))
    if not tables:
        raise ValueError(f"{store.name} holds no clips, so there is nothing to analyse")
    return pyarrow.concat_tables(tables, promote_options="permissive")


def _of_table(name: str, manifest: Manifest, table: pyarrow.Table) -> ClipTable:
    def numbers(column: str) -> np.ndarray:
        if column not in table.column_names:
            return np.full(len(table), np.nan)
        return np.array(table[column].to_pylist(), np.float64)  # None becomes NaN

    def numbered(column: str, names: Sequence[str]) -> np.ndarray:
        places = {value: index for index, value in enumerate(names)}
        return np.array([places[value] for value in table[column].to_pylist()], np.int64)

    held = {value.as_py() for value in table["content_type"].unique()}
    content_types = tuple(value for value in manifest.content_types if value in held)
    taxonomy = manifest.taxonomy
    return ClipTable(
        name=name,
        emotions=taxonomy.names,
        valences=tuple(valence for valence in taxonomy.valences if valence is not None)
        if taxonomy.has_valence
        else None,
        valence_names=VALENCES,
        content_types=content_types,
        ids=tuple(table["id"].to_pylist()),
        types=numbered("content_type", content_types),
        labels=numbered("emotion", taxonomy.names),
        attributes={attribute: numbers(attribute) for attribute in ATTRIBUTES},
        format=manifest.format,
        has_audio=np.array(table["has_audio"].to_pylist(), bool),
        captions=tuple(table["caption"].to_pylist()),
        sources=numbered("source", table["source"].unique().to_pylist()),
        groups=numbered("group", table["group"].unique().to_pylist()),
        starts=numbers("start"),
        ends=numbers("end"),
        hashes=tuple(table["sha256"].to_pylist()),
    )
