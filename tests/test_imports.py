"""Which room may import which: the rules of pyproject.toml, and the picture in CONTRIBUTING.md."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tools.import_graph import CONTRIBUTING, END, START, draw, reduced, rooms

ROOT = Path(__file__).parents[1]
LINT = "import sys; from importlinter.cli import lint_imports_command as run; sys.exit(run())"


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", LINT], cwd=folder, capture_output=True, text=True)


def test_every_room_imports_what_it_may() -> None:
    result = lint(ROOT)
    assert result.returncode == 0, result.stdout


def test_the_picture_is_drawn_from_the_code() -> None:
    text = CONTRIBUTING.read_text(encoding="utf-8")
    assert text.partition(START)[2].partition(END)[0] == draw(rooms())


def test_a_circle_has_no_picture() -> None:
    with pytest.raises(ValueError, match="circle: a -> b -> a"):
        reduced({"a": {"b"}, "b": {"a"}})
