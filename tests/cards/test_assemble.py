"""Which files a repo consists of, what is refused, and that an installed package has all of it."""

from __future__ import annotations

import ast
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from card_sources import KINDS
from huggingface_hub import ModelCard

from emovid_dataset.read.manifest import read_manifest
from emovid_models import MINI_ANNOTATOR
from emovid_models.metrics.ea_8cls import CODE as METRIC_CODE
from emovid_models.publish.repos import assemble
from emovid_models.publish.screening import check_tree
from emovid_models.publish.tree import RepoTree, write_tree
from emovid_models.remote.annotator import CODE as ANNOTATOR_CODE
from emovid_models.remote.wan import CODE as PIPELINE_CODE


def test_every_tree_is_fit_to_be_pushed(trees: dict[str, RepoTree]) -> None:
    kinds = {name: tree.repo_type for name, tree in trees.items()}
    assert kinds == {
        name: {"dataset": "dataset", "metric": "space", "demo": "space"}.get(kind, "model")
        for name, kind in KINDS.items()
    }
    for name, tree in trees.items():
        assert check_tree(tree) == [], name
        assert not [
            path for path in tree.files if path.endswith((".bin", ".pt", ".pkl", ".md.jinja", ".pyc"))
        ]


@pytest.mark.parametrize(
    ("code", "entry"),
    [
        (ANNOTATOR_CODE, "pipeline.py"),
        (ANNOTATOR_CODE, "modeling_nvila.py"),
        (PIPELINE_CODE["t2v"], "pipeline.py"),
        (PIPELINE_CODE["i2v"], "pipeline.py"),
        (METRIC_CODE, "ea_8cls.py"),
    ],
    ids=["annotator", "base", "t2v", "i2v", "metric"],
)
def test_every_sibling_that_code_imports_travels_with_it(code: dict[str, Path], entry: str) -> None:
    imported = {
        name: {
            f"{node.module}.py"
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.ImportFrom) and node.level == 1 and node.module
        }
        for name, path in code.items()
        if name.endswith(".py")
    }
    assert entry in imported
    assert set().union(*imported.values()) <= set(imported)
    for name, path in code.items():
        assert path.is_file() and (path.name == name or name == "pipeline.py")


def test_a_dataset_is_its_build_without_what_was_refused(
    mini_build: Path, trees: dict[str, RepoTree]
) -> None:
    held = {path.relative_to(mini_build).as_posix() for path in mini_build.rglob("*") if path.is_file()}
    assert set(trees["emovid/EmoVid"].files) == held - {"rejected.jsonl", "problems.jsonl"} | {
        "loading_script.py"
    }


