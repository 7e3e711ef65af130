"""Fixtures that several test folders share."""

from __future__ import annotations

from pathlib import Path

import pytest

from emovid_dataset.build import build

MINI = Path(__file__).parents[1] / "emovid_dataset" / "mini"


@pytest.fixture(scope="session")
def mini_build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A build of the whole embedded miniature corpus: 153 stickers, 116 cartoon and 2 movie clips."""
    out = tmp_path_factory.mktemp("mini") / "EmoVid"
    build(MINI, MINI / "labels.csv", out)
    return out
