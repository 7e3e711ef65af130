"""The scores of one video that need nothing but its frames."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields

import numpy as np

from emovid_dataset.media.attributes import measure as measure_attributes
from emovid_dataset.media.frames import shown_size
from emovid_dataset.media.portable.pixels import orientation_of, rgb
from emovid_dataset.media.source import Reader
from emovid_models.evaluation.measures.flicker import frozen_share, neighbour_differences
from emovid_models.evaluation.measures.motion import flow_picture, motion

NO_OPENCV = "opencv-python-headless is not installed; pip install 'emovid[scores]'"
"""Why there is no motion where OpenCV is missing."""

GREY = "it has no hue"


@dataclass(frozen=True, slots=True)
class FrameScores:
    """The scores of one video; None for what was not computed.

    Attributes:
        flicker: `temporal_flicker`.
        motion: `motion`, in diagonals a second.
        frozen_share: `frozen_share`, 0..1.
        brightness: the data set's attribute, mean V of HSV, 0..1.
        colorfulness: the same, mean S, 0..1.
        hue: the same, the circular mean in degrees.
        not_computed: why a score is None, as pairs of its name and the reason.
    """

    flicker: float | None = None
    motion: float | None = None
    frozen_share: float | None = None
    brightness: float | None = None
    colorfulness: float | None = None
    hue: float | None = None
    not_computed: tuple[tuple[str, str], ...] = ()

    def values(self) -> dict[str, float | None]:
        """By name of the score its value."""
        return {name: getattr(self, name) for name in FRAME_SCORES}


FRAME_SCORES = tuple(field.name for field in fields(FrameScores) if field.name != "not_computed")
"""Names of the scores."""


def frame_scores(source: str | bytes) -> FrameScores:
    """Score a video by its frames.

    Args:
        source: a path or bytes.

    Raises:
        VideoError: it cannot be decoded.
        OSError: it cannot be read.
    """
    with Reader(source, quick=True) as reader:
        seconds = float(reader.times[-1])
        attributes, _ = measure_attributes(reader)
    pictures: list[np.ndarray] = []
    reasons: dict[str, str] = {} if attributes.hue is not None else {"hue": GREY}
    is_watched = True

    def watch(frame: np.ndarray) -> np.ndarray:
        nonlocal is_watched
        if is_watched:
            try:
                pictures.append(flow_picture(frame))
            except ImportError:
                is_watched = False
        return frame

    differences = neighbour_differences(watch(frame) for frame in rgb_frames(source))
    moved: float | None = None
    if not differences:
        reasons |= dict.fromkeys(("flicker", "motion", "frozen_share"), "it has a single frame")
    elif not is_watched:
        reasons["motion"] = NO_OPENCV
    else:
        try:
            moved = motion(pictures, seconds)
        except ValueError as error:
            reasons["motion"] = str(error)
    return FrameScores(
        flicker=sum(differences) / len(differences) if differences else None,
        motion=moved,
        frozen_share=frozen_share(differences) if differences else None,
        brightness=attributes.brightness,
        colorfulness=attributes.colorfulness,
        hue=attributes.hue,
        not_computed=tuple(reasons.items()),
    )


def rgb_frames(source: str | bytes) -> Iterator[np.ndarray]:
    """Every frame of a video as a player shows it, one after the other, with transparent pixels on white.

    Args:
        source: a path or bytes.

    Returns:
        Arrays uint8 [H, W, 3] of one shape: that of the first frame.

    Raises:
        VideoError: it cannot be decoded.
    """
    shape: tuple[int, int] | None = None
    with Reader(source, quick=True) as reader:
        for _, frame in reader.frames(range(reader.info.num_frames)):
            if shape is None:
                shape = shown_size(frame, orientation_of(frame), reader.aspect)
            yield rgb(frame, shape)
