"""What is published, read by stock clients in processes of their own from a Hub on loopback."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
from hub_server import HubServer, reading

import emovid_models.metrics.ea_8cls
import emovid_models.wan
from emovid_dataset.manifest import Manifest
from emovid_models.wan import PIPELINE_FILES

Client = Callable[..., Any]

BLOCKED = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("emovid_dataset", "emovid_models"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Blocked())
"""


@pytest.fixture(scope="module")
def hub(mini_build: Path) -> Iterator[HubServer]:
    with HubServer() as server:
        server.publish("datasets", "emovid/EmoVid", mini_build)
        yield server


@pytest.fixture
def client(hub: HubServer, tmp_path: Path) -> Client:
    """Runs code in a fresh process with a home of its own, and gives the JSON of its last printed line."""

    def run(code: str, *arguments: object, blocked: bool = True, **environment: str) -> Any:
        done = subprocess.run(
            [sys.executable, "-c", (BLOCKED if blocked else "") + code, *map(str, arguments)],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(tmp_path),
                "HF_HOME": str(tmp_path / "hf"),
                "HF_ENDPOINT": hub.url,
                "HF_HUB_DISABLE_XET": "1",
                "HF_HUB_DISABLE_TELEMETRY": "1",
                "HF_UPDATE_DOWNLOAD_COUNTS": "0",
                "OMP_NUM_THREADS": "1",
                **environment,
            },
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return json.loads(done.stdout.splitlines()[-1])

    return run


