"""When each frame of a video is shown, and which frames belong to a stretch of it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from .errors import VideoError
from .video_file import VideoFile

HELD = 0.1
"""Seconds; a picture that stays on display longer than this after a stretch's start opens the stretch."""

EPSILON = 1e-6
"""Seconds; times that differ by less are the same."""

_FASTEST = 100_000  # frames per second
_LONGEST = 23_860  # seconds; MP4 holds no longer duration of a frame in ticks of a 90,000th


@dataclass(frozen=True, slots=True)
class FrameClock:
    """When the frames of a video are shown.

    Attributes:
        times: seconds from the first frame to each, float64 [num_frames], ascending.
        start: seconds in the file's own time at which the first frame is shown.
        duration: seconds from the first frame to the end of the last.
        is_constant: whether all frames stand within one tick of a constant rate.
    """

    times: np.ndarray
    start: float
    duration: float
    is_constant: bool


def clock_of(video: VideoFile) -> FrameClock:
    """The clock of an open video.

    Raises:
        VideoError: it has no duration that a video can have.
    """
    stream, base, count = video.stream, video.base, video.num_frames
    rate = stream.average_rate or stream.guessed_rate or Fraction(25)
    if video.times is not None:
        first = video.times[0]
        # as exact as fractions, and far quicker: one division of whole numbers, which rounds once
        ticks = np.array(video.times, np.int64) - first
        times = ticks * base.numerator / base.denominator
        start = float(first * base)
        last = float((video.end - first) * base) if video.end is not None else 0.0
        if last <= times[-1]:
            last = float(times[-1]) + float(1 / rate)
    else:
        times = np.arange(count) / float(rate)
        start = float((stream.start_time or 0) * base)
        last = count / float(rate)
    if not (last > 0 and math.isfinite(last)):
        raise VideoError(f"has a duration of {last} s")
    step = last / count
    longest = max(step, float(np.diff(times, append=last).max()))
    if step < 1 / _FASTEST or longest > _LONGEST:
        raise VideoError(
            f"has frames that stand {step:g} to {longest:g} s; {1 / _FASTEST:g} to {_LONGEST} s are read"
        )
    tolerance = min(2.01 * float(base), 0.4 * step)  # a tick for the frame, one for the film's end
    constant = bool(np.abs(times - np.arange(count) * step).max() <= tolerance)
    if constant and abs(float(rate) * last - count) < 0.5:
        last = count / float(rate)  # times in milliseconds, as in Matroska, only come near the rate
    return FrameClock(times, start, last, constant)


def places_between(times: np.ndarray, duration: float, begin: float, end: float | None) -> tuple[range, bool]:
    """Which frames a stretch of a video shows.

    The first one is the first whose time is not before the beginning. Where pictures stand long it is
    another: where the next one comes more than `HELD` after the beginning, or not before the end, the stretch
    begins with the picture that is on display.

    Args:
        times, duration: as in `FrameClock`.
        begin: seconds from the first frame.
        end: seconds, exclusive; None is the end.

    Returns:
        The places of the frames, which may be none, and whether the first one stood before the beginning.

    >>> places_between(np.arange(10.0), 10.0, 2.0, 4.0), places_between(np.arange(10.0), 10.0, 2.5, 2.7)
    ((range(2, 4), False), (range(2, 3), True))
    """
    first = int(np.searchsorted(times, begin - EPSILON))
    stop = len(times) if end is None else int(np.searchsorted(times, end - EPSILON))
    after = float(times[first]) if first < len(times) else duration
    stands = first > 0 and after > begin + EPSILON
    held = bool(stands and (after - begin > HELD + EPSILON or first >= stop))
    return range(first - held, stop), held
