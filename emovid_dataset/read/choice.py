"""Which clips of each shard are chosen, by the metadata tables: no shard is opened for it."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from emovid_dataset.read.metadata import row_groups
from emovid_dataset.schema.clip import Clip
from emovid_dataset.schema.features import PLACE_COLUMNS
from emovid_dataset.schema.manifest import Manifest, ShardRecord, tables_of
from emovid_dataset.store import Store

if TYPE_CHECKING:
    import pyarrow


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
    emotions = None if labels is None else [manifest.taxonomy.names[label] for label in sorted(labels)]
    numbers = {shard.path: number for number, shard in enumerate(shards)}
    rows: list[list[np.ndarray]] = [[] for _ in shards]
    columns = ["shard", "offset", "emotion"] if where is None else None
    for path in sorted(tables_of(shards)):
        with row_groups(store, path) as groups:
            for group in groups:
                _share_out(group.to_table(columns=columns), numbers, rows, manifest, emotions, where)
    ordinals: list[Sequence[int]] = []
    for shard, held in zip(shards, rows, strict=True):
        offsets, chosen = np.concatenate(held, axis=1) if held else np.empty((2, 0), np.int64)
        if len(offsets) != shard.samples:
            raise OSError(
                f"the metadata of {store.name} lists {len(offsets)} clips of {shard.path} instead "
                f"of {shard.samples}; the build is damaged"
            )
        places = np.flatnonzero(chosen[np.argsort(offsets)])
        ordinals.append(array("q", places.astype(np.int64).tobytes()))
    return ordinals


def _share_out(
    table: pyarrow.Table,
    numbers: Mapping[str, int],
    rows: Sequence[list[np.ndarray]],
    manifest: Manifest,
    emotions: Sequence[str] | None,
    where: Callable[[Clip], bool] | None,
) -> None:
    """Add the rows of a table to their shards: the offset of each, and whether it is chosen, int [2, n]."""
    import pyarrow
    from pyarrow import compute

    chosen = np.ones(len(table), bool)
    if emotions is not None:
        chosen = compute.is_in(table["emotion"], value_set=pyarrow.array(emotions)).to_numpy()
    if where is not None:
        chosen = chosen & _are_true(where, table, manifest, chosen)
    names = table["shard"].combine_chunks().dictionary_encode()
    known = np.array([numbers.get(name, -1) for name in names.dictionary.to_pylist()], np.int64)
    shards = known[names.indices.to_numpy()]
    pairs = np.stack([table["offset"].to_numpy(), chosen.astype(np.int64)])
    for number in np.unique(shards[shards >= 0]):
        rows[number].append(pairs[:, shards == number])


def _are_true(
    where: Callable[[Clip], bool], table: pyarrow.Table, manifest: Manifest, asked: np.ndarray
) -> np.ndarray:
    """Whether a condition is true of each clip; it is asked only about some of them."""
    import pyarrow

    answers = np.zeros(len(table), bool)
    rows = table.filter(pyarrow.array(asked)).drop_columns(list(PLACE_COLUMNS)).to_pylist()
    answers[asked] = [bool(where(manifest.clip(row))) for row in rows]
    return answers
