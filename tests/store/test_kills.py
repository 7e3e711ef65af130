"""A writer that is killed leaves the old file or none; what lies about under a temporary name is swept."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from emovid_dataset.store import Store, is_temporary

CREATE = """
import sys
from emovid_dataset.store import Store
with Store.at(sys.argv[1]).create("data/x.tar") as file:
    file.write(b"half" * 100_000)
    file.flush()
    print("half", flush=True)
    sys.stdin.read()
"""
PUT = """
import sys
from pathlib import Path
from emovid_dataset.store import Store
Store.at(sys.argv[1]).put("data/x.tar", Path(sys.argv[2]))
"""


def creator(store: Store) -> subprocess.Popen[str]:
    """A process that has written half of a file, and writes the end of it when its input ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", CREATE, store.root], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None and process.stdout.readline() == "half\n"
    return process


def kill(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL


def lying_about(store: Store) -> list[str]:
    """The names of all files of a disk's store, temporary ones as well."""
    assert store.folder
    return sorted(path.name for path in store.folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("kind", ["disk", "s3"])
@pytest.mark.parametrize("old", [b"old", None])
def test_in_the_middle_of_create(kind: str, old: bytes | None, request: pytest.FixtureRequest) -> None:
    store: Store = request.getfixturevalue(kind)
    if old is not None:
        store.put("data/x.tar", old)
    kill(creator(store))
    assert list(store.list()) == (["data/x.tar"] if old else [])
    assert not old or store.read("data/x.tar") == old
    store.sweep()
    if store.folder:
        assert lying_about(store) == (["x.tar"] if old else [])
    process = creator(store)
    process.communicate(timeout=60)
    assert process.returncode == 0
    assert store.read("data/x.tar") == b"half" * 100_000


def test_in_the_middle_of_put(disk: Store, tmp_path: Path) -> None:
    """Its source is a pipe: three megabytes, more than it can hold, have gone through, but no end."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    disk.put("data/x.tar", b"old")
    process = subprocess.Popen([sys.executable, "-c", PUT, disk.root, str(pipe)], text=True)
    with pipe.open("wb", buffering=0) as source:
        for _ in range(3):
            source.write(bytes(1 << 20))
        kill(process)
    assert disk.read("data/x.tar") == b"old"
    (left,) = set(lying_about(disk)) - {"x.tar"}
    assert is_temporary(left) and list(disk.list()) == ["data/x.tar"]
    disk.sweep("data")
    assert lying_about(disk) == ["x.tar"]


def test_a_sweep_leaves_what_is_being_written(disk: Store) -> None:
    process = creator(disk)
    disk.sweep()
    process.communicate(timeout=60)
    assert process.returncode == 0
    assert disk.size("data/x.tar") == 400_000 and lying_about(disk) == ["x.tar"]


def test_two_write_one_file(store: Store) -> None:
    """Both are whole; the later one stays."""
    with store.create("x") as first:
        first.write(b"first")
        with store.create("x") as second:
            second.write(b"second, which is longer")
        assert store.read("x") == b"second, which is longer"
    assert store.read("x") == b"first"


def test_a_full_disk_names_the_file_and_leaves_nothing(disk: Store) -> None:
    script = """
import resource, signal, sys
from emovid_dataset.store import Store
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
Store.at(sys.argv[1]).put("data/x.tar", bytes(5000))
"""
    done = subprocess.run([sys.executable, "-c", script, disk.root], capture_output=True, text=True)
    assert done.stderr.splitlines()[-1] == f"OSError: [Errno 27] File too large: '{disk.shown('data/x.tar')}'"
    assert lying_about(disk) == []
