"""A build that shrinks and is pushed again: what the Hub serves of a removed clip until a purge, and then."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from hub_clients import WRITE
from hub_server import HubServer
from typer.testing import CliRunner

from emovid_dataset.builder.append import append
from emovid_dataset.builder.build import build
from emovid_dataset.builder.remove import remove
from emovid_dataset.check import verify
from emovid_dataset.cli import program
from emovid_dataset.read.manifest import read_manifest
from emovid_dataset.read.select import select
from emovid_dataset.store import Store

MINI = Path(__file__).parents[2] / "emovid_dataset" / "mini"
REPO = "emovid/EmoVid"
OUT = "memory://purge/out"

Run = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A build of nine stickers, and the sheet of ten beside it."""
    folder = tmp_path_factory.mktemp("begun")
    lines = (MINI / "labels.csv").read_text(encoding="utf-8").splitlines(keepends=True)
    stickers = [line for line in lines if line.startswith("sticker/")][:10]
    for name, some in (("first.csv", stickers[:9]), ("all.csv", stickers)):
        (folder / name).write_text("".join([lines[0], *some]), encoding="utf-8")
    build(MINI, folder / "first.csv", folder / "out", engine="serial")
    return folder


@pytest.fixture
def out(begun: Path) -> Store:
    """The build in memory, where no other process is needed to read it."""
    MemoryFileSystem.store.clear()
    MemoryFileSystem.pseudo_dirs[:] = [""]
    source, place = Store.at(begun / "out"), Store.at(OUT)
    for name in source.list():
        place.put(name, source.read(name))
    return place


@pytest.fixture
def run(empty_hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", empty_hub.url)
    monkeypatch.setenv("HF_TOKEN", WRITE)

    def push(*options: str) -> dict[str, Any]:
        done = CliRunner().invoke(program(), ["push", "dataset", OUT, "--repo-id", REPO, "--json", *options])
        assert done.exit_code == 0, f"{done.output} {done.exception}"
        return dict(json.loads(done.stdout.splitlines()[-1]))

    return push


def status(hub: HubServer, revision: str, path: str) -> int:
    return httpx.head(f"{hub.url}/datasets/{REPO}/resolve/{revision}/{path}").status_code


def card(hub: HubServer) -> str:
    return httpx.get(f"{hub.url}/datasets/{REPO}/resolve/main/README.md").text


def test_push_moves_only_what_changed_and_its_tag_is_no_conflict(
    out: Store, run: Run, begun: Path, empty_hub: HubServer
) -> None:
    first = run()
    before = read_manifest(out)
    append(MINI, begun / "all.csv", OUT, engine="serial")
    grown = read_manifest(out)
    new = {shard.path for shard in grown.shards} - {shard.path for shard in before.shards}
    second = run()
    assert len(new) == 1 and second["deleted"] == []
    assert {path for path in second["uploaded"] if path.endswith(".tar")} == new
    assert first["tag"] == f"v0.1.0-{before.revision}" != second["tag"] == f"v0.1.0-{grown.revision}"
    assert set(empty_hub.repos["datasets", REPO].tags) == {first["tag"], second["tag"]}
    assert run()["commits"] == 0


def test_a_removed_clip_is_served_by_old_revisions_until_they_are_purged(
    out: Store, run: Run, empty_hub: HubServer
) -> None:
    first = run()
    clip = select(OUT, split="train", limit=1).clips[0]
    done = remove(OUT, ids=[clip.id], engine="serial")
    (shard,) = (*done.rewritten, *done.deleted)
    second = run()
    changed = {path for path in (*second["uploaded"], *second["deleted"]) if path.endswith(".tar")}
    assert changed == {shard}
    # a shard without any clip is gone from the branch, but not from what came before
    assert [status(empty_hub, revision, shard) for revision in (first["tag"], first["commit"])] == [200, 200]
    assert "Earlier revisions of this repo still serve it." in card(empty_hub)
    repo = empty_hub.repos["datasets", REPO]
    old = [commit for commit in repo.commits if commit != second["commit"]]
    assert len(old) >= 3

    third = run("--purge")
    purged = third["purged"]
    assert third["violations"] == [] and "forks remain" in purged["remains"]
    assert purged["tags"] == [first["tag"]] and third["tag"] == second["tag"]
    assert repo.tags == {third["tag"]: third["commit"]} and list(repo.commits) == [third["commit"]]
    assert [status(empty_hub, revision, shard) for revision in (first["tag"], *old)] == [404] * (1 + len(old))
    kept = {blob.sha256 for blob in repo.commits[third["commit"]].blobs.values() if blob.sha256}
    assert set(repo.objects) == kept and len(purged["objects"]) >= 2
    stored = b"".join(path.read_bytes() for path in empty_hub.storage.glob("*"))
    assert clip.sha256.encode() not in stored
    assert "No earlier revision of this repo serves it any more." in card(empty_hub)
    assert verify(OUT, engine="serial") == []
    assert json.loads(out.read("removed.jsonl"))["purged"]

    again = run("--purge")
    assert (again["commits"], again["purged"]["objects"], again["commit"]) == (0, [], third["commit"])
    assert run()["uploaded"] == []


def test_a_repo_with_another_branch_is_not_purged(
    out: Store, run: Run, empty_hub: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("--revision", "next")
    before = dict(empty_hub.repos["datasets", REPO].branches)
    asked = ["push", "dataset", OUT, "--repo-id", REPO, "--purge"]
    done = CliRunner().invoke(program(), asked)
    assert "has other branches, which may hold what must go: next" in str(done.exception)
    assert empty_hub.repos["datasets", REPO].branches == before


def test_what_the_hub_serves_after_all_is_said(
    out: Store, run: Run, empty_hub: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("--no-tag")
    remove(OUT, ids=[select(OUT, split="train", limit=1).clips[0].id], engine="serial")
    repo = empty_hub.repos["datasets", REPO]
    kept = dict(repo.commits)
    files = {path: path.read_bytes() for path in empty_hub.storage.glob("new-*")}

    def keep(_: object, __: object) -> None:
        repo.commits.update(kept)
        for path, data in files.items():
            path.write_bytes(data)

    # a Hub that keeps what it was asked to forget
    monkeypatch.setattr(type(repo), "forget", keep)
    done = CliRunner().invoke(program(), ["push", "dataset", OUT, "--repo-id", REPO, "--purge", "--json"])
    assert done.exit_code == 1, f"{done.output} {done.exception!r}"
    violations = json.loads(done.stdout.splitlines()[-1])["violations"]
    assert any("is still there on the Hub" in line for line in violations)
    assert "purged" not in json.loads(out.read("removed.jsonl"))
