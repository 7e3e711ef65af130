"""Clips of whose source a part is damaged, and which were made all the same."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Damaged:
    """One line of `damaged.jsonl`: a clip that lacks something that its source should have held.

    Attributes:
        row: of the label sheet.
        path: as the sheet gives it.
        id: of the clip.
        reason: what is damaged, and what stands in its place.
    """

    row: int
    path: str
    id: str
    reason: str
