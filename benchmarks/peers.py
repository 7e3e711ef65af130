"""The same clips through the libraries that users would pick; ratios, in one record.

    python -m benchmarks.peers --record benchmarks/peers.json   # minutes, once the environments are there
    python -m benchmarks.peers --page                           # benchmarks/RESULTS.md and its plot

Each library is in an environment of its own, in its newest version from PyPI, since some do not install
beside others; `--environments DIR` keeps them for the next run (uv makes them if it is installed, else pip).
The clips are those of the miniature corpus, all in one split, in files of about 1 MB of each library's
format. They are read from the disk, and from an S3 server on loopback whose every answer begins 30 ms later.
In each round all libraries take their turn, every one in a fresh process, so that a busy machine slows all of
them alike; what is compared is the ratio within a round.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import random
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).resolve().parents[1]
if not __package__:  # run as a script
    sys.path.insert(0, str(ROOT))

from benchmarks.peer_ways import FILE_BYTES, WAYS, Place  # noqa: E402
from benchmarks.peers_page import RECORD, write_page  # noqa: E402
from benchmarks.scale import machine  # noqa: E402
from benchmarks.slow_bucket import BUCKET, Bucket, slow_bucket  # noqa: E402
from emovid_dataset.builder.build import build  # noqa: E402
from emovid_dataset.read.manifest import read_manifest  # noqa: E402
from emovid_dataset.read.shard import read_samples  # noqa: E402

MINI = ROOT / "emovid_dataset" / "mini"
DELAY = 0.03
FIRST = "datasets"
"""What the others are compared with."""

WARM_UP = 16
"""Clips of an epoch that do not count for its speed."""

PICKED = 20
PATIENCE = 900
"""Seconds that one process has."""

_TORCHCODEC = ("torch", "torchvision", "torchcodec")
PACKAGES: dict[str, tuple[str, ...]] = {
    "emovid": (f"{ROOT}[torch,s3]", "torchdata"),
    "datasets": (*_TORCHCODEC, "datasets", "torchdata"),
    "webdataset": ("torch", "webdataset", "decord"),
    "litdata": (*_TORCHCODEC, "litdata"),
    "spdl": ("torch", "spdl[io]", "boto3"),
    "lance": (*_TORCHCODEC, "pylance"),
    "mosaicml": (*_TORCHCODEC, "mosaicml-streaming"),
}
VERSIONS = (
    "datasets",
    "torchcodec",
    "webdataset",
    "decord",
    "litdata",
    "spdl",
    "pylance",
    "mosaicml-streaming",
)

_LISTING = """
import importlib.metadata, json
print(json.dumps({one.name: one.version for one in importlib.metadata.distributions()}))
"""


@dataclass(frozen=True)
class Peer:
    """A library with its environment.

    Attributes:
        name: a key of `WAYS`.
        python: of its environment.
        versions: of what it is made of.
        error: why it cannot be measured, "" if it can.
    """

    name: str
    python: Path
    versions: Mapping[str, str] = field(default_factory=dict)
    error: str = ""


def environment(name: str, folder: Path) -> Peer:
    """The environment of a library, made if it is not there."""
    python = folder / name / "bin" / "python"
    if not python.exists():
        uv = shutil.which("uv")
        make = [uv, "venv", "-q"] if uv else [sys.executable, "-m", "venv"]
        install = (
            [uv, "pip", "install", "-q", "-p", str(python)] if uv else [str(python), "-m", "pip", "install"]
        )
        for command in ([*make, str(folder / name)], [*install, *PACKAGES[name]]):
            done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
            if done.returncode:
                shutil.rmtree(folder / name, ignore_errors=True)
                return Peer(name, python, error=(done.stderr.strip() or "it failed").splitlines()[-1][:300])
    found = json.loads(subprocess.run([str(python), "-c", _LISTING], capture_output=True, check=True).stdout)
    return Peer(name, python, {package: found[package] for package in VERSIONS if package in found})


def ask(
    peer: Peer, does: str, given: Mapping[str, Any], variables: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Let a library do something in a fresh process of its environment.

    Returns:
        What it says, with the peak of the anonymous memory of it and its children, MB; or its error.
    """
    command = [str(peer.python), str(Path(__file__).with_name("peer_ways.py")), peer.name, does]
    quiet = {"OMP_NUM_THREADS": "1", "HF_DATASETS_DISABLE_PROGRESS_BARS": "1"}
    path = {"PYTHONPATH": str(ROOT)} if peer.name == "emovid" else {}
    with tempfile.TemporaryFile() as said, tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            [*command, json.dumps(given, allow_nan=False)],
            stdout=said,
            stderr=errors,
            env={**os.environ, **(variables or {}), **quiet, **path},
        )
        peak, begun, before = 0.0, time.monotonic(), _cpu_of_children()
        while process.poll() is None:
            peak = max(peak, held(process.pid))
            if time.monotonic() - begun > PATIENCE:
                for one in (*psutil.Process(process.pid).children(recursive=True), process):
                    one.kill()
                process.wait()
                return {"error": f"not done within {PATIENCE} s"}
            time.sleep(0.1)
        said.seek(0)
        lines = said.read().decode(errors="replace").splitlines()
        errors.seek(0)
        last = (errors.read().decode(errors="replace").strip().splitlines() or [""])[-1]
    if process.returncode or not lines:
        return {"error": f"exit code {process.returncode}: {last}"[:300]}
    cpu = _cpu_of_children() - before
    return {**json.loads(lines[-1]), "peak_mb": round(peak), "cpu_seconds": cpu}


