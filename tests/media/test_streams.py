"""Which streams of a file are its picture and its sound, where it holds several."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.stream import Disposition
from video_files import full_decode, full_sound

from emovid_dataset.media.encode import transcode
from emovid_dataset.media.frames import decode
from emovid_dataset.media.sound_levels import sound_levels
from emovid_dataset.media.source import Reader

RATE = 48000
NONE, DEFAULT = Disposition(0), Disposition.default


@dataclass(frozen=True)
class Pictures:
    size: tuple[int, int]
    flags: Disposition = NONE
    codec: str = "libx264"
    count: int = 24


@dataclass(frozen=True)
class Tone:
    hertz: int
    flags: Disposition = NONE
    layout: str = "mono"
    seconds: float = 1.0


SMALL, LARGE = (64, 48), (160, 96)
CASES: dict[str, tuple[str, list[Pictures], list[Tone], tuple[int, int], int | None]] = {
    "a preview first": (".mkv", [Pictures(SMALL), Pictures(LARGE, DEFAULT)], [], LARGE, None),
    "a preview first, MP4": (".mp4", [Pictures(SMALL), Pictures(LARGE, DEFAULT)], [], LARGE, None),
    "the default is smaller": (".mkv", [Pictures(LARGE), Pictures(SMALL, DEFAULT)], [], SMALL, None),
    "no default": (".ts", [Pictures(SMALL), Pictures(LARGE)], [Tone(440), Tone(1000)], LARGE, 440),
    "the second sound": (".mkv", [Pictures(SMALL)], [Tone(440), Tone(1000, DEFAULT)], SMALL, 1000),
    "a disabled track": (".mp4", [Pictures(SMALL)], [Tone(440), Tone(1000, DEFAULT)], SMALL, 1000),
    "more channels": (
        ".mkv",
        [Pictures(SMALL)],
        [Tone(440, DEFAULT), Tone(1000, DEFAULT, "stereo")],
        SMALL,
        1000,
    ),
    "a commentary": (
        ".mkv",
        [Pictures(SMALL)],
        [Tone(440, DEFAULT | Disposition.comment, "stereo"), Tone(1000, DEFAULT)],
        SMALL,
        1000,
    ),
    "an empty default": (".mkv", [Pictures(SMALL)], [Tone(440, DEFAULT, seconds=0), Tone(1000)], SMALL, 1000),
    "cover art": (
        ".mp4",
        [Pictures(LARGE, Disposition.attached_pic, "mjpeg", 1), Pictures(SMALL)],
        [Tone(440)],
        SMALL,
        440,
    ),
    "a picture track": (
        ".mov",
        [Pictures(LARGE, DEFAULT, "mjpeg", 1), Pictures(SMALL, DEFAULT)],
        [],
        SMALL,
        None,
    ),
}
FFMPEG_DIFFERS = ("a commentary", "a picture track")  # it does not look at either


def write(path: Path, pictures: list[Pictures], tones: list[Tone]) -> Path:
    with av.open(str(path), "w") as sink:
        streams: list[Any] = []
        for each in pictures:
            video: Any = sink.add_stream(each.codec, rate=24)
            video.width, video.height = each.size
            video.pix_fmt = "yuvj420p" if each.codec == "mjpeg" else "yuv420p"
            video.disposition = each.flags
            streams.append(video)
        for tone in tones:
            audio: Any = sink.add_stream("aac", rate=RATE, layout=tone.layout)
            audio.disposition = tone.flags
            streams.append(audio)
        for each, stream in zip([*pictures, *tones], streams, strict=True):
            if isinstance(each, Tone):
                time = np.arange(round(RATE * each.seconds)) / RATE
                wave = np.tile(0.4 * np.sin(2 * np.pi * each.hertz * time), (stream.channels, 1))
                for first in range(0, wave.shape[1], 1024):
                    part = np.ascontiguousarray(wave[:, first : first + 1024], np.float32)
                    sound = av.AudioFrame.from_ndarray(part, format="fltp", layout=each.layout)
                    sound.sample_rate, sound.pts, sound.time_base = RATE, first, Fraction(1, RATE)
                    sink.mux(stream.encode(sound))
            else:
                for index in range(each.count):
                    flat = np.full((each.size[1], each.size[0], 3), 60 + 5 * index, np.uint8)
                    frame = av.VideoFrame.from_ndarray(flat, format="rgb24")
                    frame.pts, frame.time_base = index, Fraction(1, 24)
                    sink.mux(stream.encode(frame))
            sink.mux(stream.encode(None))
    return path


def pitch(path: Path) -> int | None:
    """Hertz of a clip's loudest tone, None if it is mute."""
    with av.open(str(path)) as container:
        if not container.streams.audio:
            return None
    heard, rate, _ = full_sound(path)
    return round(int(np.argmax(np.abs(np.fft.rfft(heard)))) * rate / len(heard), -1)


@pytest.mark.parametrize("case", list(CASES))
def test_what_is_shown_and_heard(case: str, tmp_path: Path) -> None:
    suffix, pictures, tones, size, hertz = CASES[case]
    path = write(tmp_path / f"a{suffix}", pictures, tones)
    with Reader(path) as reader:
        assert (reader.info.width, reader.info.height) == size
        assert reader.info.has_audio == (hertz is not None)
        transcode(reader, tmp_path / "out.mp4")
    assert full_decode(tmp_path / "out.mp4")[0].shape == (size[1], size[0], 3)
    assert pitch(tmp_path / "out.mp4") == hertz
    assert decode(path, frames=2).shape == (2, size[1], size[0], 3)
    if hertz is not None:
        assert sound_levels(path).seconds == pytest.approx(1, abs=0.1)


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs the ffmpeg command")
@pytest.mark.parametrize("case", [case for case in CASES if case not in FFMPEG_DIFFERS])
def test_ffmpeg_chooses_the_same(case: str, tmp_path: Path) -> None:
    suffix, pictures, tones, size, hertz = CASES[case]
    path = write(tmp_path / f"a{suffix}", pictures, tones)
    subprocess.run(["ffmpeg", "-v", "error", "-i", path, "-c", "copy", tmp_path / "chosen.mkv"], check=True)
    assert full_decode(tmp_path / "chosen.mkv")[0].shape == (size[1], size[0], 3)
    assert pitch(tmp_path / "chosen.mkv") == hertz
