"""Clips that show no specific emotion: never among the others, never lost, never a refusal."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from typing import Any

import pytest
from labelled_corpus import NO_EMOTION, labelled_corpus
from pyarrow import parquet
from typer.testing import CliRunner
from video_files import folder_bytes, sticker, write_sheet

from emovid_dataset.builder.build import BuildReport, build
from emovid_dataset.builder.sheet import Rejection
from emovid_dataset.builder.sheet.read import read_sheet
from emovid_dataset.check import verify
from emovid_dataset.cli import program
from emovid_dataset.read.load import load
from emovid_dataset.read.manifest import read_manifest
from emovid_dataset.read.select import select
from emovid_dataset.schema.clip import KEYS
from emovid_dataset.schema.no_emotion import ClipWithoutEmotion
from emovid_dataset.store import Store


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("raw")
    labelled_corpus(folder)
    return folder


@pytest.fixture(scope="module")
def left(raw: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, BuildReport]:
    """The corpus without the clips that show no emotion."""
    out = tmp_path_factory.mktemp("left") / "out"
    return out, build(raw, raw / "labels.csv", out, engine="serial")


@pytest.fixture(scope="module")
def kept(raw: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, BuildReport]:
    """The corpus with them."""
    out = tmp_path_factory.mktemp("kept") / "out"
    return out, build(raw, raw / "labels.csv", out, engine="serial", keep_none=True)


def none_samples(out: Path) -> dict[str, dict[str, bytes]]:
    found: dict[str, dict[str, bytes]] = {}
    for shard in sorted(out.glob("none/*/*.tar")):
        with tarfile.open(shard) as tar:
            for info in tar:
                key, _, suffix = info.name.partition(".")
                found.setdefault(key, {})[suffix] = tar.extractfile(info).read()  # type: ignore[union-attr]
    return found


# the sheet


def read(folder: Path, emotion: str) -> Any:
    write_sheet(folder, [{"path": "1f375.mp4", "emotion": emotion, "content_type": "sticker"}])
    (row,) = read_sheet(folder / "labels.csv", Store.at(sticker().parent))
    return row


@pytest.mark.parametrize(
    "word", [NO_EMOTION, "No Specific Emotion", "no-specific-emotion", " NO_EMOTION ", "no  emotion"]
)
def test_a_sheet_may_say_that_there_is_no_emotion(tmp_path: Path, word: str) -> None:
    assert read(tmp_path, word).emotion is None


@pytest.mark.parametrize("word", ["none", "None", "neutral", "unknown", "n/a", "no"])
def test_words_that_may_mean_something_else_are_refused(tmp_path: Path, word: str) -> None:
    row = read(tmp_path, word)
    assert isinstance(row, Rejection)
    assert row.reason.startswith(f"emotion {word!r} is unknown; allowed: amusement, ")
    assert row.reason.endswith(f", or {NO_EMOTION!r}")


def test_an_empty_cell_stays_an_error(tmp_path: Path) -> None:
    assert read(tmp_path, "").reason == "has no emotion"


def test_a_row_without_an_emotion_and_one_with_it_name_a_stretch_once(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(sticker().read_bytes())
    rows = [("a.mp4", NO_EMOTION), ("a.mp4", "awe")]
    write_sheet(tmp_path, [{"path": p, "emotion": e, "content_type": "sticker"} for p, e in rows])
    tie = "its 2 raters are in a tie: no specific emotion 1, awe 1; one more rating, or one fewer, decides"
    with pytest.raises(ValueError, match=f"^no clip could be used; row 1: {tie}$"):
        build(tmp_path, tmp_path / "labels.csv", tmp_path / "out", engine="serial")


def test_a_sheet_of_nothing_else_gives_no_build(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(sticker().read_bytes())
    write_sheet(tmp_path, [{"path": "a.mp4", "emotion": NO_EMOTION, "content_type": "sticker"}])
    with pytest.raises(ValueError, match=r"^no clip could be used; every row says no specific emotion$"):
        build(tmp_path, tmp_path / "labels.csv", tmp_path / "out", engine="serial", keep_none=True)


# left out


def test_they_are_listed_counted_and_refused_nowhere(left: tuple[Path, BuildReport]) -> None:
    out, report = left
    assert [(row.row, row.path, row.agreement) for row in report.without_emotion] == [
        (12, "sticker/11.mp4", 1.0),
        (13, "sticker/12.mp4", 2 / 3),
        (14, "sticker/13.mp4", None),
        (17, "movie/film.mkv", 1.0),
    ]
    assert report.rejections == () and report.counts.total() == 14
    lines = [json.loads(line) for line in (out / "none.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [line["row"] for line in lines] == [12, 13, 14, 17]
    assert lines[3] == {
        "row": 17,
        "path": "movie/film.mkv",
        "content_type": "movie",
        "start": 4.0,
        "end": 6.0,
        "emotion_source": "human",
        "raters": 3,
        "agreement": 1.0,
        "id": None,
    }
    manifest = read_manifest(out)
    assert (manifest.none_clips, manifest.none_shards, manifest.rejected) == (4, (), 0)
    assert not (out / "none").exists()
    assert verify(out, engine="serial") == []
    rows = [row for path in out.glob("metadata/*/*.parquet") for row in parquet.read_table(path).to_pylist()]
    assert len(rows) == 14 and all(row["emotion"] for row in rows)


def test_a_build_without_such_rows_has_no_list(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(sticker().read_bytes())
    write_sheet(tmp_path, [{"path": "a.mp4", "emotion": "awe", "content_type": "sticker"}])
    build(tmp_path, tmp_path / "labels.csv", tmp_path / "out", engine="serial")
    assert not (tmp_path / "out" / "none.jsonl").exists()
    assert verify(tmp_path / "out", engine="serial") == []


def test_the_command_says_so_and_ends_well(raw: Path, left: tuple[Path, BuildReport], tmp_path: Path) -> None:
    command = ["build", str(raw), "--labels", str(raw / "labels.csv"), "--out", str(left[0])]
    shown = CliRunner().invoke(program(), command)
    assert shown.exit_code == 0
    assert "no specific emotion: 4 rows, listed in none.jsonl, their clips not kept" in shown.stdout
    told = json.loads(CliRunner().invoke(program(), [*command, "--json"]).stdout)
    assert [row["row"] for row in told["without_emotion"]] == [12, 13, 14, 17]
    assert (told["rejected"], told["benchmark"], told["left_out"], told["reused"]) == ([], None, [], True)


# kept


def test_they_are_whole_samples_beside_the_data(kept: tuple[Path, BuildReport]) -> None:
    out, report = kept
    samples = none_samples(out)
    assert len(samples) == 4 and {row.id for row in report.without_emotion} == set(samples)
    for key, files in samples.items():
        assert list(files) == ["mp4", "json", "txt", "cls"] and files["cls"] == b"-1"
        values = json.loads(files["json"])
        assert tuple(values) == KEYS and values["id"] == key
        assert (values["emotion"], values["valence"]) == (None, None)
        assert (values["agreement"], values["votes"]) in [
            (1.0, [0] * 8),
            (2 / 3, [0, 1, 0, 0, 0, 0, 0, 0]),
            (None, None),
        ]
        assert len(files["mp4"]) > 500
    assert sorted(path.name for path in out.glob("none/*.parquet")) == []
    tables = [parquet.read_table(path, partitioning=None) for path in sorted(out.glob("none/*/none.parquet"))]
    assert {row["id"] for table in tables for row in table.to_pylist()} == set(samples)


def test_nothing_that_reads_the_data_sees_them(
    left: tuple[Path, BuildReport], kept: tuple[Path, BuildReport], tmp_path: Path
) -> None:
    without, out = folder_bytes(left[0]), folder_bytes(kept[0])
    for name in without:
        if name.startswith(("data/", "metadata/")) or name == "_info.json":
            assert out[name] == without[name]
    assert {name for name in out if name.startswith(("data/", "metadata/"))} <= set(without)
    ids = set(none_samples(kept[0]))
    assert ids.isdisjoint(clip.id for clip in select(kept[0]).clips)
    rows = load(kept[0], split="train", cache_dir=tmp_path)
    assert ids.isdisjoint(rows["id"])
    card = (kept[0] / "README.md").read_text(encoding="utf-8")
    assert "none/" not in card.split("---\n")[1]
    assert "none/*/*.tar" in card and "### No specific emotion" in card


def test_the_datasets_reader_takes_them_inferred_and_typed(
    kept: tuple[Path, BuildReport], tmp_path: Path
) -> None:
    from datasets import Features, Video, load_dataset

    out, _ = kept
    files = {"none": [str(path) for path in sorted(out.glob("none/*/*.tar"))]}
    plain = load_dataset("webdataset", data_files=files, split="none", cache_dir=str(tmp_path / "a"))
    rows = list(plain.cast_column("mp4", Video(decode=False)))
    assert {row["__key__"] for row in rows} == set(none_samples(out))
    assert {(row["cls"], row["json"]["emotion"]) for row in rows} == {(-1, None)}
    typed = load_dataset(str(out), "all", split="train", streaming=True).features
    assert isinstance(typed, Features)
    again = load_dataset(
        "webdataset", data_files=files, split="none", features=typed, cache_dir=str(tmp_path / "b")
    )
    assert {row["cls"] for row in again.remove_columns("mp4")} == {-1}


def test_webdataset_reads_them(kept: tuple[Path, BuildReport]) -> None:
    import webdataset

    paths = [str(path) for path in sorted(kept[0].glob("none/*/*.tar"))]
    samples = list(webdataset.WebDataset(paths, shardshuffle=False, empty_check=False).decode())
    assert {sample["__key__"] for sample in samples} == set(none_samples(kept[0]))
    assert {(sample["cls"], sample["json"]["valence"]) for sample in samples} == {(-1, None)}


def test_processes_change_no_byte(raw: Path, kept: tuple[Path, BuildReport], tmp_path: Path) -> None:
    build(raw, raw / "labels.csv", tmp_path / "out", workers=2, keep_none=True)
    assert folder_bytes(tmp_path / "out") == folder_bytes(kept[0])


@pytest.mark.parametrize("moment", [".build/clips/*.mp4", "data/*/*.tar"])
def test_killed_and_run_again_it_is_the_same(
    raw: Path, kept: tuple[Path, BuildReport], tmp_path: Path, moment: str
) -> None:
    out = tmp_path / "out"
    command = [sys.executable, "-m", "emovid_models.cli", "build", str(raw), "--labels"]
    command += [str(raw / "labels.csv"), "--out", str(out), "--workers", "1", "--keep-none", "--json"]
    pipe = subprocess.PIPE
    process = subprocess.Popen(command, stdout=pipe, stderr=pipe, start_new_session=True)
    while not list(out.glob(moment)) and process.poll() is None:
        time.sleep(0.002)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL and not (out / "metadata").exists()
    with pytest.raises(ValueError, match="unfinished build of other input or settings"):
        build(raw, raw / "labels.csv", out, engine="serial")
    assert subprocess.run(command, capture_output=True, timeout=120).returncode == 0
    assert folder_bytes(out) == folder_bytes(kept[0])


def test_a_build_that_keeps_them_is_another_one(
    raw: Path, kept: tuple[Path, BuildReport], tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="holds a build of other input or settings; give --overwrite"):
        build(raw, raw / "labels.csv", kept[0], engine="serial")
    again = build(raw, raw / "labels.csv", kept[0], engine="serial", keep_none=True)
    assert again.reused and again.without_emotion == kept[1].without_emotion
    for name, data in folder_bytes(kept[0]).items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(data)
    (tmp_path / "mine.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(ValueError, match=r"holds something else \(mine.txt\)"):
        build(raw, raw / "labels.csv", tmp_path, engine="serial", overwrite=True)
    (tmp_path / "mine.txt").unlink()
    build(raw, raw / "labels.csv", tmp_path, engine="serial", overwrite=True)
    assert not (tmp_path / "none").exists() and verify(tmp_path, engine="serial") == []


def test_a_kept_clip_that_is_broken_is_refused(raw: Path, tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(sticker().read_bytes())
    (tmp_path / "b.mp4").write_bytes(b"no film")
    rows = [("a.mp4", "awe"), ("b.mp4", NO_EMOTION)]
    write_sheet(tmp_path, [{"path": p, "emotion": e, "content_type": "sticker"} for p, e in rows])
    report = build(tmp_path, tmp_path / "labels.csv", tmp_path / "out", engine="serial", keep_none=True)
    assert [rejection.row for rejection in report.rejections] == [2]
    assert report.without_emotion == () and read_manifest(tmp_path / "out").none_clips == 0
    assert verify(tmp_path / "out", engine="serial") == []
    unread = build(tmp_path, tmp_path / "labels.csv", tmp_path / "other", engine="serial")
    assert unread.rejections == () and len(unread.without_emotion) == 1


# verify


def copy(out: Path, folder: Path) -> Path:
    for name, data in folder_bytes(out).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def test_verify_checks_them_as_it_checks_the_others(kept: tuple[Path, BuildReport], tmp_path: Path) -> None:
    assert verify(kept[0], engine="serial", decode=True) == []
    out = copy(kept[0], tmp_path)
    (out / "none.jsonl").write_bytes((out / "none.jsonl").read_bytes().split(b"\n", 1)[1])
    (out / "none" / "stray.tar").write_bytes(b"")
    shard = next(out.glob("none/sticker/*.tar"))
    data = shard.read_bytes()
    shard.write_bytes(data.replace(b'"valence": null', b'"valence":    0'))
    found = verify(out, engine="serial")
    assert "none.jsonl: has 3 lines, the manifest says 4" in found
    assert "none/stray.tar: is not named by the manifest" in found
    assert any("valence is 0, but the clip shows no specific emotion" in line for line in found)
    shard.unlink()
    assert f"{shard.relative_to(out).as_posix()}: is missing" in verify(out, engine="serial")


def test_a_manifest_cannot_name_them_elsewhere(kept: tuple[Path, BuildReport], tmp_path: Path) -> None:
    out = copy(kept[0], tmp_path)
    body = json.loads((out / "manifest.json").read_text(encoding="utf-8"))
    for wrong in ("../none/a.tar", "data/sticker/none-0.tar", "none/../a.tar"):
        body["none_shards"][0]["path"] = wrong
        (out / "manifest.json").write_text(json.dumps(body), encoding="utf-8")
        (line,) = verify(out, engine="serial")
        assert line == f"manifest.json names a shard outside none/: {wrong!r}"


def test_a_row_with_an_emotion_is_none_of_them(kept: tuple[Path, BuildReport]) -> None:
    files = next(iter(none_samples(kept[0]).values()))
    row = json.load(io.BytesIO(files["json"]))
    assert ClipWithoutEmotion.from_mapping(row).to_json().encode() == files["json"]
    for key, value in (("emotion", "awe"), ("valence", 1)):
        with pytest.raises(ValueError, match=f"^{key} is .*, but the clip shows no specific emotion$"):
            ClipWithoutEmotion.from_mapping({**row, key: value})
    with pytest.raises(ValueError, match=r"^agreement is 0.5, but 3 of 3 raters saw no emotion$"):
        ClipWithoutEmotion.from_mapping({**row, "raters": 3, "votes": [0] * 8, "agreement": 0.5})
