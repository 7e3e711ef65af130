"""What the tests of the engine share."""

from __future__ import annotations

from pathlib import Path

import pytest
from local_folder import LocalFolder


@pytest.fixture
def store(tmp_path: Path) -> LocalFolder:
    return LocalFolder(tmp_path / "store")


@pytest.fixture
def log(tmp_path: Path) -> Path:
    (tmp_path / "log").mkdir()
    return tmp_path / "log"
