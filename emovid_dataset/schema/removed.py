"""Clips that were removed from a build: their ids and dates, and nothing of their content."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass

from emovid_dataset.schema.clip import is_clip_id
from emovid_dataset.schema.manifest import REMOVED_NAME


@dataclass(frozen=True, slots=True)
class Removed:
    """One line of `removed.jsonl`.

    Attributes:
        id: of the clip.
        date: of its removal, such as "2026-11-27", in UTC.
        purged: when the earlier revisions of the Hub repo stopped serving it, None while they may.
    """

    id: str
    date: str
    purged: str | None = None

    def line(self) -> str:
        """The line; `purged` stands in it only once it is known."""
        return (
            json.dumps(
                {name: value for name, value in asdict(self).items() if value is not None}, allow_nan=False
            )
            + "\n"
        )


def removed_lines(removed: Iterable[Removed]) -> bytes:
    """The text of `removed.jsonl`."""
    return "".join(entry.line() for entry in removed).encode()


def parse_removed(data: bytes) -> Iterator[Removed]:
    """Read `removed.jsonl`.

    Raises:
        ValueError: it is damaged; the message names the line.
    """
    for number, line in enumerate(data.splitlines(), 1):
        try:
            entry = Removed(**json.loads(line))
        except (ValueError, TypeError) as error:
            raise ValueError(f"{REMOVED_NAME}, line {number}: {error}") from error
        if not is_clip_id(str(entry.id)) or not isinstance(entry.date, str):
            raise ValueError(f"{REMOVED_NAME}, line {number} does not name a clip and a date")
        yield entry
