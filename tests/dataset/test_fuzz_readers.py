"""Inputs that `benchmarks/fuzz.py` has found, and what a fixed seed makes of sound ones: taken or refused.

Each reader raises nothing but what its callers expect; `benchmarks.fuzz.Readers` says what that is.
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from benchmarks.fuzz import Readers

FOUND = Path(__file__).parent / "fuzz_inputs"
CHANGED = {"tar": 60, "json": 120, "parquet": 40, "card": 12, "sheet": 60, "video": 30}
"""How many changed inputs each reader gets."""


@pytest.fixture(scope="module")
def readers(tmp_path_factory: pytest.TempPathFactory) -> Readers:
    return Readers(tmp_path_factory.mktemp("fuzz") / "files")


@pytest.mark.parametrize(
    "path", sorted(FOUND.glob("*/*")), ids=lambda path: f"{path.parent.name} {path.name}"
)
def test_what_was_found_is_refused_or_taken(path: Path, readers: Readers) -> None:
    readers.named()[path.parent.name](path.read_bytes())


@pytest.mark.parametrize("name", CHANGED)
def test_changed_inputs_are_refused_or_taken(name: str, readers: Readers) -> None:
    draw = random.Random(name)
    read, seeds = readers.named()[name], readers.seeds()[name]
    for data in seeds:
        read(data)
    for _ in range(CHANGED[name]):
        read(changed(draw.choice(seeds), draw))


def changed(data: bytes, draw: random.Random) -> bytes:
    """Cut short, some bytes others, a stretch left out, doubled or of zeros."""
    begin, end = sorted(draw.randrange(len(data) + 1) for _ in range(2))
    kind = draw.randrange(5)
    if kind == 0:
        return data[:end]
    if kind == 1:
        return data[:begin] + data[end:]
    if kind == 2:
        return data[:end] + data[begin:]
    if kind == 3:
        return data[:begin] + bytes(end - begin) + data[end:]
    other = bytearray(data)
    for _ in range(draw.choice((1, 2, 8, 40))):
        # the first bytes and the last ones say most
        place = draw.choice((draw.randrange(len(other)), draw.randrange(min(64, len(other)))))
        other[draw.choice((place, len(other) - 1 - place))] = draw.randrange(256)
    return bytes(other)
