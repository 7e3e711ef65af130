"""How an annotator is fine-tuned: every setting, checked."""

from __future__ import annotations

import math
from dataclasses import dataclass

from emovid_models.annotator.targets import TARGETS


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingConfig:
    """How to train.

    Attributes:
        method: "lora" or "full".
        epochs: at most this many; the learning rate falls to zero over them, whether it stops early or not.
        batch_size: conversations per device and step.
        accumulate: steps whose gradients are added up.
        learning_rate: peak; by default 1e-4 for LoRA and 2e-5 for all weights.
        rank: of the LoRA; alpha is twice that.
        seed: of weights, order and augmentation.
        patience: evaluations without a better macro recall until training stops.
        gradient_checkpointing: less memory, more time.
        train_tower: train the vision tower too ("full" only).
        caption: whether captions are taught too.
        targets: what emotions are taught as: "hard" (the clip's emotion), "soft" (its `emotion_scores`, where
            it has them), or "auto" (these where more than one person rated the clip).
    """

    method: str = "lora"
    epochs: float = 6.0
    batch_size: int = 4
    accumulate: int = 1
    learning_rate: float | None = None
    rank: int = 16
    seed: int = 0
    patience: int = 2
    gradient_checkpointing: bool = False
    train_tower: bool = False
    caption: bool = True
    targets: str = "auto"

    def __post_init__(self) -> None:
        if self.method not in ("lora", "full"):
            raise ValueError(f"method is {self.method!r}; allowed: lora, full")
        if self.targets not in TARGETS:
            raise ValueError(f"targets is {self.targets!r}; allowed: {', '.join(TARGETS)}")
        for name in ("batch_size", "accumulate", "rank", "patience"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}, not at least 1")
        if not (self.epochs > 0 and math.isfinite(self.epochs)):
            raise ValueError(f"epochs is {self.epochs}, not above 0")
        if not 0 < self.peak < math.inf:
            raise ValueError(f"learning_rate is {self.learning_rate}, not above 0")
        if self.train_tower and self.method != "full":
            raise ValueError("train_tower needs method full")

    @property
    def peak(self) -> float:
        """The peak of the learning rate."""
        default = 1e-4 if self.method == "lora" else 2e-5
        return default if self.learning_rate is None else self.learning_rate
