"""What a build encodes, and how: always, as needed or never, smaller, slower, coarser, shorter."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from video_files import (
    full_decode,
    noise,
    numbered_frames,
    read_stamp,
    stored_clips,
    write_sheet,
    write_video,
)

from emovid_dataset import build, verify
from emovid_dataset.builder.append import append
from emovid_dataset.builder.repair import repair
from emovid_dataset.read.manifest import read_manifest
from emovid_dataset.store import Store

RATE, COUNT = 24, 24
SIZE = (160, 96)


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file that fits, one of which only the container does not, and one that does not."""
    folder = tmp_path_factory.mktemp("settings") / "raw"
    folder.mkdir()
    frames = numbered_frames(COUNT)
    write_video(folder / "fits.mp4", frames, rate=RATE, sound=noise(1.0))
    write_video(folder / "packed.mkv", frames, rate=RATE, sound=noise(1.0))
    write_video(folder / "other.mkv", frames, rate=RATE, codec="mpeg4", options={"qscale": "2"})
    return folder


def clips(raw: Path, **settings: Any) -> tuple[dict[str, tuple[dict[str, Any], bytes]], dict[str, str], Path]:
    """Fields and MP4 of every clip of a build, its refusals, and its folder."""
    out = raw.parent / "-".join(["out", *(f"{name}{value}" for name, value in settings.items())])
    rows = [{"path": path.name, "emotion": "awe", "content_type": "movie"} for path in sorted(raw.iterdir())]
    report = build(raw, write_sheet(raw.parent, rows), out, engine="serial", **settings)
    assert verify(out, decode=True, engine="serial") == []
    return stored_clips(out), {row.path: row.reason for row in report.rejections}, out


def numbers(data: bytes, tmp_path: Path) -> list[int]:
    """Which frames of the source a clip shows."""
    (tmp_path / "clip.mp4").write_bytes(data)
    return [read_stamp(picture) for picture in full_decode(tmp_path / "clip.mp4")]


def test_as_needed_what_fits_is_not_encoded(raw: Path, tmp_path: Path) -> None:
    found, refused, out = clips(raw)
    assert not refused and len(found) == 3
    assert found["fits.mp4"][1] == (raw / "fits.mp4").read_bytes()
    assert all(numbers(data, tmp_path) == list(range(COUNT)) for _, data in found.values())
    assert "video" not in json.loads((out / "manifest.json").read_text())


def test_always_encodes_what_would_fit(raw: Path, tmp_path: Path) -> None:
    found, _, out = clips(raw, transcode="always")
    assert found["fits.mp4"][1] != (raw / "fits.mp4").read_bytes()
    assert b"x264" in found["fits.mp4"][1] and numbers(found["fits.mp4"][1], tmp_path) == list(range(COUNT))
    assert json.loads((out / "manifest.json").read_text())["video"] == {"transcode": "always"}
    assert read_manifest(Store.at(out)).video == {"transcode": "always"}


def test_never_refuses_what_would_have_to_be_encoded(raw: Path) -> None:
    found, refused, _ = clips(raw, transcode="never")
    assert set(found) == {"fits.mp4", "packed.mkv"}
    assert refused == {
        "other.mkv": "would have to be encoded (codec mpeg4), which transcode 'never' rules out"
    }


def test_pictures_are_reduced_to_a_height_and_never_enlarged(raw: Path) -> None:
    found, _, _ = clips(raw, height=48)
    assert {(fields["width"], fields["height"]) for fields, _ in found.values()} == {(80, 48)}
    found, _, _ = clips(raw, height=480)
    assert found["fits.mp4"][1] == (raw / "fits.mp4").read_bytes()
    assert {(fields["width"], fields["height"]) for fields, _ in found.values()} == {SIZE}


@pytest.mark.parametrize(
    ("fps", "shown"), [(12, list(range(0, COUNT, 2))), (10, [0, 2, 4, 7, 9, 12, 14, 16, 19, 21])]
)
def test_fast_clips_are_thinned_to_a_rate(fps: float, shown: list[int], raw: Path, tmp_path: Path) -> None:
    """At every moment k / fps the frame that is on display: number floor(24 k / fps)."""
    found, _, _ = clips(raw, fps=fps)
    for fields, data in found.values():
        assert fields["fps"] == fps and fields["duration"] == 1.0
        assert numbers(data, tmp_path) == shown


