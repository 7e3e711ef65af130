"""No JSON that is written holds a bare NaN or Infinity, which no other reader takes."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = [
    *(
        path
        for folder in ("emovid_dataset", "emovid_models", "tools", "cards", "benchmarks", "docs")
        for path in sorted((ROOT / folder).rglob("*.py"))
    ),
    ROOT / "setup.py",
    ROOT / "loading_script.py",
]
WRITERS = {"dump", "dumps", "JSONEncoder"}


def lenient_calls(code: str) -> list[int]:
    """Lines on which JSON is written that may hold a bare NaN.

    Args:
        code: of a module.
    """
    module = ast.parse(code)
    modules, names = set(), set()
    for node in ast.walk(module):
        if isinstance(node, ast.Import):
            modules |= {alias.asname or alias.name for alias in node.names if alias.name == "json"}
        elif isinstance(node, ast.ImportFrom) and node.module == "json":
            names |= {alias.asname or alias.name for alias in node.names if alias.name in WRITERS}
    strict = {
        id(node.func)
        for node in ast.walk(module)
        if isinstance(node, ast.Call)
        and any(
            keyword.arg == "allow_nan"
            and isinstance(keyword.value, ast.Constant)
            and keyword.value.value is False
            for keyword in node.keywords
        )
    }
    found = []
    for node in ast.walk(module):
        writer = (isinstance(node, ast.Name) and node.id in names) or (
            isinstance(node, ast.Attribute)
            and node.attr in WRITERS
            and isinstance(node.value, ast.Name)
            and node.value.id in modules
        )
        # Also one that is handed on uncalled: nobody sees how it is called then.
        if writer and id(node) not in strict:
            found.append(node.lineno)  # type: ignore[attr-defined]
    return sorted(found)


@pytest.mark.parametrize(
    ("code", "lines"),
    [
        ("import json\njson.dumps(1)\njson.dumps(1, allow_nan=False)", [2]),
        ("import json as j\nj.dump(1, f)\nx = j.dumps", [2, 3]),
        ("from json import dumps as d, loads\nd(1)\nloads('1')\nd(1, allow_nan=True)", [2, 4]),
        ("import json\n\njson.JSONEncoder()\njson.JSONEncoder(allow_nan=False)", [3]),
        ("import pickle\npickle.dumps(1)", []),
    ],
)
def test_lenient_calls_are_found(code: str, lines: list[int]) -> None:
    assert lenient_calls(code) == lines


def test_every_json_is_strict() -> None:
    assert len(SOURCES) > 200
    found = [
        f"{path.relative_to(ROOT)}:{line}"
        for path in SOURCES
        for line in lenient_calls(path.read_text(encoding="utf-8"))
    ]
    assert not found
