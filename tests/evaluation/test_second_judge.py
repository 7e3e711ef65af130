"""The second judge: it learns the stickers and goes through the protocol like the annotator."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from emovid_dataset.schema.emotions import EMOTIONS
from emovid_models import evaluation
from emovid_models.evaluation import INTENDED_NAME
from tools.reproduce.second_judge import describe, train_second_judge

MINI = Path(__file__).parents[2] / "emovid_dataset" / "mini"


@pytest.fixture(scope="module")
def second(stickers: list[dict[str, str]]) -> Any:
    kept = [row for place, row in enumerate(stickers) if place % 10]
    return train_second_judge(
        [MINI / row["path"] for row in kept],
        [EMOTIONS.index(row["emotion"]) for row in kept],
        [row["group"] for row in kept],
    )


def test_judges_like_the_annotator(second: Any, videos: Path) -> None:
    table = videos / INTENDED_NAME
    asked = evaluation.read_intended(table)
    (videos / asked[0].file).write_bytes(b"no video")
    judged = evaluation.judge_videos(videos, table, second)
    assert [video.file for video in judged.failed] == [asked[0].file]
    assert all(sum(video.scores or ()) == pytest.approx(1) for video in judged.videos[1:])
    assert evaluation.judge_videos(videos, table, second).reused == 15
    assert evaluation.compare(judged, judged).mcnemar_p == 1.0


def test_answer_is_the_machines(second: Any, videos: Path) -> None:
    files = [row.file for row in evaluation.read_intended(videos / INTENDED_NAME)]
    rows = np.stack([describe(str(videos / file)) for file in files])
    expected = [EMOTIONS[label] for label in second.annotator.machine.predict(rows)]
    judged = evaluation.judge_videos(videos, videos / INTENDED_NAME, second)
    assert [video.judged for video in judged.videos] == expected


def test_has_learnt_its_training_side(second: Any, stickers: list[dict[str, str]]) -> None:
    kept = [row for place, row in enumerate(stickers) if place % 10]
    answers = second.annotator(iter([(lambda path=MINI / row["path"]: str(path)) for row in kept]))
    right = sum(answer[0]["label"] == row["emotion"] for answer, row in zip(answers, kept, strict=True))
    assert right / len(kept) > 0.5


def test_another_training_side_is_another_judge(stickers: list[dict[str, str]], second: Any) -> None:
    rows = stickers[::3]
    arguments = (
        [(MINI / row["path"]).read_bytes() for row in rows],
        [EMOTIONS.index(row["emotion"]) for row in rows],
        [row["group"] for row in rows],
    )
    one, same = train_second_judge(*arguments), train_second_judge(*arguments)
    assert one.identity == same.identity != second.identity
