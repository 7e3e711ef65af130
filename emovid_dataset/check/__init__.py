"""`verify`: check a build as a stranger would, by what stands in its files.

Every shard is read once, by any number of workers (`shards`), and on demand its clips are decoded whole
(`decoding`). What was found of it, and its sound clips, are records; then they are held against the metadata,
the splits, `_info.json`, the card and what else lies there (`index`).
"""

from __future__ import annotations

import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from emovid_dataset.check.index import check_index
from emovid_dataset.check.proxies import check_proxy_list
from emovid_dataset.check.shards import VerifyStage
from emovid_dataset.engine import Executor, executor, records, run_stage
from emovid_dataset.read.manifest import read_manifest
from emovid_dataset.read.proxies import read_proxies
from emovid_dataset.report.decoding_limit import DecodingLimit, decoding_limit
from emovid_dataset.report.problems import Problem, read_problems
from emovid_dataset.schema.proxies import ProxySet
from emovid_dataset.store import Store

__all__ = ["CheckReport", "check_build", "verify"]


@dataclass(frozen=True, slots=True)
class CheckReport:
    """What was checked of a build, and what was found.

    Attributes:
        violations: one line each; empty when all is well.
        notes: one line each about what is unusual but no violation, such as sound that ends before its
            pictures.
        shards: read.
        clips: whose fields are right.
        decoded: of those, decoded whole.
        problems: that the build lists, see `report.problems`; they are no violations.
        limit: how near it came to decoding alone; None where nothing was decoded, or that is not known.
    """

    violations: tuple[str, ...]
    notes: tuple[str, ...] = ()
    shards: int = 0
    clips: int = 0
    decoded: int = 0
    problems: tuple[Problem, ...] = ()
    limit: DecodingLimit | None = None


def verify(
    folder: str | os.PathLike[str],
    *,
    decode: bool = False,
    sample: float = 1.0,
    engine: str | Executor = "processes",
    workers: int | None = None,
    progress: bool = False,
) -> list[str]:
    """Check a build: manifest, hashes, members, JSON types, offsets, counts, splits, benchmark, card.

    Args:
        folder: a build.
        decode: decode clips too, every frame and all sound of them, and compare number, size and times of the
            frames, brightness, colorfulness and luma, and the length of the sound with what they claim; of
            their proxies the number of the frames.
        sample: share of the clips that are decoded, above 0 and up to 1: the same clips each time.
        engine: "processes", "serial" (all in this process), "ray", or an `Executor`.
        workers: processes, None for one per core.
        progress: show progress on stderr.

    Returns:
        Violations, one line each; empty when all is well.

    Raises:
        ValueError: `workers` or `sample` is out of range.
    """
    report = check_build(
        folder, decode=decode, sample=sample, engine=engine, workers=workers, progress=progress
    )
    return list(report.violations)


def check_build(
    folder: str | os.PathLike[str],
    *,
    decode: bool = False,
    sample: float = 1.0,
    engine: str | Executor = "processes",
    workers: int | None = None,
    progress: bool = False,
) -> CheckReport:
    """Check a build as `verify` does, and say how much was checked.

    Args:
        folder, decode, sample, engine, workers, progress: as for `verify`.

    Raises:
        ValueError: as for `verify`.
    """
    if not 0 < sample <= 1:
        raise ValueError(f"sample is {sample}; it must be above 0 and at most 1")
    runner = executor(engine, workers) if isinstance(engine, str) else engine
    try:
        text = os.fspath(folder)
        build = Store.find(text) if "://" in text else Store.at(text)
        manifest = read_manifest(build)
    except (ValueError, OSError) as error:
        return CheckReport((" ".join(str(error).split()),))
    # the build itself may be read-only, and what was found today says nothing of tomorrow
    with tempfile.TemporaryDirectory(prefix="emovid-verify-") as scratch:
        ledger = Store.at(scratch)
        found: list[str] = []
        notes: list[str] = []
        proxies: tuple[ProxySet, ...] = ()
        try:
            proxies = read_proxies(build)
        except (ValueError, OSError) as error:
            found.append(" ".join(str(error).split()))
        stage = VerifyStage(build, manifest, manifest.all_shards, sample if decode else 0.0, proxies)
        begun = time.monotonic()
        run_stage(stage, ledger, executor=runner, progress=progress, total=len(manifest.all_shards))
        seconds = time.monotonic() - begun
        if not build.has_listings:
            notes.append(
                f"{build.name}: http has no listings, so files that the manifest does not name are not found"
            )
        clips = decoded = 0
        for record in records(stage, ledger):
            found += record.get("found", ())
            notes += record.get("notes", ())
            clips += "clip" in record
            decoded += record.get("decoded", False)
        found += check_index(build, manifest, stage, ledger, Path(scratch, "seen.sqlite"))
        stale, lacking = check_proxy_list(build, manifest, proxies)
        found += stale
        notes += lacking
        problems: tuple[Problem, ...] = ()
        try:
            problems = read_problems(build)
        except (ValueError, OSError) as error:
            found.append(" ".join(str(error).split()))
        shards = len(manifest.all_shards)
        limit = None
        if decode and not found:  # of a sound build
            limit = decoding_limit("verify", build, manifest, runner, seconds=seconds, share=sample)
        return CheckReport(tuple(found), tuple(notes), shards, clips, decoded, problems, limit)
