"""How a LoRA is trained unless an option says otherwise: the recipes ``paper`` and ``light``.

``paper`` is how EmoVid (Qiu et al., AAAI 2026) says that it was fine-tuned: "P" stands in its section on
fine-tuning, or for the wording in that on the benchmark. It names DiffSynth-Studio and its defaults, so what
it does not name is that trainer's for Wan2.1: "D" stands in modelscope/DiffSynth-Studio at fed7b18f, in
`diffsynth/diffusion` (`parsers.py`, `runner.py`, `loss.py`, `flow_match.py`, `training_module.py`), in
`diffsynth/core/data/operators.py`, or in the scripts for Wan2.1 in `examples/wanvideo/model_training/lora`.

=============  ==================================================================================  =====
setting        value                                                                               whose
=============  ==================================================================================  =====
rank, alpha    32, and alpha as large as the rank                                                  P, D
rate           1e-4                                                                                P
epochs         3; one epoch is every clip once. The example scripts say 5, and repeat their few    P
               clips 100 times (`dataset_repeat`, which is 1 by default)
batch          1 clip, no accumulation                                                             P
clips          at most 2,727 cartoon, 8,000 movie and 6,616 sticker                                P
wording        the caption, then the sentence with the emotion in quotes                           P
modules        q, k, v, o, ffn.0, ffn.2 of every block, for text and image to video alike          D
optimizer      AdamW, weight decay 0.01, betas 0.9 and 0.999, no clipping of gradients             D
schedule       a third of the rate for the first 5 steps, then all of it (torch's ConstantLR)      D
noise levels   uniform over 1,000 times, shift 5; the loss is weighted by a bell over them         D
size, length   832x480, at most 81 frames                                                          D
framing        the first 4n+1 frames at the clip's own rate; resized to cover, the middle cut out  D
memory         blocks computed again in the backward pass; bfloat16 on CUDA                        D
=============  ==================================================================================  =====

Which clips the paper chose is not known; drawing them evenly over the emotions is ours. Two things differ
from that trainer on purpose: the adapter itself is kept in float32, where it is bfloat16 there and a step of
1e-4 can vanish in rounding; and timesteps are not rounded, see `noise_levels`.

The modules leave out I2V's projections of image tokens (k_img, v_img; add_k_proj, add_v_proj in diffusers):
they are not among that trainer's defaults, and others report that such keys do not load into Wan2.2, which
has no such projections.

``light`` is this project's own recipe, made for small builds. It trains on the attention alone, projections
of image tokens included; cuts clips to buckets of several lengths and shapes at 16 frames per second; draws
noise levels from a logit-normal with the base's shift; drops parts of the text, so that guidance by the
emotion works; and asks in the wording ``mood``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from types import MappingProxyType
from typing import Any

from emovid_models.wan.lora_settings import LoraSettings

PAPER = "paper"
"""The recipe that is taken unless another is named."""

RECIPES: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        PAPER: MappingProxyType(
            {
                "wording": "paper",
                "modules": "attention-ffn",
                "rank": 32,
                "learning_rate": 1e-4,
                "epochs": 3,
                "steps": None,
                "batch_size": 1,
                "accumulation": 1,
                "max_per_type": {"cartoon": 2727, "movie": 8000, "sticker": 6616},
                "optimizer": "adamw",
                "weight_decay": 0.01,
                "betas": (0.9, 0.999),
                "max_grad_norm": None,
                "warmup": 5,
                "warmup_shape": "third",
                "noise_levels": "grid",
                "loss_weight": "gaussian",
                "shift": 5.0,
                "time_mean": 0.0,
                "time_std": 1.0,
                "framing": "prefix",
                "height": 480,
                "width": 832,
                "max_frames": 81,
                "min_frames": 1,
                "emotion_dropout": 0.0,
                "caption_dropout": 0.0,
                "text_dropout": 0.0,
                "checkpointing": True,
            }
        ),
        "light": MappingProxyType(
            {
                "wording": "mood",
                "modules": "attention",
                "rank": 32,
                "learning_rate": 1e-4,
                "epochs": None,
                "steps": 2000,
                "batch_size": 1,
                "accumulation": 1,
                "max_per_type": {},
                "optimizer": "auto",
                "weight_decay": 0.01,
                "betas": (0.9, 0.99),
                "max_grad_norm": 1.0,
                "warmup": 50,
                "warmup_shape": "linear",
                "noise_levels": "logit-normal",
                "loss_weight": "even",
                "shift": None,
                "time_mean": 0.0,
                "time_std": 1.0,
                "framing": "buckets",
                "height": 480,
                "width": 832,
                "max_frames": 81,
                "min_frames": 1,
                "emotion_dropout": 0.1,
                "caption_dropout": 0.1,
                "text_dropout": 0.1,
                "checkpointing": True,
            }
        ),
    }
)
"""The values of each recipe; a LoRA's alpha is its rank in both."""


def settings_for(recipe: str = PAPER, **given: Any) -> LoraSettings:
    """The settings of a recipe, and what is given in the place of its values.

    Args:
        recipe: a key of `RECIPES`.
        **given: fields of `LoraSettings`: task, data, base and out always; of the others those that are to
            differ. Steps take the place of epochs and the other way round.

    Returns:
        All settings.

    Raises:
        ValueError: the recipe is unknown, a value is not allowed, or both steps and epochs are given.
    """
    if recipe not in RECIPES:
        raise ValueError(f"recipe {recipe!r} is unknown; allowed: {', '.join(RECIPES)}")
    values = {**RECIPES[recipe], **given}
    if given.get("steps") is not None and given.get("epochs") is not None:
        raise ValueError(f"steps {given['steps']} and epochs {given['epochs']} exclude each other")
    for name, other in (("steps", "epochs"), ("epochs", "steps")):
        if given.get(name) is not None:
            values[other] = None
    return LoraSettings(**{"alpha": values["rank"], **values}, recipe=recipe)


def differences(settings: LoraSettings) -> dict[str, Any]:
    """Where settings differ from their recipe.

    Args:
        settings: of `settings_for`, or changed since.

    Returns:
        The differing fields with the values that are used.

    >>> where = {"task": "t2v", "data": "build", "base": "me/wan", "out": "lora"}
    >>> differences(settings_for("paper", **where))
    {}
    >>> differences(settings_for("paper", **where, rank=16, steps=500))
    {'rank': 16, 'epochs': None, 'steps': 500}
    """
    recipe = _as_json({"alpha": settings.rank, **RECIPES[settings.recipe]})
    used = _as_json(asdict(settings))
    return {name: used[name] for name, value in recipe.items() if used[name] != value}


def _as_json(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values as a file holds them: a pair of numbers is a list there."""
    read: dict[str, Any] = json.loads(json.dumps(values, allow_nan=False))
    return read
