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
RENAMED = {"brightness": "luma", "colorfulness": "colorfulness_m3", "hue": "hue_chroma"}
NEW = ("brightness", "colorfulness", "hue", "raters", "votes", "agreement", "color", "extra")


def from_shards(folder: Path, config: str) -> dict[str, list[str]]:
    """The clips as JSON by split, read with Python's own tarfile."""
    manifest = json.loads((folder / "manifest.json").read_bytes())
    types = manifest["configs"][config]
    if manifest["format"] == 1:
        types = [config] if config != "all" else [name for name in manifest["configs"] if name != "all"]
    found: dict[str, list[str]] = {}
    for split in manifest.get("splits", ("train", "validation", "test")):
        shards = [shard for kind in types for shard in sorted(folder.glob(f"data/{kind}/{split}-*.tar"))]
        for shard in shards:
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


def as_today(text: str) -> str:
    """A clip of format 1 as the loading script gives it: under today's names, with null for what is new."""
    clip = json.loads(text)
    old = {RENAMED.get(name, name): value for name, value in clip.items()}
    return json.dumps({**dict.fromkeys(NEW), **old}, sort_keys=True)


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
    manifest = json.loads((folder / "manifest.json").read_bytes())
    for config in manifest["configs"]:
        stored = from_shards(folder, config)
        today = {split: [as_today(clip) for clip in clips] for split, clips in stored.items()}
        for streaming in (False, True):
            how = "streaming" if streaming else "on disk"
            for name, got in loads(folder, config, streaming, cache):
                is_renamed = manifest["format"] == 1 and name != "the typed card"
                expected = today if is_renamed else stored
                counts = {split: len(clips) for split, clips in got.items()}
                print(f"{config}, {how}, {name}: {counts}", flush=True)
                if list(got) != list(expected):
                    yield f"{config}, {how}, {name}: splits {list(got)}, not {list(expected)}"
                for split in expected:
                    if got.get(split) != expected[split]:
                        yield f"{config}, {how}, {name}, {split}: clips differ from the shards"


def names(folder: Path, cache: str) -> Iterator[str]:
    """Without a name the script gives every clip; a name that the build lacks is refused with its configs."""
    options: dict[str, Any] = {"data_dir": str(folder), "streaming": True, "cache_dir": cache}
    default = datasets.load_dataset(str(SCRIPT), trust_remote_code=True, **options)
    counts = {split: len(list(rows)) for split, rows in default.items()}
    if counts != {split: len(clips) for split, clips in from_shards(folder, "all").items()}:
        yield f"without a name: {counts}"
    held = list(json.loads((folder / "manifest.json").read_bytes())["configs"])
    try:
        datasets.load_dataset(str(SCRIPT), name="unknown", trust_remote_code=True, **options)
    except ValueError as error:
        if f"it has: {', '.join(held)}" not in str(error):
            yield f"a wrong name: {error}"
    else:
        yield "a wrong name is not refused"


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
        found = [*differences(folder, f"{temporary}/cache"), *names(folder, f"{temporary}/cache")]
    for line in found:
        print(line, file=sys.stderr)
    print(f"datasets {datasets.__version__}: {len(found)} differences")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
