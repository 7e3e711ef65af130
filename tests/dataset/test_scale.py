"""A build of many rows: what its parent does, by synthetic workers, and what reads its index."""

from __future__ import annotations

import json
import random
import re
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pyarrow import parquet

from benchmarks import scale, scale_page
from emovid_dataset import select
from emovid_dataset.builder import index
from emovid_dataset.builder.build import BuildReport, build
from emovid_dataset.read.manifest import read_manifest
from emovid_dataset.read.metadata import condition, row_groups
from emovid_dataset.report.stats import measure
from emovid_dataset.schema.clip import Clip
from emovid_dataset.store import Store

ROWS = 400
Row = dict[str, Any]


@pytest.fixture(scope="module")
def written() -> Counter[str]:
    """How often each file was written."""
    return Counter()


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, written: Counter[str]) -> tuple[Path, BuildReport]:
    """A build of 400 rows in some 200 shards, with 30 rows in a row group; its shards are not there."""
    folder = tmp_path_factory.mktemp("scale")
    sheet = scale.write_rows(folder / "raw", ROWS)
    create = Store.create

    def counted(store: Store, name: str) -> Any:
        written[name] += 1
        return create(store, name)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(index, "ROWS_PER_GROUP", 30)
        patch.setattr(Store, "create", counted)
        workers = scale.SyntheticWorkers()
        report = build(folder / "raw", sheet, folder / "out", engine=workers, shard_size=1_000_000)
    assert not report.rejections
    return folder / "out", report


@pytest.fixture(scope="module")
def rows(built: tuple[Path, BuildReport]) -> list[Row]:
    """The rows of the tables in the order of content types, splits and rows, by pyarrow alone."""
    names = [f"{kind}/{split}" for kind in scale.TYPES for split in ("train", "validation", "test")]
    tables = [built[0] / "metadata" / f"{name}.parquet" for name in names]
    found = [row for table in tables for row in parquet.ParquetFile(table).read().to_pylist()]
    assert len(found) == ROWS and parquet.ParquetFile(tables[0]).num_row_groups > 2
    return found


def test_a_shard_rewrites_nothing_but_its_own_outcome(
    built: tuple[Path, BuildReport], written: Counter[str]
) -> None:
    shards = len(built[1].manifest.shards)
    assert shards > 150
    assert written.pop("manifest.json") == 2, "when the shards are planned, and when all is there"
    assert set(written.values()) == {1}
    outcomes = [name for name in written if name.startswith(".build/written/")]
    assert len(outcomes) == shards and len(written) < shards + 100
    manifest = read_manifest(built[0])
    assert manifest == built[1].manifest and sum(shard.samples for shard in manifest.shards) == ROWS


def test_a_report_says_how_long_each_step_took(built: tuple[Path, BuildReport]) -> None:
    steps = built[1].steps
    assert list(steps) == ["sheet", "plan", "prepare", "join", "split", "lay out", "write", "index"]
    assert 0 < sum(steps.values()) <= built[1].seconds and min(steps.values()) > 0


CHOICES: list[tuple[dict[str, Any], Callable[[Row], bool]]] = [
    ({}, lambda row: True),
    ({"emotion": ["awe", "fear"]}, lambda row: row["emotion"] in ("awe", "fear")),
    ({"brightness": (0.25, 0.5)}, lambda row: 0.25 <= row["brightness"] <= 0.5),
    ({"brightness": (0, 1)}, lambda row: True),
    ({"hue": (300, 20)}, lambda row: row["hue"] >= 300 or row["hue"] <= 20),
    ({"hue_chroma": (90, 180)}, lambda row: 90 <= row["hue_chroma"] <= 180),
    (
        {"content_type": "movie", "split": "train", "luma": (0.5, 1), "where": lambda clip: clip.has_audio},
        lambda row: (
            row["content_type"] == "movie"
            and "/train-" in row["shard"]
            and row["luma"] >= 0.5
            and row["has_audio"]
        ),
    ),
    (
        {"where": lambda clip: clip.caption.startswith("Synthetic stretch 1")},
        lambda row: row["caption"].startswith("Synthetic stretch 1"),
    ),
    ({"duration": (5, 6)}, lambda row: False),
]


