"""A source whose sound is damaged: what its clip sounds like, and that the build says so."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest
from scipy.signal import correlate
from video_files import SOUND_RATE, damage_sound, full_sound, noise, numbered_frames, write_sheet, write_video

from emovid_dataset.builder.build import build
from emovid_dataset.check import verify
from emovid_dataset.media.conforming import nonconforming
from emovid_dataset.media.encode import transcode
from emovid_dataset.media.sound_check import sound_errors
from emovid_dataset.media.source import Reader

PACKET = 1024 / SOUND_RATE


def film(path: Path, seconds: int = 2, size: tuple[int, int] = (160, 96)) -> Path:
    frames = numbered_frames(24 * seconds, *size)
    return write_video(path, frames, sound=noise(seconds))


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_what_decodes_of_damaged_sound_is_in_its_place(suffix: str, tmp_path: Path) -> None:
    path = film(tmp_path / f"a{suffix}")
    places = range(30, 40)
    damage_sound(path, places, seed=None)
    with Reader(path) as reader:
        assert (nonconforming(reader) is None) is False
        done = transcode(reader, tmp_path / "out.mp4")
        packets = sound_errors(path).packets
        assert done.damage == f"10 of {packets} packets of its sound do not decode; they are silent"
        before = transcode(reader, tmp_path / "before.mp4", start=0, end=0.5)
        assert before.damage is None
        part = transcode(reader, tmp_path / "part.mp4", start=0.5, end=1.5)
        assert part.damage is not None and part.damage.startswith("10 of ")
    heard, rate, _ = full_sound(tmp_path / "out.mp4")
    assert np.abs(heard[round(31 * PACKET * rate) : round(38 * PACKET * rate)]).max() < 1e-3
    sound = noise(2)
    for second in (0.3, 1.2, 1.7):
        piece = sound[round(second * rate) : round((second + 0.2) * rate)]
        assert int(np.argmax(correlate(heard, piece, "valid"))) / rate == pytest.approx(second, abs=0.002)
    assert sound_errors(tmp_path / "out.mp4").errors == 0


@pytest.mark.parametrize("seed", [None, 5])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_sound_that_is_all_damaged_is_left_out(suffix: str, seed: int | None, tmp_path: Path) -> None:
    """Of random bytes a packet or two decode; nobody wants to hear them."""
    path = film(tmp_path / f"a{suffix}")
    damage_sound(path, range(sound_errors(path).packets), seed=seed)
    with Reader(path) as reader:
        assert nonconforming(reader) is not None
        done = transcode(reader, tmp_path / "out.mp4")
    assert done.damage is not None and done.damage.endswith(
        "packets of its sound do not decode; it is left out"
    )
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert not container.streams.audio


def test_a_segment_without_sound_has_no_empty_track(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mkv", numbered_frames(48), sound=noise(1))
    with Reader(path) as reader:
        assert transcode(reader, tmp_path / "out.mp4", start=1.5, end=2).damage is None
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert len(container.streams) == 1


@pytest.mark.parametrize("damaged", [1, 40])
def test_one_damaged_packet_is_found_where_that_costs_little(damaged: int, tmp_path: Path) -> None:
    path = film(tmp_path / "a.mp4", 1, (720, 576))
    with Reader(path) as reader:
        assert nonconforming(reader) is None
    damage_sound(path, [damaged], seed=None)
    with Reader(path) as reader:
        assert nonconforming(reader) == "sound that does not decode"


def test_a_build_says_what_is_damaged(tmp_path: Path) -> None:
    raw, out = tmp_path / "raw", tmp_path / "out"
    (raw / "movie").mkdir(parents=True)
    film(raw / "movie" / "whole.mp4")
    some, every = film(raw / "movie" / "some.mp4", 3), film(raw / "movie" / "all.mp4", 1)
    damage_sound(some, range(3, sound_errors(some).packets, 3), seed=None)
    damage_sound(every, range(sound_errors(every).packets), seed=None)
    sheet = write_sheet(
        raw, [{"path": f"movie/{name}.mp4", "emotion": "awe"} for name in ("whole", "some", "all")]
    )
    report = build(raw, sheet, out, engine="serial")
    assert report.rejections == ()
    lines = [json.loads(line) for line in (out / "damaged.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [(line["row"], line["path"]) for line in lines] == [(2, "movie/some.mp4"), (3, "movie/all.mp4")]
    assert [line["reason"].partition("; ")[2] for line in lines] == ["they are silent", "it is left out"]
    assert [(clip.row, clip.path, clip.id, clip.reason) for clip in report.damaged] == [
        tuple(line.values()) for line in lines
    ]
    assert verify(out, decode=True, engine="serial") == []
    again = build(raw, sheet, out, engine="serial")
    assert again.reused and again.damaged == report.damaged
    command = [sys.executable, "-m", "emovid_models.cli", "build", raw, "--labels", sheet, "--out", out]
    shown = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    assert f"damaged: row 3: movie/all.mp4: {lines[1]['reason']}\n" in shown
