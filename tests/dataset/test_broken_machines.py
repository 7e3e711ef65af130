"""A full disk, bits that turn over, clocks that jump: what a build comes to, and what is said."""

from __future__ import annotations

import errno
import os
import random
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pyarrow import parquet
from video_files import folder_bytes, numbered_frames, sticker, write_sheet, write_video

from emovid_dataset.builder.append import append
from emovid_dataset.builder.build import build
from emovid_dataset.builder.repair import repair
from emovid_dataset.check import verify
from emovid_dataset.read.manifest import read_manifest
from emovid_dataset.store import Store


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight stickers that are taken as they are and one film that is encoded; sheets of six and of all."""
    folder = tmp_path_factory.mktemp("raw")
    paths = sorted(sticker().parent.glob("*.mp4"))[:8]
    for path in paths:
        shutil.copy(path, folder / path.name)
    write_video(folder / "film.mkv", numbered_frames(240)[:24], rate=12, codec="mpeg4")
    rows = [
        {"path": path.name, "emotion": index % 8, "content_type": "sticker"}
        for index, path in enumerate(paths)
    ]
    rows.insert(0, {"path": "film.mkv", "emotion": 1, "content_type": "movie"})
    write_sheet(folder, rows[:6], "first.csv")
    write_sheet(folder, rows, "all.csv")
    return folder


@pytest.fixture(scope="module")
def undisturbed(raw: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A build of the first sheet, and the same after an append of the other."""
    first = tmp_path_factory.mktemp("undisturbed") / "out"
    build(raw, raw / "first.csv", first, engine="serial", shard_size=60_000)
    grown = Path(shutil.copytree(first, first.parent / "grown"))
    append(raw, raw / "all.csv", grown, engine="serial")
    return first, grown


# a full disk


