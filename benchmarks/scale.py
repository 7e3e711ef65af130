"""What a clip costs, stage by stage, and how time and memory grow with the number of clips.

    python benchmarks/scale.py --plan-rows 1000000        # the last line: rows N, seconds S, peak MB M
    python benchmarks/scale.py                            # real clips and synthetic rows; table and plot
    python benchmarks/scale.py --sizes 100 --plan-sizes 10000 100000 1000000 --record benchmarks/scale.json
    python benchmarks/scale.py --page                     # docs/scale.md and its plot, from that record

`--plan-rows` runs `emovid_dataset.builder.build.build` itself on a label sheet of so many rows, each a
stretch of a film. Only the work of the workers is synthetic: in the place of an executor that decodes and
encodes, one writes the ledger files that it would have left. So everything that the parent of a build does
is measured: the sheet is read, units and shards are planned, clips are joined, split and laid out, metadata
tables, card and manifest are written. One process does it all; the peak is of its resident set.

Without that option clips are real: small MP4s, told apart by a `free` box, are prepared, written and verified
by one worker. Every measurement is made in a process of its own.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import os
import platform
import random
import resource
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
if not __package__:  # run as a script
    sys.path.insert(0, str(ROOT))

from benchmarks.scale_page import RECORD, exponent, write_page  # noqa: E402
from emovid_dataset.builder import build as building  # noqa: E402
from emovid_dataset.builder.prepare import Prepared, PreparePart, Segment, Unit  # noqa: E402
from emovid_dataset.builder.shards import WritePart, padded_size  # noqa: E402
from emovid_dataset.check import check_build  # noqa: E402
from emovid_dataset.engine import Done, Executor, Ledger, OnDone, Outcome, Part, Record, Stage  # noqa: E402
from emovid_dataset.read.manifest import read_manifest  # noqa: E402
from emovid_dataset.read.select import select  # noqa: E402
from emovid_dataset.report.stats import measure  # noqa: E402
from emovid_dataset.schema.emotions import EMOTIONS  # noqa: E402
from emovid_dataset.schema.manifest import ShardRecord  # noqa: E402
from emovid_dataset.store import Store  # noqa: E402
from emovid_dataset.terminal import print_table  # noqa: E402

CLIP_BYTES = 500_000
"""Mean size of a synthetic clip."""

SEGMENTS_PER_FILM = 100
SEGMENT_SECONDS = 4
CLIPS_PER_GROUP = 3
TYPES = ("cartoon", "movie", "sticker")


class SyntheticWorkers(Executor):
    """Writes the ledger files of a build's stages without doing the work."""

    is_this_process = True

    def run(self, stage: Stage[Any, Any], store: Store, *, on_done: OnDone) -> None:
        ledger = Ledger(store, stage.ledger)
        for part in stage.parts(store):
            ledger.write(part.key, self._records(part, store))
            on_done(Done(part, Outcome.DONE))

    def _leave_shard(self, store: Store, shard: ShardRecord) -> None:
        """A file of the shard's size, with holes only: the card leaves its clips' tiles empty."""
        assert store.folder is not None
        path = store.folder / shard.path
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            file.truncate(shard.size)

    def _records(self, part: Part, store: Store) -> Iterator[Record]:
        if isinstance(part, PreparePart):
            for unit in part.units:
                for segment in unit.segments:
                    place = {"path": unit.path, "start": segment.start, "end": segment.end}
                    yield {**place, "clip": fields_of(synthetic_clip(unit, segment)), "refused": None}
        elif isinstance(part, WritePart):
            rows: list[Record] = []
            offset = 0
            for laid in part.clips:
                clip = json.loads(laid.line)
                rows.append({"clip": clip, "offset": offset + 512, "size": laid.size})
                texts = (laid.line, clip["caption"], "0")
                offset += padded_size(laid.size) + sum(padded_size(len(text.encode())) for text in texts)
            digest = hashlib.sha256(part.key.encode()).hexdigest()
            shard = ShardRecord(part.path, part.content_type, part.split, len(rows), offset + 1024, digest)
            self._leave_shard(store, shard)
            yield {"shard": asdict(shard)}
            yield from rows


def fields_of(clip: Prepared) -> dict[str, Any]:
    """As `dataclasses.asdict`, which copies every value."""
    return {entry.name: getattr(clip, entry.name) for entry in fields(Prepared)}


