"""Where decoded frames of sound stand in time: what is missing, and what is there twice.

Frames of sound follow each other without a break, unless their times say that something is missing or heard
twice. What counts is how far a frame's time is from where the sound before it ends, however small the steps
were that led there, and only if the next frame bears it out::

    lost packets    |--|--|--|   |--|--|   |--|         a gap
    an overlap      |--|--|--|==|--|--|                 what was heard already is there twice
    rounded times   |--|--|-- |--|--|--|                nothing is done
"""

from __future__ import annotations

from collections.abc import Iterator

import av

GAP = 0.05
"""Seconds; the times of some containers and recorders waver by less."""

_OVERLAP = 1.0  # seconds; times that lie further back are wrong, or a clock began anew
_PACKET = 0.75  # a step of so much of the longest packet is a packet that is missing
_LEAST_PACKET = 0.01  # seconds


class SoundLine:
    """Takes frames of sound in their order, and says which of them follow a break.

    Args:
        has_times: whether the container states when a packet is heard; where it does not, only gaps count.
    """

    def __init__(self, has_times: bool) -> None:
        self._has_times = has_times
        self._position: float | None = None  # seconds at which the sound that was taken ends
        self._due = 0.0  # seconds at which it ends by its own times
        self._longest = 0.0  # seconds of a frame
        self._held: tuple[av.AudioFrame, float] | None = None  # a frame that may follow a break, and its time

    def push(self, frame: av.AudioFrame, time: float | None) -> Iterator[tuple[av.AudioFrame, float | None]]:
        """Take a frame.

        Args:
            frame: the next one.
            time: seconds at which it begins; None where it is not known, and follows the one before.

        Yields:
            Frames that are next, and the seconds at which each begins if it is the first one or follows a
            break; None if it follows the one before without one.
        """
        if time is None:
            time = self._due
        if self._position is None:
            self._position = self._due = time
            self._note(frame, time)
            yield self._taken(frame, time)
            return
        if self._held is not None:
            yield self._settled(self._is_borne_out(time))
        is_break = self._is_break(time)
        self._note(frame, time)
        if is_break:
            self._held = frame, time
        else:
            yield self._taken(frame, None)

    def close(self) -> Iterator[tuple[av.AudioFrame, float | None]]:
        """What is held back, as from `push`."""
        if self._held is not None:
            yield self._settled(self._held[1] - (self._position or 0.0) > GAP)

    def _note(self, frame: av.AudioFrame, time: float) -> None:
        self._due = time + _seconds(frame)
        self._longest = max(self._longest, _seconds(frame))

    def _is_break(self, time: float) -> bool:
        """Whether a frame of this time does not go on where the one before ended."""
        assert self._position is not None
        drift, step = time - self._position, time - self._due
        if not self._has_times:
            return step > GAP
        packet = max(_PACKET * self._longest, _LEAST_PACKET)
        is_lost = self._longest > 0 and min(drift, step) >= packet
        return is_lost or drift > GAP or -_OVERLAP <= drift < -GAP

    def _is_borne_out(self, time: float) -> bool:
        """Whether a frame of this time goes on after the one that is held as if that followed a break."""
        assert self._held is not None and self._position is not None
        held, held_time = self._held
        length = _seconds(held)
        after_break, unbroken = abs(time - held_time - length), abs(time - self._position - length)
        if held_time < self._position and after_break > length / 2:
            return False  # times that stand still, rather than sound that is there twice
        return after_break < unbroken

    def _settled(self, is_break: bool) -> tuple[av.AudioFrame, float | None]:
        """The frame that was held, after a break or without one."""
        assert self._held is not None and self._position is not None
        (frame, time), self._held = self._held, None
        if is_break:
            self._position = time if self._has_times else max(time, self._position)
        return self._taken(frame, self._position if is_break else None)

    def _taken(self, frame: av.AudioFrame, begins: float | None) -> tuple[av.AudioFrame, float | None]:
        assert self._position is not None
        self._position += _seconds(frame)
        return frame, begins


def _seconds(frame: av.AudioFrame) -> float:
    return float(frame.samples / frame.sample_rate)
