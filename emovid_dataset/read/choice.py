"""Which clips of each shard are chosen, by the metadata tables: no shard is opened for it."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import Any

from emovid_dataset.schema.clip import Clip
from emovid_dataset.schema.manifest import Manifest, ShardRecord, tables_of
from emovid_dataset.store import Store


def chosen_clips(
    store: Store,
    manifest: Manifest,
    shards: Sequence[ShardRecord],
    *,
    labels: frozenset[int] | None = None,
    where: Callable[[Clip], bool] | None = None,
) -> list[Sequence[int]]:
    """Choose clips by their labels and a condition.

    Args:
        store: where the build lies.
        manifest: of the build.
        shards: some of its shards.
        labels: only clips with these labels; None takes all.
        where: only clips for which it is true; None takes all.

    Returns:
        For each shard the ordinals of its chosen clips, ascending, 0 for its first clip.

    Raises:
        FileNotFoundError: a metadata table is missing.
        OSError: one cannot be read, or does not list the clips that the manifest counts.
    """
    if labels is None and where is None:
        return [range(shard.samples) for shard in shards]
    import pyarrow.parquet

    emotions = None if labels is None else {manifest.taxonomy.names[label] for label in labels}
    places: dict[str, list[tuple[int, bool]]] = {shard.path: [] for shard in shards}
    columns = ["shard", "offset", "emotion"] if where is None else None
    for path in sorted(tables_of(shards)):
        for batch in pyarrow.parquet.ParquetFile(io.BytesIO(store.read(path))).iter_batches(columns=columns):
            for row in batch.to_pylist():
                if row["shard"] in places:
                    place, offset = places[row["shard"]], row["offset"]
                    place.append((offset, _is_chosen(row, manifest, emotions, where)))
    for shard in shards:
        if len(places[shard.path]) != shard.samples:
            raise OSError(
                f"the metadata of {store.name} lists {len(places[shard.path])} clips of {shard.path} instead "
                f"of {shard.samples}; the build is damaged"
            )
    return [
        [ordinal for ordinal, (_, chosen) in enumerate(sorted(places[shard.path])) if chosen]
        for shard in shards
    ]


def _is_chosen(
    row: dict[str, Any],
    manifest: Manifest,
    emotions: set[str] | None,
    where: Callable[[Clip], bool] | None,
) -> bool:
    if emotions is not None and row["emotion"] not in emotions:
        return False
    if where is None:
        return True
    fields = {name: value for name, value in row.items() if name not in ("shard", "offset", "size")}
    return bool(where(manifest.clip(fields)))
