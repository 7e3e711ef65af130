"""A build in which one clip is exchanged and everything else made to agree, as a faulty builder would."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow
from pyarrow import parquet

from emovid_dataset.schema.manifest import Manifest


def forge(folder: Path, key: str, change: Callable[[bytes, dict[str, Any]], bytes]) -> None:
    """Exchange a clip's MP4 and fields; hashes, sizes, offsets, metadata and manifest follow.

    Args:
        folder: a build; it is changed.
        key: the clip's id.
        change: gets the MP4 and the fields, may change the fields, and returns the MP4 to put in its place.
    """
    for path in sorted(folder.glob("data/*/*.tar")):
        with tarfile.open(path) as tar:
            members = [(info.name, tar.extractfile(info).read()) for info in tar]  # type: ignore[union-attr]
        if f"{key}.mp4" not in dict(members):
            continue
        held = dict(members)
        fields = json.loads(held[f"{key}.json"])
        held[f"{key}.mp4"] = change(held[f"{key}.mp4"], fields)
        fields["sha256"] = hashlib.sha256(held[f"{key}.mp4"]).hexdigest()
        held[f"{key}.json"] = json.dumps(fields).encode()
        places: dict[str, dict[str, int]] = {}
        with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
            for name, data in held.items():
                info = tarfile.TarInfo(name)
                info.size = len(data)
                if name.endswith(".mp4"):
                    places[name[:-4]] = {"offset": tar.offset + 512, "size": len(data)}
                tar.addfile(info, io.BytesIO(data))
        _tell_the_manifest(folder, path)
        _tell_the_metadata(folder, path, key, fields, places)
        return
    raise AssertionError(f"{key} is in no shard")


def _tell_the_manifest(folder: Path, shard: Path) -> None:
    text = json.loads((folder / "manifest.json").read_text())
    for record in text["shards"]:
        if record["path"] == shard.relative_to(folder).as_posix():
            record["size"] = shard.stat().st_size
            record["sha256"] = hashlib.sha256(shard.read_bytes()).hexdigest()
    manifest = Manifest.from_json(json.dumps(text))
    (folder / "manifest.json").write_text(manifest.to_json())
    from emovid_dataset.report.card import front_matter, info_json

    (folder / "_info.json").write_text(info_json(manifest))
    card = (folder / "README.md").read_text().split("---\n", 2)
    (folder / "README.md").write_text(f"---\n{front_matter(manifest)}---\n{card[2]}")


def _tell_the_metadata(
    folder: Path, shard: Path, key: str, fields: dict[str, Any], places: dict[str, dict[str, int]]
) -> None:
    split = shard.name.split("-")[0]
    path = folder / "metadata" / shard.parent.name / f"{split}.parquet"
    table = parquet.read_table(path, partitioning=None)
    rows = table.to_pylist()
    for row in rows:
        if row["id"] in places:
            row.update(places[row["id"]])
        if row["id"] == key:
            row.update({name: fields[name] for name in fields if name in row})
    parquet.write_table(pyarrow.Table.from_pylist(rows, schema=table.schema), path)
