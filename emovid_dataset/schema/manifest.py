"""`Manifest`: what a build holds, and the names of its files.

A build is done when `complete` is true; before that, its shards are in the ledger.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from emovid_dataset.schema.benchmark import Benchmark
from emovid_dataset.schema.card_info import CardInfo
from emovid_dataset.schema.clip import CONTENT_TYPES, NAME_PATTERN, SPLITS, Clip
from emovid_dataset.schema.emotions import MIKELS
from emovid_dataset.schema.features import FEATURES, FORMAT_1_FEATURES, FeatureType, check_features
from emovid_dataset.schema.file_names import DATA_FOLDER, is_shard_path, table_path
from emovid_dataset.schema.no_emotion import NONE
from emovid_dataset.schema.taxonomy import Taxonomy

MANIFEST_NAME = "manifest.json"
INFO_NAME = "_info.json"
CARD_NAME = "README.md"
REJECTED_NAME = "rejected.jsonl"
NONE_NAME = "none.jsonl"
LEFT_OUT_NAME = "left_out.jsonl"
DAMAGED_NAME = "damaged.jsonl"
REMOVED_NAME = "removed.jsonl"
PROBLEMS_NAME = "problems.jsonl"

LISTS = (REJECTED_NAME, NONE_NAME, LEFT_OUT_NAME, DAMAGED_NAME, REMOVED_NAME, PROBLEMS_NAME)
"""What a build lists beside its shards, an object per line; but for the first, an empty one is not there."""

PAPER_CORPUS = "emovid"
"""What `Manifest.corpus` calls the paper's corpus, which is restricted."""

FORMAT = 2
"""Version of the layout that is written."""

FORMATS = (1, 2)
"""Versions that are read; a reader refuses one that it does not know."""

ALL = "all"
"""The config with the clips of every content type."""


@dataclass(frozen=True, slots=True)
class ShardRecord:
    """One finished shard.

    Attributes:
        path: below the build folder, with slashes: ``data/sticker/train-00000.tar``.
        content_type: one of the manifest's.
        split: one of the manifest's.
        samples: number of clips.
        size: bytes.
        sha256: of the file.
    """

    path: str
    content_type: str
    split: str
    samples: int
    size: int
    sha256: str

    @property
    def table(self) -> str:
        """Name of the metadata table that lists its clips."""
        return table_path(self.path, self.split)


