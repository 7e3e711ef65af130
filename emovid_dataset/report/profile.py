"""How numbers are spread over clips: distributions, hues, and the profile of a set of clips."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

ALL = "all"
"""Stands for every content type, or for every emotion, in the keys of `Statistics.profiles`."""

BINS = 200
"""Bins of a `Distribution` over its axis."""

HUE_SECTORS = 24
"""Sectors of a hue rose: 15 degrees each, the first one centred on red."""


@dataclass(frozen=True, slots=True)
class Distribution:
    """How one number is spread over clips.

    Attributes:
        count: number of clips.
        minimum: least value.
        lower_quartile: a quarter of the clips lies below it.
        median: half of the clips lies below it.
        upper_quartile: three quarters of the clips lie below it.
        maximum: greatest value.
        mean: arithmetic mean.
        deviation: standard deviation, with n - 1; None of a single value.
        high: end of the axis, which starts at 0.
        bins: clips in each of 200 equal bins over the axis; what lies beyond it is in no bin.
    """

    count: int
    minimum: float
    lower_quartile: float
    median: float
    upper_quartile: float
    maximum: float
    mean: float
    deviation: float | None
    high: float
    bins: tuple[int, ...]

    @classmethod
    def of(cls, values: np.ndarray, high: float) -> Distribution | None:
        """Distribution of values on an axis from 0 to `high`; None of no values.

        >>> Distribution.of(np.array([0.0, 0.5, 1.0, 4.0]), 1.0).median
        0.75
        """
        if not len(values):
            return None
        quartiles = np.percentile(values, [0, 25, 50, 75, 100])
        bins, _ = np.histogram(values, bins=BINS, range=(0, high))
        minimum, lower, median, upper, maximum = (float(value) for value in quartiles)
        return cls(
            count=len(values),
            minimum=minimum,
            lower_quartile=lower,
            median=median,
            upper_quartile=upper,
            maximum=maximum,
            mean=float(np.mean(values)),
            deviation=float(np.std(values, ddof=1)) if len(values) > 1 else None,
            high=high,
            bins=tuple(int(count) for count in bins),
        )

    def summary(self) -> dict[str, float]:
        """The numbers without the bins."""
        values = asdict(self)
        del values["bins"], values["high"]
        return values

    @property
    def beyond(self) -> int:
        """Clips beyond the end of the axis."""
        return self.count - sum(self.bins)


@dataclass(frozen=True, slots=True)
class Hues:
    """How hues are spread over clips. Hues are angles, so there is no median and no plain mean.

    Attributes:
        sectors: clips in each of the `HUE_SECTORS` sectors.
        grey: clips that have no hue.
        mean: circular mean in degrees, 0..360; None without hues or where they cancel out.
        concentration: length of the mean of the hues' unit vectors: 0 all around, 1 all the same.

    Source: N. I. Fisher, "Statistical analysis of circular data", 1993, section 2.3.
    """

    sectors: tuple[int, ...]
    grey: int
    mean: float | None
    concentration: float | None

    @classmethod
    def of(cls, degrees: np.ndarray) -> Hues:
        """Spread of hues in degrees; NaN is a grey clip.

        >>> spread = Hues.of(np.array([350.0, 10.0, np.nan]))
        >>> spread.sectors[0], spread.sectors[1], spread.sectors[23], spread.grey
        (0, 1, 1, 1)
        >>> round(spread.mean) % 360, round(spread.concentration, 2)
        (0, 0.98)
        """
        chromatic = degrees[~np.isnan(degrees)]
        width = 360 / HUE_SECTORS
        indices = ((chromatic + width / 2) // width).astype(np.int64) % HUE_SECTORS
        sectors = tuple(int(n) for n in np.bincount(indices, minlength=HUE_SECTORS))
        grey = len(degrees) - len(chromatic)
        if not len(chromatic):
            return cls(sectors, grey, None, None)
        vector = complex(np.exp(1j * np.radians(chromatic)).mean())
        mean = math.degrees(math.atan2(vector.imag, vector.real)) % 360 if abs(vector) > 1e-9 else None
        return cls(sectors, grey, mean, abs(vector))


@dataclass(frozen=True, slots=True)
class Profile:
    """What the clips of one content type and one emotion (or of all) have in common.

    Attributes:
        clips: number of clips.
        seconds: their length together.
        bytes: their MP4s together.
        audible: clips with sound.
        brightness: 0..1; None in a build of format 1.
        colorfulness: 0..1; None in a build of format 1.
        hue: see `Hues`; None in a build of format 1.
        luma: 0..1.
        colorfulness_m3: 0 to about 1.5.
        hue_chroma: see `Hues`.
        duration: seconds a clip.
        size: bytes a clip.
        fps: frames per second.
    """

    clips: int
    seconds: float
    bytes: int
    audible: int
    brightness: Distribution | None
    colorfulness: Distribution | None
    hue: Hues | None
    luma: Distribution | None
    colorfulness_m3: Distribution | None
    hue_chroma: Hues
    duration: Distribution | None
    size: Distribution | None
    fps: Distribution | None

    def summary(self) -> dict[str, Any]:
        """The numbers without the bins, as JSON holds them."""
        distributions = {
            name: None if value is None else value.summary()
            for name, value in (
                ("brightness", self.brightness),
                ("colorfulness", self.colorfulness),
                ("luma", self.luma),
                ("colorfulness_m3", self.colorfulness_m3),
                ("duration", self.duration),
                ("size", self.size),
                ("fps", self.fps),
            )
        }
        totals = {
            "clips": self.clips,
            "seconds": self.seconds,
            "bytes": self.bytes,
            "audible": self.audible,
        }
        hue = None if self.hue is None else asdict(self.hue)
        return {**totals, **distributions, "hue": hue, "hue_chroma": asdict(self.hue_chroma)}

    @property
    def lightness(self) -> Distribution | None:
        """Brightness, or luma where the build is of format 1."""
        return self.luma if self.hue is None else self.brightness

    @property
    def colour(self) -> Distribution | None:
        """Colorfulness, or M3 where the build is of format 1."""
        return self.colorfulness_m3 if self.hue is None else self.colorfulness

    @property
    def hues(self) -> Hues:
        """Hue, or hue by chroma where the build is of format 1."""
        return self.hue_chroma if self.hue is None else self.hue

    @classmethod
    def of(cls, numbers: Mapping[str, np.ndarray], highs: Mapping[str, float]) -> Profile:
        """The profile of clips.

        Args:
            numbers: by name one number per clip: of every field of a profile, and `has_audio`.
            highs: by name the end of the axis of its distribution.
        """
        spread: dict[str, Distribution | None] = {"brightness": None, "colorfulness": None}
        spread |= {name: Distribution.of(numbers[name], high) for name, high in highs.items()}
        return cls(
            clips=len(numbers["duration"]),
            seconds=float(numbers["duration"].sum()),
            bytes=int(numbers["size"].sum()),
            audible=int(numbers["has_audio"].sum()),
            hue=Hues.of(numbers["hue"]) if "hue" in numbers else None,
            hue_chroma=Hues.of(numbers["hue_chroma"]),
            **spread,
        )


def axis(greatest: float) -> tuple[float, ...]:
    """Round ticks from 0 to the first one that is not below `greatest`, three to six of them.

    >>> axis(7.8), axis(0.5015), axis(0)
    ((0.0, 2.0, 4.0, 6.0, 8.0), (0.0, 0.2, 0.4, 0.6), (0.0, 0.25, 0.5, 0.75, 1.0))
    """
    if greatest <= 0:
        greatest = 1.0
    unit = 10.0 ** math.floor(math.log10(greatest / 4))
    step = next(factor * unit for factor in (1, 2, 2.5, 5, 10) if factor * unit >= greatest / 4 * (1 - 1e-9))
    steps = math.ceil(greatest / step - 1e-9)
    return tuple(round(index * step, 12) for index in range(steps + 1))
