"""An annotator of five emotions: trained on a build that has them, and refused where there are others."""

from __future__ import annotations

import csv
import io
import json
import shutil
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from annotator_tiny import MINI
from pyarrow import parquet

from emovid_dataset.cli import main
from emovid_dataset.read.manifest import read_manifest
from emovid_dataset.read.select import select
from emovid_models.annotator.taxonomy import read_taxonomy
from emovid_models.annotator.train import TrainingConfig, TrainingResult, train_annotator
from emovid_models.remote.annotator import prompts

FIVE = ("joy", "calm", "rage", "dread", "grief")
SPLITS = ("train", "train", "validation", "test")
OF_MINI = {"amusement": "joy", "contentment": "calm", "anger": "rage", "fear": "dread", "sadness": "grief"}


def run(*arguments: object) -> tuple[int, str]:
    """A command in this process: its exit code, and what it said on one line."""
    said = io.StringIO()
    with (
        redirect_stdout(said),
        redirect_stderr(said),
        mock.patch("sys.argv", ["emovid", *map(str, arguments)]),
    ):
        try:
            main()
            code = 0
        except SystemExit as end:
            code = int(end.code or 0)
    return code, " ".join(said.getvalue().split())


@pytest.fixture(scope="module")
def moods(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A build of five emotions."""
    folder = tmp_path_factory.mktemp("moods")
    labels = [{"name": name, "valence": int(place > 1)} for place, name in enumerate(FIVE)]
    (folder / "moods.json").write_text(json.dumps({"name": "moods", "labels": labels}))
    with (MINI / "labels.csv").open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["content_type"] == "sticker"]
    sheet = ["path,emotion,split,caption"]
    for emotion, name in OF_MINI.items():
        its = [row["path"] for row in rows if row["emotion"] == emotion]
        sheet += [f"{path},{name},{split},a {name}" for path, split in zip(its, SPLITS, strict=False)]
    (folder / "sheet.csv").write_text("\n".join(sheet))
    taxonomy = ("--taxonomy", folder / "moods.json", "--content-type", "sticker", "--workers", 1)
    code, said = run("build", MINI, "--labels", folder / "sheet.csv", "--out", folder / "out", *taxonomy)
    assert code == 0, said
    return folder / "out"


@pytest.fixture(scope="module")
def trained(moods: Path, repo: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainingResult:
    config = TrainingConfig(epochs=1, batch_size=10, rank=2)
    return train_annotator(moods, repo, tmp_path_factory.mktemp("five") / "model", config)


def test_training_takes_the_emotions_of_the_build(trained: TrainingResult, moods: Path) -> None:
    from transformers import pipeline

    taxonomy = read_manifest(moods).taxonomy
    assert taxonomy.names == FIVE
    assert read_taxonomy(trained.out) == taxonomy
    assert 0 <= trained.calibration_error <= 1
    card = json.loads((trained.out / "training.json").read_text())
    assert (card["data_config"], card["emotions"], card["clips"]["train"]) == ("all", list(FIVE), 10)
    readme = (trained.out / "README.md").read_text()
    assert "10 clips: the split train of the config\n`all` of `out`" in readme
    assert "joy, calm, rage, dread, grief" in readme
    # as a stranger loads it: by the code that lies beside the weights
    annotate = pipeline("video-emotion", model=str(trained.out), trust_remote_code=True, device="cpu")
    found = annotate(select(moods, split="test")[0].video)
    assert {entry["label"] for entry in found} == set(FIVE)
    assert sum(entry["score"] for entry in found) == pytest.approx(1, abs=1e-6)


def test_annotate_relabel_and_evaluate_follow_the_model(
    trained: TrainingResult, moods: Path, tmp_path: Path
) -> None:
    out = tmp_path / "labels.parquet"
    code, said = run(
        "annotate", moods, "--model", trained.out, "--out", out, "--build", tmp_path / "new", "--json"
    )
    assert code == 0, said
    assert sum(json.loads(said)["emotions"].values()) == 20
    assert list(json.loads(said)["emotions"]) == list(FIVE)
    table = parquet.read_table(out)
    assert set(FIVE) < set(table.column_names)
    by_key = {row["key"]: row for row in table.to_pylist()}
    new = select(tmp_path / "new")
    assert len(new.clips) == 20
    for clip in new.clips:
        assert (clip.emotion, clip.emotion_source) == (by_key[clip.id]["emotion"], "model")
        assert clip.valence == int(FIVE.index(clip.emotion) > 1)
        assert clip.emotion_scores == pytest.approx([by_key[clip.id][name] for name in FIVE])
    videos = tmp_path / "videos"
    videos.mkdir()
    rows = ["file,emotion"]
    for place, clip in enumerate(select(moods, split="test")):
        (videos / f"{place}.mp4").write_bytes(clip.video)
        rows.append(f"{place}.mp4,{clip.clip.emotion}")
    (videos / "intended.csv").write_text("\n".join(rows))
    arguments = ("--videos", videos, "--annotator", trained.out, "--held-out", moods)
    code, said = run("evaluate", *arguments, "--json")
    assert code == 0, said
    found = json.loads(said)
    assert "paper" not in found
    for figures in (found["figures"]["videos"], found["held_out"]):
        right = sum(figures["confusion"][place][place] for place in range(5))
        assert figures["ea_5cls"]["value"] == right / 5
        assert figures["ea_2cls"]["value"] >= figures["ea_5cls"]["value"]
        assert "ea_8cls" not in figures
    code, said = run("evaluate", *arguments)
    assert code == 0
    assert "EA-5cls" in said
    assert "EA-8cls" not in said


def test_a_model_and_a_build_of_other_emotions_are_refused(
    trained: TrainingResult, moods: Path, sticker_build: Path, repo: Path, tmp_path: Path
) -> None:
    five, out = ", ".join(FIVE), ("--out", tmp_path / "x")
    eight = "amusement, awe, contentment, excitement, anger, disgust, fear, sadness"
    (tmp_path / "intended.csv").write_text("file,emotion\na.mp4,awe\n")
    cases: list[tuple[tuple[Any, ...], str]] = [
        (
            ("annotate", moods, "--model", repo, *out),
            f"--model {repo} tells apart {eight}, but INPUT {moods} has the emotions of 'moods': {five}",
        ),
        (
            ("annotate", sticker_build, "--model", trained.out, *out),
            f"tells apart {five}, but INPUT {sticker_build} has the emotions of 'mikels'",
        ),
        (
            ("evaluate", "--videos", tmp_path, "--annotator", trained.out),
            f"line 2: emotion 'awe' is unknown; allowed: {five} or 0..4",
        ),
        (
            ("evaluate", "--base", "me/wan", "--annotator", trained.out, *out),
            f"--annotator {trained.out} tells apart {five}; --base me/wan asks for {eight}",
        ),
    ]
    for arguments, message in cases:
        code, said = run(*arguments)
        assert (code, message in said) == (2, True), said


def test_the_question_names_the_emotions() -> None:
    assert prompts.EMOTION_QUESTION == (
        "Which emotion does this video convey? Answer with one word: amusement, awe, contentment, "
        "excitement, anger, disgust, fear or sadness."
    )
    assert prompts.emotion_question(FIVE[:2]).endswith("one word: joy or calm.")


def test_without_a_valence_there_is_no_ea_2cls(trained: TrainingResult, moods: Path, tmp_path: Path) -> None:
    model = tmp_path / "model"
    shutil.copytree(trained.out, model)
    settings = json.loads((model / "config.json").read_text())
    settings["taxonomy"]["labels"] = [{"name": name} for name in FIVE]
    (model / "config.json").write_text(json.dumps(settings))
    (tmp_path / "videos").mkdir()
    rows = ["file,emotion"]
    for place, clip in enumerate(select(moods, split="test", limit=2)):
        (tmp_path / "videos" / f"{place}.mp4").write_bytes(clip.video)
        rows.append(f"{place}.mp4,{clip.clip.emotion}")
    (tmp_path / "videos" / "intended.csv").write_text("\n".join(rows))
    arguments = ("--videos", tmp_path / "videos", "--annotator", model)
    code, said = run("evaluate", *arguments)
    assert code == 0, said
    assert "EA-5cls" in said and "not defined: the taxonomy has no valence" in said
    code, said = run("evaluate", *arguments, "--json")
    assert code == 0, said
    figures = json.loads(said)["figures"]["videos"]
    assert figures["ea_2cls"] is None and figures["ea_5cls"]["low"] >= 0
