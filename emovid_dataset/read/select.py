"""`select`: a few clips, chosen in the metadata, of which only the bytes are read."""

from __future__ import annotations

import hashlib
import os
import random
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, overload

from emovid_dataset.read.arguments import labels_of
from emovid_dataset.read.manifest import read_manifest
from emovid_dataset.read.metadata import condition, row_groups
from emovid_dataset.schema.clip import Clip
from emovid_dataset.schema.features import FORMAT_1_NAMES, PLACE_COLUMNS
from emovid_dataset.schema.manifest import Manifest
from emovid_dataset.store import Store

if TYPE_CHECKING:
    import pyarrow
    from pyarrow.dataset import Expression, ParquetFileFragment

_AHEAD = 8
_ROWS = 1_000  # made clips of at a time


@dataclass(frozen=True, slots=True)
class SelectedClip:
    """One clip of a selection, with its video.

    Attributes:
        clip: its fields.
        split: such as "train".
        video: the bytes of its MP4, checked against `Clip.sha256`.
    """

    clip: Clip
    split: str
    video: bytes


@dataclass(frozen=True, slots=True)
class Member:
    """Where a clip lies in its build.

    Attributes:
        clip: its fields.
        split: such as "train".
        shard: name of the shard.
        offset: of its MP4 in the shard.
        size: bytes of its MP4.
    """

    clip: Clip
    split: str
    shard: str
    offset: int
    size: int


class Selection(Sequence[SelectedClip]):
    """The clips that `select` chose; a video is read when its clip is asked for, and not kept.

    Attributes:
        clips: the fields of every clip, in order, without reading a video.
    """

    def __init__(self, store: Store, members: Sequence[Member]) -> None:
        self._store, self._members = store, tuple(members)
        self.clips: tuple[Clip, ...] = tuple(member.clip for member in self._members)

    @property
    def splits(self) -> frozenset[str]:
        """The splits that its clips are in."""
        return frozenset(member.split for member in self._members)

    def __len__(self) -> int:
        return len(self._members)

    @overload
    def __getitem__(self, index: int) -> SelectedClip: ...

    @overload
    def __getitem__(self, index: slice) -> Selection: ...

    def __getitem__(self, index: int | slice) -> SelectedClip | Selection:
        if isinstance(index, slice):
            return Selection(self._store, self._members[index])
        return self._read(self._members[index])

    def __iter__(self) -> Iterator[SelectedClip]:
        """Read the clips in order; remote ones a few at a time."""
        if self._store.folder is not None:
            yield from map(self._read, self._members)
            return
        with ThreadPoolExecutor(_AHEAD) as pool:
            waiting: list[Future[SelectedClip]] = []
            try:
                for member in self._members:
                    waiting.append(pool.submit(self._read, member))
                    if len(waiting) == _AHEAD:
                        yield waiting.pop(0).result()
                for future in waiting:
                    yield future.result()
            finally:
                for future in waiting:
                    future.cancel()

    def __repr__(self) -> str:
        return f"Selection of {len(self)} clips in {self._store.name}"

    def _read(self, member: Member) -> SelectedClip:
        video = self._store.range(member.shard, member.offset, member.offset + member.size)
        if hashlib.sha256(video).hexdigest() != member.clip.sha256:
            raise OSError(
                f"{member.clip.id} in {self._store.shown(member.shard)} differs from its sha256; "
                "the shard is damaged or of another build"
            )
        return SelectedClip(member.clip, member.split, video)


