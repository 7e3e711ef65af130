"""How a LoRA is trained: every setting, checked."""

from __future__ import annotations

import math
from dataclasses import dataclass

from emovid_models.remote.wan.conditioning import DEFAULT_WORDING, check_wording

TASKS = ("t2v", "i2v")
"""Text to video, image to video."""

OPTIMIZERS = ("auto", "adamw", "adamw8bit")
"""AdamW in 32 or 8 bits; "auto" takes 8 where they work."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoraSettings:
    """How a LoRA is trained.

    Attributes:
        task: "t2v" or "i2v".
        data: a build: its folder, or a Hub repo.
        base: the base model, a folder or a Hub repo in the layout of diffusers.
        out: the output folder.
        base_revision: of the base's Hub repo.
        split: of the data.
        content_type: only clips of this type, or None for all.
        wording: of the text that names the emotion, see `conditioning_text`.
        cache: where encoded clips are kept; None for ``OUT/cache``.
        use_cache: False encodes every clip again at every step.
        steps: optimizer steps.
        batch_size: clips of one bucket that go through the transformer together.
        accumulation: batches whose gradients are averaged, on each process.
        learning_rate: of AdamW, after `warmup` steps of rising.
        warmup: steps.
        weight_decay: of AdamW.
        max_grad_norm: gradients are scaled down to this norm.
        rank: of the LoRA.
        alpha: of the LoRA; its weight is alpha / rank.
        height: pixels of the main frame size, a multiple of 16.
        width: pixels of the main frame size, a multiple of 16.
        max_frames: longest bucket, 4k+1.
        min_frames: shorter clips are dropped; 1 drops none.
        emotion_dropout: share of samples that keep only the caption.
        caption_dropout: share of samples that keep only the emotion.
        text_dropout: share of samples without any text.
        time_mean: of the logit of the time.
        time_std: of the logit of the time.
        checkpointing: compute the blocks again in the backward pass, for less memory.
        optimizer: "adamw", "adamw8bit" (bitsandbytes), or "auto" for the latter where it works.
        checkpoint_every: steps between checkpoints.
        validate_every: steps between validation videos; 0 makes none.
        validation_prompts: what the validation videos show, each with an emotion in turn.
        validation_steps: denoising steps of a validation video.
        comfyui: also write the LoRA under ComfyUI's names.
        seed: of everything random.
    """

    task: str
    data: str
    base: str
    out: str
    base_revision: str | None = None
    split: str = "train"
    content_type: str | None = None
    wording: str = DEFAULT_WORDING
    cache: str | None = None
    use_cache: bool = True
    steps: int = 2000
    batch_size: int = 1
    accumulation: int = 1
    learning_rate: float = 1e-4
    warmup: int = 50
    weight_decay: float = 0.01
    max_grad_norm: float = 1.0
    rank: int = 32
    alpha: float = 32
    height: int = 480
    width: int = 832
    max_frames: int = 81
    min_frames: int = 1
    emotion_dropout: float = 0.1
    caption_dropout: float = 0.1
    text_dropout: float = 0.1
    time_mean: float = 0.0
    time_std: float = 1.0
    checkpointing: bool = True
    optimizer: str = "auto"
    checkpoint_every: int = 250
    validate_every: int = 0
    validation_prompts: tuple[str, ...] = ()
    validation_steps: int = 30
    comfyui: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        if self.task not in TASKS:
            raise ValueError(f"task {self.task!r} is unknown; allowed: {', '.join(TASKS)}")
        check_wording(self.wording)
        if self.optimizer not in OPTIMIZERS:
            raise ValueError(f"optimizer {self.optimizer!r} is unknown; allowed: {', '.join(OPTIMIZERS)}")
        for name in ("steps", "batch_size", "accumulation", "rank", "checkpoint_every", "validation_steps"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} {getattr(self, name)} is below 1")
        for name in ("warmup", "validate_every"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} {getattr(self, name)} is below 0")
        if not 1 <= self.min_frames <= self.max_frames:
            raise ValueError(f"min_frames {self.min_frames} is not in 1..{self.max_frames}")
        for name in ("learning_rate", "alpha", "max_grad_norm", "time_std"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name} {getattr(self, name)} is not a number above 0")
        if self.validate_every and not self.validation_prompts:
            raise ValueError("validate_every needs validation_prompts: what are the videos to show?")
        shares = (self.emotion_dropout, self.caption_dropout, self.text_dropout)
        if not (min(shares) >= 0 and sum(shares) <= 1):
            raise ValueError(
                f"emotion_dropout, caption_dropout and text_dropout are {shares}: "
                "each must be 0 or more, their sum at most 1"
            )
