"""Check what stands beside the shards of a build: metadata, splits, benchmark, `_info.json`, card, lists."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Set
from contextlib import closing
from itertools import groupby, zip_longest
from pathlib import Path
from typing import Any

from emovid_dataset.check.shards import VerifyStage
from emovid_dataset.engine import Record, records
from emovid_dataset.report.card import front_matter, info_json
from emovid_dataset.schema.benchmark import BENCHMARK, LEAST_RATERS, qualifies
from emovid_dataset.schema.features import PLACE_COLUMNS, metadata_schema
from emovid_dataset.schema.file_names import DATA_FOLDER, METADATA_FOLDER
from emovid_dataset.schema.manifest import (
    CARD_NAME,
    INFO_NAME,
    MANIFEST_NAME,
    REJECTED_NAME,
    Manifest,
    ShardRecord,
    tables_of,
)
from emovid_dataset.schema.no_emotion import NONE
from emovid_dataset.store import Store


def check_index(build: Store, manifest: Manifest, stage: VerifyStage, ledger: Store, seen: Path) -> list[str]:
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
    tables = tables_of(manifest.all_shards)
    for name, its_shards in sorted(tables.items()):
        some = VerifyStage(build, manifest, its_shards, stage.share)
        found += check_table(build, manifest, name, records(some, ledger))
    in_benchmark = VerifyStage(build, manifest, manifest.select(split=BENCHMARK), stage.share)
    found += _check_benchmark(manifest, records(in_benchmark, ledger))
    if not build.exists(INFO_NAME) or build.read(INFO_NAME) != info_json(manifest).encode():
        found.append(f"{INFO_NAME}: is missing or does not agree with the manifest")
    found += check_card(build, manifest)
    if build.root.startswith("hf://"):
        return found + _check_names(build, set(shards) | set(tables))  # a published build lists no refusals
    for name, expected in manifest.lines_of_lists().items():
        is_there = build.exists(name)
        lines = build.read(name).count(b"\n") if is_there else 0
        if name == REJECTED_NAME and not is_there:
            found.append(f"{name}: is missing")
        elif lines != expected:
            found.append(f"{name}: has {lines} lines, the manifest says {expected}")
    return found + _check_names(build, set(shards) | set(tables))


def _check_names(build: Store, known: Set[str]) -> list[str]:
    """Files that the manifest does not name, as far as the build's place can be listed."""
    return [
        f"{name}: is not named by the manifest"
        for top in ((DATA_FOLDER, METADATA_FOLDER, NONE) if build.has_listings else ())
        for name in build.list(top)
        if name not in known
    ]


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


def check_table(build: Store, manifest: Manifest, name: str, found: Iterable[Record]) -> list[str]:
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


def check_card(build: Store, manifest: Manifest) -> list[str]:
    """Compare what loaders read of the card with the manifest."""
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
