"""A tiny published checkpoint that our converter has converted, and that our classes have loaded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from published_layout import Shape, write_checkpoint


@dataclass(frozen=True)
class Converted:
    """A tiny checkpoint as published, as converted, and loaded."""

    shape: Shape
    published: Path
    folder: Path
    model: Any
    processor: Any


def convert_tiny(root: Path, shape: Shape) -> Converted:
    """Write a tiny checkpoint below `root`, convert it and load it."""
    from transformers import AutoModelForImageTextToText, AutoProcessor

    from emovid_models.nvila.convert_vila import convert

    published = write_checkpoint(root / "published", shape)
    convert(published, root / "converted")
    folder = root / "converted"
    model = AutoModelForImageTextToText.from_pretrained(folder).eval()
    return Converted(shape, published, folder, model, AutoProcessor.from_pretrained(folder))
