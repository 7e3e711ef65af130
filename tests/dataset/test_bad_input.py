"""Bad input, full disks and wrong folders: one clear line each, nothing lost, nothing half-done counted."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from one_process import run_all
from PIL import Image
from video_files import (
    MINI,
    cartoon,
    folder_bytes,
    noise,
    numbered_frames,
    read_stamp,
    rotate,
    sticker,
    write_sheet,
    write_video,
)

from emovid_dataset.builder.build import build
from emovid_dataset.check import verify
from emovid_dataset.media.frames import decode
from emovid_dataset.schema.clip import Clip

FRAMES = 96


def data(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def audio_only(path: Path) -> None:
    import av

    write_video(path.with_name("whole.mp4"), numbered_frames(FRAMES)[:4], sound=noise(0.5))
    with av.open(str(path.with_name("whole.mp4"))) as old, av.open(str(path), "w") as new:
        stream = new.add_stream_from_template(old.streams.audio[0])
        for packet in old.demux(old.streams.audio[0]):
            if packet.dts is not None:
                packet.stream = stream
                new.mux(packet)
    path.with_name("whole.mp4").unlink()


def no_frames(path: Path) -> None:
    """An MP4 whose track lists no sample."""
    whole = bytearray(sticker().read_bytes())
    for box, fields in ((b"stsz", 12), (b"stts", 8), (b"stsc", 8), (b"stco", 8)):
        at = whole.index(box) + 4
        whole[at + fields - 4 : at + fields] = bytes(4)
    path.write_bytes(whole)


REFUSED: dict[str, tuple[Callable[[Path], object], str]] = {
    "truncated.mp4": (lambda p: data(p, cartoon().read_bytes()[:9000]), "is truncated"),
    "truncated.webm": (
        lambda p: data(p, write_video(p, numbered_frames(FRAMES)[:9], codec="libvpx").read_bytes()[:-900]),
        "is truncated",
    ),
    "zero.mp4": (lambda p: data(p, b""), "is empty (0 bytes)"),
    "text.mp4": (lambda p: data(p, b"This is no video.\n" * 99), "is not a video that can be read"),
    "zeros.mkv": (lambda p: data(p, bytes(5000)), "is not a video that can be read"),
    "page.webp": (lambda p: data(p, b"RIFF\x04\0\0\0WEBP"), "is not a video that can be read"),
    "picture.mp4": (lambda p: Image.new("RGB", (64, 64)).save(p, "JPEG"), "is a still picture"),
    "picture.png": (lambda p: Image.new("RGB", (64, 64)).save(p), "is a still picture"),
    "picture.webp": (lambda p: Image.new("RGB", (64, 64)).save(p), "is a still picture"),
    "pointer.mp4": (
        lambda p: data(p, b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"),
        "is a Git LFS pointer, not the file; `git lfs pull`",
    ),
    "no-frames.mp4": (no_frames, ""),
    "sound.mp4": (audio_only, "has no video stream"),
}

ACCEPTED: dict[str, Callable[[Path], object]] = {
    # the content decides, not the ending
    "webm-as.mp4": lambda p: write_video(p, numbered_frames(FRAMES)[:9], codec="libvpx", form="webm"),
    "mp4-as.avi": lambda p: shutil.copy(sticker(), p),
    "vfr.mkv": lambda p: write_video(
        p, numbered_frames(FRAMES)[:20], times=list(np.cumsum(np.arange(20) * 0.03))
    ),
    "odd.mkv": lambda p: write_video(
        p, [f[:95, :159] for f in numbered_frames(FRAMES)[:9]], pixels="yuv444p"
    ),
    "one-pixel.gif": lambda p: Image.new("RGB", (1, 1), "red").save(
        p, save_all=True, append_images=[Image.new("RGB", (1, 1), "blue")]
    ),
    "rotated.mp4": lambda p: rotate(write_video(p, numbered_frames(FRAMES)[:9]), 90),
    "ten-bit.mp4": lambda p: write_video(p, numbered_frames(FRAMES)[:9], pixels="yuv420p10le"),
    "grey.mp4": lambda p: write_video(
        p, [f.mean(2, keepdims=True).repeat(3, 2).astype(np.uint8) for f in numbered_frames(FRAMES)[:9]]
    ),
    "transparent.webp": lambda p: Image.new("RGBA", (64, 64), (0, 0, 0, 0)).save(
        p, save_all=True, append_images=[Image.new("RGBA", (64, 64), (0, 0, 0, 9))], lossless=True
    ),
    "8k.mkv": lambda p: write_video(
        p, [np.full((4320, 7680, 3), (200, 40, 40), np.uint8)] * 2, options={"preset": "ultrafast"}
    ),
    "two-hours.mp4": lambda p: write_video(
        p, [np.full((32, 128, 3), 90, np.uint8)] * 7200, rate=1, options={"preset": "ultrafast"}
    ),
}


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bad")
    (folder / "movie").mkdir()
    rows = []
    for name, (make, _) in REFUSED.items():
        make(folder / "movie" / name)
        rows.append({"path": f"movie/{name}", "emotion": "fear", "start": "", "end": ""})
    for name, make_good in ACCEPTED.items():
        make_good(folder / "movie" / name)
        rows.append({"path": f"movie/{name}", "emotion": "awe", "start": "", "end": ""})
    rows += [
        {"path": "movie/two-hours.mp4", "emotion": "awe", "start": 7190, "end": 7200},
        {"path": "movie/two-hours.mp4", "emotion": "awe", "start": 7190, "end": 7300},
        {"path": "movie/two-hours.mp4", "emotion": "awe", "start": 9000, "end": 9001},
        {"path": "movie/two-hours.mp4", "emotion": "awe", "start": 5, "end": 4},
        {"path": "movie/grey.mp4", "emotion": "joy", "start": "", "end": ""},
    ]
    write_sheet(folder, rows)
    return folder


@pytest.fixture(scope="module")
def out(raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("out") / "out"
    build(raw, raw / "labels.csv", folder, workers=2)
    return folder


def rejections(out: Path) -> dict[str, str]:
    return {
        f"{row['path']}@{row['row']}": row["reason"]
        for row in map(json.loads, (out / "rejected.jsonl").read_text(encoding="utf-8").splitlines())
    }


def clips(out: Path) -> dict[str, tuple[Clip, bytes]]:
    import tarfile

    found = {}
    for shard in out.glob("data/*/*.tar"):
        with tarfile.open(shard) as tar:
            files = {info.name: tar.extractfile(info).read() for info in tar}  # type: ignore[union-attr]
        for name, text in files.items():
            if name.endswith(".json"):
                clip = Clip.from_mapping(json.loads(text))
                found[f"{clip.source.removeprefix('movie/')}@{clip.start}"] = clip, files[f"{clip.id}.mp4"]
    return found


def test_every_bad_file_is_refused_with_its_reason_and_the_others_are_kept(raw: Path, out: Path) -> None:
    refused = rejections(out)
    rows = {row: reason for row, reason in enumerate(refused.values())}
    assert len(rows) == len(REFUSED) + 4
    for number, (name, (_, says)) in enumerate(REFUSED.items(), start=1):
        reason = refused[f"movie/{name}@{number}"]
        assert says in reason and "\n" not in reason and str(raw) not in reason
    first = len(REFUSED) + len(ACCEPTED) + 1
    assert (
        "ends at 7300.0 s, beyond the film's end at 7200.000 s" in refused[f"movie/two-hours.mp4@{first + 1}"]
    )
    assert "beyond the film's end" in refused[f"movie/two-hours.mp4@{first + 2}"]
    assert "not after it starts" in refused[f"movie/two-hours.mp4@{first + 3}"]
    assert "emotion 'joy' is unknown" in refused[f"movie/grey.mp4@{first + 4}"]
    assert set(clips(out)) == {f"{name}@None" for name in ACCEPTED} | {"two-hours.mp4@7190.0"}
    assert verify(out, decode=True, workers=1) == []


def test_unusual_but_good_files_come_out_right(out: Path) -> None:
    found = clips(out)

    def clip(name: str) -> Clip:
        return found[f"{name}@None"][0]

    assert (clip("8k.mkv").width, clip("8k.mkv").height, clip("8k.mkv").num_frames) == (7680, 4320, 2)
    # (200, 40, 40) by BT.601 is YUV (91, 104, 198); untagged at this size it reads as (213, 55, 37) by BT.709
    assert clip("8k.mkv").hue == pytest.approx(60 * (55 - 37) / (213 - 37), abs=1)
    assert (clip("two-hours.mp4").num_frames, clip("two-hours.mp4").duration) == (7200, 7200.0)
    assert found["two-hours.mp4@7190.0"][0].num_frames == 10
    assert (clip("grey.mp4").hue_chroma, clip("grey.mp4").hue) == (None, 0)
    assert clip("grey.mp4").colorfulness < 0.02
    assert (clip("odd.mkv").width, clip("odd.mkv").height) == (160, 96)
    assert (clip("one-pixel.gif").width, clip("one-pixel.gif").height) == (2, 2)
    assert (clip("rotated.mp4").width, clip("rotated.mp4").height) == (96, 160)
    assert clip("transparent.webp").brightness > 0.97
    assert clip("vfr.mkv").num_frames == 20
    assert [read_stamp(f) for f in decode(found["vfr.mkv@None"][1])] == list(range(20))
    assert [read_stamp(f) for f in decode(found["ten-bit.mp4@None"][1])] == list(range(9))
    assert [read_stamp(f) for f in decode(found["webm-as.mp4@None"][1])] == list(range(9))
    assert found["mp4-as.avi@None"][1] == sticker().read_bytes()


def test_nothing_usable_is_one_line_and_no_build(raw: Path, tmp_path: Path) -> None:
    sheet = write_sheet(tmp_path, [{"path": "movie/zero.mp4", "emotion": 0}])
    with pytest.raises(ValueError, match=r"no clip could be used; row 1: is empty \(0 bytes\)"):
        build(raw, sheet, tmp_path / "out", workers=1)
    assert not (tmp_path / "out/manifest.json").exists() and verify(tmp_path / "out", workers=1)


# folders


def emovid(*arguments: str, limit: int | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "emovid_models.cli", *arguments]

    def limited() -> None:
        if limit is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    return subprocess.run(command, capture_output=True, text=True, timeout=200, preexec_fn=limited)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve conforming stickers and one clip that must be transcoded."""
    folder = tmp_path_factory.mktemp("small")
    (folder / "sticker").mkdir()
    paths = sorted((MINI / "sticker").glob("*.mp4"))[:12]
    for path in paths:
        shutil.copy(path, folder / "sticker")
    rows = [{"path": f"sticker/{path.name}", "emotion": i % 8} for i, path in enumerate(paths)]
    write_video(folder / "sticker/x.mkv", numbered_frames(FRAMES), options={"crf": "1"})
    write_sheet(folder, [*rows, {"path": "sticker/x.mkv", "emotion": 0}])
    return folder


