"""What a build holds, as its metadata tables say, and whether its shards are as its manifest says."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from itertools import groupby
from typing import Any

from emovid_dataset.builder.prepare import WORK_FOLDER
from emovid_dataset.engine import Executor, Part, Record, Stage, records, run_stage
from emovid_dataset.schema.features import PLACE_COLUMNS
from emovid_dataset.schema.manifest import Manifest, ShardRecord, tables_of
from emovid_dataset.store import Store

_ROWS = 1_000
"""Rows of a metadata table that are in memory at once."""


def rows_of(build: Store, table: str) -> Iterator[dict[str, Any]]:
    """The rows of a metadata table, in order.

    Raises:
        ValueError: it is missing or cannot be read.
    """
    import pyarrow
    from pyarrow import parquet

    try:
        with build.local(table) as path, parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(_ROWS):
                yield from batch.to_pylist()
    except (OSError, pyarrow.ArrowException) as error:
        why = "is missing" if isinstance(error, FileNotFoundError) else " ".join(str(error).split())
        raise ValueError(f"{build.name} is damaged: {table}: {why}; see `emovid repair`") from error


def clips_of(build: Store, shards: Iterable[ShardRecord]) -> Iterator[tuple[ShardRecord, list[Record]]]:
    """The clips of some shards, shard by shard, each as `shards.write_shard` tells of it.

    Args:
        build: where they are.
        shards: in the order of the manifest.

    Raises:
        ValueError: a table is missing or lists other clips than the manifest counts.
    """
    for table, listed in tables_of(shards).items():
        wanted = {shard.path: shard for shard in listed}
        for path, rows in groupby(rows_of(build, table), key=lambda row: str(row["shard"])):
            shard = wanted.pop(path, None)
            if shard is None:
                continue
            held = [clip_record(row) for row in rows]
            if len(held) != shard.samples:
                raise _other_clips(build, table, shard, len(held))
            yield shard, held
        for shard in wanted.values():
            raise _other_clips(build, table, shard, 0)


def clip_record(row: dict[str, Any]) -> Record:
    """A row of a metadata table as `shards.write_shard` tells of the clip."""
    place = {name: row.pop(name) for name in PLACE_COLUMNS}
    return {"clip": row, "offset": place["offset"], "size": place["size"]}


def _other_clips(build: Store, table: str, shard: ShardRecord, found: int) -> ValueError:
    return ValueError(
        f"{build.name} is damaged: {table} lists {found} clips of {shard.path} instead of {shard.samples}; "
        "see `emovid repair`"
    )


@dataclass(frozen=True, slots=True)
class HashPart(Part):
    """A shard to be hashed."""

    shard: ShardRecord


class HashStage(Stage[HashPart, None]):
    """Compares the bytes of shards with the manifest.

    Its records are the `path` of each shard and what is `wrong` with it, None where nothing is.

    Args:
        build: where they are.
        shards: to be hashed.
    """

    name, unit, ledger = "check", "shards", f"{WORK_FOLDER}/hashed"

    def __init__(self, build: Store, shards: tuple[ShardRecord, ...]) -> None:
        self.build, self.shards = build, shards

    def parts(self, store: Store) -> Iterator[HashPart]:
        """The shards; one that has changed since it was hashed is another part."""
        for shard in self.shards:
            version = self.build.version(shard.path) if self.build.exists(shard.path) else ""
            key = hashlib.sha256(repr((shard, version)).encode()).hexdigest()[:32]
            yield HashPart(key, 1, float(shard.size), shard)

    def run(self, state: None, part: HashPart, store: Store) -> Iterator[Record]:
        """Hash one."""
        yield {"path": part.shard.path, "wrong": wrong_with(self.build, part.shard)}


def wrong_with(build: Store, shard: ShardRecord) -> str | None:
    """How a shard differs from its record, None where it does not."""
    if not build.exists(shard.path):
        return "is missing"
    size = build.size(shard.path)
    if size != shard.size:
        return f"has {size} bytes, the manifest says {shard.size}"
    digest = hashlib.sha256()
    with build.open(shard.path) as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return None if digest.hexdigest() == shard.sha256 else "has another sha256 than the manifest says"


def damaged_shards(
    build: Store, shards: Iterable[ShardRecord], *, executor: Executor, progress: bool
) -> dict[str, str]:
    """What is wrong with the shards of a build, by path; those that are as they should be are left out.

    Args:
        build: where they are; what was found of each is noted in its work folder.
        shards: to be hashed.
        executor: who hashes them.
        progress: show progress on stderr.
    """
    shards = tuple(shards)
    stage = HashStage(build, shards)
    run_stage(stage, build, executor=executor, progress=progress, total=len(shards))
    found = {record["path"]: record["wrong"] for record in records(stage, build)}
    return {path: wrong for path, wrong in found.items() if wrong is not None}


def refuse_damaged(
    build: Store, manifest: Manifest, shards: Iterable[ShardRecord], *, executor: Executor, progress: bool
) -> None:
    """Refuse to change a build whose shards are not as its manifest says.

    Raises:
        ValueError: one of them is damaged; the message names it.
    """
    found = damaged_shards(build, shards, executor=executor, progress=progress)
    if found:
        path, wrong = next(iter(found.items()))
        more = f", and {len(found) - 1} more shards are damaged" if len(found) > 1 else ""
        raise ValueError(f"{build.name} is damaged: {path} {wrong}{more}; see `emovid repair`")


def record_of(shard: ShardRecord) -> Record:
    """A shard as `shards.write_shard` tells of it."""
    return {"shard": asdict(shard)}
