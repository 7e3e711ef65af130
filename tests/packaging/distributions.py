"""How the tests of the package's distributions build them, without a network."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import setuptools

ROOT = Path(__file__).parents[2]

Run = Callable[..., str]
"""Runs code in a fresh process; see the fixture `run`."""


def execute(command: list[str], cwd: Path) -> None:
    """Run a command that must succeed."""
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]


def pip(*arguments: str | Path, cwd: Path) -> None:
    """Run pip; it fetches nothing."""
    command = [sys.executable, "-m", "pip", *map(str, arguments), "--no-deps", "--no-index", "-q"]
    execute(command, cwd)


def build_alone(hook: str, source: Path, out: Path) -> Path:
    """Call a hook of setuptools, "build_wheel" or "build_sdist", where nothing else is installed."""
    site = Path(setuptools.__file__).parents[1]
    code = (
        "import sys; sys.path.append(sys.argv[1]); from setuptools import build_meta\n"
        "getattr(build_meta, sys.argv[2])(sys.argv[3])"
    )
    with TemporaryDirectory() as alone:
        for path in (*site.glob("setuptools*"), *site.glob("_distutils_hack")):
            Path(alone, path.name).symlink_to(path)
        execute([sys.executable, "-S", "-c", code, alone, hook, str(out)], source)
    (built,) = out.iterdir()
    return built
