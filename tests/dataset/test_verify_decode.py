"""`verify --decode` decodes everything, and believes neither the builder nor the packets."""

from __future__ import annotations

import re
import shutil
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import pytest
from forged_build import forge
from video_files import damage_sound, noise, numbered_frames, sticker, write_sheet, write_video

from emovid_dataset.builder.build import build
from emovid_dataset.check import check_build, verify
from emovid_dataset.check.shards import is_sampled
from emovid_dataset.read.select import select

FRAMES, RATE = 72, 24
Change = Callable[[bytes, dict[str, Any]], bytes]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A film of three seconds with sound, that went in as it is, and three stickers."""
    raw = tmp_path_factory.mktemp("raw")
    (raw / "movie").mkdir()
    (raw / "sticker").mkdir()
    options = {"x264-params": "keyint=24:min-keyint=24:scenecut=0:bframes=2"}
    frames = numbered_frames(FRAMES, 128, 72)
    write_video(raw / "movie/film.mp4", frames, rate=RATE, sound=noise(FRAMES / RATE), options=options)
    for path in sorted(sticker().parent.glob("*.mp4"))[:3]:
        shutil.copy(path, raw / "sticker" / path.name)
    rows = [{"path": p.relative_to(raw).as_posix(), "emotion": "awe"} for p in sorted(raw.glob("*/*.mp4"))]
    build(raw, write_sheet(raw, rows), raw / "out", engine="serial", ratios=(1, 0, 0))
    return raw / "out"


@pytest.fixture
def copy(made: Path, tmp_path: Path) -> Path:
    shutil.copytree(made, tmp_path / "build")
    return tmp_path / "build"


def film_of(folder: Path) -> str:
    return next(clip.id for clip in select(folder).clips if clip.content_type == "movie")


def says(**fields: Any) -> Change:
    """Other fields for the same MP4."""

    def change(data: bytes, values: dict[str, Any]) -> bytes:
        values.update(
            {name: value(values[name]) if callable(value) else value for name, value in fields.items()}
        )
        return data

    return change


def through(edit: Callable[[Path, Path], dict[str, Any] | None]) -> Change:
    """Another MP4, made of the old file by a function that returns the fields that it changes."""

    def change(data: bytes, values: dict[str, Any]) -> bytes:
        import tempfile

        with tempfile.TemporaryDirectory() as folder:
            old, new = Path(folder, "old.mp4"), Path(folder, "new.mp4")
            old.write_bytes(data)
            values.update(edit(old, new) or {})
            return (new if new.exists() else old).read_bytes()

    return change


def keep(pictures: float, sound: float) -> Callable[[Path, Path], dict[str, Any]]:
    """Only the packets of the first seconds, and fields that agree with them."""

    def edit(old: Path, new: Path) -> dict[str, Any]:
        options = {"movflags": "+faststart"}
        with av.open(str(old)) as source, av.open(str(new), "w", options=options) as sink:
            streams = {s.index: sink.add_stream_from_template(s) for s in source.streams}
            until = {"video": pictures, "audio": sound}
            count = 0
            for packet in source.demux():
                if packet.size and float(packet.pts * packet.time_base) < until[packet.stream.type]:
                    count += packet.stream.type == "video"
                    packet.stream = streams[packet.stream.index]
                    sink.mux(packet)
        return {"num_frames": count, "duration": count / RATE, "has_audio": sound > 0}

    return edit


def damage(every: int) -> Callable[[Path, Path], None]:
    def edit(old: Path, new: Path) -> None:
        with av.open(str(old)) as container:
            count = sum(packet.size > 0 for packet in container.demux(audio=0))
        damage_sound(old, range(2, count, every))

    return edit


def damage_pictures(old: Path, new: Path) -> None:
    """Zeros in the middle of a packet that no other frame needs."""
    data = bytearray(old.read_bytes())
    with av.open(str(old)) as container:
        packets = [bytes(p) for p in container.demux(video=0) if p.size and not p.is_keyframe]
    victim = max(packets[7:11], key=len)
    at = data.index(victim)
    data[at + 8 : at + len(victim)] = bytes(len(victim) - 8)
    old.write_bytes(data)


def stop_the_clock(old: Path, new: Path) -> None:
    """All frames of the index's only run of durations are shown at once, but for their reordering."""
    data = bytearray(old.read_bytes())
    at = data.index(b"stts") + 4
    entries, count, _ = struct.unpack(">III", data[at + 4 : at + 16])
    assert (entries, count) == (1, FRAMES)
    data[at + 12 : at + 16] = bytes(4)
    old.write_bytes(data)


