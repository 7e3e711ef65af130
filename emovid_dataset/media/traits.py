"""What a clip's frames and sound show by which faulty and doubled clips are found.

Nothing is decoded for it: it looks at frames and sound that are decoded for the attributes, for the check of
the sound and for the encoder.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache

import av
import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter

from emovid_dataset.media.frames import uniform_indices
from emovid_dataset.media.source import Reader

FRAMES = 16
"""At most so many frames of a clip are looked at, spread uniformly in time."""

HASHED = 8
"""Every second of these is in the fingerprint: so many hashes of 64 bits."""

FULL_SCALE = 0.999
"""Level from which on a sample counts as clipped, if it stands in a run of at least three."""

_SIDE = 64  # pixels of a thumbnail
_SMALL = 8 * _SIDE**2  # pixels of a picture whose parts are so small that they waver as it is encoded
_RUN = 3  # samples
_TOGETHER = 32  # frames of sound that are looked at in one go
_FLAT = 3.0  # levels of standard deviation below which a frame has nothing to be told by


@dataclass(frozen=True, slots=True)
class Traits:
    """What was seen and heard of a clip.

    Attributes:
        fingerprint: a perceptual hash of 16 hexadecimal digits for each of `HASHED` frames; None where most
            of them show nothing but one colour.
        lightest: level of the lightest of 64 x 64 parts of all frames that were looked at, 0 (black) .. 255.
        change: by how many levels one of these parts differs from the first frame's, at most; of small
            pictures one of 32 x 32 parts.
        peak: loudest sample, 1 is full scale; None where no sound was decoded.
        clipped: share of the samples that are clipped; None likewise.
    """

    fingerprint: str | None = None
    lightest: int = 255
    change: int = 255
    peak: float | None = None
    clipped: float | None = None


class Watch:
    """Looks at frames and listens to sound as they are decoded for others.

    Attributes:
        wanted: the frames of the video that is seen which count, by their numbers.
    """

    def __init__(self) -> None:
        self._thumbnails: dict[int, np.ndarray] = {}
        self.wanted: list[int] = []
        self._scaler = VideoReformatter()
        self._pixels = 0
        self._peak: float | None = None
        self._samples = self._clipped = 0
        self._unheard: list[list[np.ndarray]] = []  # a frame's planes each

    @contextmanager
    def seeing(self, reader: Reader) -> Iterator[None]:
        """Look at the frames that are decoded of a video within the block."""
        self._thumbnails.clear()
        self.wanted = uniform_indices(reader.info.num_frames, FRAMES)
        reader.seen_by = self._see
        try:
            yield
        finally:
            reader.seen_by = None

    @contextmanager
    def hearing(self, reader: Reader) -> Iterator[None]:
        """Listen to the sound that is decoded of a video within the block."""
        reader.heard_by = self._hear
        try:
            yield
        finally:
            reader.heard_by = None

    def _see(self, index: int, frame: av.VideoFrame) -> None:
        if index in self._thumbnails or index not in self.wanted:
            return
        small = self._scaler.reformat(
            frame, width=_SIDE, height=_SIDE, format="gray", interpolation=Interpolation.AREA, threads=1
        )
        self._thumbnails[index] = small.to_ndarray()
        self._pixels = frame.width * frame.height

    def _hear(self, frame: av.AudioFrame) -> None:
        if frame.format.name == "fltp" and frame.samples:  # most sound; without a copy of it
            self._unheard.append(
                [np.frombuffer(memoryview(plane), np.float32, frame.samples) for plane in frame.planes]
            )
            if len(self._unheard) == _TOGETHER:
                self._listen()
            return
        levels = _levels(frame)
        if levels.size:
            self._weigh(levels)

    def _listen(self) -> None:
        """Take the frames of sound that wait to be looked at."""
        frames, self._unheard = self._unheard, []
        if not frames:
            return
        together = np.concatenate([plane for planes in frames for plane in planes])
        peak = max(float(together.max()), -float(together.min()))
        if peak < FULL_SCALE:  # not so where one is NaN
            self._heard(peak, together.size)
            return
        for planes in frames:
            self._weigh(np.abs(np.stack(planes)))

    def _weigh(self, levels: np.ndarray) -> None:
        """Take the magnitudes [channels, samples] of a frame."""
        peak = float(np.fmax.reduce(levels, axis=None))  # not a number is no level
        self._heard(peak, levels.size)
        if peak >= FULL_SCALE and levels.shape[1] >= _RUN:
            full = levels >= FULL_SCALE
            runs = full[:, 2:] & full[:, 1:-1] & full[:, :-2]
            inside = np.zeros_like(full)
            for step in range(_RUN):
                inside[:, step : step + runs.shape[1]] |= runs
            self._clipped += int(inside.sum())

    def _heard(self, peak: float, samples: int) -> None:
        if not math.isnan(peak):
            self._peak = peak if self._peak is None else max(self._peak, peak)
        self._samples += samples

    def traits(self) -> Traits:
        """What was seen and heard."""
        self._listen()
        peak = None if self._peak is None else round(self._peak, 6)
        clipped = round(self._clipped / self._samples, 6) if self._samples else None
        seen = [self._thumbnails[index] for index in self.wanted if index in self._thumbnails]
        if not seen or len(seen) < len(self.wanted):
            return Traits(peak=peak, clipped=clipped)
        stack = np.stack(seen).astype(np.int16)
        return Traits(
            fingerprint=fingerprint(stack[::2]),
            lightest=int(stack.max()),
            change=_change(stack, 2 if self._pixels < _SMALL else 1),
            peak=peak,
            clipped=clipped,
        )


def _change(thumbnails: np.ndarray, step: int) -> int:
    """By how many levels a part of step x step pixels of thumbnails [T, 64, 64] differs from the first's."""
    count, side = len(thumbnails), _SIDE // step
    parts = (thumbnails - thumbnails[0]).reshape(count, side, step, side, step).mean(axis=(2, 4))
    return math.ceil(float(np.abs(parts).max()))


