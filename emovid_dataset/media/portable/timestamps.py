"""Timestamps that break off, stand still or run backwards, made into one line of time.

Two files joined end to end begin anew in the middle::

    packets   0  1  2  3  0  1  2  3
    laid      0  1  2  3  4  5  6  7

A single timestamp that is doubled, missing or out of its place costs only its own frame its time::

    frames    0  1  2  2  4  9  6        (None where there is none)
    mended    0  1  2  3  4  5  6
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from itertools import accumulate, pairwise

import av

_TS_DISCONT = 0x0200  # FFmpeg's AVFMT_TS_DISCONT
_BACK = Fraction(1, 10)  # seconds that a stream may step back before it is taken to begin anew
_AHEAD = Fraction(10)  # seconds that it may leap ahead


class EndToEnd:
    """Shifts the timestamps of packets so that the parts of a joined file follow each other.

    Only formats whose clock may break off (MPEG's program and transport streams, Ogg) are touched. What
    counts as a break is what counts for the ffmpeg command: a step back of more than 0.1 s, or ahead of more
    than 10 s, from where the stream's next packet was due.

    Each stream comes to the next part by itself: the last sound of a part often stands behind the first
    pictures of the next one. Within a part all streams are shifted by the same, which is what the pictures
    need to follow each other, also where a part's sound is a little longer than its pictures.

    Args:
        container: its packets are passed through from the beginning.
        pictures: the stream of pictures.

    Attributes:
        may_break: whether the format is one of those; if not, no packet is changed.
    """

    def __init__(self, container: av.container.InputContainer, pictures: av.VideoStream) -> None:
        self.may_break = bool(container.format.flags & _TS_DISCONT)
        self._pictures = pictures.index
        self._shifts = [Fraction(0)]  # seconds, of each part
        self._part: dict[int, int] = {}  # by stream: in which one it is
        self._last: dict[int, tuple[Fraction, Fraction]] = {}  # by stream: time of decoding, and the next one

    @property
    def breaks(self) -> int:
        """How many were found so far."""
        return len(self._shifts) - 1

    def lay(self, packets: Iterable[av.Packet]) -> Iterator[av.Packet]:
        """The packets, in their order, with timestamps on one line.

        Args:
            packets: of all streams whose times matter to each other.
        """
        for packet in packets:
            if self.may_break:
                self._follow(packet)
                shift = self._shifts[self._part.get(packet.stream.index, 0)]
                if shift:
                    ticks = round(shift / packet.time_base)
                    if packet.pts is not None:
                        packet.pts += ticks
                    if packet.dts is not None:
                        packet.dts += ticks
            yield packet

    def _follow(self, packet: av.Packet) -> None:
        base = packet.time_base
        if packet.dts is None or not base:
            return
        index = packet.stream.index
        time = packet.dts * base
        part = self._part.setdefault(index, self._part.get(self._pictures, 0))
        if index in self._last:
            last, due = self._last[index]
            if time < last - _BACK or abs(time - due) > _AHEAD:
                shift = due + self._shifts[part] - time
                self._part[index] = part = part + 1
                if part == len(self._shifts):
                    self._shifts.append(shift)
                elif index == self._pictures:
                    self._shifts[part] = (
                        shift  # sound came there first, and only knew where it was due itself
                    )
        self._last[index] = time, time + (packet.duration or 0) * base


def is_ascending(times: Sequence[int | None]) -> bool:
    """Whether all are there, each later than the one before."""
    return all(a is not None and b is not None and a < b for a, b in pairwise(times))


def mended(times: Sequence[int | None]) -> list[int] | None:
    """Times of frames, ascending, with those made up that are missing or cannot be true.

    Most frames are right: as many as can be are kept, and the others are spread evenly between them.

    Args:
        times: ticks, in the order in which the frames are shown.

    Returns:
        A time for each frame, strictly ascending; None where fewer than half have one that can be kept.

    >>> mended([0, 10, 20, 20, 40, 90, 60]), mended([None, 10, 20]), mended([None, None, 7])
    ([0, 10, 20, 30, 40, 50, 60], [0, 10, 20], None)
    """
    if is_ascending(times):
        return [time for time in times if time is not None] or None
    kept = _ascending(times)
    if len(kept) < 2 or 2 * len(kept) < len(times):
        return None
    first, last = kept[0], kept[-1]
    step = max((_at(times, last) - _at(times, first)) / (last - first), 1.0)
    found: list[float] = [_at(times, first) - step * (first - place) for place in range(first)]
    for place, after in pairwise(kept):
        begin, end = _at(times, place), _at(times, after)
        found += [begin + (end - begin) * i / (after - place) for i in range(after - place)]
    found += [_at(times, last) + step * i for i in range(len(times) - last)]
    laid: list[int] = []
    for time in found:
        laid.append(max(round(time), laid[-1] + 1) if laid else round(time))
    return laid


def slowed(times: Sequence[int], end: int, *, too_short: Fraction, usual: Fraction) -> tuple[list[int], int]:
    """Times of an animated picture's frames as a browser keeps them.

    Args:
        times: ticks, ascending.
        end: of the last frame, in ticks.
        too_short: ticks; a frame that stands so long or less stands the usual time instead.
        usual: ticks.

    Returns:
        The times, and the end.

    >>> slowed([0, 1, 6], 8, too_short=Fraction(1), usual=Fraction(10))
    ([0, 10, 15], 17)
    """
    stands = [after - time for time, after in zip(times, [*times[1:], end], strict=True)]
    slow = [round(usual) if each <= too_short else each for each in stands]
    *starts, last = accumulate(slow, initial=times[0])
    return starts, last


def _at(times: Sequence[int | None], place: int) -> int:
    time = times[place]
    assert time is not None
    return time


def _ascending(times: Sequence[int | None]) -> list[int]:
    """Places of the longest ascending row of times; of neighbours with the same time neither is in it."""
    doubled = {
        place
        for place in range(1, len(times))
        if times[place] == times[place - 1]
        for place in (place - 1, place)
    }
    ends: list[int] = []  # for each length the place that ends such a row with the earliest time
    values: list[int] = []
    before: dict[int, int | None] = {}
    for place, time in enumerate(times):
        if time is None or place in doubled:
            continue
        at = bisect_left(values, time)
        before[place] = ends[at - 1] if at else None
        if at == len(values):
            values.append(time)
            ends.append(place)
        else:
            values[at], ends[at] = time, place
    row: list[int] = []
    place_or_none = ends[-1] if ends else None
    while place_or_none is not None:
        row.append(place_or_none)
        place_or_none = before[place_or_none]
    return row[::-1]
