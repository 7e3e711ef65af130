"""Everything that `emovid push` publishes, loaded by stock clients in an environment without this project."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
from hub_clients import READ, WRITE, Client, client_environment
from hub_server import Account, HubServer
from PIL import Image
from web_pages import serving

import emovid_models
import emovid_models.metrics.ea_8cls
from emovid_dataset.media.frames import decode
from emovid_dataset.read.manifest import read_manifest
from emovid_dataset.schema.emotions import EMOTIONS
from emovid_models import MINI_ANNOTATOR
from emovid_models.publish.repos import EXAMPLE_CLIP, assemble
from emovid_models.publish.upload import push

PARTS = (("base", "WAN"), ("lora", "LORA"))

PUSH = """
import json, sys
from emovid_dataset.cli import program
for command in json.loads(sys.argv[1]):
    program()(["push", *command], standalone_mode=False)
"""


@pytest.fixture(scope="module")
def wan_folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tiny bases `t2v-base` and `i2v-base`, and LoRAs for them in `t2v-lora` and `i2v-lora`."""
    sys.path.append(str(Path(__file__).parents[1] / "wan"))
    import torch
    from diffusers import WanImageToVideoPipeline, WanPipeline
    from peft import LoraConfig
    from wan_tiny import i2v_components, t2v_components

    from emovid_models.remote.wan.lora import LoraFacts, write_lora
    from emovid_models.remote.wan.modules import TARGET_MODULES

    root = tmp_path_factory.mktemp("wan")
    for task, components, pipeline in (
        ("t2v", t2v_components(), WanPipeline),
        ("i2v", i2v_components(), WanImageToVideoPipeline),
    ):
        pipeline(**components).save_pretrained(root / f"{task}-base")
        (root / f"{task}-base" / "README.md").write_text("---\nlicense: apache-2.0\n---\n")
        transformer: Any = components["transformer"]
        transformer.add_adapter(LoraConfig(r=4, lora_alpha=8, target_modules=TARGET_MODULES))
        for name, parameter in transformer.named_parameters():
            if "lora_" in name:
                torch.nn.init.normal_(parameter, std=0.2)
        (root / f"{task}-lora").mkdir()
        path = root / f"{task}-lora" / "pytorch_lora_weights.safetensors"
        base = {"t2v": "Wan-AI/Wan2.1-T2V-1.3B-Diffusers", "i2v": "Wan-AI/Wan2.1-I2V-14B-480P-Diffusers"}
        write_lora(path, transformer, LoraFacts(wording="paper", task=task, base=base[task]))
    return root


@pytest.fixture(scope="module")
def sources(mini_build: Path, wan_folders: Path) -> dict[tuple[str, str], Path]:
    """What is pushed: kind and repo, and the folder that holds it."""
    return {
        ("dataset", "emovid/EmoVid"): mini_build,
        ("annotator", "emovid/annotator-mini"): MINI_ANNOTATOR,
        ("metric", "emovid/ea_8cls"): Path(emovid_models.metrics.ea_8cls.__file__).parent,
        ("base", "emovid/t2v-base"): wan_folders / "t2v-base",
        ("base", "emovid/i2v-base"): wan_folders / "i2v-base",
        ("lora", "emovid/t2v-lora"): wan_folders / "t2v-lora",
        ("lora", "emovid/i2v-lora"): wan_folders / "i2v-lora",
        ("demo", "emovid/demo"): Path(__file__).parents[2] / "cards" / "demo",
    }


