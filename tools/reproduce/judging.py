"""The judging stage: the annotator and the second judge on all videos, and on real held-out clips."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from emovid_dataset.read.select import select
from emovid_dataset.store import write_file
from emovid_models import evaluation
from tools.reproduce.generating import ABLATION, ablation_name
from tools.reproduce.run import Run
from tools.reproduce.second_judge import train_second_judge


def judge(run: Run) -> list[Path]:
    """Let the annotator and the second judge score all videos, and real held-out clips."""
    train = list(select(run.build, split="train", content_type="sticker"))
    files = run.out / "second-judge"
    files.mkdir(parents=True, exist_ok=True)
    paths = []
    for item in train:
        paths.append(files / f"{item.clip.id}.mp4")
        paths[-1].write_bytes(item.video)
    second = train_second_judge(
        paths, [item.clip.label for item in train], [str(item.clip.group) for item in train]
    )
    first = evaluation.load_judge()
    work = run.out / "judged"
    record: dict[str, Any] = {}
    for task in ("t2v", "i2v"):
        compared = []
        for name, judge in (("annotator", first), ("second", second)):
            base, lora = (
                evaluation.judge_videos(
                    run.videos(f"{task}/{kind}"),
                    run.videos(f"{task}/{kind}") / evaluation.INTENDED_NAME,
                    judge,
                    out=work / name / task / kind,
                )
                for kind in ("base", "lora")
            )
            compared.append(evaluation.to_record(evaluation.compare(base, lora)))
            folder = run.videos(f"control/{task}")
            control = evaluation.judge_videos(
                folder, folder / evaluation.INTENDED_NAME, judge, out=work / name / "control" / task
            )
            compared[-1]["control"] = evaluation.to_record(evaluation.compare(control, lora))
        record[task] = {**compared[0], "second_judge": compared[1]}
    record["ablation"] = [
        {
            "emotion_guidance": guidance * run.settings.emotion_guidance,
            "intensity": intensity,
            "figures": evaluation.to_record(
                evaluation.score(
                    evaluation.judge_videos(
                        run.videos(name), run.videos(name) / evaluation.INTENDED_NAME, first, out=work / name
                    )
                )
            ),
            **({} if lora else {"base": True}),
        }
        for lora, guidance, intensity in ABLATION
        for name in [ablation_name(lora, guidance, intensity)]
    ]
    record["second_judge"] = {
        "identity": second.identity,
        "held_out": evaluation.to_record(
            evaluation.score(
                evaluation.judge_clips(
                    run.build, second, split="test", content_type="sticker", out=work / "second" / "held-out"
                )
            )
        ),
    }
    record["judge"] = {"identity": first.identity}
    write_file(run.out / "judged.json", json.dumps(record, indent=1, allow_nan=False).encode())
    return [run.out / "judged.json"]
