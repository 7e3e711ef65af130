"""The program apart from its commands: help, version, errors, and packages that cannot be imported."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from one_process import Done, run_all

import emovid_dataset

COMMANDS = (
    "build",
    "verify",
    "stats",
    "annotate",
    "generate",
    "evaluate",
    "push",
    "demo",
    "train annotator",
    "train lora",
)

WRONG = {
    "anotate": "No such command 'anotate'. Did you mean 'annotate'?",
    "build tests --labels setup.cfg": "--out FOLDER is missing",
    "build tests --labels setup.cfg --out x --seed one": "given 'one'",
    "verify": "Missing argument",
    "verify . --deocde": "No such option: --deocde",
    "train lora --rank 1.5": "'--rank'",
}
"""Commands that are used wrong, and what their line says."""


@pytest.fixture(scope="module")
def told() -> dict[str, Done]:
    """What the help of the program and of its commands, its version, and wrong use come to."""
    asked = ["--help", *(f"{command} --help" for command in COMMANDS), "--version", *WRONG]
    return dict(zip(asked, run_all([words.split() for words in asked]), strict=True))


def test_help_lists_every_command_and_imports_nothing_heavy(told: dict[str, Done]) -> None:
    done = told["--help"]
    assert done.code == 0 and done.loaded == []
    words = done.out.split()
    for name in ("build", "verify", "stats", "annotate", "generate", "evaluate", "push", "demo", "train"):
        assert name in words
    assert "Left out" not in done.out


@pytest.mark.parametrize("command", COMMANDS)
def test_a_commands_help_has_an_example_and_imports_nothing_heavy(
    told: dict[str, Done], command: str
) -> None:
    done = told[f"{command} --help"]
    assert done.code == 0 and done.loaded == []
    assert "Example" in done.out and f"emovid {command}" in " ".join(done.out.split())


def test_the_version_and_those_of_the_libraries(told: dict[str, Done]) -> None:
    done = told["--version"]
    assert done.code == 0 and done.loaded == []
    (line,) = done.out.splitlines()
    assert line.startswith(f"emovid {emovid_dataset.__version__} (python {sys.version.split()[0]}, av ")
    as_module = subprocess.run(
        [sys.executable, "-m", "emovid_models.cli", "--version"], capture_output=True, text=True
    )
    script = subprocess.run(
        [Path(sys.executable).with_name("emovid"), "--version"], capture_output=True, text=True
    )
    assert as_module.stdout == script.stdout == done.out


@pytest.mark.parametrize(("words", "says"), WRONG.items())
def test_wrong_use_is_one_line_and_exit_2(told: dict[str, Done], words: str, says: str) -> None:
    done = told[words]
    assert (done.code, done.out) == (2, "")
    (line,) = done.err.splitlines()
    assert line.startswith("emovid: ") and says in line and "Left out" not in line


@pytest.mark.parametrize(
    ("broken", "error", "reason"),
    [
        ("emovid_models", "ModuleNotFoundError('not here')", "ModuleNotFoundError: not here"),
        ("emovid_models", "RuntimeError('two\\nlines')", "RuntimeError: two lines"),
        ("emovid_models.cli", "SystemExit(3)", "SystemExit: 3"),
        ("emovid_models.cli.train_lora", "SyntaxError('half of it')", "SyntaxError: half of it"),
    ],
)
def test_a_package_that_cannot_be_imported_costs_its_own_commands_only(
    broken: str, error: str, reason: str, tmp_path: Path
) -> None:
    own = ("build", "verify", "stats")
    missing = ["build", tmp_path, "--labels", tmp_path / "none.csv", "--out", tmp_path / "out"]
    cases = [
        *([command, "--help"] for command in own),
        ["--help"],
        ["annotate", "clips"],
        ["verify", tmp_path / "none"],
        missing,
    ]
    *helps, overview, annotate, verify, build = run_all(cases, broken=broken, error=error)
    for command, done in zip(own, helps, strict=True):
        assert done.code == 0 and f"emovid {command}" in done.out and done.err == ""
    assert overview.code == 0
    said = " ".join(overview.out.replace("│", " ").split())
    left_out = (
        f"Left out, since they cannot be imported: the commands of emovid_models.cli:register ({reason})."
    )
    assert left_out in said and " build " in said and " annotate " not in said

    assert annotate.code == 2
    assert annotate.err == f"emovid: No such command 'annotate'. {left_out}\n"

    assert verify.code == 1 and "it has no manifest.json" in verify.out
    assert (build.code, build.out) == (2, "")
    assert build.err == f"emovid: --labels {tmp_path / 'none.csv'} is not a file\n"
