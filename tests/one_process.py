"""Run the program several times in one process, which imports it once."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

HEAVY = ("torch", "transformers", "diffusers", "datasets", "numpy", "pyarrow", "av", "huggingface_hub")
"""Packages that take long to import."""

RUN = """
import contextlib, functools, io, json, sys
from importlib.abc import MetaPathFinder

class Broken(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name == broken:
            raise error

cases, heavy, broken, error = json.loads(sys.stdin.read())
error = eval(error)
endings = tuple(name for name in heavy if name.startswith("."))
sys.meta_path.insert(0, Broken())
import typer.main
from emovid_dataset.cli import main

# The commands are the same for every case: they are drawn up once.
typer.main.get_command = functools.cache(typer.main.get_command)
for arguments in cases:
    out, err = io.StringIO(), io.StringIO()
    sys.argv = ["emovid", *arguments]
    code = 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main()
        except SystemExit as stop:
            code = stop.code or 0
    loaded = [name for name in sys.modules if name in heavy or name.endswith(endings)]
    print(json.dumps([code, out.getvalue(), err.getvalue(), sorted(loaded)]))
"""


class Done(NamedTuple):
    """What one run of the program left.

    Attributes:
        code: exit code.
        out: what it printed.
        err: what it printed to stderr.
        loaded: the modules of `heavy` that it, or a run before it, has imported.
    """

    code: int
    out: str
    err: str
    loaded: list[str]


def run_all(
    cases: Sequence[Sequence[str | Path]],
    *,
    heavy: Sequence[str] = HEAVY,
    broken: str = "",
    error: str = "None",
    cwd: Path | None = None,
) -> list[Done]:
    """Run the program with each list of arguments, one after the other, in one fresh process.

    Args:
        cases: arguments of each run.
        heavy: modules to look for among those that are imported; what begins with a dot is the end of a name.
        broken: a module whose import raises.
        error: Python for what it raises.
        cwd: folder to run in.

    Raises:
        AssertionError: the process failed.
    """
    told = json.dumps([[[str(word) for word in case] for case in cases], heavy, broken, error])
    done = subprocess.run(
        [sys.executable, "-c", RUN], input=told, capture_output=True, text=True, timeout=250, cwd=cwd
    )
    assert done.returncode == 0, done.stderr
    return [Done(*json.loads(line)) for line in done.stdout.splitlines()]