def _levels(frame: av.AudioFrame) -> np.ndarray:
    """Magnitudes of the samples, 1 is full scale; [channels, samples]."""
    samples = frame.to_ndarray()
    if not frame.format.is_planar:
        samples = samples.reshape(frame.samples, -1).T
    if samples.dtype.kind == "f":
        return np.abs(samples)
    whole = float(2 ** (8 * samples.dtype.itemsize - 1))
    shift = whole if samples.dtype.kind == "u" else 0.0
    return np.abs((samples.astype(np.float64) - shift) / (whole - 1))


def fingerprint(thumbnails: np.ndarray) -> str | None:
    """A perceptual hash of each thumbnail, one after the other.

    Args:
        thumbnails: levels of grey [T, 64, 64].

    Returns:
        16 hexadecimal digits each, zeros for one that is nearly of one level; None if more than half are.

    Source: C. Zauner, "Implementation and benchmarking of perceptual image hash functions", 2010, section
    3.2.1 (hash by DCT): 32 x 32 levels of grey, the 8 x 8 lowest frequencies, a bit for each above their
    median.
    """
    small = thumbnails.astype(np.float64).reshape(len(thumbnails), 32, 2, 32, 2).mean(axis=(2, 4))
    flat = small.std(axis=(1, 2)) < _FLAT
    if flat.sum() * 2 > len(flat):
        return None
    low = (_cosines() @ small @ _cosines().T).reshape(len(small), 64)
    bits = low > np.median(low, axis=1, keepdims=True)
    bits[flat] = False
    return np.packbits(bits, axis=1).tobytes().hex()


@lru_cache(maxsize=1)
def _cosines() -> np.ndarray:
    """The eight lowest rows of the DCT-II of 32 numbers, orthonormal but for the first."""
    place, frequency = np.arange(32), np.arange(8)[:, None]
    return np.cos(np.pi * (2 * place + 1) * frequency / 64)
