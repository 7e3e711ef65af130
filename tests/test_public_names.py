"""The names that the two packages export: there, shown by `dir`, typed, and quick to come by."""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import emovid_dataset
import emovid_models

ROOT = Path(__file__).parents[1]
PACKAGES = (emovid_dataset, emovid_models)
NAMES = [(package, name) for package in PACKAGES for name in package.__all__]

UNNAMED = {
    *("Profile", "Refusal", "Lease", "LoadedByName", "ClipTable", "EmotionCounts", "PlacedEmotion"),
    *("FeatureMap", "PositiveShares", "AttributeMeans", "HueDirections", "Transitions", "EmotionPhrases"),
    *(
        "SoundByEmotion",
        "BenchmarkCell",
        "Ratings",
        "Stage",
        "ProblemClip",
        "Ambiguity",
        "Condition",
        "GrowingPlan",
        "DecodingLimit",
        "SegmentFrames",
    ),
}
"""Classes that public names give or hand on, and that nobody needs to name: at most their fields are read."""


@pytest.mark.parametrize(("package", "name"), NAMES, ids=[f"{p.__name__}.{n}" for p, n in NAMES])
def test_a_public_name_is_there_and_says_what_it_returns(package: Any, name: str) -> None:
    value = getattr(package, name)
    assert name in dir(package)
    if inspect.isfunction(value):
        found = inspect.signature(value).return_annotation
        assert found is not inspect.Signature.empty and found not in ("Any", Any), f"{name} returns {found}"
        assert value.__doc__ and "Returns:" in value.__doc__
    elif inspect.isclass(value):
        assert value.__doc__


def test_an_unknown_name_is_an_attribute_error() -> None:
    for package in (emovid_dataset, emovid_models):
        with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
            package.nothing  # noqa: B018


def test_the_function_stays_when_rooms_are_imported() -> None:
    code = (
        "import emovid_dataset.builder.build, emovid_dataset.report.stats, emovid_dataset.read.load\n"
        "import emovid_dataset, inspect\n"
        "assert all(inspect.isfunction(getattr(emovid_dataset, name)) for name in "
        "('build', 'verify', 'stats', 'load', 'stream', 'select'))"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_importing_the_packages_imports_nothing_heavy() -> None:
    code = (
        "import sys, emovid_dataset, emovid_models; dir(emovid_dataset); dir(emovid_models)\n"
        "print(sorted({name.partition('.')[0] for name in sys.modules} & "
        "{'torch', 'av', 'pyarrow', 'datasets', 'transformers', 'diffusers', 'numpy'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=ROOT)
    assert done.stdout == "[]\n"


def test_the_table_in_contributing_names_them_all_and_no_others() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    table = text.partition("## What may be relied upon")[2].partition("\n## ")[0]
    for package in PACKAGES:
        rows = re.findall(rf"^\| `{package.__name__}`, .*? \| (.*) \|$", table, flags=re.MULTILINE)
        named = re.findall(r"`(\w+)`", " ".join(rows))
        assert sorted(named) == sorted(set(package.__all__) - {"__version__"}), package.__name__


def own_classes() -> set[str]:
    """The names of the classes of both packages."""
    found = set()
    for package in PACKAGES:
        for path in (ROOT / package.__name__).rglob("*.py"):
            tree = ast.parse(path.read_text(encoding="utf-8"))
            found |= {node.name for node in tree.body if isinstance(node, ast.ClassDef)}
    return {name for name in found if not name.startswith("_")}


def annotations(value: Any) -> list[str]:
    """What a public function takes and returns; of a class, its fields and what its public methods do."""
    if inspect.isfunction(value):
        found = [*(one.annotation for one in inspect.signature(value).parameters.values())]
        return [str(one) for one in (*found, inspect.signature(value).return_annotation)]
    if not inspect.isclass(value):
        return []
    fields = [text for name, text in vars(value).get("__annotations__", {}).items() if name[0] != "_"]
    parts = [part for name, part in vars(value).items() if not name.startswith("_")]
    methods = [part.fget if isinstance(part, property) else getattr(part, "__func__", part) for part in parts]
    return [
        *fields,
        *(text for method in methods if inspect.isfunction(method) for text in annotations(method)),
    ]


def test_what_public_names_take_and_give_is_public_too() -> None:
    inside = own_classes() - {name for _, name in NAMES}
    wanted = {
        word: f"{package.__name__}.{name}"
        for package, name in NAMES
        for text in annotations(getattr(package, name))
        for word in re.findall(r"\w+", str(text))
        if word in inside
    }
    assert {word: name for word, name in wanted.items() if word not in UNNAMED} == {}
    assert set(wanted) == UNNAMED, "no longer given by a public name"
