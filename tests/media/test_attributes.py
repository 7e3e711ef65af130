"""The visual attributes against full-resolution formulas written anew, with other libraries' HSV."""

from __future__ import annotations

import colorsys
import math
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from video_files import MINI, numbered_frames, write_video

from emovid_dataset.media.attributes import (
    Attributes,
    colorfulness_m3,
    hue_chroma,
    luma,
    measure,
    perceptual_attributes,
)
from emovid_dataset.media.encode import transcode
from emovid_dataset.media.source import Reader
from tools.mini_corpus.fetch import cache_folder


def reference(frames: list[np.ndarray]) -> tuple[float, float, float | None]:
    """Luma, M3 and hue by chroma of full-size frames, in floating point throughout."""
    light, m3, x, y, weight, pixels = [], [], 0.0, 0.0, 0.0, 0
    for frame in frames:
        rgb = frame / 255.0
        light.append((rgb @ [0.299, 0.587, 0.114]).mean())
        rg = rgb[..., 0] - rgb[..., 1]
        yb = (rgb[..., 0] + rgb[..., 1]) / 2 - rgb[..., 2]
        m3.append(math.hypot(rg.std(), yb.std()) + 0.3 * math.hypot(rg.mean(), yb.mean()))
        angle, saturation, value = np.moveaxis(cv2.cvtColor(rgb.astype(np.float32), cv2.COLOR_RGB2HSV), 2, 0)
        chroma = saturation * value
        x += float((chroma * np.cos(np.radians(angle))).sum(dtype=float))
        y += float((chroma * np.sin(np.radians(angle))).sum(dtype=float))
        weight += float(chroma.sum(dtype=float))
        pixels += chroma.size
    grey = weight / pixels < 1 / 255 or math.hypot(x, y) < 1e-3 * weight
    return float(np.mean(light)), float(np.mean(m3)), None if grey else math.degrees(math.atan2(y, x)) % 360


def of_file(path: Path, every: int) -> Attributes:
    with Reader(path) as reader:
        return measure(reader, every)[0]


def assert_near(path: Path, every: int = 20) -> None:
    with av.open(str(path)) as container:
        everything = list(container.decode(video=0))
    # untagged, as players take it: BT.709 from 720 lines on
    matrix = "ITU709" if everything[0].height >= 720 else None
    pictures = [frame.reformat(format="rgb24", src_colorspace=matrix) for frame in everything[::every]]
    wanted = reference([picture.to_ndarray() for picture in pictures])
    found = of_file(path, every)
    assert found.luma == pytest.approx(wanted[0], abs=0.01), path.name
    assert found.colorfulness_m3 == pytest.approx(wanted[1], abs=0.02), path.name
    assert (found.hue_chroma is None) == (wanted[2] is None), path.name
    if found.hue_chroma is not None and wanted[2] is not None:
        assert abs((found.hue_chroma - wanted[2] + 180) % 360 - 180) <= 3, (
            path.name,
            found.hue_chroma,
            wanted[2],
        )


@pytest.mark.parametrize("kind", ["sticker", "cartoon", "movie"])
def test_reduced_frames_agree_with_full_size_on_the_whole_corpus(kind: str) -> None:
    paths = sorted((MINI / kind).glob("*.mp4"))
    assert paths
    for path in paths:
        assert_near(path)


@pytest.fixture(scope="module")
def film() -> Path:
    path = cache_folder() / "big-buck-bunny.mp4"
    if not path.exists():
        pytest.skip("the film is not in the cache: python -m tools.mini_corpus film")
    return path


