"""The cards as the Hub reads them, and where their numbers come from."""

from __future__ import annotations

import inspect
import json
import re
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
import yaml
from card_sources import FENCE, KINDS, RESULTS, TRAINING, Card, figures, write_results
from huggingface_hub import DatasetCard, ModelCard, SpaceCard

from emovid_dataset.read.manifest import read_manifest
from emovid_models import MINI_ANNOTATOR
from emovid_models.miniature import MINI
from emovid_models.publish.repos import assemble
from emovid_models.publish.tree import RepoTree
from emovid_models.records import weight_hashes

MODELS = [name for name, kind in KINDS.items() if kind in ("annotator", "base", "lora")]
STRUCTURAL = {"95", "2023"}
"""Numbers that stand in the templates: the confidence of all intervals, and the year of a copyright."""

NUMBER = re.compile(r"(?<![\w.-])\d[\d,]*(?:\.\d+)?(?:e-?\d+)?(?!\w)")


def numbers(text: str) -> list[str]:
    """The numbers of a card's prose and tables: not those of its code, links, headings and YAML."""
    text = text.split("\n---\n", 1)[1]
    for pattern in (FENCE, re.compile(r"`[^`\n]*`"), re.compile(r"\]\([^)]*\)"), re.compile(r"<[^>]*>")):
        text = pattern.sub(" ", text)
    return NUMBER.findall(text)


