"""The lists beside the shards, an object per line: refused, left out, damaged, without emotion, odd."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from itertools import chain
from typing import TypeVar

from emovid_dataset.builder.sheet import Rejection
from emovid_dataset.report.problems import Problem
from emovid_dataset.schema.benchmark import LeftOut
from emovid_dataset.schema.damage import Damaged
from emovid_dataset.schema.no_emotion import NoEmotion
from emovid_dataset.store import Store

Listed = TypeVar("Listed", Rejection, NoEmotion, LeftOut, Damaged, Problem)


def line_of(record: Rejection | NoEmotion | LeftOut | Damaged | Problem) -> bytes:
    """A line of a list."""
    return (json.dumps(asdict(record), ensure_ascii=False, allow_nan=False) + "\n").encode()


def write_list(out: Store, name: str, listed: Iterable[Listed]) -> int:
    """Write a list; an empty one is a file that is not there.

    Args:
        out: the build.
        name: of the file.
        listed: its records.

    Returns:
        How many there are.
    """
    rest = iter(listed)
    first = next(rest, None)
    if first is None:
        out.delete(name)
        return 0
    count = 0
    with out.create(name) as file:
        for record in chain((first,), rest):
            file.write(line_of(record))
            count += 1
    return count


def read_list(out: Store, name: str, kind: type[Listed]) -> Iterator[Listed]:
    """Read a list.

    Args:
        out: the build.
        name: of the file.
        kind: of its records.
    """
    if out.exists(name):
        for line in out.read(name).decode().splitlines():
            yield kind(**json.loads(line))