@pytest.mark.parametrize("size", [(854, 480), (1280, 720)], ids=["480p", "720p"])
def test_reduced_frames_agree_with_full_size_on_pieces_of_film(
    film: Path, size: tuple[int, int], tmp_path: Path
) -> None:
    for start in (20, 190, 305, 450):
        frames = []
        with av.open(str(film)) as container:
            stream = container.streams.video[0]
            container.seek(round(start / stream.time_base), stream=stream)
            for frame in container.decode(stream):
                frames.append(frame.reformat(*size, "rgb24").to_ndarray())
                if len(frames) == 12:
                    break
        path = write_video(tmp_path / f"{start}.mp4", frames, options={"preset": "ultrafast"})
        assert_near(path)


def test_attributes_of_a_segment_are_those_of_the_clip_that_is_written(tmp_path: Path) -> None:
    source = write_video(tmp_path / "film.mkv", numbered_frames(96))
    with Reader(source) as reader:
        transcode(reader, tmp_path / "cut.mp4", start=1.0, end=3.0)
    assert_near(tmp_path / "cut.mp4")


def test_known_pictures() -> None:
    def still(*rgb: int) -> np.ndarray:
        return np.full((2, 6, 8, 3), rgb, np.uint8)

    assert perceptual_attributes(still(0, 0, 0)) == (0.0, 0.0, None)
    assert perceptual_attributes(still(255, 255, 255)) == (1.0, 0.0, None)
    red = perceptual_attributes(still(255, 0, 0))
    # one colour has no spread: 0.3 * sqrt(1 + 0.25)
    assert red == (0.299, round(0.3 * math.sqrt(1.25), 6), 0.0)
    assert perceptual_attributes(still(0, 0, 255))[2] == 240.0
    half = np.concatenate([still(255, 0, 0), still(0, 255, 0)], axis=2)
    both = perceptual_attributes(half)
    assert both[2] == 60.0 and both[0] == round((0.299 + 0.587) / 2, 6)
    assert both[1] == round(1 + 0.3 * 0.5, 6)  # rg is 1 and -1, yb is a half


def test_hue_is_a_circle() -> None:
    around_red = np.array([[[255, 0, 20], [255, 20, 0]]], np.uint8)
    assert hue_chroma(around_red) in (0.0, pytest.approx(360, abs=1e-3))
    assert 0 <= hue_chroma(around_red) < 360  # type: ignore[operator]
    opposite = np.array([[[255, 0, 0], [0, 255, 255]]], np.uint8)
    assert hue_chroma(opposite) is None, "the hues cancel out"


def test_every_pixel_agrees_with_the_standard_library() -> None:
    draw = np.random.default_rng(0)
    for rgb in draw.integers(0, 256, (300, 3), dtype=np.uint8):
        wanted, saturation, value = colorsys.rgb_to_hsv(*(rgb / 255.0))
        found = hue_chroma(rgb.reshape(1, 1, 3))
        if saturation * value * 255 < 1:
            assert found is None
        else:
            assert found is not None and abs((found - 360 * wanted + 180) % 360 - 180) < 0.01
        assert luma(rgb.reshape(1, 1, 3)) == pytest.approx(float(rgb @ [0.299, 0.587, 0.114]) / 255)


def test_random_frames_agree_with_the_reference() -> None:
    draw = np.random.default_rng(1)
    for shape in ((1, 2, 2, 3), (3, 17, 31, 3), (2, 64, 5, 3)):
        frames = draw.integers(0, 256, shape, dtype=np.uint8)
        wanted = reference(list(frames))
        assert luma(frames) == pytest.approx(wanted[0], abs=1e-9)
        assert colorfulness_m3(frames) == pytest.approx(wanted[1], abs=1e-6)
        found = hue_chroma(frames)
        assert (found is None) == (wanted[2] is None)
        if found is not None:
            assert found == pytest.approx(wanted[2], abs=0.01)


@pytest.mark.parametrize(
    "frames", [np.zeros((4, 4, 3), np.uint8), np.zeros((1, 4, 4, 3)), np.zeros((0, 4, 4, 3), np.uint8)]
)
def test_other_arrays_are_refused(frames: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"must be uint8 \[T, H, W, 3\]"):
        perceptual_attributes(frames)
