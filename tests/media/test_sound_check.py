"""Damaged sound is counted as another decoder counts it."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import asdict
from pathlib import Path

import av
import pytest
from video_files import (
    SOUND_RATE,
    damage_sound,
    full_sound,
    noise,
    numbered_frames,
    remux,
    sticker,
    write_video,
)

from emovid_dataset.check.decoding import check_clip
from emovid_dataset.media.attributes import EVERY, measure
from emovid_dataset.media.conforming import nonconforming
from emovid_dataset.media.encode import transcode
from emovid_dataset.media.sound_check import SoundCheck, sound_errors
from emovid_dataset.media.source import Reader

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


FRAGMENTED = {"movflags": "frag_keyframe+empty_moov+default_base_moof"}
HEARD: dict[str, tuple[str, dict[str, str], int, bool, bool]] = {
    # suffix, options of the muxer, seconds of sound, whether all of it is damaged, whether any is heard
    "MP4": (".mp4", {}, 1, False, True),
    "fragmented": (".mp4", FRAGMENTED, 1, False, True),
    "DASH": (".mp4", {"movflags": "dash+frag_keyframe+delay_moov"}, 1, False, True),
    "fragmented, empty track": (".mp4", FRAGMENTED, 0, False, False),
    "fragmented, damaged": (".mp4", FRAGMENTED, 1, True, False),
    "Matroska": (".mkv", {}, 1, False, True),
    "Matroska, empty track": (".mkv", {}, 0, False, False),
    "Matroska, damaged": (".mkv", {}, 1, True, False),
}


@pytest.mark.parametrize("case", list(HEARD))
def test_sound_is_there_if_it_decodes(case: str, tmp_path: Path) -> None:
    """What the index says of it, or does not say, is not enough."""
    suffix, options, seconds, is_damaged, is_heard = HEARD[case]
    frames = numbered_frames(24)[:24]
    path = write_video(
        tmp_path / f"a{suffix}", frames, sound=noise(1)[: seconds * SOUND_RATE], container=options
    )
    if is_damaged:
        damage_sound(path, range(sound_errors(path).packets), seed=None)
    with av.open(str(path)) as container:
        assert len(container.streams.audio) == 1
    with Reader(path) as reader:
        assert reader.info.has_audio == is_heard
        transcode(reader, tmp_path / "out.mp4")
        transcode(reader, tmp_path / "part.mp4", start=0.25, end=0.75)
    for name, length in (("out.mp4", 1), ("part.mp4", 0.5)):
        with av.open(str(tmp_path / name)) as container:
            assert len(container.streams.audio) == is_heard
        assert sound_errors(tmp_path / name).seconds == pytest.approx(length * is_heard, abs=0.03)


def test_no_sound_is_no_damage() -> None:
    assert sound_errors(sticker()) == SoundCheck(packets=0, errors=0, seconds=0.0, start=None, end=None)


@pytest.mark.parametrize(("seconds", "kept"), [(1.35, 1.35), (3.0, 1.5)])
def test_a_build_and_verify_agree_on_sound_that_goes_on(seconds: float, kept: float, tmp_path: Path) -> None:
    """Half a second more of sound than of pictures stays; what comes later is left out, and told."""
    mp4, made = film(tmp_path / "a.mp4", "aac", seconds), tmp_path / "made.mp4"
    with Reader(mp4) as reader:
        assert nonconforming(reader) == (
            None if seconds == kept else "sound that goes on long after its pictures"
        )
        encoded = transcode(reader, made)
    assert encoded.damage == (
        None if seconds == kept else "its sound goes on 2.0 s after its pictures; 1.5 s are left out"
    )
    sound, rate, _ = full_sound(made)
    assert len(sound) / rate == pytest.approx(kept, abs=0.05)
    with Reader(made) as reader:
        levels, _ = measure(reader)
        fields = {**asdict(reader.info), **asdict(levels)}
    findings = check_clip(fields, made.read_bytes(), EVERY)
    assert findings.wrong == () and "the sound ends 0." in findings.notes[0]


@needs_ffmpeg
def test_what_a_decoder_holds_back_is_heard(tmp_path: Path) -> None:
    """That of WMA gives its last frame at the end, and without a time."""
    path, made = tmp_path / "a.wmv", tmp_path / "made.mp4"
    sources = ("testsrc2=s=64x48:r=24:d=1", f"anoisesrc=d=1:r={SOUND_RATE}:seed=1")
    inputs = [word for source in sources for word in ("-f", "lavfi", "-i", source)]
    codecs = ["-c:v", "wmv2", "-c:a", "wmav2"]
    subprocess.run(["ffmpeg", "-v", "error", *inputs, *codecs, str(path)], check=True, timeout=60)
    with av.open(str(path)) as source:
        heard = list(source.decode(audio=0))
    assert heard[-1].time is None and sum(frame.samples for frame in heard) == by_ffmpeg(path)[0]
    with Reader(path) as reader:
        transcode(reader, made)
        begins = (heard[0].time or 0.0) - reader.start_time
    sound, rate, _ = full_sound(made)
    assert len(sound) / rate >= begins + by_ffmpeg(path)[0] / SOUND_RATE - 0.002
