"""`verify`: check a build as a stranger would, by what stands in its files.

Every shard is read once, by any number of workers. What was found of it, and its sound clips, are records;
then they are held against the metadata, the splits, `_info.json`, the card and what else lies there.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import groupby, zip_longest
from pathlib import Path
from typing import Any

from emovid_dataset.engine import (
    Executor,
    Failure,
    FailureKind,
    Part,
    Record,
    Stage,
    executor,
    records,
    run_stage,
)
from emovid_dataset.media.source import Reader, VideoError
from emovid_dataset.read.manifest import read_manifest
from emovid_dataset.read.shard import read_samples
from emovid_dataset.report.card import front_matter, info_json
from emovid_dataset.schema.benchmark import BENCHMARK, LEAST_RATERS, qualifies
from emovid_dataset.schema.clip import Clip
from emovid_dataset.schema.features import PLACE_COLUMNS, metadata_schema
from emovid_dataset.schema.manifest import (
    CARD_NAME,
    DATA_FOLDER,
    INFO_NAME,
    LEFT_OUT_NAME,
    MANIFEST_NAME,
    METADATA_FOLDER,
    NONE_NAME,
    REJECTED_NAME,
    Manifest,
    ShardRecord,
    metadata_path,
)
from emovid_dataset.schema.no_emotion import NONE, ClipWithoutEmotion
from emovid_dataset.store import Store


def verify(
    folder: str | os.PathLike[str],
    *,
    decode: bool = False,
    engine: str | Executor = "processes",
    workers: int | None = None,
    progress: bool = False,
) -> list[str]:
    """Check a build: manifest, hashes, members, JSON types, offsets, counts, splits, benchmark, card.

    Args:
        folder: a build.
        decode: decode every clip too and compare frames, size and sound with what it claims.
        engine: "processes", "serial" (all in this process), or an `Executor`.
        workers: processes, None for one per core.
        progress: show progress on stderr.

    Returns:
        Violations, one line each; empty when all is well.

    Raises:
        ValueError: `workers` is out of range.
    """
    runner = executor(engine, workers) if isinstance(engine, str) else engine
    try:
        text = os.fspath(folder)
        build = Store.find(text) if "://" in text else Store.at(text)
        manifest = read_manifest(build)
    except (ValueError, OSError) as error:
        return [" ".join(str(error).split())]
    # the build itself may be read-only, and what was found today says nothing of tomorrow
    with tempfile.TemporaryDirectory(prefix="emovid-verify-") as scratch:
        stage, ledger = VerifyStage(build, manifest, manifest.all_shards, decode), Store.at(scratch)
        run_stage(stage, ledger, executor=runner, progress=progress, total=len(manifest.all_shards))
        found = [line for record in records(stage, ledger) for line in record.get("found", ())]
        return found + _check_index(build, manifest, stage, ledger, Path(scratch, "seen.sqlite"))


@dataclass(frozen=True, slots=True)
class ShardPart(Part):
    """A shard to be checked."""

    shard: ShardRecord

    @classmethod
    def of(cls, shard: ShardRecord) -> ShardPart:
        """The part of a shard."""
        return cls(hashlib.sha256(shard.path.encode()).hexdigest()[:32], 1, float(shard.size), shard)


class VerifyStage(Stage[ShardPart, None]):
    """Checks every shard against the manifest.

    Its records are lines as `found`, and every sound clip's fields as `clip` with `offset` and `size`; each
    names its `shard`.

    Args:
        build: what is checked.
        manifest: of the build.
        shards: those of the manifest that are checked.
        decode: decode every clip and compare with what it claims.
    """

    name, unit, ledger = "verify", "shards", "found"

    def __init__(
        self, build: Store, manifest: Manifest, shards: tuple[ShardRecord, ...], decode: bool
    ) -> None:
        self.build, self.manifest, self.shards, self.decode = build, manifest, shards, decode

    def parts(self, store: Store) -> Iterator[ShardPart]:
        """The shards, in the manifest's order; each path once."""
        yield from (ShardPart.of(shard) for shard in {shard.path: shard for shard in self.shards}.values())

    def run(self, state: None, part: ShardPart, store: Store) -> Iterator[Record]:
        """Check one."""
        yield from check_shard(part.shard, self.build, self.manifest, decode=self.decode)

    def refuse(self, part: ShardPart, failure: Failure) -> list[Record]:
        """A shard whose check fails for itself is a violation; the others are checked."""
        crashed = failure.kind is FailureKind.CRASHED
        reason = "makes the decoder crash" if crashed else f"{failure.type}: {failure.reason}"
        return [{"shard": part.shard.path, "found": [f"{part.shard.path}: {reason}"]}]


