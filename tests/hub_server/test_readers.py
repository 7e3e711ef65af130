"""A dataset that `emovid push` has published, as its readers meet it."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from hub_clients import READ, WRITE, client_environment
from hub_server import Account, Fault, HubServer, Repo
from typer.testing import CliRunner
from video_files import folder_bytes

import emovid_dataset
from emovid_dataset import _retry, select
from emovid_dataset.builder.build import build
from emovid_dataset.builder.remove import remove
from emovid_dataset.check import verify
from emovid_dataset.cli import program
from emovid_dataset.read.manifest import read_manifest
from emovid_dataset.schema.clip import clip_id
from emovid_dataset.store import Store
from emovid_models import MINI_ANNOTATOR

REPO = "emovid/EmoVid"
STRANGER = "hf_" + "strangerTK" * 3 + "abcd"


@pytest.fixture(scope="module")
def small_build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A build of four stickers."""
    folder = tmp_path_factory.mktemp("small")
    raw = folder / "raw"
    raw.mkdir()
    mini = Path(emovid_dataset.__file__).parent / "mini" / "sticker"
    with (folder / "labels.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["path", "emotion", "content_type"])
        for clip in sorted(mini.glob("*.mp4"))[:4]:
            shutil.copy(clip, raw)
            rows.writerow([clip.name, "awe", "sticker"])
    build(raw, folder / "labels.csv", folder / "out", workers=1)
    return folder / "out"


@pytest.fixture
def published(
    empty_hub: HubServer, small_build: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Repo]:
    """Pushes the build as the command does, and gives its repo."""
    addresses = f"{empty_hub.url}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", empty_hub.url)
    monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", addresses)
    monkeypatch.setenv("HF_TOKEN", WRITE)
    empty_hub.accounts[STRANGER] = Account("stranger")

    def push(*options: str, repo_id: str = REPO) -> Repo:
        done = CliRunner().invoke(
            program(), ["push", "dataset", str(small_build), "--repo-id", repo_id, *options]
        )
        assert done.exit_code == 0, done.output
        assert WRITE not in done.output
        return empty_hub.repos["datasets", repo_id]

    return push


def hashes(clips: Iterable[bytes]) -> list[str]:
    return [hashlib.sha256(clip).hexdigest() for clip in clips]


@pytest.fixture(scope="module")
def train(small_build: Path) -> list[str]:
    """Hashes of the clips to train on, in their order."""
    return hashes(chosen.video for chosen in select(small_build, split="train"))


READ_ALL = """
import hashlib, json, sys, time
from datasets import Video, load_dataset
from huggingface_hub import get_session
from emovid_dataset import load, select

def stock(repo, **options):
    rows = load_dataset(repo, "sticker", split="train", streaming=True, **options)
    return [row["mp4"]["bytes"] for row in rows.cast_column("mp4", Video(decode=False))]

def selected(repo, **options):
    return [chosen.video for chosen in select(repo, split="train", **options)]

def loaded(repo, **options):
    return [row["video"]["bytes"] for row in load(repo, "sticker", split="train", **options).to_list()]

time.sleep = lambda seconds: None
outcomes = []
for name, repo, options in json.loads(sys.argv[1]):
    get_session().get(f"{sys.argv[2]}/next")
    try:
        found = [hashlib.sha256(clip).hexdigest() for clip in globals()[name](repo, **options)]
    except Exception as error:
        if name != "stock" and not isinstance(error, OSError):
            raise
        print(name, type(error), error)
        found = str(error)
    outcomes.append(found)
print(json.dumps(outcomes))
"""
"""Reads one repo after the other; before each it tells the Hub so by asking for a page that is not there."""

Reads = list[tuple[str, str, dict[str, str]]]


@pytest.fixture
def read_all(empty_hub: HubServer, tmp_path: Path) -> Callable[[Reads], list[Any]]:
    """Runs `READ_ALL` in a process of its own; gives hashes, or the message of an error, for each."""

    def run(wanted: Reads) -> list[Any]:
        done = subprocess.run(
            [sys.executable, "-c", READ_ALL, json.dumps(wanted), empty_hub.url],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env=client_environment(empty_hub, tmp_path),
        )
        print(done.stdout, done.stderr)
        assert done.returncode == 0, done.stderr[-3000:]
        assert not any(token in done.stdout + done.stderr for token in (STRANGER, READ, WRITE))
        outcomes = json.loads(done.stdout.splitlines()[-1])
        for (name, _, _), found in zip(wanted, outcomes, strict=True):
            # The words of a stock client's error are its own.
            assert name == "stock" or isinstance(found, list) or "\n" not in found, (name, found)
        return list(outcomes)

    return run


