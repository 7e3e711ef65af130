"""Statistics of a build, from its metadata alone: counts, distributions, hues, sound, refusals."""

from __future__ import annotations

import io
import json
import math
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from emovid_dataset.read.manifest import read_manifest
from emovid_dataset.schema.clip import CONTENT_TYPES
from emovid_dataset.schema.emotions import EMOTIONS
from emovid_dataset.schema.manifest import REJECTED_NAME, Manifest, metadata_path
from emovid_dataset.store import Store

if TYPE_CHECKING:
    import pyarrow

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
        brightness: 0..1.
        colorfulness: 0 to about 1.5.
        hue: see `Hues`.
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
    hue: Hues
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
        return {**totals, **distributions, "hue": asdict(self.hue)}


@dataclass(frozen=True, slots=True)
class Refusal:
    """One line of `rejected.jsonl`: the row of the label sheet, its path, and why it was refused."""

    row: int | None
    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class Statistics:
    """Everything that the report shows but the pictures.

    Attributes:
        name: of the build: its folder or repo.
        manifest: of the build.
        counts: clips by (content type, emotion, split).
        profiles: by (content type or `ALL`, emotion or `ALL`); only those that have clips.
        groups: number of groups.
        emotion_sources: clips by who gave the label, as the label sheet says.
        scored: clips that have the eight probabilities.
        captioned: clips that have a caption.
        licenses: clips by licence; None is a clip without one.
        frame_sizes: clips by (width, height).
        refusals: what was refused, in the order of the label sheet.
        ids: of the clips by (content type, emotion).
    """

    name: str
    manifest: Manifest
    counts: Counter[tuple[str, str, str]]
    profiles: dict[tuple[str, str], Profile]
    groups: int
    emotion_sources: Counter[str]
    scored: int
    captioned: int
    licenses: Counter[str | None]
    frame_sizes: Counter[tuple[int, int]]
    refusals: tuple[Refusal, ...]
    ids: dict[tuple[str, str], tuple[str, ...]]

    @property
    def content_types(self) -> tuple[str, ...]:
        """The content types that have clips."""
        return tuple(name for name in CONTENT_TYPES if (name, ALL) in self.profiles)

    @property
    def total(self) -> Profile:
        """The profile of all clips."""
        return self.profiles[ALL, ALL]

    def to_json(self) -> dict[str, Any]:
        """The numbers as JSON holds them: no bins and no ids."""
        return {
            "name": self.name,
            "clips": self.total.clips,
            "shards": len(self.manifest.shards),
            "groups": self.groups,
            "emotion_sources": dict(self.emotion_sources),
            "scored": self.scored,
            "captioned": self.captioned,
            "licenses": [{"license": name, "clips": count} for name, count in self.licenses.most_common()],
            "frame_sizes": [
                {"width": width, "height": height, "clips": count}
                for (width, height), count in self.frame_sizes.most_common()
            ],
            "counts": [
                {"content_type": content_type, "emotion": emotion, "split": split, "clips": count}
                for (content_type, emotion, split), count in sorted(self.counts.items())
            ],
            "profiles": [
                {"content_type": content_type, "emotion": emotion, **profile.summary()}
                for (content_type, emotion), profile in self.profiles.items()
            ],
            "rejected": [asdict(refusal) for refusal in self.refusals],
        }


def measure(
    source: str | os.PathLike[str], *, revision: str | None = None, token: str | bool | None = None
) -> Statistics:
    """Compute the statistics of a build from its metadata; no shard is read.

    Args:
        source: a build: its folder, a Hub repo (``owner/name``), or an http(s) address.
        revision: branch, tag or commit of a Hub repo.
        token: for a private Hub repo.

    Returns:
        `Statistics`.

    Raises:
        FileNotFoundError: the source is not a build, or a file of its metadata is missing.
        ValueError: the build is unfinished, or its metadata and its manifest disagree.
    """
    store = Store.find(source, revision=revision, token=token)
    manifest = read_manifest(store)
    columns = _Columns.read(store, manifest)
    listed = columns.counts.total()
    expected = sum(shard.samples for shard in manifest.shards)
    if listed != expected:
        raise ValueError(
            f"{store.name}: its metadata lists {listed} clips and its manifest {expected}; "
            "`emovid verify` says what is wrong"
        )
    if not expected:
        raise ValueError(f"{store.name} holds no clips, so there is nothing to measure")
    return Statistics(
        name=store.name.rpartition("/")[2].partition("@")[0],
        manifest=manifest,
        counts=columns.counts,
        profiles=columns.profiles(),
        groups=len(columns.groups),
        emotion_sources=columns.emotion_sources,
        scored=columns.scored,
        captioned=columns.captioned,
        licenses=columns.licenses,
        frame_sizes=columns.frame_sizes,
        refusals=tuple(_refusals(store, manifest)),
        ids=columns.ids,
    )