def check_shard(
    shard: ShardRecord, build: Store, manifest: Manifest, *, decode: bool = False
) -> Iterator[Record]:
    """Check one shard against the manifest's record.

    Args:
        shard: of the manifest.
        build: the build.
        manifest: of the build.
        decode: decode every clip and compare with what it claims.

    Yields:
        Records of `VerifyStage`.
    """
    path = shard.path

    def found(line: str) -> Record:
        return {"shard": path, "found": [f"{path}: {line}"]}

    try:
        if not build.exists(path):
            yield found("is missing")
            return
        size, digest = 0, hashlib.sha256()
        with build.open(path) as file:
            while block := file.read(1 << 20):
                digest.update(block)
                size += len(block)
        if size != shard.size:
            yield found(f"has {size} bytes, the manifest says {shard.size}")
        if digest.hexdigest() != shard.sha256:
            yield found(f"sha256 is {digest.hexdigest()}, the manifest says {shard.sha256}")
        count = 0
        try:
            with build.open(path) as file:
                for key, members, offset in read_samples(file):
                    count += 1
                    try:
                        clip, values = _check_sample(key, members, shard, manifest)
                        if decode:
                            _check_video(clip, members["mp4"])
                    except ValueError as error:
                        yield found(f"{key}: {error}")
                        continue
                    place = {"offset": offset, "size": len(members["mp4"])}
                    yield {"shard": path, "clip": values, **place}
        except ValueError as error:
            yield found(str(error))
        if count != shard.samples:
            yield found(f"has {count} samples, the manifest says {shard.samples}")
    except OSError as error:
        yield found(f"cannot be read: {error.strerror or error}")


def _check_sample(
    key: str, members: dict[str, bytes], shard: ShardRecord, manifest: Manifest
) -> tuple[Clip | ClipWithoutEmotion, dict[str, Any]]:
    try:
        values = json.loads(members["json"])
    except ValueError as error:
        raise ValueError(f"json is not JSON: {error}") from error
    if not isinstance(values, dict):
        raise ValueError("json is not an object")
    clip: Clip | ClipWithoutEmotion
    if shard.split == NONE:
        clip = ClipWithoutEmotion.from_mapping(values, features=manifest.features, taxonomy=manifest.taxonomy)
    else:
        clip = manifest.clip(values)
    if clip.id != key:
        raise ValueError(f"json has the id {clip.id}")
    if clip.content_type != shard.content_type:
        raise ValueError(f"is a {clip.content_type} in a shard of {shard.content_type}")
    if members["txt"] != clip.caption.encode():
        raise ValueError("txt is not the caption")
    if members["cls"] != str(clip.label).encode():
        raise ValueError(f"cls is {members['cls']!r}, the emotion's index is {clip.label}")
    if hashlib.sha256(members["mp4"]).hexdigest() != clip.sha256:
        raise ValueError("the MP4's sha256 is not the one in the json")
    return clip, values


def _check_video(clip: Clip | ClipWithoutEmotion, data: bytes) -> None:
    try:
        with Reader(data) as reader:
            info = reader.info
            decoded = reader.count_frames()
    except VideoError as error:
        raise ValueError(f"the MP4 {error}") from error
    for name, value in (("width", info.width), ("height", info.height), ("has_audio", info.has_audio)):
        if value != getattr(clip, name):
            raise ValueError(f"{name} is {value}, the json says {getattr(clip, name)}")
    if decoded != clip.num_frames:
        raise ValueError(f"decodes to {decoded} frames, the json says {clip.num_frames}")


