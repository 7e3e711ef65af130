"""The judging stage: all judges on all videos, and on real stickers that none of them has learnt from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from emovid_dataset.store import write_file
from emovid_models import evaluation
from emovid_models.evaluation.judge_fitness import judge_fitness
from tools.mini_wan.text import OTHER_WORDING, WORDING
from tools.reproduce.generating import ABLATION, ablation_name
from tools.reproduce.judges import NamedJudge, load_judges
from tools.reproduce.run import Run


def judge(run: Run) -> list[Path]:
    """Let every judge score the videos, once it has shown what it is worth on real ones."""
    judges = load_judges(run)
    record: dict[str, Any] = {judge.key: _worth(run, judge) for judge in judges}
    for task in ("t2v", "i2v"):
        first, *others = (_compared(run, task, judge) for judge in judges)
        record[task] = first | {judge.key: found for judge, found in zip(judges[1:], others, strict=True)}
    record["wordings"] = {judge.key: _wordings(run, judge) for judge in judges}
    record["ablation"] = [
        {
            "emotion_guidance": guidance * run.settings.emotion_guidance,
            "intensity": intensity,
            "figures": evaluation.to_record(
                evaluation.score(_judged(run, ablation_name(lora, guidance, intensity), judges[0]))
            ),
            **({} if lora else {"base": True}),
        }
        for lora, guidance, intensity in ABLATION
    ]
    write_file(run.out / "judged.json", json.dumps(record, indent=1, allow_nan=False).encode())
    return [run.out / "judged.json"]


def _judged(run: Run, name: str, judge: NamedJudge) -> evaluation.Judged:
    """What a judge says of a folder of videos; what it said before is not asked again."""
    folder = run.videos(name)
    return evaluation.judge_videos(
        folder, folder / evaluation.INTENDED_NAME, judge.judge, out=run.out / "judged" / judge.key / name
    )


def _worth(run: Run, judge: NamedJudge) -> dict[str, Any]:
    """A judge on real stickers that it has not learnt from, as they are and after the VAE."""
    before, after = (_judged(run, f"real/{kind}", judge) for kind in ("as-they-are", "after-vae"))
    fitness = judge_fitness(after)
    return {
        "identity": judge.judge.identity,
        "title": judge.title,
        "as_they_are": evaluation.to_record(evaluation.score(before)),
        "held_out": evaluation.to_record(evaluation.score(after)),
        "held_out_of": "real stickers that it has not learnt from, after the generators' VAE",
        "commonest": fitness.commonest,
        "commonest_share": fitness.share,
        "unfit": fitness.is_unfit,
    }


def _compared(run: Run, task: str, judge: NamedJudge) -> dict[str, Any]:
    """Base against LoRA, and the base that is not told of the emotion against the LoRA."""
    base, lora, control = (
        _judged(run, name, judge) for name in (f"{task}/base", f"{task}/lora", f"control/{task}")
    )
    found = evaluation.to_record(evaluation.compare(base, lora))
    return found | {"control": evaluation.to_record(evaluation.compare(control, lora))}


def _wordings(run: Run, judge: NamedJudge) -> dict[str, Any]:
    """The LoRAs of both wordings on the same prompts and seeds, each also against the base so asked."""
    folders = {WORDING: "t2v", OTHER_WORDING: f"t2v-{OTHER_WORDING}"}
    judged = {
        (wording, model): _judged(run, f"{folder}/{model}", judge)
        for wording, folder in folders.items()
        for model in ("base", "lora")
    }
    paired = evaluation.compare(judged[OTHER_WORDING, "lora"], judged[WORDING, "lora"])
    return {
        "paired": evaluation.to_record(paired),
        **{
            wording: evaluation.to_record(
                evaluation.compare(judged[wording, "base"], judged[wording, "lora"])
            )
            for wording in folders
        },
    }
