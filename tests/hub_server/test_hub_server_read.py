"""The reading half of the Hub on loopback, as urllib and huggingface_hub see it."""

from __future__ import annotations

import hashlib
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from datasets import ClassLabel, Dataset, Features, Value, Video
from hub_clients import Client
from hub_server import HubServer, reading

import emovid_dataset
from emovid_dataset.read.manifest import read_manifest


@pytest.fixture(scope="module")
def hub(mini_build: Path) -> Iterator[HubServer]:
    with HubServer() as server:
        server.publish("datasets", "emovid/EmoVid", mini_build)
        yield server


def answer(url: str, method: str = "GET", **headers: str) -> tuple[int, Any, bytes]:
    request = urllib.request.Request(url, method=method, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return response.status, response.headers, response.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers, error.read()


class TestProtocol:
    @pytest.mark.parametrize(
        ("wanted", "first", "end"),
        [
            ("bytes=5-9", 5, 10),
            ("bytes=10-", 10, None),
            ("bytes=-7", -7, None),
            ("bytes=0-99999999", 0, None),
        ],
    )
    def test_a_range_is_those_bytes(
        self, hub: HubServer, mini_build: Path, wanted: str, first: int, end: int | None
    ) -> None:
        whole = (mini_build / "README.md").read_bytes()
        url = f"{hub.url}/datasets/emovid/EmoVid/resolve/main/README.md"
        status, headers, data = answer(url, Range=wanted)
        assert (status, data) == (206, whole[first:end])
        start = first % len(whole)
        assert headers["Content-Range"] == f"bytes {start}-{start + len(data) - 1}/{len(whole)}"

    def test_a_range_behind_the_end_is_refused(self, hub: HubServer) -> None:
        url = f"{hub.url}/datasets/emovid/EmoVid/resolve/main/README.md"
        status, headers, data = answer(url, Range="bytes=99999999-")
        assert (status, data) == (416, b"")
        assert headers["Content-Range"].startswith("bytes */")

    def test_head_says_size_commit_and_hash(self, hub: HubServer, mini_build: Path) -> None:
        shard = read_manifest(mini_build).shards[0].path
        data = (mini_build / shard).read_bytes()
        status, headers, body = answer(f"{hub.url}/datasets/emovid/EmoVid/resolve/main/{shard}", "HEAD")
        assert (status, body, int(headers["Content-Length"])) == (200, b"", len(data))
        assert headers["ETag"] == f'"{hashlib.sha256(data).hexdigest()}"'
        assert headers["X-Repo-Commit"] == hub.repos["datasets", "emovid/EmoVid"].branches["main"]
        assert headers["Accept-Ranges"] == "bytes"

    @pytest.mark.parametrize(
        ("path", "status", "code"),
        [
            ("/datasets/emovid/EmoVid/resolve/main/none.txt", 404, "EntryNotFound"),
            ("/datasets/emovid/EmoVid/resolve/main/../../etc/passwd", 404, "EntryNotFound"),
            ("/datasets/emovid/EmoVid/resolve/main/%2e%2e%2f%2e%2e%2fetc%2fpasswd", 404, "EntryNotFound"),
            ("/datasets/emovid/EmoVid/resolve/v9/README.md", 404, "RevisionNotFound"),
            ("/api/datasets/emovid/EmoVid/revision/v9", 404, "RevisionNotFound"),
            ("/api/datasets/emovid/EmoVid/tree/main/none", 404, "EntryNotFound"),
            ("/api/models/emovid/EmoVid", 401, "RepoNotFound"),
        ],
    )
    def test_a_refusal_has_its_code(self, hub: HubServer, path: str, status: int, code: str) -> None:
        found, headers, _ = answer(hub.url + path)
        assert (found, headers["X-Error-Code"]) == (status, code)

    def test_equal_folders_are_equal_commits_and_a_change_is_another(self, tmp_path: Path) -> None:
        for name in ("one", "two"):
            (tmp_path / name / "data").mkdir(parents=True)
            (tmp_path / name / "data" / "a.txt").write_text("a")
        with HubServer() as server:
            one = server.publish("models", "me/one", tmp_path / "one").branches["main"]
            two = server.publish("models", "me/two", tmp_path / "two").branches["main"]
            assert one == two
            (tmp_path / "two" / "data" / "b.txt").write_text("b")
            repo = server.publish("models", "me/two", tmp_path / "two")
            assert repo.branches["main"] != two
            status, _, _ = answer(f"{server.url}/me/two/resolve/{two}/data/b.txt")
            assert status == 404
            with pytest.raises(ValueError, match=r"^kind is 'model'; allowed: models, datasets, spaces$"):
                server.publish("model", "me/two", tmp_path)


HUB_LISTING = """
import json
from huggingface_hub import HfApi
api = HfApi()
repo = {"repo_id": "emovid/EmoVid", "repo_type": "dataset"}
tree = list(api.list_repo_tree(**repo, recursive=True, expand=True))
shallow = list(api.list_repo_tree(**repo, path_in_repo="data"))
found = api.get_paths_info(**repo, paths=["README.md", "data", "none"])
print(json.dumps({
    "files": {e.path: [e.size, e.lfs and e.lfs.sha256] for e in tree if hasattr(e, "blob_id")},
    "folders": [e.path for e in tree if not hasattr(e, "blob_id")],
    "shallow": [e.path for e in shallow],
    "found": [e.path for e in found],
    "refs": [[b.name, b.target_commit] for b in api.list_repo_refs(**repo).branches],
    "sha": api.dataset_info("emovid/EmoVid").sha,
    "exists": [api.file_exists("emovid/EmoVid", n, repo_type="dataset") for n in ("README.md", "none")],
}))
"""

SNAPSHOT = """
import json, sys
from huggingface_hub import snapshot_download
print(json.dumps(snapshot_download(sys.argv[1], repo_type=sys.argv[2])))
"""

REFUSED = """
import json, sys
from huggingface_hub import hf_hub_download
from huggingface_hub.errors import HfHubHTTPError
try:
    print(json.dumps(open(hf_hub_download(sys.argv[1], "weights.txt")).read()))
except HfHubHTTPError as error:
    print(json.dumps([type(error).__name__, error.response.status_code]))
"""


class TestHuggingfaceHub:
    def test_lists_what_the_folder_holds_over_several_pages(
        self, client: Client, hub: HubServer, mini_build: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(reading, "PAGE", 4)
        listed = client(HUB_LISTING)
        files = [path for path in mini_build.rglob("*") if path.is_file()]
        assert {name: size for name, (size, _) in listed["files"].items()} == {
            path.relative_to(mini_build).as_posix(): path.stat().st_size for path in files
        }
        for name, (_, sha256) in listed["files"].items():
            if sha256:
                assert sha256 == hashlib.sha256((mini_build / name).read_bytes()).hexdigest()
        assert sorted(listed["folders"]) == sorted(
            path.relative_to(mini_build).as_posix() for path in mini_build.rglob("*") if path.is_dir()
        )
        assert sorted(listed["shallow"]) == ["data/cartoon", "data/movie", "data/sticker"]
        assert listed["found"] == ["README.md", "data"]
        assert listed["refs"] == [["main", listed["sha"]]]
        assert listed["sha"] == hub.repos["datasets", "emovid/EmoVid"].branches["main"]
        assert listed["exists"] == [True, False]

    def test_a_snapshot_is_the_folder(self, client: Client, mini_build: Path) -> None:
        snapshot = Path(client(SNAPSHOT, "emovid/EmoVid", "dataset"))
        found = {path.relative_to(snapshot) for path in snapshot.rglob("*") if path.is_file()}
        assert found == {path.relative_to(mini_build) for path in mini_build.rglob("*") if path.is_file()}
        for name in found:
            assert (snapshot / name).read_bytes() == (mini_build / name).read_bytes()

    def test_private_and_gated_repos_refuse_without_a_token_of_a_reader(
        self, client: Client, hub: HubServer, tmp_path: Path
    ) -> None:
        folder = tmp_path / "secret"
        folder.mkdir()
        (folder / "weights.txt").write_text("secret")
        hub.publish("models", "me/private", folder, private=True, readers=frozenset({"hf_mine"}))
        hub.publish("models", "me/gated", folder, gated="manual", readers=frozenset({"hf_mine"}))
        assert client(REFUSED, "me/private") == ["RepositoryNotFoundError", 401]
        assert client(REFUSED, "me/private", HF_TOKEN="hf_other") == ["RepositoryNotFoundError", 404]
        assert client(REFUSED, "me/gated") == ["GatedRepoError", 401]
        assert client(REFUSED, "me/gated", HF_TOKEN="hf_other") == ["GatedRepoError", 403]
        for repo in ("me/private", "me/gated"):
            assert client(REFUSED, repo, HF_TOKEN="hf_mine") == "secret"


BUILD = """
import json, sys
from pathlib import Path
from datasets import Dataset, Features, ClassLabel, Value, Video
from emovid_dataset.cli import program
from emovid_dataset.read.select import select
program()(["build", sys.argv[1], "--out", "out", "--workers", "1"], standalone_mode=False)
print(json.dumps([[item.clip.emotion, item.clip.caption, item.clip.sha256] for item in select("out")]))
"""


def test_a_build_takes_a_data_set_of_the_hub(hub: HubServer, client: Client, tmp_path: Path) -> None:
    mini = Path(emovid_dataset.__file__).parent / "mini"
    chosen = sorted((mini / "sticker").glob("*.mp4"))[:3]
    names = ["fear", "awe"]  # not the order of the eight
    kinds = Features(
        {
            "clip": Video(decode=False),
            "label": ClassLabel(names=names),
            "caption": Value("string"),
            "content_type": Value("string"),
        }
    )
    columns = {
        "clip": [{"bytes": path.read_bytes(), "path": path.name} for path in chosen],
        "label": [0, 1, 1],
        "caption": ["one", "two", "three"],
        "content_type": ["sticker"] * 3,
    }
    (tmp_path / "repo" / "data").mkdir(parents=True)
    Dataset.from_dict(columns, features=kinds).to_parquet(tmp_path / "repo" / "data" / "train-00000.parquet")
    hub.publish("datasets", "me/clips", tmp_path / "repo")
    found = client(BUILD, "hf://datasets/me/clips", stock=False)
    wanted = [
        [names[label], caption, hashlib.sha256(path.read_bytes()).hexdigest()]
        for label, caption, path in zip(columns["label"], columns["caption"], chosen, strict=True)
    ]
    assert sorted(found) == sorted(wanted)
