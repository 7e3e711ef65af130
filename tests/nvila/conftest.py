"""Tiny checkpoints in the published layout, and what the converter makes of them."""

from __future__ import annotations

import pytest
import torch
from converted_checkpoint import Converted, convert_tiny
from published_layout import SHAPES

torch.set_num_threads(1)


@pytest.fixture(scope="session", params=sorted(SHAPES))
def each(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Converted:
    """Each of the tiny checkpoints in turn."""
    return convert_tiny(tmp_path_factory.mktemp(request.param), SHAPES[request.param])


@pytest.fixture(scope="session")
def tied(tmp_path_factory: pytest.TempPathFactory) -> Converted:
    """The tiny checkpoint with a tied output embedding."""
    return convert_tiny(tmp_path_factory.mktemp("tied"), SHAPES["tied"])
