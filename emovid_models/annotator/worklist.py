"""`Worklist`: the videos of a run and what earlier runs said of them, on the disk instead of in memory.

A run of a million videos holds one part of them at a time; everything else is in a database in the folder for
temporary files, which goes with the run.
"""

from __future__ import annotations

import json
import pickle
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import overload

from emovid_models.annotator.annotations import Annotation
from emovid_models.annotator.items import Item

_TABLES = """
create table videos (place integer primary key, key text unique, version text, item blob);
create table earlier (key text primary key, version text, failed integer, record text, row integer);
create table looked_at (key text primary key, version text);
create table pending (number integer primary key, place integer);
create table done (place integer primary key);
"""

_DONE = """
insert into done select place from videos join earlier using (key)
where not earlier.failed and earlier.version = videos.version
"""

_OTHERS = "from earlier where key not in (select key from videos)"


class Worklist:
    """The videos of one run, for the length of a `with` block.

    Args:
        items: the videos; listed once. Of two with one key the first one counts.
        earlier: what earlier runs said, of these videos or others.
        looked_at: key and version of the videos whose other outcomes are there; None asks for no others.
    """

    def __init__(
        self,
        items: Iterable[Item],
        earlier: Iterable[Annotation] = (),
        looked_at: Iterable[tuple[str, str]] | None = None,
    ) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="emovid-worklist-")
        self._base = sqlite3.connect(Path(self._folder.name, "videos"), check_same_thread=False)
        self._unpicklable: dict[int, Item] = {}
        try:
            self._fill(items, earlier, looked_at)
        except BaseException:
            self._close()
            raise

    def _fill(
        self,
        items: Iterable[Item],
        earlier: Iterable[Annotation],
        looked_at: Iterable[tuple[str, str]] | None,
    ) -> None:
        # It is thrown away, so nothing need survive a crash.
        self._base.executescript(f"pragma journal_mode = off; pragma synchronous = off; {_TABLES}")
        self._base.executemany(
            "insert or ignore into videos values (?, ?, ?, ?)",
            ((place, item.key, item.version, self._packed(place, item)) for place, item in enumerate(items)),
        )
        self._base.executemany(
            "insert or replace into earlier values (?, ?, ?, ?, ?)",
            (
                (
                    said.key,
                    said.version,
                    said.error is not None,
                    json.dumps(asdict(said), allow_nan=False),
                    row,
                )
                for row, said in enumerate(earlier)
            ),
        )
        if looked_at is None:
            self._base.execute(_DONE)
        else:
            self._base.executemany("insert or replace into looked_at values (?, ?)", looked_at)
            self._base.execute(
                f"{_DONE} and (videos.key, videos.version) in (select key, version from looked_at)"
            )
        self._base.execute(
            "insert into pending select row_number() over (order by place) - 1, place from videos "
            "where place not in (select place from done)"
        )

    def _packed(self, place: int, item: Item) -> bytes | None:
        try:
            return pickle.dumps(item)
        except (pickle.PicklingError, AttributeError, TypeError):
            self._unpicklable[place] = item  # good for this process alone, so it is held
            return None

    def __enter__(self) -> Worklist:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def _close(self) -> None:
        self._base.close()
        self._folder.cleanup()

    def __len__(self) -> int:
        return self._count("videos")

    def _count(self, table: str) -> int:
        return int(self._base.execute(f"select count(*) from {table}").fetchone()[0])

    @property
    def done(self) -> int:
        """How many videos need not be looked at."""
        return self._count("done")

    @property
    def pending(self) -> Sequence[Item]:
        """The videos that must be looked at, in order; a slice of them is read when it is asked for."""
        return _Pending(self, self._count("pending"))

    def version(self, key: str) -> str | None:
        """The version of a video of this run; None for another."""
        found = self._base.execute("select version from videos where key = ?", (key,)).fetchone()
        return None if found is None else str(found[0])

    @property
    def kept(self) -> int:
        """Of how many other videos earlier runs have said something."""
        return int(self._base.execute(f"select count(*) {_OTHERS}").fetchone()[0])

    def others(self) -> Iterator[Annotation]:
        """What earlier runs said of videos that are not of this one."""
        return map(_annotation, self._base.execute(f"select record {_OTHERS} order by row"))

    def merged(self, answers: Iterator[Annotation]) -> Iterator[Annotation]:
        """What is known of every video, in order.

        Args:
            answers: of those that were pending, in order.
        """
        query = (
            "select case when done.place is null then null else earlier.record end from videos "
            "left join done using (place) left join earlier using (key) order by videos.place"
        )
        for row in self._base.execute(query):
            yield next(answers) if row[0] is None else _annotation(row)

    def items(self, start: int, stop: int) -> Iterator[Item]:
        """Some of the pending videos, by their numbers."""
        query = (
            "select place, item from pending join videos using (place) "
            "where number >= ? and number < ? order by number"
        )
        for place, item in self._base.execute(query, (start, stop)):
            yield self._unpicklable[place] if item is None else pickle.loads(item)


class _Pending(Sequence[Item]):
    def __init__(self, worklist: Worklist, count: int) -> None:
        self._worklist, self._count = worklist, count

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> Item: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Item]: ...

    def __getitem__(self, index: int | slice) -> Item | Sequence[Item]:
        if isinstance(index, slice):
            start, stop, step = index.indices(self._count)
            return tuple(self._worklist.items(start, stop))[::step]
        place = range(self._count)[index]
        return next(self._worklist.items(place, place + 1))


def _annotation(row: tuple[str]) -> Annotation:
    return Annotation.from_row(json.loads(row[0]))
