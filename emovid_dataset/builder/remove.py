"""Remove clips from a finished build: only the shards that held them are written again.

Of a removed clip its id and the date stay, in `removed.jsonl`; no later append takes it in again unless it is
told to.
"""

from __future__ import annotations

import json
import os
import time
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from emovid_dataset.builder.commit import changing
from emovid_dataset.builder.conclude import conclude
from emovid_dataset.builder.conditions import Condition, parse_condition
from emovid_dataset.builder.held import clips_of, refuse_damaged
from emovid_dataset.builder.rewrite import RewriteStage, ShardChange
from emovid_dataset.engine import Executor, executor, run_stage
from emovid_dataset.read.manifest import read_manifest
from emovid_dataset.read.removed import read_removed
from emovid_dataset.schema.clip import is_clip_id
from emovid_dataset.schema.manifest import (
    LEFT_OUT_NAME,
    LISTS,
    REMOVED_NAME,
    Manifest,
    ShardRecord,
)
from emovid_dataset.schema.removed import Removed, removed_lines
from emovid_dataset.store import Store


@dataclass(frozen=True, slots=True)
class RemoveReport:
    """What was removed.

    Attributes:
        manifest: of the build as it is now.
        removed: ids of the clips that are gone now.
        before: ids that were asked for and had been removed already.
        rewritten: shards that were written again.
        deleted: shards in which no clip was left.
        size: bytes of the shards that were written again.
        seconds: wall time.
    """

    manifest: Manifest
    removed: tuple[str, ...]
    before: tuple[str, ...]
    rewritten: tuple[str, ...]
    deleted: tuple[str, ...]
    size: int
    seconds: float


def remove(
    build: str | os.PathLike[str],
    *,
    ids: Collection[str] = (),
    where: Sequence[str | Condition] = (),
    source: Collection[str] = (),
    dry_run: bool = False,
    engine: str | Executor = "processes",
    workers: int | None = None,
    date: str | None = None,
    progress: bool = False,
) -> RemoveReport:
    """Remove clips from a build.

    Interrupted before it is done, the build is what it was, or the next call finishes what is left.

    Args:
        build: its folder or URL.
        ids: of clips to remove.
        where: conditions such as "license=CC-BY-4.0"; clips that meet all of them are removed.
        source: clips whose field `source` is one of these are removed.
        dry_run: change nothing.
        engine: "processes", "serial" (all in this process), "ray", or an `Executor`.
        workers: processes, None for one per core.
        date: of the removal, YYYY-MM-DD; None is today, in UTC.
        progress: show progress on stderr.

    Returns:
        `RemoveReport`.

    Raises:
        ValueError: nothing was asked for, an id is unknown, no clip is meant or every clip, a condition does
            not fit, the build is damaged, or another process is changing it.
        OSError: the build cannot be written.
    """
    started = time.monotonic()
    if not ids and not where and not source:
        raise ValueError("nothing is to be removed; give ids, where or source")
    for key in ids:
        if not is_clip_id(key):
            raise ValueError(f"id {key!r} is not of the form sticker-0123456789abcdef")
    conditions = [parse_condition(given) if isinstance(given, str) else given for given in where]
    runner = executor(engine, workers) if isinstance(engine, str) else engine
    today = date or datetime.now(timezone.utc).date().isoformat()
    place = Store.at(build)
    with changing(place) as turn, runner:
        manifest = read_manifest(place)
        if manifest.format == 1:
            raise ValueError(f"{place.name} is a build of format 1, which cannot be changed; build it again")
        earlier = read_removed(place)
        tests = [condition.of(manifest.features) for condition in conditions]
        wanted, names = set(ids), set(source)

        def is_meant(row: Mapping[str, Any]) -> bool:
            return (
                row["id"] in wanted
                or row["source"] in names
                or (bool(tests) and all(test(row) for test in tests))
            )

        found: dict[str, list[str]] = defaultdict(list)
        shards: dict[str, ShardRecord] = {}
        for shard, clips in clips_of(place, manifest.all_shards):
            meant = [record["clip"]["id"] for record in clips if is_meant(record["clip"])]
            if meant:
                shards[shard.path], found[shard.path] = shard, meant
        lists = {name: place.read(name) if place.exists(name) else b"" for name in LISTS}
        gone = {key for keys in found.values() for key in keys}
        aside = {str(key) for key in _ids(lists[LEFT_OUT_NAME]) if key in wanted}
        before = wanted & set(earlier) - gone
        unknown = sorted(wanted - gone - aside - before)
        if unknown:
            more = f" and {len(unknown) - 1} more" if len(unknown) > 1 else ""
            raise ValueError(f"{place.name} holds no clip {unknown[0]}{more}")
        if not gone and not aside:
            if before or turn.finished:  # an interrupted removal may have been this one
                return _report(manifest, (), before, [], started)
            raise ValueError(f"{place.name} holds no clip that is meant; nothing was removed")
        if all(len(found.get(shard.path, ())) == shard.samples for shard in manifest.shards):
            raise ValueError(f"that is every clip of {place.name}; delete the build instead")
        changes = [ShardChange(shards[path], frozenset(keys)) for path, keys in found.items()]
        if dry_run:
            return _report(manifest, gone | aside, before, changes, started)
        refuse_damaged(place, manifest, shards.values(), executor=runner, progress=progress)
        rewriting = RewriteStage(place, manifest, [change for change in changes if not change.is_empty])
        run_stage(rewriting, place, executor=runner, progress=progress, total=len(rewriting.changes))
        entries = {**earlier, **{key: Removed(key, today) for key in gone | aside}}
        lists = {name: _without(data, gone | aside) for name, data in lists.items()}
        lists[REMOVED_NAME] = removed_lines(entries[key] for key in sorted(entries))
        manifest = conclude(
            place,
            manifest,
            lease=turn.lease,
            rewriting=rewriting,
            emptied=[change.shard for change in changes if change.is_empty],
            added=(),
            lists=lists,
        )
    return _report(manifest, gone | aside, before, changes, started)


def _report(
    manifest: Manifest,
    removed: Iterable[str],
    before: Iterable[str],
    changes: Sequence[ShardChange],
    started: float,
) -> RemoveReport:
    rewritten = tuple(change.shard.path for change in changes if not change.is_empty)
    return RemoveReport(
        manifest=manifest,
        removed=tuple(sorted(removed)),
        before=tuple(sorted(before)),
        rewritten=rewritten,
        deleted=tuple(change.shard.path for change in changes if change.is_empty),
        size=sum(shard.size for shard in manifest.all_shards if shard.path in rewritten),
        seconds=time.monotonic() - started,
    )


def _ids(lines: bytes) -> Iterable[Any]:
    return (json.loads(line).get("id") for line in lines.splitlines())


def _without(lines: bytes, ids: Collection[str]) -> bytes:
    """The lines of a list that are not about these clips, be it about others too."""

    def named(line: bytes) -> set[str]:
        entry = json.loads(line)
        return {entry.get("id"), *(clip["id"] for clip in entry.get("clips", ()))}

    return b"".join(line for line in lines.splitlines(keepends=True) if named(line).isdisjoint(ids))