def synthetic_clip(unit: Unit, segment: Segment) -> Prepared:
    """What preparing a stretch of a film could have found, drawn by its place."""
    name = f"{unit.path}@{segment.start}"
    digest = hashlib.sha256(name.encode()).hexdigest()
    draw = random.Random(name)
    return Prepared(
        id=f"{segment.content_type}-{digest[:16]}",
        verbatim=False,
        size=draw.randrange(CLIP_BYTES // 2, CLIP_BYTES * 3 // 2),
        sha256=digest,
        width=854,
        height=480,
        fps=25.0,
        num_frames=25 * SEGMENT_SECONDS,
        duration=float(SEGMENT_SECONDS),
        has_audio=draw.random() < 0.5,
        brightness=draw.random(),
        colorfulness=draw.random(),
        hue=360 * draw.random(),
        luma=draw.random(),
        colorfulness_m3=draw.random(),
        hue_chroma=360 * draw.random(),
    )


def write_rows(folder: Path, rows: int) -> Path:
    """Write a sheet of so many rows, and empty files of the films that it names.

    Returns:
        The sheet.
    """
    draw = random.Random(rows)
    (folder / "films").mkdir(parents=True)
    sheet = folder / "labels.csv"
    with sheet.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("path", "start", "end", "emotion", "content_type", "caption", "group", "license"))
        for row in range(rows):
            film, place = divmod(row, SEGMENTS_PER_FILM)
            path = f"films/{film:06d}.mp4"
            if place == 0:
                (folder / path).touch()
            start = place * SEGMENT_SECONDS
            emotion = EMOTIONS[int(draw.triangular(0, len(EMOTIONS), 2))]
            kind = TYPES[min(int(draw.expovariate(1.0)), 2)]
            caption = f"Synthetic stretch {place} of film {film}, in which nothing is shown."
            group = f"scene {row // CLIPS_PER_GROUP}"
            writer.writerow((path, start, start + SEGMENT_SECONDS, emotion, kind, caption, group, "CC0-1.0"))
    return sheet


def plan_rows(rows: int, folder: Path) -> dict[str, Any]:
    """Plan, split, lay out and index so many synthetic rows, as the parent of a build does.

    Returns:
        The record of the measurement.
    """
    raw, out = folder / "raw", folder / "out"
    sheet = write_rows(raw, rows)
    report, cpu = timed(lambda: building.build(raw, sheet, out, engine=SyntheticWorkers()))
    assert sum(shard.samples for shard in report.manifest.shards) == rows, report.rejections[:3]
    return {
        "kind": "plan",
        "rows": rows,
        "seconds": round(report.seconds, 3),
        "cpu_seconds": round(cpu, 3),
        "peak_mb": peak_mb(),
        "steps": rounded(report.steps),
        "shards": len(report.manifest.shards),
        "index_bytes": sum(path.stat().st_size for path in (out / "metadata").rglob("*.parquet")),
        "manifest_bytes": (out / "manifest.json").stat().st_size,
    }


def read_index(out: Path) -> list[dict[str, Any]]:
    """Choose and count in the index of a build of synthetic rows, each in a process of its own."""
    return [run_apart("--read", reader, str(out)) for reader in READERS]


def _select(out: str) -> int:
    chosen = select(out, emotion=EMOTIONS[1], brightness=(0.25, 0.75), limit=100, seed=0)
    assert len(chosen) in range(1, 101)
    return sum(shard.samples for shard in read_manifest(out).shards)


def _stats(out: str) -> int:
    return measure(out).total.clips


READERS: dict[str, Callable[[str], int]] = {"select": _select, "stats": _stats}


def build_clips(rows: int, folder: Path) -> dict[str, Any]:
    """Build and verify so many small real clips with one worker.

    Returns:
        The record of the measurement.
    """
    raw, out = folder / "raw", folder / "out"
    raw.mkdir()
    one = real_clip(folder / "one.mp4")
    with (raw / "labels.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("path", "emotion", "content_type"))
        for row in range(rows):
            (raw / f"{row:07d}.mp4").write_bytes(one + struct.pack(">I4sQ", 16, b"free", row))
            writer.writerow((f"{row:07d}.mp4", EMOTIONS[row % len(EMOTIONS)], "sticker"))
    report, cpu = timed(lambda: building.build(raw, raw / "labels.csv", out, engine="serial"))
    assert sum(shard.samples for shard in report.manifest.shards) == rows, report.rejections[:3]
    checked, verified = timed(lambda: check_build(out, engine="serial"))
    assert not checked.violations, checked.violations[:3]
    chosen, selected = timed(lambda: len(select(out)))
    _, measured = timed(lambda: measure(out))
    assert chosen == rows
    steps = {**report.steps, "verify": verified, "select": selected, "stats": measured}
    return {
        "kind": "build",
        "rows": rows,
        "seconds": round(report.seconds, 3),
        "cpu_seconds": round(cpu, 3),
        "peak_mb": peak_mb(),
        "steps": rounded(steps),
        "clip_bytes": len(one),
    }


def real_clip(path: Path) -> bytes:
    """An MP4 of a second, 64 x 48, that needs no transcoding."""
    import av
    import numpy as np

    with av.open(str(path), "w", options={"movflags": "faststart"}) as file:
        stream = file.add_stream("libx264", rate=8)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(8):
            picture = np.full((48, 64, 3), 30 * number, np.uint8)
            picture[:, : 8 * number] = (200, 40, 90)
            file.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        file.mux(stream.encode())
    return path.read_bytes()


def timed(call: Callable[[], Any]) -> tuple[Any, float]:
    """What a call returns, and how many seconds of the processor it took."""
    started = time.process_time()
    result = call()
    return result, time.process_time() - started


def peak_mb() -> int:
    """The largest resident set of this process so far, in MB."""
    for line in _lines("/proc/self/status"):  # `getrusage` tells of the parent's too
        if line.startswith("VmHWM:"):
            return round(int(line.split()[1]) * 1024 / 1e6)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak * (1 if sys.platform == "darwin" else 1024) / 1e6)


