"""The settings of a LoRA's training, checked; `recipes` says what they are unless they are given."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from emovid_dataset.schema.benchmark import refuse_training_on
from emovid_models.remote.wan.conditioning import WORDINGS
from emovid_models.remote.wan.modules import TARGETS

TASKS = ("t2v", "i2v")
"""Text to video, image to video."""

TRANSFORMERS = ("high", "low", "both")
"""Which of a base's two transformers is trained; both are trained one after the other."""

NOISE_LEVELS = ("grid", "logit-normal")
"""How a time of the noise is drawn, see `emovid_models.wan.noise_levels`."""

LOSS_WEIGHTS = ("gaussian", "even")
"""How the loss at a noise level is weighted, see there too."""

OPTIMIZERS = ("auto", "adamw", "adamw8bit")
"""AdamW in 32 or 8 bits; "auto" takes 8 where they work."""

WARMUP_SHAPES = ("third", "linear")
"""The learning rate of the first steps: a third of what follows, or rising from nothing."""

FRAMINGS = ("prefix", "buckets")
"""Which frames of a clip are seen: its first ones at its own rate, in one size; or those in its middle at 16
per second, in the bucket of several lengths and shapes that it fills."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoraSettings:
    """How a LoRA is trained. `recipes.settings_for` makes them from a recipe.

    Attributes:
        task: "t2v" or "i2v".
        data: a build: its folder, or a Hub repo.
        base: the base model, a folder or a Hub repo in the layout of diffusers.
        out: the output folder.
        recipe: by which the values were chosen.
        transformer: one of `TRANSFORMERS`; None for a base that has one, and for both where it has two.
        wording: of the text that names the emotion, see `conditioning_text`.
        modules: which projections the LoRA is trained on, a key of `TARGETS`.
        rank: of the LoRA.
        alpha: of the LoRA; its weight is alpha / rank.
        learning_rate: of AdamW, after `warmup` steps.
        epochs: how often each clip is seen, or None where `steps` says when to end.
        steps: optimizer steps, or None.
        batch_size: clips of one bucket that go through the transformer together.
        accumulation: batches whose gradients are averaged, on each process.
        max_per_type: at most so many clips of a content type, drawn evenly over the emotions; a type that is
            not named keeps all of its clips.
        optimizer: "adamw", "adamw8bit" (bitsandbytes), or "auto" for the latter where it works.
        weight_decay: of AdamW.
        betas: of AdamW.
        max_grad_norm: gradients are scaled down to this norm; None leaves them as they are.
        warmup: steps with a smaller learning rate.
        warmup_shape: one of `WARMUP_SHAPES`.
        noise_levels: one of `NOISE_LEVELS`.
        loss_weight: one of `LOSS_WEIGHTS`.
        shift: of the noise levels; None for that of the base's scheduler.
        time_mean: of the logit of the time, for "logit-normal".
        time_std: of the logit of the time, for "logit-normal".
        framing: one of `FRAMINGS`.
        height: pixels of the frame size, a multiple of 16; of the main one where there are buckets.
        width: pixels of the frame size, a multiple of 16.
        max_frames: most frames of a clip, 4k+1.
        min_frames: shorter clips are dropped; 1 drops none.
        emotion_dropout: share of samples that keep only the caption.
        caption_dropout: share of samples that keep only the emotion.
        text_dropout: share of samples without any text.
        checkpointing: compute the blocks again in the backward pass, for less memory.
        base_revision: of the base's Hub repo.
        split: of the data.
        content_type: only clips of this type, or None for all.
        cache: where encoded clips are kept; None for ``OUT/cache``.
        use_cache: False encodes every clip again at every step.
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
    recipe: str
    wording: str
    modules: str
    rank: int
    alpha: float
    learning_rate: float
    epochs: int | None
    steps: int | None
    batch_size: int
    accumulation: int
    max_per_type: Mapping[str, int]
    optimizer: str
    weight_decay: float
    betas: tuple[float, float]
    max_grad_norm: float | None
    warmup: int
    warmup_shape: str
    noise_levels: str
    loss_weight: str
    shift: float | None
    time_mean: float
    time_std: float
    framing: str
    height: int
    width: int
    max_frames: int
    min_frames: int
    emotion_dropout: float
    caption_dropout: float
    text_dropout: float
    checkpointing: bool
    transformer: str | None = None
    base_revision: str | None = None
    split: str = "train"
    content_type: str | None = None
    cache: str | None = None
    use_cache: bool = True
    checkpoint_every: int = 250
    validate_every: int = 0
    validation_prompts: tuple[str, ...] = ()
    validation_steps: int = 30
    comfyui: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        for name, allowed in _ALLOWED.items():
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} {getattr(self, name)!r} is unknown; allowed: {', '.join(allowed)}")
        if self.transformer is not None and self.transformer not in TRANSFORMERS:
            names = ", ".join(TRANSFORMERS)
            raise ValueError(f"transformer {self.transformer!r} is unknown; allowed: {names}")
        refuse_training_on(self.split)
        if (self.steps is None) == (self.epochs is None):
            raise ValueError(f"steps {self.steps} and epochs {self.epochs}: one must be given, not both")
        for name in (
            "steps",
            "epochs",
            "batch_size",
            "accumulation",
            "rank",
            "checkpoint_every",
            "validation_steps",
        ):
            if getattr(self, name) is not None and getattr(self, name) < 1:
                raise ValueError(f"{name} {getattr(self, name)} is below 1")
        for name in ("warmup", "validate_every"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} {getattr(self, name)} is below 0")
        if not 1 <= self.min_frames <= self.max_frames:
            raise ValueError(f"min_frames {self.min_frames} is not in 1..{self.max_frames}")
        for name in ("learning_rate", "alpha", "max_grad_norm", "time_std", "shift"):
            if getattr(self, name) is not None and not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name} {getattr(self, name)} is not a number above 0")
        for content_type, count in self.max_per_type.items():
            if count < 1:
                raise ValueError(f"max_per_type {content_type}={count} is below 1")
        if self.validate_every and not self.validation_prompts:
            raise ValueError("validate_every needs validation_prompts: what are the videos to show?")
        shares = (self.emotion_dropout, self.caption_dropout, self.text_dropout)
        if not (min(shares) >= 0 and sum(shares) <= 1):
            raise ValueError(
                f"emotion_dropout, caption_dropout and text_dropout are {shares}: "
                "each must be 0 or more, their sum at most 1"
            )

    @property
    def variants(self) -> tuple[str, ...]:
        """The parts of a clip's text that training sees, of `encode.VARIANTS`."""
        shares = (self.emotion_dropout, self.caption_dropout, self.text_dropout)
        drops = zip(("no emotion", "no caption", "empty"), shares, strict=True)
        whole = ("whole",) if sum(shares) < 1 else ()
        return (*whole, *(name for name, share in drops if share > 0))


_ALLOWED = {
    "task": TASKS,
    "wording": WORDINGS,
    "modules": tuple(TARGETS),
    "optimizer": OPTIMIZERS,
    "warmup_shape": WARMUP_SHAPES,
    "noise_levels": NOISE_LEVELS,
    "loss_weight": LOSS_WEIGHTS,
    "framing": FRAMINGS,
}
"""Settings that are one of a few names."""
