"""The optimizer of a LoRA, and its learning rate from step to step."""

from __future__ import annotations

from typing import Any

import torch

from emovid_models.wan.lora_settings import LoraSettings


def learning_rate(settings: LoraSettings, step: int) -> float:
    """The learning rate of a step.

    Args:
        settings: rate, warmup and its shape.
        step: from 0.
    """
    if step >= settings.warmup:
        return settings.learning_rate
    share = 1 / 3 if settings.warmup_shape == "third" else (step + 1) / settings.warmup
    return settings.learning_rate * share


def make_optimizer(settings: LoraSettings, parameters: list[torch.nn.Parameter]) -> torch.optim.Optimizer:
    """AdamW, in 8 bits where that is asked for or possible.

    Raises:
        ValueError: 8 bits are asked for and bitsandbytes is not installed.
    """
    options: dict[str, Any] = {
        "lr": settings.learning_rate,
        "betas": settings.betas,
        "weight_decay": settings.weight_decay,
    }
    if settings.optimizer != "adamw" and (settings.optimizer == "adamw8bit" or torch.cuda.is_available()):
        try:
            from bitsandbytes.optim import AdamW8bit
        except ImportError as error:
            if settings.optimizer == "adamw8bit":
                raise ValueError(
                    "optimizer adamw8bit needs bitsandbytes; pip install bitsandbytes"
                ) from error
        else:
            return AdamW8bit(parameters, **options)
    return torch.optim.AdamW(parameters, **options)