def leaves(value: Any) -> Iterator[float]:
    """Every number of a JSON value."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for entry in value:
            yield from leaves(entry)
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        yield value


def unexplained(text: str, values: list[float], structural: set[str]) -> list[str]:
    """Numbers of a card that are none of these values, as they are or in percent, when rounded alike."""
    missing = []
    for token in numbers(text):
        token = token.rstrip(",")
        digits = token.replace(",", "")
        decimals = len(digits.partition(".")[2])
        exact = {f"{value:.{decimals}f}" for value in values} | {f"{value:.2g}" for value in values}
        percent = {f"{100 * value:.{decimals}f}" for value in values}
        if token not in structural and digits not in exact | percent:
            missing.append(token)
    return missing


def shifted(value: Any) -> Any:
    """The same result file with every number another one; what says how to render stays."""
    if isinstance(value, dict):
        return {
            key: entry if key in ("settings", "paper") else shifted(entry) for key, entry in value.items()
        }
    if isinstance(value, list):
        return [shifted(entry) for entry in value]
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return value
    return value + 7 if isinstance(value, int) else value * 0.9 + 0.0101


def text_of(tree: RepoTree) -> str:
    card = tree.files["README.md"]
    assert isinstance(card, bytes)
    return card.decode()


@pytest.mark.parametrize("name", MODELS)
def test_the_hub_reads_a_models_card(cards: dict[str, Card], name: str, tmp_path: Path) -> None:
    path = tmp_path / "README.md"
    path.write_text(cards[name].text, encoding="utf-8")
    data = ModelCard.load(path).data
    assert data.license == "mit"
    # What a base of somebody's was trained on is not known.
    assert getattr(data, "datasets", None) == (None if KINDS[name] == "base" else ["emovid/EmoVid"])
    assert data.pipeline_tag in ("video-classification", "text-to-video", "image-to-video")
    assert data.library_name == ("transformers" if KINDS[name] == "annotator" else "diffusers")
    assert data.widget and data.model_name == name.partition("/")[2]
    assert data.eval_results and all(0 <= result.metric_value <= 1 for result in data.eval_results)
    assert getattr(data, "base_model", None) == (
        name.replace("lora", "wan") if KINDS[name] == "lora" else None
    )
    # What the classes read is what they would write again: nothing in it is unknown to them.
    assert yaml.safe_load(data.to_yaml()) == yaml.safe_load(cards[name].text.split("---\n")[1])


def test_the_hub_reads_the_other_cards(cards: dict[str, Card], tmp_path: Path) -> None:
    for name, kind in (
        ("emovid/ea_8cls", SpaceCard),
        ("emovid/demo", SpaceCard),
        ("emovid/EmoVid", DatasetCard),
    ):
        path = tmp_path / "README.md"
        path.write_text(cards[name].text, encoding="utf-8")
        data = kind.load(path).data.to_dict()
        if kind is SpaceCard:
            assert data["sdk"] == "gradio" and re.fullmatch(r"\d+\.\d+\.\d+", data["sdk_version"])
            assert data["app_file"] == "app.py" and len(data["short_description"]) <= 60
    assert set(SpaceCard(cards["emovid/demo"].text).data.datasets) == {"emovid/EmoVid"}


@pytest.mark.parametrize("name", MODELS)
def test_a_models_card_says_what_must_be_known(cards: dict[str, Card], name: str) -> None:
    assert "## Use" in cards[name].text and "## What was measured" in cards[name].text


@pytest.mark.parametrize("name", [*MODELS, "emovid/ea_8cls"])
def test_a_card_links_to_the_demo_and_has_every_section(cards: dict[str, Card], name: str) -> None:
    headings = re.findall("^## (.*)", cards[name].text, re.MULTILINE)
    assert {"Intended use", "Limits and bias", "Licence", "Citation"} <= set(headings)
    assert "](https://huggingface.co/spaces/emovid/demo)" in cards[name].text


@pytest.mark.parametrize("name", KINDS)
def test_every_card_says_that_an_emotion_is_a_perception(cards: dict[str, Card], name: str) -> None:
    text = " ".join(cards[name].text.split())
    # The dataset's is about what people saw in clips of its own, and says so in other words.
    said = r"not what anyone in it felt" if KINDS[name] == "dataset" else r"not the state of a person"
    assert re.search(said, text) and "viewer" in text


@pytest.mark.parametrize("name", KINDS)
def test_no_card_installs_a_package_that_strangers_could_own(cards: dict[str, Card], name: str) -> None:
    commands = re.findall(r"pip3? install ([^`\n]*)", cards[name].text)
    assert all(re.match(r"-e '?\.|torchcodec$", command) for command in commands)
    assert commands or KINDS[name] in ("metric", "demo")


def test_the_metrics_numbers_are_those_of_its_module(cards: dict[str, Card]) -> None:
    from emovid_models.metrics.ea_8cls import ea_8cls as module
    from emovid_models.metrics.ea_8cls.distributions import LEAST
    from emovid_models.metrics.ea_8cls.scoring import CALIBRATION_BINS

    defaults = [entry.default for entry in inspect.signature(module.score).parameters.values()]
    published = list(module.PUBLISHED_EA_8CLS.values())
    values = [value for value in defaults if isinstance(value, int | float)]
    values += [*published, CALIBRATION_BINS, LEAST, len(module.EMOTIONS)]
    source = {token.rstrip(",") for token in numbers("\n---\n" + module.PUBLISHED_SOURCE)}
    assert unexplained(cards["emovid/ea_8cls"].text, values, {"1e-100", *source}) == []
    for task, value in (("text-to-video", published[0]), ("image-to-video", published[1])):
        assert f"{100 * value:.2f} % for {task}" in cards["emovid/ea_8cls"].text
    # The table of inputs tells the defaults.
    for name in ("confidence_level", "resamples", "seed"):
        default = inspect.signature(module.score).parameters[name].default
        row = re.findall(rf"^\|.*`{name}`.*", cards["emovid/ea_8cls"].text, re.MULTILINE)[0]
        assert re.search(rf"\b{default}\b", row)


def test_the_demos_card_has_no_number_of_its_own(cards: dict[str, Card]) -> None:
    assert unexplained(cards["emovid/demo"].text, [], set()) == []


def test_all_links_of_the_metrics_card_lead_to_the_owners_repos(sources: dict[str, Path]) -> None:
    text = text_of(assemble("metric", sources["emovid/ea_8cls"], repo_id="me/ea_8cls", namespace="us"))
    assert "/spaces/us/demo" in text and "emovid/" not in text


def test_the_annotators_numbers_are_those_of_its_files(cards: dict[str, Card]) -> None:
    found = json.loads((MINI_ANNOTATOR / "figures.json").read_text())
    config = json.loads((MINI_ANNOTATOR / "config.json").read_text())
    from emovid_models.publish.results import parameters

    size = parameters([MINI_ANNOTATOR / "model.safetensors"]) / 1e6
    values = [*leaves(found), config["num_frames"], size]
    assert unexplained(cards["emovid/annotator"].text, values, STRUCTURAL) == []
    for value in (found["stickers"]["annotator"]["accuracy"], found["stickers"]["annotator"]["macro_recall"]):
        assert f"{value:.3f}" in cards["emovid/annotator"].text
    results = ModelCard(cards["emovid/annotator"].text).data.eval_results
    assert {result.metric_value for result in results} <= set(leaves(found))
    assert found["stickers"]["annotator"]["accuracy"] in {result.metric_value for result in results}


@pytest.mark.parametrize(
    ("p", "sentence"),
    [
        (0.049, "The annotator is right more often than"),
        (0.051, "cannot be told apart by these clips: p = 0.051"),
    ],
)
def test_a_card_concludes_nothing_from_what_may_be_chance(tmp_path: Path, p: float, sentence: str) -> None:
    folder = shutil.copytree(MINI_ANNOTATOR, tmp_path / "annotator")
    (folder / "README.md").write_text("---\nlicense: mit\n---\n")
    figures = json.loads((MINI_ANNOTATOR / "figures.json").read_text())
    (key,) = (name for name in figures["stickers"] if name.startswith("p_value_annotator_against_"))
    figures["stickers"][key] = p
    (folder / "figures.json").write_text(json.dumps(figures))
    text = " ".join(text_of(assemble("annotator", folder, repo_id="emovid/annotator")).split())
    assert sentence in text
    assert ("more often than" in text) == (p < 0.05)


def test_other_figures_give_other_numbers(tmp_path: Path, cards: dict[str, Card]) -> None:
    folder = shutil.copytree(MINI_ANNOTATOR, tmp_path / "annotator")
    (folder / "README.md").write_text("---\nlicense: mit\n---\n")
    other = shifted(json.loads((MINI_ANNOTATOR / "figures.json").read_text()))
    (folder / "figures.json").write_text(json.dumps(other))
    text = text_of(assemble("annotator", folder, repo_id="emovid/annotator"))
    results = ModelCard(text).data.eval_results
    assert {result.metric_value for result in results} <= set(leaves(other))
    assert f"{other['stickers']['annotator']['accuracy']:.3f}" in text
    assert Counter(numbers(text)) != Counter(numbers(cards["emovid/annotator"].text))
    # Without figures no number is left, and no sentence that would need one.
    (folder / "figures.json").unlink()
    bare = text_of(assemble("annotator", folder, repo_id="emovid/annotator"))
    assert "What was measured" not in bare and "model-index" not in bare
    assert len(set(numbers(bare)) - STRUCTURAL) == 2, "the parameters and the frames"


def test_a_fine_tuned_annotator_carries_its_bases_name_and_licence(tmp_path: Path) -> None:
    folder = shutil.copytree(MINI_ANNOTATOR, tmp_path / "annotator")
    changed(folder)
    (folder / "README.md").write_text("---\nlicense: mit\n---\n")
    (folder / "figures.json").unlink()
    (folder / "training.json").write_text(json.dumps(TRAINING))
    tree = assemble("annotator", folder, repo_id="me/annotator", namespace="me")
    text = text_of(tree)
    data = ModelCard(text).data
    assert (data.license, data.base_model) == ("cc-by-nc-4.0", "Efficient-Large-Model/NVILA-Lite-2B-hf")
    assert {result.metric_value for result in data.eval_results} == {0.6423, 0.6137, 0.0719}
    assert {(result.dataset_type, result.dataset_name) for result in data.eval_results} == {
        ("build", "build, all")
    }
    assert data.datasets is None, "nobody else has a build on a disk"
    assert {"0.642", "0.614", "0.072", "2277", "18213", "13659"} <= set(numbers(text))
    assert "emovid/" not in text.replace("emovid/annotator", ""), "all links lead to the owner's repos"
    run = tree.files["training.json"]
    assert isinstance(run, bytes) and json.loads(run)["data"] == "build", "no path of this machine"


def test_an_annotator_of_other_emotions_says_nothing_of_the_eight(tmp_path: Path) -> None:
    folder = shutil.copytree(MINI_ANNOTATOR, tmp_path / "annotator")
    (folder / "figures.json").unlink()
    config = json.loads((folder / "config.json").read_text())
    labels = [{"name": name, "valence": 0} for name in ("joy", "calm", "grief")]
    (folder / "config.json").write_text(
        json.dumps(config | {"taxonomy": {"name": "moods", "labels": labels}})
    )
    (folder / "training.json").write_text(json.dumps(TRAINING | {"data": "me/moods", "base": "/no/base"}))
    text = text_of(assemble("annotator", folder, repo_id="me/annotator", namespace="me"))
    data = ModelCard(text).data
    assert data.datasets == ["me/moods"]
    assert {result.dataset_type for result in data.eval_results} == {"me/moods"}
    assert "accuracy of the 3 emotions" in {result.metric_name for result in data.eval_results}
    assert "EA-3cls" in text and "EA-8cls" not in text and " eight " not in text and "EmoVid, all" not in text


@pytest.mark.parametrize("name", [name for name, kind in KINDS.items() if kind in ("base", "lora")])
def test_a_generators_numbers_are_those_of_the_results(
    sources: dict[str, Path], cards: dict[str, Card], name: str, tmp_path: Path
) -> None:
    from emovid_models.publish.results import parameters

    folder, task = sources[name], name.rpartition("-")[2]
    size = parameters(sorted(folder.rglob("*.safetensors"))) / 1e3
    fixed = [size, 4, 8, 1234, 5, 2]  # rank, alpha, steps of the LoRA's header; frames and denoising steps
    assert unexplained(cards[name].text, [*leaves(RESULTS), *fixed], STRUCTURAL) == []

    root = tmp_path / "other"
    copy = shutil.copytree(folder.parent, root) / folder.name
    other = shifted(RESULTS)
    write_results(root, other)
    text = text_of(assemble(KINDS[name], copy, repo_id=name))
    assert unexplained(text, [*leaves(other), *fixed], STRUCTURAL) == []
    which = "lora" if KINDS[name] == "lora" else "base"
    told = [result.metric_value for result in ModelCard(text).data.eval_results]
    assert told == [other[task][which][key]["value"] for key in ("ea_8cls", "ea_2cls")]
    assert ("What guidance and intensity do" in text) == (task == "t2v")
    # The paper's number is marked as the paper's, and is none of these weights' results.
    paper = f"{100 * RESULTS['paper'][task]['ea_8cls']:.2f}"
    assert re.search(rf"The paper reports {paper} %", text) and text.count(paper) == 1
    assert RESULTS["paper"][task]["ea_8cls"] not in told

    (root / "reproduction.json").write_text("{}")
    bare = text_of(assemble(KINDS[name], copy, repo_id=name))
    assert "What was measured" not in bare and "model-index" not in bare
    assert "The paper reports" not in bare


def evaluated(folder: Path, which: str) -> dict[str, Any]:
    """A record as `emovid evaluate --base` writes it, about the weights in a folder."""
    files = list(folder.rglob("*.safetensors"))
    return {
        "judge": "emovid/annotator@4b1d",
        "miniature": False,
        "figures": {"base": figures(0.1733, 96), "lora": figures(0.3517, 96)},
        "comparison": {"mcnemar_p": 0.0213},
        "held_out": figures(0.5177, 71),
        "paper": RESULTS["paper"],
        "failed": [],
        "generated": {
            "task": folder.name.rpartition("-")[2],
            "weights": {"base": None, "lora": None, which: weight_hashes(folder, files)},
            "settings": {
                "size": "48x32",
                "num_frames": 5,
                "steps": 2,
                "guidance_scale": 3.0,
                "intensity": 1.5,
                "content_types": ["cartoon", "movie"],
                "own_prompts": False,
            },
        },
    }


@pytest.mark.parametrize("name", ["emovid/mini-lora-i2v", "emovid/mini-wan-t2v"])
def test_a_models_own_evaluation_is_shown(sources: dict[str, Path], name: str, tmp_path: Path) -> None:
    from emovid_models.publish.results import parameters

    folder = shutil.copytree(sources[name].parent, tmp_path / "models") / sources[name].name
    which, task = KINDS[name], name.rpartition("-")[2]
    record = evaluated(folder, which)
    (folder / "evaluation.json").write_text(json.dumps(record))
    text = text_of(assemble(which, folder, repo_id=name))
    size = parameters(list(folder.rglob("*.safetensors"))) / 1e3
    assert unexplained(text, [*leaves(record), size, 4, 8, 1234], STRUCTURAL) == []
    for said in ("17.3", "35.2", "51.8", "p = 0.021", "`emovid/annotator@4b1d`", "intensity 1.5"):
        assert said in text
    assert "miniature" not in text.split("## What was measured")[1].split("## Intended use")[0]
    results = ModelCard(text).data.eval_results
    assert [result.metric_value for result in results] == [
        record["figures"][which][key]["value"] for key in ("ea_8cls", "ea_2cls")
    ]
    assert {result.dataset_name for result in results} == {"EmoVid prompts, cartoons, movies"}
    assert {(result.dataset_type, result.task_type) for result in results} == {
        ("emovid/EmoVid", {"t2v": "text-to-video", "i2v": "image-to-video"}[task])
    }
    record["generated"]["settings"]["own_prompts"] = True
    (folder / "evaluation.json").write_text(json.dumps(record))
    results = ModelCard(text_of(assemble(which, folder, repo_id=name))).data.eval_results
    assert {(result.dataset_type, result.dataset_name) for result in results} == {
        ("prompts", "own prompts, cartoons, movies")
    }


def test_the_papers_other_columns_are_shown_with_their_reasons(
    sources: dict[str, Path], tmp_path: Path
) -> None:
    source = sources["emovid/mini-lora-i2v"]
    folder = shutil.copytree(source.parent, tmp_path / "models") / source.name
    record = evaluated(folder, "lora")

    def row(flicker: float) -> dict[str, Any]:
        not_there = {"value": None, "reason": "no --videomae MODEL"}
        values = {"clip_score": 0.3127, "first_frame_consistency": 0.8142, "temporal_flicker": flicker}
        return {"n": 96, "fvd": not_there, **{name: {"value": value} for name, value in values.items()}}

    record["measures"] = {"base": row(0.0231), "lora": row(0.0317)}
    record["generated"]["settings"]["protocol"] = "paper"
    (folder / "evaluation.json").write_text(json.dumps(record))
    text = text_of(assemble("lora", folder, repo_id="me/lora"))
    assert "| base | not computed: no --videomae MODEL | 0.3127 | 0.8142 | 0.0231 |\n" in text
    assert "| lora | not computed: no --videomae MODEL | 0.3127 | 0.8142 | 0.0317 |\n" in text
    results = ModelCard(text).data.eval_results
    assert {(result.dataset_type, result.dataset_name) for result in results} == {
        ("benchmark", "benchmark of a build, cartoons, movies")
    }


@pytest.mark.parametrize("name", ["emovid/mini-lora-t2v", "emovid/mini-wan-i2v"])
def test_a_stranger_beside_a_result_file_gets_none_of_its_figures(
    sources: dict[str, Path], name: str, tmp_path: Path
) -> None:
    folder = shutil.copytree(sources[name].parent, tmp_path / "models") / sources[name].name
    assert "What was measured" in text_of(assemble(KINDS[name], folder, repo_id=name))
    changed(folder)
    text = text_of(assemble(KINDS[name], folder, repo_id=name))
    assert "What was measured" not in text and "model-index" not in text
    # Without digests the file is about the package's own models, wherever else it lies.
    shutil.copyfile(MINI / "reproduction.json", folder.parent / "reproduction.json")
    shutil.copyfile(MINI / "reproduction.json", folder / "reproduction.json")
    if "weights" not in json.loads((folder / "reproduction.json").read_text()):
        text = text_of(assemble(KINDS[name], folder, repo_id=name))
        assert "What was measured" not in text and "model-index" not in text


def test_what_the_command_measured_of_a_lora_is_on_its_card(sources: dict[str, Path], tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from emovid_dataset.cli import program

    root = shutil.copytree(sources["emovid/mini-lora-t2v"].parent, tmp_path / "models")
    base, lora = root / "wan-t2v", root / "lora-t2v"
    options = ["--per-emotion", "1", "--size", "32x32", "--frames", "5", "--steps", "1", "--device", "cpu"]
    command = ["evaluate", "--base", str(base), "--lora", str(lora), "--out", str(lora), *options]
    done = CliRunner().invoke(program(), [*command, "--content-type", "movie"])
    assert done.exit_code == 0, done.output
    record = json.loads((lora / "evaluation.json").read_text())
    # The command leaves videos in the folder, and none of them is published.
    tree = assemble("lora", lora, repo_id="me/lora")
    assert not [path for path in tree.files if path.endswith(".mp4")]
    text = text_of(tree)
    assert "--size 32x32 --frames 5 --steps 1" in text and "the miniature one" in text
    results = ModelCard(text).data.eval_results
    assert {result.dataset_name for result in results} == {"EmoVid prompts, movies"}
    assert [(result.metric_value, result.metric_args["videos"]) for result in results] == [
        (record["figures"]["lora"][key]["value"], 8) for key in ("ea_8cls", "ea_2cls")
    ]
    (base / "evaluation.json").write_text(json.dumps(record))
    assert "model-index" in text_of(assemble("base", base, repo_id="me/base"))


def changed(folder: Path) -> None:
    """Change one byte of a model's weights."""
    path = max(folder.rglob("*.safetensors"), key=lambda path: path.stat().st_size)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def test_an_evaluation_of_other_weights_is_refused(sources: dict[str, Path], tmp_path: Path) -> None:
    source = sources["emovid/mini-lora-t2v"]
    folder = shutil.copytree(source.parent, tmp_path / "models") / source.name
    path = folder / "evaluation.json"
    record = evaluated(folder, "lora")
    changed(folder)
    path.write_text(json.dumps(record))
    with pytest.raises(ValueError, match=r"evaluation\.json is about other weights: evaluate those in"):
        assemble("lora", folder, repo_id="me/lora")
    # Videos of a folder may be anybody's.
    del record["generated"]
    path.write_text(json.dumps(record))
    with pytest.raises(ValueError, match=r"evaluation\.json does not say whose videos it judged"):
        assemble("lora", folder, repo_id="me/lora")