def arguments(small: Path, out: Path) -> list[str]:
    return ["build", str(small), "--labels", str(small / "labels.csv"), "--out", str(out), "--workers", "1"]


def assert_one_line(result: subprocess.CompletedProcess[str], says: str) -> None:
    assert result.returncode == 2, result.stderr
    assert "Traceback" not in result.stderr + result.stdout
    lines = [line for line in result.stderr.splitlines() if not line.startswith(("prepare:", "write:"))]
    assert len(lines) == 1 and lines[0].startswith("emovid: ") and says in lines[0], result.stderr


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted: list[Path] = []

    def mount(size: str) -> Path:
        command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
        try:
            done = subprocess.run(command, capture_output=True)
        except OSError:
            pytest.skip("there is no program mount")
        if done.returncode:
            pytest.skip("a small file system cannot be mounted here")
        mounted.append(folder)
        return folder

    yield mount
    for path in mounted:
        subprocess.run(["umount", str(path)], check=True)


@pytest.mark.parametrize("size", ["64k", "330k"], ids=["while transcoding", "while writing shards"])
def test_a_full_disk_is_one_line_and_more_room_finishes_the_build(
    small: Path, tmp_path: Path, tiny_disk: Callable[[str], Path], size: str
) -> None:
    disk = tiny_disk(size)
    assert_one_line(emovid(*arguments(small, disk / "out")), "No space left on device")
    assert verify(disk / "out", workers=1), "a build that had no room passes for a finished one"
    subprocess.run(["mount", "-o", "remount,size=20m", str(disk)], check=True)
    build(small, small / "labels.csv", disk / "out", workers=1)
    build(small, small / "labels.csv", tmp_path / "elsewhere", workers=1)
    assert folder_bytes(disk / "out") == folder_bytes(tmp_path / "elsewhere")


