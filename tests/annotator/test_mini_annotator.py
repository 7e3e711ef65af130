"""The miniature annotator that ships: it loads anywhere, its card says what was measured, nothing leaked."""

from __future__ import annotations

import csv
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pandas
import pytest
import torch
from annotator_tiny import MINI
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from sklearn.linear_model import LogisticRegression
from transformers import AutoModelForImageTextToText, AutoProcessor, pipeline
from typer.testing import CliRunner

from emovid_dataset.builder.build import build
from emovid_dataset.cli import program
from emovid_dataset.read.select import select
from emovid_dataset.schema.emotions import EMOTIONS
from emovid_dataset.schema.no_emotion import NO_EMOTION
from emovid_dataset.schema.portable.norms import WARRINER
from emovid_models import MINI_ANNOTATOR
from emovid_models.annotator.annotate import annotate as annotate_all
from emovid_models.annotator.annotate import model_identity
from emovid_models.annotator.calibration import calibration_error
from emovid_models.annotator.items import find_items
from emovid_models.annotator.loading import load_annotator
from emovid_models.annotator.reliability import reliability
from emovid_models.miniature import MINI as MINIATURES
from emovid_models.remote.annotator import CODE
from emovid_models.remote.annotator.prompts import EMOTION_QUESTION
from emovid_models.remote.annotator.reading import read_frames
from tools.mini_annotator.__main__ import app
from tools.mini_annotator.card import card
from tools.mini_annotator.clips import read_sticker_labels
from tools.mini_annotator.emoji import first_code_point, hidden_code_points
from tools.mini_annotator.figures import mcnemar
from tools.mini_annotator.folds import split_folds
from tools.mini_annotator.heads import choose_head
from tools.mini_annotator.settings import HEAD_STRENGTHS
from tools.mini_annotator.sheets import SHEETS, labelled_emoji, rated_groups
from tools.mini_annotator.split import held_out_groups, training_rows
from tools.mini_corpus.labels import reserved_assets
from tools.reproduce.data import benchmark_stickers, write_labels
from tools.reproduce.run import Settings

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def figures() -> dict[str, Any]:
    return json.loads((MINI_ANNOTATOR / "figures.json").read_text())


def labelled(content_type: str) -> list[tuple[Path, str]]:
    with (MINI / "labels.csv").open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["content_type"] == content_type]
    return [(MINI / row["path"], row["emotion"]) for row in rows]


def test_size_and_kind_of_the_weights() -> None:
    assert sum(path.stat().st_size for path in MINI_ANNOTATOR.iterdir()) < 20_000_000
    with safe_open(MINI_ANNOTATOR / "model.safetensors", "pt") as weights:
        kinds = {weights.get_slice(name).get_dtype() for name in weights.keys()}  # noqa: SIM118
    assert kinds == {"F16"}


def test_the_shipped_records_name_the_annotator_that_ships() -> None:
    """Its name is in the results of the miniature generators, and in whatever users have annotated."""
    name = model_identity(MINI_ANNOTATOR)
    for record in (MINIATURES / "reproduction.json", ROOT / "benchmarks" / "emotion_over_time.json"):
        assert name in record.read_text(encoding="utf-8"), record.name
    assert json.loads((MINIATURES / "reproduction.json").read_text())["judge"]["identity"] == name
    for task in json.loads((MINIATURES / "paper_protocol.json").read_text()).values():
        assert task["judge"] == name
    assert name in (ROOT / "docs" / "reproduction.md").read_text(encoding="utf-8")


def test_code_in_the_folder_is_the_packages() -> None:
    for name, source in CODE.items():
        assert (MINI_ANNOTATOR / name).read_bytes() == source.read_bytes(), f"{name} differs"


