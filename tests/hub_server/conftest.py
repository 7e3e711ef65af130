"""Fixtures of the tests that talk to the Hub on loopback."""

from __future__ import annotations

import json
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hub_clients import READ, WRITE, Client, client_environment
from hub_server import Account, HubServer


@pytest.fixture
def empty_hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    """A Hub without repos, that this process' client may write to with the token `WRITE`."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
    with HubServer() as server:
        server.accounts[WRITE] = Account("maintainer", orgs=("emovid",))
        server.accounts[READ] = Account("reader", orgs=("emovid",), write=False)
        yield server


@pytest.fixture(scope="session")
def stock_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Python of a fresh environment: all libraries that are installed here, but nothing of this project."""
    folder = tmp_path_factory.mktemp("stock") / "venv"
    venv.create(folder, with_pip=False, symlinks=True)
    python = folder / "bin" / "python"
    site = Path(sysconfig.get_path("purelib", vars={"base": str(folder)}))
    for entry in Path(sysconfig.get_path("purelib")).iterdir():
        # An editable install is a .pth file; those are for this environment only.
        if not entry.name.startswith(("emovid", "__editable__")) and entry.suffix != ".pth":
            (site / entry.name).symlink_to(entry)
    return python


@pytest.fixture
def client(hub: HubServer, stock_python: Path, tmp_path: Path) -> Client:
    """Runs code in a fresh process with a home of its own, and gives the JSON of its last printed line.

    The process has only the public libraries, unless it is told `stock=False`.
    """

    def run(code: str, *arguments: object, stock: bool = True, **environment: str) -> Any:
        done = subprocess.run(
            [stock_python if stock else sys.executable, "-c", code, *map(str, arguments)],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env=client_environment(hub, tmp_path) | environment,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return json.loads(done.stdout.splitlines()[-1])

    return run
