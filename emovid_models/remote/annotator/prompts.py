"""What the annotator is asked, and the labels that it is scored on. Trained and asked with the same words."""

from __future__ import annotations

EMOTIONS: tuple[str, ...] = (
    "amusement",
    "awe",
    "contentment",
    "excitement",
    "anger",
    "disgust",
    "fear",
    "sadness",
)
"""The labels, in EmoVid's order. Repeated here because this file also works where no emovid is installed."""

EMOTION_QUESTION = (
    "Which emotion does this video convey? Answer with one word: amusement, awe, contentment, excitement, "
    "anger, disgust, fear or sadness."
)
"""What is asked before the labels are scored."""

CAPTION_QUESTION = "Describe this video in one sentence."
"""What is asked before a caption is generated."""

END_OF_TURN = "<|im_end|>"
"""What ends an answer."""
