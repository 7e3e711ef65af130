"""One optimizer step with clipped gradients, the learning rate of a step, and a module on a device."""

from __future__ import annotations

import math
from typing import TypeVar

import torch
from torch import nn

Module = TypeVar("Module", bound=nn.Module)


def take_step(optimizer: torch.optim.Optimizer, loss: torch.Tensor) -> None:
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_([p for group in optimizer.param_groups for p in group["params"]], 1.0)
    optimizer.step()


def set_rate(optimizer: torch.optim.Optimizer, peak: float, step: int, steps: int, warm_up: int = 20) -> None:
    for group in optimizer.param_groups:
        group["lr"] = peak * min(1, step / warm_up) * (0.5 + 0.5 * math.cos(math.pi * step / steps))


def on(device: torch.device, module: Module) -> Module:
    """The module, moved to a device; a transformers model hides the type of its own `to`."""
    nn.Module.to(module, device)
    return module
