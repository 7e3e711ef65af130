"""Windows over a film: when each begins and ends, and the frames that it looks at, decoded once for all."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .clock import EPSILON, FrameClock, clock_of, places_between
from .errors import VideoError, refusing
from .pictures import open_picture, pictures_at, webp_delays
from .pixels import lay_on_white, rgb
from .reading import column_of, fetched
from .streams import first_bytes, is_webp, open_bytes
from .video_file import VideoFile

_ROUNDING = 1e-3  # seconds; what is left of a film behind the last window, and shorter than this, is nothing


@dataclass(frozen=True, slots=True)
class Window:
    """A stretch of a film.

    Attributes:
        start: seconds from the first frame.
        end: seconds, exclusive.
        frames: what is looked at: frames, or why there are none.
    """

    start: float
    end: float
    frames: list[np.ndarray] | str


def spans(duration: float, window: float, stride: float) -> list[tuple[float, float]]:
    """Where the windows over a film lie: one every `stride` seconds, and a last one that ends with the film.

    Args:
        duration: of the film, seconds.
        window: length of each, seconds; a shorter film is one window.
        stride: from the start of one to the start of the next, seconds.

    Returns:
        Start and end of each, seconds.

    >>> spans(6.5, 4.0, 1.0)
    [(0.0, 4.0), (1.0, 5.0), (2.0, 6.0), (2.5, 6.5)]
    >>> spans(3.0, 4.0, 1.0)
    [(0.0, 3.0)]
    """
    duration = round(duration, 6)
    if duration <= window:
        return [(0.0, duration)]
    count = math.floor((duration - window + _ROUNDING) / stride) + 1
    found = [(round(place * stride, 6), round(place * stride + window, 6)) for place in range(count)]
    if duration - found[-1][1] > _ROUNDING:
        found.append((round(duration - window, 6), duration))
    return [(start, min(end, duration)) for start, end in found]


def read_windows(
    film: Any, window: float, stride: float, choose: Callable[[int], Sequence[int]]
) -> Generator[Window, None, None]:
    """Read the windows of a film. Each frame that any of them looks at is decoded once.

    Args:
        film: a path, an http(s) address, bytes of a file, a row of a dataset that holds one, or a function
            that returns any of these.
        window: seconds of each.
        stride: seconds from one to the next.
        choose: from the number of frames of a window to the places among them that are looked at, ascending.

    Yields:
        The windows as they become complete, nearly in order; the frames of others are not held. One whose
        frames do not decode says so in their place, at the end.

    Raises:
        ValueError: it is not a video, holds no frames, or is damaged.
        OSError: it cannot be read or fetched.
    """
    with _source(film) as source:
        name = "the video" if isinstance(source, bytes) else str(source)
        try:
            with refusing("cannot be decoded"):
                if is_webp(first_bytes(source)):
                    with open_bytes(source) as stored, open_picture(stored) as image:
                        yield from _of_pictures(image, webp_delays(stored), window, stride, choose)
                else:
                    with VideoFile(source, strict=False) as video:
                        clock = clock_of(video)
                        wanted = _wanted(clock, window, stride, choose)
                        frames = ((place, rgb(frame)) for place, frame in video.frames(_places(wanted)))
                        yield from _filled(wanted, frames)
        except VideoError as error:
            raise ValueError(f"{name} {error}") from error


@contextmanager
def _source(film: Any) -> Iterator[Path | bytes]:
    if isinstance(film, Mapping):
        film = column_of(film)
    if callable(film):
        film = film()
    if isinstance(film, str) and film.startswith(("http://", "https://")):
        with fetched(film) as path:
            yield path
    elif isinstance(film, (str, os.PathLike)):
        path = Path(film)
        if not path.is_file():
            raise FileNotFoundError(f"{path} is not a file")
        yield path
    elif isinstance(film, (bytes, bytearray, memoryview)):
        yield bytes(film)
    else:
        raise ValueError(
            f"a film is a {type(film).__name__}; a timeline needs times, so a path, an address or bytes"
        )


@dataclass(slots=True)
class _Wanted:
    """A window and the places of its frames; one that is looked at twice stands there twice."""

    start: float
    end: float
    places: list[int]


def _wanted(
    clock: FrameClock, window: float, stride: float, choose: Callable[[int], Sequence[int]]
) -> list[_Wanted]:
    found = []
    for start, end in spans(clock.duration, window, stride):
        last = end >= clock.duration - EPSILON
        places, _ = places_between(clock.times, clock.duration, start, None if last else end)
        found.append(_Wanted(start, end, [places[chosen] for chosen in choose(len(places))]))
    return found


def _places(wanted: Sequence[_Wanted]) -> set[int]:
    return {place for window in wanted for place in window.places}


def _filled(wanted: Sequence[_Wanted], frames: Iterator[tuple[int, np.ndarray]]) -> Iterator[Window]:
    """Hand each window its frames as soon as they are there; a frame goes with the last window of it."""
    users: dict[int, list[int]] = {}
    for number, window in enumerate(wanted):
        for place in set(window.places):
            users.setdefault(place, []).append(number)
    missing = [len(set(window.places)) for window in wanted]
    needed = {place: len(windows) for place, windows in users.items()}
    held: dict[int, np.ndarray] = {}
    reason: VideoError | None = None
    try:
        with refusing():
            for place, picture in frames:
                held[place] = picture
                for number in users[place]:
                    missing[number] -= 1
                    if missing[number]:
                        continue
                    window = wanted[number]
                    yield Window(window.start, window.end, [held[each] for each in window.places])
                    for each in set(window.places):
                        needed[each] -= 1
                        if not needed[each]:
                            del held[each]
    except VideoError as error:
        reason = error
    if wanted and all(missing):
        raise reason or VideoError("has no frames that decode")
    for window, count in zip(wanted, missing, strict=True):
        if count:
            many = f"is damaged: {count} of {len(set(window.places))} frames do not decode"
            yield Window(window.start, window.end, many)


def _of_pictures(
    image: Any, delays: Sequence[int], window: float, stride: float, choose: Callable[[int], Sequence[int]]
) -> Iterator[Window]:
    ends = np.cumsum(delays) / 1000.0
    clock = FrameClock(np.concatenate([[0.0], ends[:-1]]), 0.0, float(ends[-1]), True)
    wanted = _wanted(clock, window, stride, choose)
    found = pictures_at(image, sorted(_places(wanted)))
    yield from _filled(wanted, ((place, lay_on_white(picture)) for place, picture in found))
