"""Training stops where its numbers are no longer finite, before a checkpoint holds any of them."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch


class NotFiniteError(ValueError):
    """Training has run into values that are not finite; the message says at which step."""


def check_loss(loss: float, step: int) -> None:
    """Refuse a loss that is not a number or infinite.

    Args:
        loss: of the step.
        step: counted from 1.

    Raises:
        NotFiniteError: it is not finite.
    """
    if not math.isfinite(loss):
        raise NotFiniteError(
            f"the loss of step {step} is {loss}; training has stopped, and the last checkpoint is from "
            "before: lower the learning rate"
        )


def check_weights(weights: Mapping[str, torch.Tensor], step: int) -> None:
    """Refuse weights of which one is not a number or infinite.

    Args:
        weights: by name.
        step: after which they are about to be saved.

    Raises:
        NotFiniteError: one is not finite.
    """
    for name, weight in weights.items():
        if not torch.isfinite(weight).all():
            raise NotFiniteError(
                f"after step {step} {name} holds values that are not finite; training has stopped, and the "
                "last checkpoint is from before: lower the learning rate"
            )
