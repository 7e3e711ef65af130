"""The stage that makes pages and studies of the videos that a run has, without a run."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from video_files import write_video

from emovid_dataset import build
from emovid_dataset.schema.emotions import EMOTIONS
from emovid_models.evaluation.intended import INTENDED_NAME, Intended, write_intended
from emovid_models.evaluation.judge import load_judge
from emovid_models.evaluation.result import read_result
from emovid_models.study.plan import read_plan
from tools.reproduce.judges import NamedJudge
from tools.reproduce.pages import PAGE_NAME, pages
from tools.reproduce.plan import STAGES
from tools.reproduce.run import TINY, Run
from tools.reproduce.stages import WORK

STICKER = Path(__file__).parents[2] / "emovid_dataset" / "mini" / "sticker" / "1f602.mp4"


def test_a_run_gets_a_page_and_a_study_for_each_task(tmp_path: Path) -> None:
    assert list(WORK) == list(STAGES)
    run = Run(TINY, tmp_path / "run")
    labels = tmp_path / "labels.csv"
    labels.write_text("path,emotion\nsticker/1f602.mp4,amusement\nsticker/1f631.mp4,fear\n", encoding="utf-8")
    build(STICKER.parents[1], labels, run.real, engine="serial", ratios=(0, 0, 1))
    judges = [NamedJudge("judge", "the annotator", load_judge())]
    for folder in ("t2v/base", "t2v/lora", "control/t2v", "i2v/base", "i2v/lora", "control/i2v"):
        made = run.videos(folder)
        made.mkdir(parents=True)
        rows = [Intended(f"{row}.mp4", EMOTIONS[row], f"prompt {row}", row) for row in range(4)]
        for row in rows:
            level = [np.full((64, 64, 3), 40 + 50 * rows.index(row), np.uint8)] * 2
            write_video(made / row.file, level, rate=12)
        write_intended(made / INTENDED_NAME, rows)
    written = pages(run, judges)
    assert written == [
        tmp_path / "run" / folder for task in ("t2v", "i2v")
        for folder in (f"report/{task}/{PAGE_NAME}", f"study/{task}")
    ]  # fmt: skip
    for task in ("t2v", "i2v"):
        result = read_result(run.out / "report" / task)
        assert [system.name for system in result.systems] == ["base", "lora", "control"]
        assert result.task == task and len(result.videos) == 12 and len(result.real) == 2
        assert (run.out / "report" / task / PAGE_NAME).read_text().count("<video") == 12
        plan = read_plan(run.out / "study" / task)
        assert plan.systems == ("base", "lora", "control") and len(plan.scenes) == 2
    # videos that are gone: the study is made anew, unless somebody has voted
    begun = run.out / "study" / "i2v" / "votes"
    begun.mkdir()
    for folder in ("t2v/base", "i2v/base"):
        shutil.copy(run.videos(folder) / "0.mp4", run.videos(folder) / "1.mp4")
    with pytest.raises(FileExistsError, match="a study that has begun is not built over"):
        pages(run, judges)
    assert begun.is_dir() and read_plan(run.out / "study" / "t2v").inputs != plan.inputs
