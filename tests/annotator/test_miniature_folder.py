"""Where the miniature annotator lies in a checkout: in a cache folder that is whole, current and no link."""

from __future__ import annotations

import json
import multiprocessing
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest

import emovid_models
from emovid_models import miniature
from emovid_models.miniature import ANNOTATOR_WEIGHTS, MINI, is_miniature
from emovid_models.remote.annotator import CODE

FILES = {path.name for path in ANNOTATOR_WEIGHTS.iterdir() if path.is_file()} | set(CODE)
ASK = "from emovid_models import MINI_ANNOTATOR; print(MINI_ANNOTATOR)"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's cache folder, which is not there yet."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    return folder


def is_whole(folder: Path) -> bool:
    """Whether a folder holds all files of the annotator and no other, each with its bytes."""
    sources = {name: CODE.get(name, ANNOTATOR_WEIGHTS / name) for name in FILES}
    return {path.name for path in folder.iterdir()} == FILES and all(
        (folder / name).read_bytes() == source.read_bytes() for name, source in sources.items()
    )


def ask(code: str = ASK, **environment: str) -> str:
    """What a process of its own prints last, with these variables and no other that names a folder."""
    kept = {name: value for name, value in os.environ.items() if name not in ("XDG_CACHE_HOME", "HOME")}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={**kept, **environment}
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.splitlines()[-1]


def test_the_package_holds_no_second_copy_of_the_code() -> None:
    assert not list(MINI.rglob("*.py"))
    assert {"config.json", "model.safetensors", "pipeline.py", "truncation.py"} <= FILES


def test_the_folder_in_the_cache_is_whole_and_has_no_links(cache: Path) -> None:
    folder = emovid_models.MINI_ANNOTATOR
    assert re.fullmatch(r"emovid/[0-9a-f]{16}/annotator", folder.relative_to(cache).as_posix())
    assert is_whole(folder)
    for path in folder.iterdir():
        assert not path.is_symlink() and path.stat().st_nlink == 1, path
    assert [path.name for path in folder.parent.iterdir()] == ["annotator"], "nothing temporary is left"
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert folder == emovid_models.MINI_ANNOTATOR
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == before, "not written again"


def test_it_is_an_attribute_that_dir_shows_and_importing_the_package_writes_nothing(cache: Path) -> None:
    code = "import emovid_models; print('MINI_ANNOTATOR' in dir(emovid_models))"
    assert ask(code, XDG_CACHE_HOME=str(cache), HOME="/proc/nowhere") == "True"
    assert not cache.exists()
    with pytest.raises(AttributeError, match="module 'emovid_models' has no attribute 'MINI_JUDGE'"):
        _ = emovid_models.MINI_JUDGE  # type: ignore[attr-defined]


def assemble_together(caches: list[str], barrier: Barrier) -> None:
    """Ask for the folder in each cache, at the same moment as the other processes."""
    for folder in caches:
        os.environ["XDG_CACHE_HOME"] = folder
        barrier.wait(timeout=60)
        found = emovid_models.MINI_ANNOTATOR
        assert found.is_relative_to(folder) and is_whole(found), found


def test_processes_that_ask_at_once_get_one_whole_folder(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    caches = [tmp_path / str(number) for number in range(8)]
    barrier = context.Barrier(2)
    arguments = ([str(folder) for folder in caches], barrier)
    processes = [context.Process(target=assemble_together, args=arguments) for _ in range(2)]
    for process in processes:
        process.start()
    seen = set()
    while any(process.is_alive() for process in processes):
        for folder in tmp_path.glob("*/emovid/*/annotator"):
            if folder not in seen:
                # Whoever finds it finds all of it, from the first moment on.
                assert {path.name for path in folder.iterdir()} == FILES
                seen.add(folder)
        time.sleep(0)
    assert [process.exitcode for process in processes] == [0, 0]
    for cache in caches:
        (digest,) = (cache / "emovid").iterdir()
        assert [path.name for path in digest.iterdir()] == ["annotator"]


KILLED = """
import os, shutil, signal
from emovid_models import miniature
copy, copied = shutil.copyfile, []
def copy_three(source, target):
    if len(copied) == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    copied.append(copy(source, target))
miniature.shutil.copyfile = copy_three
miniature.annotator_folder()
"""


def test_a_kill_while_it_is_assembled_leaves_no_half_folder(cache: Path) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED], capture_output=True)
    assert done.returncode == -signal.SIGKILL
    (digest,) = (cache / "emovid").iterdir()
    assert list(digest.rglob("*.*")) and not (digest / "annotator").exists(), "killed in the middle of it"
    folder = emovid_models.MINI_ANNOTATOR
    assert folder == digest / "annotator" and is_whole(folder)


