"""Sizes, steps and strengths of the training: what its result depends on."""

from __future__ import annotations

SEED = 0
PICTURE_SIZE = 64
"""Pixels per side at which emoji are kept; augmentation samples `IMAGE_SIZE` from them."""
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
"""Views of an emoji whose features are kept: one as it is, the others augmented."""
STICKER_VIEWS = 6
SUMMARY_SIZE = 96
RIDGE = 0.5
SOFTNESS = 0.12
"""The kernel ridge regression's answers, shares of certainty, are divided by this to give logits."""
ANSWER_UNITS = 512
"""Units added to the last layer's MLP for telling emotions."""
ANSWER_STEPS = 2500
ANSWER_SCALE = 4.0
ANSWER_LEAD = 6.0
"""Nats by which the labels together should lead all other tokens where an answer begins."""
TEXT_WIDTH = 192
TEXT_LAYERS = 2
VOCABULARY = 1200
SPECIAL_TOKENS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<image>", "<vila/video>")