# what stands beside the shards


def _check_index(
    build: Store, manifest: Manifest, stage: VerifyStage, ledger: Store, seen: Path
) -> list[str]:
    """Check metadata, splits, `_info.json`, card, stray files.

    Args:
        build: what is checked.
        manifest: of the build.
        stage: it has been run.
        ledger: of the stage.
        seen: a file for a database of the clips.
    """
    found: list[str] = []
    if build.read(MANIFEST_NAME) != manifest.to_json().encode():
        found.append(f"{MANIFEST_NAME}: the configs and totals do not agree with its shards")
    shards = {shard.path: shard for shard in manifest.all_shards}
    if len(shards) != len(manifest.all_shards):
        found.append(f"{MANIFEST_NAME}: names a shard twice")
    found += _check_ids_and_groups(shards, records(stage, ledger), seen)
    parts: dict[tuple[str, str], list[ShardRecord]] = defaultdict(list)
    for shard in manifest.all_shards:
        parts[shard.content_type, shard.split].append(shard)
    for part, its_shards in sorted(parts.items(), key=lambda item: item[0]):
        some = VerifyStage(build, manifest, tuple(its_shards), stage.decode)
        found += _check_metadata(build, manifest, metadata_path(*part), records(some, ledger))
    in_benchmark = VerifyStage(build, manifest, manifest.select(split=BENCHMARK), stage.decode)
    found += _check_benchmark(manifest, records(in_benchmark, ledger))
    if not build.exists(INFO_NAME) or build.read(INFO_NAME) != info_json(manifest).encode():
        found.append(f"{INFO_NAME}: is missing or does not agree with the manifest")
    found += _check_card(build, manifest)
    if not build.exists(REJECTED_NAME):
        found.append(f"{REJECTED_NAME}: is missing")
    else:
        refused = build.read(REJECTED_NAME).count(b"\n")
        if refused != manifest.rejected:
            found.append(f"{REJECTED_NAME}: has {refused} lines, the manifest says {manifest.rejected}")
    left_out = 0 if manifest.benchmark is None else manifest.benchmark.left_out
    for name, expected in ((NONE_NAME, manifest.none_clips), (LEFT_OUT_NAME, left_out)):
        lines = build.read(name).count(b"\n") if build.exists(name) else 0
        if lines != expected:
            found.append(f"{name}: has {lines} lines, the manifest says {expected}")
    known = set(shards) | {metadata_path(*part) for part in parts}
    for top in (DATA_FOLDER, METADATA_FOLDER, NONE):
        found += [f"{name}: is not named by the manifest" for name in build.list(top) if name not in known]
    return found


def _check_ids_and_groups(
    shards: dict[str, ShardRecord], found: Iterable[Record], database: Path
) -> list[str]:
    """No clip twice, no group on two sides; the clips stand in a database of the disk meanwhile."""
    lines: list[str] = []
    with closing(sqlite3.connect(database, isolation_level=None)) as base:
        base.executescript(
            "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;"
            "CREATE TABLE ids (id TEXT PRIMARY KEY, shard TEXT);"
            "CREATE TABLE sides (family TEXT, split TEXT, PRIMARY KEY (family, split));"
            "BEGIN;"
        )
        for record in found:
            if "clip" not in record:
                continue
            key, group, path = record["clip"]["id"], record["clip"]["group"], record["shard"]
            if shards[path].split != NONE:  # they are on no side
                base.execute("INSERT OR IGNORE INTO sides VALUES (?, ?)", (group, shards[path].split))
            earlier = base.execute("SELECT shard FROM ids WHERE id = ?", (key,)).fetchone()
            if earlier is not None:
                lines.append(f"{path}: {key}: stands in {earlier[0]} too")
            base.execute("INSERT OR REPLACE INTO ids VALUES (?, ?)", (key, path))
        torn = base.execute(
            "SELECT family, split FROM sides WHERE family IN "
            "(SELECT family FROM sides GROUP BY family HAVING count(*) > 1) ORDER BY family, split"
        )
        for group, sides in groupby(torn, key=lambda row: row[0]):
            lines.append(f"group {group!r} is in {' and '.join(split for _, split in sides)}")
    return lines


