"""What a stream takes of a clip: windows, proportions, sound in step, kind of pixels, and batches of them."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader
from video_files import noise, numbered_frames, read_stamp, rotate, write_video

from emovid_dataset import build, collate, stream
from emovid_dataset.media.frames import Fit
from emovid_dataset.media.windows import read_windows

RATE = 25


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """4 s of numbered frames at 25 fps, 160x96."""
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    return write_video(path, numbered_frames(100), rate=RATE, options={"crf": "10"}).read_bytes()


def numbers(film: bytes, **options: Any) -> list[list[int]]:
    """The numbers of the frames in each window."""
    taken = read_windows(film, size=(96, 160), **options)
    return [[read_stamp(picture) for picture in window] for window in taken.video]


class TestWindows:
    @pytest.mark.parametrize(
        ("options", "expected"),
        [
            ({"frames": 4}, [[12, 37, 62, 87]]),
            ({"frames": 4, "frame_rate": 25}, [[48, 49, 50, 51]]),
            ({"frames": 2, "frame_rate": 1}, [[37, 62]]),
            ({"frames": 2, "windows": 2}, [[12, 37], [62, 87]]),
            ({"frames": 2, "windows": 3, "frame_rate": 1}, [[12, 37], [37, 62], [62, 87]]),
            ({"frames": 3, "windows": 2, "frame_rate": 25}, [[0, 1, 2], [97, 98, 99]]),
            ({"frames": 6, "frame_rate": 1}, [[12, 37, 62, 87, 99, 99]]),
            ({"frames": 6, "windows": 2, "frame_rate": 1}, [[12, 37, 62, 87, 99, 99]] * 2),
        ],
    )
    def test_frames_stand_where_arithmetic_puts_them(
        self, film: bytes, options: dict[str, Any], expected: list[list[int]]
    ) -> None:
        assert numbers(film, **options) == expected

    def test_a_variable_rate_is_sampled_in_time(self, tmp_path: Path) -> None:
        # 20 frames in the first second, then 10 that stand for half a second each
        times = [i / 20 for i in range(20)] + [1 + i / 2 for i in range(10)]
        path = write_video(tmp_path / "vfr.mkv", numbered_frames(30), times=times)
        taken = numbers(path.read_bytes(), frames=3, windows=2, frame_rate=3)
        assert taken[0] == [3, 10, 16]  # at 1/6, 3/6 and 5/6 s
        assert taken[1][-1] in (28, 29)  # how long the last one stands depends on the container

    def test_frames_of_different_sizes_are_as_torchcodec_decodes_them(
        self, film: bytes, tmp_path: Path
    ) -> None:
        decoders = pytest.importorskip("torchcodec.decoders")
        decoder = decoders.VideoDecoder(film)
        taken = read_windows(film, frames=5, size=(96, 160), windows=3, frame_rate=10)
        for start, window in zip(taken.starts, taken.video, strict=True):
            seconds = [start + (k + 0.5) / 10 for k in range(5)]
            wanted = decoder.get_frames_played_at(seconds).data.permute(0, 2, 3, 1).numpy()
            assert np.abs(window.astype(int) - wanted).mean() < 2


def quarters(width: int, height: int) -> np.ndarray:
    """A picture of a red, a green, a blue and a white quarter, from left to right, and grey outside."""
    picture = np.zeros((height, width, 3), np.uint8)
    for part, colour in enumerate(((200, 0, 0), (0, 200, 0), (0, 0, 200), (200, 200, 200))):
        picture[:, part * width // 4 : (part + 1) * width // 4] = colour
    return picture


def kind(pixel: np.ndarray) -> str:
    """The colour of a pixel, by name."""
    high = tuple(int(value) > 100 for value in pixel)
    names = {(1, 0, 0): "red", (0, 1, 0): "green", (0, 0, 1): "blue", (1, 1, 1): "white"}
    return names.get(high, "black")


class TestFit:
    @pytest.mark.parametrize(
        ("fit", "row", "column"),
        [
            ("squeeze", ["red", "green", "blue", "white"], ["green"] * 8),
            # 128x64 to fill 64x64: the middle half is left
            ("crop", ["green", "green", "blue", "blue"], ["green"] * 8),
            # 64x32 in 64x64: 16 black lines above and below
            ("pad", ["red", "green", "blue", "white"], ["black"] * 2 + ["green"] * 4 + ["black"] * 2),
        ],
    )
    @pytest.mark.parametrize("turned", [False, True])
    def test_a_wide_picture(
        self, tmp_path: Path, fit: Fit, row: list[str], column: list[str], turned: bool
    ) -> None:
        path = write_video(tmp_path / "wide.mp4", [quarters(128, 64)] * 4)
        if turned:
            rotate(path, 90)
        video = read_windows(path, frames=1, size=64, fit=fit).video[0, 0]
        if turned:  # as a player shows it; the quarters run along the height, in whichever direction
            video = video.transpose(1, 0, 2)
            video = (
                video[:, ::-1] if kind(video[32, 8 if fit != "crop" else 24]) in ("white", "blue") else video
            )
        assert [kind(video[32, x]) for x in (8, 24, 40, 56)] == row
        assert [kind(video[y, 24]) for y in range(4, 64, 8)] == column

    def test_pixels_that_are_not_square(self, tmp_path: Path) -> None:
        # 64x64 pixels, each twice as wide as high, are shown as 128x64
        path = tmp_path / "wide.mp4"
        with av.open(str(path), "w") as sink:
            film: Any = sink.add_stream("libx264", rate=8)
            film.width, film.height, film.pix_fmt = 64, 64, "yuv420p"
            film.codec_context.sample_aspect_ratio = Fraction(2)
            for _ in range(4):
                frame = av.VideoFrame.from_ndarray(quarters(64, 64), format="rgb24")
                sink.mux(film.encode(frame))
            sink.mux(film.encode(None))
        cropped, padded = (
            read_windows(path, frames=1, size=64, fit=fit).video[0, 0] for fit in ("crop", "pad")
        )
        assert [kind(cropped[32, x]) for x in (8, 24, 40, 56)] == ["green", "green", "blue", "blue"]
        assert [kind(padded[y, 24]) for y in range(4, 64, 8)] == ["black"] * 2 + ["green"] * 4 + ["black"] * 2

    @pytest.mark.parametrize("fit", ["crop", "pad"])
    @pytest.mark.parametrize("shape", [(1, 1), (3, 50), (97, 31), (200, 10)])
    def test_any_shape(self, tmp_path: Path, fit: Fit, shape: tuple[int, int]) -> None:
        white = write_video(tmp_path / "white.mp4", [np.full((96, 160, 3), 255, np.uint8)] * 2)
        video = read_windows(white, frames=1, size=shape, fit=fit).video[0, 0]
        assert video.shape == (*shape, 3)
        used = video.any(2)
        rows, columns = used.any(1).sum(), used.any(0).sum()
        if fit == "crop":
            assert (rows, columns) == shape
        else:
            assert abs(rows - min(shape[0], max(1, shape[1] * 96 / 160))) <= 2
            assert abs(columns - min(shape[1], max(1, shape[0] * 160 / 96))) <= 2

    @pytest.mark.parametrize("fit", ["crop", "pad"])
    def test_as_ffmpeg_does_it(self, film: bytes, fit: Fit, tmp_path: Path) -> None:
        ffmpeg = shutil.which("ffmpeg")
        if ffmpeg is None:
            pytest.skip("ffmpeg is not installed")
        (tmp_path / "film.mp4").write_bytes(film)
        graph = {
            "crop": "scale=107:64:flags=bilinear,crop=64:64:21:0",
            "pad": "scale=64:38:flags=bilinear,pad=64:64:0:13",
        }[fit]
        done = subprocess.run(
            [
                *(ffmpeg, "-v", "error", "-i", str(tmp_path / "film.mp4"), "-frames:v", "1"),
                *("-vf", f"format=gbrp,{graph}", "-pix_fmt", "rgb24", "-f", "rawvideo", "-"),
            ],
            capture_output=True,
            check=True,
        )
        wanted = np.frombuffer(done.stdout, np.uint8).reshape(64, 64, 3).astype(int)
        video = read_windows(film, frames=100, size=64, fit=fit).video[0, 0]
        assert np.abs(video - wanted).mean() < 3


def clicks(seconds: float, at: Sequence[float], rate: int) -> np.ndarray:
    """Silence with short tones at some times."""
    sound = np.zeros(round(seconds * rate), np.float32)
    tone = 0.8 * np.sin(2 * np.pi * 1000 * np.arange(round(0.02 * rate)) / rate)
    for time in at:
        sound[round(time * rate) : round(time * rate) + len(tone)] = tone
    return sound


def loud(waveform: np.ndarray, rate: int) -> list[float]:
    """When each tone begins, seconds."""
    heard = np.flatnonzero(np.abs(waveform) > 0.2) / rate
    return [float(time) for time, before in zip(heard, [-1, *heard[:-1]], strict=True) if time - before > 0.1]


class TestSound:
    @pytest.mark.parametrize(
        ("container", "codec"), [("mp4", "aac"), ("mkv", "libopus"), ("mkv", "pcm_s16le")]
    )
    @pytest.mark.parametrize("rate", [8000, 16000, 48000])
    def test_sound_is_in_step_with_the_frames(
        self, tmp_path: Path, container: str, codec: str, rate: int
    ) -> None:
        sound = clicks(4, (0.5, 1.5, 2.5, 3.5), 48000)
        path = write_video(
            tmp_path / f"film.{container}",
            numbered_frames(100),
            rate=RATE,
            sound=sound,
            sound_codec=codec,
            sound_rate=48000,
        )
        whole = read_windows(path, frames=2, size=8, audio=rate).waveform
        assert whole is not None and whole.shape == (1, 1, 4 * rate) and whole.dtype == np.float32
        assert loud(whole[0, 0], rate) == pytest.approx([0.5, 1.5, 2.5, 3.5], abs=0.006)
        parts = read_windows(path, frames=5, size=8, windows=3, frame_rate=5, audio=rate).waveform
        assert parts is not None and parts.shape == (3, 1, rate)
        # windows begin at 0, 1.5 and 3 s
        assert [loud(part[0], rate) for part in parts] == [
            pytest.approx([0.5], abs=0.006),
            pytest.approx([0.0], abs=0.006),
            pytest.approx([0.5], abs=0.006),
        ]

    def test_it_is_as_ffmpeg_resamples_it(self, tmp_path: Path) -> None:
        ffmpeg = shutil.which("ffmpeg")
        if ffmpeg is None:
            pytest.skip("ffmpeg is not installed")
        path = write_video(tmp_path / "film.mp4", numbered_frames(50), rate=RATE, sound=noise(2))
        done = subprocess.run(
            [ffmpeg, "-v", "error", "-i", str(path), "-ar", "16000", "-f", "f32le", "-"],
            capture_output=True,
            check=True,
        )
        wanted = np.frombuffer(done.stdout, np.float32)
        found = read_windows(path, frames=1, size=8, audio=16000).waveform
        assert found is not None
        count = min(len(wanted), found.shape[2])
        assert count >= 31000
        assert np.abs(found[0, 0, :count] - wanted[:count]).max() < 0.01

    @pytest.mark.parametrize(("gap", "heard"), [((1, 2), [0.5, 2.5]), ((0, 1), [1.5, 2.5])])
    def test_a_late_start_a_gap_and_an_early_end_are_silent(
        self, tmp_path: Path, gap: tuple[float, float], heard: list[float]
    ) -> None:
        path = write_video(
            tmp_path / "film.mkv",
            numbered_frames(100),
            rate=RATE,
            sound=clicks(3, (0.5, 1.5, 2.5) if gap[0] == 0 else (0.5, 2.5), 48000),
            sound_codec="pcm_s16le",
            sound_rate=48000,
            sound_gap=gap,
        )
        taken = read_windows(path, frames=1, size=8, audio=16000).waveform
        assert taken is not None and taken.shape == (1, 1, 64000)
        assert loud(taken[0, 0], 16000) == pytest.approx(heard, abs=0.006)
        assert not taken[0, 0, 49000:].any()

    def test_a_window_beyond_the_end_is_silent(self, tmp_path: Path) -> None:
        path = write_video(
            tmp_path / "film.mp4", numbered_frames(25), rate=RATE, sound=clicks(1, (0.5,), 44100)
        )
        taken = read_windows(path, frames=4, size=8, frame_rate=2, audio=16000).waveform
        assert taken is not None and taken.shape == (1, 1, 32000)
        assert loud(taken[0, 0], 16000) == pytest.approx([0.5], abs=0.006)

    @pytest.mark.parametrize(("layout", "channels"), [("mono", 1), ("stereo", 2), ("5.1", 2)])
    def test_mono_stays_mono_and_the_rest_is_stereo(self, tmp_path: Path, layout: str, channels: int) -> None:
        path = tmp_path / "film.mkv"
        with av.open(str(path), "w") as sink:
            film: Any = sink.add_stream("libx264", rate=RATE)
            film.width, film.height, film.pix_fmt = 64, 48, "yuv420p"
            track: Any = sink.add_stream("pcm_s16le", rate=16000, layout=layout)
            for _ in range(10):
                frame = av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), format="rgb24")
                sink.mux(film.encode(frame))
            sink.mux(film.encode(None))
            size = 1600 * av.AudioLayout(layout).nb_channels
            heard = av.AudioFrame.from_ndarray(
                np.full((1, size), 8000, np.int16), format="s16", layout=layout
            )
            heard.sample_rate, heard.pts = 16000, 0
            sink.mux(track.encode(heard))
            sink.mux(track.encode(None))
        taken = read_windows(path, frames=1, size=8, audio=16000).waveform
        assert taken is not None and taken.shape == (1, channels, 6400)
        if layout != "5.1":
            assert taken[0, :, :1500] == pytest.approx(8000 / 32768, abs=1e-3)

    def test_a_clip_without_sound_has_none(self, film: bytes) -> None:
        assert read_windows(film, frames=1, size=8, audio=16000).waveform is None


@pytest.fixture(scope="module")
def sounding(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A build of three clips: 1 s with sound, 2 s with sound, 1 s without."""
    folder = tmp_path_factory.mktemp("sounding")
    frames = numbered_frames(50)
    for name, count, first in (("short", 25, 0), ("long", 50, 0), ("mute", 24, 10)):
        sound = None if name == "mute" else noise(count / RATE, seed=count)
        write_video(folder / f"{name}.mp4", frames[first : first + count], rate=RATE, sound=sound)
    rows = [f"{name}.mp4,awe,movie\n" for name in ("short", "long", "mute")]
    (folder / "labels.csv").write_text("path,emotion,content_type\n" + "".join(rows))
    build(folder, folder / "labels.csv", folder / "out", ratios=(1.0, 0.0, 0.0))
    return folder / "out"