def test_slow_clips_stay_as_they_are(raw: Path) -> None:
    assert clips(raw, fps=30)[0]["fits.mp4"][1] == (raw / "fits.mp4").read_bytes()


def test_a_higher_crf_makes_smaller_clips_of_what_is_encoded(raw: Path) -> None:
    usual, coarse = clips(raw)[0], clips(raw, crf=40)[0]
    assert len(coarse["other.mkv"][1]) < len(usual["other.mkv"][1]) / 2
    assert coarse["fits.mp4"][1] == usual["fits.mp4"][1]


def test_long_clips_are_cut(raw: Path, tmp_path: Path) -> None:
    found, _, _ = clips(raw, max_seconds=0.5)
    for fields, data in found.values():
        assert (fields["start"], fields["end"], fields["duration"]) == (0.0, 0.5, 0.5)
        assert numbers(data, tmp_path) == list(range(COUNT // 2))
    found, _, _ = clips(raw, max_seconds=2)
    assert all(fields["start"] is None for fields, _ in found.values())


def test_other_settings_are_another_build(raw: Path) -> None:
    _, _, out = clips(raw, crf=20)
    rows = raw.parent / "labels.csv"
    with pytest.raises(ValueError, match="holds a build of other input or settings"):
        build(raw, rows, out, engine="serial", crf=21)
    assert build(raw, rows, out, engine="serial", crf=20).reused


def test_what_is_appended_is_made_as_the_build_was(raw: Path, tmp_path: Path) -> None:
    _, _, out = clips(raw, height=64)
    write_video(tmp_path / "more.mp4", numbered_frames(COUNT)[12:], rate=RATE)
    sheet = write_sheet(tmp_path, [{"path": "more.mp4", "emotion": "awe", "content_type": "movie"}])
    append(tmp_path, sheet, out, engine="serial")
    assert verify(out, decode=True, engine="serial") == []
    assert {fields["height"] for fields, _ in stored_clips(out).values()} == {64}


def test_a_build_of_clips_that_were_cut_grows_and_is_mended(tmp_path: Path) -> None:
    """Of some files all was taken, of others the beginning; which, only their lengths tell."""
    raw = tmp_path / "raw"
    raw.mkdir()
    write_video(raw / "long.mp4", numbered_frames(COUNT), rate=RATE)
    write_video(raw / "brief.mp4", numbered_frames(COUNT)[:6], rate=RATE)
    _, _, out = clips(raw, max_seconds=0.5, height=64)
    kept = {path: path.read_bytes() for path in out.glob("data/*/*.tar")}
    write_video(raw / "more.mp4", numbered_frames(COUNT)[::-1], rate=RATE)
    names = ("brief.mp4", "long.mp4", "more.mp4")
    rows = [{"path": name, "emotion": "awe", "content_type": "movie"} for name in names]
    sheet = write_sheet(tmp_path, rows)
    report = append(raw, sheet, out, engine="serial")
    assert (report.held, report.added.total(), report.updated) == (2, 1, ())
    assert {path: path.read_bytes() for path in kept} == kept
    found = {name: (fields["start"], fields["end"]) for name, (fields, _) in stored_clips(out).items()}
    assert found == {"brief.mp4": (None, None), "long.mp4": (0.0, 0.5), "more.mp4": (0.0, 0.5)}
    for path in kept:
        path.unlink()
    assert not repair(out, raw=raw, labels=sheet, engine="serial").left
    assert {path: path.read_bytes() for path in kept} == kept
    assert verify(out, decode=True, engine="serial") == []


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"transcode": "maybe"}, "transcode is 'maybe'; allowed: needed, always, never"),
        ({"height": 481}, "height is 481; it must be an even number 16..8192"),
        ({"fps": 0}, "fps is 0; it must be a number above 0"),
        ({"fps": float("nan")}, "fps is nan; it must be a number above 0"),
        ({"crf": 52}, "crf is 52; it must be 0..51"),
        ({"max_seconds": -1}, "max_seconds is -1; it must be a number above 0"),
        ({"transcode": "never", "height": 480}, "transcode 'never' and height 480 exclude each other"),
    ],
)
def test_wrong_settings_are_one_line(settings: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError) as caught:
        build(tmp_path, None, tmp_path / "out", **settings)
    assert str(caught.value) == message
