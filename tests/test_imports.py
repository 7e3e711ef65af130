"""Which room may import which: the rules of pyproject.toml, and the picture in CONTRIBUTING.md."""

from __future__ import annotations

import ast
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


def test_no_two_classes_share_a_name() -> None:
    places: dict[str, list[str]] = {}
    for package in ("emovid_dataset", "emovid_models"):
        for path in sorted((ROOT / package).rglob("*.py")):
            for node in ast.parse(path.read_text(encoding="utf-8")).body:
                if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                    places.setdefault(node.name, []).append(path.relative_to(ROOT).as_posix())
    assert {name: files for name, files in places.items() if len(files) > 1} == {}


def test_no_module_outgrows_its_reason() -> None:
    packages = (ROOT / "emovid_dataset", ROOT / "emovid_models", ROOT / "tools")
    sizes = {path: path.read_text(encoding="utf-8").count("\n") for p in packages for path in p.rglob("*.py")}
    assert {path.relative_to(ROOT).as_posix(): size for path, size in sizes.items() if size > 460} == {}
