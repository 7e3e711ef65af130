"""Training: it learns, resumes exactly, weighs emotions alike, and says how it was done."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from served_folder import served
from sklearn.metrics import balanced_accuracy_score

from emovid_dataset.read.manifest import read_manifest
from emovid_dataset.read.select import select
from emovid_dataset.schema.emotions import EMOTIONS
from emovid_models.annotator.annotate import model_identity
from emovid_models.annotator.calibration import calibration_error, fit_temperature, macro_recall
from emovid_models.annotator.checkpoints import find_checkpoint
from emovid_models.annotator.conversations import Collator, Conversations
from emovid_models.annotator.loading import load_annotator
from emovid_models.annotator.train import TrainingConfig, train_annotator
from emovid_models.finite import NotFiniteError
from emovid_models.records import RUN_CARD


@pytest.fixture(scope="module")
def conversations(sticker_build: Path, annotator: Any) -> Conversations:
    clips = select(sticker_build, split="train")
    return Conversations(clips, annotator.processor, caption=True, augment=True, seed=0)


@pytest.fixture(scope="module")
def lora(sticker_build: Path, repo: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An annotator after two epochs of LoRA."""
    out = tmp_path_factory.mktemp("train") / "lora"
    config = TrainingConfig(epochs=2, batch_size=8, learning_rate=3e-3, rank=4)
    train_annotator(sticker_build, repo, out, config)
    return out


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_annotator(folder, device="cpu").model.state_dict()


# data


def test_every_clip_is_asked_for_emotion_and_caption(conversations: Conversations) -> None:
    clips = conversations.clips.clips
    half = len(clips)
    assert len(conversations) == 2 * half
    first, last = conversations[0], conversations[half]
    assert (first["answer"], last["answer"]) == (clips[0].emotion, clips[0].caption)
    assert "emotion" in first["question"]
    assert "Describe" in last["question"]


def test_emotions_weigh_alike(conversations: Conversations) -> None:
    totals = dict.fromkeys(EMOTIONS, 0.0)
    for clip, weight in zip(conversations.clips.clips, conversations.weights, strict=True):
        totals[clip.emotion] += weight
    present = [total for total in totals.values() if total]
    np.testing.assert_allclose(present, len(conversations.clips) / len(present))


def test_augmentation_depends_on_the_epoch_only(conversations: Conversations) -> None:
    first = conversations[3]["pixels"]
    assert torch.equal(first, conversations[3]["pixels"])
    conversations.epoch = 1
    try:
        assert not torch.equal(first, conversations[3]["pixels"])
    finally:
        conversations.epoch = 0


def test_augmentation_keeps_colours(conversations: Conversations) -> None:
    """Mean colour of a uniform clip is unchanged by mirroring and cropping."""
    from emovid_models.annotator.conversations import _mirror_and_crop

    frames = np.broadcast_to(np.uint8([200, 30, 90]), (4, 40, 60, 3)).copy()
    for seed in range(5):
        cut = _mirror_and_crop(frames, np.random.default_rng(seed))
        assert (cut == np.uint8([200, 30, 90])).all()
        assert cut.shape[1] >= 36
        assert cut.shape[2] >= 54


def test_only_answers_are_learnt(conversations: Conversations, annotator: Any) -> None:
    rows = [conversations[0], conversations[len(conversations.clips)]]
    batch = Collator(annotator.processor)(rows)
    tokenizer = annotator.processor.tokenizer
    for place, row in enumerate(rows):
        answer = batch["labels"][place][batch["labels"][place] != -100]
        assert tokenizer.decode(answer) == row["answer"] + "<|im_end|>"
    assert batch["pixel_values_videos"].shape[0] == 8


# outcome


def test_result_is_an_annotator(lora: Path, repo: Path, stickers: list[Path]) -> None:
    assert str(repo.parent) not in (lora / "config.json").read_text(), (
        "where the base lay is nobody's business"
    )
    annotator = load_annotator(lora, device="cpu")
    result = annotator(stickers[0])
    assert sum(entry["score"] for entry in result) == pytest.approx(1, abs=1e-6)
    run = json.loads((lora / RUN_CARD).read_text())
    assert annotator.model.config.emotion_temperature == pytest.approx(run["validation"]["temperature"])


