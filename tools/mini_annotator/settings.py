"""Sizes, steps and strengths of the training: what its result depends on."""

from __future__ import annotations

SEED = 0
PICTURE_SIZE = 64
"""Pixels of a side as emoji are kept; augmentation then samples `IMAGE_SIZE` from it."""
IMAGE_SIZE = 64
PATCH_SIZE = 8
NUM_FRAMES = 4
TEACHER_STEPS = 1500
TEACHER_SEEDS = (0,)
TEACHER_BATCH = 128
TEACHER_WIDTH = 24
TOWER_STEPS = 2600
TOWER_BATCH = 64
CAPTION_STEPS = 2100
TUNING_STEPS = 250
EMOJI_VIEWS = 3
"""Views of an emoji whose features are kept: as it is, and augmented ones."""
STICKER_VIEWS = 6
SUMMARY_SIZE = 96
RIDGE = 0.5
SOFTNESS = 0.12
"""What the answers of the kernel ridge regression, in shares of certainty, are divided by to be logits."""
ANSWER_UNITS = 512
"""Units that the last layer's MLP gets for telling emotions."""
ANSWER_STEPS = 2500
ANSWER_SCALE = 4.0
ANSWER_LEAD = 6.0
"""Nats by which the labels together are to lead over all other tokens where an answer begins."""
TEXT_WIDTH = 192
TEXT_LAYERS = 2
VOCABULARY = 1200
SPECIAL_TOKENS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<image>", "<vila/video>")
