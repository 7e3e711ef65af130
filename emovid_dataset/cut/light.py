"""Hard cuts from tiny pictures alone, and the places where these leave a doubt.

At a cut a picture differs from the one before, and far more than pictures do around it::

    change    1 2 1 1 48 1 2 1        1 9 31 22 38 12 9 2        5 6 5 13 6 7 5
              a cut: sure             doubtful                   nothing

Things that pass close before the camera, and cuts amid such movement, look alike here; a network that has
seen many of them is asked about the doubtful ones.
"""

from __future__ import annotations

import numpy as np

from emovid_dataset.cut.records import Transition
from emovid_dataset.cut.thumbnails import Thumbnails
from emovid_dataset.cut.transnet import MARGIN, WINDOW, ShotNetwork

_AROUND = 4  # frames on either side
_LEAST = 12.0  # levels that the change at a cut has at least
_SURE = 3.0  # times the greatest change around
_DOUBTFUL = 1.5  # likewise
_STRONG = 30.0  # levels from which on a change is doubtful whatever is around it
_FRAMES_PER_WINDOW = 1000  # of the film for each window of the network: to decode them takes longer
_LIKELY = 0.5
_BESIDE = 1  # frames by which the network's answer may be off


def sure_and_doubtful(change: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Frames with which a shot surely begins, and those of which that is in doubt.

    Args:
        change: of each frame from the one before, float32 [n], 0..255.

    Returns:
        Frames, ascending, int64 each.
    """
    padded = np.pad(change, _AROUND)
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * _AROUND + 1)
    around = np.maximum(windows[:, :_AROUND].max(1), windows[:, _AROUND + 1 :].max(1))
    ratio = change / np.maximum(around, 1.0)
    sure = (change >= _LEAST) & (ratio >= _SURE)
    sure[:1] = False
    doubtful = ~sure & (((change >= _LEAST) & (ratio >= _DOUBTFUL)) | (change >= _STRONG))
    doubtful[:1] = False
    return np.flatnonzero(sure), np.flatnonzero(doubtful)


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
    inner = WINDOW - 2 * MARGIN
    left = sorted((int(frame) for frame in doubtful), key=lambda frame: (-change[frame], frame))
    found: list[Transition] = []
    asked = 0
    for _ in range(2 + len(thumbnails) // _FRAMES_PER_WINDOW):
        if not left:
            break
        first = max(0, left[0] - inner // 2)
        stop = min(len(thumbnails), first + inner)
        likely = network.probabilities(thumbnails, first, stop)[:, 0] > _LIKELY
        here = sorted(frame for frame in left if first + _BESIDE < frame < stop - _BESIDE)
        left = [frame for frame in left if frame not in here and frame != left[0]]
        found += _cuts(here, likely, first, change)
        asked += WINDOW
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
