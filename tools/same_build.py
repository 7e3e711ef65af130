"""Compare two builds, such as those of one input by two versions of the package.

    python -m tools.same_build OLD NEW

MP4 members, labels, captions, JSON members, splits and the order of the clips in their shards must be the
same. Both builds are read by Python's own tarfile. Exits 1 and names the first differences when they are not.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import tarfile
from pathlib import Path


def listing(build: Path) -> list[tuple[str, str, str]]:
    """Every member of every shard, in order: shard, name, sha256."""
    found = []
    for shard in sorted(build.glob("data/*/*.tar")):
        with tarfile.open(shard) as tar:
            for info in tar:
                file = tar.extractfile(info)
                data = file.read() if file is not None else b""
                digest = hashlib.sha256(data).hexdigest()
                found.append((shard.relative_to(build).as_posix(), info.name, digest))
    return found


def main() -> None:
    """Compare, and say what differs."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("old", type=Path, help="a build")
    parser.add_argument("new", type=Path, help="another")
    arguments = parser.parse_args()
    old, new = listing(arguments.old), listing(arguments.new)
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
    print(f"the same: {clips} clips, {len(old)} members, {len({shard for shard, _, _ in old})} shards")


if __name__ == "__main__":
    main()