def test_a_tree_is_written_as_the_repo_would_hold_it(
    mini_build: Path, trees: dict[str, RepoTree], tmp_path: Path
) -> None:
    tree = trees["emovid/EmoVid"]
    write_tree(tree, tmp_path / "out")
    held = {path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.*")}
    assert held == set(tree.files)
    for name in held - {"README.md", "loading_script.py"}:
        assert (tmp_path / "out" / name).read_bytes() == (mini_build / name).read_bytes()
    card = tree.files["README.md"]
    assert (tmp_path / "out" / "README.md").read_bytes() == card


def test_a_lora_comes_with_its_tasks_pipeline_and_nothing_of_its_training(
    sources: dict[str, Path], tmp_path: Path
) -> None:
    root = tmp_path / "models"
    shutil.copytree(sources["emovid/mini-lora-i2v"].parent, root)
    folder = root / "lora-i2v"
    (folder / "checkpoints" / "step-2").mkdir(parents=True)
    for name in ("checkpoints/step-2/state.bin", "log.jsonl", ".secret", "notes.txt"):
        (folder / name).write_text("x")
    (folder / "training.json").write_text(json.dumps({"base": str(root), "steps": 3}))
    tree = assemble("lora", folder, repo_id="me/lora")
    code = set(PIPELINE_CODE["i2v"])
    assert set(tree.files) == code | {
        "README.md",
        "example.png",
        "pytorch_lora_weights.safetensors",
        "training.json",
    }
    pipeline = tree.files["pipeline.py"]
    assert isinstance(pipeline, Path) and "ImageToVideo" in pipeline.read_text()
    run = tree.files["training.json"]
    assert isinstance(run, bytes) and json.loads(run) == {"base": "models", "steps": 3}


def test_weights_in_parts_go_with_their_index(tmp_path: Path) -> None:
    folder = shutil.copytree(MINI_ANNOTATOR, tmp_path / "annotator")
    (folder / "README.md").write_text("---\nlicense: mit\n---\n")
    (folder / "model.safetensors").rename(folder / "model-00001-of-00001.safetensors")
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": "model-00001-of-00001.safetensors"}}))
    files = assemble("annotator", folder, repo_id="me/annotator").files
    assert {"model.safetensors.index.json", "model-00001-of-00001.safetensors"} <= set(files)
    index.write_text(json.dumps({"weight_map": {"a": "../../etc/passwd.safetensors"}}))
    with pytest.raises(ValueError, match="no safetensors file beside it"):
        assemble("annotator", folder, repo_id="me/annotator")


def test_a_name_with_its_licence_comes_from_the_base(sources: dict[str, Path], tmp_path: Path) -> None:
    from safetensors.torch import load_file

    from emovid_models.remote.wan.lora import FACTS_KEY, read_header, write_safetensors

    source = sources["emovid/mini-lora-t2v"] / "pytorch_lora_weights.safetensors"
    header = read_header(source)
    for base, name in (
        ("Wan-AI/Wan2.1-T2V-14B-Diffusers", "Wan-AI/Wan2.1-T2V-14B-Diffusers"),
        ("Wan2.1-T2V-1.3B-Diffusers", "Wan-AI/Wan2.1-T2V-1.3B-Diffusers"),
    ):
        facts = json.loads(header[FACTS_KEY]) | {"base": base}
        path = tmp_path / base.replace("/", "-") / source.name
        write_safetensors(path, load_file(source), header | {FACTS_KEY: json.dumps(facts)})
        card = assemble("lora", path.parent, repo_id="me/lora").files["README.md"]
        assert isinstance(card, bytes)
        data = ModelCard(card.decode()).data
        assert (data.base_model, data.license) == (name, "apache-2.0")
        assert not data.eval_results, "nothing was measured, so nothing is claimed"
        assert "height=480, width=832, num_frames=81" in card.decode()


@pytest.mark.parametrize("kind", ["annotator", "base"])
def test_no_settings_say_which_folder_a_model_was_loaded_from(
    kind: str, sources: dict[str, Path], tmp_path: Path
) -> None:
    from diffusers import WanPipeline

    folder = tmp_path / "mine"
    if kind == "base":
        loaded = shutil.copytree(sources["emovid/mini-wan-t2v"], tmp_path / "secret")
        WanPipeline.from_pretrained(loaded).save_pretrained(folder)
        shutil.copy(loaded / "README.md", folder)
    else:
        loaded = shutil.copytree(MINI_ANNOTATOR, tmp_path / "secret")
        shutil.copytree(loaded, folder)
        settings = json.loads((loaded / "config.json").read_text()) | {"_name_or_path": str(loaded)}
        (folder / "config.json").write_text(json.dumps(settings))
    assert any(str(loaded) in path.read_text() for path in folder.rglob("*.json")), "nothing to take away"
    for name, file in assemble(kind, folder, repo_id="me/model").files.items():
        if name.endswith(".json"):
            text = file.decode() if isinstance(file, bytes) else file.read_text()
            assert str(tmp_path) not in text, name
            assert json.loads(text)


@pytest.mark.parametrize(
    ("kind", "source", "message"),
    [
        ("annotator", "emovid/mini-wan-t2v", "is no annotator: it has no config.json"),
        ("lora", "emovid/annotator", "is no LoRA: it has no pytorch_lora_weights.safetensors"),
        ("base", "emovid/annotator", "is no Wan base: it has no model_index.json"),
        ("metric", "emovid/annotator", "repo named 'annotator'"),
        ("demo", "emovid/annotator", "is no demo: it has no app.py"),
        ("dataset", "emovid/annotator", "manifest.json"),
        (
            "model",
            "emovid/annotator",
            "^kind is 'model'; allowed: dataset, annotator, lora, base, metric, demo$",
        ),
    ],
)
def test_another_folder_is_one_clear_line(
    sources: dict[str, Path], kind: str, source: str, message: str
) -> None:
    with pytest.raises((ValueError, OSError), match=message) as error:
        assemble(kind, sources[source], repo_id="me/ea_8cls")
    assert "\n" not in str(error.value)


def test_wrong_names_and_unfinished_or_unlicensed_folders_are_refused(
    mini_build: Path, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="repo id is 'EmoVid'; it must be owner/name"):
        assemble("dataset", mini_build, repo_id="EmoVid")
    with pytest.raises(ValueError, match=r"namespace is 'a/b\)'; it must be the name"):
        assemble("dataset", mini_build, repo_id="me/EmoVid", namespace="a/b)")
    with pytest.raises(FileNotFoundError, match="none is not a folder"):
        assemble("dataset", tmp_path / "none", repo_id="me/EmoVid")
    build = shutil.copytree(mini_build, tmp_path / "build")
    (build / "manifest.json").write_text(replace(read_manifest(build), complete=False).to_json())
    with pytest.raises(ValueError, match="unfinished build"):
        assemble("dataset", build, repo_id="me/EmoVid")
    annotator = shutil.copytree(MINI_ANNOTATOR, tmp_path / "annotator")
    (annotator / "README.md").unlink()
    card = assemble("annotator", annotator, repo_id="me/annotator").files["README.md"]
    assert isinstance(card, bytes) and ModelCard(card.decode()).data.license == "mit", "known by its weights"
    weights = annotator / "model.safetensors"
    data = weights.read_bytes()
    weights.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(ValueError, match=r"licence of .* is unknown .*: write license: into .*README\.md"):
        assemble("annotator", annotator, repo_id="me/annotator")
