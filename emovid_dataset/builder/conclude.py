"""Bring what stands beside the shards of a build in line with shards that were added, changed or removed."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby

from emovid_dataset import __version__
from emovid_dataset.builder.commit import commit, waiting
from emovid_dataset.builder.held import clip_record, record_of, rows_of
from emovid_dataset.builder.index import write_card, write_metadata
from emovid_dataset.builder.rewrite import RewriteStage
from emovid_dataset.engine import Ledger, Record
from emovid_dataset.read.proxies import read_proxies
from emovid_dataset.schema.benchmark import BENCHMARK, Benchmark, BenchmarkCell
from emovid_dataset.schema.file_names import CONTACT_SHEET, EMOTION_CHART
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
from emovid_dataset.schema.proxies import PROXIES_NAME, PROXY_FOLDER, ProxyShard, proxies_json
from emovid_dataset.store import Lease, Store

_NUMBER = re.compile(r"-([0-9]{5,})(?:-of-[0-9]{5,})?\.tar")


def shard_number(path: str) -> int:
    """The number of a shard among those of its content type and split.

    >>> shard_number("data/sticker/train-00003.tar"), shard_number("data/movie/test-00001-of-00002.tar")
    (3, 1)
    """
    match = _NUMBER.search(path)
    if match is None:
        raise ValueError(f"{path!r} is not the name of a shard")
    return int(match[1])


def in_order(shards: Iterable[ShardRecord], manifest: Manifest) -> tuple[ShardRecord, ...]:
    """Shards in the order of content types, splits and numbers; those without emotion come last."""
    types = {name: index for index, name in enumerate(manifest.content_types)}
    splits = {name: index for index, name in enumerate((*manifest.split_names, NONE))}

    def place(shard: ShardRecord) -> tuple[bool, int, int, int]:
        number = shard_number(shard.path)
        return shard.split == NONE, types[shard.content_type], splits[shard.split], number

    return tuple(sorted(shards, key=place))


def conclude(
    build: Store,
    old: Manifest,
    *,
    lease: Lease,
    rewriting: RewriteStage | None,
    emptied: Sequence[ShardRecord],
    added: Sequence[tuple[ShardRecord, Iterable[Record]]],
    lists: Mapping[str, bytes],
) -> Manifest:
    """Write the index of a changed build, and let all that has changed take its place at once.

    Args:
        build: the build; its new and changed shards wait.
        old: its manifest so far.
        lease: of the build; checked before anything takes its place.
        rewriting: the stage that wrote changed shards, which is done; None where none has changed.
        emptied: shards that no clip is left in.
        added: new shards, in order, each with its clips as `write_shard` tells of them.
        lists: the text of every list beside the shards; an empty one is a file that is not there.

    Returns:
        The new manifest.

    Raises:
        BusyError: another process has taken the build over.
    """
    changed: dict[str, str] = {}
    if rewriting is not None:
        changed = {part.change.shard.path: part.key for part in rewriting.parts(build)}
    new = {shard.path: clips for shard, clips in added}
    gone = {shard.path for shard in emptied}
    shards = [shard for shard in old.all_shards if shard.path not in gone]
    shards = list(in_order([*shards, *(shard for shard, _ in added)], old))
    tables = tables_of(shards)
    touched = {shard.table for shard in (*shards, *emptied) if shard.path in {*changed, *new, *gone}}
    place = waiting(build)

    def written() -> Iterator[Record]:
        ledger = Ledger(build, RewriteStage.ledger)
        for table in (name for name in tables if name in touched):
            held = _by_shard(build, table, old)
            for shard in tables[table]:
                if shard.path in new:
                    yield record_of(shard)
                    yield from new[shard.path]
                elif shard.path in changed:
                    yield from (
                        record for record in ledger.read(changed[shard.path]) if "proxy" not in record
                    )
                else:
                    yield record_of(shard)
                    yield from next(clips for path, clips in held if path == shard.path)

    indexed = {shard.path: shard for shard in write_metadata(place, written(), old.features)}
    shards = [indexed.get(shard.path, shard) for shard in shards]
    manifest = replace(
        old,
        version=__version__,
        none_shards=tuple(shard for shard in shards if shard.split == NONE),
        complete=False,
    ).with_shards(shard for shard in shards if shard.split != NONE)
    manifest = manifest.with_lists(lists)
    if manifest.benchmark is not None:
        cells = _cells(manifest.benchmark, build, manifest, touched)
        manifest = replace(manifest, benchmark=replace(manifest.benchmark, cells=cells))
    manifest = _named(manifest, lists)
    untouched = [table for table in tables if table not in touched]
    for table in untouched:  # the card counts over all of them
        with build.local(table) as path:
            place.put(table, path)
    write_card(place, manifest, manifest.notes, unchanged=build)
    for name, data in lists.items():
        place.put(name, data)
    manifest = replace(manifest, complete=True)
    place.put(MANIFEST_NAME, manifest.to_json().encode())
    kept = {name for name, data in lists.items() if data or name == REJECTED_NAME}
    pictures = {name for name in (CONTACT_SHEET, EMOTION_CHART) if place.exists(name)}
    proxies, stale = _proxies(build, changed, gone)
    coming = {*pictures, *changed, *new, *(touched & set(tables)), *kept, INFO_NAME, CARD_NAME, MANIFEST_NAME}
    coming |= proxies
    for name in list(place.list()):  # another plan than this one may have left something
        if name not in coming:
            place.delete(name)
    lease.check()
    commit(build, gone | (touched - set(tables)) | (set(lists) - kept) | stale)
    return manifest


def _proxies(build: Store, changed: Mapping[str, str], gone: Container[str]) -> tuple[set[str], set[str]]:
    """Let the proxies follow: those of changed shards wait, and whatever else may hold what left them goes.

    Args:
        build: the build.
        changed: keys of the parts of `RewriteStage`, by their shards' paths.
        gone: shards in which no clip is left.

    Returns:
        Files that wait to take their places, and files that go.
    """
    sets = read_proxies(build)
    if not sets and not any(True for _ in build.list(PROXY_FOLDER)):
        return set(), set()
    ledger = Ledger(build, RewriteStage.ledger)
    again = [
        ProxyShard(**record["proxy"])
        for key in changed.values()
        for record in ledger.read(key)
        if "proxy" in record
    ]
    follow = []
    for one in sets:
        mine = {proxy.source: proxy for proxy in again if proxy.path in {each.path for each in one.shards}}
        shards = (
            mine.get(proxy.source, proxy)
            for proxy in one.shards
            if proxy.source not in gone and (proxy.source not in changed or proxy.source in mine)
        )
        follow.append(replace(one, shards=tuple(shards)))
    waiting(build).put(PROXIES_NAME, proxies_json(follow).encode())
    named = {proxy.path for one in follow for proxy in one.shards} | {PROXIES_NAME}
    # a run that was interrupted may have left proxies that no list names, of clips that are removed now
    stale = {name for name in build.list(PROXY_FOLDER) if name not in named}
    return {PROXIES_NAME, *(proxy.path for proxy in again)}, stale


def _by_shard(build: Store, table: str, old: Manifest) -> Iterator[tuple[str, Iterator[Record]]]:
    """The clips that a table lists so far, shard by shard."""
    if all(shard.table != table for shard in old.all_shards):
        return
    for path, rows in groupby(rows_of(build, table), key=lambda row: str(row["shard"])):
        yield path, (clip_record(row) for row in rows)


def _cells(
    benchmark: Benchmark, build: Store, manifest: Manifest, touched: Container[str]
) -> tuple[BenchmarkCell, ...]:
    """The cells of the benchmark as the shards fill them now."""
    counts: Counter[tuple[str, str]] = Counter()
    for table in manifest.tables(splits=(BENCHMARK,)):
        store = waiting(build) if table in touched else build
        counts.update((row["content_type"], row["emotion"]) for row in rows_of(store, table))
    cells = []
    for cell in benchmark.cells:
        filled = counts[cell.content_type, cell.emotion]
        short = cell.reason or "clips were removed or have another label now"
        reason = short if filled < cell.asked else None
        cells.append(replace(cell, filled=filled, reason=reason))
    return tuple(cells)


def _named(manifest: Manifest, lists: Mapping[str, bytes]) -> Manifest:
    """The manifest with digests that follow from all that it was and is."""
    digest = hashlib.sha256(manifest.to_json().encode())
    for name in sorted(lists):
        digest.update(lists[name])
    settings = hashlib.sha256(f"{manifest.settings_digest}/{digest.hexdigest()}".encode())
    return replace(manifest, source_digest=digest.hexdigest(), settings_digest=settings.hexdigest())
