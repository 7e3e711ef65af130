"""Which clips a batch holds, and everything that is random about it.

All of it is a function of the seed and of the batch's number.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch

from emovid_models.wan.encode import VARIANTS, Bucket, Variant
from emovid_models.wan.lora_settings import LoraSettings
from emovid_models.wan.noise_levels import WHOLE, Span, draw_time
from emovid_models.wan.plan import BucketedClip, CachePlan


@dataclass(frozen=True, slots=True)
class Draw:
    """What is random about one sample of one step.

    Attributes:
        variant: which part of the text is kept.
        time: 0..1, not yet shifted.
        noise_seed: of the noise.
    """

    variant: Variant
    time: float
    noise_seed: int

    def noise(self, shape: tuple[int, ...] | torch.Size) -> torch.Tensor:
        """Standard normal noise, float32, the same on every device."""
        return torch.randn(shape, generator=torch.Generator().manual_seed(self.noise_seed))

    @classmethod
    def of(cls, settings: LoraSettings, batch: int, place: int, span: Span = WHOLE) -> Draw:
        """Draw for a place in a batch.

        Args:
            settings: seed, dropouts and distribution of the time.
            batch: number of the batch since the start of the run, over all processes.
            place: in the batch.
            span: of the times.
        """
        generator = np.random.default_rng([settings.seed, batch, place])
        shares = (settings.emotion_dropout, settings.caption_dropout, settings.text_dropout)
        variant = str(generator.choice(VARIANTS, p=[1 - sum(shares), *shares]))
        time = draw_time(generator, settings.noise_levels, settings.time_mean, settings.time_std, span)
        return cls(variant, time, int(generator.integers(1 << 62)))


class Batches:
    """Which clips are in which batch: every clip once an epoch, each batch from one bucket.

    Args:
        plan: the clips.
        batch_size: clips per batch; the last batch of a bucket may be smaller.
        seed: of the order.
        span: of the times that are drawn.
    """

    def __init__(self, plan: CachePlan, batch_size: int, seed: int, span: Span = WHOLE) -> None:
        self.plan, self.batch_size, self.seed, self.span = plan, batch_size, seed, span
        self.batches_per_epoch = sum(math.ceil(count / batch_size) for count in plan.buckets().values())
        self._epoch: tuple[int, list[list[BucketedClip]]] = (-1, [])

    def batch(self, number: int, settings: LoraSettings) -> tuple[list[BucketedClip], list[Draw]]:
        """The clips of a batch and what is drawn for them.

        Args:
            number: of the batch since the start of the run, over all processes.
            settings: for the draws.
        """
        epoch, place = divmod(number, self.batches_per_epoch)
        if epoch != self._epoch[0]:
            self._epoch = (epoch, self._order(epoch))
        items = self._epoch[1][place]
        return items, [Draw.of(settings, number, i, self.span) for i in range(len(items))]

    def _order(self, epoch: int) -> list[list[BucketedClip]]:
        generator = np.random.default_rng([self.seed, epoch])
        buckets: dict[Bucket, list[BucketedClip]] = {}
        for index in generator.permutation(len(self.plan.clips)):
            item = self.plan.clips[index]
            buckets.setdefault(item.bucket, []).append(item)
        batches = [
            items[first : first + self.batch_size]
            for _, items in sorted(buckets.items())
            for first in range(0, len(items), self.batch_size)
        ]
        return [batches[index] for index in generator.permutation(len(batches))]


def steps_of(settings: LoraSettings, batches_per_epoch: int, processes: int = 1) -> int:
    """The optimizer steps of a run: those that are asked for, or as many as its epochs take.

    Args:
        settings: say steps or epochs.
        batches_per_epoch: batches that hold every clip once.
        processes: each takes a batch at a time.
    """
    if settings.steps is not None:
        return settings.steps
    assert settings.epochs is not None
    return math.ceil(settings.epochs * batches_per_epoch / (settings.accumulation * processes))