def select(
    source: str | os.PathLike[str],
    *,
    emotion: str | int | Iterable[str | int] | None = None,
    content_type: str | Iterable[str] | None = None,
    split: str | Iterable[str] | None = None,
    brightness: tuple[float, float] | None = None,
    colorfulness: tuple[float, float] | None = None,
    hue: tuple[float, float] | None = None,
    luma: tuple[float, float] | None = None,
    colorfulness_m3: tuple[float, float] | None = None,
    hue_chroma: tuple[float, float] | None = None,
    duration: tuple[float, float] | None = None,
    where: Callable[[Clip], bool] | None = None,
    limit: int | None = None,
    seed: int | None = None,
    revision: str | None = None,
    token: str | bool | None = None,
) -> Selection:
    """Choose clips in the metadata; then only the bytes of those clips are read.

    Args:
        source: a build: its folder, a Hub repo (``owner/name``), or an http(s) address whose server takes
            range requests.
        emotion: one emotion of the build's taxonomy or several, names or indices.
        content_type: one of the build's content types, such as "sticker", or several.
        split: one of the build's splits, such as "train", or several.
        brightness: mean V of HSV, least and greatest, both inclusive, 0..1.
        colorfulness: mean S of HSV, least and greatest, both inclusive, 0..1.
        hue: unweighted mean hue, from and to in degrees, both inclusive; (340, 20) runs through 0. Grey
            pixels count as 0 degrees.
        luma: mean Rec. 601 luma, least and greatest, both inclusive, 0..1.
        colorfulness_m3: of Hasler & Suesstrunk, least and greatest, both inclusive, 0 to about 1.5.
        hue_chroma: mean hue weighted by chroma, from and to as for `hue`. Grey clips have none and are left
            out.
        duration: least and greatest, both inclusive, seconds.
        where: any other condition on the clip.
        limit: at most this many clips.
        seed: draw them at random with this seed; None takes them in the order of the shards.
        revision: branch, tag or commit of a Hub repo.
        token: for a private Hub repo.

    Returns:
        A sequence of `SelectedClip`. Each video is read when its clip is asked for.

    Raises:
        ValueError: an unknown emotion, content type or split, a range that is none, or a build of format 1
            lacks the attribute.
        FileNotFoundError: the source is not a build.
        OSError: a clip cannot be read or differs from its sha256.
    """
    ranges = {
        name: _range(name, bounds)
        for name, bounds in (
            ("brightness", brightness),
            ("colorfulness", colorfulness),
            ("luma", luma),
            ("colorfulness_m3", colorfulness_m3),
            ("duration", duration),
        )
        if bounds is not None
    }
    arcs = {
        name: _arc(name, bounds)
        for name, bounds in (("hue", hue), ("hue_chroma", hue_chroma))
        if bounds is not None
    }
    if limit is not None and limit < 0:
        raise ValueError(f"limit is {limit}; it must be 0 or more, or None")

    store = Store.find(source, revision=revision, token=token)
    manifest = read_manifest(store)
    if manifest.format == 1:
        _refuse_new_names((*ranges, *arcs), store.name)
    labels = None if emotion is None else labels_of("emotion", emotion, manifest.taxonomy)
    content_types = _names("content_type", content_type, manifest.content_types)
    splits = _names("split", split, manifest.split_names)

    tables = _split_of_each(manifest, content_types, splits)
    with ExitStack() as opened:
        wanted = condition(manifest, labels=labels, ranges=ranges, arcs=arcs)
        index = _Index(store, manifest, tables, wanted, opened)
        if seed is None:
            return Selection(store, list(islice(index.members(where), limit)))
        return Selection(store, index.drawn(where, limit, seed))


def read_members(
    store: Store, manifest: Manifest, content_types: Iterable[str], splits: Iterable[str]
) -> Iterator[Member]:
    """The clips of a build in the order of its shards, one row group of the metadata at a time."""
    with ExitStack() as opened:
        tables = _split_of_each(manifest, content_types, splits)
        yield from _Index(store, manifest, tables, None, opened).members(None)


def _split_of_each(manifest: Manifest, content_types: Iterable[str], splits: Iterable[str]) -> dict[str, str]:
    """The metadata tables, each with the split that its clips are in."""
    return {name: first.split for name, (first, *_) in manifest.tables(content_types, splits).items()}


