"""Statistics of a build, and the report that shows them: one HTML page that needs nothing but a browser.

::

    metadata/*.parquet --measure--> Statistics --render--> page
    a few clips' bytes --draw_clips, contact_sheets-->  ^

The numbers come from the metadata alone; of the shards only the clips on the contact sheets are read.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import math
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from heapq import nsmallest
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from emovid_dataset.clip import CONTENT_TYPES, SPLITS, Clip
from emovid_dataset.emotions import EMOTIONS, VALENCES
from emovid_dataset.loading import select
from emovid_dataset.location import Location
from emovid_dataset.manifest import REJECTED_NAME, Manifest, metadata_path, write_atomic
from emovid_dataset.terminal import Progress
from emovid_dataset.video import decode

if TYPE_CHECKING:
    import pyarrow

ALL = "all"
"""Stands for every content type, or for every emotion, in the keys of `Statistics.profiles`."""

PALETTE: dict[str, tuple[str, str]] = {
    "amusement": ("#b48e40", "#ffcc9c"),
    "awe": ("#489eac", "#7cecf5"),
    "contentment": ("#117965", "#76a16e"),
    "excitement": ("#de487d", "#cc86a5"),
    "anger": ("#703131", "#d44f0a"),
    "disgust": ("#5e6d01", "#bab900"),
    "fear": ("#5e3a78", "#8864e0"),
    "sadness": ("#5e6ae9", "#7fb0f7"),
}
"""One colour per emotion, on a light and on a dark page."""

HUE_SECTORS = 24
"""Sectors of a hue rose: 15 degrees each, the first one centred on red."""

_BINS = 200
_FEWEST_FOR_RIDGE = 5
_MOST_TICKS = 400
_MOST_SIZES = 6
_MOST_REFUSED = 300
_LONGEST_SIDE = 240
_GAP = 4


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
        bins, _ = np.histogram(values, bins=_BINS, range=(0, high))
        return cls(
            len(values), *map(float, quartiles), float(np.mean(values)), high, tuple(int(n) for n in bins)
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
        drawable: ids of the clips by (content type, emotion).
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
    drawable: dict[tuple[str, str], tuple[str, ...]]

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
            "licenses": [
                {"license": name, "clips": count} for name, count in self.licenses.most_common()
            ],
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
    location = Location.find(source, revision=revision, token=token)
    manifest = location.manifest()
    columns = _Columns.read(location, manifest)
    expected = sum(shard.samples for shard in manifest.shards)
    if columns.clips != expected:
        raise ValueError(
            f"{location.root}: its metadata lists {columns.clips} clips and its manifest {expected}; "
            "`emovid verify` says what is wrong"
        )
    if not expected:
        raise ValueError(f"{location.root} holds no clips, so there is nothing to measure")
    return Statistics(
        name=location.root.rpartition("/")[2].partition("@")[0],
        manifest=manifest,
        counts=columns.counts(),
        profiles=columns.profiles(),
        groups=len(columns.groups),
        emotion_sources=columns.emotion_sources,
        scored=columns.scored,
        captioned=columns.captioned,
        licenses=columns.licenses,
        frame_sizes=columns.frame_sizes,
        refusals=tuple(_refusals(location, manifest)),
        drawable=columns.drawable,
    )


class _Columns:
    """The metadata of all clips, a column an array."""

    _NUMBERS = ("brightness", "colorfulness", "hue", "duration", "size", "fps", "has_audio")
    _WORDS = ("id", "emotion", "emotion_source", "license", "group", "caption", "width", "height")

    def __init__(self) -> None:
        self.clips = 0
        self.groups: set[str] = set()
        self.emotion_sources: Counter[str] = Counter()
        self.scored = 0
        self.captioned = 0
        self.licenses: Counter[str | None] = Counter()
        self.frame_sizes: Counter[tuple[int, int]] = Counter()
        self.drawable: dict[tuple[str, str], tuple[str, ...]] = {}
        self._split: list[tuple[str, str, np.ndarray]] = []
        self._numbers: dict[tuple[str, str], list[dict[str, np.ndarray]]] = {}

    @classmethod
    def read(cls, location: Location, manifest: Manifest) -> _Columns:
        from pyarrow import parquet

        columns = cls()
        wanted = [*cls._NUMBERS, *cls._WORDS, "emotion_scores"]
        for content_type in CONTENT_TYPES:
            for split in manifest.splits(content_type):
                path = metadata_path(content_type, split)
                file = io.BytesIO(location.read(path))
                try:
                    table = parquet.read_table(file, columns=wanted)
                    columns._add(content_type, split, table)
                except (KeyError, ValueError) as error:
                    reason = str(error).partition("\n")[0]
                    raise ValueError(f"{location.url(path)} is no metadata of clips: {reason}") from error
        return columns

    def _add(self, content_type: str, split: str, table: pyarrow.Table) -> None:
        from pyarrow import compute

        self.clips += len(table)
        self.groups.update(compute.unique(table["group"]).to_pylist())
        for name, counter in (("emotion_source", self.emotion_sources), ("license", self.licenses)):
            for entry in compute.value_counts(table[name]).to_pylist():
                counter[entry["values"]] += entry["counts"]
        self.scored += len(table) - table["emotion_scores"].null_count
        self.captioned += compute.sum(compute.not_equal(table["caption"], "")).as_py() or 0
        sizes = zip(table["width"].to_numpy().tolist(), table["height"].to_numpy().tolist(), strict=True)
        self.frame_sizes.update(sizes)
        for emotion in EMOTIONS:
            part = table.filter(compute.equal(table["emotion"], emotion))
            if len(part):
                numbers = {name: part[name].to_numpy().astype(np.float64) for name in self._NUMBERS}
                self._numbers.setdefault((content_type, emotion), []).append(numbers)
                held = self.drawable.get((content_type, emotion), ())
                self.drawable[content_type, emotion] = (*held, *part["id"].to_pylist())
                self._split.append((emotion, split, np.array([CONTENT_TYPES.index(content_type), len(part)])))

    def counts(self) -> Counter[tuple[str, str, str]]:
        counts: Counter[tuple[str, str, str]] = Counter()
        for emotion, split, (content_type, clips) in self._split:
            counts[CONTENT_TYPES[content_type], emotion, split] += int(clips)
        return counts

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
            for key, parts in self._numbers.items()
            if content_type in (ALL, key[0]) and emotion in (ALL, key[1])
            for part in parts
        ]
        return {name: np.concatenate([part[name] for part in parts]) for name in self._NUMBERS} if parts else {}


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


def _refusals(location: Location, manifest: Manifest) -> Iterator[Refusal]:
    try:
        text = location.read(REJECTED_NAME).decode("utf-8", "replace")
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
            raise ValueError(f"{location.url(REJECTED_NAME)}, line {number}, is no refusal: {line}") from error


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


def draw_clips(statistics: Statistics, *, count: int, seed: int) -> dict[str, tuple[str, ...]]:
    """Choose the clips of the contact sheets.

    The content types take turns, so that a rare one is seen too. A clip's place in the draw depends on the
    seed and its id only, so that adding clips to a build changes few of the pictures.

    Args:
        statistics: of the build.
        count: at most this many clips an emotion.
        seed: another seed draws other clips.

    Returns:
        Clip ids by emotion, for the emotions that have clips.
    """
    drawn = {}
    for emotion in EMOTIONS:
        queues = [
            nsmallest(count, statistics.drawable[content_type, emotion], key=lambda key: _draw(seed, key))
            for content_type in CONTENT_TYPES
            if (content_type, emotion) in statistics.drawable
        ]
        turns = [key for turn in zip_longest(*queues) for key in turn if key is not None]
        if turns:
            drawn[emotion] = tuple(turns[:count])
    return drawn


def _draw(seed: int, key: str) -> bytes:
    return hashlib.sha256(f"{seed}:{key}".encode()).digest()


@dataclass(frozen=True, slots=True)
class SheetClip:
    """One clip on a contact sheet.

    Attributes:
        clip: its fields.
        split: "train", "validation" or "test".
        shown: number of frames in the picture.
        picture: a WebP of the frames, in rows, in the order of time; empty when it could not be made.
        width: pixels of the picture.
        height: pixels of the picture.
        problem: why there is no picture, or None.
    """

    clip: Clip
    split: str
    shown: int
    picture: bytes
    width: int
    height: int
    problem: str | None = None

    @property
    def uri(self) -> str:
        """The picture as a data URI."""
        return "data:image/webp;base64," + base64.b64encode(self.picture).decode("ascii")


def contact_sheets(
    source: str | os.PathLike[str],
    drawn: Mapping[str, Sequence[str]],
    *,
    frames: int = 4,
    progress: bool = False,
    revision: str | None = None,
    token: str | bool | None = None,
) -> dict[str, tuple[SheetClip, ...]]:
    """Make a picture of each drawn clip; one video is held at a time.

    Args:
        source: the build, as for `measure`.
        drawn: clip ids by emotion, from `draw_clips`.
        frames: frames a clip, chosen uniformly in time; fewer where the clip has fewer.
        progress: show progress on stderr.
        revision: branch, tag or commit of a Hub repo.
        token: for a private Hub repo.

    Returns:
        `SheetClip` by emotion, in the order drawn. A clip that cannot be read or decoded is among them, with
        its problem in words.
    """
    wanted = {key for keys in drawn.values() for key in keys}
    chosen = select(source, where=lambda clip: clip.id in wanted, revision=revision, token=token)
    made: dict[str, SheetClip] = {}
    with Progress(len(chosen), unit="clips", title="contact sheets", enabled=progress) as bar:
        for index, clip in enumerate(chosen.clips):
            try:
                selected = chosen[index]
                made[clip.id] = _sheet_clip(clip, selected.split, selected.video, frames)
                bar.update(size=len(selected.video))
            except (OSError, ValueError) as error:
                made[clip.id] = SheetClip(clip, "", 0, b"", 0, 0, str(error).partition("\n")[0])
                bar.update()
    return {emotion: tuple(made[key] for key in keys) for emotion, keys in drawn.items()}


def _sheet_clip(clip: Clip, split: str, video: bytes, frames: int) -> SheetClip:
    from PIL import Image

    shown = min(frames, clip.num_frames)
    scale = min(1.0, _LONGEST_SIDE / max(clip.width, clip.height))
    width, height = max(1, round(clip.width * scale)), max(1, round(clip.height * scale))
    pictures = decode(video, frames=shown, size=(height, width))
    across = math.ceil(math.sqrt(shown))
    down = math.ceil(shown / across)
    # Transparent where no frame lies, so that the page's own colour, light or dark, parts the frames.
    sheet = Image.new(
        "RGBA", (across * (width + _GAP) - _GAP, down * (height + _GAP) - _GAP), (0, 0, 0, 0)
    )
    for index, picture in enumerate(pictures):
        row, column = divmod(index, across)
        sheet.paste(Image.fromarray(picture), (column * (width + _GAP), row * (height + _GAP)))
    file = io.BytesIO()
    sheet.save(file, "WEBP", quality=78, method=4)
    return SheetClip(clip, split, shown, file.getvalue(), *sheet.size)


@dataclass(frozen=True, slots=True)
class Report:
    """A written report.

    Attributes:
        statistics: what it shows.
        path: of the page.
        size: bytes of the page.
        unshown: id and problem of each drawn clip that has no picture.
    """

    statistics: Statistics
    path: Path
    size: int
    unshown: tuple[tuple[str, str], ...]


def write_report(
    source: str | os.PathLike[str],
    html: str | os.PathLike[str],
    *,
    seed: int = 0,
    clips: int = 8,
    frames: int = 4,
    progress: bool = False,
    revision: str | None = None,
    token: str | bool | None = None,
) -> Report:
    """Write the report: one page with everything in it, the same to the byte for the same build and seed.

    Args:
        source: a build: its folder, a Hub repo (``owner/name``), or an http(s) address.
        html: file to write.
        seed: draws the clips of the contact sheets.
        clips: clips an emotion on the contact sheets, 0..100.
        frames: frames a clip on the contact sheets, 1..16.
        progress: show progress on stderr.
        revision: branch, tag or commit of a Hub repo.
        token: for a private Hub repo.

    Returns:
        `Report`.

    Raises:
        FileNotFoundError: the source is not a build.
        ValueError: a number is out of range, or the build is unfinished or at odds with itself.
        OSError: the page cannot be written.
    """
    if not 0 <= clips <= 100:
        raise ValueError(f"clips is {clips}; it must be 0..100")
    if not 1 <= frames <= 16:
        raise ValueError(f"frames is {frames}; it must be 1..16")
    path = Path(html)
    if path.is_dir():
        raise ValueError(f"html is {str(path)!r}, a folder; it must name a file")
    statistics = measure(source, revision=revision, token=token)
    drawn = draw_clips(statistics, count=clips, seed=seed)
    sheets = contact_sheets(
        source, drawn, frames=frames, progress=progress, revision=revision, token=token
    )
    page = render_report(statistics, sheets, seed=seed).encode("utf-8", "replace")
    write_atomic(path, page)
    unshown = [
        (item.clip.id, item.problem) for sheet in sheets.values() for item in sheet if item.problem is not None
    ]
    return Report(statistics, path, len(page), tuple(unshown))


def render_report(statistics: Statistics, sheets: Mapping[str, Sequence[SheetClip]], *, seed: int) -> str:
    """Write the page's HTML.

    Words that come from the label sheet or from file names are escaped; beyond that the page allows no
    script and loads nothing.

    Args:
        statistics: from `measure`.
        sheets: from `contact_sheets`; may be empty.
        seed: named on the page.

    Returns:
        The page.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("emovid_dataset"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        number=_number, quantity=_quantity, length=_length, size=_size, percent=_percent, caption=_printable
    )
    held = statistics.content_types
    scopes = (ALL, *held) if len(held) > 1 else held
    profiles = statistics.profiles

    def clips_of(emotion: str, content_type: str = ALL) -> int:
        profile = profiles.get((content_type, emotion))
        return 0 if profile is None else profile.clips

    def spreads(content_type: str, name: str) -> list[tuple[str, Distribution | None, str]]:
        """Rows of a ridge plot: an emotion, its distribution, its colour."""
        keys = ((emotion, profiles.get((content_type, emotion))) for emotion in EMOTIONS)
        return [(emotion, profile and getattr(profile, name), emotion) for emotion, profile in keys]

    def type_spreads(name: str) -> list[tuple[str, Distribution | None, str]]:
        return [(content_type, getattr(profiles[content_type, ALL], name), "neutral") for content_type in held]

    return environment.get_template("report.html.j2").render(
        ALL=ALL,
        EMOTIONS=EMOTIONS,
        SPLITS=SPLITS,
        VALENCES=VALENCES,
        palette=PALETTE,
        statistics=statistics,
        manifest=statistics.manifest,
        profiles=profiles,
        total=statistics.total,
        scopes=scopes,
        missing=[name for name in CONTENT_TYPES if name not in held],
        tables=[(scope, _count_rows(statistics, scope)) for scope in scopes],
        most_common=max(clips_of(emotion) for emotion in EMOTIONS),
        mixtures=list(_mixtures(statistics)),
        frame_sizes=_frame_sizes(statistics.frame_sizes),
        licenses=sorted(statistics.licenses.items(), key=lambda item: (-item[1], item[0] or "")),
        refusals=statistics.refusals[:_MOST_REFUSED],
        sheets=sheets,
        seed=seed,
        sectors=HUE_SECTORS,
        clips_of=clips_of,
        spreads=spreads,
        type_spreads=type_spreads,
        ridge=ridge,
        ticks=ticks,
        rose=rose,
        axis=axis,
    )


