"""The transitions between the shots of a film, by the detector that is asked for.

- `adaptive` and `content` are PySceneDetect's, fed with the frames of the pass.
- `transnet` is TransNetV2 on all frames.
- `auto` finds what is sure by itself (`emovid_dataset.cut.light`) and asks TransNetV2 about the rest: about
  doubtful places only, or about everything on a GPU.

Fades and dissolves are found beside these by `emovid_dataset.cut.gradual`.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from emovid_dataset.cut.gradual import dissolves, fades
from emovid_dataset.cut.light import settle, sure_and_doubtful
from emovid_dataset.cut.measure import FrameWatcher, Measures
from emovid_dataset.cut.records import Detector, Transition
from emovid_dataset.cut.shot_detectors import FedDetector
from emovid_dataset.cut.transnet import shot_network, transitions_of

_LIKELY = 0.5
_BESIDE = 2  # frames between two gradual transitions that are one
_ABRUPT = 3  # frames: the network's answer to a hard cut is no longer


class Detection:
    """Finds the transitions of one film.

    Args:
        detector: which one.
        fps: of the film.

    Attributes:
        watchers: look at every frame of the pass.
        asked: frames that were shown to the network.
    """

    def __init__(self, detector: Detector, fps: float) -> None:
        self.asked = 0
        self._detector = detector
        self._fed: FedDetector | None = None
        if detector in ("adaptive", "content"):
            self._fed = FedDetector(detector, fps)
        self.watchers: list[FrameWatcher] = [] if self._fed is None else [self._fed]

    def transitions(self, measures: Measures) -> list[Transition]:
        """The transitions, ascending, none within another.

        Args:
            measures: of the film, after the pass.
        """
        gradual = merged([*fades(measures), *dissolves(measures.thumbnails)], [])
        gradual = merged([*gradual, *_damaged(measures)], [])
        if self._fed is not None:
            cuts = self._fed.cuts()
        elif self._detector == "transnet":
            cuts = self._by_network(measures)
        else:
            cuts = self._by_change(measures, gradual)
        gradual += [item for item in cuts if not item.is_cut]
        return merged(gradual, [item for item in cuts if item.is_cut])

    def _by_change(self, measures: Measures, gradual: list[Transition]) -> list[Transition]:
        sure, doubtful = sure_and_doubtful(measures.change, measures.colour_change, measures.thumbnails)
        cuts = [Transition(int(frame), int(frame)) for frame in sure]
        if _has_gpu():
            return cuts + [item for item in self._by_network(measures) if not _near(item.first, cuts)]
        open_ = [frame for frame in doubtful if not _near(int(frame), [*gradual, *cuts])]
        if open_:
            settled, self.asked = settle(
                np.array(open_), measures.change, measures.thumbnails, shot_network()
            )
            cuts += settled
        return cuts

    def _by_network(self, measures: Measures) -> list[Transition]:
        self.asked = measures.frames
        likely = shot_network().probabilities(measures.thumbnails, 0, measures.frames)
        return network_transitions(likely[:, 0])


def network_transitions(likely: np.ndarray) -> list[Transition]:
    """The transitions that the network's answers for a whole film mean.

    Args:
        likely: of each frame that a shot ends with it, float32 [n].
    """
    found = []
    for first, stop in transitions_of(likely, _LIKELY):
        if stop - first <= _ABRUPT:
            last = first + int(likely[first:stop].argmax())
            found.append(Transition(last + 1, last + 1))
        else:
            found.append(Transition(first, stop))
    return [item for item in found if 0 < item.first < len(likely)]


def _damaged(measures: Measures) -> list[Transition]:
    """Stretches of frames that do not decode: what is before and behind them are two shots."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], measures.damaged, [False])).astype(np.int8)))
    return [Transition(int(first), int(stop)) for first, stop in edges.reshape(-1, 2)]


def _near(frame: int, items: Iterable[Transition]) -> bool:
    """Whether a frame is of a transition, or beside it."""
    return any(item.first - _BESIDE <= frame <= item.stop + _BESIDE for item in items)


def _has_gpu() -> bool:
    try:
        import torch
    except ImportError:
        return False
    return torch.cuda.is_available()


def merged(gradual: Iterable[Transition], cuts: Iterable[Transition]) -> list[Transition]:
    """All transitions, ascending; a cut within a gradual one, or beside its ends, is part of it."""
    found: list[Transition] = []
    for item in sorted(gradual, key=lambda each: (each.first, each.stop)):
        if found and item.first <= found[-1].stop + _BESIDE:
            found[-1] = Transition(found[-1].first, max(found[-1].stop, item.stop))
        else:
            found.append(item)
    inside = list(found)
    for cut in cuts:
        if all(cut.first < item.first - _BESIDE or cut.first > item.stop + _BESIDE for item in inside):
            found.append(cut)
    return sorted(found, key=lambda each: each.first)
