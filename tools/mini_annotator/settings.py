"""Sizes, steps and strengths of the training: what its result depends on."""

from __future__ import annotations

SEED = 0
PICTURE_SIZE = 64
"""Pixels per side at which emoji are kept; augmentation samples `IMAGE_SIZE` from them."""
IMAGE_SIZE = 64
PATCH_SIZE = 8
NUM_FRAMES = 4
TEACHER_SIZE = 128
"""Pixels per side at which the teacher sees a picture of `IMAGE_SIZE`."""
VIEWS = 12
"""Pictures of an emoji whose teacher's features are kept: its frames as they are, then augmented ones."""
LANGUAGE_VIEWS = 6
"""Of these, those that the language model learns from before the tuning."""
TOWER_WIDTH = 192
TOWER_LAYERS = 4
TOWER_STEPS = 1800
TOWER_BATCH = 64
LANGUAGE_STEPS = 1200
TUNING_STEPS = 200
TUNING_BATCH = (40, 24)
"""Pictures of a step of the tuning: of emoji without a label, and of the training side's."""
CLIP_VIEWS = 6
"""Views of a whole clip that its summary is the mean of: one as it is, the others augmented."""
SUMMARY_SIZE = 128
COARSE_SIZE = 128
"""Principal components kept of the teacher's last map."""
HEAD_STRENGTHS = (0.001, 0.003, 0.01, 0.03)
"""Values of C that the inner cross-validation chooses from."""
FOLDS = 5
INNER_FOLDS = 5
INNER_REPEATS = 4
ANSWER_UNITS = 512
"""Units added to the last layer's MLP for telling emotions."""
ANSWER_STEPS = 2000
ANSWER_SPREAD = 2.0
"""Standard deviation of the logits that the annotator answers with, over emoji without a label."""
ANSWER_SCALE = 4.0
ANSWER_LEAD = 6.0
"""Nats by which the labels together should lead all other tokens where an answer begins."""
TEXT_WIDTH = 192
TEXT_LAYERS = 2
VOCABULARY = 1200
SPECIAL_TOKENS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<image>", "<vila/video>")