FAULTS: dict[str, tuple[Change, str]] = {
    "a frame too many is claimed": (says(num_frames=FRAMES + 1), r"decodes to 72 frames, the json says 73"),
    "another duration": (
        says(duration=3.1),
        r"duration is 3\.000 s by its frames' times, the json",
    ),
    "another rate": (says(fps=25.0), r"fps is 24\.0000 by its frames' times, the json says 25\.0"),
    "another width": (says(width=130), r"width is 128, the json says 130"),
    "another height": (says(height=70), r"height is 72, the json says 70"),
    "sound is denied": (says(has_audio=False), r"has_audio is True, the json says False"),
    "another brightness": (
        says(brightness=lambda v: v + 0.05),
        r"brightness is 0\.\d+, the json says 0",
    ),
    "another colorfulness": (says(colorfulness=lambda v: v + 0.05), r"colorfulness is 0\.\d+, the json"),
    "another luma": (says(luma=lambda v: v - 0.05), r"luma is 0\.\d+, the json says 0\.\d+"),
    "pictures end early": (
        through(keep(1.5, 3)),
        r"the sound ends 1\.[45]\d\d s after the pictures, 0\.088 s are allowed",
    ),
    "some sound is damaged": (
        through(damage(3)),
        r"the sound is damaged: \d+ of 1\d\d packets do not",
    ),
    "all sound is damaged": (
        through(damage(1)),
        r"the sound is damaged: \d+ of 1\d\d packets do not",
    ),
    "a picture is damaged": (through(damage_pictures), r"the MP4 is damaged: .* do not decode"),
    "times that stand still": (through(stop_the_clock), r"does not come after the one before it"),
    "no video": (lambda data, values: b"no video at all", r"the MP4 is not a video that can be read"),
    "a video that is cut": (
        lambda data, values: data[: len(data) // 2],
        r"the MP4 is|decodes to \d\d ",
    ),
}


@pytest.mark.parametrize("kind", list(FAULTS))
def test_what_decoding_shows_is_a_finding_that_names_clip_and_shard(copy: Path, kind: str) -> None:
    change, message = FAULTS[kind]
    key = film_of(copy)
    forge(copy, key, change)
    assert verify(copy, engine="serial") == [], "everything but the decoders agrees"
    found = verify(copy, decode=True, engine="serial")
    assert found
    assert all(re.match(rf"data/movie/train-\d+\.tar: {key}: ", line) for line in found), found
    assert any(re.search(message, line) for line in found), found


def test_a_fault_of_one_kind_is_one_finding(copy: Path) -> None:
    forge(copy, film_of(copy), says(num_frames=FRAMES - 1, width=130, has_audio=False))
    assert len(verify(copy, decode=True, engine="serial")) == 3


def test_sound_that_is_claimed_must_be_heard(copy: Path) -> None:
    key = next(clip.id for clip in select(copy).clips if clip.content_type == "sticker")
    forge(copy, key, says(has_audio=True))
    (line,) = verify(copy, decode=True, engine="serial")
    assert line.endswith(f"{key}: has_audio is False, the json says True")


@pytest.mark.parametrize(
    ("pictures", "sound", "says"), [(3, 1, r"(1\.9|2\.0)\d\d s before"), (2.75, 3, r"0\.2\d\d s after")]
)
def test_sound_that_ends_elsewhere_than_its_pictures_is_a_note(
    copy: Path, pictures: float, sound: float, says: str
) -> None:
    """Many films are silent at their end, and cameras stop the one after the other."""
    key = film_of(copy)
    forge(copy, key, through(keep(pictures, sound)))
    report = check_build(copy, decode=True, engine="serial")
    assert report.violations == () and (report.clips, report.decoded) == (4, 4)
    (note,) = report.notes
    assert re.search(rf"{key}: the sound ends {says} the pictures, 0\.088 s are allowed", note)


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs the ffmpeg command")
def test_damaged_sound_is_what_ffmpeg_logs(copy: Path, tmp_path: Path) -> None:
    key = film_of(copy)
    forge(copy, key, through(damage(4)))
    found = [line for line in verify(copy, decode=True, engine="serial") if "the sound is damaged" in line]
    (tmp_path / "clip.mp4").write_bytes(next(item.video for item in select(copy) if item.clip.id == key))
    command = [
        "ffmpeg",
        "-nostdin",
        "-v",
        "error",
        "-i",
        tmp_path / "clip.mp4",
        "-map",
        "0:a",
        "-f",
        "null",
        "-",
    ]
    log = subprocess.run(command, capture_output=True, text=True, check=False).stderr
    logged = len(re.findall(r"^Error (while decoding stream|submitting packet)", log, re.MULTILINE))
    counted = int(re.search(r"damaged: (\d+) of", found[0])[1])  # type: ignore[index]
    assert logged > 10 and counted == pytest.approx(logged, abs=3)  # versions differ on a random packet


def test_a_sample_is_the_same_clips_each_time_and_says_how_many(copy: Path) -> None:
    ids = sorted(clip.id for clip in select(copy).clips)
    for key in ids:
        forge(copy, key, says(width=2))
    seen: set[str] = set()
    for share in (0.01, 0.3, 0.6, 0.9, 1.0):
        report = check_build(copy, decode=True, sample=share, engine="serial")
        told = {line.split(": ")[1] for line in report.violations}
        assert told == {key for key in ids if is_sampled(key, share)} and len(told) == report.decoded
        assert seen <= told, "a larger sample holds the smaller one"
        seen = told
    assert seen == set(ids)
    with pytest.raises(ValueError, match="sample is 0; it must be above 0 and at most 1"):
        verify(copy, decode=True, sample=0)


def test_a_sample_comes_near_its_share() -> None:
    ids = [f"sticker-{number:016x}" for number in range(20_000)]
    assert sum(is_sampled(key, 0.01) for key in ids) == pytest.approx(200, abs=50)
