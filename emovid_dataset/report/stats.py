"""Statistics of a build, from its metadata alone: counts, distributions, hues, sound, refusals."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from emovid_dataset.engine import Executor, Part, Record, Stage, executor, records, run_stage
from emovid_dataset.read.manifest import read_manifest
from emovid_dataset.read.metadata import row_groups
from emovid_dataset.report.ambiguity import Ambiguity, ambiguity_json, ambiguity_rows, vote_entropies
from emovid_dataset.report.problems import Problem, read_problems, to_json
from emovid_dataset.report.profile import ALL, Profile, axis
from emovid_dataset.schema.features import FORMAT_1_NAMES
from emovid_dataset.schema.manifest import NONE_NAME, REJECTED_NAME, Manifest
from emovid_dataset.schema.no_emotion import NoEmotion
from emovid_dataset.schema.taxonomy import Taxonomy
from emovid_dataset.store import Store

if TYPE_CHECKING:
    import pyarrow
    from pyarrow.dataset import ParquetFileFragment

_OLD_NUMBERS = ("luma", "colorfulness_m3", "hue_chroma", "duration", "size", "fps", "has_audio")
_NUMBERS = ("brightness", "colorfulness", "hue", *_OLD_NUMBERS)
_WORDS = ("id", "emotion", "emotion_source", "emotion_scores", "license", "group", "caption")
_SIDES = ("width", "height")
_RATERS = ("raters", "agreement")
_VOTES = "votes"


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
        labels: clips by (content type, who gave the label, how many people labelled the clip, how many of
            them chose its emotion); None where the label sheet does not say.
        scored: clips that have the eight probabilities.
        captioned: clips that have a caption.
        licenses: clips by licence; None is a clip without one.
        frame_sizes: clips by (width, height).
        refusals: what was refused, in the order of the label sheet; empty where a published build does not
            list it, see `Manifest.rejected`.
        without_emotion: rows that say "no specific emotion", in the order of the label sheet; empty where the
            build's list of them is not at hand, as on the Hub. `Manifest.none_clips` counts them.
        ids: of the clips by (content type, emotion).
        problems: that the build lists, see `report.problems`; empty where it lists none, as on the Hub.
        ambiguity: by emotion, and then of `ALL`, how far the people who rated its clips were divided; empty
            where no clip has the votes of several.
    """

    name: str
    manifest: Manifest
    counts: Counter[tuple[str, str, str]]
    profiles: dict[tuple[str, str], Profile]
    groups: int
    emotion_sources: Counter[str]
    labels: Counter[tuple[str, str, int | None, int | None]]
    scored: int
    captioned: int
    licenses: Counter[str | None]
    frame_sizes: Counter[tuple[int, int]]
    refusals: tuple[Refusal, ...]
    without_emotion: tuple[NoEmotion, ...]
    ids: dict[tuple[str, str], tuple[str, ...]]
    problems: tuple[Problem, ...] = ()
    ambiguity: dict[str, Ambiguity] = field(default_factory=dict)

    @property
    def content_types(self) -> tuple[str, ...]:
        """The content types that have clips."""
        return tuple(name for name in self.manifest.content_types if (name, ALL) in self.profiles)

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
            "none_clips": self.manifest.none_clips,
            "without_emotion": [asdict(row) for row in self.without_emotion],
            "benchmark": None if self.manifest.benchmark is None else self.manifest.benchmark.to_json(),
            "problems": to_json(self.problems),
            "ambiguity": ambiguity_json(self.ambiguity),
        }


