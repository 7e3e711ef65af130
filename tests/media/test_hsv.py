"""The paper's attributes against a plain script on full-size RGB that the `ffmpeg` command made."""

from __future__ import annotations

import colorsys
import math
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import av
import numpy as np
import pytest
from video_files import MINI, noise, numbered_frames, rotate, write_video

from emovid_dataset.media.attributes import Attributes, HsvSum, as_in_paper, measure
from emovid_dataset.media.encode import transcode
from emovid_dataset.media.source import Reader, probe

needs_ffmpeg = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="the ffmpeg command is missing")
EXACT = "bilinear+accurate_rnd+full_chroma_int"


def full_sizes(paths: Sequence[Path], folder: Path, matrix: str, limits: str = "tv") -> Iterator[np.ndarray]:
    """Frames 0, 20, 40 ... of each file as uint8 [T, H, W, 3], told what the matrix and the range are.

    Args:
        paths: the files; one command reads them all, for it takes longer to start than to read a short clip.
        folder: where the frames are written.
        matrix: of all the files.
        limits: their range.
    """
    told = f"scale=in_color_matrix={matrix}:in_range={limits}:out_range=pc:flags={EXACT}"
    command = ["ffmpeg", "-v", "error"]
    for path in paths:
        command += ["-threads", "1", "-noautorotate", "-i", str(path)]
    for index in range(len(paths)):
        command += ["-map", f"{index}:v", "-vsync", "passthrough", "-vf", rf"select=not(mod(n\,20)),{told}"]
        command += ["-pix_fmt", "rgb24", "-f", "rawvideo", str(folder / f"{index}.rgb")]
    subprocess.run(command, check=True)
    for index, path in enumerate(paths):
        info = probe(path)
        made = np.fromfile(folder / f"{index}.rgb", np.uint8)
        (folder / f"{index}.rgb").unlink()
        yield made.reshape(-1, info.height, info.width, 3)