def test_loads_through_transformers() -> None:
    model = AutoModelForImageTextToText.from_pretrained(MINI_ANNOTATOR, trust_remote_code=True)
    processor = AutoProcessor.from_pretrained(MINI_ANNOTATOR, trust_remote_code=True)
    assert model.dtype == torch.float32
    assert processor.tokens_per_frame == model.config.tokens_per_frame
    annotate = pipeline("video-emotion", model=str(MINI_ANNOTATOR), trust_remote_code=True, device="cpu")
    own = load_annotator(MINI_ANNOTATOR, device="cpu")
    path = labelled("sticker")[0][0]
    found = {entry["label"]: entry["score"] for entry in annotate(path)}
    assert found == pytest.approx({entry["label"]: entry["score"] for entry in own(path)}, abs=1e-6)


def test_figures_of_stickers_that_it_has_not_seen_are_reproduced(figures: dict[str, Any]) -> None:
    """The card's figure of the weights in the folder, measured again through the pipeline from the files."""
    held = held_out_groups()
    with (MINI / "labels.csv").open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["content_type"] == "sticker"]
    unseen = [row for row in rows if row["group"] in held]
    assert figures["held_out_stickers"]["trained_on"] == len(training_rows(read_sticker_labels()))
    answers = load_annotator(MINI_ANNOTATOR, device="cpu")(
        [MINI / row["path"] for row in unseen], batch_size=32
    )
    probabilities = torch.tensor(
        [
            [{entry["label"]: entry["score"] for entry in answer}[name] for name in EMOTIONS]
            for answer in answers
        ]
    )
    labels = torch.tensor([EMOTIONS.index(row["emotion"]) for row in unseen])
    right = float((probabilities.argmax(-1) == labels).float().mean())
    found = figures["held_out_stickers"]
    assert found["found"]["clips"] == len(unseen)
    assert found["found"]["accuracy"] == pytest.approx(right, abs=0.02)
    assert found["calibration_error"] == pytest.approx(calibration_error(probabilities, labels), abs=0.02)


def test_it_offers_captions_only_if_they_are_right() -> None:
    """What its config says of captions is what a comparison with the true ones says."""
    with (MINI / "labels.csv").open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["content_type"] == "sticker"][::10]
    annotate = load_annotator(MINI_ANNOTATOR, device="cpu")
    offered = annotate.offers_captions
    annotate.model.config.captions = True
    results = annotate([MINI / row["path"] for row in rows], batch_size=16, return_caption=True)
    right = sum(
        result["caption"].lower() == row["caption"].lower() for result, row in zip(results, rows, strict=True)
    )
    assert offered == (right > len(rows) / 2), f"{right} of {len(rows)} are right"


def test_captions_that_are_not_offered_are_refused_plainly(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"this model offers no captions: its config\.json says captions: fal"
    ):
        load_annotator(MINI_ANNOTATOR, device="cpu")(labelled("sticker")[0][0], return_caption=True)
    ask = ["annotate", str(MINI), "--model", str(MINI_ANNOTATOR), "--out", str(tmp_path / "a.parquet")]
    refused = CliRunner().invoke(program(), [*ask, "--caption"])
    assert "offers no captions" in str(refused.exception)
    assert not list(tmp_path.iterdir())


def test_what_a_model_offers_is_no_part_of_its_name(tmp_path: Path) -> None:
    folder = shutil.copytree(MINI_ANNOTATOR, tmp_path / "annotator")
    before = model_identity(folder)
    settings = json.loads((folder / "config.json").read_text())
    assert settings.pop("captions") is False
    text = json.dumps(settings, indent=2, sort_keys=True) + "\n"
    (folder / "config.json").write_text(text)
    assert model_identity(folder) == before
    (folder / "config.json").write_text(
        re.sub(r'"emotion_temperature": [0-9.]+', '"emotion_temperature": 5.5', text)
    )
    assert model_identity(folder) != before


