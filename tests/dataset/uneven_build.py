"""A small build with shards of unequal length: 41 stickers of the miniature in shards of 14, 7 and 20."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

import pyarrow
import pyarrow.parquet

from emovid_dataset.read.manifest import read_manifest
from emovid_dataset.read.shard import read_samples
from emovid_dataset.schema.file_names import shard_path
from emovid_dataset.schema.manifest import MANIFEST_NAME, ShardRecord

COUNTS = (14, 7, 20)


def _samples(path: Path) -> Iterator[tuple[str, dict[str, bytes], int]]:
    with path.open("rb") as file:
        yield from read_samples(file)


def write_uneven_build(mini_build: Path, out: Path) -> Path:
    """Write the build; only its split "train" of the config "sticker" is there."""
    manifest = read_manifest(mini_build)
    rows = {
        row["id"]: row
        for row in pyarrow.parquet.read_table(mini_build / "metadata/sticker/train.parquet").to_pylist()
    }
    samples = (
        sample
        for shard in manifest.select("sticker", "train")
        for sample in _samples(mini_build / shard.path)
    )
    shards, table = [], []
    for number, count in enumerate(COUNTS):
        path = shard_path("sticker", "train", number)
        (out / path).parent.mkdir(parents=True, exist_ok=True)
        with tarfile.open(out / path, "w", format=tarfile.USTAR_FORMAT) as tar:
            for key, members, _ in islice(samples, count):
                table.append({**rows[key], "shard": path, "offset": tar.offset + tarfile.BLOCKSIZE})
                for suffix, data in members.items():
                    info = tarfile.TarInfo(f"{key}.{suffix}")
                    info.size = len(data)
                    tar.addfile(info, io.BytesIO(data))
        shards.append(ShardRecord(path, "sticker", "train", count, (out / path).stat().st_size, "0" * 64))
    metadata = out / "metadata/sticker/train.parquet"
    metadata.parent.mkdir(parents=True)
    # Tables need not have the order of the shards.
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(table[::-1]), metadata)
    (out / MANIFEST_NAME).write_text(replace(manifest, shards=()).with_shards(shards).to_json(), "utf-8")
    return out
