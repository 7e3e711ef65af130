"""The metadata table is written from JSON: pyarrow's own way from Python's objects is the reference."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow
from pyarrow import parquet

from emovid_dataset.builder.index import write_metadata
from emovid_dataset.schema.features import FEATURES, metadata_schema
from emovid_dataset.store import Store

ODD: list[dict[str, Any]] = [
    {
        "id": "movie-1",
        "caption": 'naïve 😀 "quoted"\n\t\\ \x00',
        "source": "2020-01-01 00:00:00",  # stays a string
        "extra": '{"a": 1}',
        "valence": 1,
        "emotion_scores": [0.1, 1 / 3, 5e-324],
        "brightness": 0.1 + 0.2,
        "luma": 1,  # a whole number in a column of fractions
        "duration": 1.7976931348623157e308,
        "votes": [1, 2],
        "has_audio": True,
    },
    {"id": "movie-2", "caption": "", "emotion_scores": [], "has_audio": False, "start": -0.0},
]


def test_rows_keep_every_value(tmp_path: Path) -> None:
    features = {**FEATURES, "scene": "string", "takes": ["int64"]}
    clips = [{**dict.fromkeys(features), **clip, "takes": [2**53 + 1]} for clip in ODD]
    shard = {"path": "data/movie/train-1.tar", "content_type": "movie", "split": "train"}
    places = [{"offset": 2**53 + 1, "size": 5}, {"offset": 512, "size": 0}]
    records = [{"shard": {**shard, "samples": 2, "size": 1024, "sha256": "0" * 64}}]
    records += [{"clip": clip, **place} for clip, place in zip(clips, places, strict=True)]

    (written,) = write_metadata(Store.at(tmp_path), records, features)

    rows = [{**clip, **place, "shard": written.path} for clip, place in zip(clips, places, strict=True)]
    expected = pyarrow.Table.from_pylist(rows, schema=metadata_schema(features))
    assert parquet.read_table(tmp_path / "metadata/movie/train.parquet").equals(expected)
