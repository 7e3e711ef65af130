"""Feed the readers of foreign files with inputs that coverage leads, for a bounded time.

    pip install atheris
    python benchmarks/fuzz.py --seconds 60 --record benchmarks/fuzz.json
    python benchmarks/fuzz.py --only tar video --seconds 600 --keep found/
    python benchmarks/fuzz.py --page                        # the section of docs/faults.md, from the record

Each reader may take an input or refuse it by the error that its callers expect; anything else is a finding,
and so are a crash, a hang and memory without bound. An input that was found is written to `--keep`; when it
is mended, it belongs into `tests/dataset/fuzz_inputs/READER/`, where `tests/dataset/test_fuzz_readers.py`
tries it at every change.

atheris (libFuzzer for Python) drives it. It has wheels for Linux alone, and no extra of this package asks for
it.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
if not __package__:  # run as a script
    sys.path.insert(0, str(ROOT))
sys.path.append(str(ROOT / "tests"))

RECORD = ROOT / "benchmarks" / "fuzz.json"
MINI = ROOT / "emovid_dataset" / "mini"
SHEETS = (".csv", ".tsv", ".txt", ".xlsx", ".json", ".jsonl", ".ndjson", ".parquet")
LINES = {
    "p": '{"problem": "black", "detail": "x", "clips": [{"id": "a", "row": 1, "path": "b"}]}\n',
    "r": '{"id": "sticker-0123456789abcdef", "date": "2026-11-27"}\n',
    "t": '{"name": "m", "labels": [{"name": "joy", "valence": 0}, {"name": "woe", "valence": 1}]}',
}
"""JSON of other kinds, by the byte before it."""
LONGEST = 1 << 16
"""Bytes of an input at most."""


class Readers:
    """The readers, each a function of bytes that raises nothing but what its callers expect.

    Args:
        folder: for the files that they read.
    """

    def __init__(self, folder: Path) -> None:
        from emovid_dataset.builder.build import build
        from emovid_dataset.store import Store

        self.raw, self.build, self.sheets = folder / "raw", folder / "build", folder / "sheets"
        self.raw.mkdir(parents=True)
        self.sheets.mkdir()
        paths = sorted((MINI / "sticker").glob("*.mp4"), key=lambda path: path.stat().st_size)[:3]
        with (self.raw / "labels.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(("path", "emotion", "content_type", "caption", "split", "start", "end"))
            for path, split in zip(paths, ("train", "train", "test"), strict=True):
                shutil.copy(path, self.raw / path.name)
                writer.writerow((path.name, "awe", "sticker", "A cup, and a saucer.", split, "", ""))
        self.manifest = build(self.raw, self.raw / "labels.csv", self.build, engine="serial").manifest
        self.place = Store.at(self.build)

    def named(self) -> Mapping[str, Callable[[bytes], None]]:
        """The readers by name."""
        return {
            "tar": self.tar,
            "json": self.json,
            "parquet": self.parquet,
            "card": self.card,
            "sheet": self.sheet,
            "video": self.video,
        }

    def seeds(self) -> dict[str, list[bytes]]:
        """What is read with success, for each reader."""
        import pyarrow.csv
        from openpyxl import Workbook
        from pyarrow import parquet

        shard = next(self.build.glob("data/*/train-*.tar")).read_bytes()
        table = pyarrow.csv.read_csv(self.raw / "labels.csv")
        sheet = (self.raw / "labels.csv").read_bytes()
        packed, book = io.BytesIO(), io.BytesIO()
        parquet.write_table(table, packed)
        pages = Workbook()
        for row in csv.reader(sheet.decode().splitlines()):
            pages.active.append(row)
        pages.save(book)
        rows = table.to_pylist()
        lines = "".join(json.dumps(row, allow_nan=False) + "\n" for row in rows).encode()
        whole = json.dumps(rows, allow_nan=False).encode()
        return {
            "tar": [shard],
            "json": [
                b"m" + (self.build / "manifest.json").read_bytes(),
                b"c" + _member(shard, b".json"),
                *(kind.encode() + text.encode() for kind, text in LINES.items()),
            ],
            "parquet": [next(self.build.glob("metadata/*/train.parquet")).read_bytes()],
            "card": [(self.build / "README.md").read_bytes(), b"---\ntitle: x\nlicense: mit\n---\n"],
            "sheet": [
                bytes([SHEETS.index(".csv")]) + sheet,
                bytes([SHEETS.index(".tsv")]) + sheet.replace(b",", b"\t"),
                bytes([SHEETS.index(".json")]) + whole,
                bytes([SHEETS.index(".jsonl")]) + lines,
                bytes([SHEETS.index(".parquet")]) + packed.getvalue(),
                bytes([SHEETS.index(".xlsx")]) + book.getvalue(),
            ],
            "video": [path.read_bytes() for path in sorted(self.raw.glob("*.mp4"))[:1]],
        }

    def tar(self, data: bytes) -> None:
        """A shard, read strictly."""
        from emovid_dataset.read.shard import read_samples

        with suppress(ValueError):
            for _ in read_samples(io.BytesIO(data)):
                pass

    def json(self, data: bytes) -> None:
        """A manifest, a clip, a taxonomy, a list of removals or of problems, by the first byte."""
        from emovid_dataset.report.problems import read_problems
        from emovid_dataset.schema.clip import Clip
        from emovid_dataset.schema.label_set import read_label_set
        from emovid_dataset.schema.manifest import Manifest
        from emovid_dataset.schema.removed import parse_removed
        from emovid_dataset.store import Store

        kind, body = data[:1], data[1:]
        with suppress(ValueError):
            if kind == b"m":
                Manifest.from_json(body.decode())
            elif kind == b"c":
                Clip.from_mapping(json.loads(body))
            elif kind == b"t":
                (self.sheets / "taxonomy.json").write_bytes(body)
                read_label_set(self.sheets / "taxonomy.json")
            elif kind == b"r":
                list(parse_removed(body))
            else:
                (self.sheets / "problems.jsonl").write_bytes(body)
                read_problems(Store.at(self.sheets))

    def parquet(self, data: bytes) -> None:
        """A metadata table, as `verify` and `select` meet it."""
        from emovid_dataset.check.index import check_table
        from emovid_dataset.read.select import select

        path = next(self.build.glob("metadata/*/train.parquet"))
        with _in_place_of(path, data):
            check_table(self.place, self.manifest, path.relative_to(self.build).as_posix(), ())
            with suppress(ValueError, OSError):
                select(self.build, emotion="awe")

    def card(self, data: bytes) -> None:
        """A card, as `verify` meets it, and what `--info` reads."""
        import yaml

        from emovid_dataset.check.index import check_card
        from emovid_dataset.schema.card_info import CardInfo

        with _in_place_of(self.build / "README.md", data):
            check_card(self.place, self.manifest)
        with suppress(ValueError, yaml.YAMLError):
            CardInfo.from_mapping(yaml.safe_load(data.decode()))

    def sheet(self, data: bytes) -> None:
        """A label sheet; the first byte is its format."""
        from emovid_dataset.builder.sheet.read import read_sheet
        from emovid_dataset.store import Store

        path = self.sheets / f"labels{SHEETS[data[0] % len(SHEETS)] if data else '.csv'}"
        path.write_bytes(data[1:])
        with suppress(ValueError):
            for _ in read_sheet(path, Store.at(self.raw)):
                pass

    def video(self, data: bytes) -> None:
        """A video: its facts and its frames."""
        from emovid_dataset.media.frames import decode
        from emovid_dataset.media.portable.errors import VideoError

        with suppress(VideoError):
            decode(data, frames=4)


@contextmanager
def _in_place_of(path: Path, data: bytes) -> Iterator[None]:
    """Other bytes in a file for as long as a block."""
    held = path.read_bytes()
    path.write_bytes(data)
    try:
        yield
    finally:
        path.write_bytes(held)


def _member(shard: bytes, suffix: bytes) -> bytes:
    import tarfile

    with tarfile.open(fileobj=io.BytesIO(shard)) as tar:
        name = next(name for name in tar.getnames() if name.endswith(suffix.decode()))
        file = tar.extractfile(name)
        assert file is not None
        return file.read()


def fuzz(name: str, seconds: int, keep: Path) -> None:
    """Fuzz one reader in this process, which ends with it."""
    import atheris

    # datasets and pyarrow are large: what is ours leads
    with atheris.instrument_imports(include=["emovid_dataset", "tarfile", "csv", "json", "yaml"]):
        import tarfile  # noqa: F401

        import emovid_dataset.builder.sheet.read
        import emovid_dataset.check
        import emovid_dataset.media.frames
        import emovid_dataset.read.select
        import emovid_dataset.report.problems
        import emovid_dataset.schema.label_set  # noqa: F401
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as text:
        folder = Path(text)
        readers = Readers(folder / "files")
        read, seeds = readers.named()[name], readers.seeds()[name]
        corpus = folder / "corpus"
        corpus.mkdir()
        for number, data in enumerate(seeds):
            (corpus / f"seed{number}").write_bytes(data)
        seen: set[str] = set()

        def try_one(data: bytes) -> None:
            try:
                read(data)
            except Exception as error:
                frames = traceback.extract_tb(error.__traceback__)
                ours = [frame for frame in frames if "emovid_dataset" in frame.filename][-1:]
                where = f"{type(error).__name__} {ours[0].filename}:{ours[0].lineno}" if ours else repr(error)
                if where not in seen:
                    seen.add(where)
                    path = keep / name / hashlib.sha256(data).hexdigest()[:16]
                    path.write_bytes(data)
                    print(f"FOUND {name} {path.name}: {where}: {error}", flush=True)

        longest = max(LONGEST, *(len(data) for data in seeds))
        words = [f"-max_total_time={seconds}", f"-max_len={longest}", "-timeout=30", "-rss_limit_mb=3000"]
        words += ["-print_final_stats=1", f"-artifact_prefix={keep}/{name}/", "-verbosity=1"]
        atheris.Setup(["fuzz", str(corpus), *words], try_one)
        atheris.Fuzz()


def main() -> None:
    """Fuzz each reader in a process of its own, and record what came of it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", nargs="+", choices=("tar", "json", "parquet", "card", "sheet", "video"))
    parser.add_argument("--seconds", type=int, default=60, help="for each reader")
    parser.add_argument("--keep", type=Path, help="folder for what is found (default: a temporary one)")
    parser.add_argument("--record", type=Path)
    parser.add_argument(
        "--page", action="store_true", help="write the section of docs/faults.md, fuzz nothing"
    )
    parser.add_argument("--reader", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.page:
        from benchmarks.faults_page import write_section

        write_section("fuzz", json.loads(RECORD.read_bytes()))
        return
    keep = given.keep or Path(tempfile.mkdtemp(prefix="emovid-fuzz-"))
    if given.reader:
        fuzz(given.reader, given.seconds, keep.resolve())
        return
    runs = []
    for name in given.only or ("tar", "json", "parquet", "card", "sheet", "video"):
        (keep / name).mkdir(parents=True, exist_ok=True)
        words = [sys.executable, __file__, "--reader", name, "--seconds", str(given.seconds)]
        begun = time.monotonic()
        done = subprocess.run([*words, "--keep", str(keep)], capture_output=True, text=True, errors="replace")
        said = done.stdout + done.stderr
        found = sorted(path.name for path in (keep / name).iterdir())
        units = re.search(r"number_of_executed_units: (\d+)", said)
        reached = re.findall(r"cov: (\d+)", said)
        run = {
            "reader": name,
            "seconds": round(time.monotonic() - begun),
            "inputs": int(units[1]) if units else 0,
            "branches": [int(reached[0]), int(reached[-1])] if reached else [],
            "found": len(found),
            "status": done.returncode,
        }
        print(json.dumps(run, allow_nan=False), flush=True)
        if done.returncode or found:
            print(
                "\n".join(line for line in said.splitlines() if "FOUND" in line) or said[-3000:], flush=True
            )
        runs.append(run)
    if given.record is not None:
        given.record.write_text(json.dumps({"runs": runs}, indent=1, allow_nan=False) + "\n")
    print(f"what was found lies in {keep}")
    raise SystemExit(any(run["found"] or run["status"] for run in runs))


if __name__ == "__main__":
    main()
