"""Hard cuts from tiny pictures alone, and the places where these leave a doubt.

At a cut a picture differs from the one before, and far more than pictures do around it::

    change    1 2 1 1 48 1 2 1        1 9 31 22 38 12 9 2        5 6 5 13 6 7 5
              a cut: sure             doubtful                   nothing

It does so in red, green and blue as much as in hue, saturation and value; what stands out in one of them only
is light, or something that passes. A cut amid movement stands out less, but what it shows is another picture:
however the one before is shifted, it is not alike. A flash changes every pixel and leaves the picture what it
was. Things that pass close before the camera change both; a network that has seen many of them is asked about
these.
"""

from __future__ import annotations

import numpy as np

from emovid_dataset.cut.records import Transition
from emovid_dataset.cut.thumbnails import Thumbnails
from emovid_dataset.cut.transnet import SHORT_MARGIN, SHORT_WINDOW, ShotNetwork

_AROUND = 4  # frames on either side
_BESIDE_IT = 2  # frames on either side whose mean change is compared
_LEAST = 12.0  # levels that the change at a cut has at least
_SURE = 3.4  # times the mean change beside it, in either way to count colours
_ALONE = 1.5  # times the greatest change around
_SURE_AMID_MOVEMENT = 4.0  # times the mean change beside it, if the pictures are not alike
_DOUBTFUL = 1.5  # times the greatest change around, or the mean change beside it if it is strong
_DOUBTFUL_AMID_MOVEMENT = 2.0  # times the mean change beside it
_SAME, _OTHER = 0.9, 0.65  # likeness from which on two pictures are one, and up to which they are two
_FLAT = 1.0  # levels, standard deviation
_SHIFTS = (4, 3)  # pixels by which a tiny picture is moved across and down to be like another
_STRONG = 30.0  # levels
_FRAMES_PER_WINDOW = 4000  # of the film for each window of the network: it takes a tenth of decoding them
_LIKELY = 0.5
_BESIDE = 1  # frames by which the network's answer may be off


def sure_and_doubtful(
    change: np.ndarray, colour_change: np.ndarray, thumbnails: Thumbnails
) -> tuple[np.ndarray, np.ndarray]:
    """Frames with which a shot surely begins, and those of which that is in doubt.

    Args:
        change: of each frame from the one before, float32 [n], 0..255.
        colour_change: likewise in hue, saturation and value.
        thumbnails: of the film.

    Returns:
        Frames, ascending, int64 each.
    """
    greatest, mean = _change_around(change)
    times = colour_change / _change_around(colour_change)[1]
    strong = change >= _STRONG
    alone = (change >= _ALONE * greatest) & (change >= _SURE * mean)
    amid_movement = change >= _SURE_AMID_MOVEMENT * mean
    asked = (change >= _LEAST) & (alone | amid_movement)
    asked[:1] = False
    sure = np.zeros(len(change), bool)
    for place in np.flatnonzero(asked):
        # at the film's ends too little is around; before the first frame there is no change at all
        if not _AROUND < place < len(change) - _AROUND:
            continue
        alike = likeness(*thumbnails.read(place - 1, place + 1))
        sure[place] = (alone[place] and times[place] >= _SURE and alike <= _SAME) or (
            amid_movement[place] and times[place] >= _SURE_AMID_MOVEMENT and alike <= _OTHER
        )
    weak = (change >= _DOUBTFUL * greatest) & (change >= _DOUBTFUL_AMID_MOVEMENT * mean)
    strong &= change >= _DOUBTFUL * mean
    doubtful = ~sure & (asked | ((change >= _LEAST) & (weak | strong)))
    doubtful[:1] = False
    return np.flatnonzero(sure), np.flatnonzero(doubtful)


def _change_around(change: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The greatest change near each frame, and the mean of those beside it; at least a level each."""
    padded = np.pad(change.astype(np.float64), _AROUND, constant_values=np.nan)
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * _AROUND + 1)
    others = np.delete(windows, _AROUND, axis=1)
    beside = others[:, _AROUND - _BESIDE_IT : _AROUND + _BESIDE_IT]
    greatest = np.nan_to_num(others).max(1)
    count = np.maximum(np.isfinite(beside).sum(1), 1)
    return np.maximum(greatest, 1.0), np.maximum(np.nan_to_num(beside).sum(1) / count, 1.0)


def likeness(before: np.ndarray, picture: np.ndarray) -> float:
    """How much a picture is the one before, shifted and lighter or darker as may be.

    Args:
        before: uint8 [27, 48, 3].
        picture: likewise.

    Returns:
        The greatest correlation of any shift, -1..1; 0 where either has no contrast that could be alike.
    """
    import cv2

    across, down = _SHIFTS
    inside = np.ascontiguousarray(picture[down:-down, across:-across])
    if min(inside.std((0, 1)).max(), before.std((0, 1)).max()) < _FLAT:
        return 0.0
    return float(cv2.matchTemplate(before, inside, cv2.TM_CCOEFF_NORMED).max())


def settle(
    doubtful: np.ndarray, change: np.ndarray, thumbnails: Thumbnails, network: ShotNetwork
) -> tuple[list[Transition], int]:
    """Ask the network about doubtful places, the most striking ones first, for a bounded time.

    Args:
        doubtful: frames, ascending.
        change: of each frame of the film, float32 [n].
        thumbnails: of the film.
        network: to be asked.

    Returns:
        The cuts among them, ascending, and how many frames the network was shown.
    """
    inner = SHORT_WINDOW - 2 * SHORT_MARGIN
    left = sorted((int(frame) for frame in doubtful), key=lambda frame: (-change[frame], frame))
    found: list[Transition] = []
    asked = 0
    for _ in range(2 + len(thumbnails) // _FRAMES_PER_WINDOW):
        if not left:
            break
        first = max(0, left[0] - inner // 2)
        stop = min(len(thumbnails), first + inner)
        answers = network.probabilities(thumbnails, first, stop, window=SHORT_WINDOW, margin=SHORT_MARGIN)
        likely = answers[:, 0] > _LIKELY
        here = sorted(frame for frame in left if first + _BESIDE < frame < stop - _BESIDE)
        left = [frame for frame in left if frame not in here and frame != left[0]]
        found += _cuts(here, likely, first, change)
        asked += SHORT_WINDOW
    return sorted(found, key=lambda item: item.first), asked


def _cuts(frames: list[int], likely: np.ndarray, first: int, change: np.ndarray) -> list[Transition]:
    """Of doubtful frames near each run that is likely the one with the greatest change."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], likely, [False])).astype(np.int8)))
    found = []
    for begin, end in edges.reshape(-1, 2):
        # the network names the last frame of the shot before
        near = [f for f in frames if first + begin + 1 - _BESIDE <= f <= first + end + _BESIDE]
        if near:
            best = max(near, key=lambda frame: float(change[frame]))
            found.append(Transition(best, best))
    return found
