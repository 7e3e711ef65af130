"""Soft targets: the loss is the cross-entropy with the raters' distribution, where there is one."""

from __future__ import annotations

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from annotator_tiny import MINI

from emovid_dataset import build, select
from emovid_dataset.schema.clip import Clip
from emovid_dataset.schema.emotions import EMOTIONS
from emovid_models.annotator.calibration import fit_temperature
from emovid_models.annotator.conversations import Collator, Conversations
from emovid_models.annotator.targets import distributions_of, effective_targets, target_of
from emovid_models.annotator.train import AnnotatorTrainer, TrainingConfig, train_annotator
from emovid_models.records import RUN_CARD

VOTES = ([3, 0, 0, 0, 0, 0, 0, 0], [0, 2, 0, 0, 0, 0, 1, 0], [0, 0, 0, 0, 2, 1, 0, 0])


@pytest.fixture(scope="module")
def divided(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six stickers that three people rated each, and three that one did."""
    folder = tmp_path_factory.mktemp("divided")
    (folder / "sticker").mkdir()
    with (folder / "labels.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "emotion", "votes", "emotion_scores", "split"])
        for place, path in enumerate(sorted((MINI / "sticker").glob("*.mp4"))[:9]):
            shutil.copy(path, folder / "sticker" / path.name)
            votes = VOTES[place % 3] if place < 6 else [0, 1, 0, 0, 0, 0, 0, 0]
            scores = [vote / sum(votes) for vote in votes]
            split = "validation" if place in (0, 1) else "train"
            emotion = EMOTIONS[int(np.argmax(votes))]
            writer.writerow([f"sticker/{path.name}", emotion, json.dumps(votes), json.dumps(scores), split])
    build(folder, folder / "labels.csv", folder / "made", engine="serial")
    return folder / "made"


def clip_of(divided: Path, **changed: Any) -> Clip:
    clips = select(divided, split="train").clips
    found = next(clip for clip in clips if clip.votes is not None and max(clip.votes) == 2 and clip.votes[1])
    return replace(found, **changed)


def test_which_clips_have_a_soft_target(divided: Path) -> None:
    clip = clip_of(divided)
    assert target_of(clip, "auto") == [(1, pytest.approx(2 / 3)), (6, pytest.approx(1 / 3))]
    assert target_of(clip, "hard") == [(1, 1.0)]
    model = replace(clip, emotion_source="model")
    alone = replace(clip, raters=1, votes=None)
    for other in (model, alone):
        assert target_of(other, "auto") == [(1, 1.0)] and len(target_of(other, "soft")) == 2
    assert target_of(replace(clip, emotion_scores=None), "soft") == [(1, 1.0)]
    assert effective_targets([model, alone], "auto") == "hard"
    assert effective_targets([model, clip], "auto") == "auto"
    assert distributions_of([clip, alone], "auto").sum(1).tolist() == [1, 1]


def loss_of(annotator: Any, rows: list[dict[str, Any]]) -> float:
    model = annotator.model.float().eval()
    trainer = AnnotatorTrainer.__new__(AnnotatorTrainer)
    with torch.no_grad():
        return float(trainer.compute_loss(model, Collator(annotator.processor)(rows)))


def test_the_loss_is_the_cross_entropy_with_the_distribution(divided: Path, annotator: Any) -> None:
    clips = select(divided, split="train")
    soft = Conversations(clips, annotator.processor, caption=False, augment=False, seed=0, targets="auto")
    place = next(n for n, clip in enumerate(clips.clips) if clip.votes is not None and max(clip.votes) == 2)
    row = soft[place]
    assert sum(share for _, share in row["answers"]) == pytest.approx(1) and len(row["answers"]) == 2
    alone = [
        (loss_of(annotator, [{**row, "answers": [(name, 1.0)]}]), share) for name, share in row["answers"]
    ]
    assert loss_of(annotator, [row]) == pytest.approx(sum(loss * share for loss, share in alone), rel=1e-5)
    assert abs(alone[0][0] - alone[1][0]) > 1e-3
    other = soft[next(n for n, clip in enumerate(clips.clips) if clip.raters == 1)]
    both = loss_of(annotator, [row, other])
    assert both == pytest.approx((loss_of(annotator, [row]) + loss_of(annotator, [other])) / 2, rel=1e-5)


def test_training_records_its_targets_and_measures_against_people(
    divided: Path, repo: Path, tmp_path: Path
) -> None:
    config = TrainingConfig(epochs=1, batch_size=4, rank=2, caption=False)
    found = train_annotator(divided, repo, tmp_path / "auto", config)
    assert found.targets == "auto" and found.soft_accuracy is not None and found.js_divergence is not None
    assert 0 <= found.soft_accuracy <= 1 and 0 < found.js_divergence < 1
    card = json.loads((tmp_path / "auto" / RUN_CARD).read_text())
    assert card["validation"]["targets"] == "auto" and card["config"]["targets"] == "auto"
    assert "Jensen-Shannon" in (tmp_path / "auto" / "README.md").read_text()
    with pytest.raises(ValueError, match="holds a run with targets 'auto', now it is 'hard'"):
        train_annotator(divided, repo, tmp_path / "auto", replace(config, targets="hard"))
    with pytest.raises(ValueError, match="targets is 'mixed'; allowed: auto, hard, soft"):
        TrainingConfig(targets="mixed")


def test_a_checkpoint_of_before_goes_on_as_hard(tmp_path: Path) -> None:
    from emovid_models.annotator.checkpoints import refuse_another_run, write_run

    checkpoint = tmp_path / "checkpoints" / "checkpoint-1"
    write_run(checkpoint, {"data": "x"})
    refuse_another_run(checkpoint, {"data": "x", "targets": "hard"})
    with pytest.raises(ValueError, match="a run with targets 'hard', now it is 'auto'"):
        refuse_another_run(checkpoint, {"data": "x", "targets": "auto"})


def test_the_temperature_of_distributions_is_the_best_one() -> None:
    generator = torch.Generator().manual_seed(0)
    scores = 4 * torch.randn((200, 8), generator=generator)
    shares = (0.4 * scores + torch.randn((200, 8), generator=generator)).softmax(-1)
    labels = shares.argmax(-1)
    one_hot = torch.nn.functional.one_hot(labels, 8).double()
    assert fit_temperature(scores, one_hot) == pytest.approx(fit_temperature(scores, labels))

    def loss(temperature: float) -> float:
        return float(-(shares * (scores / temperature).log_softmax(-1)).sum(-1).mean())

    best = fit_temperature(scores, shares)
    assert loss(best) < min(loss(best * 1.05), loss(best / 1.05))
