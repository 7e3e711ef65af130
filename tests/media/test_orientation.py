"""Turned and mirrored pictures, against the display matrix's own arithmetic on a picture of four corners."""

from __future__ import annotations

import hashlib
import io
import shutil
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from video_files import stored_clips, write_sheet, write_video

from emovid_dataset import build
from emovid_dataset.media.encode import transcode
from emovid_dataset.media.frames import decode
from emovid_dataset.media.portable.pixels import rgb
from emovid_dataset.media.source import Reader

HEIGHT, WIDTH = 48, 64
ORIENTATIONS = {  # a, b, c, d of the matrix: a point (p, q) is shown at (a p + c q, b p + d q)
    "upright": (1, 0, 0, 1),
    "mirrored left to right": (-1, 0, 0, 1),
    "half a turn": (-1, 0, 0, -1),
    "mirrored top to bottom": (1, 0, 0, -1),
    "transposed": (0, 1, 1, 0),
    "a quarter turn clockwise": (0, 1, -1, 0),
    "transposed at the other diagonal": (0, -1, -1, 0),
    "a quarter turn counterclockwise": (0, -1, 1, 0),
}


def four_corners() -> np.ndarray:
    picture = np.full((HEIGHT, WIDTH, 3), 110, np.uint8)
    picture[:16, :24], picture[:16, 40:] = (200, 60, 50), (40, 180, 60)
    picture[32:, :24], picture[32:, 40:] = (60, 80, 200), (220, 200, 90)
    return picture


def orient(path: Path, matrix: tuple[int, int, int, int]) -> Path:
    """Write a matrix into an MP4's first track header, as phones do."""
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4
    at += 4 + (32 if data[at] == 1 else 20) + 16  # version and flags, times and ids, layer and volume
    a, b, c, d = (number << 16 for number in matrix)
    data[at : at + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
    return path


def shown(picture: np.ndarray, matrix: tuple[int, int, int, int]) -> np.ndarray:
    """Every pixel put where the matrix says."""
    a, b, c, d = matrix
    row, column = np.mgrid[: picture.shape[0], : picture.shape[1]]
    across, down = a * column + c * row, b * column + d * row
    across, down = across - across.min(), down - down.min()
    made = np.zeros((down.max() + 1, across.max() + 1, 3), np.uint8)
    made[down, across] = picture
    return made


def apart(one: np.ndarray, other: np.ndarray) -> float:
    assert one.shape == other.shape
    return float(np.abs(one.astype(int) - other).mean())


def by_decode(path: Path) -> np.ndarray:
    return decode(path)[0]


def by_decode_at_its_size(path: Path) -> np.ndarray:
    size = decode(path)[0].shape[:2]
    smaller = decode(path, size=(size[0] // 2, size[1] // 2))[0]
    return np.asarray(np.kron(smaller, np.ones((2, 2, 1), np.uint8)))


def by_the_annotator(path: Path) -> np.ndarray:
    with av.open(str(path)) as film:
        return rgb(next(film.decode(video=0)))


def by_what_is_stored(path: Path) -> np.ndarray:
    made = path.with_suffix(".made.mp4")
    with Reader(path) as reader:
        transcode(reader, made)
    with av.open(str(made)) as film:
        return np.asarray(next(film.decode(video=0)).to_ndarray(format="rgb24"))


READERS = (by_decode, by_decode_at_its_size, by_the_annotator, by_what_is_stored)


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("kind", list(ORIENTATIONS))
def test_every_reader_turns_and_mirrors(
    kind: str, reader: Callable[[Path], np.ndarray], tmp_path: Path
) -> None:
    path = write_video(tmp_path / "in.mp4", [four_corners()] * 2)
    found = reader(orient(path, ORIENTATIONS[kind]))
    assert apart(found, shown(four_corners(), ORIENTATIONS[kind])) < 5


def test_the_arithmetic_is_that_of_ffmpeg(tmp_path: Path) -> None:
    ffmpeg = shutil.which("ffmpeg")
    if ffmpeg is None:
        pytest.skip("ffmpeg is not installed")
    for kind in ("half a turn", "a quarter turn clockwise", "a quarter turn counterclockwise"):
        path = orient(write_video(tmp_path / "in.mp4", [four_corners()] * 2), ORIENTATIONS[kind])
        wanted = shown(four_corners(), ORIENTATIONS[kind])
        command = [ffmpeg, "-v", "error", "-i", str(path), "-frames:v", "1", "-f", "rawvideo"]
        made = subprocess.run(
            [*command, "-pix_fmt", "rgb24", "-"], capture_output=True, check=True, timeout=60
        )
        assert apart(np.frombuffer(made.stdout, np.uint8).reshape(wanted.shape), wanted) < 5


def test_pixels_that_are_not_square_are_turned_with_the_picture(tmp_path: Path) -> None:
    path = tmp_path / "in.mp4"
    with av.open(str(path), "w") as sink:
        video: Any = sink.add_stream("libx264", rate=24)
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        video.codec_context.sample_aspect_ratio = 2
        for index in range(2):
            frame = av.VideoFrame.from_ndarray(four_corners(), format="rgb24")
            frame.pts = index
            sink.mux(video.encode(frame))
        sink.mux(video.encode(None))
    orient(path, ORIENTATIONS["a quarter turn clockwise"])
    assert by_decode(path).shape == by_what_is_stored(path).shape == (2 * WIDTH, HEIGHT, 3)


def test_a_mirrored_mp4_is_stored_as_it_is_shown(tmp_path: Path) -> None:
    """What conforms but for its matrix; any reader of the build sees it as a player does."""
    raw = tmp_path / "raw"
    raw.mkdir()
    rows = []
    for index, kind in enumerate(ORIENTATIONS):
        pictures = [four_corners(), np.full((HEIGHT, WIDTH, 3), index * 30, np.uint8)]
        orient(write_video(raw / f"{index}.mp4", pictures), ORIENTATIONS[kind])
        rows.append({"path": f"{index}.mp4", "emotion": "awe", "content_type": "cartoon"})
    build(raw, write_sheet(tmp_path, rows), tmp_path / "out", engine="serial")
    clips = stored_clips(tmp_path / "out")
    assert len(clips) == len(ORIENTATIONS)
    for index, matrix in enumerate(ORIENTATIONS.values()):
        fields, data = clips[f"{index}.mp4"]
        wanted = shown(four_corners(), matrix)
        with av.open(io.BytesIO(data)) as film:  # as a reader that knows no matrices
            plain = next(film.decode(video=0)).to_ndarray(format="rgb24")
        assert apart(plain, wanted) < 5
        assert (fields["height"], fields["width"], fields["color"]) == (*wanted.shape[:2], None)
        assert (fields["sha256"] == hashlib.sha256((raw / fields["source"]).read_bytes()).hexdigest()) == (
            matrix == (1, 0, 0, 1)
        )
