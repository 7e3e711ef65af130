"""Stream a build for a long time: does memory grow, do open files, does every epoch have every clip once?

    python benchmarks/soak.py --minutes 30 --record benchmarks/soak.json
    python benchmarks/soak.py --page                        # the section of docs/faults.md, from the record

Two workers of a torch DataLoader stay for all epochs. After each epoch the anonymous memory of this process
and its workers is added up (mapped libraries count more or less as other processes come and go), and so are
their open files. The first tenth of the time, in which caches fill, does not count for the growth. It runs on
Linux.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import psutil

ROOT = Path(__file__).resolve().parents[1]
if not __package__:  # run as a script
    sys.path.insert(0, str(ROOT))

from emovid_dataset import stream  # noqa: E402
from emovid_dataset.builder.build import build  # noqa: E402
from emovid_dataset.read.manifest import read_manifest  # noqa: E402
from emovid_dataset.read.select import select  # noqa: E402

RECORD = ROOT / "benchmarks" / "soak.json"
MINI = ROOT / "emovid_dataset" / "mini"
SAMPLES = 60
"""So many are kept in the record, spread evenly."""


def held() -> tuple[int, int]:
    """Bytes of anonymous memory of this process and those that it started, and their open files."""
    size = files = 0
    process = psutil.Process()
    for one in (process, *process.children(recursive=True)):
        status = Path(f"/proc/{one.pid}/status").read_text()
        size += 1024 * int(status.partition("RssAnon:")[2].split()[0])
        files += one.num_fds()
    return size, files


def soak(folder: Path, minutes: float, *, workers: int = 2, size: int = 224) -> dict[str, Any]:
    """Stream a build, epoch after epoch, for so long.

    Args:
        folder: the build.
        minutes: at least one epoch is streamed whatever it takes.
        workers: of the DataLoader.
        size: side of the frames, pixels.

    Returns:
        The record.
    """
    from torch.utils.data import DataLoader

    wanted = Counter(clip.id for clip in select(folder, split="train").clips)
    clips = stream(folder, split="train", frames=16, size=size, shuffle=64)
    loader: DataLoader[Any] = DataLoader(
        clips, batch_size=8, num_workers=workers, persistent_workers=True, collate_fn=list
    )
    samples: list[dict[str, float]] = []
    begun = time.monotonic()
    wrong = epochs = 0
    while not epochs or time.monotonic() - begun < 60 * minutes:
        clips.set_epoch(epochs)
        found = Counter(sample["id"] for batch in loader for sample in batch)
        wrong += found != wanted
        epochs += 1
        memory, files = held()
        seconds = round(time.monotonic() - begun, 1)
        samples.append({"seconds": seconds, "mb": round(memory / 1e6, 1), "files": files})
    late = [one for one in samples if one["seconds"] >= 0.1 * samples[-1]["seconds"]] or samples
    hours, megabytes = ([one[name] / scale for one in late] for name, scale in (("seconds", 3600), ("mb", 1)))
    slope = float(np.polyfit(hours, megabytes, 1)[0]) if len(set(hours)) > 1 else 0.0
    kept = {round(place) for place in np.linspace(0, len(samples) - 1, min(SAMPLES, len(samples)))}
    return {
        "epochs": epochs,
        "clips": wanted.total(),
        "minutes": round(samples[-1]["seconds"] / 60, 2),
        "workers": workers,
        "wrong": wrong,
        "mb_per_hour": round(slope, 2),
        "files_more": int(samples[-1]["files"] - samples[0]["files"]),
        "samples": [samples[place] for place in sorted(kept)],
    }


def small_build(folder: Path, clips: int) -> Path:
    """A build of so many stickers of the miniature corpus, in several shards."""
    with (MINI / "labels.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["content_type"] == "sticker"][:clips]
    with (folder / "labels.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    build(MINI, folder / "labels.csv", folder / "build", engine="serial", shard_size=200_000)
    assert len(read_manifest(folder / "build").select(split="train")) >= 2
    return folder / "build"


def main() -> None:
    """Soak, and record it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--clips", type=int, default=64)
    parser.add_argument("--build", type=Path, help="stream this build instead of a small one of stickers")
    parser.add_argument("--record", type=Path)
    parser.add_argument(
        "--page", action="store_true", help="write the section of docs/faults.md, stream nothing"
    )
    given = parser.parse_args()
    if given.page:
        from benchmarks.faults_page import write_section

        write_section("soak", json.loads(RECORD.read_bytes()))
        return
    with tempfile.TemporaryDirectory(prefix="emovid-soak-") as folder:
        record = soak(given.build or small_build(Path(folder), given.clips), given.minutes)
    if given.record is not None:
        given.record.write_text(json.dumps(record, indent=1, allow_nan=False) + "\n")
    print(json.dumps({name: value for name, value in record.items() if name != "samples"}, allow_nan=False))
    raise SystemExit(bool(record["wrong"] or record["files_more"] > 0))


if __name__ == "__main__":
    main()
