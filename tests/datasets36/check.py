"""Check on datasets 3: the loading script and the typed card give the same clips as the shards hold.

    python tests/datasets36/check.py DIR

DIR is a build. The environment has datasets 3.6.0, no torch and no emovid: only what a user of that version
has. Every difference is one line; the exit code is 1 when there is any.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import shutil
import sys
import tarfile
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import datasets

SCRIPT = Path(__file__).resolve().parents[2] / "loading_script.py"
SPLITS = ("train", "validation", "test")


def from_shards(folder: Path, config: str) -> dict[str, list[str]]:
    """The clips as JSON by split, read with Python's own tarfile."""
    found: dict[str, list[str]] = {}
    for split in SPLITS:
        for shard in sorted(folder.glob(f"data/{'*' if config == 'all' else config}/{split}-*.tar")):
            with tarfile.open(shard) as tar:
                files = [(member.name, tar.extractfile(member).read()) for member in tar]  # type: ignore[union-attr]
            for (_, video), (_, text), (_, caption), (_, label) in zip(*[iter(files)] * 4, strict=True):
                fields = json.loads(text)
                found.setdefault(split, []).append(as_json(fields, video, caption.decode(), int(label)))
    return found


def as_json(fields: dict[str, Any], video: bytes, caption: str, label: int) -> str:
    """One clip as JSON, whose text tells an int from a float and null from absent."""
    clip = {**fields, "caption": caption, "label": label, "mp4": hashlib.sha256(video).hexdigest()}
    return json.dumps(clip, sort_keys=True)


def from_card(rows: Iterable[dict[str, Any]]) -> Iterator[str]:
    for row in rows:
        yield as_json(row["json"], row["mp4"]["bytes"], row["txt"], row["cls"])


def from_script(rows: Any) -> Iterator[str]:
    emotions = rows.features["emotion"]
    content_types = rows.features["content_type"]
    for row in rows:
        video, label = row.pop("video"), row["emotion"]
        fields = {
            **row,
            "emotion": emotions.int2str(label),
            "content_type": content_types.int2str(row["content_type"]),
        }
        yield as_json(fields, video["bytes"], row["caption"], label)


def loads(
    folder: Path, config: str, streaming: bool, cache: str
) -> Iterator[tuple[str, dict[str, list[str]]]]:
    """Every way to load a config, with its name."""
    options: dict[str, Any] = {"streaming": streaming, "cache_dir": cache}
    card = datasets.load_dataset(str(folder), config, **options)
    undecoded = {split: rows.cast_column("mp4", datasets.Video(decode=False)) for split, rows in card.items()}
    yield "the typed card", {split: list(from_card(rows)) for split, rows in undecoded.items()}
    options |= {"name": config, "trust_remote_code": True}
    script = datasets.load_dataset(str(SCRIPT), data_dir=str(folder), **options)
    yield "the loading script", {split: list(from_script(rows)) for split, rows in script.items()}
    beside = datasets.load_dataset(str(folder / SCRIPT.name), **options)
    yield (
        "the loading script beside the data",
        {split: list(from_script(rows)) for split, rows in beside.items()},
    )


def differences(folder: Path, cache: str) -> Iterator[str]:
    held = sorted(path.name for path in (folder / "data").iterdir())
    for config in ("all", *held):
        expected = from_shards(folder, config)
        for streaming in (False, True):
            how = "streaming" if streaming else "on disk"
            for name, got in loads(folder, config, streaming, cache):
                counts = {split: len(clips) for split, clips in got.items()}
                print(f"{config}, {how}, {name}: {counts}", flush=True)
                if list(got) != list(expected):
                    yield f"{config}, {how}, {name}: splits {list(got)}, not {list(expected)}"
                for split in expected:
                    if got.get(split) != expected[split]:
                        yield f"{config}, {how}, {name}, {split}: clips differ from the shards"


def main() -> int:
    if len(sys.argv) != 2 or not (Path(sys.argv[1]) / "manifest.json").is_file():
        print("usage: check.py DIR, where DIR is a build", file=sys.stderr)
        return 2
    if not datasets.__version__.startswith("3."):
        print(f"datasets is {datasets.__version__}; this check is for 3", file=sys.stderr)
        return 2
    for name in ("torch", "torchcodec", "emovid_dataset"):
        if importlib.util.find_spec(name) is not None:
            print(f"{name} is installed; this check is for an environment without it", file=sys.stderr)
            return 2
    datasets.disable_progress_bars()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "build"
        shutil.copytree(sys.argv[1], folder)
        shutil.copy(SCRIPT, folder)
        found = list(differences(folder, str(Path(temporary) / "cache")))
    for line in found:
        print(line, file=sys.stderr)
    print(f"datasets {datasets.__version__}: {len(found)} differences")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
