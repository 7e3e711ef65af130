"""Write what stands beside the shards: the metadata tables, `_info.json`, the card."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

from emovid_dataset.engine import Record
from emovid_dataset.report.card import info_json, render_card
from emovid_dataset.report.card_pictures import contact_sheet, emotion_chart
from emovid_dataset.report.tally import count_emotions
from emovid_dataset.schema.features import FEATURES, FeatureType, metadata_schema
from emovid_dataset.schema.file_names import CONTACT_SHEET, EMOTION_CHART, IMAGES_FOLDER
from emovid_dataset.schema.manifest import CARD_NAME, INFO_NAME, PAPER_CORPUS, Manifest, ShardRecord
from emovid_dataset.store import Store

if TYPE_CHECKING:
    import pyarrow

ROWS_PER_GROUP = 10_000
"""Rows of a row group; a reader with a filter skips groups."""


def write_metadata(
    out: Store, records: Iterable[Record], features: Mapping[str, FeatureType] = FEATURES
) -> tuple[ShardRecord, ...]:
    """Write the metadata tables: every clip field plus shard, offset and size.

    Args:
        out: the build.
        records: of `shards.write_shard`, shard after shard; those of a table together.
        features: of the build, its columns.

    Returns:
        The shards' records.
    """
    shards: list[ShardRecord] = []

    def rows() -> Iterator[tuple[str, dict[str, Any]]]:
        for record in records:
            if "shard" in record:
                shards.append(ShardRecord(**record["shard"]))
            else:
                shard = shards[-1]
                place = {"shard": shard.path, "offset": record["offset"], "size": record["size"]}
                yield shard.table, {**record["clip"], **place}

    for name, members in groupby(rows(), key=lambda row: row[0]):
        _write_table(out, name, (row for _, row in members), metadata_schema(features))
    return tuple(shards)


def _write_table(out: Store, name: str, rows: Iterable[dict[str, Any]], schema: pyarrow.Schema) -> None:
    from pyarrow import parquet

    with out.create(name) as file, parquet.ParquetWriter(file, schema) as writer:
        held: list[dict[str, Any]] = []
        for row in rows:
            held.append(row)
            if len(held) == ROWS_PER_GROUP:
                writer.write_table(_table(held, schema))
                held.clear()
        if held:
            writer.write_table(_table(held, schema))


def _table(rows: Sequence[dict[str, Any]], schema: pyarrow.Schema) -> pyarrow.Table:
    """The rows as a table, by way of JSON: pyarrow imports pandas to make one of Python's objects."""
    import pyarrow.json

    lines = "\n".join(json.dumps(row, allow_nan=False) for row in rows).encode("ascii")
    parse = pyarrow.json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="error")
    # one block: a row may not reach beyond one
    read = pyarrow.json.ReadOptions(use_threads=False, block_size=len(lines) + 1)
    return pyarrow.json.read_json(io.BytesIO(lines), read_options=read, parse_options=parse)


def write_card(
    out: Store, manifest: Manifest, notes: Sequence[str], *, unchanged: Store | None = None
) -> None:
    """Write `_info.json`, the dataset's card and its pictures.

    Args:
        out: the build; its metadata and shards are there.
        manifest: of the build.
        notes: sentences about this corpus for the card.
        unchanged: where the shards lie that `out` does not hold.
    """
    out.clear(IMAGES_FOLDER)
    if manifest.corpus != PAPER_CORPUS:  # of a restricted corpus a card shows no clip: everybody sees it
        out.put(CONTACT_SHEET, contact_sheet(out, manifest, unchanged))
    out.put(EMOTION_CHART, emotion_chart(count_emotions(manifest, out)))
    out.put(INFO_NAME, info_json(manifest).encode())
    out.put(CARD_NAME, render_card(manifest, out, notes=notes).encode())