def _check_benchmark(manifest: Manifest, found: Iterable[Record]) -> Iterator[str]:
    """Whether the benchmark holds what the manifest says, and only labels that are sure enough."""
    benchmark = manifest.benchmark
    if benchmark is None:
        return  # there may be a split of that name all the same; nothing is said of its cells
    held: Counter[tuple[str, str]] = Counter()
    for record in found:
        if "clip" in record:
            clip = manifest.clip(record["clip"])
            held[clip.content_type, clip.emotion] += 1
            if benchmark.per_cell is not None and not qualifies(clip):
                yield (
                    f"{record['shard']}: {clip.id}: is in the benchmark, but was not labelled by "
                    f"{LEAST_RATERS} people who all agreed"
                )
    said = Counter({(cell.content_type, cell.emotion): cell.filled for cell in benchmark.cells})
    for content_type, emotion in sorted(set(held) | set(said)):
        there, expected = held[content_type, emotion], said[content_type, emotion]
        if there != expected:
            yield f"{BENCHMARK}: {content_type} {emotion} has {there} clips, the manifest says {expected}"


def _check_metadata(build: Store, manifest: Manifest, name: str, found: Iterable[Record]) -> list[str]:
    """Compare a metadata table with the sound clips of its shards, row by row."""
    import pyarrow
    from pyarrow import parquet

    expected = (
        {**record["clip"], **{name: record[name] for name in PLACE_COLUMNS}}
        for record in found
        if "clip" in record
    )
    try:
        with build.local(name) as path, parquet.ParquetFile(path) as table:
            if not table.schema_arrow.equals(metadata_schema(manifest.features)):
                return [f"{name}: has other columns or types than the clips"]
            rows = (row for batch in table.iter_batches(10_000) for row in batch.to_pylist())
            return _compare_rows(name, rows, expected)
    except (OSError, ValueError, pyarrow.ArrowException) as error:
        return [f"{name}: is missing or not Parquet: {' '.join(str(error).split())}"]


def _compare_rows(name: str, rows: Iterator[dict[str, Any]], expected: Iterator[dict[str, Any]]) -> list[str]:
    found: list[str] = []
    held = sound = 0
    for row, clip in zip_longest(rows, expected):
        held += row is not None
        sound += clip is not None
        if row is None or clip is None:
            continue
        for key, value in clip.items():
            if row[key] != value:
                found.append(f"{name}: {clip['id']}: {key} is {row[key]!r}, the shard has {value!r}")
    if held != sound:
        return [f"{name}: has {held} rows, the shards hold {sound} sound clips"]
    return found


def _check_card(build: Store, manifest: Manifest) -> list[str]:
    import yaml

    if not build.exists(CARD_NAME):
        return [f"{CARD_NAME}: is missing"]
    wanted = yaml.safe_load(front_matter(manifest))
    try:
        parts = build.read(CARD_NAME).decode().split("---\n", 2)
        card = yaml.safe_load(parts[1]) if len(parts) == 3 and not parts[0] else None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        return [f"{CARD_NAME}: has no typed front matter: {' '.join(str(error).split())}"]
    if not isinstance(card, dict):
        return [f"{CARD_NAME}: has no typed front matter"]
    # whoever publishes may add keys, such as a citation, but what loaders read must be the manifest's
    return [
        f"{CARD_NAME}: {key} does not agree with the manifest"
        for key in ("configs", "dataset_info")
        if card.get(key) != wanted[key]
    ]
