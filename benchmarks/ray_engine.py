"""What Ray costs on one machine: two workers against one, and Ray against processes.

    python benchmarks/ray_engine.py --record benchmarks/ray_engine.json

Run it on a machine that does nothing else. Clips are small MP4s, told apart by a `free` box, so that what an
engine costs weighs most. `prepare` is timed alone, on clips that are encoded; a build of 2,000 clips is timed
whole, by as many workers as there are cores, by Ray and by processes. Ray's start is not counted: a cluster
is there before. The goals are an efficiency of 1.7 with two workers, and 0.85 of the speed of processes.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import struct
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
if not __package__:  # run as a script
    sys.path.insert(0, str(ROOT))

from benchmarks.scale import machine, real_clip  # noqa: E402
from emovid_dataset.builder.build import BuildReport, build  # noqa: E402
from emovid_dataset.engine import Executor, Processes, executor  # noqa: E402
from emovid_dataset.schema.emotions import EMOTIONS  # noqa: E402
from emovid_dataset.terminal import print_table  # noqa: E402

RECORD = ROOT / "benchmarks" / "ray_engine.json"


def clips(folder: Path, count: int) -> Path:
    """So many small clips with their sheet."""
    folder.mkdir()
    one = real_clip(folder.parent / "one.mp4")
    with (folder / "labels.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("path", "emotion", "content_type"))
        for number in range(count):
            (folder / f"{number:06d}.mp4").write_bytes(one + struct.pack(">I4sQ", 16, b"free", number))
            writer.writerow((f"{number:06d}.mp4", EMOTIONS[number % len(EMOTIONS)], "sticker"))
    return folder


def timed(raw: Path, out: Path, engine: Executor, **settings: Any) -> tuple[float, BuildReport]:
    """Seconds of a build, and its report."""
    begun = time.monotonic()
    report = build(raw, raw / "labels.csv", out, engine=engine, **settings)
    return time.monotonic() - begun, report


def measure(folder: Path, count: int, encoded: int, repeats: int) -> dict[str, Any]:
    """Time both; of several runs the quickest counts."""
    import ray

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    os.environ.setdefault("RAY_worker_niceness", "0")  # as the engine does with a Ray of its own
    ray.init(num_cpus=max(2, cores), include_dashboard=False, log_to_driver=False)
    try:
        some, many = clips(folder / "some", encoded), clips(folder / "many", count)
        warm = executor("ray", 2)
        timed(some, folder / "warm", warm)  # Ray's own processes start
        numbers = iter(range(1000))

        def best(make: Callable[[], Executor], raw: Path, step: str | None, **settings: Any) -> float:
            found = []
            for _ in range(repeats):
                seconds, report = timed(raw, folder / f"out{next(numbers)}", make(), **settings)
                found.append(report.steps[step] if step else seconds)
            return min(found)

        prepare = {
            workers: best(lambda n=workers: executor("ray", n), some, "prepare", transcode="always")
            for workers in (1, 2)
        }
        whole = {
            "ray": best(lambda: executor("ray", cores), many, None),
            "processes": best(lambda: Processes(cores), many, None),
        }
    finally:
        ray.shutdown()
    return {
        "machine": machine(),
        "encoded": encoded,
        "prepare_seconds": {str(workers): round(seconds, 2) for workers, seconds in prepare.items()},
        "two_against_one": round(prepare[1] / prepare[2], 3),
        "clips": count,
        "workers": cores,
        "build_seconds": {name: round(seconds, 2) for name, seconds in whole.items()},
        "ray_against_processes": round(whole["processes"] / whole["ray"], 3),
    }


def main() -> None:
    """Measure, print and record."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--clips", type=int, default=2_000)
    parser.add_argument("--encoded", type=int, default=400, help="clips on which prepare is timed")
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--record", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="emovid-ray-engine-") as folder:
        record = measure(Path(folder), given.clips, given.encoded, given.repeats)
    rows: list[list[object]] = [
        ["prepare: two Ray workers against one", record["two_against_one"], 1.7],
        [f"build of {given.clips:,} clips: Ray against processes", record["ray_against_processes"], 0.85],
    ]
    print_table("Ray on one machine", ["", "ratio", "goal"], rows)
    if given.record is not None:
        given.record.write_text(json.dumps(record, indent=1, allow_nan=False) + "\n")


if __name__ == "__main__":
    main()