def _count_rows(statistics: Statistics, content_type: str) -> list[tuple[str, tuple[int, ...]]]:
    def cell(emotion: str, split: str) -> int:
        return sum(
            clips
            for (its_type, its_emotion, its_split), clips in statistics.counts.items()
            if content_type in (ALL, its_type) and emotion in (ALL, its_emotion) and split == its_split
        )

    rows = [(emotion, tuple(cell(emotion, split) for split in SPLITS)) for emotion in (*EMOTIONS, ALL)]
    return [(emotion, (*cells, sum(cells))) for emotion, cells in rows]


def _mixtures(statistics: Statistics) -> Iterator[tuple[str, str, int, list[tuple[str, int]]]]:
    """Of every content type and split that has clips: their number, and the number of each emotion."""
    for content_type in statistics.content_types:
        for split in SPLITS:
            parts = [(emotion, statistics.counts[content_type, emotion, split]) for emotion in EMOTIONS]
            clips = sum(count for _, count in parts)
            if clips:
                yield content_type, split, clips, [part for part in parts if part[1]]


def _frame_sizes(sizes: Counter[tuple[int, int]]) -> list[tuple[str, int]]:
    ordered = sorted(sizes.items(), key=lambda item: (-item[1], item[0]))
    rows = [(f"{width} × {height}", count) for (width, height), count in ordered[:_MOST_SIZES]]
    rest = ordered[_MOST_SIZES:]
    return [*rows, (f"{len(rest)} others", sum(count for _, count in rest))] if rest else rows


