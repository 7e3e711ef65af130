"""Damaged sound is counted as another decoder counts it."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from video_files import SOUND_RATE, damage_sound, noise, numbered_frames, remux, sticker, write_video

from emovid_dataset.media.sound_check import SoundCheck, sound_errors

needs_ffmpeg = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs the ffmpeg command")


def by_ffmpeg(path: Path) -> tuple[int, str]:
    """How many samples the ffmpeg command gives, and what it complains about."""
    command = [
        "ffmpeg",
        "-nostdin",
        "-v",
        "error",
        "-i",
        path,
        "-map",
        "0:a:0",
        "-f",
        "s16le",
        "-ac",
        "1",
        "-",
    ]
    done = subprocess.run(command, capture_output=True, check=False)  # it fails where most is damaged
    return len(done.stdout) // 2, done.stderr.decode()


def film(path: Path, codec: str, seconds: float = 4) -> Path:
    frames = numbered_frames(24)[:24]
    container = {"strict": "-2"}
    return write_video(path, frames, sound=noise(seconds), sound_codec=codec, container=container)


@needs_ffmpeg
@pytest.mark.parametrize("codec", ["aac", "flac", "alac", "ac3"])
@pytest.mark.parametrize("every", [7, 1])
def test_damaged_packets_are_those_that_ffmpeg_complains_about(
    codec: str, every: int, tmp_path: Path
) -> None:
    path = film(tmp_path / "a.mp4", codec)
    sound = sound_errors(path)
    samples, complaints = by_ffmpeg(path)
    assert not complaints and sound.errors == 0
    assert sound.seconds * SOUND_RATE == pytest.approx(samples)
    damage_sound(path, range(3, sound.packets, every))  # the priming of the first is skipped
    damaged = sound_errors(path)
    samples, complaints = by_ffmpeg(path)
    assert damaged.packets == sound.packets
    # FFmpeg's versions differ on a random packet now and then
    frame = SOUND_RATE * sound.seconds / sound.packets
    assert damaged.seconds * SOUND_RATE == pytest.approx(samples, abs=1.1 * frame)
    flagged = len(re.findall(r"^\[ac3 .* error decoding the audio block", complaints, re.MULTILINE))
    silent = (sound.seconds * SOUND_RATE - samples) / frame
    assert damaged.errors == pytest.approx(flagged + silent, abs=1.5)
    assert 0.5 < damaged.errors / len(range(3, sound.packets, every)) <= 1


@pytest.mark.parametrize("suffix", [".mkv", ".ts"])
def test_other_containers_count_the_same(suffix: str, tmp_path: Path) -> None:
    made = film(tmp_path / "a.mp4", "aac")
    path = remux(made, tmp_path / f"a{suffix}")
    assert sound_errors(path).errors == 0
    assert sound_errors(path).packets == pytest.approx(sound_errors(made).packets, abs=1)


def test_sound_has_a_beginning_and_an_end(tmp_path: Path) -> None:
    path = film(tmp_path / "a.mkv", "pcm_s16le", seconds=1.5)
    sound = sound_errors(path)
    assert (sound.start, sound.end, sound.seconds) == pytest.approx((0, 1.5, 1.5), abs=0.002)
    assert sound_errors(path.read_bytes()) == sound


def test_no_sound_is_no_damage() -> None:
    assert sound_errors(sticker()) == SoundCheck(packets=0, errors=0, seconds=0.0, start=None, end=None)
