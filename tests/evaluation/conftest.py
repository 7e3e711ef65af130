"""Real clips with their labels as what was asked for, and the miniature annotator as the judge."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import pytest
import torch

from emovid_models.evaluation import INTENDED_NAME, Intended, Judge, load_judge, write_intended

ROOT = Path(__file__).parents[2]
MINI = ROOT / "emovid_dataset" / "mini"


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def stickers() -> list[dict[str, str]]:
    """The rows of the corpus's labelled stickers."""
    with (MINI / "labels.csv").open(newline="", encoding="utf-8") as file:
        return [row for row in csv.DictReader(file) if row["content_type"] == "sticker"]


@pytest.fixture(scope="session")
def judge() -> Judge:
    return load_judge(device="cpu")


@pytest.fixture
def videos(tmp_path: Path, stickers: list[dict[str, str]]) -> Path:
    """A folder of sixteen real stickers and the table of their labels."""
    folder = tmp_path / "videos"
    folder.mkdir()
    rows = stickers[::10]
    for row in rows:
        shutil.copyfile(MINI / row["path"], folder / Path(row["path"]).name)
    write_intended(
        folder / INTENDED_NAME,
        [
            Intended(Path(row["path"]).name, row["emotion"], row["caption"], seed)
            for seed, row in enumerate(rows)
        ],
    )
    return folder