def ridge(distribution: Distribution, *, height: float = 100.0) -> str:
    """Outline of a distribution as an SVG path, `_BINS` wide, its peak at `height`, its foot at 0 (below).

    Args:
        distribution: what to draw.
        height: of the peak, in SVG units.

    Returns:
        The path's data; empty for fewer than five clips, which are too few for a shape.

    Source: Gaussian kernel density with the bandwidth of B. W. Silverman, "Density estimation", 1986,
    equation 3.31, reflected at the ends of the axis; here on 200 bins.
    """
    counts = np.array(distribution.bins, np.float64)
    inside = int(counts.sum())
    if inside < _FEWEST_FOR_RIDGE:
        return ""
    places = np.arange(_BINS) + 0.5
    mean = np.average(places, weights=counts)
    deviation = math.sqrt(np.average((places - mean) ** 2, weights=counts))
    spread = (distribution.upper_quartile - distribution.lower_quartile) / distribution.high * _BINS / 1.34
    bandwidth = max(1.5, 0.9 * min(filter(None, (deviation, spread)), default=0.0) * inside**-0.2)
    reach = math.ceil(4 * bandwidth)
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / bandwidth) ** 2)
    padded = np.pad(counts, reach, mode="symmetric")
    density = np.convolve(padded, kernel, mode="valid")
    density = density / density.max()
    step = 2
    points = " ".join(
        f"{place:.0f} {height * (1 - value):.1f}"
        for place, value in zip(np.arange(0, _BINS + step, step), [*density[::step], density[-1]], strict=True)
    )
    return f"M0 {height:.0f}L{points}L{_BINS} {height:.0f}Z"