def paper(rgb: np.ndarray) -> tuple[float, float, float, float]:
    """Brightness, colorfulness, hue and the length of the mean hue vector, in floating point throughout."""
    red, green, blue = np.moveaxis(rgb.reshape(-1, 3) / 255.0, 1, 0)
    high, low = rgb.reshape(-1, 3).max(1) / 255.0, rgb.reshape(-1, 3).min(1) / 255.0
    chroma = high - low
    saturation = np.divide(chroma, high, out=np.zeros_like(high), where=high > 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        hue = np.select(
            [chroma == 0, high == red, high == green],
            [0 * high, (green - blue) / chroma % 6, (blue - red) / chroma + 2],
            (red - green) / chroma + 4,
        )
    vector = complex(np.exp(1j * np.pi / 3 * hue).mean())
    angle = math.degrees(math.atan2(vector.imag, vector.real)) % 360
    return float(high.mean()), float(saturation.mean()), angle, abs(vector)


def of_file(path: Path) -> Attributes:
    with Reader(path) as reader:
        return measure(reader)[0]


def assert_as_in_the_paper(
    paths: Path | Sequence[Path], folder: Path, matrix: str, limits: str = "tv"
) -> None:
    paths = [paths] if isinstance(paths, Path) else paths
    for path, rgb in zip(paths, full_sizes(paths, folder, matrix, limits), strict=True):
        brightness, colorfulness, hue, length = paper(rgb)
        found = of_file(path)
        assert found.brightness == pytest.approx(brightness, abs=0.01), path.name
        assert found.colorfulness == pytest.approx(colorfulness, abs=0.01), path.name
        if length > 0.05:
            assert found.hue is not None
            assert abs((found.hue - hue + 180) % 360 - 180) <= 2, (path.name, found.hue, hue)


@needs_ffmpeg
@pytest.mark.parametrize("kind", ["sticker", "cartoon", "movie"])
def test_every_clip_of_the_miniature(kind: str, tmp_path: Path) -> None:
    paths: dict[str, list[Path]] = {"bt709": [], "bt601": []}
    for path in sorted((MINI / kind).glob("*.mp4")):
        with av.open(str(path)) as container:
            frame = next(container.decode(video=0))
        assert frame.color_range in (0, 1) and frame.colorspace in (1, 2, 5, 6) and frame.height < 720
        paths["bt709" if frame.colorspace == 1 else "bt601"].append(path)
    assert any(paths.values())
    for matrix, alike in paths.items():
        for start in range(0, len(alike), 16):
            assert_as_in_the_paper(alike[start : start + 16], tmp_path, matrix)


def picture(height: int, width: int) -> np.ndarray:
    """Soft shapes in many colours, pale ones too."""
    y, x = np.mgrid[:height, :width] / max(height, width)
    waves = [np.sin(9 * x + 4 * y + k) * np.cos(7 * y - 3 * x + 2 * k) for k in range(3)]
    return np.clip(150 + 105 * np.stack(waves, -1), 0, 255).astype(np.uint8)


def encoded(path: Path, frames: list[np.ndarray], *filters: str) -> Path:
    """Frames as H.264, made and tagged by the ffmpeg command."""
    height, width = frames[0].shape[:2]
    command = ["ffmpeg", "-v", "error", "-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}"]
    command += ["-i", "-", *filters, "-c:v", "libx264", "-crf", "12", "-preset", "ultrafast", str(path)]
    subprocess.run(command, input=b"".join(frame.tobytes() for frame in frames), check=True)
    return path


def yuv(matrix: str, limits: str = "tv", tag: bool = True) -> list[str]:
    pixels = "yuv420p" if limits == "tv" else "yuvj420p"
    filters = [
        "-vf",
        f"scale=out_color_matrix={matrix}:out_range={limits}:flags={EXACT}+full_chroma_inp",
        "-pix_fmt",
        pixels,
    ]
    names = {"bt601": "smpte170m", "bt709": "bt709"}
    return [*filters, "-colorspace", names[matrix], "-color_range", limits] if tag else filters


@needs_ffmpeg
@pytest.mark.parametrize(
    ("size", "filters", "told"),
    [
        ((1080, 1920), yuv("bt709"), ("bt709", "tv")),
        ((1080, 1920), yuv("bt709", tag=False), ("bt709", "tv")),
        ((720, 1280), yuv("bt709", tag=False), ("bt709", "tv")),
        ((720, 1280), yuv("bt601"), ("bt601", "tv")),
        ((718, 1280), yuv("bt601", tag=False), ("bt601", "tv")),
        ((270, 480), yuv("bt709"), ("bt709", "tv")),
        ((270, 480), yuv("bt601", "pc"), ("bt601", "pc")),
        ((270, 480), yuv("bt709", "pc"), ("bt709", "pc")),
        ((278, 314), yuv("bt601", tag=False), ("bt601", "tv")),
    ],
)
def test_matrix_and_range_are_those_that_a_player_takes(
    size: tuple[int, int], filters: list[str], told: tuple[str, str], tmp_path: Path
) -> None:
    still = picture(*size)
    frames = [np.roll(still, 2 * index, axis=1) for index in range(23)]
    path = encoded(tmp_path / "a.mp4", frames, *filters)
    assert_as_in_the_paper(path, tmp_path, *told)
    # and that is what was put in
    wanted = paper(np.stack(frames[::20]))
    found = of_file(path)
    assert found.brightness == pytest.approx(wanted[0], abs=0.01)
    assert found.colorfulness == pytest.approx(wanted[1], abs=0.01)
    assert found.hue is not None and abs((found.hue - wanted[2] + 180) % 360 - 180) <= 2


@needs_ffmpeg
def test_odd_sizes_and_turned_pictures_are_measured_as_they_are_written(tmp_path: Path) -> None:
    odd = [picture(135, 241)] * 22
    sources = [write_video(tmp_path / "odd.mkv", odd, codec="ffv1", pixels="bgr0")]
    sources.append(rotate(write_video(tmp_path / "turned.mp4", [picture(136, 240)] * 22), 90))
    for source in sources:
        path = tmp_path / f"{source.stem}-clip.mp4"
        with Reader(source) as reader:
            transcode(reader, path)
        assert_as_in_the_paper(path, tmp_path, "bt601")


@needs_ffmpeg
def test_a_transparent_sticker_is_measured_on_white(tmp_path: Path) -> None:
    from PIL import Image

    disc = np.zeros((120, 120, 4), np.uint8)
    y, x = np.mgrid[:120, :120]
    disc[(y - 60) ** 2 + (x - 60) ** 2 < 1600] = (0, 0, 255, 255)
    frames = [Image.fromarray(np.roll(disc, index, axis=1)) for index in range(22)]
    frames[0].save(tmp_path / "a.webp", save_all=True, append_images=frames[1:], lossless=True)
    with Reader(tmp_path / "a.webp") as reader:
        drawn = measure(reader)[0]
        transcode(reader, tmp_path / "a.mp4")
    assert_as_in_the_paper(tmp_path / "a.mp4", tmp_path, "bt601")
    share = np.count_nonzero(disc[..., 3]) / disc[..., 3].size
    # blue is as bright as white; white counts as hue 0, so that the mean lies between it and blue's 240
    assert (drawn.brightness, drawn.colorfulness) == (1.0, pytest.approx(share, abs=1e-6))
    wanted = (1 - share) + share * np.exp(1j * np.radians(240))
    assert drawn.hue == pytest.approx(np.degrees(np.angle(wanted)) % 360, abs=1e-6)
    assert drawn.hue_chroma == pytest.approx(240, abs=1e-3)


def sums(rgb: np.ndarray) -> tuple[float, float, float | None]:
    found = HsvSum()
    found.add(*np.moveaxis(rgb.reshape(-1, rgb.shape[-2], 3), 2, 0))
    return found.result()


def test_every_pixel_agrees_with_the_standard_library() -> None:
    draw = np.random.default_rng(0)
    pixels = draw.integers(0, 256, (300, 3), dtype=np.uint8)
    pixels = np.concatenate([pixels, [[0, 0, 0], [255, 255, 255], [0, 0, 1], [1, 1, 0], [254, 255, 254]]])
    for rgb in pixels.astype(np.uint8):
        hue, saturation, value = colorsys.rgb_to_hsv(*(rgb / 255.0))
        found = sums(rgb.reshape(1, 1, 3))
        assert found[:2] == (pytest.approx(value, abs=1e-9), pytest.approx(saturation, abs=1e-6))
        assert found[2] is not None and abs((found[2] - 360 * hue + 180) % 360 - 180) < 1e-6


@pytest.mark.parametrize("shape", [(1, 1), (3, 700), (900, 1100), (1, 300_000)])
def test_sums_agree_with_floating_point(shape: tuple[int, int]) -> None:
    draw = np.random.default_rng(1)
    rgb = draw.integers(0, 256, (*shape, 3), dtype=np.uint8)
    rgb[:, ::3] = rgb[:, ::3, :1]  # greys
    rgb[:, ::5] = 0
    brightness, colorfulness, hue, _ = paper(rgb)
    found = sums(rgb)
    assert found[:2] == (pytest.approx(brightness, abs=1e-9), pytest.approx(colorfulness, abs=1e-5))
    assert found[2] == pytest.approx(hue, abs=1e-6)


def test_grey_has_hue_0_and_opposite_hues_have_none() -> None:
    grey = np.full((4, 4, 3), 90, np.uint8)
    assert sums(grey) == (pytest.approx(90 / 255), 0.0, 0.0)
    assert sums(np.zeros((4, 4, 3), np.uint8)) == (0.0, 0.0, 0.0)
    opposite = np.array([[[255, 0, 0], [0, 255, 255]]], np.uint8)
    assert sums(opposite) == (1.0, 1.0, None)


def test_frames_0_20_40_are_looked_at_and_at_least_one(tmp_path: Path) -> None:
    def colours(count: int) -> list[np.ndarray]:
        frames = [np.full((64, 64, 3), (0, 0, 255), np.uint8) for _ in range(count)]
        for index in range(0, count, 20):
            frames[index][:] = (0, 255, 0)
        return frames

    for count in (1, 19, 20, 21, 61):
        options = {"crf": "1"}
        found = of_file(write_video(tmp_path / f"{count}.mp4", colours(count), options=options))
        assert found.hue == pytest.approx(120, abs=1), count
        assert found.hue_chroma == pytest.approx(120, abs=1), "the others are of the same frames"


def test_the_papers_rounding() -> None:
    assert as_in_paper(0.649, 0.25001, 12.5001) == (0.6, 0.3, 13)
    assert as_in_paper(0.05001, 0.0, 359.7) == (0.1, 0.0, 0)
    assert as_in_paper(0.0, 0.0, None) == (0.0, 0.0, None)


def test_a_film_that_changes_size_is_measured_whole(tmp_path: Path) -> None:
    source = write_video(tmp_path / "a.mkv", numbered_frames(64)[:30], sound=noise(1))
    assert 0 < of_file(source).brightness < 1