class TestItems:
    def test_shapes_with_and_without_windows(self, sounding: Path) -> None:
        for item in stream(sounding, frames=2, size=16, audio=8000):
            assert item["video"].shape == (2, 3, 16, 16) and item["video"].is_contiguous()
            assert item["sample_rate"] == 8000
            if item["has_audio"]:
                assert item["waveform"].shape == (1, round(item["duration"] * 8000))
            else:
                assert item["waveform"] is None
        for item in stream(sounding, frames=2, size=16, windows=3, frame_rate=4, audio=8000):
            assert item["video"].shape == (3, 2, 3, 16, 16) and item["video"].is_contiguous()
            assert item["waveform"] is None or item["waveform"].shape == (3, 1, 4000)
        assert "waveform" not in next(iter(stream(sounding, frames=2, size=16)))

    def test_float_is_0_to_1(self, sounding: Path) -> None:
        whole = list(stream(sounding, frames=2, size=16))
        for item, exact in zip(stream(sounding, frames=2, size=16, to="float"), whole, strict=True):
            assert item["video"].dtype == torch.float32
            assert torch.equal((item["video"] * 255).round().to(torch.uint8), exact["video"])
            assert 0.5 < item["video"].max() <= 1

    def test_fit_reaches_the_frames(self, sounding: Path) -> None:
        padded = next(iter(stream(sounding, frames=1, size=40, fit="pad")))["video"]
        assert not padded[:, :, :7].any() and padded[:, :, 9:31].any()  # 40x24 in 40x40


