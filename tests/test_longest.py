"""The list of the files that take longest names files that are there, each once."""

from __future__ import annotations

from pathlib import Path

HERE = Path(__file__).parent


def test_the_longest_files_are_there() -> None:
    names = (HERE / "longest.txt").read_text(encoding="utf-8").split()
    assert len(names) == len(set(names)) > 20
    assert [name for name in names if not (HERE / name).is_file()] == []
