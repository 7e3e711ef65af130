"""What the tests of the engine share."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from emovid_dataset.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.at(tmp_path / "store")


@pytest.fixture
def log(tmp_path: Path) -> Path:
    (tmp_path / "log").mkdir()
    return tmp_path / "log"


@pytest.fixture
def free_port() -> Callable[[], int]:
    """Gives a port of this machine at which nothing listens."""

    def find() -> int:
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            return int(listener.getsockname()[1])

    return find