def test_asked_for_the_emotion_it_writes_the_likeliest_label() -> None:
    annotate = load_annotator(MINI_ANNOTATOR, device="cpu")
    processor, model = annotate.processor, annotate.model
    paths = [path for path, _ in labelled("sticker")[::4]]
    videos = [
        read_frames(path, lambda n: processor.sample_indices(n, processor.num_frames)) for path in paths
    ]
    inputs = processor(
        text=[processor.build_prompt(EMOTION_QUESTION)] * len(paths),
        videos=videos,
        do_sample_frames=False,
        padding_side="left",
    )
    written = model.generate(**inputs, do_sample=False, max_new_tokens=4)[:, inputs["input_ids"].shape[1] :]
    answers = processor.tokenizer.batch_decode(written, skip_special_tokens=True)
    likeliest = [result[0]["label"] for result in annotate(paths, batch_size=len(paths), top_k=1)]
    agreeing = sum(answer == label for answer, label in zip(answers, likeliest, strict=True))
    assert agreeing >= 0.95 * len(paths), answers


def test_it_abstains_and_tells_valence_and_arousal(tmp_path: Path) -> None:
    annotate = load_annotator(MINI_ANNOTATOR, device="cpu")
    paths = [path for path, _ in labelled("cartoon")[:12]]
    plain = annotate(paths, batch_size=12)
    threshold = sorted(answer[0]["score"] for answer in plain)[6]
    full = annotate(paths, batch_size=12, top_k=1, abstain=threshold, return_valence_arousal=True)
    folder = tmp_path / "clips"
    folder.mkdir()
    for number, path in enumerate(paths):
        shutil.copy(path, folder / f"{number:02d}.mp4")
    out = tmp_path / "a.parquet"
    report = annotate_all(find_items(folder), annotate, out, identity="mini", abstain=threshold)
    table = pandas.read_parquet(out)
    said = []
    for answer, result, row, known in zip(
        plain, full, table.to_dict("records"), report.annotations, strict=True
    ):
        sure = answer[0]["score"] >= threshold
        said.append(sure)
        expected = answer[0]["label"] if sure else NO_EMOTION
        assert result["emotion"] == row["emotion"] == known.emotion == expected
        assert known.scores is not None and sum(known.scores) == pytest.approx(1)
        for scale, name in enumerate(("valence", "arousal")):
            mean = sum(entry["score"] * WARRINER[entry["label"]][scale] for entry in answer)
            assert result[name] == pytest.approx(mean, abs=1e-6)
            assert row[name] == pytest.approx(mean, abs=1e-4)
    assert said.count(False) == 6 and len(full[0]["emotions"]) == 1
    with pytest.raises(ValueError, match=r"abstain is 1\.5; allowed: a number from 0 to 1"):
        annotate(paths[0], abstain=1.5)
    with pytest.raises(ValueError, match="choose another --out"):
        annotate_all(find_items(folder), annotate, out, identity="mini")


def test_cartoon_figures_are_reproduced(figures: dict[str, Any]) -> None:
    """What the card says of clips that no training saw, measured again through the pipeline."""
    clips = labelled("cartoon")
    answers = load_annotator(MINI_ANNOTATOR, device="cpu")(
        [path for path, _ in clips], batch_size=32, top_k=1
    )
    right = sum(answer[0]["label"] == emotion for answer, (_, emotion) in zip(answers, clips, strict=True))
    assert figures["cartoon"]["annotator"]["accuracy"] == pytest.approx(right / len(clips), abs=0.02)


def test_figures_agree_with_one_another(figures: dict[str, Any]) -> None:
    stickers = figures["stickers"]
    confusion = torch.tensor(stickers["confusion"])
    emotions = read_sticker_labels().labels
    assert confusion.sum(1).tolist() == emotions.bincount(minlength=len(EMOTIONS)).tolist()
    found = stickers["annotator"]
    assert found["accuracy"] == pytest.approx(float(confusion.trace()) / len(emotions), abs=1e-4)
    recalls = confusion.diag() / confusion.sum(1)
    assert list(found["recall"].values()) == pytest.approx(recalls.tolist(), abs=1e-4)
    low, high = found["interval_95"]
    assert low < found["accuracy"] < high
    assert sum(point["clips"] for point in stickers["calibration_curve"]) == len(emotions)
    error = sum(p["clips"] * abs(p["confidence"] - p["accuracy"]) for p in stickers["calibration_curve"])
    assert stickers["calibration_error"] == pytest.approx(error / len(emotions), abs=1e-3)