class _Index:
    """The rows of metadata tables that meet a condition, numbered in the order of the tables and rows.

    Args:
        store: where the build lies.
        manifest: of the build.
        tables: their names, each with the split that its clips are in.
        wanted: the condition; None takes every row.
        opened: closes the tables, which are opened one after the other as they are read.
    """

    def __init__(
        self,
        store: Store,
        manifest: Manifest,
        tables: Mapping[str, str],
        wanted: Expression | None,
        opened: ExitStack,
    ) -> None:
        self._store, self._manifest, self._tables, self._wanted = store, manifest, tables, wanted
        self._opened = opened
        self._held: dict[str, list[ParquetFileFragment]] = {}

    def members(self, where: Callable[[Clip], bool] | None) -> Iterator[Member]:
        """The clips, in order; `where` is a further condition."""
        for split, group in self._groups():
            found = group.to_table(filter=self._wanted)
            for first in range(0, found.num_rows, _ROWS):
                for member in self._made(found.slice(first, _ROWS), split):
                    if where is None or where(member.clip):
                        yield member

    def drawn(self, where: Callable[[Clip], bool] | None, limit: int | None, seed: int) -> list[Member]:
        """Clips in an order that the seed draws: rows are counted first, and only those drawn are kept."""
        if where is None:
            count = sum(self._count(group) for _, group in self._groups())
            numbers = array("q", range(count))
        else:
            numbers = array("q", self._numbers(where))
        random.Random(seed).shuffle(numbers)
        places = {number: place for place, number in enumerate(numbers[:limit])}
        members: dict[int, Member] = {}
        first = 0
        for split, group in self._groups():
            end = first + self._count(group)
            if here := [number for number in range(first, end) if number in places]:
                found = group.to_table(filter=self._wanted).take([number - first for number in here])
                for number, member in zip(here, self._made(found, split), strict=True):
                    members[places[number]] = member
            first = end
        return [members[place] for place in sorted(members)]

    def _numbers(self, where: Callable[[Clip], bool]) -> Iterator[int]:
        for number, member in enumerate(self.members(None)):
            if where(member.clip):
                yield number

    def _groups(self) -> Iterator[tuple[str, ParquetFileFragment]]:
        for name, split in self._tables.items():
            if name not in self._held:
                self._held[name] = self._opened.enter_context(row_groups(self._store, name, self._wanted))
            yield from ((split, group) for group in self._held[name])

    def _count(self, group: ParquetFileFragment) -> int:
        # `count_rows` counts the whole file where the statistics answer
        return int(group.to_table(columns=[], filter=self._wanted).num_rows)

    def _made(self, rows: pyarrow.Table, split: str) -> Iterator[Member]:
        for row in rows.to_pylist():
            place = {name: row.pop(name) for name in PLACE_COLUMNS}
            yield Member(self._manifest.clip(row), split, **place)


def _refuse_new_names(names: Iterable[str], build: str) -> None:
    """Refuse attributes that a build of format 1 lacks, whose names it gives to others."""
    for name in names:
        if name in FORMAT_1_NAMES:
            raise ValueError(
                f"{build} is a build of format 1, which has no {name} in today's sense; what it calls {name} "
                f"is {FORMAT_1_NAMES[name]}: select by {FORMAT_1_NAMES[name]}=..., or build it again"
            )


def _names(argument: str, given: str | Iterable[str] | None, allowed: Sequence[str]) -> tuple[str, ...]:
    if given is None:
        return tuple(allowed)
    names = (given,) if isinstance(given, str) else tuple(given)
    for name in names:
        if name not in allowed:
            raise ValueError(f"{argument} is {name!r}; allowed: {', '.join(allowed)}")
    return tuple(name for name in allowed if name in names)


def _range(argument: str, bounds: tuple[float, float]) -> tuple[float, float]:
    try:
        low, high = (float(bound) for bound in bounds)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{argument} is {bounds!r}; it must be two numbers, least and greatest") from error
    if not low <= high:
        raise ValueError(f"{argument} is {bounds!r}; the least must not exceed the greatest")
    return low, high


def _arc(argument: str, bounds: tuple[float, float]) -> tuple[float, float]:
    try:
        start, end = (float(bound) for bound in bounds)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{argument} is {bounds!r}; it must be two angles in degrees, from and to"
        ) from error
    if not (0 <= start <= 360 and 0 <= end <= 360):
        raise ValueError(f"{argument} is {bounds!r}; both angles must be 0..360")
    return start, end
