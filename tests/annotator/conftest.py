"""A tiny annotator as it would be pushed, and a small build of real clips."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from annotator_tiny import MINI, tiny_model, tiny_processor

from emovid_models.annotator.loading import assemble_repo


@pytest.fixture(scope="session")
def repo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a tiny annotator, as it would be pushed."""
    processor = tiny_processor()
    model = tiny_model(processor)
    model.config.emotion_temperature = 0.25
    return assemble_repo(
        tmp_path_factory.mktemp("annotator") / "tiny", model=model, processor=processor, card="# Tiny\n"
    )


@pytest.fixture(scope="session")
def annotator(repo: Path) -> Any:
    from emovid_models.annotator.loading import load_annotator

    return load_annotator(repo, device="cpu")


@pytest.fixture(scope="session")
def stickers() -> list[Path]:
    """Twelve real clips of different emotions."""
    with (MINI / "labels.csv").open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["content_type"] == "sticker"]
    return [MINI / row["path"] for row in rows[::13]][:12]


@pytest.fixture(scope="session")
def sticker_build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A build of forty real stickers."""
    from emovid_dataset.builder.build import build

    folder = tmp_path_factory.mktemp("build")
    with (MINI / "labels.csv").open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        rows = [row for row in reader if row["content_type"] == "sticker"][::4]
    sheet = folder / "labels.csv"
    with sheet.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    build(MINI, sheet, folder / "emovid", workers=1, ratios=(0.6, 0.2, 0.2), seed=1)
    return folder / "emovid"


@pytest.fixture
def frames() -> np.ndarray:
    """A video of twenty frames, as bytes."""
    return np.random.default_rng(0).integers(0, 256, (20, 32, 40, 3), np.uint8)
