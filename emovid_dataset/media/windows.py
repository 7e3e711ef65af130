"""What training takes of a clip: windows of frames, and the sound that goes with them.

Three windows of four frames, spread over a clip of 10 s; with a frame rate of 2 each lasts 2 s, without one
they are the three equal parts of the clip::

    seconds    0    1    2    3    4    5    6    7    8    9    10
    rate 2     |-x--x--x--x-|        |-x--x--x--x-|     |-x--x--x--x-|
    no rate    |-x----x----x---x-|--x---x----x----x-|--x----x---x---x-|
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from emovid_dataset.media.frames import Fit, indices_in_time, read_frames
from emovid_dataset.media.source import Reader, Source
from emovid_dataset.media.waveform import read_waveform

_EPSILON = 1e-6  # seconds


@dataclass(frozen=True, slots=True)
class Windows:
    """What was taken of a clip.

    Attributes:
        video: uint8 [windows, T, H, W, 3], RGB.
        starts: seconds from the first frame at which each window begins.
        length: seconds of a window.
        waveform: float32 [windows, C, S], -1..1; None for a clip without sound, or if none was asked for.
    """

    video: np.ndarray
    starts: tuple[float, ...]
    length: float
    waveform: np.ndarray | None


def read_windows(
    source: Source,
    *,
    frames: int,
    size: int | tuple[int, int],
    fit: Fit = "squeeze",
    windows: int = 1,
    frame_rate: float | None = None,
    audio: int | None = None,
    is_ours: bool = False,
) -> Windows:
    """Read windows of a clip.

    Args:
        source: bytes or a path.
        frames: T, at least 1, at the middles of the equal parts of a window.
        size: a side for a square, or (height, width).
        fit: how a picture of other proportions is brought to that size, see `read_frames`.
        windows: how many, at least 1, spread evenly over the clip; a single one lies in its middle.
        frame_rate: frames per second, so that a window lasts T / frame_rate seconds. Where the clip is
            shorter than that, its last frame is repeated. None lets a window last the clip's duration /
            windows.
        audio: samples per second of the sound that is wanted, 1 or more; None leaves it out.
        is_ours: as for `Reader`.

    Raises:
        VideoError: it is not a video, has no frames, or is damaged.
        OSError: the file is not there, or cannot be read.
    """
    with Reader(source, quick=True, is_ours=is_ours) as reader:
        duration = reader.info.duration
        length = duration / windows if frame_rate is None else frames / frame_rate
        last = max(0.0, duration - length)
        starts = (
            tuple(last * index / (windows - 1) for index in range(windows)) if windows > 1 else (last / 2,)
        )
        if windows == 1 and frame_rate is None:
            indices = indices_in_time(reader, frames)
        else:
            middles = (np.arange(frames) + 0.5) * length / frames
            times = np.add.outer(np.array(starts), middles).ravel()
            indices = [int(i) for i in np.searchsorted(reader.times, times + _EPSILON, side="right") - 1]
        pictures = read_frames(reader, indices, size, fit=fit)
        zero, sound = reader.start_time, reader.sound
    video = pictures.reshape(windows, frames, *pictures.shape[1:])
    waveform = None
    if audio is not None and sound is not None:
        waveform = read_waveform(source, sound, rate=audio, zero=zero, starts=starts, length=length)
    return Windows(video, starts, length, waveform)
