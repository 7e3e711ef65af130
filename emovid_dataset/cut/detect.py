"""The transitions between the shots of a film, by the detector that is asked for.

- `adaptive` and `content` are PySceneDetect's, fed with the frames of the pass.
- `transnet` is TransNetV2 on all frames.
- `auto` is `transnet` on a GPU, and `adaptive` without one.

Fades and dissolves are found beside these by `emovid_dataset.cut.gradual`.
"""

from __future__ import annotations

from collections.abc import Iterable

from emovid_dataset.cut.gradual import dissolves, fades
from emovid_dataset.cut.measure import FrameWatcher, Measures
from emovid_dataset.cut.records import Detector, Transition
from emovid_dataset.cut.shot_detectors import FedDetector

_LIKELY = 0.5
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
        self._uses_network = detector == "transnet" or (detector == "auto" and _has_gpu())
        self._fed: FedDetector | None = None
        if not self._uses_network:
            self._fed = FedDetector("content" if detector == "content" else "adaptive", fps)
        self.watchers: list[FrameWatcher] = [] if self._fed is None else [self._fed]

    def transitions(self, measures: Measures) -> list[Transition]:
        """The transitions, ascending, none within another.

        Args:
            measures: of the film, after the pass.
        """
        gradual = [*fades(measures), *dissolves(measures.thumbnails)]
        cuts = self._by_network(measures) if self._fed is None else self._fed.cuts()
        gradual += [item for item in cuts if not item.is_cut]
        return merged(gradual, [item for item in cuts if item.is_cut])

    def _by_network(self, measures: Measures) -> list[Transition]:
        # only here: importing torch takes seconds
        from emovid_dataset.cut.transnet import ShotNetwork, transitions_of

        self.asked = measures.frames
        likely = ShotNetwork().probabilities(measures.thumbnails, 0, measures.frames)
        found = []
        for first, stop in transitions_of(likely[:, 0], _LIKELY):
            if stop - first <= _ABRUPT:
                last = first + int(likely[first:stop, 0].argmax())
                found.append(Transition(last + 1, last + 1))
            else:
                found.append(Transition(first, stop))
        return [item for item in found if 0 < item.first < measures.frames]


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
        if found and item.first <= found[-1].stop:
            found[-1] = Transition(found[-1].first, max(found[-1].stop, item.stop))
        else:
            found.append(item)
    inside = list(found)
    for cut in cuts:
        if all(cut.first < item.first - 1 or cut.first > item.stop + 1 for item in inside):
            found.append(cut)
    return sorted(found, key=lambda each: each.first)
