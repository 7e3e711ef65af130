"""`emovid push` of a build that lies in a bucket, what it reads on the way, and how many files go at once."""

from __future__ import annotations

import hashlib
import http.server
import json
import os
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fsspec import get_filesystem_class
from fsspec.implementations.memory import MemoryFileSystem
from hub_clients import WRITE
from hub_server import Fault, HubServer

from emovid_dataset import cli, load, select
from emovid_dataset.builder.build import build
from emovid_dataset.check import check_build
from emovid_dataset.report.stats import measure
from emovid_dataset.schema.manifest import Manifest
from emovid_dataset.store import Store
from emovid_models.publish import screening, sending
from emovid_models.publish.repos import assemble
from emovid_models.publish.tree import RepoTree, StoredFile, hash_tree
from emovid_models.publish.upload import push

MINI = Path(__file__).parents[2] / "emovid_dataset" / "mini"
REPO = "emovid/EmoVid"


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A build of nine stickers in several shards."""
    folder = tmp_path_factory.mktemp("clips")
    lines = (MINI / "labels.csv").read_text(encoding="utf-8").splitlines(keepends=True)
    stickers = [line for line in lines if line.startswith("sticker/")][:9]
    (folder / "sheet").mkdir()
    (folder / "sheet" / "labels.csv").write_text("".join([lines[0], *stickers]), encoding="utf-8")
    raw = Store.at(folder / "raw")
    for line in stickers:
        name = line.partition(",")[0]
        raw.put(name, MINI / name)
    build(
        folder / "raw", folder / "sheet" / "labels.csv", folder / "build", engine="serial", shard_size=150_000
    )
    return folder / "build"


@pytest.fixture
def bucket(clips: Path) -> Iterator[str]:
    """The same build in the memory of this process."""
    store, there = Store.at(clips), Store.at("memory://push/EmoVid")
    for name in store.list():
        there.put(name, store.read(name))
    yield there.root
    there.clear("data")


@pytest.fixture
def run(
    empty_hub: HubServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., dict[str, Any]]:
    """Runs `emovid push dataset ... --json`."""
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", empty_hub.url)
    monkeypatch.setenv("HF_TOKEN", WRITE)

    def command(source: str) -> dict[str, Any]:
        monkeypatch.setattr(sys, "argv", ["emovid", "push", "dataset", source, "--repo-id", REPO, "--json"])
        with pytest.raises(SystemExit) as left:
            cli.main()
        assert left.value.code == 0
        return dict(json.loads(capsys.readouterr().out))

    return command


def held(hub: HubServer) -> dict[str, bytes]:
    commit = hub.repos["datasets", REPO].commit("main")
    assert commit is not None
    return {path: blob.file.read_bytes() for path, blob in commit.blobs.items() if path != ".gitattributes"}


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How many bytes of each file in memory were read, in whole files."""
    count: Counter[str] = Counter()
    cat, get = MemoryFileSystem.cat_file, MemoryFileSystem.get_file

    def cat_file(
        files: Any, path: str, start: int | None = None, end: int | None = None, **more: Any
    ) -> bytes:
        data = cat(files, path, start=start, end=end, **more)
        count[path.rpartition("EmoVid/")[2]] += len(data)
        return bytes(data)

    def get_file(files: Any, path: str, place: str, **more: Any) -> None:
        get(files, path, place, **more)
        count[path.rpartition("EmoVid/")[2]] += Path(place).stat().st_size

    monkeypatch.setattr(MemoryFileSystem, "cat_file", cat_file)
    monkeypatch.setattr(MemoryFileSystem, "get_file", get_file)
    return count


