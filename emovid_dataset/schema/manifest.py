"""`Manifest`: what a build holds, and the names of its files.

A build is done when `complete` is true; before that, its shards are in the ledger.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from emovid_dataset.schema.clip import CONTENT_TYPES, SPLITS

MANIFEST_NAME = "manifest.json"
INFO_NAME = "_info.json"
CARD_NAME = "README.md"
REJECTED_NAME = "rejected.jsonl"
DATA_FOLDER = "data"
METADATA_FOLDER = "metadata"

FORMAT = 1
"""Version of the layout; a reader refuses one that it does not know."""


@dataclass(frozen=True, slots=True)
class ShardRecord:
    """One finished shard.

    Attributes:
        path: below the build folder, with slashes: ``data/sticker/train-00000-of-00008.tar``.
        content_type: "cartoon", "movie" or "sticker".
        split: "train", "validation" or "test".
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


@dataclass(frozen=True, slots=True)
class Manifest:
    """The parsed `manifest.json`.

    Attributes:
        version: version of the package that built it.
        seed: of the splits and of the order of the clips.
        frames: frames a clip over which the attributes were computed.
        split_ratios: shares of train, validation and test.
        shard_size: bytes aimed at.
        source_digest: sha256 over the clips, their labels and the refusals.
        settings_digest: sha256 over the label sheet's rows, the source files' names and sizes, and the
            settings; tells a finished build of the same input from another one.
        rejected: number of refused rows and files.
        complete: whether every shard is there.
        notes: sentences about this corpus that stand in its card; older manifests have none.
        shards: in the order of their paths.
    """

    version: str
    seed: int
    frames: int
    split_ratios: tuple[float, float, float]
    shard_size: int
    source_digest: str
    settings_digest: str
    rejected: int
    complete: bool
    notes: tuple[str, ...] = ()
    shards: tuple[ShardRecord, ...] = field(default=())

    def select(self, content_type: str = "all", split: str | None = None) -> tuple[ShardRecord, ...]:
        """The shards of a config ("all" for every content type) and of a split (None for every split)."""
        return tuple(
            shard
            for shard in self.shards
            if content_type in ("all", shard.content_type) and split in (None, shard.split)
        )

    def splits(self, content_type: str = "all") -> dict[str, dict[str, int]]:
        """Per split that has clips: the numbers of samples, bytes and shards of a config."""
        table: dict[str, dict[str, int]] = {}
        for split in SPLITS:
            shards = self.select(content_type, split)
            if shards:
                table[split] = {
                    "samples": sum(shard.samples for shard in shards),
                    "bytes": sum(shard.size for shard in shards),
                    "shards": len(shards),
                }
        return table

    def configs(self) -> tuple[str, ...]:
        """The configs that have clips: "all", then the content types."""
        held = {shard.content_type for shard in self.shards}
        return ("all", *(name for name in CONTENT_TYPES if name in held))

    def to_json(self) -> str:
        """The file's text: the fields, then the counts derived from the shards."""
        record = asdict(self)
        shards = record.pop("shards")
        configs = {name: self.splits(name) for name in self.configs()}
        totals = {
            "samples": sum(shard.samples for shard in self.shards),
            "bytes": sum(shard.size for shard in self.shards),
            "shards": len(self.shards),
        }
        body = {"name": "emovid", "format": FORMAT, **record, "configs": configs, "totals": totals}
        return json.dumps({**body, "shards": shards}, indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Manifest:
        """Parse the file's text.

        Raises:
            ValueError: it is not a manifest of this format; the message says what is wrong.
        """
        try:
            body = json.loads(text)
        except ValueError as error:
            raise ValueError(f"{MANIFEST_NAME} is not JSON: {error}") from error
        if not isinstance(body, Mapping) or body.get("name") != "emovid":
            raise ValueError(f"{MANIFEST_NAME} is not an EmoVid manifest")
        if body.get("format") != FORMAT:
            raise ValueError(
                f"{MANIFEST_NAME} has format {body.get('format')!r}; this version reads {FORMAT}"
            )
        try:
            shards = tuple(ShardRecord(**shard) for shard in body["shards"])
            names = [name for name in cls.__dataclass_fields__ if name not in ("shards", "notes")]
            values: dict[str, Any] = {name: body[name] for name in names}
            values["notes"] = tuple(body.get("notes", ()))
            values["split_ratios"] = tuple(values["split_ratios"])
            manifest = cls(**values, shards=shards)
            _check_types(manifest)
            _check_paths(manifest.shards)
        except (KeyError, TypeError) as error:
            raise ValueError(f"{MANIFEST_NAME} is incomplete: {error}") from error
        return manifest


def _check_types(manifest: Manifest) -> None:
    records = [("", asdict(manifest), _TYPES)]
    records += [
        (f"shard {index}: ", asdict(shard), _SHARD_TYPES) for index, shard in enumerate(manifest.shards)
    ]
    for where, record, types in records:
        for name, kind in types.items():
            value = record[name]
            if type(value) is not kind:
                raise ValueError(f"{MANIFEST_NAME}: {where}{name} is {value!r}, not {kind.__name__}")
    ratios = manifest.split_ratios
    if len(ratios) != 3 or not all(type(ratio) in (int, float) for ratio in ratios):
        raise ValueError(f"{MANIFEST_NAME}: split_ratios is {ratios!r}, not three numbers")
    if not all(isinstance(note, str) for note in manifest.notes):
        raise ValueError(f"{MANIFEST_NAME}: notes is {manifest.notes!r}, not a list of sentences")
    for shard in manifest.shards:
        if shard.content_type not in CONTENT_TYPES or shard.split not in SPLITS:
            raise ValueError(
                f"{MANIFEST_NAME}: {shard.path} has the content type {shard.content_type!r} "
                f"and the split {shard.split!r}"
            )


_TYPES: dict[str, type] = {
    "version": str,
    "seed": int,
    "frames": int,
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


def _check_paths(shards: Iterable[ShardRecord]) -> None:
    for shard in shards:
        parts = Path(shard.path).parts
        if len(parts) != 3 or parts[0] != DATA_FOLDER or ".." in parts or "\\" in shard.path:
            raise ValueError(f"{MANIFEST_NAME} names a shard outside {DATA_FOLDER}/: {shard.path!r}")


def shard_path(content_type: str, split: str, index: int, count: int) -> str:
    """Name of a shard below the build folder.

    >>> shard_path("sticker", "train", 3, 8)
    'data/sticker/train-00003-of-00008.tar'
    """
    return f"{DATA_FOLDER}/{content_type}/{split}-{index:05d}-of-{count:05d}.tar"


def metadata_path(content_type: str, split: str) -> str:
    """Name of a metadata file below the build folder.

    >>> metadata_path("sticker", "train")
    'metadata/sticker/train.parquet'
    """
    return f"{METADATA_FOLDER}/{content_type}/{split}.parquet"
