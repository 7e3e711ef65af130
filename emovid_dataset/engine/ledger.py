"""The outcomes of a stage: one small JSON Lines file per part, whole or absent.

`{folder}/{key}.jsonl` holds the records of a part; `{folder}/{key}.halves` says which smaller parts stand for
one that failed as a whole, so that a resumed run does not fail on it again.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from emovid_dataset.engine.base import P, Part, Record, S, Stage

if TYPE_CHECKING:
    from emovid_dataset.store import Store

_KEY = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,199}")
_RECORDS, _HALVES = ".jsonl", ".halves"


@dataclass(frozen=True, slots=True)
class Entries:
    """The keys that a ledger holds: of parts that are done, and of parts that were divided."""

    done: frozenset[str]
    divided: frozenset[str]


@dataclass(frozen=True, slots=True)
class Ledger:
    """The ledger files in a folder of a store."""

    store: Store
    folder: str

    def write(self, key: str, records: Iterable[Record]) -> None:
        """Write the records of a part, which is done by that.

        Raises:
            ValueError: the key is not a safe file name, or a number is NaN or infinite.
            TypeError: a value is not a JSON value.
        """
        name = self._name(key, _RECORDS)
        lines = io.BytesIO()
        for record in records:
            try:
                lines.write(json.dumps(dict(record), allow_nan=False).encode("ascii") + b"\n")
            except ValueError as error:
                raise ValueError(f"a record of part {key} cannot be written as JSON: {error}") from error
        self.store.put(name, lines.getvalue())  # which copies nothing

    def read(self, key: str) -> Iterator[Record]:
        """The records of a part that is done.

        Raises:
            FileNotFoundError: it is not done.
            ValueError: the file is damaged.
        """
        name = self._name(key, _RECORDS)
        data = self.store.read(name)
        if data and not data.endswith(b"\n"):
            raise ValueError(f"{name}: the file is cut off")
        for number, line in enumerate(io.BytesIO(data), 1):  # not split: the lines would be as large again
            try:
                record = json.loads(line)
            except ValueError as error:
                raise ValueError(f"{name}, line {number}: {error}") from error
            if not isinstance(record, dict):
                raise ValueError(f"{name}, line {number}: not a JSON object")
            yield record

    def entry(self, key: str) -> bytes:
        """The ledger file of a part that is done, as it is, to be carried into another ledger.

        Raises:
            FileNotFoundError: the part is not done.
        """
        return self.store.read(self._name(key, _RECORDS))

    def enter(self, key: str, entry: bytes) -> None:
        """Take over what `entry` gave of another ledger."""
        self.store.put(self._name(key, _RECORDS), entry)

    def has(self, key: str) -> bool:
        """Whether a part is done."""
        return self.store.exists(self._name(key, _RECORDS))

    def remove(self, key: str) -> None:
        """Let a part count as not done."""
        self.store.delete(self._name(key, _RECORDS))

    def divide(self, key: str, halves: Sequence[str]) -> None:
        """Let smaller parts stand for a part from now on, those with the keys `halves`, in this order."""
        self.store.put(
            self._name(key, _HALVES),
            json.dumps({"halves": list(halves)}, allow_nan=False).encode("ascii") + b"\n",
        )

    def halves(self, key: str) -> tuple[str, ...]:
        """The keys of the parts that stand for a divided one.

        Raises:
            FileNotFoundError: it was not divided.
            ValueError: the file is damaged.
        """
        name = self._name(key, _HALVES)
        try:
            keys = json.loads(self.store.read(name))["halves"]
            return tuple(str(key) for key in keys)
        except (ValueError, TypeError, KeyError) as error:
            raise ValueError(f"{name}: the file is damaged: {error}") from error

    def entries(self) -> Entries:
        """Which parts are done or divided, by one listing, since a request per part is slow on a bucket."""
        done: set[str] = set()
        divided: set[str] = set()
        prefix = f"{self.folder}/"
        for name in self.store.list(prefix):
            file = name.removeprefix(prefix)
            if not name.startswith(prefix):
                continue
            if file.endswith(_RECORDS):
                done.add(file.removesuffix(_RECORDS))
            elif file.endswith(_HALVES):
                divided.add(file.removesuffix(_HALVES))
        return Entries(frozenset(done), frozenset(divided))

    def _name(self, key: str, suffix: str) -> str:
        if not _KEY.fullmatch(key):
            raise ValueError(f"part key {key!r} is not a safe file name")
        return f"{self.folder}/{key}{suffix}"


def records(stage: Stage[P, S], store: Store) -> Iterator[Record]:
    """The records of all parts of a stage that is done, in the order of its parts, part by part.

    Raises:
        ValueError: a part is not done, or its ledger file is damaged.
    """
    ledger = Ledger(store, stage.ledger)
    entries = ledger.entries()
    for part in stage.parts(store):
        yield from _records_of(ledger, entries, stage.name, part)


def _records_of(ledger: Ledger, entries: Entries, stage: str, part: Part) -> Iterator[Record]:
    if part.key in entries.done:
        yield from ledger.read(part.key)
        return
    halves = part.halves() if part.key in entries.divided else ()
    if not halves or ledger.halves(part.key) != tuple(half.key for half in halves):
        raise ValueError(f"{stage}: part {part.key} is not done; run the same command again")
    for half in halves:
        yield from _records_of(ledger, entries, stage, half)