def test_run_card_says_how(lora: Path, sticker_build: Path, repo: Path) -> None:
    run = json.loads((lora / RUN_CARD).read_text())
    assert run["data_digest"] == read_manifest(sticker_build).source_digest
    assert run["data_location"] == sticker_build.name
    assert run["base"] == str(repo)
    assert run["base_identity"] == model_identity(repo)
    assert run["base_identity"].startswith(f"{repo.name}@")
    assert run["config"]["seed"] == 0
    assert run["config"]["rank"] == 4
    assert run["versions"]["torch"] == torch.__version__.split("+")[0]
    assert run["clips"] == {
        "train": len(select(sticker_build, split="train")),
        "validation": len(select(sticker_build, split="validation")),
    }


def test_run_card_names_the_commit_that_was_trained_on(
    sticker_build: Path, repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever asks for the repo a second time gets the commit of a push in between."""
    first, pushed = "a" * 40, "b" * 40
    looked_up: list[str | None] = []

    def on_hub(repo: str, revision: str | None, token: Any) -> str:
        looked_up.append(revision)
        commit = revision or (first if looked_up == [None] else pushed)
        return f"hf://datasets/{repo}@{commit}"

    def files_at(root: str, token: Any) -> tuple[Any, str]:
        assert root == f"hf://datasets/emovid/EmoVid@{first}"
        return fsspec.filesystem("file"), str(sticker_build)

    monkeypatch.setattr("emovid_dataset._address.on_hub", on_hub)
    monkeypatch.setattr("emovid_dataset.store.files_at", files_at)
    config = TrainingConfig(epochs=0.1, batch_size=8, rank=2)
    train_annotator("emovid/EmoVid", repo, tmp_path, config)
    run = json.loads((tmp_path / RUN_CARD).read_text())
    assert run["data"] == "emovid/EmoVid"
    assert run["data_location"] == f"hf://datasets/emovid/EmoVid@{first}"
    assert run["data_digest"] == read_manifest(sticker_build).source_digest


def test_run_card_shows_no_password(sticker_build: Path, repo: Path, tmp_path: Path) -> None:
    config = TrainingConfig(epochs=0.1, batch_size=8, rank=2)
    with served(sticker_build) as server:
        train_annotator(server.url.replace("//", "//me:p4ssword@") + "/", repo, tmp_path, config)
    run = json.loads((tmp_path / RUN_CARD).read_text())
    assert (run["data"], run["data_location"]) == (server.url + "/", server.url)
    cards = [path.read_text() for path in tmp_path.iterdir() if path.suffix in (".json", ".md")]
    assert len(cards) > 2 and not any("p4ssword" in card for card in cards)


def test_reported_recall_is_that_of_the_annotator_on_validation(lora: Path, sticker_build: Path) -> None:
    """Measured again with the pipeline and scikit-learn, on the weights as they were written."""
    annotator = load_annotator(lora, device="cpu")
    clips = list(select(sticker_build, split="validation"))
    answers = [result[0]["label"] for result in annotator([clip.video for clip in clips])]
    expected = balanced_accuracy_score([clip.clip.emotion for clip in clips], answers)
    run = json.loads((lora / RUN_CARD).read_text())
    assert run["validation"]["macro_recall"] == pytest.approx(expected, abs=1e-6)


def test_lora_leaves_the_tower_alone(lora: Path, repo: Path) -> None:
    before, after = weights(repo), weights(lora)
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert any("q_proj" in name and "language_model" in name for name in changed)
    assert any("multi_modal_projector" in name for name in changed)
    assert not any("vision_tower" in name for name in changed)


def test_resumed_run_ends_where_the_undisturbed_one_does(
    lora: Path, sticker_build: Path, repo: Path, tmp_path: Path
) -> None:
    """After a stop between the epochs, the same command gives the same weights, bit for bit."""
    out = tmp_path / "resumed"
    checkpoints = sorted((lora / "checkpoints").glob("checkpoint-*"), key=lambda p: int(p.name[11:]))
    assert len(checkpoints) == 2
    shutil.copytree(checkpoints[0], out / "checkpoints" / checkpoints[0].name)
    state = out / "checkpoints" / checkpoints[0].name / "trainer_state.json"
    assert json.loads(state.read_text())["epoch"] == 1.0
    cut_off = out / "checkpoints" / "checkpoint-999"  # by a stop while it was saved
    cut_off.mkdir()
    (cut_off / "adapter_model.safetensors").write_bytes(b"half")
    config = TrainingConfig(epochs=2, batch_size=8, learning_rate=3e-3, rank=4)
    train_annotator(sticker_build, repo, out, config)
    assert not cut_off.exists()
    expected, found = weights(lora), weights(out)
    assert all(torch.equal(expected[name], found[name]) for name in expected)
    # Those are of the best epoch, which may be the first; what the second has learnt is in its checkpoint.
    (last,) = [path.relative_to(lora) for path in checkpoints[1:]]
    expected, found = (load_file(folder / last / "adapter_model.safetensors") for folder in (lora, out))
    assert expected.keys() == found.keys()
    assert all(torch.equal(expected[name], found[name]) for name in expected)
    before = load_file(checkpoints[0] / "adapter_model.safetensors")
    assert not all(torch.equal(expected[name], before[name]) for name in expected)
    ours, theirs = (torch.load(folder / last / "optimizer.pt", weights_only=True) for folder in (lora, out))
    torch.testing.assert_close(ours, theirs, rtol=0, atol=0)


def test_another_run_in_the_same_folder_is_refused(
    lora: Path, sticker_build: Path, repo: Path, tmp_path: Path
) -> None:
    """By what differs, before anything is loaded; how much memory it takes is no difference."""
    before = {path: path.stat().st_mtime_ns for path in lora.rglob("*")}
    config = TrainingConfig(epochs=2, batch_size=8, learning_rate=3e-3, rank=4)
    data = tmp_path / "data"
    shutil.copytree(sticker_build, data)
    manifest = json.loads((data / "manifest.json").read_text())
    (data / "manifest.json").write_text(json.dumps({**manifest, "source_digest": "0" * 64}))
    base = tmp_path / repo.name
    shutil.copytree(repo, base)
    tensors = load_file(base / "model.safetensors")
    save_file({name: tensor + 1 for name, tensor in tensors.items()}, base / "model.safetensors")
    for changed, (its_data, its_base, its_config, options) in {
        "data": (data, repo, config, {}),
        "base": (sticker_build, base, config, {}),
        "content_type": (sticker_build, repo, config, {"content_type": "sticker"}),
        "rank": (sticker_build, repo, replace(config, rank=8), {}),
        "method": (sticker_build, repo, replace(config, method="full"), {}),
        "learning_rate": (sticker_build, repo, replace(config, learning_rate=1e-3), {}),
        "epochs": (sticker_build, repo, replace(config, epochs=3), {}),
    }.items():
        with pytest.raises(ValueError, match=f"holds a run with {changed} .*, now it is .*; choose another"):
            train_annotator(its_data, its_base, lora, its_config, **options)
    assert {path: path.stat().st_mtime_ns for path in lora.rglob("*")} == before

    out = tmp_path / "out"
    (out / "checkpoints" / "checkpoint-999").mkdir(parents=True)
    (out / "checkpoints" / "checkpoint-999" / "trainer_state.json").write_text("{}")
    with pytest.raises(ValueError, match="checkpoint-999 does not say what it was trained on"):
        train_annotator(sticker_build, repo, out, config)
    train_annotator(sticker_build, repo, out, TrainingConfig(epochs=0.1, batch_size=8, rank=2), resume=False)
    assert "checkpoint-999" not in {path.name for path in (out / "checkpoints").iterdir()}


def test_a_run_whose_numbers_overflow_stops_without_a_checkpoint(
    sticker_build: Path, repo: Path, tmp_path: Path
) -> None:
    config = TrainingConfig(epochs=1, batch_size=8, learning_rate=1e30, rank=2)
    with pytest.raises(NotFiniteError, match=r"^(the loss of|after) step \d+ "):
        train_annotator(sticker_build, repo, tmp_path, config)
    assert find_checkpoint(tmp_path / "checkpoints") == (None, [])
    assert not (tmp_path / RUN_CARD).exists()


# early stopping


class Interrupted(Exception):
    pass


@pytest.fixture
def recalls(monkeypatch: pytest.MonkeyPatch) -> list[float | None]:
    """What the next evaluations find, whatever the model says; None interrupts the run there."""
    script: list[float | None] = []

    def scripted(predicted: torch.Tensor, labels: torch.Tensor) -> float:
        recall = script.pop(0)
        if recall is None:
            raise Interrupted
        return recall

    monkeypatch.setattr("emovid_models.annotator.train.macro_recall", scripted)
    return script


def epochs_done(out: Path) -> list[float]:
    """Macro recall after each epoch, as the run card has it."""
    history = json.loads((out / RUN_CARD).read_text())["history"]
    return [entry["eval_macro_recall"] for entry in history if "eval_macro_recall" in entry]


def test_early_stopping(recalls: list[float | None], sticker_build: Path, repo: Path, tmp_path: Path) -> None:
    """It stops after so many flat evaluations, wherever it was interrupted, and gives the best epoch."""
    config = TrainingConfig(epochs=6, patience=2, batch_size=16, learning_rate=3e-3, rank=2, caption=False)
    out = tmp_path / "out"
    recalls[:] = [0.2, 0.5, 0.4, None]  # the last evaluation before the patience is spent
    with pytest.raises(Interrupted):
        train_annotator(sticker_build, repo, out, config)
    recalls[:] = [0.5, 0.5]  # of the fourth epoch, and of what is handed over
    result = train_annotator(sticker_build, repo, out, config)
    steps = -(-len(select(sticker_build, split="train")) // 16)
    assert recalls == []
    assert result.steps == 4 * steps
    assert epochs_done(out) == [0.2, 0.5, 0.4, 0.5]

    found = weights(out)
    best, last = (merged(repo, out / "checkpoints" / f"checkpoint-{epoch * steps}") for epoch in (2, 4))
    assert all(torch.equal(best[name], found[name]) for name in found)
    assert not all(torch.equal(last[name], found[name]) for name in found)

    recalls[:] = [0.5]
    shutil.move(out, tmp_path / "moved")
    again = train_annotator(sticker_build, repo, tmp_path / "moved", config)
    assert recalls == []
    assert again.steps == 4 * steps
    assert epochs_done(tmp_path / "moved") == [0.2, 0.5, 0.4, 0.5]
    assert all(torch.equal(value, found[name]) for name, value in weights(tmp_path / "moved").items())

    shutil.rmtree(tmp_path / "moved" / "checkpoints" / f"checkpoint-{2 * steps}")
    with pytest.raises(FileNotFoundError, match=f"checkpoint-{2 * steps} is missing"):
        train_annotator(sticker_build, repo, tmp_path / "moved", config)


def merged(base: Path, checkpoint: Path) -> dict[str, torch.Tensor]:
    """The weights of a base with a checkpoint's adapter, as they are stored."""
    from peft import PeftModel

    model = load_annotator(base, device="cpu").model
    state = PeftModel.from_pretrained(model, checkpoint).merge_and_unload().state_dict()
    return {name: value.half().float() for name, value in state.items()}


def test_defaults_can_stop_early() -> None:
    assert TrainingConfig().patience + 1 < TrainingConfig().epochs


@pytest.mark.parametrize("state", [None, "", '{"epoch": 1'], ids=["absent", "empty", "half"])
def test_checkpoint_that_was_cut_off_is_passed_over(state: str | None, tmp_path: Path) -> None:
    for name in ("checkpoint-6", "checkpoint-12", "checkpoint-999", "checkpoint-mine"):
        (tmp_path / name).mkdir()
    assert find_checkpoint(tmp_path / "absent") == (None, [])
    if state is not None:
        (tmp_path / "checkpoint-999" / "trainer_state.json").write_text(state)
    for name in ("checkpoint-6", "checkpoint-12"):
        (tmp_path / name / "trainer_state.json").write_text("{}")
    assert find_checkpoint(tmp_path) == (tmp_path / "checkpoint-12", [tmp_path / "checkpoint-999"])


def test_all_weights_learn(sticker_build: Path, repo: Path, tmp_path: Path) -> None:
    config = TrainingConfig(
        method="full",
        epochs=4,
        batch_size=8,
        train_tower=True,
        gradient_checkpointing=True,
        learning_rate=5e-3,
    )
    train_annotator(sticker_build, repo, tmp_path / "full", config)
    before, after = weights(repo), weights(tmp_path / "full")
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert any("vision_tower" in name for name in changed)
    assert any("language_model" in name for name in changed)
    run = json.loads((tmp_path / "full" / RUN_CARD).read_text())
    losses = [entry["loss"] for entry in run["history"] if "loss" in entry]
    assert losses[-1] < 0.8 * losses[0]


TORCHRUN = ["torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
ACCELERATE = ["accelerate.commands.launch", "--multi_gpu", "--num_processes", "2", "--num_machines", "1"]
ACCELERATE += ["--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0"]


@pytest.mark.parametrize("launcher", [TORCHRUN, ACCELERATE], ids=["torchrun", "accelerate"])
def test_several_processes(launcher: list[str], sticker_build: Path, repo: Path, tmp_path: Path) -> None:
    """Two processes share the batches, see every validation clip once, and write one annotator."""
    command = [sys.executable, "-m", *launcher]
    command += ["-m", "emovid_models.cli", "train", "annotator", "--data", str(sticker_build)]
    command += [
        "--base",
        str(repo),
        "--out",
        str(tmp_path / "out"),
        "--epochs",
        "1",
        "--batch-size",
        "4",
        "--json",
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("{")]
    run = json.loads((tmp_path / "out" / RUN_CARD).read_text())
    conversations = 2 * len(select(sticker_build, split="train"))
    assert json.loads(line)["steps"] == -(-conversations // 8)
    assert run["processes"] == 2
    annotator = load_annotator(tmp_path / "out", device="cpu")
    clips = list(select(sticker_build, split="validation"))
    answers = [result[0]["label"] for result in annotator([clip.video for clip in clips])]
    expected = balanced_accuracy_score([clip.clip.emotion for clip in clips], answers)
    assert run["validation"]["macro_recall"] == pytest.approx(expected, abs=1e-6)


# arithmetic


def test_temperature_is_the_likeliest() -> None:
    random = torch.Generator().manual_seed(0)
    scores = torch.randn(400, 8, generator=random) * 3
    labels = torch.multinomial((scores / 1.7).softmax(-1), 1, generator=random)[:, 0]
    found = fit_temperature(scores, labels)
    grid = torch.linspace(0.5, 4, 3501)
    losses = [float(torch.nn.functional.cross_entropy(scores / t, labels)) for t in grid]
    assert found == pytest.approx(float(grid[int(np.argmin(losses))]), abs=2e-3)


def test_macro_recall_is_scikit_learns() -> None:
    random = np.random.default_rng(0)
    labels, predicted = random.integers(0, 6, 200), random.integers(0, 8, 200)
    expected = balanced_accuracy_score(labels, predicted)
    found = macro_recall(torch.from_numpy(predicted), torch.from_numpy(labels))
    assert found == pytest.approx(expected, abs=1e-6)


def test_calibration_error_is_torchmetrics() -> None:
    from torchmetrics.functional.classification import multiclass_calibration_error

    random = torch.Generator().manual_seed(0)
    probabilities = (torch.randn(500, 8, generator=random) * 2).softmax(-1)
    labels = torch.randint(8, (500,), generator=random)
    expected = multiclass_calibration_error(probabilities, labels, num_classes=8, n_bins=10, norm="l1")
    assert calibration_error(probabilities, labels) == pytest.approx(float(expected), abs=1e-5)


# wrong arguments


def test_wrong_arguments_are_named(sticker_build: Path, repo: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="method is 'qlora'; allowed: lora, full"):
        TrainingConfig(method="qlora")
    with pytest.raises(ValueError, match="epochs is 0"):
        TrainingConfig(epochs=0)
    with pytest.raises(ValueError, match="train_tower needs method full"):
        TrainingConfig(train_tower=True)
    with pytest.raises(ValueError, match="no clip in the split 'train'"):
        train_annotator(sticker_build, repo, tmp_path, content_type="movie")
    with pytest.raises(OSError, match="cannot be loaded"):
        train_annotator(sticker_build, tmp_path / "absent", tmp_path / "out")
