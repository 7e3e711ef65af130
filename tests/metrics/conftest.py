"""Paths and settings that the metric's tests share."""

from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "emovid_models" / "metrics" / "ea_8cls"


@pytest.fixture(scope="session")
def ea_8cls_folder() -> Path:
    """The folder that is published as the metric."""
    return FOLDER


@pytest.fixture
def metric(ea_8cls_folder: Path):
    """The metric as a user loads it."""
    import evaluate

    return evaluate.load(str(ea_8cls_folder))