@pytest.fixture(scope="module")
def pushed(
    sources: dict[tuple[str, str], Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[HubServer, list[dict[str, Any]]]]:
    """A Hub that holds what `emovid push` sent, and what the commands printed."""
    home = tmp_path_factory.mktemp("maintainer")
    with HubServer() as server:
        server.accounts |= {
            WRITE: Account("maintainer", orgs=("emovid",)),
            READ: Account("reader", orgs=("emovid",), write=False),
        }
        commands = [
            [kind, str(folder), "--repo-id", repo_id, "--json"] for (kind, repo_id), folder in sources.items()
        ]
        done = subprocess.run(
            [sys.executable, "-c", PUSH, json.dumps(commands)],
            capture_output=True,
            text=True,
            cwd=home,
            env=client_environment(server, home)
            | {"HF_TOKEN": WRITE, "HF_DEBUG": "1", "HF_HUB_VERBOSITY": "debug"},
        )
        assert done.returncode == 0, done.stderr[-3000:]
        assert "curl -X POST" in done.stderr, "the client's debug log is on"
        assert WRITE not in done.stdout + done.stderr
        assert "X-Amz-Signature" not in done.stdout + done.stderr
        yield server, [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(scope="module")
def hub(pushed: tuple[HubServer, list[dict[str, Any]]]) -> HubServer:
    return pushed[0]


def metadata(build: Path, content_type: str) -> list[dict[str, Any]]:
    files = sorted((build / "metadata" / content_type).glob("*.parquet"))
    return [row for file in files for row in pyarrow.parquet.read_table(file).to_pylist()]


def content(files: Any) -> dict[str, bytes]:
    return {path: data if isinstance(data, bytes) else data.read_bytes() for path, data in files.items()}


def tag_of(kind: str, folder: Path) -> str:
    """What a push calls a state by default."""
    return f"v0.1.0-{read_manifest(folder).revision}" if kind == "dataset" else "v0.1.0"


class TestPushed:
    def test_every_repo_is_its_tree_and_is_tagged(
        self,
        pushed: tuple[HubServer, list[dict[str, Any]]],
        sources: dict[tuple[str, str], Path],
    ) -> None:
        server, reports = pushed
        for report, ((kind, repo_id), folder) in zip(reports, sources.items(), strict=True):
            tree = assemble(kind, folder, repo_id=repo_id)
            repo = server.repos[f"{tree.repo_type}s", repo_id]
            assert report["tag"] == tag_of(kind, folder)
            assert repo.tags == {report["tag"]: report["commit"]} == {report["tag"]: repo.branches["main"]}
            blobs = repo.commits[report["commit"]].blobs
            held = {path: blob.file.read_bytes() for path, blob in blobs.items()}
            assert {**content(tree.files), ".gitattributes": held[".gitattributes"]} == held
            assert [file["path"] for file in report["files"]] == [*tree.first, *tree.last]
            assert {file["sha256"] for file in report["files"]} == {
                hashlib.sha256(data).hexdigest() for data in content(tree.files).values()
            }

    def test_the_fresh_environment_has_nothing_of_this_project(self, client: Client) -> None:
        names = ["emovid_dataset", "emovid_models", "loading_script"]
        code = (
            "import importlib.util, json; print(json.dumps([n for n in {} if importlib.util.find_spec(n)]))"
        )
        assert client(code.format(names)) == []
        # The loading script is no module of anybody's environment.
        assert client(code.format(names), stock=False) == names[:2]

    def test_a_snapshot_of_each_is_its_tree(
        self, client: Client, sources: dict[tuple[str, str], Path]
    ) -> None:
        trees = {
            repo_id: assemble(kind, folder, repo_id=repo_id) for (kind, repo_id), folder in sources.items()
        }
        tags = {repo_id: tag_of(kind, folder) for (kind, repo_id), folder in sources.items()}
        asked = {name: [tree.repo_type, tags[name]] for name, tree in trees.items()}
        found = client(SNAPSHOTS, json.dumps(asked))
        for name, tree in trees.items():
            hashes = {path: hashlib.sha256(data).hexdigest() for path, data in content(tree.files).items()}
            found[name].pop(".gitattributes")
            assert found[name] == hashes


SNAPSHOTS = """
import hashlib, json, pathlib, sys
from huggingface_hub import snapshot_download
found = {}
for name, (kind, tag) in json.loads(sys.argv[1]).items():
    folder = pathlib.Path(snapshot_download(name, repo_type=kind, revision=tag))
    found[name] = {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*") if path.is_file()
    }
print(json.dumps(found))
"""

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
        chosen = client(SELECT, stock=False)
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
        found = client(LOAD, stock=False)
        assert found["loaded"] == sorted(
            [row["id"], row["sha256"]] for row in metadata(mini_build, "cartoon")
        )
        assert found["streamed"] == 5


EVALUATE = """
import json, evaluate
metric = evaluate.load("emovid/ea_8cls")
print(json.dumps(metric.compute(predictions=["awe", "fear", "anger"], references=[1, 6, 0])["ea_8cls"]))
"""


def test_evaluate_loads_the_metric_from_its_space(client: Client) -> None:
    assert client(EVALUATE) == pytest.approx(2 / 3)


DIFFUSERS = """
import json
import sys
from diffusers import DiffusionPipeline, WanPipeline
from PIL import Image
made = {}
prefix = sys.argv[1]
for task in ("t2v", "i2v"):
    base, lora = f"{prefix}{task}-base", f"{prefix}{task}-lora"
    pipe = DiffusionPipeline.from_pretrained(base, custom_pipeline=lora, trust_remote_code=True)
    pipe.set_progress_bar_config(disable=True)
    pipe.load_lora_weights(lora)
    first = {"image": Image.new("RGB", (48, 32))} if task == "i2v" else {}
    frames = pipe(prompt="a cat", emotion="awe", intensity=1.2, height=32, width=48, num_frames=5,
                  num_inference_steps=1, **first).frames
    made[type(pipe).__name__] = frames.shape
stock = WanPipeline.from_pretrained(f"{prefix}t2v-base")
stock.load_lora_weights(f"{prefix}t2v-lora")
made["lora"] = {
    f"transformer.{name.replace('.default_0', '')}": float(weight.double().sum())
    for name, weight in stock.transformer.named_parameters() if "lora_" in name
}
made["scaling"] = sorted({
    scale for module in stock.transformer.modules() for scale in getattr(module, "scaling", {}).values()
})
print(json.dumps(made))
"""


def check_wan(client: Client, prefix: str, weights_file: Path) -> None:
    """Generate with both pipelines, and compare the LoRA in the stock pipeline with its file."""
    from safetensors.torch import load_file

    from emovid_models.remote.wan.lora import ADAPTER_KEY, read_header

    made = client(DIFFUSERS, prefix)
    weights = load_file(weights_file)
    assert made.pop("lora") == pytest.approx(
        {name: float(weight.double().sum()) for name, weight in weights.items()}, rel=1e-4, abs=1e-4
    )
    adapter = json.loads(read_header(weights_file)[ADAPTER_KEY])
    scaling = adapter["transformer.lora_alpha"] / adapter["transformer.r"]
    assert made.pop("scaling") == [pytest.approx(scaling)]
    shape = [1, 5, 32, 48, 3]
    assert made == {"EmoVidWanPipeline": shape, "EmoVidWanImageToVideoPipeline": shape}


def test_both_pipelines_and_the_loras_come_from_the_hub(client: Client, wan_folders: Path) -> None:
    check_wan(client, "emovid/", wan_folders / "t2v-lora" / "pytorch_lora_weights.safetensors")


def test_the_miniature_bases_and_their_loras_come_from_the_hub(
    client: Client, hub: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = {
        f"{task}-{kind}": f"MINI_{part}_{task.upper()}" for task in ("t2v", "i2v") for kind, part in PARTS
    }
    folders = {name: getattr(emovid_models, constant, None) for name, constant in names.items()}
    if not all(folder is not None and folder.is_dir() for folder in folders.values()):
        pytest.skip("this package ships no miniature Wan")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
    for name, folder in folders.items():
        tree = assemble(name.partition("-")[2], folder, repo_id=f"emovid/mini-{name}")
        assert push(tree, f"emovid/mini-{name}", endpoint=hub.url, token=WRITE).violations == ()
    check_wan(client, "emovid/mini-", folders["t2v-lora"] / "pytorch_lora_weights.safetensors")


ANNOTATOR = """
import json, sys
from huggingface_hub import hf_hub_download, list_repo_files
from transformers import AutoModel, AutoProcessor, pipeline
repo, folder = sys.argv[1:]
clip = next(name for name in list_repo_files(repo) if name.endswith(".mp4"))
clip = hf_hub_download(repo, clip)
def scores(model):
    made = pipeline("video-emotion", model=model, trust_remote_code=True)(clip, top_k=None)
    return {item["label"]: item["score"] for item in made}
model = AutoModel.from_pretrained(repo, trust_remote_code=True)
processor = AutoProcessor.from_pretrained(repo, trust_remote_code=True)
print(json.dumps({
    "hub": scores(repo), "folder": scores(folder),
    "model": type(model).__name__, "processor": type(processor).__name__,
    "parameters": sum(p.numel() for p in model.parameters()),
}))
"""


def test_the_annotator_comes_from_the_hub(client: Client) -> None:
    from safetensors import safe_open

    found = client(ANNOTATOR, "emovid/annotator-mini", MINI_ANNOTATOR)
    assert len(found["hub"]) == 8
    assert sum(found["hub"].values()) == pytest.approx(1, abs=1e-4)
    assert found["hub"] == pytest.approx(found["folder"], abs=1e-5)
    with safe_open(MINI_ANNOTATOR / "model.safetensors", "np") as weights:
        stored = sum(weights.get_tensor(name).size for name in weights.keys())  # noqa: SIM118
    assert found["parameters"] == stored
    assert "NVILA" in found["model"].upper() and "NVILA" in found["processor"].upper()


SPACE = """
import json, sys
from huggingface_hub import snapshot_download
# As a Space's machine has it: real files, not links into a cache.
options = {"repo_type": "space", "revision": "v0.1.0", "local_dir": sys.argv[1]}
print(json.dumps(snapshot_download("emovid/demo", **options)))
"""


@pytest.mark.browser
def test_the_space_starts_and_its_four_tabs_work(
    client: Client, hub: HubServer, stock_python: Path, tmp_path: Path, browser: Any
) -> None:
    expect = pytest.importorskip("playwright.sync_api").expect
    folder = Path(client(SPACE, tmp_path / "space"))
    models = {
        f"EMOVID_{part}_{task.upper()}": f"emovid/{task}-{part.lower()}"
        for task in ("t2v", "i2v")
        for part in ("BASE", "LORA")
    }
    variables = client_environment(hub, tmp_path) | {
        **models,
        "EMOVID_ANNOTATOR": "emovid/annotator-mini",
        "EMOVID_SIZE": "48x32",
        "EMOVID_FRAMES": "5",
        "EMOVID_STEPS": "2",
        "GRADIO_TEMP_DIR": str(tmp_path / "uploads"),
        "TMPDIR": str(tmp_path),
    }
    with serving([str(stock_python), "app.py"], folder, tmp_path / "log.txt", **variables) as address:
        page = browser.new_page()
        page.set_default_timeout(120_000)
        requested: list[str] = []
        page.on("request", lambda request: requested.append(request.url))
        page.goto(address)
        page.locator(".clip").first.wait_for()
        expect(page.locator(".count b").first).to_have_text("271", timeout=120_000)

        page.get_by_role("tab", name="Annotate").click()
        page.locator("#annotate-video input[type=file]").set_input_files(EXAMPLE_CLIP)
        meters = page.locator("#annotation").get_by_role("meter")
        expect(meters).to_have_count(8, timeout=120_000)
        shares = {
            meter.get_attribute("aria-label"): float(meter.get_attribute("aria-valuenow"))
            for meter in meters.all()
        }
        assert list(shares) == list(EMOTIONS)
        assert sum(shares.values()) == pytest.approx(100, abs=1e-9)

        page.get_by_role("tab", name="Generate").click()
        page.get_by_label("Prompt").fill("a cat on a roof")
        page.get_by_role("radiogroup", name="Emotion").get_by_role("radio", name="fear").click()
        page.get_by_role("button", name="Generate", exact=True).click()
        video = page.locator("#generated video")
        video.wait_for()
        expect(page.locator("#judged").get_by_role("meter")).to_have_count(8, timeout=120_000)
        assert decode(page.request.get(video.get_attribute("src")).body()).shape == (5, 32, 48, 3)

        page.get_by_role("tab", name="Sticker").click()
        pixels = Image.new("RGBA", (40, 40))
        pixels.paste("yellow", (10, 10, 30, 30))
        pixels.save(tmp_path / "face.png")
        page.locator("#sticker-picture input[type=file]").set_input_files(tmp_path / "face.png")
        page.locator("#sticker-picture img").wait_for()
        page.get_by_role("button", name="Make stickers").click()
        expect(page.locator("#sticker-message")).to_contain_text("1 of 1 stickers", timeout=120_000)
        link = page.locator("#stickers").get_by_role("link", name="WebP").get_attribute("href")
        with Image.open(io.BytesIO(page.request.get(f"{address}{link}").body())) as sticker:
            assert sticker.n_frames == 5
        page.close()
    assert [url for url in requested if not url.startswith((address, "data:", "blob:"))] == []
    # Models and clips came from the Hub, and everything was this project's published repos.
    read = {exchange.path for exchange in hub.exchanges if exchange.status in (200, 206)}
    for name in (
        "datasets/emovid/EmoVid",
        "emovid/annotator-mini",
        "emovid/t2v-base",
        "emovid/t2v-lora",
        "emovid/i2v-base",
    ):
        assert any(f"/{name}/resolve/" in path for path in read), name


NODE = """
import { createHash } from "node:crypto";
import { createRepo, downloadFile, listFiles, uploadFiles, whoAmI } from "@huggingface/hub";
const [hubUrl, accessToken, writeToken] = process.argv.slice(2);
const repo = { type: "dataset", name: "emovid/EmoVid" };
const files = {};
for await (const file of listFiles({ repo, recursive: true, hubUrl })) {
  if (file.type !== "file") continue;
  const blob = await downloadFile({ repo, path: file.path, hubUrl, xet: false });
  const data = Buffer.from(await blob.arrayBuffer());
  files[file.path] = [file.size, createHash("sha256").update(data).digest("hex")];
}
const me = await whoAmI({ accessToken, hubUrl });
const mine = { type: "model", name: "emovid/from-node" };
await createRepo({ repo: mine, accessToken: writeToken, hubUrl });
await uploadFiles({
  repo: mine, accessToken: writeToken, hubUrl, useXet: false,
  files: [
    { path: "a.txt", content: new Blob(["a"]) },
    { path: "b.tar", content: new Blob(["b".repeat(50000)]) },
  ],
});
console.log(JSON.stringify({ files, me: me.name }));
"""


def test_the_npm_client_lists_and_downloads_the_dataset_and_uploads_a_model(
    hub: HubServer, sources: dict[tuple[str, str], Path], tmp_path: Path
) -> None:
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed")
    (tmp_path / "package.json").write_text('{"type": "module"}')
    installed = subprocess.run(
        [
            "npm",
            "install",
            "--no-audit",
            "--no-fund",
            "--loglevel=error",
            "--fetch-retries=0",
            "@huggingface/hub@2",
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    if installed.returncode:
        pytest.skip(f"npm cannot install @huggingface/hub: {installed.stderr.strip()[-200:]}")
    (tmp_path / "read.js").write_text(NODE)
    done = subprocess.run(
        ["node", "read.js", hub.url, READ, WRITE], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout)
    assert found["me"] == "reader"
    blobs = next(hub.repos["models", "emovid/from-node"].log()).blobs
    assert {name: blobs[name].file.read_bytes() for name in ("a.txt", "b.tar")} == {
        "a.txt": b"a",
        "b.tar": b"b" * 50_000,
    }
    assert blobs["b.tar"].sha256
    tree = assemble("dataset", sources["dataset", "emovid/EmoVid"], repo_id="emovid/EmoVid")
    found["files"].pop(".gitattributes")
    assert found["files"] == {
        path: [len(data), hashlib.sha256(data).hexdigest()] for path, data in content(tree.files).items()
    }


def test_a_dry_run_prints_every_file_and_needs_no_network(mini_build: Path, tmp_path: Path) -> None:
    code = """
import socket, sys
def refuse(*arguments): raise AssertionError("a dry run connects to nothing")
socket.socket.connect = refuse
from emovid_dataset.cli import program
program()(["push", "dataset", sys.argv[1], "--repo-id", "me/clips", "--dry-run", "--json"])
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(mini_build)], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr[-3000:]
    printed = json.loads(done.stdout)
    tree = assemble("dataset", mini_build, repo_id="me/clips")
    assert printed["files"] == [
        {"path": path, "size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        for path, data in sorted(content(tree.files).items())
    ]
    assert (printed["repo_id"], printed["repo_type"]) == ("me/clips", "dataset")


def test_a_damaged_build_is_not_pushed(mini_build: Path, tmp_path: Path, hub: HubServer) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(mini_build, broken)
    shard = next(broken.rglob("*.tar"))
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 1
    shard.write_bytes(data)
    count = len(hub.exchanges)
    done = subprocess.run(
        [sys.executable, "-m", "emovid_models.cli", "push", "dataset", broken, "--repo-id", "emovid/Broken"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=client_environment(hub, tmp_path) | {"HF_TOKEN": WRITE},
    )
    assert done.returncode == 1
    assert shard.name in done.stdout and "sha256" in done.stdout
    assert len(hub.exchanges) == count, "nothing was sent or asked"
