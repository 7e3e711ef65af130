"""The program apart from its commands: help, version, errors, and packages that cannot be imported."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import emovid_dataset

HEAVY = ("torch", "transformers", "diffusers", "datasets", "numpy", "pyarrow", "av", "huggingface_hub")

RUN = """
import json, sys
from importlib.abc import MetaPathFinder

class Broken(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name == broken:
            raise error

broken, error = sys.argv.pop(1), eval(sys.argv.pop(1))
sys.meta_path.insert(0, Broken())
from emovid_dataset.cli import main
try:
    main()
finally:
    print(json.dumps(sorted(set(sys.modules) & set(json.loads(sys.stdin.read())))))
"""
"""Runs the program where importing one module raises; the last line lists which of some modules it loaded."""


def emovid(
    *arguments: str | Path, broken: str = "", error: str = "None"
) -> tuple[subprocess.CompletedProcess[str], list[str]]:
    done = subprocess.run(
        [sys.executable, "-c", RUN, broken, error, *map(str, arguments)],
        input=json.dumps(HEAVY),
        capture_output=True,
        text=True,
        timeout=200,
    )
    *lines, loaded = done.stdout.splitlines()
    done.stdout = "".join(f"{line}\n" for line in lines)
    return done, json.loads(loaded)


def test_help_lists_every_command_and_imports_nothing_heavy() -> None:
    done, loaded = emovid("--help")
    assert done.returncode == 0 and loaded == []
    words = done.stdout.split()
    for name in ("build", "verify", "stats", "annotate", "generate", "evaluate", "push", "demo", "train"):
        assert name in words
    assert "Left out" not in done.stdout


@pytest.mark.parametrize(
    "command",
    [
        ["build"],
        ["verify"],
        ["stats"],
        ["annotate"],
        ["generate"],
        ["evaluate"],
        ["push"],
        ["demo"],
        ["train", "annotator"],
        ["train", "lora"],
    ],
)
def test_a_commands_help_has_an_example_and_imports_nothing_heavy(command: list[str]) -> None:
    done, loaded = emovid(*command, "--help")
    assert done.returncode == 0 and loaded == []
    assert "Example" in done.stdout and f"emovid {' '.join(command)}" in " ".join(done.stdout.split())


def test_the_version_and_those_of_the_libraries() -> None:
    done, loaded = emovid("--version")
    assert done.returncode == 0 and loaded == []
    (line,) = done.stdout.splitlines()
    assert line.startswith(f"emovid {emovid_dataset.__version__} (python {sys.version.split()[0]}, av ")
    as_module = subprocess.run(
        [sys.executable, "-m", "emovid_models.cli", "--version"], capture_output=True, text=True
    )
    script = subprocess.run(
        [Path(sys.executable).with_name("emovid"), "--version"], capture_output=True, text=True
    )
    assert as_module.stdout == script.stdout == done.stdout


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["anotate"], "No such command 'anotate'. Did you mean 'annotate'?"),
        (["build", "tests", "--labels", "setup.cfg"], "--out FOLDER is missing"),
        (["build", "tests", "--labels", "setup.cfg", "--out", "x", "--seed", "one"], "given 'one'"),
        (["verify"], "Missing argument"),
        (["verify", ".", "--deocde"], "No such option: --deocde"),
        (["train", "lora", "--rank", "1.5"], "'--rank'"),
    ],
)
def test_wrong_use_is_one_line_and_exit_2(arguments: list[str], says: str) -> None:
    done, _ = emovid(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
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
    for command in ("build", "verify", "stats"):
        done, _ = emovid(command, "--help", broken=broken, error=error)
        assert done.returncode == 0 and f"emovid {command}" in done.stdout and done.stderr == ""
    done, _ = emovid("--help", broken=broken, error=error)
    assert done.returncode == 0
    said = " ".join(done.stdout.replace("│", " ").split())
    left_out = (
        f"Left out, since they cannot be imported: the commands of emovid_models.cli:register ({reason})."
    )
    assert left_out in said and " build " in said and " annotate " not in said

    done, _ = emovid("annotate", "clips", broken=broken, error=error)
    assert done.returncode == 2
    assert done.stderr == f"emovid: No such command 'annotate'. {left_out}\n"

    done, _ = emovid("verify", tmp_path / "none", broken=broken, error=error)
    assert done.returncode == 1 and "it has no manifest.json" in done.stdout
    command = ["build", tmp_path, "--labels", tmp_path / "none.csv", "--out", tmp_path / "out"]
    done, _ = emovid(*command, broken=broken, error=error)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"emovid: --labels {tmp_path / 'none.csv'} is not a file\n"