class _Columns:
    """The metadata of all clips: numbers as arrays by (content type, emotion), words as counts."""

    _NUMBERS = ("brightness", "colorfulness", "hue", "duration", "size", "fps", "has_audio")
    _WORDS = ("id", "emotion", "emotion_source", "emotion_scores", "license", "group", "caption")

    def __init__(self) -> None:
        self.counts: Counter[tuple[str, str, str]] = Counter()
        self.groups: set[str] = set()
        self.emotion_sources: Counter[str] = Counter()
        self.scored = 0
        self.captioned = 0
        self.licenses: Counter[str | None] = Counter()
        self.frame_sizes: Counter[tuple[int, int]] = Counter()
        self.ids: dict[tuple[str, str], tuple[str, ...]] = {}
        self._parts: dict[tuple[str, str], list[dict[str, np.ndarray]]] = {}

    @classmethod
    def read(cls, store: Store, manifest: Manifest) -> _Columns:
        from pyarrow import parquet

        columns = cls()
        wanted = [*cls._NUMBERS, *cls._WORDS, "width", "height"]
        for content_type in CONTENT_TYPES:
            for split in manifest.splits(content_type):
                path = metadata_path(content_type, split)
                data = store.read(path)
                try:
                    columns._add(content_type, split, parquet.read_table(io.BytesIO(data), columns=wanted))
                except (KeyError, ValueError) as error:
                    reason = str(error).partition("\n")[0]
                    raise ValueError(f"{store.shown(path)} is no metadata of clips: {reason}") from error
        return columns

    def _add(self, content_type: str, split: str, table: pyarrow.Table) -> None:
        from pyarrow import compute

        self.groups.update(compute.unique(table["group"]).to_pylist())
        self.emotion_sources.update(_value_counts(table["emotion_source"]))
        self.licenses.update(_value_counts(table["license"]))
        self.scored += len(table) - table["emotion_scores"].null_count
        self.captioned += compute.sum(compute.not_equal(table["caption"], "")).as_py() or 0
        sides = (table[name].to_numpy().tolist() for name in ("width", "height"))
        self.frame_sizes.update(zip(*sides, strict=True))
        for emotion in EMOTIONS:
            part = table.filter(compute.equal(table["emotion"], emotion))
            if len(part):
                key = content_type, emotion
                self.counts[content_type, emotion, split] += len(part)
                self.ids[key] = (*self.ids.get(key, ()), *part["id"].to_pylist())
                numbers = {name: part[name].to_numpy().astype(np.float64) for name in self._NUMBERS}
                self._parts.setdefault(key, []).append(numbers)

    def profiles(self) -> dict[tuple[str, str], Profile]:
        everything = self._joined(ALL, ALL)
        highs = {
            "brightness": 1.0,
            "colorfulness": axis(float(everything["colorfulness"].max()))[-1],
            # The longest and the largest one would squeeze all others into a corner.
            "duration": axis(float(np.percentile(everything["duration"], 99)))[-1],
            "size": axis(float(np.percentile(everything["size"], 99)))[-1],
            "fps": axis(float(everything["fps"].max()))[-1],
        }
        profiles = {}
        for content_type in (ALL, *CONTENT_TYPES):
            for emotion in (ALL, *EMOTIONS):
                numbers = self._joined(content_type, emotion)
                if numbers:
                    profiles[content_type, emotion] = _profile(numbers, highs)
        return profiles

    def _joined(self, content_type: str, emotion: str) -> dict[str, np.ndarray]:
        parts = [
            part
            for key, parts in self._parts.items()
            if content_type in (ALL, key[0]) and emotion in (ALL, key[1])
            for part in parts
        ]
        if not parts:
            return {}
        return {name: np.concatenate([part[name] for part in parts]) for name in self._NUMBERS}


def _value_counts(column: pyarrow.ChunkedArray) -> dict[Any, int]:
    return {entry["values"]: entry["counts"] for entry in column.value_counts().to_pylist()}


def _profile(numbers: Mapping[str, np.ndarray], highs: Mapping[str, float]) -> Profile:
    spread = {name: Distribution.of(numbers[name], high) for name, high in highs.items()}
    return Profile(
        clips=len(numbers["duration"]),
        seconds=float(numbers["duration"].sum()),
        bytes=int(numbers["size"].sum()),
        audible=int(numbers["has_audio"].sum()),
        hue=Hues.of(numbers["hue"]),
        **spread,
    )


def _refusals(store: Store, manifest: Manifest) -> Iterator[Refusal]:
    try:
        text = store.read(REJECTED_NAME).decode("utf-8", "replace")
    except FileNotFoundError:
        if manifest.rejected:
            raise
        return
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            yield Refusal(row.get("row"), str(row["path"]), str(row["reason"]))
        except (ValueError, KeyError, AttributeError) as error:
            raise ValueError(f"{store.shown(REJECTED_NAME)}, line {number}, is no refusal: {line}") from error


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


def table_rows(statistics: Statistics) -> Iterator[list[object]]:
    """Rows of the closing table: content type, emotion, clips, seconds, and medians."""
    for (content_type, emotion), profile in statistics.profiles.items():
        if content_type != ALL or len(statistics.content_types) > 1:
            middles = (profile.brightness, profile.colorfulness, profile.duration)
            yield [
                content_type,
                emotion,
                profile.clips,
                *(None if middle is None else round(middle.median, 3) for middle in middles),
                None if profile.hue.mean is None else round(profile.hue.mean),
                profile.audible,
            ]