class TestCollate:
    def batch(self, folder: Path, **options: Any) -> dict[str, Any]:
        data = stream(folder, frames=2, size=16, shuffle=0, audio=8000, **options)
        (found,) = DataLoader(data, batch_size=3, collate_fn=collate)
        return found

    def test_sounds_of_other_lengths_and_none(self, sounding: Path) -> None:
        batch = self.batch(sounding)
        assert batch["waveform"].shape == (3, 1, 16000)
        assert sorted(batch["waveform_samples"].tolist()) == [0, 8000, 16000]
        for waveform, samples in zip(batch["waveform"], batch["waveform_samples"], strict=True):
            assert not waveform[:, samples:].any()
            assert samples == 0 or waveform[:, :samples].any()
        assert batch["video"].shape == (3, 2, 3, 16, 16) and len(batch["id"]) == 3
        assert batch["sample_rate"].tolist() == [8000] * 3

    @pytest.mark.parametrize("windows", [None, 2])
    def test_no_sound_at_all(self, sounding: Path, windows: int | None) -> None:
        batch = self.batch(sounding, where=lambda clip: not clip.has_audio, windows=windows)
        assert batch["waveform"].shape == ((1, 1, 0) if windows is None else (1, 2, 1, 0))
        assert batch["waveform_samples"].tolist() == [0]

    def test_windows(self, sounding: Path) -> None:
        batch = self.batch(sounding, windows=2, frame_rate=4)
        assert batch["waveform"].shape == (3, 2, 1, 4000)
        assert sorted(batch["waveform_samples"].tolist()) == [0, 4000, 4000]

    def test_mono_goes_to_both_channels(self) -> None:
        video = torch.zeros(1, 3, 2, 2)
        sounds = [torch.full((1, 2), 0.5), torch.tensor([[1.0, 2, 3], [4, 5, 6]])]
        batch = collate([{"video": video, "waveform": sound, "note": None} for sound in sounds])
        assert batch["waveform"][0].tolist() == [[0.5, 0.5, 0], [0.5, 0.5, 0]]
        assert batch["waveform"][1].tolist() == [[1, 2, 3], [4, 5, 6]]
        assert batch["note"] == [None, None]
