"""A wheel and a source distribution of this checkout, built once, and the wheel installed in a folder."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from distributions import ROOT, Run, build_alone, pip


@pytest.fixture(scope="session")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of all files that git knows or would add, in which somebody has built an older version."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a git checkout")
    folder = tmp_path_factory.mktemp("source")
    for name in listed.stdout.rstrip("\0").split("\0"):
        if not name.startswith("tests/") and (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, folder / name)
    for name in ("loading_script.py", "emovid_models/hub.py", "emovid_models/mini/annotator/old.py"):
        stale = folder / "build" / "lib" / name
        stale.parent.mkdir(parents=True, exist_ok=True)
        stale.write_text("# of an older version\n")
    return folder


@pytest.fixture(scope="session")
def wheel(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, as pip builds it from the checkout."""
    out = tmp_path_factory.mktemp("wheel")
    pip("wheel", "--no-build-isolation", "-w", out, ".", cwd=source)
    (built,) = out.iterdir()
    return built


@pytest.fixture(scope="session")
def sdist(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source distribution."""
    return build_alone("build_sdist", source, tmp_path_factory.mktemp("sdist"))


@pytest.fixture(scope="session")
def site(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds the installed wheel and nothing else."""
    folder = tmp_path_factory.mktemp("site")
    pip("install", "--target", folder, wheel, cwd=folder)
    return folder


@pytest.fixture(params=["checkout", "wheel"])
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Run:
    """Runs code offline in a fresh process, in a folder of its own, once as a checkout and once as a wheel.

    The code finds the folder that the packages must come from as `sys.argv[1]`, then the further arguments.
    What it prints last is returned. If it is a path, that file is run.
    """
    home = tmp_path / "home"
    place = ROOT if request.param == "checkout" else request.getfixturevalue("site")

    def run(code: str | Path, *arguments: object, cwd: Path = tmp_path) -> str:
        environment = {
            **os.environ,
            # tqdm's monitor is a thread, and a process that has threads had better not fork
            "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
            "HF_HOME": str(home / "huggingface"),
            "HF_HUB_OFFLINE": "1",
            "HOME": str(home),
            "OMP_NUM_THREADS": "1",
            "XDG_CACHE_HOME": str(home / "cache"),
        }
        environment.pop("PYTHONPATH", None)
        if request.param == "wheel":
            environment["PYTHONPATH"] = str(place)
        start = [sys.executable, str(code)] if isinstance(code, Path) else [sys.executable, "-c", code]
        done = subprocess.run(
            [*start, str(place), *map(str, arguments)],
            cwd=cwd,
            env=environment,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout.splitlines()[-1]

    return run