def ticks(distribution: Distribution) -> str:
    """One short line per occupied bin as an SVG path below the ridge; empty where they would run together."""
    if distribution.count > _MOST_TICKS:
        return ""
    return "".join(f"M{index + 0.5:g} 108v14" for index, count in enumerate(distribution.bins) if count)


def rose(hues: Hues) -> list[tuple[str, float, int]]:
    """Sectors of a hue rose as SVG paths around 0 0, red at the top, clockwise.

    Args:
        hues: what to draw.

    Returns:
        Path data, hue of the middle in degrees, and clips, of every sector that has any. Areas are in
        proportion to clips; the fullest sector reaches radius 100.
    """
    most = max(hues.sectors)
    width = 360 / len(hues.sectors)
    drawn = []
    for index, count in enumerate(hues.sectors):
        if count:
            radius = 100 * math.sqrt(count / most)
            ends = [math.radians((index + side) * width) for side in (-0.47, 0.47)]
            (x0, y0), (x1, y1) = ((radius * math.sin(end), -radius * math.cos(end)) for end in ends)
            path = f"M0 0L{x0:.2f} {y0:.2f}A{radius:.2f} {radius:.2f} 0 0 1 {x1:.2f} {y1:.2f}Z"
            drawn.append((path, index * width, count))
    return drawn


def _number(value: int) -> str:
    return f"{value:,}"


def _quantity(value: float, digits: int = 2) -> str:
    return f"{value:,.{digits}f}"


def _percent(part: float, whole: float) -> str:
    """A share in per cent; what is not quite none or all never looks as if it were."""
    if not whole or part in (0, whole):
        return "100 %" if whole and part else "0 %"
    share = 100 * part / whole
    if share < 1:
        return "< 1 %"
    return "> 99 %" if share > 99 else f"{share:.0f} %"


def _length(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.1f}".removesuffix(".0") + " s"
    if seconds < 7200:
        return f"{seconds / 60:.1f} min"
    return f"{seconds / 3600:,.1f} h"


def _size(size: float) -> str:
    for unit, factor in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= factor:
            return f"{size / factor:,.1f}".removesuffix(".0") + f" {unit}"
    return f"{size:.0f} B"


def _printable(text: str) -> str:
    """Text without control characters, which HTML forbids and which could hide what stands there."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)


def table_rows(statistics: Statistics) -> Iterable[list[object]]:
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
