"""Annotating a build on a bucket whose network breaks, into a file there: as on the disk."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from buckets import copied, faults, s3, s3_server
from faulty_server import FaultyServer

from emovid_dataset.store import Store
from emovid_models.annotator.annotate import annotate
from emovid_models.annotator.items import find_items

__all__ = ["faults", "s3", "s3_server"]


def test_annotations_of_a_build_on_a_bucket_are_those_of_the_same_build_on_the_disk(
    sticker_build: Path, annotator: Any, s3: Store, faults: FaultyServer, tmp_path: Path
) -> None:
    there = copied(Store.at(sticker_build), s3, "EmoVid").root
    here = Store.at(tmp_path)
    for items, store in ((find_items(str(sticker_build)), here), (find_items(there), s3)):
        annotate(items, annotator, store.url("found.parquet"), identity="tiny", batch_size=4)
    found = [pq.read_table(io.BytesIO(store.read("found.parquet"))) for store in (here, s3)]
    assert found[1].drop_columns("version") == found[0].drop_columns("version") and len(found[0]) > 30
    assert list(s3.list()) == sorted(
        ["found.parquet", *(f"EmoVid/{n}" for n in Store.at(sticker_build).list())]
    )
    assert faults.happened.total() >= 3