def measure(
    source: str | os.PathLike[str],
    *,
    revision: str | None = None,
    token: str | bool | None = None,
    engine: str | Executor = "serial",
    workers: int | None = None,
    progress: bool = False,
) -> Statistics:
    """Compute the statistics of a build from its metadata; no shard is read.

    Args:
        source: a build: its folder, a Hub repo (``owner/name``), or an http(s) address.
        revision: branch, tag or commit of a Hub repo.
        token: for a private Hub repo.
        engine: "serial" (all in this process), "processes", "ray", or an `Executor`.
        workers: processes, None for one per core.
        progress: show progress on stderr.

    Returns:
        `Statistics`.

    Raises:
        FileNotFoundError: the source is not a build, or a file of its metadata is missing.
        ValueError: the build is unfinished, or its metadata and its manifest disagree.
    """
    runner = executor(engine, workers) if isinstance(engine, str) else engine
    store = Store.find(source, revision=revision, token=token)
    manifest = read_manifest(store)
    columns = _Columns()
    with tempfile.TemporaryDirectory(prefix="emovid-stats-") as scratch:
        stage, ledger = StatsStage(store, manifest), Store.at(scratch)
        total = sum(part.rows for part in stage.parts(ledger))
        run_stage(stage, ledger, executor=runner, progress=progress, total=total)
        for record in records(stage, ledger):
            columns.add(record)
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
        profiles=columns.profiles(manifest),
        groups=len(columns.groups),
        emotion_sources=columns.emotion_sources,
        labels=columns.labels,
        scored=columns.scored,
        captioned=columns.captioned,
        licenses=columns.licenses,
        frame_sizes=columns.frame_sizes,
        refusals=tuple(_refusals(store, manifest)),
        without_emotion=tuple(_without_emotion(store, manifest)),
        ids={key: tuple(ids) for key, ids in columns.ids.items()},
        problems=read_problems(store),
        ambiguity=ambiguity_rows(columns.entropies, manifest.taxonomy.names),
    )


@dataclass(frozen=True, slots=True)
class TablePart(Part):
    """A metadata table to be read."""

    table: str = ""
    content_type: str = ""
    split: str = ""


class StatsStage(Stage[TablePart, None]):
    """Reads every metadata table and counts what is in it, a record per row group.

    Args:
        build: what is measured.
        manifest: of the build.
    """

    name, unit, ledger = "stats", "clips", "tables"
    leaves_only_records = True

    def __init__(self, build: Store, manifest: Manifest) -> None:
        self.build, self.manifest = build, manifest

    def parts(self, store: Store) -> Iterator[TablePart]:
        """The tables, in the order of content types and splits."""
        for name, shards in self.manifest.tables().items():
            rows = sum(shard.samples for shard in shards)
            first = shards[0]
            yield TablePart(name.replace("/", "-"), rows, 0.0, name, first.content_type, first.split)

    def run(self, state: None, part: TablePart, store: Store) -> Iterator[Record]:
        """Count one."""
        name = part.table
        try:
            with row_groups(self.build, name) as groups:
                for group in groups:
                    counted = self._counted(group)
                    yield {"content_type": part.content_type, "split": part.split, **counted}
        except (KeyError, ValueError) as error:
            reason = str(error).partition("\n")[0]
            yield {"error": f"{self.build.shown(name)} is not metadata of clips: {reason}"}
        except FileNotFoundError:
            raise
        except OSError as error:
            raise OSError(f"{self.build.shown(name)} cannot be read: {error}") from error

    def _counted(self, group: ParquetFileFragment) -> dict[str, Any]:
        """What the parent needs to know of a row group, under today's names."""
        numbers = _numbers_of(self.manifest)
        stored = {new: old for old, new in FORMAT_1_NAMES.items()} if self.manifest.format == 1 else {}
        names = [
            *numbers,
            *_WORDS,
            *_SIDES,
            *(name for name in (*_RATERS, _VOTES) if name in self.manifest.features),
        ]
        table = group.to_table(columns=[stored.get(name, name) for name in names])
        return _counted(table.rename_columns(names), self.manifest.taxonomy, numbers)


def _numbers_of(manifest: Manifest) -> tuple[str, ...]:
    """What is measured of every clip; builds of format 1 lack the paper's attributes."""
    return _OLD_NUMBERS if manifest.format == 1 else _NUMBERS


