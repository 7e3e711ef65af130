"""Tiny checkpoints in the published layout, and what the converter makes of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from published_layout import SHAPES, Shape, write_checkpoint

torch.set_num_threads(1)


@dataclass(frozen=True)
class Converted:
    """A tiny checkpoint as published, as converted, and loaded."""

    shape: Shape
    published: Path
    folder: Path
    model: Any
    processor: Any


def _convert(root: Path, shape: Shape) -> Converted:
    from transformers import AutoModelForImageTextToText, AutoProcessor

    from emovid_models.nvila.convert_vila import convert

    published = write_checkpoint(root / "published", shape)
    convert(published, root / "converted")
    folder = root / "converted"
    model = AutoModelForImageTextToText.from_pretrained(folder).eval()
    return Converted(shape, published, folder, model, AutoProcessor.from_pretrained(folder))


@pytest.fixture(scope="session", params=sorted(SHAPES))
def each(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Converted:
    """Each of the tiny checkpoints in turn."""
    return _convert(tmp_path_factory.mktemp(request.param), SHAPES[request.param])


@pytest.fixture(scope="session")
def tied(tmp_path_factory: pytest.TempPathFactory) -> Converted:
    """The tiny checkpoint with a tied output embedding."""
    return _convert(tmp_path_factory.mktemp("tied"), SHAPES["tied"])