class TestAccess:
    def test_only_a_token_of_a_reader_opens_a_private_or_gated_repo(
        self,
        empty_hub: HubServer,
        published: Callable[..., Repo],
        train: list[str],
        read_all: Callable[[Reads], list[Any]],
    ) -> None:
        made = [
            published("--private", repo_id="emovid/private"),
            published("--gated", "manual", repo_id="emovid/manual"),
            published("--gated", "auto", repo_id="emovid/auto"),
        ]
        assert [(repo.private, repo.gated) for repo in made] == [
            (True, False),
            (False, "manual"),
            (False, "auto"),
        ]
        wanted: Reads = [
            (name, repo.id, token)
            for repo in made
            for token in ({}, {"token": STRANGER}, {"token": READ})
            for name in ("stock", "selected", "loaded")
        ]
        for (name, repo_id, token), found in zip(wanted, read_all(wanted), strict=True):
            if token == {"token": READ}:
                assert found == train, (name, repo_id)
                continue
            assert isinstance(found, str) and repo_id in found, (name, found)
            if name != "stock":
                reason = "no dataset repo on the Hub that this token may read"
                assert (reason if repo_id == "emovid/private" else "is gated") in found, (name, found)

    def test_a_revision_is_a_branch_of_its_own(
        self, published: Callable[..., Repo], read_all: Callable[[Reads], list[Any]], train: list[str]
    ) -> None:
        repo = published("--revision", "next", "--tag", "v1-next")
        assert list(repo.commits[repo.branches["main"]].blobs) == [".gitattributes"]
        assert repo.tags == {"v1-next": repo.branches["next"]}
        *found, main = read_all(
            [
                ("selected", REPO, {"revision": "next"}),
                ("stock", REPO, {"revision": "v1-next"}),
                ("selected", REPO, {}),
            ]
        )
        assert found == [train, train]
        assert main.startswith("hf://datasets/emovid/EmoVid@") and "is not an EmoVid build" in main


