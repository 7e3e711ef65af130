"""`verify`: check a build as a stranger would, by what stands in its files.

Every shard is read once, by any number of workers (`shards`). What was found of it, and its sound clips, are
records; then they are held against the metadata, the splits, `_info.json`, the card and what else lies there
(`index`).
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from emovid_dataset.check.index import check_index
from emovid_dataset.check.shards import VerifyStage
from emovid_dataset.engine import Executor, executor, records, run_stage
from emovid_dataset.read.manifest import read_manifest
from emovid_dataset.store import Store


def verify(
    folder: str | os.PathLike[str],
    *,
    decode: bool = False,
    engine: str | Executor = "processes",
    workers: int | None = None,
    progress: bool = False,
) -> list[str]:
    """Check a build: manifest, hashes, members, JSON types, offsets, counts, splits, benchmark, card.

    Args:
        folder: a build.
        decode: decode every clip too and compare frames, size and sound with what it claims.
        engine: "processes", "serial" (all in this process), or an `Executor`.
        workers: processes, None for one per core.
        progress: show progress on stderr.

    Returns:
        Violations, one line each; empty when all is well.

    Raises:
        ValueError: `workers` is out of range.
    """
    runner = executor(engine, workers) if isinstance(engine, str) else engine
    try:
        text = os.fspath(folder)
        build = Store.find(text) if "://" in text else Store.at(text)
        manifest = read_manifest(build)
    except (ValueError, OSError) as error:
        return [" ".join(str(error).split())]
    # the build itself may be read-only, and what was found today says nothing of tomorrow
    with tempfile.TemporaryDirectory(prefix="emovid-verify-") as scratch:
        stage, ledger = VerifyStage(build, manifest, manifest.all_shards, decode), Store.at(scratch)
        run_stage(stage, ledger, executor=runner, progress=progress, total=len(manifest.all_shards))
        found = [line for record in records(stage, ledger) for line in record.get("found", ())]
        return found + check_index(build, manifest, stage, ledger, Path(scratch, "seen.sqlite"))
