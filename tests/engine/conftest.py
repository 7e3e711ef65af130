"""What the tests of the engine share."""

from __future__ import annotations

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