@pytest.mark.parametrize("choice", CHOICES, ids=[",".join(given) for given, _ in CHOICES])
def test_select_chooses_what_the_rows_say(
    built: tuple[Path, BuildReport], rows: list[Row], choice: tuple[dict[str, Any], Callable[[Row], bool]]
) -> None:
    given, holds = choice
    wanted = [row for row in rows if holds(row)]
    chosen = select(built[0], **given)
    assert [clip.to_mapping() for clip in chosen.clips] == [_fields(row) for row in wanted]
    assert len(wanted) > 10 or "duration" in given
    few = select(built[0], **given, limit=7)
    assert few.clips == chosen.clips[:7]
    for limit in (None, 9):
        drawn = list(wanted)
        random.Random(3).shuffle(drawn)
        ids = [clip.id for clip in select(built[0], **given, limit=limit, seed=3).clips]
        assert ids == [row["id"] for row in drawn[:limit]]


def _fields(row: Row) -> Row:
    return {name: value for name, value in row.items() if name not in ("shard", "offset", "size")}


def test_a_further_condition_is_asked_once_of_each_clip_that_the_others_leave(
    built: tuple[Path, BuildReport], rows: list[Row]
) -> None:
    for seed in (None, 0):
        asked: list[str] = []

        def note(clip: Clip, asked: list[str] = asked) -> bool:
            asked.append(clip.id)
            return True

        select(built[0], emotion="awe", where=note, limit=None, seed=seed)
        assert asked == [row["id"] for row in rows if row["emotion"] == "awe"]


def test_row_groups_that_no_row_of_can_be_wanted_are_not_read(
    tmp_path: Path, built: tuple[Path, BuildReport]
) -> None:
    manifest = built[1].manifest
    table = parquet.read_table(built[0] / "metadata/cartoon/train.parquet", partitioning=None)
    table = table.sort_by("brightness")
    parquet.write_table(table, tmp_path / "sorted.parquet", row_group_size=30)
    groups = -(-len(table) // 30)
    darkest = table["brightness"][29].as_py()
    for ranges, left in (({}, groups), ({"brightness": (0.0, darkest)}, 1), ({"duration": (5.0, 6.0)}, 0)):
        wanted = condition(manifest, ranges=ranges)
        with row_groups(Store.at(tmp_path), "sorted.parquet", wanted) as found:
            assert len(found) == left
            kept = [group.to_table(columns=["id"], filter=wanted) for group in found]
            assert sum(map(len, kept)) == {groups: len(table), 1: 30, 0: 0}[left]


def test_statistics_are_those_of_all_row_groups(built: tuple[Path, BuildReport], rows: list[Row]) -> None:
    statistics = measure(built[0])
    assert statistics.total.clips == ROWS
    assert statistics.groups == len({row["group"] for row in rows})
    assert statistics.counts == Counter(
        (row["content_type"], row["emotion"], re.split(r"[/-]", row["shard"])[2]) for row in rows
    )
    assert statistics.total.brightness is not None
    mean = sum(row["brightness"] for row in rows) / ROWS
    assert statistics.total.brightness.mean == pytest.approx(mean, rel=1e-12)
    assert statistics.licenses == {"CC0-1.0": ROWS} and statistics.captioned == ROWS
    assert sum(statistics.frame_sizes.values()) == ROWS


def test_the_benchmark_says_what_it_took(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["scale.py", "--plan-rows", "200"])
    scale.main()
    last = capsys.readouterr().out.splitlines()[-1]
    assert re.fullmatch(r"rows 200, seconds \d+\.\d, peak MB \d+", last)


def test_the_committed_record_and_its_page() -> None:
    body = json.loads(scale_page.RECORD.read_bytes())
    plans, chosen = ([run for run in body["runs"] if run["kind"] == kind] for kind in ("plan", "select"))
    assert max(run["rows"] for run in plans) >= 100_000
    assert max(run["peak_mb"] for run in plans) < 1_500
    assert max(run["peak_mb"] for run in chosen) < 300
    assert scale_page.PAGE.read_text() == scale_page.render_page(body, "images/scale.svg")
