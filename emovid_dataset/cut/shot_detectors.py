"""PySceneDetect's detectors, fed with the frames of our own pass: they decode nothing."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from emovid_dataset.cut.records import Transition


class FedDetector:
    """One of PySceneDetect's detectors that looks at every frame of the pass.

    Args:
        name: "adaptive" or "content".
        fps: of the film.
        least: frames that lie at least between two cuts; PySceneDetect's own default is 15. Here it is 0, as
            the length of clips is bounded later, and no clip may hold a cut.

    Raises:
        ImportError: PySceneDetect or OpenCV is missing.
    """

    def __init__(self, name: str, fps: float, least: int = 0) -> None:
        from scenedetect.detectors import AdaptiveDetector, ContentDetector

        kinds = {"adaptive": AdaptiveDetector, "content": ContentDetector}
        self._detector = kinds[name](min_scene_len=least)
        self._fps = fps
        self._found: set[int] = set()
        self._last = 0

    def see(self, index: int, picture: np.ndarray) -> None:
        """Look at a frame, see `emovid_dataset.cut.measure.FrameWatcher`."""
        from scenedetect import FrameTimecode

        self._last = index
        self._take(
            self._detector.process_frame(
                FrameTimecode(index, self._fps), np.ascontiguousarray(picture[..., ::-1])
            )
        )

    def cuts(self) -> list[Transition]:
        """The cuts among the frames that were seen, ascending."""
        from scenedetect import FrameTimecode

        self._take(self._detector.post_process(FrameTimecode(self._last, self._fps)))
        return [Transition(frame, frame) for frame in sorted(self._found) if frame > 0]

    def _take(self, found: Iterable[object]) -> None:
        self._found.update(int(code.frame_num) for code in found)  # type: ignore[attr-defined]
