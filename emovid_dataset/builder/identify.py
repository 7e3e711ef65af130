"""Find out which clips the rows of a sheet are: an id follows from the bytes of the source file alone."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

from emovid_dataset.builder.plan import Plan
from emovid_dataset.builder.prepare import WORK_FOLDER, PreparePart, Segment, Unit, share_out
from emovid_dataset.engine import Failure, Record, Stage
from emovid_dataset.schema.clip import clip_id
from emovid_dataset.store import Store


class IdentifyStage(Stage[PreparePart, None]):
    """Reads every source file once, and decodes none.

    Its records are the path, start and end of each stretch and its clip `id`, None where the file cannot be
    read. Where clips have a greatest length, `cut` is the id that the clip has if the stretch is longer; how
    long a file is shows only when it is opened.

    Args:
        raw: where the source files are.
        plan: holds the units; it stays in this process.
        every: names the units as for `prepare.PrepareStage`.
        max_seconds: the greatest length of a clip; None where there is none.
    """

    name, unit, ledger = "identify", "clips", f"{WORK_FOLDER}/identified"

    def __init__(self, raw: Store, plan: Plan, every: int, max_seconds: float | None = None) -> None:
        self.raw, self.plan, self.every, self.max_seconds = raw, plan, every, max_seconds

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "plan": None}

    def parts(self, store: Store) -> Iterator[PreparePart]:
        """Units by their content."""
        yield from share_out(self.plan, self.every)

    def run(self, state: None, part: PreparePart, store: Store) -> Iterator[Record]:
        """Name the clips of the part's units."""
        for unit in part.units:
            yield from _identified(unit, self.raw, self.max_seconds)

    def refuse(self, part: PreparePart, failure: Failure) -> list[Record]:
        """What cannot be read is left to be prepared, and refused then."""
        return [record for unit in part.units for record in _records(unit, None, None)]


def _identified(unit: Unit, raw: Store, most: float | None) -> list[Record]:
    digest = hashlib.sha256()
    try:
        with raw.open(unit.path) as file:
            while block := file.read(1 << 20):
                digest.update(block)
    except (FileNotFoundError, PermissionError):
        return _records(unit, None, most)
    return _records(unit, digest, most)


def _records(unit: Unit, digest: Any, most: float | None) -> list[Record]:
    def key(segment: Segment, start: float | None, end: float | None) -> str | None:
        return None if digest is None else clip_id(segment.content_type, digest, start, end)

    return [
        {
            "path": unit.path,
            "start": segment.start,
            "end": segment.end,
            "id": key(segment, segment.start, segment.end),
            "cut": None
            if most is None
            else key(segment, segment.start or 0.0, (segment.start or 0.0) + most),
        }
        for segment in unit.segments
    ]
