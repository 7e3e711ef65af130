"""Kill every long command with SIGKILL at seeded moments, run it again, and compare with an undisturbed run.

    python benchmarks/kills.py                              # 50 kills; writes benchmarks/kills.json
    python benchmarks/kills.py --kills 2 --only build append --places disk
    python benchmarks/kills.py --page                       # the section of docs/faults.md, from that record

A command runs as a process of its own with the workers that it starts. It is forked from one that has
imported what it needs, so its moments are drawn from its work, one in each of as many equal stretches as
there are kills. Every second time the whole process group is killed, else the process alone, and its workers
must then end by themselves. Right after the kill nobody may meet half a result that passes for a whole one;
then the same command is run to its end, and what it leaves must be what the undisturbed run left: to the
byte, but for weights and probabilities, which must be within what a second undisturbed run differs by.

Buckets are those of moto's S3 server on loopback, the Hub is the server of `tests/hub_server`. A lease on a
bucket goes a minute after its holder; the benchmark lets that minute pass by the bucket's clock.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import io
import json
import logging
import os
import random
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import psutil

ROOT = Path(__file__).resolve().parents[1]
if not __package__:  # run as a script
    sys.path.insert(0, str(ROOT))
sys.path += [str(ROOT / "tests"), str(ROOT / "tests" / "hub_server")]

from benchmarks.faults_page import write_section  # noqa: E402
from emovid_dataset.builder.append import append  # noqa: E402
from emovid_dataset.builder.build import build  # noqa: E402
from emovid_dataset.schema.manifest import MANIFEST_NAME, Manifest  # noqa: E402
from emovid_dataset.store import Store  # noqa: E402

RECORD = ROOT / "benchmarks" / "kills.json"
MINI = ROOT / "emovid_dataset" / "mini"
REPO = "emovid/EmoVid"
TOKEN = "hf_" + "benchmarkTOKEN" * 3
LEASE_SECONDS = 61
SHARD_BYTES = 100_000

FORK = """
import importlib, json, os, sys
for name in sys.argv[1].split(","):
    importlib.import_module(name)
from emovid_dataset.cli import main
for line in sys.stdin:
    words, log = json.loads(line)
    child = os.fork()
    if not child:
        os.setsid()
        to = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(to, 1)
        os.dup2(to, 2)
        sys.argv = ["emovid", *words]
        code = 0
        try:
            main()
        except SystemExit as stop:
            code = int(stop.code or 0)
        finally:
            sys.stdout.flush()
            os._exit(code)
    print(child, flush=True)
    print(os.waitpid(child, 0)[1], flush=True)
"""
"""Imports once what the command imports, and then forks: no moment is lost in imports."""

DATASET = "emovid_dataset.builder.append,emovid_dataset.check,emovid_dataset.cli.app,datasets,webdataset"
ANNOTATOR = f"{DATASET},emovid_models.cli.annotate,emovid_models.annotator.loading,emovid_models.nvila"
WAN = f"{DATASET},emovid_models.wan.train_lora,emovid_models.cli.train_lora,diffusers,peft"
PUSH = f"{DATASET},emovid_models.cli.push,emovid_models.publish.upload,huggingface_hub.hf_api"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a command finds its input and leaves its output.

    Attributes:
        kind: "disk" or "s3".
        input: sources, sheets, and the build that the command begins with.
        out: what it writes; empty at first.
    """

    kind: str
    input: Store
    out: Store


@dataclass(frozen=True, slots=True)
class Subject:
    """A command that is killed.

    Attributes:
        name: in the record.
        kills: by kind of place, of the 50.
        imports: modules that it needs, separated by commas.
        begin: puts what is there before it into the place.
        words: its arguments.
        is_inexact: whether its outcome may differ between two undisturbed runs.
    """

    name: str
    kills: Mapping[str, int]
    imports: str
    begin: Callable[[Place], None]
    words: Callable[[Place], list[str]]
    is_inexact: bool = False


