"""The stage of the pages: for each task what people look at, made of the videos that the run has.

``report/TASK`` is the result of base, LoRA and control side by side, with its page ``report/TASK/page.html``;
``study/TASK`` is the folder of a study of the same videos, which `emovid study serve` shows to raters.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

from emovid_dataset.read.select import select
from emovid_models import evaluation
from emovid_models.annotator.items import clip_item
from emovid_models.evaluation.judging_systems import JudgeSource, RealSource, SystemVideos, judge_systems
from emovid_models.evaluation.page import write_page
from emovid_models.evaluation.result import write_result
from emovid_models.evaluation.system_scores import add_frame_scores, add_system_scores
from emovid_models.study.build import build_study
from emovid_models.study.votes import VOTES_FOLDER
from tools.reproduce.judges import NamedJudge, load_judges
from tools.reproduce.run import Run

PAGE_NAME = "page.html"
T = TypeVar("T")


def _itself(value: T) -> T:
    return value


def pages(run: Run, judges: Sequence[NamedJudge] | None = None) -> list[Path]:
    """Judge base, LoRA and control of each task side by side, and write a page and a study of them.

    Videos that an earlier call judged or measured are not judged or measured again.

    Args:
        run: with its videos, and the build of real stickers after the VAE.
        judges: by default those of the table.
    """
    found = load_judges(run) if judges is None else judges
    clips = select(run.real, split="test")
    items = [clip_item(clips, place) for place in range(len(clips))]
    real = {item.key: item.open for item in items}
    written = []
    for task in ("t2v", "i2v"):
        out = run.out / "report" / task
        folders = {"base": f"{task}/base", "lora": f"{task}/lora", "control": f"control/{task}"}
        systems = [
            SystemVideos(
                name=name,
                folder=str(run.videos(folder)),
                intended=str(run.videos(folder) / evaluation.INTENDED_NAME),
            )
            for name, folder in folders.items()
        ]
        result = judge_systems(
            systems,
            [
                JudgeSource(
                    named.title, partial(_itself, named.judge), partial(_itself, named.key == "judge")
                )
                for named in found
            ],
            out,
            taxonomy=found[0].judge.taxonomy,
            real=RealSource(str(run.real)),
            task=task,
        )
        result = add_frame_scores(write_result(result, out), out / "measured", real=real)  # type: ignore[arg-type]
        result = write_result(add_system_scores(result), out)
        roots = [run.out / "videos"]
        write_page(result, out / PAGE_NAME, videos_roots=roots)
        study = run.out / "study" / task
        if study.exists() and not (study / VOTES_FOLDER).exists():  # a study that has begun is not built over
            shutil.rmtree(study)
        build_study([str(out)], study, videos_roots=roots)
        written += [out / PAGE_NAME, study]
    return written
