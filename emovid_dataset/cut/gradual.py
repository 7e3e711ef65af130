"""Gradual transitions from tiny pictures alone: dissolves, and fades by way of black.

In a dissolve every picture lies on the straight line between the picture before it and the one behind, at an
even pace::

    share of B     0 ........ 0  .2  .4  .6  .8  1 ........ 1
    frame          A    A    A  ab  ab  ab  ab  B    B    B

so the picture in its middle is the mean of the two at its ends, though these differ much. In a hard cut the
middle is one of the two; where things move it is neither. And the mean of two pictures that have nothing to
do with each other has half of their detail, which no movement, no change of light and no title takes away.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from emovid_dataset.cut.measure import Measures
from emovid_dataset.cut.records import Transition
from emovid_dataset.cut.thumbnails import Thumbnails

_BLOCK = 2000  # frames that are looked at at once
_REACHES = (2, 3, 4, 6, 8, 12, 16, 24)
"""Half lengths of the dissolves that are looked for, in frames."""

_DIFFERENT = 18.0  # levels, root mean square: pictures of two shots
_STRAIGHT = 0.4  # how near the middle is to the mean: 1 is the mean itself, 0 one of the ends
_PACE = 0.75  # correlation of the share of B with time
_DETAIL = 0.66  # of the detail of both shots is at most left in the middle
_MIXED = (0.2, 0.8)  # share of B in the frames that count as the middle

_BLACK_LUMA, _BLACK_SPREAD = 12.0, 8.0  # levels
_LONGEST_FADE = 4.0  # seconds
_FALL = 0.15  # levels a frame
_FAINT = 0.12  # of a shot's luma: what is less is no fade, but a cut beside noise


def black_frames(measures: Measures) -> np.ndarray:
    """Which frames are black, bool [n]."""
    return (measures.luma <= _BLACK_LUMA) & (measures.spread <= _BLACK_SPREAD) & ~measures.damaged


def fades(measures: Measures) -> list[Transition]:
    """Stretches of black between shots, with the fading out before and the fading in behind.

    A cut to black and a cut from it, with black between them, are one transition too.
    """
    black = black_frames(measures)
    edges = np.flatnonzero(np.diff(np.concatenate(([False], black, [False])).astype(np.int8)))
    most = max(1, round(_LONGEST_FADE * measures.fps))
    found: list[Transition] = []
    for first, stop in edges.reshape(-1, 2):
        begin = _fading(measures.luma, int(first), -1, most)
        end = _fading(measures.luma, int(stop) - 1, 1, most) + 1
        if found and begin <= found[-1].stop:
            found[-1] = Transition(found[-1].first, max(end, found[-1].stop))
        else:
            found.append(Transition(begin, end))
    return found


def _fading(luma: np.ndarray, place: int, step: int, most: int) -> int:
    """The last frame, going `step` by `step` from the edge of black, before which luma no longer rises."""
    at = place
    while 0 <= at + step < len(luma) and abs(at - place) < most and luma[at + step] > luma[at] + _FALL:
        at += step
    # the outermost frame is the shot's own; a single step out of black is a cut
    steps = abs(at - place)
    return place if steps < 2 else at - step


def dissolves(thumbnails: Thumbnails) -> list[Transition]:
    """Stretches in which one shot turns evenly into another."""
    found: list[tuple[float, Transition]] = []
    for first, pictures, detail in _blocks(thumbnails):
        found += _dissolves_in(pictures, detail, first)
    found.sort(key=lambda item: -item[0])
    kept: list[Transition] = []
    for _, transition in found:
        if all(transition.stop <= other.first or transition.first >= other.stop for other in kept):
            kept.append(transition)
    return sorted(kept, key=lambda item: item.first)


def _blocks(thumbnails: Thumbnails) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """The film in blocks that overlap by the longest dissolve.

    Yields:
        The first frame; the pictures, float32 [n, 9 x 16 x 3]; the detail in each, float32 [n].
    """
    import cv2

    margin = 2 * _REACHES[-1] + 2
    for begin in range(0, len(thumbnails), _BLOCK):
        first, stop = max(0, begin - margin), min(len(thumbnails), begin + _BLOCK + margin)
        pictures = thumbnails.read(first, stop)
        small = [cv2.resize(picture, (16, 9), interpolation=cv2.INTER_AREA) for picture in pictures]
        yield first, np.array(small, np.float32).reshape(stop - first, -1), _detail(pictures)


def _detail(pictures: np.ndarray) -> np.ndarray:
    """The mean square of the differences between neighbouring pixels of each picture, float32 [n]."""
    import cv2

    found = np.zeros(len(pictures), np.float32)
    for apart in (
        cv2.absdiff(np.ascontiguousarray(pictures[:, :, 1:]), np.ascontiguousarray(pictures[:, :, :-1])),
        cv2.absdiff(np.ascontiguousarray(pictures[:, 1:]), np.ascontiguousarray(pictures[:, :-1])),
    ):
        flat = apart.reshape(len(pictures), -1).astype(np.float32)
        found += np.einsum("ij,ij->i", flat, flat) / flat.shape[1]
    return found


def _dissolves_in(pictures: np.ndarray, detail: np.ndarray, offset: int) -> list[tuple[float, Transition]]:
    """Dissolves in a block, with how straight each one is."""
    found: list[tuple[float, Transition]] = []
    count = len(pictures)
    for reach in _REACHES:
        if count <= 2 * reach:
            break
        before, middle, behind = pictures[: -2 * reach], pictures[reach:-reach], pictures[2 * reach :]
        apart = np.sqrt(np.mean(np.square(behind - before), 1))
        off = np.sqrt(np.mean(np.square(middle - (before + behind) / 2), 1))
        straight = 1 - 2 * off / np.maximum(apart, 1e-6)
        for place in _peaks(np.where(apart >= _DIFFERENT, straight, 0.0), _STRAIGHT, reach):
            transition = _extent(pictures, place, place + 2 * reach)
            if transition is not None and _is_mixed(pictures, detail, transition):
                weight = float(straight[place]) * float(apart[place])
                found.append((weight, Transition(transition.first + offset, transition.stop + offset)))
    return found


def _is_mixed(pictures: np.ndarray, detail: np.ndarray, transition: Transition) -> bool:
    """Whether the pictures in the middle have as little detail as two that are mixed."""
    first, last = max(0, transition.first - 1), min(len(pictures) - 1, transition.stop)
    line = pictures[last] - pictures[first]
    share = (pictures[first : last + 1] - pictures[first]) @ line / max(float(line @ line), 1e-6)
    expected = (1 - share) * detail[first] + share * detail[last]
    middle = (share > _MIXED[0]) & (share < _MIXED[1])
    if not middle.any():
        return False
    left = detail[first : last + 1][middle] / np.maximum(expected[middle], 1e-3)
    return bool(left.min() <= _DETAIL)


def _peaks(values: np.ndarray, least: float, reach: int) -> list[int]:
    """Places of the values that reach `least` and are the greatest within `reach` on either side."""
    places = np.flatnonzero(values >= least)
    return [
        int(place)
        for place in places
        if values[place] == values[max(0, place - reach) : place + reach + 1].max()
    ]


def _extent(pictures: np.ndarray, first: int, last: int) -> Transition | None:
    """Between which frames the share of the later shot grows; None if it does not grow evenly."""
    line = pictures[last] - pictures[first]
    length = float(line @ line)
    begin, end = max(0, first - (last - first) // 2), min(len(pictures), last + (last - first) // 2 + 1)
    share = (pictures[begin:end] - pictures[first]) @ line / length
    inside = share[first - begin : last - begin + 1]
    pace = np.corrcoef(inside, np.arange(len(inside)))[0, 1] if len(inside) > 2 else 0.0
    steps = np.diff(inside)
    if pace < _PACE or steps.max() > max(0.34, 2.5 / len(steps)):
        return None
    if (steps < -0.25 / len(steps)).mean() > 0.25:
        return None
    pace_of = float(np.median(steps))
    grows = np.diff(share) > pace_of / 3
    low, high = first - begin, last - begin
    while low > 0 and grows[low - 1]:
        low -= 1
    while high < len(grows) and grows[high]:
        high += 1
    return Transition(begin + low + 1, begin + high)
