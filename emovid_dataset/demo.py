"""Load a build back in every way and print one line of each: `python -m emovid_dataset.demo DIR`."""

from __future__ import annotations

import sys
from pathlib import Path

from datasets import Video, load_dataset

import emovid_dataset
from emovid_dataset.read.manifest import read_manifest


def main(folder: Path) -> None:
    """Load `folder` with `load_dataset`, the builder, `stream` and `select`, and compare what they say.

    Raises:
        ValueError: two ways disagree.
    """
    manifest = read_manifest(folder)
    config = manifest.configs()[-1]
    count = manifest.splits(config)["train"]["samples"]

    typed = load_dataset(str(folder), config, split="train", streaming=True)
    typed = typed.cast_column("mp4", Video(decode=False))  # bytes: only decoding needs torchcodec
    ids = [row["json"]["id"] for row in typed]
    print(f"load_dataset(DIR, {config!r}): {len(ids)} clips of {count}, no remote code")

    built = emovid_dataset.load(folder, config, split="train")
    row = built[0]
    emotion = built.features["emotion"].int2str(row["emotion"])
    print(f"emovid_dataset.load: {len(built)} clips; {row['id']}: {emotion}, {row['caption']!r}")

    streamed = emovid_dataset.stream(folder, config, split="train", frames=16, size=224)
    first = next(iter(streamed))
    video = first["video"]
    print(f"emovid_dataset.stream: video {list(video.shape)} {video.dtype}, {first['caption']!r}")

    chosen = emovid_dataset.select(folder, content_type=config, emotion="awe", brightness=(0.5, 1), limit=20)
    size = sum(len(item.video) for item in chosen)
    print(f"emovid_dataset.select: {len(chosen)} bright clips of awe, {size:,} bytes read by offset")

    if not len(ids) == len(built) == count or sorted(ids) != sorted(built["id"]):
        raise ValueError(f"{len(ids)} typed, {len(built)} built, {count} in the manifest: they disagree")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
