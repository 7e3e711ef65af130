"""Decoded frames as RGB arrays: chosen in time, upright, on white, in the size that is wanted.

A clip's timeline, with four frames chosen uniformly in time (the middles of four equal parts)::

    frame     0   1   2   3   4   5   6   7
    time   |---|---|---|---|---|---|---|---|
    chosen     ^       ^       ^       ^
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import av
import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter

from emovid_dataset.media.portable.colour import BT601, ColorSpace, colour_of
from emovid_dataset.media.portable.errors import refusing
from emovid_dataset.media.portable.matrices import BEYOND_SCALER
from emovid_dataset.media.portable.pixels import (
    ROUNDED,
    WHOLE_CHROMA_OUT,
    Orientation,
    RgbConverter,
    orientation_of,
)
from emovid_dataset.media.source import Reader, Source

Fit = Literal["squeeze", "crop", "pad"]
"""How a picture is brought to other proportions: squeezed, filled and cut, or shown whole with black bars."""

_TRAINING_FRAMES = 16  # what `emovid_dataset.stream` takes of a clip unless told otherwise
_REDUCED_SIDE = 128  # pixels
_EPSILON = 1e-6  # seconds
_EXACT = Interpolation.BILINEAR | ROUNDED | WHOLE_CHROMA_OUT


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
        uint8 [T, H, W, 3], 0..255, as a player shows them: in BT.709's colours (`media.portable.colour`),
        transparent pixels on white, upright. In memory it is [T, 3, H, W].

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
            indices = indices_in_time(reader, frames)
        if not indices:
            raise ValueError("no frames are asked for; at least one is needed")
        return read_frames(reader, indices, size)


def read_frames(
    reader: Reader, indices: Sequence[int], size: int | tuple[int, int] | None, *, fit: Fit = "squeeze"
) -> np.ndarray:
    """Decode chosen frames of an open video as RGB.

    Args:
        reader: an open video.
        indices: 0..num_frames - 1, in any order and also repeated, at least one.
        size: a side for a square, or (height, width); None keeps the video's own size.
        fit: how a picture of other proportions is brought to that size: "squeeze" changes them, "crop" fills
            the size and cuts off equally at both ends, "pad" shows all of it with equal black bars.

    Returns:
        As `decode`.

    Raises:
        VideoError: a frame is damaged or missing.
    """
    shape = (size, size) if isinstance(size, int) else size
    chosen = reader.frames(indices)
    with refusing():
        return _as_array(chosen, indices, reader, shape, fit)


def indices_in_time(reader: Reader, count: int) -> list[int]:
    """Choose frames uniformly in time: those on display in the middles of `count` equal parts."""
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
    fit: Fit,
) -> np.ndarray:
    """Put the chosen frames where `indices` names them; without a shape the first one's is everybody's."""
    places: dict[int, list[int]] = {}
    for place, index in enumerate(indices):
        places.setdefault(index, []).append(place)
    planes: np.ndarray | None = None
    converter = RgbConverter()
    for index, frame in chosen:
        orientation = orientation_of(frame)
        if shape is None:
            shape = shown_size(frame, orientation, reader.aspect)
        if planes is None:
            planes = np.zeros((len(indices), 3, *shape), np.uint8)
        fitted = shape
        if fit != "squeeze":
            fitted = _fitted(shown_size(frame, orientation, reader.aspect), shape, fit)
        (from_rows, into_rows), (from_columns, into_columns) = map(_middles, fitted, shape)
        first, *others = places[index]
        for channel, plane in enumerate(converter.planes(frame, orientation.stored(fitted))):
            shown = orientation.shown(plane)
            planes[first, channel, into_rows, into_columns] = shown[from_rows, from_columns]
        for place in others:
            planes[place] = planes[first]
    assert planes is not None
    return planes.transpose(0, 2, 3, 1)


def shown_size(frame: av.VideoFrame, orientation: Orientation, aspect: Fraction) -> tuple[int, int]:
    """Height and width at which a frame is shown, upright and with square pixels.

    Args:
        frame: a decoded frame.
        orientation: its own.
        aspect: width of a stored pixel by its height.
    """
    height, width = frame.height, round(frame.width * aspect)
    return (width, height) if orientation.transposed else (height, width)


def _fitted(shown: tuple[int, int], shape: tuple[int, int], fit: Fit) -> tuple[int, int]:
    """The height and width to scale a picture to before its middle is laid on the middle of `shape`.

    Args:
        shown: height and width of the picture, with square pixels.
        shape: height and width that are wanted.
        fit: "crop" or "pad", see `read_frames`.
    """
    factors = [want / have for want, have in zip(shape, shown, strict=True)]
    factor = max(factors) if fit == "crop" else min(factors)
    height, width = (round(side * factor) for side in shown)
    if fit == "crop":
        return max(shape[0], height), max(shape[1], width)
    return min(max(1, height), shape[0]), min(max(1, width), shape[1])


def _middles(have: int, want: int) -> tuple[slice, slice]:
    """Where the common middle of two lengths lies in each.

    >>> _middles(10, 4), _middles(4, 10)
    ((slice(3, 7, None), slice(0, 4, None)), (slice(0, 4, None), slice(3, 7, None)))
    """
    both = min(have, want)
    ours, theirs = (have - both) // 2, (want - both) // 2
    return slice(ours, ours + both), slice(theirs, theirs + both)


@dataclass(frozen=True, slots=True)
class SampledFrame:
    """A frame that the visual attributes are computed on.

    Attributes:
        planes: red, green and blue, uint8 [H, W] each, in the video's size; transparent pixels on white. Not
            turned upright.
        reduced: uint8 [h, w, 3], the same with at most 128 pixels on the longer side.
        orientation: how it is turned to be shown.
        has_profile: whether its colours were brought from those of an ICC profile to sRGB.
    """

    planes: tuple[np.ndarray, np.ndarray, np.ndarray]
    reduced: np.ndarray
    orientation: Orientation
    has_profile: bool


def sample_for_attributes(reader: Reader, every: int) -> Iterator[SampledFrame]:
    """Decode the frames that the visual attributes are computed on, each in full size and reduced.

    Colours are those that a player shows (`media.portable.colour`): chroma is interpolated and nothing is
    rounded early.

    For the reduced picture the scaler takes every n-th pixel (no averaging), so that the spread of the
    colours, which `colorfulness_m3` measures, stays what it is at full size. It reduces in YUV; the small
    picture is then converted to RGB by FFmpeg's quick path, without interpolation.

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
    reduce, whole, reduced = VideoReformatter(), RgbConverter(_EXACT), RgbConverter(quick=True)
    with refusing():
        measured = range(0, info.num_frames, every)
        # The frames that a training run takes by default are decoded too: damage there is a refusal now.
        for index, frame in reader.frames([*measured, *uniform_indices(info.num_frames, _TRAINING_FRAMES)]):
            if index not in measured:
                continue
            small, colour = frame, colour_of(frame)
            if shape is None:
                shape = frame.height, frame.width
            if factor > 1 or shape != (frame.height, frame.width):
                small = reduce.reformat(
                    frame,
                    width=shape[1],
                    height=shape[0],
                    # the scaler refuses some matrices, though it does not need them here
                    src_colorspace=_known_to_scaler(colour),
                    dst_colorspace=_known_to_scaler(colour),
                    interpolation=Interpolation.POINT,
                    threads=1,
                )
            red, green, blue = whole.planes(frame, colour=colour)
            tiny = reduced.packed(small, colour=colour)
            has_profile = colour.profile is not None
            yield SampledFrame((red, green, blue), tiny, orientation_of(frame), has_profile)


def _known_to_scaler(colour: ColorSpace) -> int | None:
    """A matrix that goes through the scaler; None where it needs none."""
    return BT601 if colour.matrix in BEYOND_SCALER else colour.matrix or None


def _even(pixels: float) -> int:
    return max(2, round(pixels / 2) * 2)
