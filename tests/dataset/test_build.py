"""Builds: shards as other readers see them, the same bytes for any processes and after any kill."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import psutil
import pytest
from pyarrow import parquet
from video_files import (
    cartoon,
    folder_bytes,
    noise,
    numbered_frames,
    read_stamp,
    remux,
    rotate,
    sticker,
    write_sheet,
    write_video,
)

from emovid_dataset.builder.build import build
from emovid_dataset.builder.plan import Plan
from emovid_dataset.builder.prepare import plan_units, share_out
from emovid_dataset.builder.sheet.read import read_sheet
from emovid_dataset.check import verify
from emovid_dataset.media.frames import decode
from emovid_dataset.media.source import probe
from emovid_dataset.read.manifest import read_manifest
from emovid_dataset.schema.clip import KEYS, Clip
from emovid_dataset.schema.emotions import EMOTIONS
from emovid_dataset.store import Store


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Nine stickers, a film in MKV with four segments, a GIF, a MOV and a rotated clip, with their sheet."""
    folder = tmp_path_factory.mktemp("raw")
    for kind in ("sticker", "cartoon", "movie"):
        (folder / kind).mkdir()
    rows: list[dict[str, Any]] = []

    def add(path: str, emotion: int, start: float | str = "", end: float | str = "", group: str = "") -> None:
        caption = f"Clip {len(rows)}, naïve 🎬"
        rows.append(
            {"path": path, "emotion": emotion, "start": start, "end": end, "group": group, "caption": caption}
        )

    for index, path in enumerate(sorted(sticker().parent.glob("*.mp4"))[:9]):
        shutil.copy(path, folder / "sticker" / path.name)
        add(f"sticker/{path.name}", index % 8, group=f"family {index // 2}")
    write_video(folder / "movie/film.mkv", numbered_frames(240), sound=noise(10))
    for index in range(4):
        add("movie/film.mkv", index, index * 2.5, index * 2.5 + 2)
    write_video(folder / "cartoon/a.gif", numbered_frames(240)[:12], codec="gif", pixels="rgb8", rate=10)
    remux(cartoon(), folder / "cartoon/b.mov")
    shutil.copy(cartoon("kite-471400-472800"), folder / "cartoon/c.mp4")
    rotate(write_video(folder / "cartoon/d.mp4", numbered_frames(240)[:12]), 90)
    for index, name in enumerate("abcd"):
        suffix = {"a": "gif", "b": "mov"}.get(name, "mp4")
        add(f"cartoon/{name}.{suffix}", index)
    write_sheet(folder, rows)
    return folder


