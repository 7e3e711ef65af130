"""What a film is cut into: transitions between shots, clips that are proposed, clips that are left out.

Frames are counted from 0 in the order in which they are shown. A transition lies between two shots; of a hard
cut nothing lies between them::

    frames        0   1   2   3   4   5   6   7   8   9
    shown         A   A   A   B   B   b/c b/c C   C   C
    transitions             ^cut 3-3    ^gradual 5-7
    shots         0..3        3..5            7..10
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

Detector = Literal["auto", "transnet", "adaptive", "content"]
DETECTORS: tuple[Detector, ...] = ("auto", "transnet", "adaptive", "content")
"""Who finds the boundaries of shots: see `emovid_dataset.cut.detect`."""


@dataclass(frozen=True, slots=True)
class Transition:
    """A change from one shot to the next.

    Attributes:
        first: the first frame that is not of the shot before alone.
        stop: the first frame that is of the shot behind alone; equal to `first` for a hard cut.
    """

    first: int
    stop: int

    @property
    def is_cut(self) -> bool:
        """Whether it is a hard cut."""
        return self.stop == self.first


@dataclass(frozen=True, slots=True)
class CutSettings:
    """How films are cut.

    Attributes:
        detector: who finds the boundaries.
        least: seconds of the shortest clip.
        most: seconds of the longest clip; at least twice `least`, so that every shot can be divided.
        pictures: keep small pictures of every clip, for a page.
    """

    detector: Detector = "auto"
    least: float = 1.5
    most: float = 10.0
    pictures: bool = False

    def __post_init__(self) -> None:
        if self.detector not in DETECTORS:
            raise ValueError(f"detector is {self.detector!r}; it must be one of {', '.join(DETECTORS)}")
        if self.least <= 0:
            raise ValueError(f"the shortest clip is {self.least:g} s; it must be longer than 0")
        if self.most < 2 * self.least:
            raise ValueError(
                f"the longest clip is {self.most:g} s; it must be at least twice the shortest, "
                f"{2 * self.least:g} s, or some shots could not be divided"
            )

    def identity(self) -> str:
        """What the outcome depends on, as JSON."""
        return json.dumps(asdict(self), sort_keys=True, allow_nan=False)


@dataclass(frozen=True, slots=True)
class Bars:
    """Black bars around a picture, in pixels of the film as it is shown."""

    top: int = 0
    bottom: int = 0
    left: int = 0
    right: int = 0

    def __bool__(self) -> bool:
        return (self.top, self.bottom, self.left, self.right) != (0, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class ProposedClip:
    """A stretch of a film that is kept or left out.

    Attributes:
        first: its first frame.
        stop: the frame behind its last one.
        start: seconds from the film's first frame at which `first` is shown.
        end: seconds at which `stop` is shown, or the film ends.
        shot: number of the shot that it is of, from 0; -1 for what is no part of a shot.
        reason: why it is left out; None for a clip that is proposed.
        motion: mean change from frame to frame, in levels 0..255.
        luma: mean luma, 0..255.
        text: mean share of the picture that looks like lines of text, 0..1.
        bars: around its picture.
        likeness: what it looks like, see `emovid_dataset.cut.likeness`.
        pictures: JPEGs in base64, where pictures were asked for.
    """

    first: int
    stop: int
    start: float
    end: float
    shot: int
    reason: str | None = None
    motion: float = 0.0
    luma: float = 0.0
    text: float = 0.0
    bars: Bars = Bars()
    likeness: tuple[str, ...] = ()
    pictures: tuple[str, ...] = ()

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> ProposedClip:
        """The clip of which `dataclasses.asdict` made a record."""
        values = dict(record)
        values["bars"] = Bars(**values["bars"])
        values["likeness"], values["pictures"] = tuple(values["likeness"]), tuple(values["pictures"])
        return cls(**values)


@dataclass(frozen=True, slots=True)
class FilmFacts:
    """What is known of a film that was cut.

    Attributes:
        path: as the sheet names it.
        width: pixels, as shown.
        height: pixels, as shown.
        fps: mean frames per second.
        frames: number of them.
        duration: seconds.
        shots: number of them.
        cuts: hard cuts between them.
        gradual: gradual transitions between them.
        asked: frames that were shown to the network.
        waveform: loudness over the film in equal steps, 0..1, where pictures were asked for.
    """

    path: str
    width: int
    height: int
    fps: float
    frames: int
    duration: float
    shots: int
    cuts: int
    gradual: int
    asked: int
    waveform: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class FilmCut:
    """A film and what it was cut into; of a film that cannot be read, why.

    Attributes:
        path: as the sheet names it.
        facts: None if it cannot be read.
        clips: kept and left out, in the order of the film.
        error: why it cannot be read, else None.
    """

    path: str
    facts: FilmFacts | None
    clips: tuple[ProposedClip, ...] = ()
    error: str | None = None
