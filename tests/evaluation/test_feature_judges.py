"""The judges by features: they learn the stickers and go through the protocol like the annotator."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from emovid_dataset.schema.emotions import EMOTIONS
from emovid_models import evaluation
from emovid_models.evaluation import INTENDED_NAME
from tools.reproduce.second_judge import describe, train_second_judge
from tools.reproduce.third_judge import imagenet_features, train_third_judge

MINI = Path(__file__).parents[2] / "emovid_dataset" / "mini"


@pytest.fixture(scope="module", params=["second", "third"])
def trained(request: pytest.FixtureRequest, stickers: list[dict[str, str]]) -> tuple[Any, Any]:
    """A judge, and what it sees of a video."""
    train, sees = {
        "second": (train_second_judge, describe),
        "third": (train_third_judge, imagenet_features),
    }[request.param]
    kept = learnt_from(stickers)
    judge = train(
        [MINI / row["path"] for row in kept],
        [EMOTIONS.index(row["emotion"]) for row in kept],
        [row["group"] for row in kept],
    )
    return judge, sees


def learnt_from(stickers: list[dict[str, str]]) -> list[dict[str, str]]:
    return [row for place, row in enumerate(stickers) if place % 10]


def test_judges_like_the_annotator(trained: tuple[Any, Any], videos: Path) -> None:
    judge, _ = trained
    table = videos / INTENDED_NAME
    asked = evaluation.read_intended(table)
    (videos / asked[0].file).write_bytes(b"no video")
    judged = evaluation.judge_videos(videos, table, judge)
    assert [video.file for video in judged.failed] == [asked[0].file]
    assert all(sum(video.scores or ()) == pytest.approx(1) for video in judged.videos[1:])
    assert evaluation.judge_videos(videos, table, judge).reused == 15
    assert evaluation.compare(judged, judged).mcnemar_p == 1.0


def test_answer_is_the_machines(trained: tuple[Any, Any], videos: Path) -> None:
    judge, sees = trained
    files = [row.file for row in evaluation.read_intended(videos / INTENDED_NAME)]
    rows = np.stack([sees(str(videos / file)) for file in files])
    expected = [EMOTIONS[label] for label in judge.annotator.machine.predict(rows)]
    judged = evaluation.judge_videos(videos, videos / INTENDED_NAME, judge)
    assert [video.judged for video in judged.videos] == expected


def test_has_learnt_its_training_side(trained: tuple[Any, Any], stickers: list[dict[str, str]]) -> None:
    judge, _ = trained
    kept = learnt_from(stickers)
    answers = judge.annotator(iter([(lambda path=MINI / row["path"]: str(path)) for row in kept]))
    right = sum(answer[0]["label"] == row["emotion"] for answer, row in zip(answers, kept, strict=True))
    assert right / len(kept) > 0.5


def test_another_training_side_is_another_judge(stickers: list[dict[str, str]]) -> None:
    rows = stickers[::3]
    arguments = (
        [(MINI / row["path"]).read_bytes() for row in rows],
        [EMOTIONS.index(row["emotion"]) for row in rows],
        [row["group"] for row in rows],
    )
    other = tuple(column[1:] for column in arguments)
    one, same = train_second_judge(*arguments), train_second_judge(*arguments)
    assert one.identity == same.identity != train_second_judge(*other).identity
