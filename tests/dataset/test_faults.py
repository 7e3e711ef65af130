"""What is a file's fault is refused; what is the machine's stops the run and counts against no file."""

from __future__ import annotations

import os
import shutil
import signal
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from video_files import folder_bytes, sticker, write_sheet

import emovid_dataset
from emovid_dataset.builder import prepare
from emovid_dataset.builder.build import build
from emovid_dataset.builder.prepare import PreparePart, PrepareStage
from emovid_dataset.check import verify
from emovid_dataset.engine import Processes, Record, Serial, StageError
from emovid_dataset.media.source import VideoError
from emovid_dataset.store import Store


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve stickers with their sheet."""
    folder = tmp_path_factory.mktemp("raw")
    (folder / "sticker").mkdir()
    rows = []
    for index, path in enumerate(sorted(sticker().parent.glob("*.mp4"))[:12]):
        shutil.copy(path, folder / "sticker" / f"{index}.mp4")
        rows.append({"path": f"sticker/{index}.mp4", "emotion": index % 8})
    write_sheet(folder, rows)
    return folder


@pytest.fixture(scope="module")
def undisturbed(raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("undisturbed") / "out"
    build(raw, raw / "labels.csv", out, engine="serial")
    return out


class Killed(PrepareStage):
    """Prepares, but whoever comes to the third file is killed as the OOM killer does it."""

    def run(self, state: None, part: PreparePart, store: Store) -> Iterator[Record]:
        if any(unit.path == "sticker/2.mp4" for unit in part.units):
            os.kill(os.getpid(), signal.SIGKILL)
        yield from super().run(state, part, store)


class KilledOnce(PrepareStage):
    """The same, for the first time only."""

    def run(self, state: None, part: PreparePart, store: Store) -> Iterator[Record]:
        if any(unit.path == "sticker/2.mp4" for unit in part.units) and not store.exists("killed"):
            store.put("killed", b"")
            os.kill(os.getpid(), signal.SIGKILL)
        yield from super().run(state, part, store)


class Crashing(PrepareStage):
    """Prepares, but the third file crashes the decoder."""

    def run(self, state: None, part: PreparePart, store: Store) -> Iterator[Record]:
        if any(unit.path == "sticker/2.mp4" for unit in part.units):
            os.kill(os.getpid(), signal.SIGSEGV)
        yield from super().run(state, part, store)


def build_by(stage: type[PrepareStage], raw: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    with monkeypatch.context() as patch:
        patch.setattr("emovid_dataset.builder.build.PrepareStage", stage)
        return build(raw, raw / "labels.csv", out, engine=Processes(2))


def test_a_worker_that_is_killed_for_memory_refuses_no_file(
    raw: Path, undisturbed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    with pytest.raises(StageError, match="SIGKILL") as stopped:
        build_by(Killed, raw, out, monkeypatch)
    assert "\n" not in str(stopped.value)
    report = build(raw, raw / "labels.csv", out, engine="serial")  # on a larger machine
    assert not report.rejections
    assert folder_bytes(out) == folder_bytes(undisturbed)


def test_a_worker_that_is_killed_once_costs_nothing(
    raw: Path, undisturbed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    with monkeypatch.context() as patch:
        patch.setattr("emovid_dataset.builder.claim._OWN_NAMES", {*_own_names(), "killed"})
        report = build_by(KilledOnce, raw, out, patch)
    assert (out / "killed").exists() and not report.rejections
    (out / "killed").unlink()
    assert folder_bytes(out) == folder_bytes(undisturbed)


def _own_names() -> set[str]:
    from emovid_dataset.builder.claim import _OWN_NAMES

    return _OWN_NAMES


def test_a_file_that_crashes_the_decoder_is_refused_alone(
    raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = build_by(Crashing, raw, tmp_path / "out", monkeypatch)
    assert [(r.path, r.reason) for r in report.rejections] == [("sticker/2.mp4", "makes the decoder crash")]
    assert report.manifest.select() and sum(s.samples for s in report.manifest.shards) == 11
    assert verify(tmp_path / "out", engine="serial") == []


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ZeroDivisionError("Fraction(1, 0)"), "cannot be read: ZeroDivisionError: Fraction(1, 0)"),
        (KeyError("rotation"), "cannot be read: KeyError: 'rotation'"),
        (VideoError("is not a video"), "is not a video"),
        (OSError("image file is truncated"), "cannot be read: OSError: image file is truncated"),
    ],
)
def test_whatever_the_content_of_a_file_raises_is_its_refusal(
    raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, reason: str
) -> None:
    undisturbed, calls = prepare.measure, []

    def broken(reader: Any, every: int) -> Any:
        calls.append(reader)
        if len(calls) == 1:
            raise error
        return undisturbed(reader, every)

    monkeypatch.setattr(prepare, "measure", broken)
    report = build(raw, raw / "labels.csv", tmp_path / "out", engine=Serial())
    assert [r.reason for r in report.rejections] == [reason]


def test_a_machine_without_memory_refuses_no_file(
    raw: Path, undisturbed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def starved(*_: Any) -> Any:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(prepare, "measure", starved)
        with pytest.raises(StageError, match="out of memory"):
            build(raw, raw / "labels.csv", tmp_path / "out", engine="serial")
    assert not build(raw, raw / "labels.csv", tmp_path / "out", engine="serial").rejections
    assert folder_bytes(tmp_path / "out") == folder_bytes(undisturbed)


@pytest.fixture
def unreadable(undisturbed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, str]:
    """A build, one shard of which the disk cannot read, and that shard's name."""
    shutil.copytree(undisturbed, tmp_path / "build")
    path = sorted((tmp_path / "build").glob("data/*/train-*.tar"))[0]
    # root may read whatever the mode says, but nobody reads a folder as a file
    path.unlink()
    path.mkdir()
    assert stat.S_ISDIR(path.stat().st_mode)
    return tmp_path / "build", path.relative_to(tmp_path / "build").as_posix()


def test_an_unreadable_shard_hides_no_other_finding(unreadable: tuple[Path, str]) -> None:
    folder, name = unreadable
    (folder / "rejected.jsonl").unlink()
    other = sorted(folder.glob("data/*/train-*.tar"))[1]
    with other.open("r+b") as file:
        file.truncate(700)
    found = verify(folder, engine="serial")
    assert any(line.startswith(f"{name}: ") for line in found)
    assert any(line.startswith(f"{other.relative_to(folder).as_posix()}: ") for line in found)
    assert "rejected.jsonl: is missing" in found


def test_an_unreadable_shard_is_named_by_stream(unreadable: tuple[Path, str]) -> None:
    folder, name = unreadable
    with pytest.raises(OSError, match=name):
        list(emovid_dataset.stream(folder, split="train", frames=2, size=32, shuffle=0))


def test_a_table_that_cannot_be_read_is_named_by_stats(undisturbed: Path, tmp_path: Path) -> None:
    from emovid_dataset.report.stats import measure

    shutil.copytree(undisturbed, tmp_path / "build")
    table = tmp_path / "build/metadata/sticker/train.parquet"
    table.unlink()
    table.mkdir()
    with pytest.raises((OSError, ValueError), match=r"metadata/sticker/train\.parquet"):
        measure(tmp_path / "build")