def _counted(table: pyarrow.Table, taxonomy: Taxonomy, names: Sequence[str]) -> dict[str, Any]:
    """What the parent needs to know of a table; long columns as bytes of float64, in base 64."""
    from pyarrow import compute

    sides = (table[name].to_numpy().tolist() for name in _SIDES)
    emotions = {}
    for emotion in taxonomy.names:
        some = table.filter(compute.equal(table["emotion"], emotion))
        if len(some):
            numbers = {name: _packed(some[name].to_numpy()) for name in names}
            emotions[emotion] = {"ids": some["id"].to_pylist(), "numbers": numbers}
    return {
        "emotions": emotions,
        "groups": sorted({_short(group) for group in compute.unique(table["group"]).to_pylist()}),
        "emotion_sources": _value_counts(table["emotion_source"]),
        "labels": [[*kind, count] for kind, count in _labels(table).items()],
        "entropies": {} if _VOTES not in table.column_names else vote_entropies(table),
        "licenses": _value_counts(table["license"]),
        "frame_sizes": [[*size, count] for size, count in Counter(zip(*sides, strict=True)).items()],
        "scored": len(table) - table["emotion_scores"].null_count,
        "captioned": compute.sum(compute.not_equal(table["caption"], "")).as_py() or 0,
    }


def _labels(table: pyarrow.Table) -> Counter[tuple[str, int | None, int | None]]:
    """Clips by who gave the label, how many people labelled them, and how many of those agreed."""
    sources = table["emotion_source"].to_pylist()
    if not set(_RATERS) <= set(table.column_names):
        return Counter((source, None, None) for source in sources)
    raters, shares = (table[name].to_pylist() for name in _RATERS)
    return Counter(
        (source, count, None if count is None or share is None else round(count * share))
        for source, count, share in zip(sources, raters, shares, strict=True)
    )


def _packed(values: np.ndarray) -> str:
    return base64.b64encode(values.astype("<f8").tobytes()).decode("ascii")


def _unpacked(text: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), dtype="<f8")


def _short(group: str) -> int:
    """48 bits that stand for a group's name."""
    return int.from_bytes(hashlib.sha256(group.encode()).digest()[:6], "big")


def _value_counts(column: pyarrow.ChunkedArray) -> list[list[Any]]:
    return [[entry["values"], entry["counts"]] for entry in column.value_counts().to_pylist()]


