"""From prompts to videos, with a record beside them of what each was to show and how it was made."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from emovid_dataset.engine import Executor
from emovid_dataset.store import Store, joined, without_credentials
from emovid_models.evaluation.intended import INTENDED_NAME, Intended, read_intended, write_intended
from emovid_models.evaluation.prompts import Prompt
from emovid_models.wan.generate import Order, generate
from emovid_models.wan.loading import PipelineSource

if TYPE_CHECKING:
    from emovid_models.wan.loading import Pipeline

GENERATION_NAME = "generation.json"
"""What the videos of a folder were generated with."""


def generate_videos(
    pipe: PipelineSource | Pipeline,
    prompts: Sequence[Prompt],
    folder: str | os.PathLike[str],
    *,
    model: str,
    seed: int = 0,
    intensity: float = 1.0,
    wording: str | None = None,
    engine: Executor | None = None,
    progress: bool = False,
    **options: Any,
) -> str:
    """Generate the video of every prompt, and write beside them what each was to show.

    A scene has the same noise for every emotion and every model, so that only these differ.

    Args:
        pipe: where workers load it from; or a loaded one, for use in this process only.
        prompts: unique ids; the video is called ``{id}.mp4``.
        folder: path or URL of the videos of one model; those that are there are not made again.
        model: names base and LoRA by what they hold, see `PipelineSource.identity`.
        seed: of the first scene; the next distinct scene has the next seed.
        intensity: of the emotion; 0 is the base model.
        wording: of the texts, see `conditioning_text`; None for the LoRA's, and "paper" without one.
        engine: who generates, by default this process.
        progress: show progress on stderr.
        **options: arguments of every call, such as `height`, `num_frames`, `num_inference_steps`.

    Returns:
        Path or URL of the table of what was asked for.

    Raises:
        ValueError: the folder holds videos of another model or other settings, or an option does not work.
        StageError, OSError: a pipeline cannot be loaded, or a video cannot be made.
    """
    store = Store.at(folder)
    shown = without_credentials(os.fspath(folder))
    orders = plan_orders(prompts, seed=seed, intensity=intensity)
    options["wording"] = pipe.wording_of(wording)
    made_with = {"model": model, "seed": seed, "intensity": intensity, **options}
    settings = (json.dumps(made_with, indent=1, sort_keys=True, allow_nan=False) + "\n").encode()
    if store.exists(GENERATION_NAME):
        # A run that could not load its model has left this file and no videos.
        if store.read(GENERATION_NAME) != settings and _holds_videos(store):
            raise ValueError(
                f"{shown} holds videos with other settings ({GENERATION_NAME}); choose another folder"
            )
    elif any(store.exists(order.out) for order in orders):
        raise ValueError(f"{shown} holds videos without {GENERATION_NAME}; choose another folder")
    table = joined(folder, INTENDED_NAME)
    wanted = [
        Intended(order.out, prompt.emotion, prompt.prompt, order.seed)
        for prompt, order in zip(prompts, orders, strict=True)
    ]
    earlier = {row.file: row for row in read_intended(table)} if store.exists(INTENDED_NAME) else {}
    for row in wanted:
        if earlier.get(row.file, row) != row and store.exists(row.file):
            raise ValueError(
                f"{joined(shown, row.file)} was made for another prompt or seed; choose another folder"
            )
    store.put(GENERATION_NAME, settings)
    write_intended(table, wanted)
    generate(pipe, orders, store, model=model, engine=engine, progress=progress, **options)
    return table


def _holds_videos(store: Store) -> bool:
    return any(name.endswith(".mp4") for name in store.list())


def plan_orders(prompts: Sequence[Prompt], *, seed: int = 0, intensity: float = 1.0) -> list[Order]:
    """What the generator is asked for, prompt by prompt.

    Args:
        prompts: unique ids.
        seed: of the first scene; a scene is a text with its image.
        intensity: of the emotion.

    Returns:
        As long as `prompts`; the same scene has the same seed, unless a prompt has its own.
    """
    scenes: dict[tuple[str, str | None], int] = {}
    orders = []
    for prompt in prompts:
        scene = scenes.setdefault((prompt.prompt, prompt.image), len(scenes))
        orders.append(
            Order(
                prompt=prompt.prompt,
                emotion=prompt.emotion,
                intensity=intensity,
                content_type=prompt.content_type,
                image=prompt.image,
                seed=seed + scene if prompt.seed is None else prompt.seed,
                out=f"{prompt.id}.mp4",
            )
        )
    return orders