def test_a_damaged_folder_is_mended(cache: Path) -> None:
    folder = emovid_models.MINI_ANNOTATOR
    weights = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(weights[:1000])
    (folder / "prompts.py").unlink()
    (folder / "pipeline.py").write_text("raise SystemExit('not ours')\n")
    (folder / "adapter_config.json").write_text("{}")
    assert folder == emovid_models.MINI_ANNOTATOR and is_whole(folder)


def test_a_changed_source_file_has_a_folder_of_its_own(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = emovid_models.MINI_ANNOTATOR
    edited = tmp_path / "prompts.py"
    edited.write_text(CODE["prompts.py"].read_text() + "# edited\n")
    monkeypatch.setattr(miniature, "CODE", {**CODE, "prompts.py": edited})
    second = emovid_models.MINI_ANNOTATOR
    assert second.name == first.name == "annotator" and second != first
    assert (second / "prompts.py").read_bytes() == edited.read_bytes()
    assert is_whole(first), "a process that goes on with the old code keeps it"


LEFT = "from emovid_models.miniature import annotator_folder as f; print(f()); assert f() == f()"


@pytest.mark.parametrize("home", ["nowhere", "file", "read-only", "none"])
def test_without_a_home_that_can_be_written_it_lasts_as_long_as_the_process(
    home: str, tmp_path: Path
) -> None:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    (tmp_path / "file").write_text("no folder")
    names: Mapping[str, Mapping[str, str]] = {
        "nowhere": {"HOME": "/proc/nowhere"},
        "file": {"HOME": str(tmp_path / "file")},
        "read-only": {"HOME": "/sys"},  # for root too,
        # A relative name is none, by the XDG specification; then the home counts.
        "none": {"XDG_CACHE_HOME": "cache", "HOME": "/proc/nowhere"},
    }
    code = f"{LEFT}; import json; print(json.dumps(sorted(path.name for path in f().iterdir())))"
    assert json.loads(ask(code, TMPDIR=str(temporary), **names[home])) == sorted(FILES)
    assert ask(f"{LEFT}; print(f())", TMPDIR=str(temporary), **names[home]).startswith(str(temporary))
    assert list(temporary.iterdir()) == [], "nothing is left in the temporary folder"
    assert not Path("cache").exists()


def test_a_forked_child_does_not_take_its_parents_folder_away(tmp_path: Path) -> None:
    code = (
        "import os; from emovid_models.miniature import annotator_folder as f; folder = f()\n"
        "if not (child := os.fork()): raise SystemExit\n"
        "os.waitpid(child, 0); print(len(list(folder.iterdir())))"
    )
    assert ask(code, TMPDIR=str(tmp_path), HOME="/proc/nowhere") == str(len(FILES))


def test_a_miniature_is_known_by_its_weights_wherever_it_lies(tmp_path: Path) -> None:
    for shipped in (ANNOTATOR_WEIGHTS, MINI / "lora-t2v", MINI / "wan-t2v"):
        copy = tmp_path / f"my-{shipped.name}"
        weights = [path.relative_to(shipped) for path in shipped.rglob("*.safetensors")]
        assert not is_miniature(copy)
        for name in weights:
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(shipped / name, copy / name)
        assert is_miniature(shipped) and is_miniature(copy)
        for name in weights:
            data = (copy / name).read_bytes()
            (copy / name).write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
            assert not is_miniature(copy), name
            (copy / name).write_bytes(data)
            (copy / name).rename(copy / "elsewhere")
            assert not is_miniature(copy), name
            (copy / "elsewhere").rename(copy / name)
    assert not is_miniature(MINI) and not is_miniature(tmp_path)


def test_the_list_of_code_is_read_with_the_standard_library_alone() -> None:
    """The build of a wheel reads it, where nothing but setuptools is installed."""
    root = Path(emovid_models.__file__).parents[1]
    code = "from emovid_models.remote.annotator import CODE; print(*CODE)"
    command = [sys.executable, "-S", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, cwd=root)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.split() == list(CODE)