class TestAddresses:
    def test_no_error_shows_the_password_of_an_address(
        self, empty_hub: HubServer, small_build: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(_retry, "FIRST_WAIT", 0.0)
        empty_hub.publish("datasets", REPO, small_build)
        host = empty_hub.url.removeprefix("http://")
        user = "me:p%40ss@"
        root = f"http://{user}{host}/datasets/{REPO}/resolve/main"
        good = Store.find(f"{root}/")
        manifest = read_manifest(good)
        shard = manifest.shards[0].path
        empty_hub.faults.append(Fault("GET", "/broken", status=500, times=None))
        stores = [good, Store.find(root.replace("main", "none")), Store(root + "/broken")]
        failures: list[Callable[[], object]] = [
            lambda: good.range(shard, 0, 10**9),
            lambda: good.read("none.txt"),
            lambda: read_manifest(stores[1]),
            lambda: read_manifest(stores[2]),
            lambda: Store(f"http://{user}127.0.0.1:9").read("x"),
            lambda: Store.find(root, revision="main"),
            lambda: Store.find(f"ftp://{user}127.0.0.1/build"),
            lambda: emovid_dataset.load(f"{root}/", "none"),
            lambda: emovid_dataset.stream(f"{root}/", "none"),
        ]
        for fail in failures:
            with pytest.raises((OSError, ValueError)) as caught:
                fail()
            shown = "".join(traceback.format_exception(caught.value))
            assert "127.0.0.1" in str(caught.value) and "\n" not in str(caught.value)
            assert "p%40ss" not in shown and "p@ss" not in shown, shown
        assert not any("ss@" in repr(store) for store in stores)
        assert "ss@" not in repr(emovid_dataset.select(f"{root}/", limit=1))


FAULTS: dict[str, dict[str, Any]] = {
    "429": {"status": 429, "headers": {"Retry-After": "1"}},
    "503": {"status": 503},
    "reset before the answer": {"reset_request_after": 0},
    "reset in the body": {"reset_answer_after": 300},
}


class TestFaults:
    def test_a_bad_line_gives_the_right_bytes_or_one_line(
        self,
        empty_hub: HubServer,
        published: Callable[..., Repo],
        read_all: Callable[[Reads], list[Any]],
        train: list[str],
    ) -> None:
        published()
        faults = [
            Fault("GET", "/resolve/", skip=skip, times=times, **fault)
            for fault in FAULTS.values()
            for skip, times in ((1, 1), (0, None))
            for _ in ("selected", "stock")
        ]
        waiting = iter(faults)
        marker = Fault("GET", "/next", times=None)
        marker.strike = lambda: empty_hub.faults.__setitem__(slice(1, None), [next(waiting)])
        empty_hub.faults.append(marker)
        wanted: Reads = [("selected", REPO, {}), ("stock", REPO, {})]
        outcomes = read_all(wanted * (len(faults) // 2))
        for fault, found in zip(faults, outcomes, strict=True):
            assert isinstance(found, str) if fault.times is None else found == train, (fault, found)


def test_what_is_not_published_with_a_build_is_not_asked_for(
    empty_hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lists of refused rows, of rows without an emotion, and of clips in no split stay at home."""
    raw, out = tmp_path / "raw", tmp_path / "out"
    raw.mkdir()
    clips = sorted((Path(emovid_dataset.__file__).parent / "mini" / "sticker").glob("*.mp4"))[:4]
    for clip in clips:
        shutil.copy(clip, raw)
    (raw / "broken.mp4").write_bytes(b"no video")
    with (tmp_path / "labels.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["path", "emotion", "content_type", "group"])
        words = ("awe", "awe", "fear", "no specific emotion")
        rows.writerows(
            (clip.name, word, "sticker", clip.name[:1]) for clip, word in zip(clips, words, strict=True)
        )
        rows.writerow(["broken.mp4", "awe", "sticker", "b"])
    listed = [clip_id("sticker", hashlib.sha256(clips[0].read_bytes()))]
    report = build(raw, tmp_path / "labels.csv", out, workers=1, keep_none=True, benchmark_ids=listed)
    assert len(report.rejections) == len(report.without_emotion) == 1 and len(report.left_out) == 2
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", empty_hub.url)
    monkeypatch.setenv("HF_TOKEN", WRITE)

    push = ["push", "dataset", str(out), "--repo-id", REPO]
    done = CliRunner().invoke(program(), push)
    assert done.exit_code == 0, done.output
    blobs = next(empty_hub.repos["datasets", REPO].log()).blobs
    assert not {"rejected.jsonl", "none.jsonl", "left_out.jsonl"} & set(blobs)
    page, again, labels = tmp_path / "page.html", tmp_path / "again", tmp_path / "labels.parquet"
    commands = [
        ["stats", str(out)],
        ["stats", REPO, "--html", str(page)],
        [
            "annotate",
            f"hf://datasets/{REPO}",
            "--model",
            str(MINI_ANNOTATOR),
            "--out",
            str(labels),
            "--build",
            str(again),
        ],
    ]
    ran = subprocess.run(
        [sys.executable, "-c", COMMANDS, json.dumps(commands)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=client_environment(empty_hub, tmp_path),
    )
    assert ran.returncode == 0, ran.stderr[-3000:]
    at_home, published, _ = ran.stdout.split("next\n")[:3]
    assert "refused: row 5: broken.mp4" in at_home
    assert "refused: 1 rows, which this build does not list" in published
    assert (
        "1 row of the label sheet could not be used; a published build does not list it" in page.read_text()
    )
    assert verify(again, engine="serial") == [] and len(list(again.glob("none/*/*.tar"))) == 1


COMMANDS = """
import json, sys
from emovid_dataset.cli import program
for command in json.loads(sys.argv[1]):
    program()(command, standalone_mode=False)
    print("next", flush=True)
"""


@pytest.mark.parametrize(
    "fault", [{"reset_answer_after": 5000}, {"status": 503, "headers": {"Retry-After": "0"}}]
)
def test_a_damaged_shard_is_fetched_from_the_repo(
    fault: dict[str, Any],
    published: Callable[..., Repo],
    empty_hub: HubServer,
    small_build: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One has a bit turned over in a clip, one is cut short, of one the table is gone as well."""
    published()
    out = Path(shutil.copytree(small_build, tmp_path / "out"))
    rotten, short, *_ = sorted(out.glob("data/*/*.tar"))
    data = bytearray(rotten.read_bytes())
    data[len(data) // 3] ^= 16
    rotten.write_bytes(data)
    os.truncate(short, 700)
    next(out.glob("metadata/*/train.parquet")).unlink()
    clip = select(small_build, split=rotten.name.partition("-")[0]).clips[0].id
    found = verify(out, engine="serial")
    name = rotten.relative_to(out).as_posix()
    assert any(line.startswith(f"{name}: {clip}: ") for line in found), found
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    empty_hub.faults.append(Fault("GET", r"/resolve/.*\.tar", times=2, **fault))
    done = CliRunner().invoke(program(), ["repair", str(out), "--repo", REPO, "--engine", "serial"])
    assert done.exit_code == 0, done.output
    assert empty_hub.faults[0].times == 0
    assert folder_bytes(out) == folder_bytes(small_build)


def test_a_repo_that_holds_another_build_mends_nothing(
    published: Callable[..., Repo], small_build: Path, tmp_path: Path
) -> None:
    published()
    out = Path(shutil.copytree(small_build, tmp_path / "out"))
    clip = select(out, split="train").clips[0].id
    remove(out, ids=[clip], engine="serial")
    shard = next(out.glob("data/*/train-*.tar"))
    shard.write_bytes(b"")
    done = CliRunner().invoke(program(), ["repair", str(out), "--repo", REPO, "--engine", "serial"])
    assert done.exit_code == 1 and "has another file of that name" in done.output
    assert shard.read_bytes() == b""
    stranger = CliRunner().invoke(program(), ["repair", str(out), "--repo", "emovid/none"])
    assert isinstance(stranger.exception, FileNotFoundError)