def test_out_of_fold_probabilities_are_those_of_the_figures(figures: dict[str, Any]) -> None:
    lines = (MINI_ANNOTATOR / "out_of_fold.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    known = read_sticker_labels()
    assert tuple(row["path"] for row in rows) == known.paths
    assert tuple(row["emotion_source"] for row in rows) == known.sources
    labels = torch.tensor([EMOTIONS.index(row["emotion"]) for row in rows])
    assert labels.equal(known.labels)
    for name in ("annotator", "gradients_colours_svm"):
        probabilities = torch.tensor([row[name] for row in rows])
        assert torch.allclose(probabilities.sum(-1), torch.ones(len(rows)), atol=1e-3)
        right = (probabilities.argmax(-1) == labels).float().mean()
        assert figures["stickers"][name]["accuracy"] == pytest.approx(float(right), abs=1e-4)
        if name == "annotator":
            assert figures["stickers"]["reliability"] == reliability(probabilities.numpy(), labels).to_json()
        own = probabilities[torch.arange(len(rows)), labels].log().mean()
        assert figures["stickers"]["log_likelihood"][name] == pytest.approx(float(own), abs=2e-3)


def test_card_is_written_from_the_figures(figures: dict[str, Any]) -> None:
    model = load_annotator(MINI_ANNOTATOR, device="cpu").model
    parameters = sum(value.numel() for value in model.parameters())
    assert (MINI_ANNOTATOR / "README.md").read_text() == card(figures, parameters)


def test_another_whole_run_stands_beside_the_one_that_ships(tmp_path: Path) -> None:
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    for folder in (ours, theirs):
        shutil.copytree(MINI_ANNOTATOR, folder)
        path = folder / "figures.json"
        figures = json.loads(path.read_text())
        figures["stickers"].pop("annotator_run_2", None)
        path.write_text(json.dumps(figures))
    ask = ["add-run", str(theirs), "--out", str(ours)]

    def refusal() -> str:
        result = CliRunner().invoke(app, ask)
        assert result.exit_code == 2, result.output
        return " ".join(result.output.replace("│", " ").split())

    assert "no other run" in refusal()

    weights = load_file(theirs / "model.safetensors")
    save_file({name: value + 1 for name, value in weights.items()}, theirs / "model.safetensors")
    figures["settings"]["seed"] += 1
    (theirs / "figures.json").write_text(json.dumps(figures))
    assert "trained with settings that differ" in refusal()

    figures["settings"]["seed"] -= 1
    figures["training"]["versions"]["torch"] = "another"
    figures["stickers"]["annotator"]["accuracy"] = 0.2345
    figures["stickers"]["p_value_annotator_against_svm"] = 0.9876
    (theirs / "figures.json").write_text(json.dumps(figures))
    before = json.loads((ours / "figures.json").read_text())
    for number in (2, 3):
        assert CliRunner().invoke(app, ask).exit_code == 0
        found = json.loads((ours / "figures.json").read_text())
        added = found["stickers"][f"annotator_run_{number}"]
        assert (added["accuracy"], added["p_value_against_svm"]) == (0.2345, 0.9876)
    assert {**found, "stickers": {name: found["stickers"][name] for name in before["stickers"]}} == before
    card = (ours / "README.md").read_text()
    assert card.count("| another run | 0.234 |") == 2 and "another run gets p = 0.988 and 0.988." in card
    assert (ours / "model.safetensors").read_bytes() == (MINI_ANNOTATOR / "model.safetensors").read_bytes()


# leaks


def test_folds_share_no_emoji_and_neither_do_train_split_and_the_rest() -> None:
    clips = read_sticker_labels()
    folds = split_folds(clips)
    assert sorted(row for _, test in folds for row in test) == list(range(len(clips.labels)))
    trained = training_rows(clips)
    rest = [row for row in range(len(clips.labels)) if row not in trained]
    for train, test in [*folds, (trained, rest)]:
        assert test and not {clips.groups[row] for row in train} & {clips.groups[row] for row in test}


def test_what_ships_is_trained_on_the_train_split_of_the_reproductions_build(tmp_path: Path) -> None:
    write_labels(tmp_path / "labels.csv")
    ids = benchmark_stickers()
    build(MINI, tmp_path / "labels.csv", tmp_path / "build", ratios=Settings().ratios, benchmark_ids=ids)
    groups = {str(clip.group) for clip in select(tmp_path / "build").clips}
    trained = {str(clip.group) for clip in select(tmp_path / "build", split="train").clips}
    assert held_out_groups() == groups - trained
    assert ids and set(ids).isdisjoint(clip.id for clip in select(tmp_path / "build", split="train").clips)


def test_the_distillation_sees_no_labelled_and_no_reserved_emoji() -> None:
    hidden = hidden_code_points()
    for path, _ in labelled("sticker"):
        assert first_code_point(path.stem) in hidden
    for asset in reserved_assets():
        assert first_code_point(Path(asset).stem) in hidden
    variant = first_code_point("1f64b-1f3fb-200d-2642-fe0f")
    assert variant in hidden, "a labelled emoji's variant of another skin tone"


def test_another_sheet_of_labels_is_read_and_refused_where_it_must_be(tmp_path: Path) -> None:
    def sheet(*rows: str) -> tuple[Path, ...]:
        path = tmp_path / "more.csv"
        path.write_text("\n".join(["asset,group,emotion,emotion_source", *rows]) + "\n", encoding="utf-8")
        return (*SHEETS, path)

    known = labelled_emoji()
    sheets = sheet("x1.webp,x1,contentment,model", "x2.webp,x2,amusement,", "x3.webp,x3,,model")
    more = labelled_emoji(sheets)
    assert more[:-2] == known and {emoji.emotion_source for emoji in known} == {"human", "model"}
    assert [(emoji.asset, emoji.emotion_source) for emoji in more[-2:]] == [
        ("x1.webp", "model"),
        ("x2.webp", "human"),
    ]
    assert rated_groups(sheets) - rated_groups() == {"x1", "x2", "x3"}, "hidden, whatever raters saw"
    reserved = sorted(reserved_assets())[0]
    for row, reason in (
        (f"{reserved},x,awe,", "is reserved; no training may see it"),
        (f"{known[0].asset},x,awe,", "is labelled twice"),
        ("x1.webp,x1,joy,", "has the emotion 'joy'; allowed"),
    ):
        with pytest.raises(ValueError, match=reason):
            labelled_emoji(sheet(row))


def test_a_head_is_chosen_by_groups_and_is_what_scikit_learn_fits() -> None:
    random = torch.Generator().manual_seed(0)
    labels = torch.randint(len(EMOTIONS), (48,), generator=random).repeat(2)
    noise = torch.randn(48, 200, generator=random).repeat(2, 1)  # each clip has a twin of its group
    groups = [str(row % 48) for row in range(96)]
    head, recall = choose_head(noise, labels, groups, repeats=1)
    assert set(recall) == set(HEAD_STRENGTHS) and recall[head.strength] == max(recall.values())
    assert recall[head.strength] < 0.35, "a twin on the training side would be known by heart"
    machine = LogisticRegression(C=head.strength, class_weight="balanced", max_iter=1000)
    machine.fit(noise.numpy(), labels.numpy())
    expected = torch.from_numpy(machine.decision_function(noise.numpy())).float()
    assert torch.allclose(head.logits(noise), expected - expected.mean(-1, keepdim=True), atol=0.02)
    noise[:, : len(EMOTIONS)] += 8 * torch.nn.functional.one_hot(labels, len(EMOTIONS))
    head, recall = choose_head(noise, labels, groups, repeats=1)
    assert recall[head.strength] > 0.6


def test_paired_test_is_exact() -> None:
    from scipy.stats import binomtest

    first = torch.tensor([True] * 14 + [False] * 5 + [True] * 30)
    second = torch.tensor([False] * 14 + [True] * 5 + [True] * 30)
    assert mcnemar(first, second) == pytest.approx(binomtest(5, 19).pvalue)
