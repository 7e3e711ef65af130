"""Decoded frames as RGB arrays: chosen in time, upright, on white, in the size that is wanted.

A clip's timeline, with four frames chosen uniformly in time (the middles of four equal parts)::

    frame     0   1   2   3   4   5   6   7
    time   |---|---|---|---|---|---|---|---|
    chosen     ^       ^       ^       ^
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import av
import numpy as np
from av.video.reformatter import Colorspace, Interpolation, VideoReformatter

from emovid_dataset.media.portable.errors import refusing
from emovid_dataset.media.portable.pixels import is_transparent, lay_on_white, quarter_turns
from emovid_dataset.media.source import Reader, Source

_TRAINING_FRAMES = 16  # what `emovid_dataset.stream` takes of a clip unless told otherwise
_REDUCED_SIDE = 128  # pixels
_EPSILON = 1e-6  # seconds
_EXACT = Interpolation.BILINEAR | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT
_UNNAMED_MATRIX = 2  # what FFmpeg calls AVCOL_SPC_UNSPECIFIED
_LINES_OF_HD = 720


def uniform_indices(num_frames: int, count: int) -> list[int]:
    """Choose frames uniformly in time: the middles of `count` equal parts.

    Args:
        num_frames: frames of the video, at least 1.
        count: frames wanted, at least 1; a short video repeats frames.

    Returns:
        `count` indices 0..num_frames - 1, not decreasing.

    >>> uniform_indices(8, 4), uniform_indices(2, 4)
    ([1, 3, 5, 7], [0, 0, 1, 1])
    """
    if num_frames < 1 or count < 1:
        raise ValueError(f"{num_frames = } and {count = } must be at least 1")
    return [(2 * part + 1) * num_frames // (2 * count) for part in range(count)]


def decode(
    source: Source,
    *,
    frames: int | Callable[[int], Sequence[int]] | None = None,
    size: int | tuple[int, int] | None = None,
    threads: int = 1,
) -> np.ndarray:
    """Decode frames as RGB.

    Args:
        source: bytes or a path.
        frames: how many, chosen uniformly in time (`uniform_indices`); or a function from the number of
            frames to the indices wanted; or None for every frame.
        size: a side for a square, or (height, width); the picture is squeezed to it (bilinear). None
            keeps the video's own size.
        threads: decoder threads.

    Returns:
        uint8 [T, H, W, 3], 0..255, transparent pixels on white, upright. In memory it is [T, 3, H, W].

    Raises:
        VideoError: it is not a video, has no frames, or is damaged.
        OSError: the file is not there, or cannot be read.
        ValueError: no frames are asked for, or such as are not there.
    """
    with Reader(source, threads=threads, quick=True) as reader:
        count = reader.info.num_frames
        if frames is None:
            indices = list(range(count))
        elif callable(frames):
            indices = [int(index) for index in frames(count)]
        else:
            indices = _indices_in_time(reader, frames)
        if not indices:
            raise ValueError("no frames are asked for; at least one is needed")
        chosen = reader.frames(indices)
        with refusing():
            return _as_array(chosen, indices, reader, (size, size) if isinstance(size, int) else size)


def _indices_in_time(reader: Reader, count: int) -> list[int]:
    info = reader.info
    if info.constant_rate:
        return uniform_indices(info.num_frames, count)
    middles = (np.arange(count) + 0.5) * info.duration / count
    return [int(i) for i in np.searchsorted(reader.times, middles + _EPSILON, side="right") - 1]


def _as_array(
    chosen: Iterator[tuple[int, av.VideoFrame]],
    indices: Sequence[int],
    reader: Reader,
    shape: tuple[int, int] | None,
) -> np.ndarray:
    """Put the chosen frames where `indices` names them; without a shape the first one's is everybody's."""
    places: dict[int, list[int]] = {}
    for place, index in enumerate(indices):
        places.setdefault(index, []).append(place)
    planes: np.ndarray | None = None
    reformatter = VideoReformatter()
    for index, frame in chosen:
        upright = flatten(frame)
        if shape is None:
            shape = upright.height, round(upright.width * reader.aspect)
        height, width = shape
        if planes is None:
            planes = np.empty((len(indices), 3, height, width), np.uint8)
        scaled = (height, width) != (upright.height, upright.width)
        small = reformatter.reformat(
            upright,
            width=width,
            height=height,
            # the scaler is twice as fast, and nearer to exact arithmetic, when it writes planes
            format="gbrp" if scaled else "rgb24",
            interpolation=Interpolation.BILINEAR,
            threads=1,
        )
        first, *others = places[index]
        if scaled:
            for channel, plane in zip((1, 2, 0), small.planes, strict=True):
                rows = np.asarray(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
                planes[first, channel] = rows[:height, :width]
        else:
            planes[first] = small.to_ndarray().transpose(2, 0, 1)
        for place in others:
            planes[place] = planes[first]
    assert planes is not None
    return planes.transpose(0, 2, 3, 1)


@dataclass(frozen=True, slots=True)
class SampledFrame:
    """A frame that the visual attributes are computed on.

    Attributes:
        planes: red, green and blue, uint8 [H, W] each, in the video's size; transparent pixels on white. Not
            turned upright.
        reduced: uint8 [h, w, 3], the same with at most 128 pixels on the longer side.
        rotation: degrees.
    """

    planes: tuple[np.ndarray, np.ndarray, np.ndarray]
    reduced: np.ndarray
    rotation: int


def sample_for_attributes(reader: Reader, every: int) -> Iterator[SampledFrame]:
    """Decode the frames that the visual attributes are computed on, each in full size and reduced.

    Colours are those that a player shows: chroma is interpolated and nothing is rounded early, by the matrix
    and the range that the video names. A video that names no matrix has that of BT.601 below 720 lines and of
    BT.709 from 720 on.

    For the reduced picture the scaler takes every n-th pixel (no averaging), so that the spread of the
    colours, which `colorfulness_m3` measures, stays what it is at full size. It reduces in YUV; the small
    picture is then converted to RGB without interpolation, as frames for models are.

    Args:
        reader: an open video.
        every: frames 0, `every`, 2 x `every` ... are measured.

    Raises:
        VideoError: the video is damaged.
    """
    info = reader.info
    factor = max(1.0, max(info.width, info.height) / _REDUCED_SIDE)
    shape: tuple[int, int] | None = None
    if factor > 1:
        shape = (_even(info.height / factor), _even(info.width / factor))
    reduce, convert, convert_whole = VideoReformatter(), VideoReformatter(), VideoReformatter()
    with refusing():
        measured = range(0, info.num_frames, every)
        # The frames that a training run takes by default are decoded too: damage there is a refusal now.
        for index, frame in reader.frames([*measured, *uniform_indices(info.num_frames, _TRAINING_FRAMES)]):
            if index not in measured:
                continue
            small = frame
            if shape is None:
                shape = frame.height, frame.width
            if factor > 1 or shape != (frame.height, frame.width):
                small = reduce.reformat(
                    frame, width=shape[1], height=shape[0], interpolation=Interpolation.POINT, threads=1
                )
            matrix = _matrix(frame)
            whole = convert_whole.reformat(
                _on_white(frame), format="gbrp", src_colorspace=matrix, interpolation=_EXACT, threads=1
            )
            green, blue, red = (_samples(plane) for plane in whole.planes)
            tiny = convert.reformat(_on_white(small), format="rgb24", src_colorspace=matrix, threads=1)
            yield SampledFrame((red, green, blue), tiny.to_ndarray(), int(frame.rotation))


def _samples(plane: av.video.plane.VideoPlane) -> np.ndarray:
    rows = np.asarray(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
    return rows[: plane.height, : plane.width]


def _matrix(frame: av.VideoFrame) -> Colorspace | None:
    """The matrix to decode with where a frame names none; None leaves it to the frame, and to BT.601."""
    unnamed = frame.colorspace == _UNNAMED_MATRIX and not frame.format.is_rgb
    return Colorspace.ITU709 if unnamed and frame.height >= _LINES_OF_HD else None


def _even(pixels: float) -> int:
    return max(2, round(pixels / 2) * 2)


def flatten(frame: av.VideoFrame) -> av.VideoFrame:
    """Put transparent pixels on white and turn the picture upright.

    Args:
        frame: a decoded frame.

    Returns:
        The same frame if it is opaque and upright, else a new one in rgb24.
    """
    opaque = _on_white(frame)
    turns = quarter_turns(frame)
    if not turns:
        return opaque
    rgb: np.ndarray[Any, np.dtype[np.uint8]] = opaque.to_ndarray(format="rgb24").astype(np.uint8)
    turned = np.ascontiguousarray(np.rot90(rgb, turns))
    return _like(av.VideoFrame.from_ndarray(turned, format="rgb24"), frame)


def _on_white(frame: av.VideoFrame) -> av.VideoFrame:
    if not is_transparent(frame):
        return frame
    rgb = lay_on_white(frame.to_ndarray(format="rgba"))
    return _like(av.VideoFrame.from_ndarray(rgb, format="rgb24"), frame)


def _like(new: av.VideoFrame, old: av.VideoFrame) -> av.VideoFrame:
    new.pts = old.pts
    if old.time_base is not None:
        new.time_base = old.time_base
    return new
