"""Compare two builds, such as those of one input by two versions of the package.

    python -m tools.same_build OLD NEW

MP4 members, labels, captions, JSON members, splits and the order of the clips in their shards must be the
same. The names of the shards need not be: earlier versions put the number of shards into them. Of builds of
two formats, the fields that both formats have must be the same; the visual attributes are left out, because
formats differ in how they are measured. Both builds are read by Python's own tarfile. Exits 1 and names the
first differences when they are not the same.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import sys
import tarfile
from collections.abc import Set
from pathlib import Path

ATTRIBUTES = frozenset(("brightness", "colorfulness", "hue", "luma", "colorfulness_m3", "hue_chroma"))


def shards(build: Path) -> dict[str, Path]:
    """The shards by content type, split and number, whatever the version that named them.

    Args:
        build: a folder.
    """
    found = {}
    for path in sorted((build / "data").rglob("*.tar")):
        content_type, name = path.relative_to(build).parts[1], re.sub(r"-of-\d+$", "", path.stem)
        found[f"{content_type}/{name}"] = path
    return dict(sorted(found.items()))


def listing(build: Path, fields: Set[str] | None = None) -> list[tuple[str, str, str]]:
    """Every member of every shard, in order: content type, split and number of the shard, name, sha256.

    Args:
        build: a folder.
        fields: those of the JSON members that count; None takes the members as they are.
    """
    found = []
    for place, shard in shards(build).items():
        with tarfile.open(shard) as tar:
            for info in tar:
                file = tar.extractfile(info)
                data = file.read() if file is not None else b""
                if fields is not None and info.name.endswith(".json"):
                    held = {name: value for name, value in json.loads(data).items() if name in fields}
                    data = json.dumps(held, sort_keys=True, allow_nan=False).encode()
                digest = hashlib.sha256(data).hexdigest()
                found.append((place, info.name, digest))
    return found


def shared_fields(old: Path, new: Path) -> frozenset[str] | None:
    """The fields to compare of builds of two formats; None where both are of one."""
    first, second = (json.loads((build / "manifest.json").read_bytes())["format"] for build in (old, new))
    if first == second:
        return None
    return (_fields(old) & _fields(new)) - ATTRIBUTES


def _fields(build: Path) -> frozenset[str]:
    for shard in shards(build).values():
        with tarfile.open(shard) as tar:
            for info in tar:
                file = tar.extractfile(info)
                if file is not None and info.name.endswith(".json"):
                    return frozenset(json.loads(file.read()))
    return frozenset()


def main() -> None:
    """Compare, and say what differs."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("old", type=Path, help="a build")
    parser.add_argument("new", type=Path, help="another")
    arguments = parser.parse_args()
    fields = shared_fields(arguments.old, arguments.new)
    old, new = listing(arguments.old, fields), listing(arguments.new, fields)
    if not old or not new:
        sys.exit(f"{arguments.old if not old else arguments.new} holds no shards")
    if old != new:
        gone, come = set(old) - set(new), set(new) - set(old)
        for sign, rows in (("-", gone), ("+", come)):
            for shard, name, digest in sorted(rows)[:5]:
                print(f"{sign} {shard}: {name} {digest[:16]}")
        what = "the order differs" if not gone and not come else f"{len(gone)} gone, {len(come)} new"
        sys.exit(f"the builds differ: {what}")
    clips = sum(name.endswith(".mp4") for _, name, _ in old)
    shared = "" if fields is None else f", {len(fields)} shared fields"
    print(
        f"the same: {clips} clips, {len(old)} members{shared}, {len({shard for shard, _, _ in old})} shards"
    )


if __name__ == "__main__":
    main()