@pytest.mark.parametrize("inline", [sending.INLINE_FILE, 20_000])
def test_a_build_in_a_bucket_is_pushed_with_two_reads_of_each_shard(
    run: Callable[..., dict[str, Any]],
    clips: Path,
    bucket: str,
    reads: Counter[str],
    empty_hub: HubServer,
    inline: int,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """One to check it, one to send it; a large file is sent from a copy, which goes again."""
    monkeypatch.setattr(sending, "INLINE_FILE", inline)
    monkeypatch.setattr(screening, "_SEARCHED_WHOLE", 1000)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    done = run(bucket)
    wanted = assemble("dataset", clips, repo_id=REPO).files
    assert held(empty_hub) == {
        name: content if isinstance(content, bytes) else content.read_bytes()
        for name, content in wanted.items()
    }
    shards = [file for file in done["files"] if file["path"].endswith(".tar")]
    manifest = Manifest.from_json(held(empty_hub)["manifest.json"].decode())
    assert len(shards) >= 3 and done["tag"] == f"v{manifest.version}-{manifest.revision}"
    heads = 8 + 8192  # what the screening looks at
    assert {shard["path"]: reads[shard["path"]] - heads for shard in shards} == {
        shard["path"]: 2 * shard["size"] for shard in shards
    }
    assert list(tmp_path.iterdir()) == []
    assert run(bucket)["uploaded"] == []


def test_a_build_on_the_disk_is_not_hashed_again_and_sent_in_one_read(
    clips: Path, empty_hub: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(screening, "_SEARCHED_WHOLE", 1000)
    tree = assemble("dataset", clips, repo_id=REPO)
    shards = [name for name in tree.files if name.endswith(".tar")]
    opened: Counter[str] = Counter()
    watching = True

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        if watching and event == "open" and str(arguments[0]).endswith(".tar"):
            opened[str(Path(arguments[0]).relative_to(clips))] += 1

    sys.addaudithook(watch)
    try:
        hashed = {file.path: file for file in hash_tree(tree)}
        assert not opened
        assert {name: hashed[name].sha256 for name in shards} == dict(tree.sha256)
        push(tree, REPO, endpoint=empty_hub.url, token=WRITE)
    finally:
        watching = False
    # Twice its first bytes for the screening, once for the Hub, which chooses LFS by them, and the upload.
    assert opened == Counter(dict.fromkeys(shards, 4))


def test_several_files_are_on_their_way_at_once(clips: Path, empty_hub: HubServer) -> None:
    both = threading.Barrier(2)
    empty_hub.faults.append(Fault("PUT", "/lfs/", times=2, strike=lambda: both.wait(30) and None))
    assert push(assemble("dataset", clips, repo_id=REPO), REPO, endpoint=empty_hub.url, token=WRITE)
    assert not both.broken and empty_hub.faults[0].times == 0


def test_a_file_that_changes_after_it_was_hashed_is_not_sent_under_the_old_hash(
    bucket: str, empty_hub: HubServer
) -> None:
    tree = assemble("dataset", bucket, repo_id=REPO)
    shard = next(name for name in tree.files if name.endswith(".tar"))
    content = tree.files[shard]
    assert isinstance(content, StoredFile)

    def change() -> None:
        content.store.put(shard, content.read_bytes() + b"x")

    empty_hub.faults.append(Fault("POST", "/repos/create", strike=change))
    with pytest.raises(
        OSError, match=rf"^{REPO}: OSError {shard} has changed since it was hashed; push again$"
    ):
        push(tree, REPO, endpoint=empty_hub.url, token=WRITE)
    assert shard not in held(empty_hub)


@pytest.mark.parametrize("kind", ["annotator", "lora", "base", "metric", "demo"])
def test_of_what_lies_in_a_bucket_only_a_data_set_is_pushed(kind: str) -> None:
    with pytest.raises(ValueError, match=r"^memory://push/x is not a folder; of what lies at a URL only"):
        assemble(kind, "memory://push/x", repo_id="me/x")


@pytest.mark.parametrize("scheme", ["hf", "http"])
def test_a_published_build_is_checked_counted_and_read_where_it_lies(
    clips: Path, empty_hub: HubServer, scheme: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", empty_hub.url)
    template = empty_hub.url + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", template)
    get_filesystem_class("hf").clear_instance_cache()
    push(assemble("dataset", clips, repo_id=REPO), REPO, endpoint=empty_hub.url, token=WRITE)
    there = f"hf://datasets/{REPO}"
    if scheme == "http":  # where a build lies as it is, with its list of refusals
        empty_hub.publish("datasets", "emovid/plain", clips)
        there = f"{empty_hub.url}/datasets/emovid/plain/resolve/main"
    report = check_build(there, engine="serial", decode=True, sample=0.3)
    assert (report.violations, report.clips) == ((), 9)
    assert [note.rpartition(": ")[2] for note in report.notes] == [
        "http has no listings, so files that the manifest does not name are not found"
    ] * (scheme == "http")
    assert {**measure(there).to_json(), "name": ""} == {**measure(clips).to_json(), "name": ""}
    assert list(select(there)) == list(select(clips))
    if scheme == "http":  # `datasets` learns the Hub's address when it is imported
        rows = [
            load(place, split="train", cache_dir=str(tmp_path / name)).to_list()
            for place, name in ((there, "there"), (clips, "here"))
        ]
        assert rows[0] == rows[1] and rows[0]


def test_a_build_is_made_of_files_on_the_hub(
    clips: Path, empty_hub: HubServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", empty_hub.url)
    template = empty_hub.url + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", template)
    get_filesystem_class("hf").clear_instance_cache()
    empty_hub.publish("datasets", "emovid/raw", clips.parent / "raw")
    empty_hub.publish("datasets", "emovid/labels", clips.parent / "sheet")
    labels = f"{empty_hub.url}/datasets/emovid/labels/resolve/main/labels.csv"
    out = tmp_path / "out"
    build("hf://datasets/emovid/raw", labels, out, engine="serial", shard_size=150_000)
    made, wanted = Store.at(out), Store.at(clips)
    assert {name: made.read(name) for name in made.list()} == {
        name: wanted.read(name) for name in wanted.list()
    }
    # over http, which lists no files, those that the sheet names are enough
    raw = f"{empty_hub.url}/datasets/emovid/raw/resolve/main"
    build(raw, labels, tmp_path / "http", engine="serial", shard_size=150_000)
    made = Store.at(tmp_path / "http")
    assert {name: made.read(name) for name in made.list()} == {
        name: wanted.read(name) for name in wanted.list()
    }


class _TokensOfXet(http.server.BaseHTTPRequestHandler):
    """Says where Xet's storage is: in a folder."""

    folder: Path

    def do_GET(self) -> None:
        facts = {"casUrl": f"local://{self.folder}", "accessToken": "t", "exp": 1 << 33}
        body = json.dumps(facts).encode()
        self.send_response(200)
        for name, value in zip(("Cas-Url", "Access-Token", "Token-Expiration"), facts.values(), strict=True):
            self.send_header(f"X-Xet-{name}", str(value))
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def test_xet_takes_files_whose_hash_is_known(clips: Path, bucket: str, tmp_path: Path) -> None:
    """A path, bytes, and a copy of what lies in a bucket, by the client's own uploader."""
    pytest.importorskip("hf_xet")
    from huggingface_hub import _commit_api

    random = os.urandom(300_000)
    (tmp_path / "a.tar").write_bytes(random)
    handler = type("Bound", (_TokensOfXet,), {"folder": tmp_path / "cas"})
    shard = next(name for name in Store.at(bucket).list("data"))
    tree = RepoTree(
        "dataset",
        {"a.tar": tmp_path / "a.tar", "b.tar": random[::-1], "c.tar": StoredFile(Store.at(bucket), shard)},
        sha256={"a.tar": hashlib.sha256(random).hexdigest()},
    )
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        with sending.additions(hash_tree(tree)) as made:
            assert all(addition.upload_info.is_hashed for addition in made)
            _commit_api._upload_xet_files(
                additions=made,
                repo_type="dataset",
                repo_id=REPO,
                headers={"authorization": "Bearer t"},
                endpoint=f"http://127.0.0.1:{server.server_port}",
                revision="main",
            )
        server.shutdown()
    stored = sum(path.stat().st_size for path in (tmp_path / "cas").rglob("*") if path.is_file())
    assert stored > 2 * len(random)
