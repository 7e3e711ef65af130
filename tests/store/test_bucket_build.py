"""The whole way of a data set on a bucket: built from one into another, checked, counted and read there."""

from __future__ import annotations

import csv
import logging
import sys
import threading
import traceback
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import fsspec
import pytest
from buckets import KEY, SECRET, copied
from faulty_server import FAULTS, FaultyServer, faulty

from emovid_dataset import load, select, stream
from emovid_dataset.builder.append import AppendStage, append
from emovid_dataset.builder.build import build
from emovid_dataset.builder.remove import remove
from emovid_dataset.check import verify
from emovid_dataset.cli import main
from emovid_dataset.report.stats import measure
from emovid_dataset.store import Store
from emovid_models import MINI_ANNOTATOR
from emovid_models.annotator.annotate import LoadedByName
from emovid_models.annotator.annotate import annotate as annotate_videos

MINI = Path(__file__).parents[2] / "emovid_dataset" / "mini"


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight clips in `clips/`, `labels.csv`, and what this process builds of them on the disk: `local/`."""
    folder = tmp_path_factory.mktemp("clips")
    with (MINI / "labels.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["path"].startswith("sticker/")][:8]
    raw = Store.at(folder / "clips")
    for row in rows:
        raw.put(row["path"], MINI / row["path"])
    with (folder / "labels.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    build(folder / "clips", folder / "labels.csv", folder / "local", engine="serial")
    return folder


@pytest.fixture
def run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Runs the command in an empty folder: its exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)

    def command(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["emovid", *map(str, words)])
        capfd.readouterr()
        try:
            main()
            code = 0
        except SystemExit as stop:
            code = int(stop.code or 0)
        return code, *capfd.readouterr()

    return command


def files(store: Store) -> dict[str, bytes]:
    return {name: store.read(name) for name in store.list()}


def test_a_build_from_a_bucket_into_a_bucket_is_the_same_to_the_byte(
    clips: Path, s3: Store, faults: FaultyServer
) -> None:
    raw = copied(Store.at(clips / "clips"), s3, "in/clips")
    s3.put("in/labels.csv", clips / "labels.csv")
    out = Store.at(s3.url("out/EmoVid"))
    report = build(raw.root, s3.url("in/labels.csv"), out.root, engine="serial")
    assert len(report.rejections) == 0
    assert files(out) == files(Store.at(clips / "local"))
    assert set(faults.happened) == set(FAULTS), faults.happened


def test_a_build_on_a_bucket_is_checked_counted_and_read_as_on_the_disk(
    clips: Path, s3: Store, faults: FaultyServer, tmp_path: Path
) -> None:
    local, there = clips / "local", copied(Store.at(clips / "local"), s3, "EmoVid").root
    assert verify(there, decode=True, engine="serial") == []
    here, found = measure(local).to_json(), measure(there).to_json()
    assert {**found, "name": ""} == {**here, "name": ""}
    assert list(select(there)) == list(select(local))
    samples = [
        [(sample["id"], sample["video"].numpy().tobytes()) for sample in stream(place, frames=2, size=32)]
        for place in (local, there)
    ]
    assert samples[0] == samples[1] and len(samples[0]) == 6
    rows = [
        load(place, split="train", cache_dir=str(tmp_path / name)).to_list()
        for place, name in ((local, "a"), (there, "b"))
    ]
    assert rows[0] == rows[1] and rows[0]
    assert faults.happened.total() >= 3


def test_a_build_on_a_bucket_grows_and_shrinks_as_on_the_disk(
    clips: Path, s3: Store, faults: FaultyServer, tmp_path: Path
) -> None:
    raw, sheet = clips / "clips", clips / "labels.csv"
    first = tmp_path / "first.csv"
    first.write_text("".join(sheet.read_text(encoding="utf-8").splitlines(True)[:7]), encoding="utf-8")
    local = tmp_path / "local"
    build(raw, first, local, engine="serial")
    there = copied(Store.at(local), s3, "EmoVid")
    clip = select(local, split="train", limit=1).clips[0].id
    for place in (local, there.root):
        assert append(raw, sheet, place, engine="serial").added.total() == 2
        assert remove(place, ids=[clip], date="2026-11-27", engine="serial").removed == (clip,)
    assert files(there) == files(Store.at(local))
    assert faults.happened.total() >= 3


def fewer(clips: Path, folder: Path) -> Path:
    """A sheet of the first six clips."""
    sheet = folder / "first.csv"
    lines = (clips / "labels.csv").read_text(encoding="utf-8").splitlines(keepends=True)
    sheet.write_text("".join(lines[:7]), encoding="utf-8")
    return sheet


HOLDER = b'{"host": "gone", "pid": 17, "since": "2026-11-27T10:00:00+00:00", "nonce": "of another"}\n'


def test_the_place_of_a_killed_process_is_taken_over_after_a_minute(
    clips: Path, memory: Store, age: Callable[[Store, str, float], None], tmp_path: Path
) -> None:
    raw, sheet, first = clips / "clips", clips / "labels.csv", fewer(clips, tmp_path)
    local, annotations = tmp_path / "local", Store.at(memory.url("annotations"))

    def annotate(place: Store) -> None:
        annotate_videos([], LoadedByName(str(MINI_ANNOTATOR)), place.url("a.parquet"), identity="x")

    commands: list[tuple[str, Store, str, Callable[[], object]]] = [
        ("built", memory, ".build/lock", lambda: build(raw, first, memory.root, engine="serial")),
        ("changed", memory, ".build/lock", lambda: append(raw, sheet, memory.root, engine="serial")),
        ("written", annotations, ".a.parquet.lock", lambda: annotate(annotations)),
    ]
    for being, place, lock, command in commands:
        place.put(lock, HOLDER)
        with pytest.raises(ValueError, match=f"is being {being} by another process.* in a minute"):
            command()
        age(place, lock, 61)
        command()
        assert not place.exists(lock)
    build(raw, first, local, engine="serial")
    append(raw, sheet, local, engine="serial")
    annotations.delete("a.parquet")
    assert files(memory) == files(Store.at(local))


def test_who_was_taken_over_changes_nothing_more(
    clips: Path, memory: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw, first = clips / "clips", fewer(clips, tmp_path)
    build(raw, first, memory.root, engine="serial")
    before = files(memory)
    monkeypatch.setattr("emovid_dataset._lease.BEAT", 0.01)
    write = AppendStage.run

    def taken_over(self: AppendStage, state: None, part: Any, store: Store) -> Any:
        yield from write(self, state, part, store)
        memory.put(".build/lock", HOLDER)
        beats = [thread for thread in threading.enumerate() if thread.name.startswith("lease ")]
        for thread in beats:
            thread.join(30)  # it ends when it finds the other one's name

    monkeypatch.setattr(AppendStage, "run", taken_over)
    with pytest.raises(ValueError, match="is being changed by another process"):
        append(raw, clips / "labels.csv", memory.root, engine="serial")
    after = files(memory)
    assert after.pop(".build/lock") == HOLDER
    assert {name: data for name, data in after.items() if not name.startswith(".build/")} == before


@pytest.mark.parametrize("fault", ["500", "503", "reset", "cut off"])
def test_a_bucket_that_never_answers_well_is_one_line_without_a_key(
    clips: Path,
    s3: Store,
    s3_server: str,
    fault: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    there = copied(Store.at(clips / "local"), s3, "EmoVid").root
    caplog.set_level(logging.DEBUG, "emovid_dataset")
    with faulty(s3_server, every=1, faults=(fault,)) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.address)
        fsspec.get_filesystem_class("s3").clear_instance_cache()
        monkeypatch.setattr("s3fs.S3FileSystem.retries", 2)
        with pytest.raises(OSError) as caught:
            Store.at(there).read("manifest.json")
        said = "".join([str(caught.value), *traceback.format_exception(caught.value), caplog.text])
    assert str(caught.value).startswith(f"{there}/manifest.json cannot be read: ")
    assert "\n" not in str(caught.value)
    assert SECRET not in said and KEY not in said


OUT = "--out"
MISSING = {
    scheme: f"needs a package that is not installed: pip install {package}"
    for scheme, package in (("gs", "gcsfs"), ("gcs", "gcsfs"), ("az", "adlfs"), ("abfs", "adlfs"))
    if find_spec(package) is None
}
"""What is said of clouds whose client is not here."""
REFUSED = [
    ("ftp://host/x", "nothing can be written to ftp://host/x"),
    ("nowhere://host/x", "nothing can be written to nowhere://host/x"),
    ("https://me:hunter22@host/x", "nothing can be written to https://host/x"),
    ("hf://datasets/me/x", "nothing can be written to hf://datasets/me/x"),
    ("s3://", "s3:// does not say which bucket"),
    (f"s3://{KEY}:{SECRET}@bucket/x", "s3://bucket/x was given with a key in it"),
    ("s3:/bucket/x", "s3:/bucket/x looks like a URL that has lost a slash"),
    ("s3:bucket/x", "s3:bucket/x looks like a URL that has lost a slash"),
    ("s3://no-such-bucket/x", "The specified bucket does not exist"),
    *((f"{scheme}://bucket/x", f"{scheme}://bucket/x {says}") for scheme, says in MISSING.items()),
]


@pytest.mark.parametrize(("out", "says"), REFUSED)
def test_an_output_that_cannot_be_used_is_refused_before_any_work(
    out: str, says: str, clips: Path, s3: Store, run: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    code, said, error = run("build", clips / "clips", "--labels", clips / "labels.csv", OUT, out)
    assert (code, said) == (2, "") and says in error and len(error.splitlines()) == 1
    assert SECRET not in error and KEY not in error and "hunter22" not in error
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("raw", "labels", "says"),
    [
        ("s3://no-such-bucket/in", None, "s3://no-such-bucket/in holds no files"),
        ("{bucket}/nothing", None, "/nothing holds no files"),
        (None, "{bucket}/none.csv", "/none.csv does not exist"),
        (None, "s3://no-such-bucket/none.csv", "s3://no-such-bucket/none.csv does not exist"),
        ("ftp:/host/x", None, "RAW ftp:/host/x is not a folder"),
        *((f"{scheme}://bucket/in", None, says) for scheme, says in MISSING.items()),
        *((None, f"{scheme}://bucket/x.csv", says) for scheme, says in MISSING.items()),
    ],
)
def test_an_input_that_is_not_there_is_refused_before_any_work(
    raw: str | None,
    labels: str | None,
    says: str,
    clips: Path,
    s3: Store,
    run: Callable[..., tuple[int, str, str]],
    tmp_path: Path,
) -> None:
    raw, labels = (text and text.format(bucket=s3.root) for text in (raw, labels))
    code, said, error = run(
        "build", raw or clips / "clips", "--labels", labels or clips / "labels.csv", OUT, "new"
    )
    assert (code, said) == (2, "") and says in error and len(error.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "words",
    [
        ("verify", "{}"),
        ("stats", "{}"),
        ("push", "dataset", "{}", "--repo-id", "me/x"),
        ("annotate", "{}", "--model", MINI_ANNOTATOR, OUT, "x.parquet"),
        ("annotate", MINI, "--model", MINI_ANNOTATOR, OUT, "{}/x.parquet"),
        ("evaluate", "--videos", "{}"),
        ("evaluate", "--videos", MINI, OUT, "{}"),
    ],
)
@pytest.mark.parametrize("scheme", [scheme for scheme in ("gs", "az") if scheme in MISSING])
def test_a_cloud_whose_client_is_missing_is_refused_before_any_work(
    scheme: str, words: tuple[object, ...], run: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    code, said, error = run(*(str(word).replace("{}", f"{scheme}://bucket/x") for word in words))
    assert code in (1, 2) and MISSING[scheme] in said + error and len((said + error).splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_places_on_this_machine_are_no_urls(run: Callable[..., tuple[int, str, str]], tmp_path: Path) -> None:
    for command in (
        ["generate", "a cat", OUT, "s3://bucket/a.mp4"],
        ["sticker", "p.png", OUT, "s3://bucket/x"],
    ):
        Path("p.png").touch()
        code, said, error = run(*command)
        assert (code, said) == (2, ""), error
        assert error.startswith("emovid: --out s3:/bucket") and error.strip().endswith(
            "is a URL; this option takes a place on this machine"
        )
        Path("p.png").unlink()
    assert list(tmp_path.iterdir()) == []