def test_a_base_of_somebodys_is_not_said_to_come_from_emoji(sources: dict[str, Path], tmp_path: Path) -> None:
    for task in ("t2v", "i2v"):
        folder = shutil.copytree(sources[f"emovid/mini-wan-{task}"], tmp_path / f"base-{task}")
        (folder / "README.md").write_text("---\nlicense: other\n---\n")
        text = text_of(assemble("base", folder, repo_id="me/base"))
        data = ModelCard(text).data
        assert data.license == "other" and getattr(data, "datasets", None) is None
        assert not re.search(r"trained from nothing|iniature|Trained on|emoji,|but emoji", text)
        shipped = MINI / f"wan-{task}"
        if shipped.is_dir():
            text = text_of(assemble("base", shipped, repo_id="me/base"))
            assert "trained from nothing on animated emoji" in text and "Trained on Fluent Emoji" in text


def test_the_datasets_numbers_are_those_of_the_build(mini_build: Path, cards: dict[str, Card]) -> None:
    manifest = read_manifest(mini_build)
    rows = [
        {**row, "split": path.stem}
        for path in mini_build.glob("metadata/*/*.parquet")
        for row in pyarrow.parquet.read_table(path, partitioning=None).to_pylist()
    ]
    keys = ("content_type", "split", "emotion")
    groups = [keys[:n] for n in range(4)] + [("content_type",), ("emotion",), ("license",)]
    groups += [("emotion_source",), ("has_audio",)]
    counts = [n for group in groups for n in Counter(tuple(row[k] for k in group) for row in rows).values()]
    values = [
        *counts,
        len(manifest.shards),
        sum(shard.size for shard in manifest.shards) / 1e6,
        sum(row["duration"] for row in rows) / 60,
        manifest.every,
        2 * manifest.every,
        len(manifest.taxonomy.names),
        manifest.seed,
        *manifest.split_ratios,
        0,
    ]
    formulas = {"601", "0.299", "0.587", "0.114", "2003", "1", "1.5", "360", "3.0"}
    assert unexplained(cards["emovid/EmoVid"].text, values, formulas) == []


