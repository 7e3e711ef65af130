"""The names that the two packages export: there, shown by `dir`, typed, and quick to come by."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import emovid_dataset
import emovid_models

ROOT = Path(__file__).parents[1]
NAMES = [(package, name) for package in (emovid_dataset, emovid_models) for name in package.__all__]


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


def test_the_table_in_contributing_names_them_all() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    table = text.partition("## What may be relied upon")[2].partition("\n## ")[0]
    assert [f"{p.__name__}.{n}" for p, n in NAMES if n != "__version__" and f"`{n}`" not in table] == []