def answer(url: str, method: str = "GET", **headers: str) -> tuple[int, Any, bytes]:
    request = urllib.request.Request(url, method=method, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return response.status, response.headers, response.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers, error.read()


def metadata(build: Path, content_type: str) -> list[dict[str, Any]]:
    files = sorted((build / "metadata" / content_type).glob("*.parquet"))
    return [row for file in files for row in pyarrow.parquet.read_table(file).to_pylist()]


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
        shard = Manifest.read(mini_build).shards[0].path
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
        hub.publish("models", "me/gated", folder, gated=True, readers=frozenset({"hf_mine"}))
        assert client(REFUSED, "me/private") == ["RepositoryNotFoundError", 401]
        assert client(REFUSED, "me/private", HF_TOKEN="hf_other") == ["RepositoryNotFoundError", 404]
        assert client(REFUSED, "me/gated") == ["GatedRepoError", 401]
        assert client(REFUSED, "me/gated", HF_TOKEN="hf_other") == ["GatedRepoError", 403]
        for repo in ("me/private", "me/gated"):
            assert client(REFUSED, repo, HF_TOKEN="hf_mine") == "secret"


DATASETS = """
import json
from datasets import Video, load_dataset
whole = load_dataset("emovid/EmoVid", "sticker")
streamed = load_dataset("emovid/EmoVid", "sticker", streaming=True)
def ids(rows):
    return [row["__key__"] for row in rows]
first = next(iter(streamed["train"].cast_column("mp4", Video(decode=False))))
print(json.dumps({
    "whole": {split: ids(rows.remove_columns("mp4")) for split, rows in whole.items()},
    "streamed": {split: ids(rows.remove_columns("mp4")) for split, rows in streamed.items()},
    "first": [first["__key__"], len(first["mp4"]["bytes"])],
}))
"""

SELECT = """
import hashlib, json
from emovid_dataset import select
chosen = select("emovid/EmoVid", content_type="sticker", emotion="awe", limit=5)
print(json.dumps([[item.clip.id, hashlib.sha256(item.video).hexdigest()] for item in chosen]))
"""

LOAD = """
import hashlib, json
from emovid_dataset import load, stream
from itertools import islice
rows = load("emovid/EmoVid", "cartoon")
streamed = list(islice(stream("emovid/EmoVid", "sticker", split="train"), 5))
print(json.dumps({
    "loaded": sorted([row["id"], hashlib.sha256(row["video"]["bytes"]).hexdigest()]
                     for split in rows.values() for row in split),
    "streamed": len(streamed),
}))
"""


class TestDatasets:
    def test_load_dataset_gives_every_clip_loaded_and_streamed(
        self, client: Client, mini_build: Path
    ) -> None:
        found = client(DATASETS)
        assert found["whole"] == found["streamed"]
        rows = metadata(mini_build, "sticker")
        assert len(rows) == 153
        assert sorted(key for keys in found["whole"].values() for key in keys) == sorted(
            row["id"] for row in rows
        )
        key, size = found["first"]
        assert size == next(row["size"] for row in rows if row["id"] == key)

    def test_select_moves_only_the_bytes_of_the_chosen_clips(
        self, client: Client, hub: HubServer, mini_build: Path
    ) -> None:
        before = len(hub.exchanges)
        chosen = client(SELECT, blocked=False)
        rows = {row["id"]: row for row in metadata(mini_build, "sticker")}
        assert len(chosen) == 5
        assert all(rows[name]["sha256"] == sha256 for name, sha256 in chosen)
        from_shards = [
            exchange
            for exchange in hub.exchanges[before:]
            if ".tar" in exchange.path and exchange.method == "GET" and "/resolve/" in exchange.path
        ]
        assert {exchange.status for exchange in from_shards} == {206}
        assert sorted(exchange.length for exchange in from_shards) == sorted(
            rows[name]["size"] for name, _ in chosen
        )

    def test_load_and_stream_take_the_repo_id(self, client: Client, mini_build: Path) -> None:
        found = client(LOAD, blocked=False)
        assert found["loaded"] == sorted(
            [row["id"], row["sha256"]] for row in metadata(mini_build, "cartoon")
        )
        assert found["streamed"] == 5


EVALUATE = """
import json, evaluate
metric = evaluate.load("emovid/ea_8cls")
print(json.dumps(metric.compute(predictions=["awe", "fear", "anger"], references=[1, 6, 0])["ea_8cls"]))
"""


def test_evaluate_loads_the_metric_from_its_space(client: Client, hub: HubServer) -> None:
    hub.publish("spaces", "emovid/ea_8cls", Path(emovid_models.metrics.ea_8cls.__file__).parent)
    assert client(EVALUATE) == pytest.approx(2 / 3)


DIFFUSERS = """
import json
import sys
from diffusers import DiffusionPipeline, WanPipeline
from PIL import Image
made = {}
for task, base in zip(("t2v", "i2v"), sys.argv[1:]):
    pipe = DiffusionPipeline.from_pretrained(
        base, custom_pipeline=f"emovid/wan-{task}", trust_remote_code=True
    )
    pipe.set_progress_bar_config(disable=True)
    if task == "t2v":
        pipe.load_lora_weights("emovid/wan-lora")
    first = {"image": Image.new("RGB", (48, 32))} if task == "i2v" else {}
    frames = pipe(prompt="a cat", emotion="awe", intensity=1.2, height=32, width=48, num_frames=5,
                  num_inference_steps=1, **first).frames
    made[type(pipe).__name__] = frames.shape
stock = WanPipeline.from_pretrained(sys.argv[1])
stock.load_lora_weights("emovid/wan-lora")
made["lora"] = {
    f"transformer.{name.replace('.default_0', '')}": float(weight.double().sum())
    for name, weight in stock.transformer.named_parameters() if "lora_" in name
}
made["scaling"] = sorted({
    scale for module in stock.transformer.modules() for scale in getattr(module, "scaling", {}).values()
})
assert not [name for name in sys.modules if name.startswith("emovid_")]
print(json.dumps(made))
"""


@pytest.fixture(scope="module")
def wan_folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tiny bases `t2v` and `i2v`, the code repos `wan-t2v` and `wan-i2v`, and a LoRA in `wan-lora`."""
    sys.path.append(str(Path(__file__).parents[1] / "wan"))
    import torch
    from diffusers import WanImageToVideoPipeline, WanPipeline
    from peft import LoraConfig
    from wan_tiny import i2v_components, t2v_components

    from emovid_models.wan.lora import TARGET_MODULES, LoraFacts, write_lora

    root = tmp_path_factory.mktemp("wan")
    components = t2v_components()
    WanPipeline(**components).save_pretrained(root / "t2v")
    WanImageToVideoPipeline(**i2v_components()).save_pretrained(root / "i2v")
    source = Path(emovid_models.wan.__file__).parent
    for task, files in PIPELINE_FILES.items():
        (root / f"wan-{task}").mkdir()
        for name, file in files.items():
            shutil.copy(source / file, root / f"wan-{task}" / name)
    transformer: Any = components["transformer"]
    transformer.add_adapter(LoraConfig(r=4, lora_alpha=8, target_modules=TARGET_MODULES))
    for name, parameter in transformer.named_parameters():
        if "lora_" in name:
            torch.nn.init.normal_(parameter, std=0.2)
    (root / "wan-lora").mkdir()
    path = root / "wan-lora" / "pytorch_lora_weights.safetensors"
    write_lora(path, transformer, LoraFacts(wording="1", task="t2v", base="tiny"))
    return root


def test_both_pipelines_and_the_lora_come_from_the_hub_without_this_package(
    client: Client, hub: HubServer, wan_folders: Path
) -> None:
    from safetensors.torch import load_file

    for name in ("wan-t2v", "wan-i2v", "wan-lora"):
        hub.publish("models", f"emovid/{name}", wan_folders / name)
    made = client(DIFFUSERS, wan_folders / "t2v", wan_folders / "i2v")
    weights = load_file(wan_folders / "wan-lora" / "pytorch_lora_weights.safetensors")
    assert made.pop("lora") == pytest.approx(
        {name: float(weight.double().sum()) for name, weight in weights.items()}
    )
    assert made.pop("scaling") == [2.0], "alpha 8 over rank 4"
    shape = [1, 5, 32, 48, 3]
    assert made == {"EmoVidWanPipeline": shape, "EmoVidWanImageToVideoPipeline": shape}
