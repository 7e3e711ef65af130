"""From prompts to videos, with a record beside them of what each was to show and how it was made."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emovid_dataset.store import write_file
from emovid_dataset.terminal import Progress
from emovid_models.evaluation.intended import INTENDED_NAME, Intended, read_intended, write_intended
from emovid_models.evaluation.prompts import Prompt
from emovid_models.records import folder_identity

if TYPE_CHECKING:
    from emovid_models.wan.generate import Prompt as Order

GENERATION_NAME = "generation.json"
"""What the videos of a folder were generated with."""


def generate_videos(
    pipe: Any,
    prompts: Sequence[Prompt],
    folder: str | os.PathLike[str],
    *,
    model: str,
    seed: int = 0,
    intensity: float = 1.0,
    progress: bool = False,
    **options: Any,
) -> Path:
    """Generate the video of every prompt, and write beside them what each was to show.

    A scene has the same noise for every emotion and every model, so that only these differ.

    Args:
        pipe: from `emovid_models.wan.generate.load_pipeline`.
        prompts: unique ids; the video is called ``{id}.mp4``.
        folder: the videos of one model; those that are there are not made again.
        model: names base and LoRA so that others are told apart, such as `generator_identity` does.
        seed: of the first scene; the next distinct scene has the next seed.
        intensity: of the emotion; 0 is the base model.
        progress: show progress on stderr.
        **options: arguments of every call, such as `height`, `num_frames`, `num_inference_steps`.

    Returns:
        Path of the table of what was asked for.

    Raises:
        ValueError: the folder holds videos of another model or other settings, or an option does not work.
    """
    from emovid_models.wan.generate import generate

    folder = Path(folder)
    orders = plan_orders(prompts, folder, seed=seed, intensity=intensity)
    settings = json.dumps(
        {"model": model, "seed": seed, "intensity": intensity, **options}, indent=1, sort_keys=True
    )
    folder.mkdir(parents=True, exist_ok=True)
    record = folder / GENERATION_NAME
    if record.exists() and record.read_text(encoding="utf-8") != settings + "\n":
        raise ValueError(
            f"{folder} holds videos with other settings ({GENERATION_NAME}); choose another folder"
        )
    if not record.exists() and any(Path(order.out).exists() for order in orders):
        raise ValueError(f"{folder} holds videos without {GENERATION_NAME}; choose another folder")
    table = folder / INTENDED_NAME
    wanted = [
        Intended(f"{prompt.id}.mp4", prompt.emotion, prompt.prompt, order.seed)
        for prompt, order in zip(prompts, orders, strict=True)
    ]
    earlier = {row.file: row for row in read_intended(table)} if table.exists() else {}
    for row in wanted:
        if (folder / row.file).exists() and earlier.get(row.file, row) != row:
            raise ValueError(
                f"{folder / row.file} was made for another prompt or seed; choose another folder"
            )
    write_file(record, (settings + "\n").encode())
    write_intended(table, wanted)
    pipe.set_progress_bar_config(disable=True)  # of the steps of each video; ours counts the videos
    with Progress(len(orders), unit="videos", title="Generating", enabled=progress) as bar:
        for _ in generate(pipe, orders, **options):
            bar.update()
    return table


def plan_orders(
    prompts: Sequence[Prompt], folder: Path, *, seed: int = 0, intensity: float = 1.0
) -> list[Order]:
    """What the generator is asked for, prompt by prompt.

    Args:
        prompts: unique ids.
        folder: of the videos.
        seed: of the first scene; a scene is a text with its image.
        intensity: of the emotion.

    Returns:
        As long as `prompts`; the same scene has the same seed.
    """
    from emovid_models.wan.generate import Prompt as Order

    scenes: dict[tuple[str, str | None], int] = {}
    return [
        Order(
            prompt=prompt.prompt,
            emotion=prompt.emotion,
            intensity=intensity,
            content_type=prompt.content_type,
            image=prompt.image,
            seed=seed + scenes.setdefault((prompt.prompt, prompt.image), len(scenes)),
            out=str(folder / f"{prompt.id}.mp4"),
        )
        for prompt in prompts
    ]


def generator_identity(base: str | os.PathLike[str], pipe: Any, lora: str | os.PathLike[str] | None) -> str:
    """Names a base, and a LoRA on it, by their content.

    Args:
        base: a folder or a Hub repo.
        pipe: the loaded pipeline.
        lora: what was loaded on the base, or None.
    """
    folder = Path(base)
    if folder.is_dir():
        name = folder_identity(folder, [*folder.rglob("*.json"), *folder.rglob("*.safetensors")])
    else:
        name = f"{base}@{getattr(pipe.text_encoder.config, '_commit_hash', None)}"
    if lora is None:
        return name
    adapter = hashlib.sha256()
    for key, value in sorted(pipe.transformer.named_parameters()):
        if "lora_" in key:
            adapter.update(key.encode() + value.detach().cpu().float().numpy().tobytes())
    return f"{name}+{Path(lora).name}@{adapter.hexdigest()[:16]}"