def rounded(steps: Any) -> dict[str, float]:
    return {name: round(seconds, 4) for name, seconds in steps.items()}


def run_apart(*arguments: str) -> dict[str, Any]:
    """Run this script in a process of its own, so that its peak is its own; its record."""
    with tempfile.TemporaryDirectory() as folder:
        record = Path(folder) / "record.json"
        subprocess.run([sys.executable, __file__, *arguments, "--json", str(record)], check=True)
        return dict(json.loads(record.read_bytes()))


def machine() -> str:
    """The machine in words."""
    names = [
        line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")
    ]
    processor = names[0] if names else platform.machine()
    return f"{os.cpu_count()} cores, {processor}, Python {platform.python_version()}"


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []


def show(runs: list[dict[str, Any]]) -> None:
    """Print microseconds of the processor per clip by step and size, and each step's growth exponent."""
    for kind in dict.fromkeys(run["kind"] for run in runs):
        some = [run for run in runs if run["kind"] == kind]
        sizes = [run["rows"] for run in some]
        steps = dict.fromkeys(step for run in some for step in run["steps"])
        rows = []
        for step in steps:
            costs = [run["steps"].get(step) for run in some]
            growth = exponent(sizes, costs)
            rows.append(
                [
                    step,
                    *(
                        None if c is None else round(1e6 * c / n, 1)
                        for n, c in zip(sizes, costs, strict=True)
                    ),
                    growth,
                ]
            )
        rows.append(
            ["peak MB", *(run["peak_mb"] for run in some), exponent(sizes, [run["peak_mb"] for run in some])]
        )
        print_table(
            f"{kind}: microseconds per clip", ["step", *(f"{size:,}" for size in sizes), "exponent"], rows
        )


def main() -> None:
    """Measure, or write the page of what was measured."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--plan-rows", type=int, metavar="N", help="plan N synthetic rows, and nothing else")
    parser.add_argument(
        "--sizes", type=int, nargs="*", default=[100, 1_000, 10_000], help="numbers of real clips"
    )
    parser.add_argument(
        "--plan-sizes",
        type=int,
        nargs="*",
        default=[1_000, 10_000, 100_000],
        help="numbers of synthetic rows",
    )
    parser.add_argument(
        "--record", type=Path, help="write what was measured there; what is there of other runs stays"
    )
    parser.add_argument(
        "--plot", type=Path, help="draw it there (default: scale.svg in the folder for temporary files)"
    )
    parser.add_argument(
        "--page", action="store_true", help=f"write docs/scale.md from {RECORD.name}, and measure nothing"
    )
    parser.add_argument("--build-clips", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--read", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--json", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    building.CLOCK = time.process_time
    if given.page:
        write_page()
        return
    if given.read is not None:
        reader, out = given.read
        rows, seconds = timed(lambda: READERS[reader](out))
        steps = {reader: round(seconds, 4)}
        record = {
            "kind": reader,
            "rows": rows,
            "cpu_seconds": round(seconds, 3),
            "peak_mb": peak_mb(),
            "steps": steps,
        }
    elif given.plan_rows is not None or given.build_clips is not None:
        with tempfile.TemporaryDirectory(prefix="emovid-scale-") as folder:
            if given.plan_rows is not None:
                record = plan_rows(given.plan_rows, Path(folder))
                if given.json is not None:
                    record["readers"] = read_index(Path(folder) / "out")
            else:
                record = build_clips(given.build_clips, Path(folder))
    else:
        measure_all(given)
        return
    if given.json is not None:
        given.json.write_text(json.dumps(record, allow_nan=False))
    else:
        show([record])
        print(f"rows {record['rows']}, seconds {record['seconds']:.1f}, peak MB {record['peak_mb']}")


def measure_all(given: argparse.Namespace) -> None:
    """Measure every size that is asked for, each in a process of its own."""
    runs = [run_apart("--build-clips", str(size)) for size in given.sizes]
    for size in given.plan_sizes:
        run = run_apart("--plan-rows", str(size))
        runs += [run, *run.pop("readers")]
    runs.sort(key=lambda run: (run["kind"], run["rows"]))
    show(runs)
    if given.record is not None:
        held = json.loads(given.record.read_bytes())["runs"] if given.record.exists() else []
        measured = {(run["kind"], run["rows"]) for run in runs}
        kept = [run for run in held if (run["kind"], run["rows"]) not in measured]
        runs = sorted([*kept, *runs], key=lambda run: (run["kind"], run["rows"]))
        given.record.write_text(
            json.dumps({"machine": machine(), "runs": runs}, indent=1, allow_nan=False) + "\n"
        )
    from benchmarks.scale_page import draw

    plot = given.plot or Path(tempfile.gettempdir()) / "scale.svg"
    draw(runs, plot)
    print(f"plot: {plot}")


if __name__ == "__main__":
    main()