def tables_of(shards: Iterable[ShardRecord]) -> dict[str, tuple[ShardRecord, ...]]:
    """The metadata tables that list the clips of some shards, by name, each with those of the shards that it
    lists, all in the order of the shards."""
    tables: dict[str, list[ShardRecord]] = {}
    for shard in shards:
        tables.setdefault(shard.table, []).append(shard)
    return {name: tuple(listed) for name, listed in tables.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """The parsed `manifest.json`.

    Attributes:
        version: version of the package that built it.
        seed: of the splits and of the order of the clips.
        every: the attributes are computed on every such frame of a clip; None in format 1.
        frames: frames per clip over which the attributes were computed; None since format 2.
        split_ratios: shares of train, validation and test.
        shard_size: bytes aimed at.
        source_digest: sha256 over the clips, their labels and the refusals.
        settings_digest: sha256 over the label sheet's rows, the source files' names and sizes, and the
            settings; tells a finished build of the same input from another one.
        rejected: number of refused rows and files.
        complete: whether every shard is there.
        notes: sentences about this corpus that stand in its card; older manifests have none.
        corpus: `PAPER_CORPUS` for the paper's corpus, else None.
        video: how videos were encoded, where that is not as usual: arguments of `build` by name.
        info: what the owner says of the data set, for its card.
        benchmark: what was set aside; None without such a split.
        none_clips: number of rows that say "no specific emotion".
        removed: number of clips that were removed from the build.
        purged: how many of them no earlier revision of its Hub repo serves either.
        none_shards: with their clips, if they were kept; in the order of content types and numbers.
        taxonomy: the emotions.
        content_types: those that clips may have, in the order in which they are listed.
        split_names: the splits that clips may be in, in the order in which they are listed.
        config_types: the configs, in order, each with its content types; `with_shards` sets them.
        features: names and types of a clip's fields.
        shards: in the order of content types, splits and numbers.
        format: of the build, 1 or 2.
    """

    version: str
    seed: int
    every: int | None = None
    frames: int | None = None
    split_ratios: tuple[float, float, float]
    shard_size: int
    source_digest: str
    settings_digest: str
    rejected: int
    complete: bool
    notes: tuple[str, ...] = ()
    corpus: str | None = None
    video: Mapping[str, Any] = field(default_factory=dict)
    info: CardInfo = field(default_factory=CardInfo)
    benchmark: Benchmark | None = None
    none_clips: int = 0
    removed: int = 0
    purged: int = 0
    none_shards: tuple[ShardRecord, ...] = ()
    taxonomy: Taxonomy = MIKELS
    content_types: tuple[str, ...] = CONTENT_TYPES
    split_names: tuple[str, ...] = SPLITS
    config_types: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    features: Mapping[str, FeatureType] = field(default_factory=lambda: dict(FEATURES))
    shards: tuple[ShardRecord, ...] = ()
    format: int = FORMAT

    @property
    def fields(self) -> Mapping[str, FeatureType]:
        """Names and types of a clip's fields as they read today: those of format 2 in format 1 too."""
        return FEATURES if self.format == 1 else self.features

    def clip(self, row: Mapping[str, Any]) -> Clip:
        """Check a row of this build's JSON or Parquet and make it a clip.

        Raises:
            ValueError: as `Clip.from_mapping`, or the build has no such content type.
        """
        clip = Clip.from_mapping(row, features=self.features, taxonomy=self.taxonomy)
        if clip.content_type not in self.content_types:
            raise ValueError(
                f"content_type is {clip.content_type!r}; allowed: {', '.join(self.content_types)}"
            )
        return clip

    @property
    def revision(self) -> str:
        """Names the state of the data: 8 hex digits that change when any shard does."""
        lines = "".join(f"{shard.sha256} {shard.path}\n" for shard in self.all_shards)
        return hashlib.sha256(lines.encode()).hexdigest()[:8]

    @property
    def all_shards(self) -> tuple[ShardRecord, ...]:
        """The shards, and those of clips that show no specific emotion."""
        return (*self.shards, *self.none_shards)

    def select(self, config: str = ALL, split: str | None = None) -> tuple[ShardRecord, ...]:
        """The shards of a config or content type, and of a split (None for every split)."""
        types = self.content_types if config == ALL else self.config_types.get(config, (config,))
        return tuple(
            shard for shard in self.shards if shard.content_type in types and split in (None, shard.split)
        )

    def tables(
        self, content_types: Iterable[str] | None = None, splits: Iterable[str] | None = None
    ) -> dict[str, tuple[ShardRecord, ...]]:
        """The metadata tables of some content types and splits (None for all of them), each with its shards,
        in the order of content types, splits and numbers."""
        types = self.content_types if content_types is None else tuple(content_types)
        wanted = self.split_names if splits is None else tuple(splits)
        parts: dict[tuple[str, str], list[ShardRecord]] = {
            (kind, split): [] for kind in types for split in wanted
        }
        for shard in self.shards:
            if (part := parts.get((shard.content_type, shard.split))) is not None:
                part.append(shard)
        return tables_of(shard for part in parts.values() for shard in part)

    def splits(self, config: str = ALL) -> dict[str, dict[str, int]]:
        """Per split that has clips: the numbers of samples, bytes and shards of a config."""
        table: dict[str, dict[str, int]] = {}
        for split in self.split_names:
            shards = self.select(config, split)
            if shards:
                table[split] = _totals(shards)
        return table

    def configs(self) -> tuple[str, ...]:
        """The configs that have clips, "all" first."""
        return tuple(self.config_types)

    def with_shards(self, shards: Iterable[ShardRecord]) -> Manifest:
        """The same with these shards, and with a config per content type that has clips, beside "all"."""
        shards = tuple(shards)
        held = {shard.content_type for shard in shards}
        types = tuple(name for name in self.content_types if name in held)
        return replace(self, shards=shards, config_types={ALL: types, **{name: (name,) for name in types}})

    def with_lists(self, lists: Mapping[str, bytes]) -> Manifest:
        """The same with the number of lines of these `LISTS`, as far as a manifest counts them."""
        benchmark = self.benchmark
        if benchmark is not None:
            benchmark = replace(benchmark, left_out=lists[LEFT_OUT_NAME].count(b"\n"))
        return replace(
            self,
            rejected=lists[REJECTED_NAME].count(b"\n"),
            none_clips=lists[NONE_NAME].count(b"\n"),
            removed=lists[REMOVED_NAME].count(b"\n"),
            purged=lists[REMOVED_NAME].count(b'"purged"'),
            benchmark=benchmark,
        )

    def lines_of_lists(self) -> dict[str, int]:
        """How many lines each of the `LISTS` has that a manifest counts."""
        return {
            REJECTED_NAME: self.rejected,
            NONE_NAME: self.none_clips,
            LEFT_OUT_NAME: 0 if self.benchmark is None else self.benchmark.left_out,
            REMOVED_NAME: self.removed,
        }

    def to_json(self) -> str:
        """The file's text: the fields, then the counts derived from the shards."""
        body: dict[str, Any] = {"name": "emovid", "format": self.format}
        body |= {name: getattr(self, name) for name in ("version", "seed")}
        body |= {"frames": self.frames} if self.format == 1 else {"every": self.every}
        names = ("split_ratios", "shard_size", "source_digest", "settings_digest", "rejected", "complete")
        body |= {name: getattr(self, name) for name in (*names, "notes")}
        counts = {name: self.splits(name) for name in self.configs()}
        if self.format == 1:
            body["configs"] = counts
        else:
            body |= {
                "corpus": self.corpus,
                **({"info": self.info.to_mapping()} if self.info != CardInfo() else {}),
                "benchmark": None if self.benchmark is None else self.benchmark.to_json(),
                "none_clips": self.none_clips,
                **({"removed": self.removed, "purged": self.purged} if self.removed else {}),
                "none_shards": [asdict(shard) for shard in self.none_shards],
                "taxonomy": self.taxonomy.to_mapping(),
                "content_types": self.content_types,
                "splits": self.split_names,
                "configs": self.config_types,
                "features": self.features,
                "counts": counts,
                **({"video": dict(self.video)} if self.video else {}),
            }
        body["totals"] = _totals(self.shards)
        body["shards"] = [asdict(shard) for shard in self.shards]
        return json.dumps(body, indent=1, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Manifest:
        """Parse the file's text.

        Raises:
            ValueError: it is not a manifest of a format that is read; the message says what is wrong.
        """
        try:
            body = json.loads(text)
        except ValueError as error:
            raise ValueError(f"{MANIFEST_NAME} is not JSON: {error}") from error
        if not isinstance(body, Mapping) or body.get("name") != "emovid":
            raise ValueError(f"{MANIFEST_NAME} is not an EmoVid manifest")
        if body.get("format") not in FORMATS:
            known = " and ".join(str(number) for number in FORMATS)
            raise ValueError(f"{MANIFEST_NAME} has format {body.get('format')!r}; this version reads {known}")
        try:
            values: dict[str, Any] = {name: body[name] for name in _TYPES}
            values["split_ratios"] = tuple(body["split_ratios"])
            values["notes"] = tuple(body.get("notes", ()))
            shards = tuple(ShardRecord(**shard) for shard in body["shards"])
            manifest = (
                _format_1(body, values, shards) if body["format"] == 1 else _format_2(body, values, shards)
            )
            _check_types(manifest)
            _check_paths(manifest.shards, DATA_FOLDER)
            _check_paths(manifest.none_shards, NONE)
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{MANIFEST_NAME} is incomplete: {error}") from error
        return manifest


def _format_1(body: Mapping[str, Any], values: dict[str, Any], shards: tuple[ShardRecord, ...]) -> Manifest:
    manifest = Manifest(**values, frames=body["frames"], features=dict(FORMAT_1_FEATURES), format=1)
    return manifest.with_shards(shards)


def _format_2(body: Mapping[str, Any], values: dict[str, Any], shards: tuple[ShardRecord, ...]) -> Manifest:
    try:
        taxonomy = Taxonomy.from_mapping(body["taxonomy"])
        check_features(body["features"])
        benchmark = body.get("benchmark")
        benchmark = None if benchmark is None else Benchmark.from_json(benchmark)
        info = CardInfo.from_mapping(body.get("info", {}))
    except ValueError as error:
        raise ValueError(f"{MANIFEST_NAME}: {error}") from error
    return Manifest(
        **values,
        every=body["every"],
        corpus=body["corpus"],
        video=dict(body.get("video", {})),
        info=info,
        benchmark=benchmark,
        none_clips=body.get("none_clips", 0),
        removed=body.get("removed", 0),
        purged=body.get("purged", 0),
        none_shards=tuple(ShardRecord(**shard) for shard in body.get("none_shards", ())),
        taxonomy=taxonomy,
        content_types=tuple(body["content_types"]),
        split_names=tuple(body["splits"]),
        config_types={name: tuple(types) for name, types in body["configs"].items()},
        features=dict(body["features"]),
        shards=shards,
    )


def _totals(shards: Iterable[ShardRecord]) -> dict[str, int]:
    shards = tuple(shards)
    return {
        "samples": sum(shard.samples for shard in shards),
        "bytes": sum(shard.size for shard in shards),
        "shards": len(shards),
    }


def _check_types(manifest: Manifest) -> None:
    frames = {"frames": int} if manifest.format == 1 else {"every": int}
    _check_record("", manifest, {**_TYPES, **frames})
    for index, shard in enumerate(manifest.all_shards):
        _check_record(f"shard {index}: ", shard, _SHARD_TYPES)
    ratios = manifest.split_ratios
    if len(ratios) != 3 or not all(type(ratio) in (int, float) for ratio in ratios):
        raise ValueError(f"{MANIFEST_NAME}: split_ratios is {ratios!r}, not three numbers")
    if not all(isinstance(note, str) for note in manifest.notes):
        raise ValueError(f"{MANIFEST_NAME}: notes is {manifest.notes!r}, not a list of sentences")
    if not isinstance(manifest.corpus, (str, type(None))):
        raise ValueError(f"{MANIFEST_NAME}: corpus is {manifest.corpus!r}, not a name or null")
    for key, names in (("content_types", manifest.content_types), ("splits", manifest.split_names)):
        if not all(isinstance(name, str) and NAME_PATTERN.fullmatch(name) for name in names):
            raise ValueError(f"{MANIFEST_NAME}: {key} is {names!r}; a name is of a-z, 0-9 and _")
        if len(set(names)) != len(names) or ALL in names:
            raise ValueError(f"{MANIFEST_NAME}: {key} is {names!r}; each is named once, and none is {ALL!r}")
    for shard in manifest.shards:
        if shard.content_type not in manifest.content_types or shard.split not in manifest.split_names:
            raise ValueError(
                f"{MANIFEST_NAME}: {shard.path} has the content type {shard.content_type!r} "
                f"and the split {shard.split!r}"
            )
    for config, types in manifest.config_types.items():
        if not NAME_PATTERN.fullmatch(config) or not set(types) <= set(manifest.content_types):
            raise ValueError(f"{MANIFEST_NAME}: config {config!r} has the content types {types!r}")
    for shard in manifest.none_shards:
        if shard.content_type not in manifest.content_types or shard.split != NONE:
            raise ValueError(
                f"{MANIFEST_NAME}: {shard.path} has the content type {shard.content_type!r} "
                f"and stands in the place of {shard.split!r}"
            )
    for key in ("none_clips", "removed", "purged"):
        if type(getattr(manifest, key)) is not int:
            raise ValueError(f"{MANIFEST_NAME}: {key} is {getattr(manifest, key)!r}, not a number")


def _check_record(where: str, record: object, types: Mapping[str, type]) -> None:
    for name, kind in types.items():
        value = getattr(record, name)
        if type(value) is not kind:
            raise ValueError(f"{MANIFEST_NAME}: {where}{name} is {value!r}, not {kind.__name__}")


_TYPES: dict[str, type] = {
    "version": str,
    "seed": int,
    "shard_size": int,
    "source_digest": str,
    "settings_digest": str,
    "rejected": int,
    "complete": bool,
}
_SHARD_TYPES: dict[str, type] = {
    "path": str,
    "content_type": str,
    "split": str,
    "samples": int,
    "size": int,
    "sha256": str,
}


def _check_paths(shards: Iterable[ShardRecord], top: str) -> None:
    for shard in shards:
        if not is_shard_path(shard.path, top):
            raise ValueError(f"{MANIFEST_NAME} names a shard outside {top}/: {shard.path!r}")
