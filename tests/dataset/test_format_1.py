"""A build of format 1, made by an earlier version, is read under the names of today."""

from __future__ import annotations

import json
import math
import shutil
import tarfile
from pathlib import Path
from typing import Any

import pytest

import loading_script
from emovid_dataset import load, select, stream
from emovid_dataset.check import verify
from emovid_dataset.read.manifest import read_manifest
from emovid_dataset.report.card import render_card
from emovid_dataset.report.page import write_report
from emovid_dataset.report.stats import measure
from emovid_dataset.schema.clip import Clip
from emovid_dataset.schema.manifest import MANIFEST_NAME, Manifest

BUILD = Path(__file__).parent / "format_1"
RENAMED = {"brightness": "luma", "colorfulness": "colorfulness_m3", "hue": "hue_chroma"}
NEW = ("brightness", "colorfulness", "hue", "raters", "votes", "agreement", "color", "extra")


def rows(split: str = "*") -> dict[str, dict[str, Any]]:
    """The JSON members as they lie in the shards, by id, read by Python's tarfile alone."""
    found = {}
    for shard in sorted(BUILD.glob(f"data/*/{split}-*.tar")):
        with tarfile.open(shard) as tar:
            for info in tar:
                if info.name.endswith(".json"):
                    file = tar.extractfile(info)
                    assert file is not None
                    row = json.loads(file.read())
                    found[row["id"]] = row
    assert found
    return found


def assert_today(row: dict[str, Any], stored: dict[str, Any]) -> None:
    """A row has the stored values under today's names, and null for what format 1 did not know."""
    for name, value in stored.items():
        assert row[RENAMED.get(name, name)] == value, name
    assert [row[name] for name in NEW] == [None] * len(NEW)


def test_its_manifest_is_written_as_it_was() -> None:
    text = (BUILD / MANIFEST_NAME).read_text()
    manifest = Manifest.from_json(text)
    assert manifest.to_json() == text
    assert (manifest.format, manifest.frames, manifest.every) == (1, 16, None)
    assert manifest.configs() == ("all", "cartoon", "movie", "sticker")
    assert manifest.splits("sticker") == {
        "train": {"samples": 6, "bytes": 81920, "shards": 1},
        "validation": {"samples": 3, "bytes": 40960, "shards": 1},
    }


def test_it_is_verified(tmp_path: Path) -> None:
    assert verify(BUILD, decode=True, engine="serial") == []
    folder = shutil.copytree(BUILD, tmp_path / "build")
    shard = next(folder.glob("data/movie/*.tar"))
    shard.write_bytes(shard.read_bytes().replace(b'"brightness"', b'"brightnezz"'))
    assert any("clip keys differ" in line for line in verify(folder, engine="serial"))


def test_select_gives_the_old_values_under_new_names() -> None:
    stored = rows()
    chosen = select(BUILD)
    assert len(chosen) == len(stored)
    for item in chosen:
        assert_today(item.clip.to_mapping(), stored[item.clip.id])
    bright = select(BUILD, luma=(0.5, 1))
    assert {clip.id for clip in bright.clips} == {
        key for key, row in stored.items() if row["brightness"] >= 0.5
    }
    assert 0 < len(bright) < len(chosen)
    red = select(BUILD, hue_chroma=(340, 20))
    assert {clip.id for clip in red.clips} == {
        key for key, row in stored.items() if row["hue"] is not None and (row["hue"] - 340) % 360 <= 40
    }


@pytest.mark.parametrize("name", ["brightness", "colorfulness", "hue"])
def test_select_by_a_name_that_has_another_meaning_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"of format 1, which has no {name} .* select by {RENAMED[name]}="):
        select(BUILD, **{name: (0, 1)})  # type: ignore[arg-type]


@pytest.mark.parametrize("streaming", [False, True])
def test_load_gives_the_columns_of_today(streaming: bool, tmp_path: Path) -> None:
    for split, found in load(BUILD, streaming=streaming, cache_dir=tmp_path).items():
        stored = rows(split)
        emotions, types = (found.features[name] for name in ("emotion", "content_type"))
        for row in found:
            names = {
                "emotion": emotions.int2str(row["emotion"]),
                "content_type": types.int2str(row["content_type"]),
            }
            assert_today({**row, **names}, stored[row["id"]])
        assert found.num_rows == len(stored) if not streaming else True


def test_metadata_has_the_names_of_today(tmp_path: Path) -> None:
    found = load(BUILD, "metadata", split="validation", cache_dir=tmp_path)
    stored = rows("validation")
    assert len(found) == len(stored)
    for row in found:
        for name, value in stored[row["id"]].items():
            assert row[RENAMED.get(name, name)] == value
    assert not {"brightness", "colorfulness", "hue"} & set(found.column_names)


def test_the_script_reads_it() -> None:
    builder = loading_script.EmoVid(config_name="cartoon", data_dir=str(BUILD))
    found = list(builder.as_streaming_dataset(split="train"))
    assert len(found) == 2 and all(row["luma"] > 0 and row["brightness"] is None for row in found)
    with pytest.raises(ValueError, match=r"config 'game' has no clips in .*; it has: all, cartoon, movie, "):
        loading_script.EmoVid(config_name="game", data_dir=str(BUILD))


def test_stream_says_what_is_unknown() -> None:
    stored = rows("validation")
    items = list(stream(BUILD, "sticker", split="validation", frames=1, size=8, shuffle=0))
    assert len(items) == len(stored)
    for item in items:
        assert item["luma"] == stored[item["id"]]["brightness"]
        assert math.isnan(item["brightness"]) and math.isnan(item["agreement"])
        assert item["raters"] == 0 and item["votes"].tolist() == [-1] * 8


def test_statistics_and_report_are_of_the_old_attributes(tmp_path: Path) -> None:
    statistics = measure(BUILD)
    stored = rows()
    assert statistics.total.clips == len(stored)
    assert statistics.total.brightness is statistics.total.hue is None
    luma = statistics.total.luma
    assert luma is not None
    assert luma.mean == pytest.approx(sum(row["brightness"] for row in stored.values()) / len(stored))
    page = write_report(BUILD, tmp_path / "page.html", clips=0).path.read_text()
    assert "Computed over 16 frames per clip" in page
    assert "Mean Rec. 601 luma" in page and "Mean V of HSV" not in page
    card = render_card(read_manifest(BUILD), BUILD)
    assert "| `colorfulness` | float64 | 0 to about 1.5, see below |" in card
    assert "- `brightness`: mean Rec. 601 luma" in card and "`luma`" not in card


def test_a_row_tells_its_format_by_itself() -> None:
    for row in rows().values():
        clip = Clip.from_mapping(row)
        assert clip.luma == row["brightness"] and clip.brightness is None
        assert clip.to_mapping(read_manifest(BUILD).features) == row