@pytest.fixture(scope="module")
def undisturbed(raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("undisturbed") / "out"
    report = build(raw, raw / "labels.csv", out, workers=1, shard_size=60_000)
    assert not report.rejections and not report.unlabelled and not report.reused
    return out


def members(out: Path) -> dict[str, dict[str, bytes]]:
    """Samples by key, read by Python's tarfile."""
    found: dict[str, dict[str, bytes]] = defaultdict(dict)
    for shard in sorted(out.glob("data/*/*.tar")):
        with tarfile.open(shard) as tar:
            for info in tar:
                key, _, suffix = info.name.partition(".")
                found[key][suffix] = tar.extractfile(info).read()  # type: ignore[union-attr]
    return found


def clips(out: Path) -> list[Clip]:
    return [Clip.from_mapping(json.loads(files["json"])) for files in members(out).values()]


# what stands in the shards


def test_samples_are_four_adjacent_members_with_the_fields_of_the_design(undisturbed: Path) -> None:
    for shard in undisturbed.glob("data/*/*.tar"):
        with tarfile.open(shard) as tar:
            infos = tar.getmembers()
        assert len(infos) % 4 == 0
        for first in range(0, len(infos), 4):
            four = infos[first : first + 4]
            key = four[0].name.partition(".")[0]
            assert [info.name for info in four] == [f"{key}.{end}" for end in ("mp4", "json", "txt", "cls")]
            assert {(info.mtime, info.uid, info.gid, info.uname) for info in four} == {(0, 0, 0, "")}
    for key, files in members(undisturbed).items():
        values = json.loads(files["json"])
        assert tuple(values) == KEYS and values["id"] == key
        assert files["txt"].decode() == values["caption"] and "naïve 🎬" in values["caption"]
        assert EMOTIONS[int(files["cls"])] == values["emotion"]
        assert values["valence"] == int(files["cls"]) // 4
        assert hashlib.sha256(files["mp4"]).hexdigest() == values["sha256"]
        info = probe(files["mp4"])
        assert (values["width"], values["height"]) == (info.width, info.height)
        assert values["num_frames"] == info.num_frames and values["has_audio"] == info.has_audio


def test_conforming_files_go_in_unchanged_and_others_once_transcoded(raw: Path, undisturbed: Path) -> None:
    by_source = {clip.source: clip for clip in clips(undisturbed) if clip.start is None}
    files = members(undisturbed)
    for path in [*raw.glob("sticker/*.mp4"), raw / "cartoon/c.mp4"]:
        clip = by_source[path.relative_to(raw).as_posix()]
        assert files[clip.id]["mp4"] == path.read_bytes()
        assert clip.id.endswith(hashlib.sha256(path.read_bytes()).hexdigest()[:16])
    for name, frames, sound in (("a.gif", 12, False), ("b.mov", 31, True), ("d.mp4", 12, False)):
        clip = by_source[f"cartoon/{name}"]
        source = (raw / "cartoon" / name).read_bytes()
        assert files[clip.id]["mp4"] != source
        assert clip.id == f"cartoon-{hashlib.sha256(source).hexdigest()[:16]}"
        assert (clip.has_audio, clip.num_frames) == (sound, probe(source).num_frames)
        assert name == "b.mov" or clip.num_frames == frames
    assert (by_source["cartoon/d.mp4"].width, by_source["cartoon/d.mp4"].height) == (96, 160)


def test_segments_are_named_after_film_and_time_and_hold_their_frames(raw: Path, undisturbed: Path) -> None:
    digest = hashlib.sha256((raw / "movie/film.mkv").read_bytes())
    files = members(undisturbed)
    segments = sorted((c for c in clips(undisturbed) if c.start is not None), key=lambda c: c.start or 0)
    assert [(clip.start, clip.end) for clip in segments] == [(0, 2), (2.5, 4.5), (5, 7), (7.5, 9.5)]
    assert {clip.group for clip in segments} == {"movie/film.mkv"}
    for clip in segments:
        named = digest.copy()
        named.update(f"@{round(clip.start * 1000)}-{round(clip.end * 1000)}".encode())  # type: ignore[operator]
        assert clip.id == f"movie-{named.hexdigest()[:16]}"
        assert clip.has_audio and clip.num_frames == 48
        first = round(24 * (clip.start or 0))
        assert [read_stamp(f) for f in decode(files[clip.id]["mp4"])] == list(range(first, first + 48))


def test_webdataset_reads_the_same_samples(undisturbed: Path) -> None:
    import webdataset

    seen: dict[str, dict[str, bytes]] = {}
    for shard in sorted(undisturbed.glob("data/*/*.tar")):
        for sample in webdataset.WebDataset(str(shard), shardshuffle=False, empty_check=False):
            seen[sample["__key__"]] = {name: sample[name] for name in ("mp4", "json", "txt", "cls")}
    assert seen == members(undisturbed)


def test_the_datasets_reader_sees_every_sample_typed(undisturbed: Path, tmp_path: Path) -> None:
    from datasets import Video, load_dataset

    wanted = members(undisturbed)
    rows = load_dataset(str(undisturbed), "all", cache_dir=str(tmp_path))
    found = 0
    for split in rows.values():
        for row in split.cast_column("mp4", Video(decode=False)):
            files = wanted[row["__key__"]]
            assert row["mp4"]["bytes"] == files["mp4"] and row["json"] == json.loads(files["json"])
            assert row["txt"] == files["txt"].decode() and row["cls"] == int(files["cls"])
            found += 1
    assert found == len(wanted) == 17


def test_offsets_of_the_metadata_point_at_the_bytes(undisturbed: Path) -> None:
    files = members(undisturbed)
    seen = 0
    for table in undisturbed.glob("metadata/*/*.parquet"):
        for row in parquet.read_table(table, partitioning=None).to_pylist():
            with (undisturbed / row["shard"]).open("rb") as shard:
                shard.seek(row["offset"])
                assert shard.read(row["size"]) == files[row["id"]]["mp4"]
            assert {key: row[key] for key in KEYS} == json.loads(files[row["id"]]["json"])
            seen += 1
    assert seen == len(files)


def test_groups_stay_on_one_side(undisturbed: Path) -> None:
    sides: dict[str, set[str]] = defaultdict(set)
    for table in undisturbed.glob("metadata/*/*.parquet"):
        for group in parquet.read_table(table, columns=["group"], partitioning=None)["group"].to_pylist():
            sides[group].add(table.stem)
    assert sides["movie/film.mkv"] and all(len(side) == 1 for side in sides.values())


# the same bytes


@pytest.mark.parametrize("workers", [1, 2])
def test_processes_and_the_order_of_the_sheet_change_no_byte(
    raw: Path, undisturbed: Path, tmp_path: Path, workers: int
) -> None:
    build(raw, raw / "labels.csv", tmp_path / "out", workers=workers, shard_size=60_000)
    assert folder_bytes(tmp_path / "out") == folder_bytes(undisturbed)


def test_the_order_of_the_rows_moves_no_clip(raw: Path, undisturbed: Path, tmp_path: Path) -> None:
    head, *rows = (raw / "labels.csv").read_text(encoding="utf-8").splitlines()
    random.Random(5).shuffle(rows)
    (tmp_path / "other.csv").write_text("\n".join([head, *rows]) + "\n", encoding="utf-8")
    build(raw, tmp_path / "other.csv", tmp_path / "out", workers=2, shard_size=60_000)
    for shard in undisturbed.glob("data/*/*.tar"):
        assert (tmp_path / "out" / shard.relative_to(undisturbed)).read_bytes() == shard.read_bytes()


def test_a_finished_build_is_used_again_and_another_one_refused(raw: Path, undisturbed: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in undisturbed.rglob("*")}
    report = build(raw, raw / "labels.csv", undisturbed, workers=1, shard_size=60_000)
    assert report.reused and sum(report.counts.values()) == 17
    with pytest.raises(ValueError, match="holds a build of other input or settings; give --overwrite"):
        build(raw, raw / "labels.csv", undisturbed, workers=1, shard_size=60_001)
    assert before == {path: path.stat().st_mtime_ns for path in undisturbed.rglob("*")}


def test_overwrite_replaces_a_build_and_nothing_else(raw: Path, undisturbed: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(undisturbed, out)
    build(raw, raw / "labels.csv", out, workers=2, shard_size=60_000, seed=3, overwrite=True)
    assert read_manifest(out).seed == 3 and verify(out, workers=1) == []
    (out / "mine.txt").write_text("keep me")
    with pytest.raises(ValueError, match=r"holds something else \(mine\.txt\)"):
        build(raw, raw / "labels.csv", out, overwrite=True)
    assert (out / "mine.txt").read_text() == "keep me"


def test_the_same_content_twice_is_one_clip(tmp_path: Path) -> None:
    (tmp_path / "sticker").mkdir()
    for name in "ab":
        shutil.copy(sticker(), tmp_path / "sticker" / f"{name}.mp4")
    sheet = write_sheet(tmp_path, [{"path": f"sticker/{name}.mp4", "emotion": 1} for name in "ab"])
    report = build(tmp_path, sheet, tmp_path / "out", workers=1)
    assert [(r.row, r.reason) for r in report.rejections] == [(2, "has the same content as row 1")]
    lines = (tmp_path / "out/rejected.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [
        {"row": 2, "path": "sticker/b.mp4", "reason": "has the same content as row 1"}
    ]
    assert len(clips(tmp_path / "out")) == 1 and verify(tmp_path / "out", decode=True, workers=1) == []


# kills


def start(raw: Path, out: Path, workers: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "emovid_models.cli", "build", str(raw), "--labels"]
    command += [str(raw / "labels.csv"), "--out", str(out), "--workers", str(workers)]
    command += ["--shard-size", "60000"]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, start_new_session=True)


def wait_until_gone(processes: list[psutil.Process]) -> None:
    _, alive = psutil.wait_procs(processes, timeout=20)
    assert not alive, f"left behind: {alive}"


def is_under_way(out: Path) -> bool:
    return (out / ".build").is_dir()


@pytest.mark.parametrize("workers", [1, 2])
def test_killed_at_any_moment_and_run_again_it_is_the_same(
    raw: Path, undisturbed: Path, tmp_path: Path, workers: int
) -> None:
    out = tmp_path / "out"
    draw = random.Random(workers)
    killed = 0
    for _ in range(4):
        process = start(raw, out, workers)
        while not is_under_way(out) and process.poll() is None:
            time.sleep(0.01)
        try:
            # the first moment lies within any run, the later ones anywhere up to the end
            process.wait(draw.uniform(0.0, 4.0 if killed else 0.3))
        except subprocess.TimeoutExpired:
            family = psutil.Process(process.pid).children(recursive=True)
            os.kill(process.pid, signal.SIGKILL)
            process.communicate()
            killed += 1
            if not (out / "manifest.json").exists() or is_under_way(out):
                assert verify(out, workers=1), "an unfinished build passes for a finished one"
            wait_until_gone(family)
        else:
            break
    process = start(raw, out, workers)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert killed >= 1
    assert folder_bytes(out) == folder_bytes(undisturbed)


def copy_until(out: Path, undisturbed: Path, *, settings: bytes) -> None:
    """A build as it is when all but the last step is done."""
    shutil.copytree(undisturbed, out)
    manifest = read_manifest(out)
    body = json.loads(manifest.to_json())
    body["complete"] = False
    (out / "manifest.json").write_text(json.dumps(body, indent=1) + "\n")
    (out / ".build").mkdir()
    (out / ".build/settings.json").write_bytes(settings)


@pytest.fixture(scope="module")
def recorded_settings(raw: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    out = tmp_path_factory.mktemp("settings") / "out"
    process = start(raw, out, 1)
    while not (out / ".build/settings.json").exists() and process.poll() is None:
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    return (out / ".build/settings.json").read_bytes()


LEFT_BY_A_KILL = (
    ".manifest.json.0123456789ab.tmp",
    "._info.json.0123456789ab.tmp",
    ".README.md.0123456789ab.tmp",
    ".rejected.jsonl.0123456789ab.tmp",
    ".manifest.json.tmp",  # as earlier versions left it
    "data/sticker/.train-00000.tar.4242.tmp",
    "data/sticker/train-00000-of-00999.tar",  # as earlier versions named them
    "data/sticker/00001/train-02000.tar",
    "metadata/sticker/.train.parquet.0123456789ab.tmp",
    "metadata/movie/validation.parquet",
    ".build/clips/.movie-0123456789abcdef.mp4.0123456789ab.tmp",
    ".build/.settings.json.0123456789ab.tmp",
    ".build/prepared/.0123456789abcdef.jsonl.0123456789ab.tmp",
)


def test_files_that_were_about_to_be_renamed_stop_nothing_and_stay_nowhere(
    raw: Path, undisturbed: Path, tmp_path: Path, recorded_settings: bytes
) -> None:
    out = tmp_path / "out"
    copy_until(out, undisturbed, settings=recorded_settings)
    for left in LEFT_BY_A_KILL:
        (out / left).parent.mkdir(parents=True, exist_ok=True)
        (out / left).write_bytes(b"half")
    build(raw, raw / "labels.csv", out, workers=1, shard_size=60_000)
    assert folder_bytes(out) == folder_bytes(undisturbed)


def prepared(out: Path) -> int:
    """Parts whose outcome is in the ledger."""
    return len(list((out / ".build/prepared").glob("*.jsonl")))


def stopped_in_mid_prepare(
    raw: Path, out: Path, workers: int
) -> tuple[subprocess.Popen[str], list[psutil.Process]]:
    """A build, stopped by SIGSTOP with its workers where some parts are done and others are not."""
    process = start(raw, out, workers)
    while True:
        assert process.poll() is None, "the build ended before it could be stopped"
        if prepared(out):
            parent = psutil.Process(process.pid)
            parent.suspend()  # it gives out no more parts
            family = parent.children(recursive=True)
            if is_under_way(out) and not (out / ".build/written").exists():
                return process, family
            parent.resume()
        time.sleep(0.001)


@pytest.fixture(scope="module")
def slow(raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The raw folder, and a film whose segments take their time."""
    folder = tmp_path_factory.mktemp("slow") / "raw"
    shutil.copytree(raw, folder)
    write_video(folder / "movie/long.mkv", numbered_frames(240) * 4, sound=noise(40))
    with (folder / "labels.csv").open("a", encoding="utf-8", newline="") as file:
        for index in range(18):
            file.write(f"movie/long.mkv,{index % 8},{index * 2},{index * 2 + 2},,Slow {index}\n")
    return folder


@pytest.fixture(scope="module")
def slow_undisturbed(slow: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("slow_undisturbed") / "out"
    build(slow, slow / "labels.csv", out, workers=2, shard_size=60_000)
    return out


def test_ctrl_c_is_one_line_and_leaves_a_state_that_goes_on(
    slow: Path, slow_undisturbed: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    process, family = stopped_in_mid_prepare(slow, out, 2)
    os.killpg(process.pid, signal.SIGINT)
    psutil.Process(process.pid).resume()
    _, errors = process.communicate(timeout=60)
    wait_until_gone(family)
    assert process.returncode == 130, errors
    assert "Traceback" not in errors
    assert errors.splitlines()[-1] == "emovid: interrupted; run the same command again to go on"
    assert prepared(out)
    build(slow, slow / "labels.csv", out, workers=1, shard_size=60_000)
    assert folder_bytes(out) == folder_bytes(slow_undisturbed)


def test_a_killed_worker_costs_nothing(slow: Path, slow_undisturbed: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    process, family = stopped_in_mid_prepare(slow, out, 2)
    workers = [child for child in family if "spawn_main" in " ".join(child.cmdline())]
    assert len(workers) == 2
    workers[0].kill()
    psutil.Process(process.pid).resume()
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert folder_bytes(out) == folder_bytes(slow_undisturbed)


def test_two_builds_of_one_folder_at_once_are_refused(slow: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    process, _ = stopped_in_mid_prepare(slow, out, 1)
    try:
        for overwrite in (False, True):
            with pytest.raises(ValueError, match="is being built by another process"):
                build(slow, slow / "labels.csv", out, workers=1, shard_size=60_000, overwrite=overwrite)
    finally:
        psutil.Process(process.pid).resume()
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert verify(out, workers=1) == []


def test_a_file_system_without_locks(raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr("fcntl.flock", refuse)
    build(raw, raw / "labels.csv", tmp_path / "out", workers=1, shard_size=60_000)
    assert verify(tmp_path / "out", workers=1) == []


def test_the_serial_engine_makes_the_same_build(raw: Path, undisturbed: Path, tmp_path: Path) -> None:
    build(raw, raw / "labels.csv", tmp_path / "out", engine="serial", shard_size=60_000)
    assert folder_bytes(tmp_path / "out") == folder_bytes(undisturbed)


def test_another_row_leaves_nearly_all_parts_as_they_are(raw: Path, tmp_path: Path) -> None:
    """What is done for a file does not depend on where it stands in the sheet, nor on the other files."""
    head, *rows = (raw / "labels.csv").read_text(encoding="utf-8").splitlines()
    keys = []
    for lines in (rows, rows[1:]):
        (tmp_path / "labels.csv").write_text("\n".join([head, *lines]) + "\n", encoding="utf-8")
        with Plan() as plan:
            for row in read_sheet(tmp_path / "labels.csv", Store.at(raw)):
                plan.add(row)
            plan_units(plan, Store.at(raw), 20)
            keys.append({part.key for part in share_out(plan, 16)})
    assert len(keys[0] - keys[1]) == 1
    assert len(keys[0]) > 5