def test_a_limit_on_file_size_is_one_line_and_without_it_the_build_goes_on(
    small: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    assert_one_line(emovid(*arguments(small, out), limit=20_000), "File too large")
    assert verify(out, workers=1)
    build(small, small / "labels.csv", out, workers=1)
    assert verify(out, workers=1) == []


def test_an_output_folder_that_cannot_be_written(small: Path, tmp_path: Path) -> None:
    # root passes over permissions, but not over a file system that takes no files
    assert_one_line(emovid(*arguments(small, Path("/proc/emovid"))), "/proc/emovid")
    folder = tmp_path / "read-only"
    folder.mkdir()
    if os.geteuid():
        folder.chmod(0o500)
        assert_one_line(emovid(*arguments(small, folder / "out")), "Permission denied")


def test_a_read_only_file_system(small: Path, tmp_path: Path, tiny_disk: Callable[[str], Path]) -> None:
    disk = tiny_disk("4m")
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    assert_one_line(emovid(*arguments(small, disk / "out")), "Read-only file system")


def test_an_output_folder_that_holds_something_else(small: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis/chapter1.tex").write_text("precious")
    (tmp_path / "data").mkdir()
    (tmp_path / "data/data").mkdir()
    (tmp_path / "data/data/mine.bin").write_bytes(b"precious")
    foreign = "holds something else (chapter1.tex); name a new or empty folder"
    cases = [
        (arguments(small, tmp_path / "thesis"), foreign),
        ([*arguments(small, tmp_path / "thesis"), "--overwrite"], foreign),
        ([*arguments(small, tmp_path / "data"), "--overwrite"], "holds something else (data)"),
        (arguments(small, tmp_path / "thesis/chapter1.tex"), "is a file, not a folder"),
    ]
    told = run_all([words for words, _ in cases])
    for (words, says), (code, out, err, _) in zip(cases, told, strict=True):
        assert_one_line(subprocess.CompletedProcess(words, code, out, err), says)
    assert (tmp_path / "thesis/chapter1.tex").read_text() == "precious"
    assert (tmp_path / "data/data/mine.bin").read_bytes() == b"precious"


def test_a_source_that_changes_while_the_build_runs_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "sticker").mkdir()
    shutil.copy(sticker(), tmp_path / "sticker/a.mp4")
    sheet = write_sheet(tmp_path, [{"path": "sticker/a.mp4", "emotion": 0}])
    build(tmp_path, sheet, tmp_path / "out", workers=1)
    later = (tmp_path / "out/manifest.json").stat().st_mtime + 5
    os.utime(tmp_path / "sticker/a.mp4", (later, later))
    with pytest.raises(ValueError, match="holds a build of other input or settings"):
        build(tmp_path, sheet, tmp_path / "out", workers=1)
