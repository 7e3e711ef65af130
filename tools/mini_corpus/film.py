"""Cut pieces of picture and sound out of a film, to the exact frame and sample."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np

from tools.mini_corpus.labels import Segment

FILM_SIZE = (256, 144)
"""Width and height of a film segment, in pixels."""


@dataclass(frozen=True, slots=True)
class Sound:
    """Mono sound.

    Attributes:
        samples: float32 [n], -1..1; the first one coincides with the film's first frame.
        rate: samples per second.
    """

    samples: np.ndarray
    rate: int

    def between(self, start: Fraction, duration: Fraction) -> Sound:
        """The sound of `duration` seconds from second `start` on, to the nearest sample."""
        first = round(start * self.rate)
        return Sound(self.samples[first : first + round(duration * self.rate)], self.rate)


def read_sound(film: Path) -> Sound | None:
    """The sound of a whole film, its channels averaged; None for a silent film."""
    with av.open(str(film)) as container:
        if not container.streams.audio:
            return None
        stream = container.streams.audio[0]
        rate = stream.rate
        pieces = []
        position = 0
        for frame in container.decode(stream):
            # A gap would shift all that follows against the picture.
            assert frame.pts is not None and frame.time_base is not None
            if frame.pts * frame.time_base * rate != position:
                raise ValueError(f"{film}: the sound has a gap at sample {position}")
            position += frame.samples
            pieces.append(frame.to_ndarray().mean(axis=0, dtype=np.float32))
    return Sound(np.concatenate(pieces), rate)


def cut(
    film: Path, segments: Sequence[Segment]
) -> Iterator[tuple[Segment, Fraction, Fraction, list[av.VideoFrame]]]:
    """Cut segments out of a film to the exact frame, in one pass over it.

    ::

        film      |f0  |f1  |f2  |f3  |f4  |f5  |
        segment          [start        end)
        cut                 |f2  |f3  |f4  |

    Args:
        film: a film with a constant frame rate.
        segments: sorted by time; no two overlap.

    Yields:
        The segment, the time of its first frame in seconds from the film's first frame, the frame rate,
        and its frames, scaled to `FILM_SIZE`.

    Raises:
        ValueError: segments overlap, or one lies beyond the film.
    """
    for before, after in pairwise(segments):
        if before.end > after.start:
            raise ValueError(f"segments overlap: {before.path} and {after.path}")
    waiting = iter(segments)
    segment = next(waiting, None)
    first = Fraction(0)
    frames: list[av.VideoFrame] = []
    with av.open(str(film)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        rate = stream.average_rate
        assert rate is not None
        origin = None
        for frame in container.decode(stream):
            assert frame.pts is not None and frame.time_base is not None
            time = frame.pts * frame.time_base
            origin = time if origin is None else origin
            time -= origin
            if segment is not None and time >= segment.end:
                yield segment, first, rate, frames
                segment, frames = next(waiting, None), []
            if segment is None:
                return
            if segment.start <= time:
                first = first if frames else time
                frames.append(frame.reformat(*FILM_SIZE, format="yuv420p", interpolation="LANCZOS"))
        if segment is not None and frames:
            yield segment, first, rate, frames
            segment = next(waiting, None)
    if segment is not None:
        raise ValueError(f"{segment.path} lies beyond the end of {film}")
