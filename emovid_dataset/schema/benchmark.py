"""The benchmark split: its name, what it records in a manifest, and that nothing trains on it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from emovid_dataset.schema.clip import Clip

BENCHMARK = "benchmark"
"""The split that is set aside for judging; a build has it only when it was asked for."""

LEAST_RATERS = 3
"""So many people at least must have labelled a clip, and all agreed, before it qualifies by itself."""


def refuse_training_on(split: str) -> None:
    """Keep the benchmark out of every training, validation included.

    Args:
        split: of the clips that a trainer is about to read.

    Raises:
        ValueError: it is the benchmark.

    >>> refuse_training_on("train")
    >>> refuse_training_on("benchmark")
    Traceback (most recent call last):
    ...
    ValueError: split 'benchmark' is set aside for judging: nothing may be trained or validated on it
    """
    if split == BENCHMARK:
        raise ValueError(
            f"split {split!r} is set aside for judging: nothing may be trained or validated on it"
        )


def qualifies(clip: Clip) -> bool:
    """Whether a clip's label is sure enough for the benchmark: at least three people, all of one mind."""
    return (
        clip.emotion_source == "human"
        and clip.raters is not None
        and clip.raters >= LEAST_RATERS
        and clip.agreement == 1.0
    )


@dataclass(frozen=True, slots=True)
class LeftOut:
    """One line of `left_out.jsonl`: a clip in no split, because one of its group is in the benchmark.

    Attributes:
        row: of the label sheet.
        path: as the sheet gives it.
        id: of the clip.
        group: that it shares with a clip of the benchmark.
    """

    row: int
    path: str
    id: str
    group: str


@dataclass(frozen=True, slots=True)
class BenchmarkCell:
    """One emotion of one content type.

    Attributes:
        content_type: of its clips.
        emotion: of its clips.
        asked: clips wanted.
        filled: clips in the benchmark.
        reason: why it holds fewer than were asked for, None where it does not.
    """

    content_type: str
    emotion: str
    asked: int
    filled: int
    reason: str | None


@dataclass(frozen=True, slots=True)
class Benchmark:
    """What a manifest says of the benchmark split.

    Attributes:
        per_cell: clips asked for per emotion and content type; None when a list named the clips.
        left_out: clips in no split, because a clip of their group is in the benchmark.
        cells: every emotion of every content type that was asked for.
    """

    per_cell: int | None
    left_out: int
    cells: tuple[BenchmarkCell, ...]

    @property
    def asked(self) -> int:
        """Clips wanted in all."""
        return sum(cell.asked for cell in self.cells)

    @property
    def filled(self) -> int:
        """Clips in the benchmark."""
        return sum(cell.filled for cell in self.cells)

    @property
    def short(self) -> tuple[BenchmarkCell, ...]:
        """The cells that could not be filled."""
        return tuple(cell for cell in self.cells if cell.filled < cell.asked)

    def to_json(self) -> dict[str, Any]:
        """The record as JSON holds it."""
        return {**asdict(self), "cells": [asdict(cell) for cell in self.cells]}

    @classmethod
    def from_json(cls, record: Any) -> Benchmark:
        """Check a record of a manifest.

        Raises:
            ValueError: a field is missing or unknown, or has another type.
        """
        values = _fields(record, {"per_cell": (int, type(None)), "left_out": (int,), "cells": (list,)})
        kinds: dict[str, tuple[type, ...]] = {
            "content_type": (str,),
            "emotion": (str,),
            "asked": (int,),
            "filled": (int,),
            "reason": (str, type(None)),
        }
        cells = tuple(BenchmarkCell(**_fields(cell, kinds)) for cell in values.pop("cells"))
        return cls(**values, cells=cells)


def _fields(record: Any, kinds: Mapping[str, tuple[type, ...]]) -> dict[str, Any]:
    if not isinstance(record, Mapping) or set(record) != set(kinds):
        raise ValueError(f"benchmark has {record!r}, not the fields {', '.join(kinds)}")
    for name, allowed in kinds.items():
        if type(record[name]) not in allowed:
            raise ValueError(f"benchmark: {name} is {record[name]!r}, not {allowed[0].__name__}")
    return dict(record)