class _Columns:
    """The metadata of all clips: numbers as arrays by (content type, emotion), words as counts."""

    def __init__(self) -> None:
        self.counts: Counter[tuple[str, str, str]] = Counter()
        self.groups: set[int] = set()
        self.emotion_sources: Counter[str] = Counter()
        self.labels: Counter[tuple[str, str, int | None, int | None]] = Counter()
        self.entropies: dict[str, tuple[int, int, float]] = {}
        self.scored = 0
        self.captioned = 0
        self.licenses: Counter[str | None] = Counter()
        self.frame_sizes: Counter[tuple[int, int]] = Counter()
        self.ids: dict[tuple[str, str], list[str]] = defaultdict(list)
        self._parts: dict[tuple[str, str], list[dict[str, np.ndarray]]] = defaultdict(list)

    def add(self, record: Record) -> None:
        """Add a table's record.

        Raises:
            ValueError: the table is not metadata of clips.
        """
        if "error" in record:
            raise ValueError(record["error"])
        content_type, split = record["content_type"], record["split"]
        for emotion, found in record["emotions"].items():
            self.counts[content_type, emotion, split] += len(found["ids"])
            self.ids[content_type, emotion].extend(found["ids"])
            numbers = {name: _unpacked(text) for name, text in found["numbers"].items()}
            self._parts[content_type, emotion].append(numbers)
        self.groups.update(record["groups"])
        self.scored += record["scored"]
        self.captioned += record["captioned"]
        self.emotion_sources.update(dict(record["emotion_sources"]))
        for *kind, count in record["labels"]:
            self.labels[content_type, kind[0], kind[1], kind[2]] += count
        for emotion, sums in record["entropies"].items():
            before = self.entropies.get(emotion, (0, 0, 0.0))
            self.entropies[emotion] = (before[0] + sums[0], before[1] + sums[1], before[2] + sums[2])
        self.licenses.update(dict(record["licenses"]))
        self.frame_sizes.update({(width, height): count for width, height, count in record["frame_sizes"]})

    def profiles(self, manifest: Manifest) -> dict[tuple[str, str], Profile]:
        """By (content type or `ALL`, emotion or `ALL`)."""
        everything = self._joined(ALL, ALL)
        paper = {} if manifest.format == 1 else {"brightness": 1.0, "colorfulness": 1.0}
        highs = {
            **paper,
            "luma": 1.0,
            "colorfulness_m3": axis(float(everything["colorfulness_m3"].max()))[-1],
            "duration": axis(_end_of_axis(everything["duration"]))[-1],
            "size": axis(_end_of_axis(everything["size"]))[-1],
            "fps": axis(float(everything["fps"].max()))[-1],
        }
        profiles = {(ALL, ALL): Profile.of(everything, highs)}
        del everything  # as large as all that is joined below
        for content_type in (ALL, *manifest.content_types):
            for emotion in (ALL, *manifest.taxonomy.names):
                if (content_type, emotion) == (ALL, ALL):
                    continue
                numbers = self._joined(content_type, emotion)
                if numbers:
                    profiles[content_type, emotion] = Profile.of(numbers, highs)
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
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _refusals(store: Store, manifest: Manifest) -> Iterator[Refusal]:
    # A published build has no such list: it names files of whoever built it.
    if not manifest.rejected or not store.exists(REJECTED_NAME):
        return
    text = store.read(REJECTED_NAME).decode("utf-8", "replace")
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            yield Refusal(row.get("row"), str(row["path"]), str(row["reason"]))
        except (ValueError, KeyError, AttributeError) as error:
            raise ValueError(
                f"{store.shown(REJECTED_NAME)}, line {number}, is not a refusal: {line}"
            ) from error


def _without_emotion(store: Store, manifest: Manifest) -> Iterator[NoEmotion]:
    if not manifest.none_clips or not store.exists(NONE_NAME):
        return
    for number, line in enumerate(store.read(NONE_NAME).decode("utf-8", "replace").splitlines(), 1):
        try:
            yield NoEmotion(**json.loads(line))
        except (ValueError, TypeError) as error:
            raise ValueError(
                f"{store.shown(NONE_NAME)}, line {number}, is not a row without an emotion: {line}"
            ) from error


def table_rows(statistics: Statistics) -> Iterator[list[object]]:
    """Rows of the closing table: content type, emotion, clips, seconds, and medians."""
    for (content_type, emotion), profile in statistics.profiles.items():
        if content_type != ALL or len(statistics.content_types) > 1:
            middles = (profile.lightness, profile.colour, profile.duration)
            yield [
                content_type,
                emotion,
                profile.clips,
                *(None if middle is None else round(middle.median, 3) for middle in middles),
                None if profile.hues.mean is None else round(profile.hues.mean),
                profile.audible,
            ]


def _end_of_axis(values: np.ndarray) -> float:
    """Where an axis may end: the longest and the largest clip would squeeze all others into a corner.

    Of many clips a hundredth may lie beyond it.

    Source: the outer fence of J. W. Tukey, "Exploratory Data Analysis", 1977; where the quartiles are equal,
    three times their value.
    """
    low, high, most = (float(value) for value in np.percentile(values, [25, 75, 99]))
    return min(most, high + 3 * (high - low) if high > low else 3 * high)