class Inputs:
    """What all commands work on, made once: clips, two sheets, builds of them, a tiny annotator."""

    def __init__(self, folder: Path, clips: int) -> None:
        self.folder = folder
        self.raw = folder / "raw"
        with (MINI / "labels.csv").open(encoding="utf-8", newline="") as file:
            rows = [row for row in csv.DictReader(file) if row["content_type"] == "sticker"][:clips]
        for row in rows:
            (self.raw / row["path"]).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(MINI / row["path"], self.raw / row["path"])
        for name, some in (("first.csv", rows[: clips * 2 // 3]), ("labels.csv", rows)):
            with (folder / name).open("w", encoding="utf-8", newline="") as file:
                writer = csv.DictWriter(file, rows[0])
                writer.writeheader()
                writer.writerows(some)
        self.first, self.whole = folder / "first", folder / "whole"
        build(self.raw, folder / "first.csv", self.first, engine="serial", shard_size=SHARD_BYTES)
        shutil.copytree(self.first, self.whole)
        append(self.raw, folder / "labels.csv", self.whole, engine="serial")

    def annotator(self) -> Path:
        """A tiny annotator with random weights."""
        sys.path.append(str(ROOT / "tests" / "annotator"))
        from annotator_tiny import tiny_model, tiny_processor

        from emovid_models.annotator.loading import assemble_repo

        place = self.folder / "annotator"
        if not place.exists():
            processor = tiny_processor()
            assemble_repo(place, model=tiny_model(processor), processor=processor, card="# Tiny\n")
        return place

    def base(self) -> Path:
        """A tiny Wan with random weights."""
        sys.path.append(str(ROOT / "tests" / "wan"))
        from diffusers import WanPipeline
        from wan_tiny import t2v_components

        place = self.folder / "wan"
        if not place.exists():
            pipeline: Any = WanPipeline(**t2v_components())
            pipeline.save_pretrained(place)
        return place


def subjects(inputs: Inputs) -> list[Subject]:
    """The commands, each with its number of kills."""

    def copied(source: Path) -> Callable[[Place], None]:
        def begin(place: Place) -> None:
            files = Store.at(source)
            for name in files.list():
                place.out.put(name, files.read(name))

        return begin

    def nothing(place: Place) -> None:
        pass

    def build_words(place: Place) -> list[str]:
        sheet = place.input.url("first.csv")
        return [
            "build", place.input.url("raw"), "--labels", sheet, "--out", place.out.root,
            "--workers", "2", "--shard-size", str(SHARD_BYTES),
        ]  # fmt: skip

    def append_words(place: Place) -> list[str]:
        sheet = place.input.url("labels.csv")
        return [
            "build", place.input.url("raw"), "--labels", sheet, "--out", place.out.root,
            "--workers", "2", "--append",
        ]  # fmt: skip

    def verify_words(place: Place) -> list[str]:
        return ["verify", place.out.root, "--decode", "--workers", "2"]

    def push_words(place: Place) -> list[str]:
        return ["push", "dataset", place.out.root, "--repo-id", REPO, "--commit-size", "100000"]

    def annotate_words(place: Place) -> list[str]:
        return [
            "annotate", place.input.url("whole"), "--model", str(inputs.annotator()),
            "--out", place.out.url("emotions.parquet"), "--batch-size", "2",
        ]  # fmt: skip

    def lora_words(place: Place, *, steps: int, out: Path, cache: str) -> list[str]:
        return [
            "train", "lora", "--task", "t2v", "--data", place.input.url("whole"),
            "--base", str(inputs.base()), "--out", str(out), "--cache", cache, "--steps", str(steps),
            "--recipe", "light",
            "--size", "64x32", "--max-frames", "9", "--batch-size", "2", "--checkpoint-every", "3",
        ]  # fmt: skip

    def cache_words(place: Place) -> list[str]:
        out = inputs.folder / "lora-out" / hashlib.sha256(place.out.root.encode()).hexdigest()[:16]
        return lora_words(place, steps=1, out=out, cache=place.out.url("cache"))

    def train_words(place: Place) -> list[str]:
        assert place.out.folder is not None
        cache = place.out.folder / "lora-cache"
        return lora_words(place, steps=24, out=place.out.folder / "lora", cache=str(cache))

    def annotator_words(place: Place) -> list[str]:
        assert place.out.folder is not None
        return [
            "train", "annotator", "--data", place.input.url("whole"), "--base", str(inputs.annotator()),
            "--out", str(place.out.folder / "annotator"), "--epochs", "2", "--batch-size", "2",
            "--no-caption",
        ]  # fmt: skip

    return [
        Subject("build", {"disk": 7, "s3": 2}, DATASET, nothing, build_words),
        Subject("append", {"disk": 7, "s3": 2}, DATASET, copied(inputs.first), append_words),
        Subject("verify", {"disk": 4, "s3": 1}, DATASET, copied(inputs.whole), verify_words),
        Subject("annotate", {"disk": 5, "s3": 2}, ANNOTATOR, nothing, annotate_words, is_inexact=True),
        Subject("cache", {"disk": 5, "s3": 2}, WAN, nothing, cache_words, is_inexact=True),
        Subject("train lora", {"disk": 4}, WAN, nothing, train_words, is_inexact=True),
        Subject("train annotator", {"disk": 3}, ANNOTATOR, nothing, annotator_words, is_inexact=True),
        Subject("push", {"disk": 4, "s3": 2}, PUSH, copied(inputs.whole), push_words),
    ]


# where it happens


class Worlds:
    """A bucket server and a Hub on loopback, and fresh places there.

    Args:
        folder: for everything.
        inputs: what the commands work on.
        hub: the server; each place finds it without repos.
    """

    def __init__(self, folder: Path, inputs: Inputs, hub: Any) -> None:
        self.folder, self.inputs, self.hub, self.number = folder, inputs, hub, 0
        self._bucket: Store | None = None
        (folder / "tmp").mkdir()

    def environment(self, kind: str) -> dict[str, str]:
        """Of the commands."""
        if kind == "s3":
            self.bucket()
        return {
            **{key: value for key, value in os.environ.items() if key.startswith("AWS_")},
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder / "home"),
            "HF_HOME": str(self.folder / "home" / "hf"),
            "HF_ENDPOINT": self.hub.url,
            "HF_TOKEN": TOKEN,
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "OMP_NUM_THREADS": "1",
            "PYTHONWARNINGS": "ignore",
            "TMPDIR": str(self.folder / "tmp"),
        }

    @contextmanager
    def place(self, kind: str) -> Iterator[Place]:
        """A fresh place for one run."""
        self.number += 1
        name = f"run-{self.number:03d}"
        if kind == "disk":
            place = Place(kind, Store.at(self.inputs.folder), Store.at(self.folder / name))
        else:
            bucket = self.bucket()
            place = Place(kind, Store.at(bucket.url("input")), Store.at(bucket.url(name)))
        self.hub.repos.clear()
        yield place
        self.empty(place)

    def empty(self, place: Place) -> None:
        """Leave nothing of what was written there."""
        self.hub.repos.clear()
        if place.out.folder is not None:
            shutil.rmtree(place.out.folder, ignore_errors=True)
            return
        for name in list(place.out.list()):
            place.out.delete(name)

    def bucket(self) -> Store:
        """A bucket with the input."""
        if self._bucket is None:
            import boto3
            from moto.server import ThreadedMotoServer

            logging.getLogger("werkzeug").setLevel(logging.ERROR)
            server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
            server.start()
            host, port = server.get_host_and_port()
            for key in [key for key in os.environ if key.startswith("AWS_")]:
                del os.environ[key]
            os.environ |= {
                "AWS_ENDPOINT_URL": f"http://{host}:{port}",
                "AWS_ACCESS_KEY_ID": "key",
                "AWS_SECRET_ACCESS_KEY": "secret",
                "AWS_DEFAULT_REGION": "us-east-1",
            }
            boto3.client("s3").create_bucket(Bucket="kills")
            self._bucket = Store.at("s3://kills/here")
            for top in ("raw", "first.csv", "labels.csv", "whole"):
                place = self.inputs.folder / top
                for path in [place] if place.is_file() else sorted(place.rglob("*")):
                    if path.is_file():
                        name = path.relative_to(self.inputs.folder).as_posix()
                        self._bucket.put(f"input/{name}", path)
        return self._bucket


def let_leases_go(out: Store) -> None:
    """Make the leases of a bucket as old as they would be a minute later, by the bucket's clock."""
    if out.folder is not None:
        return
    from moto.s3.models import s3_backends

    bucket, _, prefix = out.root.removeprefix("s3://").partition("/")
    for account in s3_backends.values():
        for backend in account.values():
            keys = backend.buckets[bucket].keys if bucket in backend.buckets else {}
            for key in list(keys):
                if key.startswith(prefix) and key.rpartition("/")[2].endswith("lock"):
                    keys[key].last_modified -= timedelta(seconds=LEASE_SECONDS)


# one run


class Failed(Exception):
    """A command did not do what it must."""


class Command:
    """Runs a command again and again, each time as a process of its own, forked from one that imported it.

    Args:
        subject: the command.
        environment: of it.
        log: file for what it prints.
    """

    def __init__(self, subject: Subject, environment: Mapping[str, str], log: Path) -> None:
        self.subject, self.log = subject, log
        self._forks = subprocess.Popen(
            [sys.executable, "-c", FORK, subject.imports],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=dict(environment),
            cwd=ROOT,
        )

    def __enter__(self) -> Command:
        return self

    def __exit__(self, *_: object) -> None:
        self._forks.communicate(timeout=60)

    def _start(self, place: Place) -> int:
        assert self._forks.stdin is not None and self._forks.stdout is not None
        self._forks.stdin.write(
            json.dumps([self.subject.words(place), str(self.log)], allow_nan=False) + "\n"
        )
        self._forks.stdin.flush()
        return int(self._forks.stdout.readline())

    def _status(self, seconds: float | None = None) -> int | None:
        """How it ended; None when it has not, so many seconds later."""
        assert self._forks.stdout is not None
        ready, _, _ = select.select([self._forks.stdout], [], [], seconds)
        return int(self._forks.stdout.readline()) if ready else None

    def finish(self, place: Place) -> float:
        """Run it to its end; the seconds that it took.

        Raises:
            Failed: it did not end well.
        """
        begun = time.monotonic()
        self._start(place)
        if status := self._status():
            words, said = " ".join(self.subject.words(place)), self.log.read_text()[-2000:]
            raise Failed(f"{words}: status {status}: {said}")
        return time.monotonic() - begun

    def kill(self, place: Place, moment: float, *, group: bool) -> bool:
        """Start it and kill it after so many seconds; whether it was still running.

        Raises:
            Failed: it failed before, or its workers outlived it.
        """
        process = self._start(place)
        status = self._status(moment)
        if status is not None:
            if status:
                raise Failed(f"{self.subject.name}: status {status}: {self.log.read_text()[-2000:]}")
            return False
        family = psutil.Process(process).children(recursive=True)
        os.killpg(process, signal.SIGKILL) if group else os.kill(process, signal.SIGKILL)
        self._status()
        _, alive = psutil.wait_procs(family, timeout=60)
        if alive:
            raise Failed(f"{self.subject.name}: {len(alive)} workers outlive it")
        return True


def check_half(subject: Subject, place: Place) -> None:
    """After a kill: a manifest that says complete names shards that are there as it says.

    Raises:
        Failed: it does not.
    """
    if subject.name not in ("build", "append") or not place.out.exists(MANIFEST_NAME):
        return
    manifest = Manifest.from_json(place.out.read(MANIFEST_NAME).decode())
    for shard in manifest.all_shards if manifest.complete else ():
        if hashlib.sha256(place.out.read(shard.path)).hexdigest() != shard.sha256:
            raise Failed(f"{subject.name}: {shard.path} is not as the complete manifest says")


def outcome(subject: Subject, place: Place, hub: Any) -> dict[str, bytes]:
    """Everything that a command has left, by name."""
    if subject.name == "push":
        repo = hub.repos["datasets", REPO]
        head = repo.commit("main")
        files = {path: blob.file.read_bytes() for path, blob in head.blobs.items()}
        return {**files, "tags": json.dumps(sorted(repo.tags), allow_nan=False).encode()}
    found = {name: place.out.read(name) for name in place.out.list()}
    if subject.name.startswith("train"):  # what is beside the weights tells of times and places
        kept = {name for name in found if "checkpoint" not in name and "cache" not in name}
        return {name: found[name] for name in kept if name.endswith(".safetensors")}
    if subject.name == "cache":  # its ledger holds a number of the run
        return {name: data for name, data in found.items() if name.endswith(".safetensors")}
    return found


def arrays_of(name: str, data: bytes) -> dict[str, Any]:
    """The numbers of a file of weights, latents or probabilities; other files are one value."""
    if name.endswith(".safetensors"):
        from safetensors.torch import load

        return {key: value.double().numpy() for key, value in load(data).items()}
    if name.endswith(".parquet"):
        from pyarrow import parquet

        table = parquet.read_table(io.BytesIO(data))
        return {column: table[column].to_pylist() for column in table.column_names}
    return {"": data}


def difference(found: Mapping[str, bytes], wanted: Mapping[str, bytes]) -> float:
    """The greatest difference of two outcomes; 0 where they are the same to the byte.

    Raises:
        Failed: they differ in more than numbers.
    """
    others = sorted(found.keys() ^ wanted.keys())
    if others:
        raise Failed(f"{others[0]}: one of them alone has it, of {len(others)} such files")
    most = 0.0
    for name, data in wanted.items():
        if found[name] == data:
            continue
        here, there = arrays_of(name, found[name]), arrays_of(name, data)
        for key, value in there.items():
            one, other = (np.asarray(numbers) for numbers in (here.get(key), value))
            if one.dtype.kind in "fiub" and other.dtype.kind in "fiub" and one.shape == other.shape:
                gap = np.abs(one.astype(np.float64) - other.astype(np.float64))
                most = max(most, float(gap.max(initial=0.0)))
            elif here.get(key) != value:
                raise Failed(f"{name}: {key or 'its bytes'} differ")
    return most


def measure(
    subject: Subject, kind: str, kills: int, worlds: Worlds, draw: random.Random
) -> Iterator[dict[str, Any]]:
    """Kill a command so many times; a record of each."""
    hub = worlds.hub
    with Command(subject, worlds.environment(kind), worlds.folder / "log.txt") as command:
        wanted: dict[str, bytes] = {}
        seconds = own = 0.0
        for _ in range(2):  # the first one also fills what the machine caches
            with worlds.place(kind) as place:
                subject.begin(place)
                seconds = command.finish(place)
                found = outcome(subject, place, hub)
                own = difference(found, wanted) if wanted else 0.0
                if own and not subject.is_inexact:
                    raise Failed(f"{subject.name}: two undisturbed runs differ by {own}")
                wanted = found
        if not wanted:
            raise Failed(f"{subject.name} leaves nothing")
        for number in range(kills):
            share = draw.uniform(number, number + 1) / kills
            group = draw.random() < 0.5
            with worlds.place(kind) as place:
                subject.begin(place)
                while not command.kill(place, share * seconds, group=group):
                    share *= 0.6  # the machine was quicker this time
                    worlds.empty(place)
                    subject.begin(place)
                check_half(subject, place)
                let_leases_go(place.out)
                command.finish(place)
                off = difference(outcome(subject, place, hub), wanted)
            yield {
                "command": subject.name,
                "place": kind,
                "moment": round(share, 4),
                "seconds": round(share * seconds, 3),
                "killed": "group" if group else "process",
                "difference": off,
                "allowed": own,
                "same": off <= own,
            }


def main() -> None:
    """Kill, compare and record."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", nargs="+", metavar="COMMAND", help="these commands; by default all")
    parser.add_argument("--places", nargs="+", choices=("disk", "s3"), default=["disk", "s3"])
    parser.add_argument("--kills", type=int, help="so many of each command and place, instead of 50 in all")
    parser.add_argument("--clips", type=int, default=12)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--record", type=Path, help="write it there; what is there of other commands stays")
    parser.add_argument("--page", action="store_true", help="write the section of docs/faults.md, no kills")
    given = parser.parse_args()
    if given.page:
        write_section("kills", json.loads(RECORD.read_bytes()))
        return
    with tempfile.TemporaryDirectory(prefix="emovid-kills-") as text:
        folder = Path(text)
        runs = run_all(given, folder)
    wrong = [run for run in runs if not run["same"]]
    if given.record is not None:
        held = json.loads(given.record.read_bytes())["runs"] if given.record.exists() else []
        done = {(run["command"], run["place"]) for run in runs}
        runs = [*(run for run in held if (run["command"], run["place"]) not in done), *runs]
        body = {"seed": given.seed, "clips": given.clips, "runs": runs}
        given.record.write_text(json.dumps(body, indent=1, allow_nan=False) + "\n")
    print(f"{len(runs)} kills, {len(wrong)} with another outcome")
    raise SystemExit(bool(wrong))


def run_all(given: argparse.Namespace, folder: Path) -> Sequence[dict[str, Any]]:
    """All kills that are asked for, each printed when it is done."""
    from hub_server import Account, HubServer

    (folder / "input").mkdir()
    inputs = Inputs(folder / "input", given.clips)
    runs: list[dict[str, Any]] = []
    with HubServer() as hub:
        hub.accounts[TOKEN] = Account("maintainer", orgs=("emovid",))
        worlds = Worlds(folder, inputs, hub)
        for subject in subjects(inputs):
            if given.only and subject.name not in given.only:
                continue
            for kind, usual in subject.kills.items():
                if kind in given.places:
                    draw = random.Random(f"{given.seed}/{subject.name}/{kind}")
                    for run in measure(subject, kind, given.kills or usual, worlds, draw):
                        print(json.dumps(run, allow_nan=False), flush=True)
                        runs.append(run)
    return runs


if __name__ == "__main__":
    main()
