"""A data set of `datasets` with a video column goes into a build: saved to disk, or Parquet."""

from __future__ import annotations

import csv
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, Value, Video

from emovid_dataset.builder.build import build
from emovid_dataset.builder.sheet.dataset import is_dataset, unpack
from emovid_dataset.read.select import select

MINI = Path(__file__).parents[2] / "emovid_dataset" / "mini"
FEATURES = Features(
    {
        "video": Video(decode=False),
        "label": ClassLabel(names=["fear", "awe"]),  # not the order of the eight
        "caption": Value("string"),
        "film": Value("string"),
        "content_type": Value("string"),
    }
)


@pytest.fixture(scope="module")
def rows() -> list[dict[str, Any]]:
    """Six stickers of fear and awe."""
    with (MINI / "labels.csv").open(newline="", encoding="utf-8") as file:
        found = [row for row in csv.DictReader(file) if row["content_type"] == "sticker"]
    chosen = [row for name in ("fear", "awe") for row in [r for r in found if r["emotion"] == name][:3]]
    return [
        {
            "video": {"bytes": (MINI / row["path"]).read_bytes(), "path": Path(row["path"]).name},
            "label": ["fear", "awe"].index(row["emotion"]),
            "caption": row["caption"],
            "film": row["group"],
            "content_type": "sticker",
        }
        for row in chosen
    ]


def made(rows: list[dict[str, Any]]) -> Dataset:
    columns = {name: [row[name] for row in rows] for name in FEATURES}
    return Dataset.from_dict(columns, features=FEATURES)


def expected(rows: list[dict[str, Any]]) -> dict[str, tuple[str, str]]:
    """Emotion and caption by the clip's id, which the file's bytes alone decide."""
    return {
        f"sticker-{hashlib.sha256(row['video']['bytes']).hexdigest()[:16]}": (
            ["fear", "awe"][row["label"]],
            row["caption"],
        )
        for row in rows
    }


def built(source: Path, tmp_path: Path) -> dict[str, tuple[str, str]]:
    assert is_dataset(str(source))
    unpacked = unpack(str(source), tmp_path / "unpacked")
    build(unpacked.raw, unpacked.sheet, tmp_path / "out", engine="serial")
    clips = select(tmp_path / "out").clips
    assert all(json.loads(clip.extra or "{}")["film"] for clip in clips)
    return {clip.id: (clip.emotion, clip.caption) for clip in clips}


def test_a_saved_data_set_becomes_a_build_with_its_class_labels(
    rows: list[dict[str, Any]], tmp_path: Path
) -> None:
    made(rows).save_to_disk(tmp_path / "saved")
    assert built(tmp_path / "saved", tmp_path) == expected(rows)
    sheet = (tmp_path / "unpacked" / "labels.jsonl").read_bytes()
    assert unpack(str(tmp_path / "saved"), tmp_path / "again").sheet.read_bytes() == sheet


def test_parquet_files_with_bytes_become_a_build(rows: list[dict[str, Any]], tmp_path: Path) -> None:
    (tmp_path / "parquet").mkdir()
    made(rows).to_parquet(tmp_path / "parquet" / "part-0.parquet")
    assert built(tmp_path / "parquet", tmp_path) == expected(rows)


def test_parquet_files_are_of_the_splits_that_their_names_say(
    rows: list[dict[str, Any]], tmp_path: Path
) -> None:
    data = tmp_path / "repo" / "data"
    data.mkdir(parents=True)
    for name, part in (
        ("train-00000-of-00002", rows[:2]),
        ("train-00001-of-00002", rows[2:4]),
        ("test-00000-of-00001", rows[4:]),
    ):
        made(part).to_parquet(data / f"{name}.parquet")
    sheet = unpack(str(tmp_path / "repo"), tmp_path / "unpacked").sheet
    assert [json.loads(line)["split"] for line in sheet.read_text().splitlines()] == ["train"] * 4 + [
        "test"
    ] * 2
    made(rows[:1]).to_parquet(data / "more.parquet")
    with pytest.raises(ValueError, match=r"say their split, but not that of .*more\.parquet"):
        unpack(str(tmp_path / "repo"), tmp_path / "again")


def test_given_splits_are_obeyed_and_paths_are_read(rows: list[dict[str, Any]], tmp_path: Path) -> None:
    by_path = []
    for place, row in enumerate(rows):
        path = tmp_path / f"{place}.mp4"
        path.write_bytes(row["video"]["bytes"])
        by_path.append({**row, "video": {"bytes": None, "path": str(path)}})
    parts = {"train": made(by_path[:3]), "val": made(by_path[3:5]), "test": made(by_path[5:])}
    DatasetDict(parts).save_to_disk(tmp_path / "saved")
    assert built(tmp_path / "saved", tmp_path) == expected(rows)
    splits = {
        name: len(select(tmp_path / "out", split=name).clips) for name in ("train", "validation", "test")
    }
    assert splits == {"train": 3, "validation": 2, "test": 1}


def test_what_is_no_such_data_set_is_said(tmp_path: Path) -> None:
    Dataset.from_dict({"text": ["a"]}).save_to_disk(tmp_path / "texts")
    with pytest.raises(ValueError, match="texts has no video column; its columns: text"):
        unpack(str(tmp_path / "texts"), tmp_path / "into")
    (tmp_path / "clips").mkdir()
    (tmp_path / "clips" / "a.mp4").write_bytes(b"")
    (tmp_path / "clips" / "labels.parquet").write_bytes(b"")
    assert not is_dataset(str(tmp_path / "clips"))
    assert is_dataset("hf://datasets/me/clips")
