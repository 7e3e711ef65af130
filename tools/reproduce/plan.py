"""The chain's stages: what each needs, which settings it reads, and whether it is done."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from emovid_models.miniature import ANNOTATOR_WEIGHTS
from tools.reproduce.run import Run


@dataclass(frozen=True, slots=True)
class Stage:
    """One step of the chain.

    Attributes:
        needs: stages whose outputs it reads.
        settings: names of the settings that it reads.
    """

    needs: tuple[str, ...]
    settings: tuple[str, ...]


_MODEL = ("seed", "threads", "size")
_VIDEOS = ("seed", "threads", "denoising", "guidance", "emotion_guidance")
_LORA = (*_MODEL, "lora_steps", "lora_batch", "lora_rank", "lora_rate", "emotion_dropout")
STAGES: dict[str, Stage] = {
    "data": Stage((), ("ratios", "emoji")),
    "vae": Stage(("data",), (*_MODEL, "vae", "vae_cuts")),
    "round-trip": Stage(("data", "vae"), ("threads",)),
    "base-t2v": Stage(("data", "vae"), (*_MODEL, "t2v", "flow_shift")),
    "base-i2v": Stage(("data", "vae", "base-t2v"), (*_MODEL, "i2v", "flow_shift")),
    "lora-t2v": Stage(("data", "base-t2v"), (*_LORA, "t2v_lora_steps", "t2v_caption_dropout")),
    "lora-t2v-mood": Stage(("data", "base-t2v"), (*_LORA, "t2v_lora_steps", "t2v_caption_dropout")),
    "lora-i2v": Stage(("data", "base-i2v"), _LORA),
    "generate-t2v": Stage(("base-t2v", "lora-t2v"), (*_VIDEOS, "t2v_prompts")),
    "generate-t2v-mood": Stage(("base-t2v", "lora-t2v-mood"), (*_VIDEOS, "t2v_prompts")),
    "generate-i2v": Stage(("data", "base-i2v", "lora-i2v"), (*_VIDEOS, "i2v_videos")),
    "controls": Stage(("data", "base-t2v", "base-i2v"), (*_VIDEOS, "t2v_prompts", "i2v_videos")),
    "ablation": Stage(("base-t2v", "lora-t2v"), (*_VIDEOS, "ablation_prompts")),
    "judge": Stage(
        ("round-trip", "generate-t2v", "generate-t2v-mood", "generate-i2v", "controls", "ablation"), ()
    ),
    "table": Stage(("judge",), ()),
    "pages": Stage(("round-trip", "generate-t2v", "generate-i2v", "controls", "judge"), ()),
}


def chain(name: str) -> list[str]:
    """A stage and everything that it needs, in order; "all" for every stage."""
    wanted = set(STAGES) if name == "all" else {name}
    for stage in reversed(STAGES):
        if stage in wanted:
            wanted.update(STAGES[stage].needs)
    return [stage for stage in STAGES if stage in wanted]


def read_records(run: Run) -> dict[str, dict[str, Any]]:
    """The records of the stages that have run, by name."""
    paths = {name: run.out / "stages" / f"{name}.json" for name in STAGES}
    return {name: json.loads(path.read_text()) for name, path in paths.items() if path.exists()}


def digest(paths: list[Path]) -> str:
    """sha256 of files and of all files in folders, by name and content."""
    whole = hashlib.sha256()
    for path in paths:
        files = sorted(path.rglob("*")) if path.is_dir() else [path]
        for file in files:
            if file.is_file():
                whole.update(f"{file.name} {file.stat().st_size} ".encode() + file.read_bytes())
    return whole.hexdigest()


def inputs_of(run: Run, name: str) -> str:
    """Hash of a stage's settings and inputs; the annotator is an input of the judging."""
    stage = STAGES[name]
    records = read_records(run)
    parts: dict[str, Any] = {key: asdict(run.settings)[key] for key in stage.settings}
    parts |= {need: records.get(need, {}).get("output") for need in stage.needs}
    if name == "judge":
        parts["annotator"] = digest(sorted(ANNOTATOR_WEIGHTS.glob("*.safetensors")))
    return hashlib.sha256(json.dumps(parts, sort_keys=True, allow_nan=False).encode()).hexdigest()


def is_done(run: Run, name: str) -> bool:
    """Whether the stage has a record, of these settings and inputs."""
    record = read_records(run).get(name)
    return record is not None and record["inputs"] == inputs_of(run, name)
