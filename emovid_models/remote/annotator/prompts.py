"""What the annotator is asked, and the labels that it is scored on. Trained and asked with the same words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

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


def emotions_of(config: Any) -> tuple[str, ...]:
    """Names of the labels that a model was trained on, in order: the eight unless its settings name others.

    Args:
        config: the model's; its `taxonomy` is that of the data set.
    """
    taxonomy = getattr(config, "taxonomy", None)
    return EMOTIONS if taxonomy is None else tuple(label["name"] for label in taxonomy["labels"])


def emotion_question(emotions: Sequence[str]) -> str:
    """What is asked before the labels are scored.

    Args:
        emotions: names of the labels, in order.

    >>> emotion_question(["joy", "calm", "grief"])
    'Which emotion does this video convey? Answer with one word: joy, calm or grief.'
    """
    *others, last = emotions
    names = f"{', '.join(others)} or {last}" if others else last
    return f"Which emotion does this video convey? Answer with one word: {names}."


EMOTION_QUESTION = emotion_question(EMOTIONS)
"""What is asked of Mikels' eight."""


def offers_captions(config: Any) -> bool:
    """Whether a model writes captions worth reading; its `captions` says if it does not.

    Args:
        config: the model's.
    """
    return getattr(config, "captions", True) is not False


CAPTION_QUESTION = "Describe this video in one sentence."
"""What is asked before a caption is generated."""

NO_EMOTION = "no specific emotion"
"""What is said of a video where no emotion is likely enough; the paper's words, and a label sheet's."""

END_OF_TURN = "<|im_end|>"
"""What ends an answer."""
