"""The optimizer steps that all parts take: learning rate, checkpoints, and random numbers by step."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers.training_utils import EMAModel

from emovid_dataset.terminal import Progress


def training_device() -> torch.device:
    """Where a part is trained: on CUDA where there is some, else on the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def move(module: torch.nn.Module, device: torch.device) -> None:
    """Move a part to a device, in place."""
    module.to(device)


def training_dtype() -> torch.dtype:
    """What the parts compute in: bfloat16 on CUDA and on processors that have it; elsewhere it is slower."""
    if training_device().type == "cuda":
        return torch.bfloat16
    has = torch.cpu.get_capabilities()
    return torch.bfloat16 if has.get("avx512_bf16") or has.get("amx_bf16") else torch.float32


def half_precision(*, cache_enabled: bool = True) -> torch.autocast:
    """Automatic casts to `training_dtype`.

    Args:
        cache_enabled: keep the cast weights of a step; not for weights that train inside.
    """
    return torch.autocast(
        training_device().type,
        torch.bfloat16,
        enabled=training_dtype() == torch.bfloat16,
        cache_enabled=cache_enabled,
    )


def training_device_name() -> str:
    """The device and what it computes in, for records.

    >>> training_device_name().rpartition(", ")[2] in ("bfloat16", "float32")
    True
    """
    name = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"
    return f"{name}, {str(training_dtype()).removeprefix('torch.')}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """How long and how fast a part is trained.

    Attributes:
        steps: optimizer steps.
        batch_size: clips per step.
        learning_rate: at its peak; it rises over `warmup` steps and falls along a cosine to a twentieth.
        image_share: share of the steps, the first ones, that see first frames only, four times as many.
        warmup: steps.
        checkpoint_every: steps.
    """

    steps: int
    batch_size: int
    learning_rate: float
    image_share: float = 0.0
    warmup: int = 50
    checkpoint_every: int = 200

    def rate(self, step: int) -> float:
        """Learning rate of a step."""
        rise = min(1.0, (step + 1) / max(1, self.warmup))
        fall = 0.5 * (1 + math.cos(math.pi * step / self.steps))
        return self.learning_rate * rise * (0.05 + 0.95 * fall)


def train(
    name: str,
    module: torch.nn.Module,
    schedule: Schedule,
    loss_of: Callable[[int], torch.Tensor],
    checkpoint: Path,
    *,
    ema: EMAModel | None = None,
) -> None:
    """Take the optimizer steps of one part, resuming from its checkpoint if there is one.

    Args:
        name: for the progress line.
        module: what is trained.
        schedule: how long and how fast.
        loss_of: the loss of a step, a function of the step's number.
        checkpoint: file that holds weights and optimizer between checkpoints.
        ema: a running average of the weights.
    """
    optimizer = torch.optim.AdamW(module.parameters(), lr=0, betas=(0.9, 0.98), weight_decay=0.01)
    start = 0
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True, map_location="cpu")
        start = state["step"]
        module.load_state_dict(state["module"])
        optimizer.load_state_dict(state["optimizer"])
        if ema is not None:
            ema.shadow_params = [
                average.to(shadow.device)
                for average, shadow in zip(state["ema"], ema.shadow_params, strict=True)
            ]
            ema.optimization_step = start
    module.train()
    recent: list[torch.Tensor] = []
    with Progress(schedule.steps - start, unit="steps", title=name) as progress:
        for step in range(start, schedule.steps):
            for group in optimizer.param_groups:
                group["lr"] = schedule.rate(step)
            loss = loss_of(step)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(module.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            if ema is not None:
                ema.step(module.parameters())
            recent.append(loss.detach())
            done = step + 1
            if done % 50 == 0 or done == schedule.steps:
                print(f"{name} step {done}: loss {torch.stack(recent).mean().item():.4f}", flush=True)
                recent = []
            if done % schedule.checkpoint_every == 0 or done == schedule.steps:
                state = {"step": done, "module": module.state_dict(), "optimizer": optimizer.state_dict()}
                if ema is not None:
                    state["ema"] = ema.shadow_params
                part = checkpoint.with_name(f".{checkpoint.name}.part")
                torch.save(state, part)
                os.replace(part, checkpoint)
            progress.update()
    module.eval()


def generator_of(seed: int, step: int) -> np.random.Generator:
    """The random numbers of a step; torch is seeded from them too."""
    generator = np.random.default_rng([seed, step])
    torch.manual_seed(int(generator.integers(1 << 62)))
    return generator