def _cpu_of_children() -> float:
    """Seconds of the processor of all processes below this one that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def held(pid: int) -> float:
    """Anonymous memory of a process and its children, MB."""
    size = 0
    with suppress(psutil.Error):
        process = psutil.Process(pid)
        for one in (process, *process.children(recursive=True)):
            with suppress(psutil.Error, OSError, IndexError):
                status = Path(f"/proc/{one.pid}/status").read_text()
                size += 1024 * int(status.partition("RssAnon:")[2].split()[0])
    return size / 1e6


def one_split(folder: Path, clips: int) -> Path:
    """A build of clips of the miniature corpus, all in the split "train"."""
    with (MINI / "labels.csv").open(encoding="utf-8", newline="") as file:
        rows = [{**row, "split": "train"} for row in csv.DictReader(file)]
    random.Random(0).shuffle(rows)
    with (folder / "labels.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows[:clips])
    build(MINI, folder / "labels.csv", folder / "build", shard_size=FILE_BYTES, transcode="always")
    return folder / "build"


class Comparison:
    """The clips in every format, on the disk and in the bucket, and what was found.

    Args:
        folder: an empty one.
        bucket: likewise.
        peers: that are compared.
        clips: how many.
        record: what was found is written there whenever a process has ended.
    """

    def __init__(
        self, folder: Path, bucket: Bucket, peers: Sequence[Peer], clips: int, record: Path | None
    ) -> None:
        self.scratch, self.bucket, self.peers, self.record = folder, bucket, peers, record
        self.build = one_split(folder, clips)
        manifest = read_manifest(self.build)
        self.shards = [shard.path for shard in manifest.select("all", "train")]
        self.ids, self.bytes = [], 0
        for shard in self.shards:
            with (self.build / shard).open("rb") as file:
                for found in read_samples(file):
                    self.ids.append(found[0])
                    self.bytes += len(found[1]["mp4"])
        self.found: dict[str, dict[str, Any]] = {
            peer.name: {"name": WAYS[peer.name].name, "versions": dict(peer.versions), "error": peer.error}
            for peer in peers
        }
        self._ready = {peer.name: folder / peer.name for peer in peers}
        bucket.put(self.build, "emovid")
        for peer in self.able():
            self._convert(peer)

    def able(self) -> list[Peer]:
        """Those that have not failed."""
        return [peer for peer in self.peers if not self.found[peer.name]["error"]]

    def _convert(self, peer: Peer) -> None:
        if not hasattr(WAYS[peer.name], "convert"):
            self._ready[peer.name] = self.build
            self.found[peer.name]["stored"] = sum(
                (self.build / shard).stat().st_size for shard in self.shards
            )
            return
        folder = self._ready[peer.name]
        shards = [str(self.build / shard) for shard in self.shards]
        said = ask(peer, "convert", {"shards": shards, "folder": str(folder)})
        self.found[peer.name]["error"] = said.get("error", "")
        self.found[peer.name]["stored"] = sum(
            path.stat().st_size for path in folder.rglob("*") if path.is_file()
        )
        self.bucket.put(folder, peer.name)

    def place(self, peer: Peer, where: str) -> dict[str, Any]:
        """Where it reads, with an empty folder for what it downloads."""
        scratch = tempfile.mkdtemp(dir=self.scratch)
        if where == "disk":
            return asdict(Place(str(self._ready[peer.name]), self.shards, "", scratch))
        name = peer.name if hasattr(WAYS[peer.name], "convert") else "emovid"
        return asdict(Place(f"s3://{BUCKET}/{name}", self.shards, self.bucket.address, scratch))

    def ask(self, peer: Peer, does: str, where: str, **given: Any) -> dict[str, Any]:
        """Let a library read, and count what the bucket sends it."""
        before = self.bucket.sent
        variables = self.bucket.environment() if where == "bucket" else None
        said = ask(
            peer, does, {"place": given.pop("place", None) or self.place(peer, where), **given}, variables
        )
        return {**said, "bytes": self.bucket.sent - before}

    def epochs(self, where: str, rounds: int) -> None:
        """Load every clip once, in turns."""
        runs: dict[str, list[dict[str, Any]]] = {peer.name: [] for peer in self.able()}
        for _ in range(rounds):
            for peer in self.able():
                runs[peer.name].append(self.ask(peer, "epoch", where, warm_up=WARM_UP))
                self._note(peer, where, self._summary(runs[peer.name], runs[FIRST]))

    def _note(self, peer: Peer, what: str, found: dict[str, Any]) -> None:
        self.found[peer.name][what] = found
        print(f"{peer.name}, {what}: {json.dumps(found, allow_nan=False)}", flush=True)
        if self.record is not None:
            body = {
                "machine": machine(),
                "clips": len(self.ids),
                "clip_bytes": self.bytes,
                "delay_ms": round(1000 * DELAY),
                "peers": list(self.found.values()),
            }
            self.record.write_text(json.dumps(body, indent=1, allow_nan=False) + "\n")

    def _summary(self, runs: Sequence[dict[str, Any]], first: Sequence[dict[str, Any]]) -> dict[str, Any]:
        failed = [run["error"] for run in runs if "error" in run]
        if failed:
            return {"error": failed[0]}
        pairs = [
            run["clips_per_second"] / other["clips_per_second"]
            for run, other in zip(runs, first, strict=False)
            if "error" not in other
        ]
        return {
            "clips_per_second": round(statistics.median(run["clips_per_second"] for run in runs), 2),
            "ratio": round(statistics.median(pairs), 3) if pairs else None,
            "ratios": [round(pair, 3) for pair in pairs],
            "rounds": len(runs),
            "cpu_ms": round(
                statistics.median(1000 * (run["cpu_seconds"] - run["cpu_before"]) for run in runs)
                / len(self.ids),
                1,
            ),
            "first_seconds": round(statistics.median(run["first_seconds"] for run in runs), 3),
            "peak_mb": max(run["peak_mb"] for run in runs),
            "bytes": round(statistics.median(run["bytes"] for run in runs)),
            "exact": all(sorted(run["ids"]) == sorted(self.ids) for run in runs),
        }

    def picks(self, where: str) -> None:
        """Load single clips by their places."""
        places = random.Random(1).sample(range(len(self.ids)), PICKED)
        for peer in self.able():
            if not hasattr(WAYS[peer.name], "pick"):
                continue
            said = self.ask(peer, "pick", where, places=places)
            if "error" not in said:
                said = {
                    "open_seconds": round(said["open_seconds"], 3),
                    "clip_ms": round(1000 * said["clip_seconds"], 1),
                    "bytes": said["bytes"],
                    "distinct": len(set(said["ids"])) == PICKED,
                }
            self._note(peer, f"pick_{where}", said)

    def resumptions(self) -> None:
        """Stop in the middle of an epoch and go on in a fresh process: is every clip there once?"""
        for peer in self.able():
            if not hasattr(WAYS[peer.name], "resumable"):
                continue
            place = self.place(peer, "disk")
            state = str(Path(place["scratch"]) / "state.pt")
            count = len(self.ids) // 3
            parts = [
                self.ask(peer, "resume", "disk", place=place, state=state, count=count) for _ in range(2)
            ]
            error = next((part["error"] for part in parts if "error" in part), "")
            ids = [key for part in parts for key in part.get("ids", ())]
            twice, missing = len(ids) - len(set(ids)), len(set(self.ids) - set(ids))
            self._note(peer, "resume", {"error": error, "twice": twice, "missing": missing})


def main() -> None:
    """Compare, print and record, or write the page of what was recorded."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--clips", type=int, default=271)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="*", choices=list(WAYS), default=list(WAYS))
    parser.add_argument("--environments", type=Path, help="keep the environments there")
    parser.add_argument("--record", type=Path)
    parser.add_argument(
        "--page", action="store_true", help=f"write the page from {RECORD.name}, measure nothing"
    )
    given = parser.parse_args()
    if given.page:
        write_page()
        return
    with tempfile.TemporaryDirectory(prefix="emovid-peers-") as scratch, slow_bucket() as bucket:
        made = given.environments or Path(scratch) / "environments"
        made.mkdir(parents=True, exist_ok=True)
        peers = [environment(name, made) for name in dict.fromkeys((FIRST, *given.only))]
        compared = Comparison(Path(scratch), bucket, peers, given.clips, given.record)
        compared.epochs("disk", given.rounds)
        compared.picks("disk")
        compared.resumptions()
        bucket.delay(DELAY)
        compared.epochs("bucket", given.rounds)
        compared.picks("bucket")


if __name__ == "__main__":
    main()