def test_the_owners_additions_to_a_builds_card_are_published(mini_build: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(mini_build, tmp_path / "build")
    with (folder / "README.md").open("a") as card:
        card.write("\n## News\n\nThree clips were removed.\n")
    tree = assemble("dataset", folder, repo_id="me/Clips")
    text = text_of(tree)
    assert text.endswith("Three clips were removed.\n")
    assert 'load_dataset("me/Clips", ' in text and "emovid/EmoVid" not in text


def test_no_token_and_no_folder_of_this_machine_is_in_a_card(
    monkeypatch: pytest.MonkeyPatch, sources: dict[str, Path]
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secretsecretsecret")
    for name, kind in KINDS.items():
        text = text_of(assemble(kind, sources[name], repo_id=name))
        assert "hf_secret" not in text and str(sources[name].parent) not in text and "/home/" not in text


@pytest.mark.parametrize("name", ["wan-t2v", "wan-i2v", "lora-t2v", "lora-i2v"])
def test_the_miniatures_that_ship_have_cards_of_their_own_results(name: str) -> None:
    from emovid_models.publish.results import parameters

    folder = MINI / name
    if not folder.is_dir():
        pytest.skip("this package ships no miniature Wan")
    kind = "lora" if name.startswith("lora") else "base"
    tree = assemble(kind, folder, repo_id=f"me/mini-{name}", namespace="me")
    text, data = text_of(tree), ModelCard(text_of(tree)).data
    assert (data.license, data.datasets) == ("mit", ["me/EmoVid"])
    assert getattr(data, "base_model", None) == (
        f"me/mini-{name.replace('lora', 'wan')}" if kind == "lora" else None
    )
    path = folder.parent / "reproduction.json"
    results = json.loads(path.read_text()) if path.is_file() else {}
    size = parameters(sorted(folder.rglob("*.safetensors")))
    run = json.loads((folder / "training.json").read_text())
    values = [*leaves(results), *leaves(run), size / 1e3, size / 1e6]
    assert unexplained(text, values, STRUCTURAL) == []
    told = [result.metric_value for result in data.eval_results or ()]
    if measured := results.get(name.rpartition("-")[2]):
        assert measured["lora" if kind == "lora" else "base"]["ea_8cls"]["value"] in told
    else:
        assert told == [] and "What was measured" not in text


@pytest.mark.parametrize("settings", [{"wording": "paper", "protocol": "paper"}, {"wording": "mood"}])
def test_what_is_the_papers_stands_beside_the_papers_figure_as_in_the_docs(
    sources: dict[str, Path], tmp_path: Path, settings: dict[str, str]
) -> None:
    source = sources["emovid/mini-lora-t2v"]
    folder = shutil.copytree(source.parent, tmp_path / "models") / source.name
    record = evaluated(folder, "lora")
    record["generated"]["settings"] |= settings | {
        "loras_on_both": ["style:0.5"],
        "loras_compared": ["a:0.8"],
    }
    (folder / "evaluation.json").write_text(json.dumps(record))
    text = text_of(assemble("lora", folder, repo_id="me/lora"))
    assert "Both carried other LoRAs too: style:0.5." in text and '"lora" below is a:0.8' in text
    page = (Path(__file__).parents[2] / "docs" / "paper.md").read_text(encoding="utf-8")
    known = {thing: (place, whose.replace("ours", "the software's")) for thing, place, _, whose in rows(page)}
    shown = rows(text.partition("The paper reports")[2].partition("\n## ")[0])
    assert len(shown) == (9 if "protocol" in settings else 6)
    for thing, place, whose in shown[1:]:
        assert known[thing] == (place, whose), thing


def rows(text: str) -> list[list[str]]:
    """The rows of the tables in a Markdown text, without the lines below their heads."""
    lines = [line for line in text.splitlines() if line.startswith("|") and set(line) - set("|-: ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
