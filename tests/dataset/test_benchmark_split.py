"""The benchmark: as many clips per cell as qualify, groups whole, little lost, the same for any order."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from labelled_corpus import labelled_corpus
from typer.testing import CliRunner
from video_files import MINI, folder_bytes, write_sheet

from emovid_dataset.builder.benchmark import BenchmarkGroup, choose, groups_of, price
from emovid_dataset.builder.build import BuildReport, build
from emovid_dataset.builder.prepare import PreparePart, PrepareStage
from emovid_dataset.check import verify
from emovid_dataset.cli import program
from emovid_dataset.read.load import load
from emovid_dataset.read.select import select
from emovid_dataset.read.stream import stream
from emovid_dataset.store import Store

CELLS = [("movie", "awe"), ("movie", "fear"), ("sticker", "awe")]
GROUPS = st.lists(
    st.tuples(st.lists(st.sampled_from(CELLS), min_size=1, max_size=6), st.integers(0, 9)), max_size=25
)


def grouped(members: list[tuple[list[tuple[str, str]], int]]) -> list[BenchmarkGroup]:
    """Groups of clips that qualify, and others that do not."""
    number = 0
    found = []
    for index, (qualify, others) in enumerate(members):
        cells = defaultdict(list)
        for cell in qualify:
            cells[cell].append((number, f"clip {number}"))
            number += 1
        clips = {cell: tuple(some) for cell, some in cells.items()}
        found.append(BenchmarkGroup(f"group {index}", len(qualify) + others, clips))
    return found


def wanted_of(groups: list[BenchmarkGroup], per_cell: int) -> dict[tuple[str, str], int]:
    there = Counter({cell: 0 for cell in CELLS})
    for group in groups:
        there.update({cell: len(clips) for cell, clips in group.clips.items()})
    return {cell: min(per_cell, count) for cell, count in there.items()}


def chosen_of(groups: list[BenchmarkGroup], per_cell: int, seed: int) -> dict[str, list[int]]:
    wanted = wanted_of(groups, per_cell)
    ordered = sorted(groups, key=lambda group: price(group, wanted, seed))
    return {group.name: numbers for group, numbers in choose(ordered, wanted, seed)}


@settings(max_examples=200, deadline=None)
@given(GROUPS, st.integers(1, 4), st.integers(0, 2), st.randoms(use_true_random=False))
def test_every_cell_gets_what_qualifies_for_any_order(
    members: list[tuple[list[tuple[str, str]], int]], per_cell: int, seed: int, draw: random.Random
) -> None:
    groups = grouped(members)
    chosen = chosen_of(groups, per_cell, seed)
    cell_of = {number: cell for group in groups for cell, clips in group.clips.items() for number, _ in clips}
    filled = Counter(cell_of[number] for numbers in chosen.values() for number in numbers)
    assert filled == +Counter(wanted_of(groups, per_cell))
    assert all(chosen.values()), "a group was set aside that gives nothing"
    by_name = {group.name: group for group in groups}
    for name, numbers in chosen.items():
        held = {number for clips in by_name[name].clips.values() for number, _ in clips}
        assert held >= set(numbers)
    shuffled = groups[:]
    draw.shuffle(shuffled)
    assert chosen_of(shuffled, per_cell, seed) == chosen


def test_groups_that_lose_least_are_chosen_first_and_dear_ones_only_while_a_cell_is_short() -> None:
    groups = grouped(
        [
            ([("movie", "fear"), ("movie", "awe")], 38),
            ([("movie", "fear")], 0),
            ([("movie", "fear"), ("movie", "fear")], 1),
            ([("movie", "fear")], 9),
        ]
    )
    assert set(chosen_of(groups, 1, seed=0)) == {"group 0", "group 1"}  # awe is in the first one only
    without_awe = [BenchmarkGroup(g.name, g.size, {CELLS[1]: g.clips[CELLS[1]]}) for g in groups]
    assert set(chosen_of(without_awe, 3, seed=0)) == {"group 1", "group 2"}
    assert set(chosen_of(without_awe, 4, seed=0)) == {"group 1", "group 2", "group 3"}
    assert len(chosen_of(without_awe, 5, seed=0)) == 4


def test_a_group_is_priced_anew_when_a_cell_it_fills_is_full() -> None:
    groups = grouped(
        [
            ([("movie", "awe")] * 2, 0),
            ([("movie", "awe")] * 2 + [("movie", "fear")], 1),  # 1/3 a clip, but 3 once awe is full
            ([("movie", "fear")], 1),  # 1 a clip
        ]
    )
    assert set(chosen_of(groups, 2, seed=0)) == {"group 0", "group 1", "group 2"}
    one = wanted_of(groups, 2) | {("movie", "fear"): 1}
    ordered = sorted(groups, key=lambda group: price(group, one, 0))
    assert {group.name for group, _ in choose(ordered, one, 0)} == {"group 0", "group 2"}


def test_no_more_groups_are_read_than_matter() -> None:
    groups = grouped([([("sticker", "awe")], 0)] * 50)
    wanted = {("sticker", "awe"): 3}
    ordered = iter(sorted(groups, key=lambda group: price(group, wanted, 0)))
    assert len(list(choose(ordered, wanted, 0))) == 3
    assert len(list(ordered)) >= 45


def test_the_seed_draws_among_equal_groups() -> None:
    groups = grouped([([("sticker", "awe")], 0)] * 50)
    one, two = (set(chosen_of(groups, 5, seed)) for seed in (0, 1))
    assert len(one) == len(two) == 5 and one != two


def test_clips_are_gathered_into_groups() -> None:
    rows = [("a", 3, "movie", "awe", 1, "m-1"), ("a", 3, "movie", "fear", 2, "m-2")]
    rows += [("b", 1, "sticker", "awe", 3, "s-3")]
    first, second = groups_of(rows)
    assert first == BenchmarkGroup("a", 3, {CELLS[0]: ((1, "m-1"),), CELLS[1]: ((2, "m-2"),)})
    assert second == BenchmarkGroup("b", 1, {CELLS[2]: ((3, "s-3"),)})
    assert list(groups_of([])) == []


# builds


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("raw")
    labelled_corpus(folder)
    return folder


@pytest.fixture(scope="module")
def made(raw: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, BuildReport]:
    """Two clips per emotion and content type asked for."""
    out = tmp_path_factory.mktemp("made") / "out"
    return out, build(raw, raw / "labels.csv", out, engine="serial", benchmark=2)


def paths_of(out: Path, split: str) -> set[str]:
    """Where a split's clips come from: the sheet's paths, with the start of a segment."""
    return {
        clip.source + (f"@{clip.start:g}" if clip.start is not None else "")
        for clip in select(out, split=split).clips
    }


def test_sure_labels_fill_the_cells_and_what_lacks_is_said_cell_by_cell(
    made: tuple[Path, BuildReport],
) -> None:
    out, report = made
    benchmark = report.manifest.benchmark
    assert benchmark is not None and (benchmark.per_cell, benchmark.asked, benchmark.filled) == (2, 32, 7)
    cells = {(cell.content_type, cell.emotion): (cell.filled, cell.reason) for cell in benchmark.cells}
    assert len(cells) == 16 and all(cell.asked == 2 for cell in benchmark.cells)
    assert cells["sticker", "awe"] == cells["sticker", "amusement"] == cells["movie", "awe"] == (2, None)
    fear = "1 of its 3 clips were labelled by at least 3 people who all agreed"
    assert cells["sticker", "fear"] == (1, fear)
    assert cells["movie", "fear"][1] == "0 of its 1 clips were labelled by at least 3 people who all agreed"
    assert cells["movie", "anger"] == (0, "it has no clips")
    held = paths_of(out, "benchmark")
    assert {"sticker/0.mp4", "sticker/1.mp4", "sticker/4.mp4"} < held
    assert {"movie/film.mkv@0", "movie/film.mkv@6"} < held and len(held) == 7
    assert report.counts["sticker", "amusement", "benchmark"] == 2 and report.counts.total() == 12


def test_the_other_clips_of_a_group_are_in_no_split_and_listed(made: tuple[Path, BuildReport]) -> None:
    out, report = made
    found = [(clip.row, clip.path, clip.group) for clip in report.left_out]
    assert found == [(3, "sticker/2.mp4", "family"), (16, "movie/film.mkv", "movie/film.mkv")]
    lines = [json.loads(line) for line in (out / "left_out.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [line["row"] for line in lines] == [3, 16] and lines[0]["id"].startswith("sticker-")
    ids = {clip.id for clip in select(out).clips}
    assert ids.isdisjoint(line["id"] for line in lines)
    assert report.manifest.benchmark is not None and report.manifest.benchmark.left_out == 2
    sides = {
        split: {clip.group for clip in select(out, split=split).clips} for split in ("train", "benchmark")
    }
    assert sides["train"].isdisjoint(sides["benchmark"])
    assert verify(out, engine="serial", decode=True) == []


def test_what_is_left_is_split_as_ever(raw: Path, made: tuple[Path, BuildReport], tmp_path: Path) -> None:
    out, _ = made
    rest = {*(f"sticker/{index}.mp4" for index in (3, 5, 6, *range(7, 11)))}
    splits = {name: paths_of(out, name) for name in ("train", "validation", "test")}
    assert set().union(*splits.values()) == rest - paths_of(out, "benchmark")
    with (raw / "labels.csv").open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["path"] in set().union(*splits.values())]
    sheet = write_sheet(tmp_path, rows)
    build(raw, sheet, tmp_path / "out", engine="serial")
    assert {name: paths_of(tmp_path / "out", name) for name in splits} == splits


def test_every_reader_takes_the_split(made: tuple[Path, BuildReport], tmp_path: Path) -> None:
    from datasets import load_dataset

    out, _ = made
    ids = {clip.id for clip in select(out, split="benchmark").clips}
    assert set(load(out, split="benchmark", cache_dir=tmp_path / "a")["id"]) == ids
    assert {clip["id"] for clip in stream(out, split="benchmark", frames=1, size=32)} == ids
    stock = load_dataset(str(out), "all", split="benchmark", streaming=True).remove_columns("mp4")
    assert {row["__key__"] for row in stock} == ids
    table = load(out, "metadata", split="benchmark", cache_dir=tmp_path / "b")
    assert set(table["id"]) == ids and set(table["raters"]) == {3} and set(table["agreement"]) == {1.0}
    timm = json.loads((out / "_info.json").read_text(encoding="utf-8"))["splits"]
    assert timm["benchmark"]["num_samples"] == 7 and timm["movie-benchmark"]["num_samples"] == 2


def test_engines_and_a_kill_change_no_byte_and_another_seed_does(
    raw: Path, made: tuple[Path, BuildReport], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    command = [sys.executable, "-m", "emovid_models.cli", "build", str(raw), "--labels"]
    command += [str(raw / "labels.csv"), "--out", str(out), "--workers", "2", "--benchmark", "2", "--json"]
    pipe = subprocess.PIPE
    process = subprocess.Popen(command, stdout=pipe, stderr=pipe, start_new_session=True)
    while not list(out.glob("data/*/*.tar")) and process.poll() is None:
        time.sleep(0.002)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    for other in ({}, {"benchmark": 3}):
        with pytest.raises(ValueError, match="unfinished build of other input or settings"):
            build(raw, raw / "labels.csv", out, engine="serial", **other)
    assert subprocess.run(command, capture_output=True, timeout=120).returncode == 0
    assert folder_bytes(out) == folder_bytes(made[0])
    drawn = {
        frozenset(paths_of(tmp_path / str(seed), "benchmark"))
        for seed in range(4)
        if build(raw, raw / "labels.csv", tmp_path / str(seed), engine="serial", benchmark=1, seed=seed)
    }
    assert len(drawn) > 1


def test_a_build_without_one_has_no_trace_of_it(raw: Path, tmp_path: Path) -> None:
    report = build(raw, raw / "labels.csv", tmp_path / "out", engine="serial")
    assert report.manifest.benchmark is None and report.left_out == ()
    assert report.manifest.split_names == ("train", "validation", "test")
    assert not (tmp_path / "out" / "left_out.jsonl").exists()
    assert "benchmark" not in (tmp_path / "out" / "README.md").read_text(encoding="utf-8").lower()


def test_a_list_says_which_clips(raw: Path, made: tuple[Path, BuildReport], tmp_path: Path) -> None:
    clips = {clip.source: clip for clip in select(made[0]).clips if clip.start is None}
    ids = [clips["sticker/6.mp4"].id, clips["sticker/4.mp4"].id]
    report = build(raw, raw / "labels.csv", tmp_path / "out", engine="serial", benchmark_ids=ids)
    assert paths_of(tmp_path / "out", "benchmark") == {"sticker/4.mp4", "sticker/6.mp4"}
    assert [clip.path for clip in report.left_out] == ["sticker/1.mp4", "sticker/2.mp4"]
    benchmark = report.manifest.benchmark
    assert benchmark is not None and benchmark.per_cell is None
    assert [(cell.emotion, cell.asked, cell.filled) for cell in benchmark.cells] == [("fear", 2, 2)]
    assert verify(tmp_path / "out", engine="serial") == [], "a list is not held to three raters"


def test_an_unknown_id_is_refused_and_a_better_list_goes_on(
    raw: Path, made: tuple[Path, BuildReport], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    right = next(clip.id for clip in select(made[0]).clips if clip.source == "sticker/4.mp4")
    wrong = [f"sticker-{number:016x}" for number in range(5)]
    says = f"^benchmark_ids: no clip with an emotion is called {', '.join(wrong[:3])} and 2 more$"
    with pytest.raises(ValueError, match=says):
        build(raw, raw / "labels.csv", out, engine="serial", benchmark_ids=[right, *wrong])
    prepared = {path: path.stat().st_mtime_ns for path in out.glob(".build/clips/*.mp4")}
    assert prepared and not (out / "manifest.json").exists()
    kept_before = {path.name: path.read_bytes() for path in out.glob(".build/prepared/*")}
    writes: list[str] = []
    original = PrepareStage.run

    def counted(self: PrepareStage, state: None, part: PreparePart, store: Store) -> Any:
        writes.append(part.key)
        yield from original(self, state, part, store)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PrepareStage, "run", counted)
        build(raw, raw / "labels.csv", out, engine="serial", benchmark_ids=[right])
    assert kept_before and writes == [], "what was prepared is not prepared again"
    assert paths_of(out, "benchmark") == {"sticker/4.mp4"}


def test_a_clip_without_an_emotion_is_in_no_list(raw: Path, tmp_path: Path) -> None:
    kept = build(raw, raw / "labels.csv", tmp_path / "a", engine="serial", keep_none=True)
    key = kept.without_emotion[0].id
    assert key is not None
    with pytest.raises(ValueError, match=f"no clip with an emotion is called {key}"):
        build(raw, raw / "labels.csv", tmp_path / "b", engine="serial", benchmark_ids=[key], keep_none=True)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"benchmark": 0}, "benchmark is 0; it must be 1 or more, or None"),
        ({"benchmark": 1, "benchmark_ids": ["sticker-0"]}, "benchmark and benchmark_ids exclude each other"),
        ({"benchmark_ids": []}, "benchmark_ids is empty; leave it out, or name a clip"),
        ({"benchmark_ids": ["a-1", "a-1"]}, "benchmark_ids names 'a-1' twice"),
        ({"corpus": "mine"}, "corpus is 'mine'; allowed: 'emovid' or None"),
    ],
)
def test_wrong_arguments(raw: Path, tmp_path: Path, options: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(says)}$"):
        build(raw, raw / "labels.csv", tmp_path / "out", engine="serial", **options)
    assert not (tmp_path / "out").exists()


def test_the_command_says_what_is_lacking(raw: Path, made: tuple[Path, BuildReport]) -> None:
    command = [
        "build",
        str(raw),
        "--labels",
        str(raw / "labels.csv"),
        "--out",
        str(made[0]),
        "--benchmark",
        "2",
    ]
    shown = CliRunner().invoke(program(), command)
    assert shown.exit_code == 0
    assert "benchmark: 7 of 32 clips\n" in shown.stdout
    assert "in no split: 2 other clips of their groups, listed in left_out.jsonl\n" in shown.stdout
    line = next(line for line in shown.stdout.splitlines() if "1 of its 3 clips were labelled" in line)
    assert [cell.strip() for cell in line.split("│")[1:5]] == ["sticker", "fear", "2", "1"]
    told = json.loads(CliRunner().invoke(program(), [*command, "--json"]).stdout)
    assert told["benchmark"]["left_out"] == 2 and len(told["benchmark"]["cells"]) == 16
    assert [clip["row"] for clip in told["left_out"]] == [3, 16]


def test_verify_holds_the_benchmark_against_the_manifest(
    made: tuple[Path, BuildReport], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    shutil.copytree(made[0], out)
    body = json.loads((out / "manifest.json").read_text(encoding="utf-8"))
    cell = next(cell for cell in body["benchmark"]["cells"] if cell["filled"] == 1)
    cell["filled"] = 2
    (out / "manifest.json").write_text(json.dumps(body, indent=1) + "\n", encoding="utf-8")
    found = verify(out, engine="serial")
    assert "benchmark: sticker fear has 1 clips, the manifest says 2" in found
    (out / "left_out.jsonl").unlink()
    assert "left_out.jsonl: has 0 lines, the manifest says 2" in verify(out, engine="serial")
    body["benchmark"]["cells"][0]["filled"] = "2"
    (out / "manifest.json").write_text(json.dumps(body, indent=1) + "\n", encoding="utf-8")
    assert verify(out, engine="serial") == ["manifest.json: benchmark: filled is '2', not int"]


def test_verify_finds_labels_that_are_not_sure_enough(
    raw: Path, made: tuple[Path, BuildReport], tmp_path: Path
) -> None:
    unsure = next(clip for clip in select(made[0]).clips if clip.source == "sticker/6.mp4")
    out = tmp_path / "out"
    build(raw, raw / "labels.csv", out, engine="serial", benchmark_ids=[unsure.id])
    body = json.loads((out / "manifest.json").read_text(encoding="utf-8"))
    body["benchmark"]["per_cell"] = 1
    (out / "manifest.json").write_text(json.dumps(body, indent=1) + "\n", encoding="utf-8")
    says = f"{unsure.id}: is in the benchmark, but was not labelled by 3 people who all agreed"
    assert any(line.endswith(says) for line in verify(out, engine="serial"))


def test_the_miniature_can_be_built_with_its_list(tmp_path: Path) -> None:
    ids = (MINI / "benchmark.txt").read_text(encoding="utf-8").splitlines()
    with (MINI / "labels.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    listed = [row for row in rows if f"{row['content_type']}-{_hash(MINI / row['path'])}" in set(ids)]
    groups = {row["group"] for row in listed}
    sheet = write_sheet(tmp_path, [row for row in rows if row["group"] in groups] + rows[:20])
    report = build(MINI, sheet, tmp_path / "out", engine="serial", benchmark_ids=ids)
    assert {clip.id for clip in select(tmp_path / "out", split="benchmark").clips} == set(ids)
    assert len(report.left_out) == 13


def _hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]