@contextmanager
def disk_of(folder: Path, size: int) -> Iterator[Callable[[int], None]]:
    """A disk of its own of so many bytes; gives what changes its size."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    if os.geteuid() or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("a disk can be mounted by root only")
    try:
        yield (
            lambda more: (
                subprocess.run(["mount", "-o", f"remount,size={more}", str(folder)], check=True) and None
            )
        )
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_build_on_a_disk_that_is_full_goes_on_when_there_is_room(
    raw: Path, undisturbed: tuple[Path, Path], tmp_path: Path
) -> None:
    """Full at seeded moments: while clips are prepared, shards written, the index made."""
    first, _ = undisturbed
    size = sum(len(data) for data in folder_bytes(first).values())
    draw = random.Random(7)
    with disk_of(tmp_path / "disk", 1 << 16) as resize:
        out = tmp_path / "disk" / "out"
        full = 0
        for share in sorted(draw.uniform(0.2, 1.6) for _ in range(5)):
            resize(int(share * size))
            try:
                build(raw, raw / "first.csv", out, engine="serial", shard_size=60_000)
            except OSError as error:
                full += 1
                assert error.errno in (errno.ENOSPC, None) and "No space left on device" in str(error)
                assert "\n" not in str(error) and str(out) in str(error)
                assert not any(
                    chosen for chosen in [out / "rejected.jsonl"] if chosen.exists() and _lines(chosen)
                )
            else:
                break
        assert full >= 2
        resize(8 * size)
        report = build(raw, raw / "first.csv", out, engine="serial", shard_size=60_000)
        assert not report.rejections
        assert folder_bytes(out) == folder_bytes(first)


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines()


def test_an_append_to_a_full_disk_leaves_the_build_as_it_was(
    raw: Path, undisturbed: tuple[Path, Path], tmp_path: Path
) -> None:
    first, grown = undisturbed
    size = sum(-(-len(data) // 4096) * 4096 for data in folder_bytes(first).values())
    with disk_of(tmp_path / "disk", 8 * size) as resize:
        out = Path(shutil.copytree(first, tmp_path / "disk" / "out"))
        for share in (1.2, 1.5):
            resize(int(share * size))
            with pytest.raises(OSError, match="No space left on device"):
                append(raw, raw / "all.csv", out, engine="serial")
            held = {name: data for name, data in folder_bytes(out).items() if not name.startswith(".build")}
            assert held == folder_bytes(first)
        resize(8 * size)
        append(raw, raw / "all.csv", out, engine="serial")
        assert folder_bytes(out) == folder_bytes(grown)


# bits that turn over


def rows_of(table: Path) -> list[dict[str, Any]]:
    return parquet.read_table(table, partitioning=None).to_pylist()


def test_verify_names_the_shard_and_the_clip_of_a_bit_that_turned_over_and_repair_turns_it_back(
    raw: Path, undisturbed: tuple[Path, Path], tmp_path: Path
) -> None:
    out = Path(shutil.copytree(undisturbed[1], tmp_path / "out"))
    sound = folder_bytes(out)
    draw = random.Random(3)
    shards = [shard.path for shard in read_manifest(out).shards]
    rows = [row for path in out.glob("metadata/*/*.parquet") for row in rows_of(path)]
    for _ in range(6):
        name = draw.choice(shards)
        data = bytearray(sound[name])
        place = draw.randrange(len(data))
        data[place] ^= 1 << draw.randrange(8)
        (out / name).write_bytes(data)
        found = verify(out, engine="serial")
        assert any(line.startswith(f"{name}: ") for line in found), (name, place)
        hit = [
            row["id"]
            for row in rows
            if row["shard"] == name and row["offset"] <= place < row["offset"] + row["size"]
        ]
        assert all(any(line.startswith(f"{name}: {key}: ") for line in found) for key in hit)
        done = repair(out, raw=raw, labels=raw / "all.csv", engine="serial")
        assert [file.path for file in done.files] == [name] and not done.left
        assert folder_bytes(out) == sound


# clocks that jump


def test_a_clock_that_jumps_changes_no_byte(
    raw: Path, undisturbed: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, draw = time.time, random.Random(5)
    monkeypatch.setattr(time, "time", lambda: clock() + draw.uniform(-1, 1) * 86_400)
    monkeypatch.setattr(time, "time_ns", lambda: int(time.time() * 1e9))
    out = tmp_path / "out"
    build(raw, raw / "first.csv", out, engine="serial", shard_size=60_000)
    append(raw, raw / "all.csv", out, engine="serial")
    assert folder_bytes(out) == folder_bytes(undisturbed[1])


def test_a_lease_is_as_old_as_its_store_says(monkeypatch: pytest.MonkeyPatch) -> None:
    memory = Store.at("memory://clocks/build")

    class Tomorrow(datetime):
        @classmethod
        def now(cls, *zone: Any) -> Tomorrow:
            return super().now(*zone) + timedelta(days=1)

    with memory.lease("lock"):
        monkeypatch.setattr("emovid_dataset._lease.datetime", Tomorrow)
        clock = time.time
        for jump in (86_400, -86_400):
            monkeypatch.setattr(time, "time", lambda jump=jump: clock() + jump)
            with pytest.raises(ValueError, match="is held by"), memory.lease("lock", take_over=True):
                pass


def test_sources_that_another_clock_has_dated_are_not_taken_for_changed_ones(
    raw: Path, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(raw, tmp_path / "raw"))
    later = time.time() + 86_400
    for path in copy.iterdir():
        os.utime(path, (later, later))
    assert not build(copy, copy / "first.csv", tmp_path / "out", engine="serial").reused
    assert build(copy, copy / "first.csv", tmp_path / "out", engine="serial").reused
    # but one that changed since is
    film = copy / "film.mkv"
    data = bytearray(film.read_bytes())
    time.sleep(0.02)
    film.write_bytes(data)
    with pytest.raises(ValueError, match="holds a build of other input"):
        build(copy, copy / "first.csv", tmp_path / "out", engine="serial")
