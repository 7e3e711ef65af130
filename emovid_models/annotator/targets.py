"""What a clip teaches the annotator: its one emotion, or how its raters were divided."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from emovid_dataset.schema.clip import Clip

TARGETS = ("auto", "hard", "soft")
"""What emotions are taught as: by default soft where people's votes are, and else hard."""


def is_soft(clip: Clip, targets: str) -> bool:
    """Whether a clip's `emotion_scores` are its target.

    With "auto" they are where more than one person chose them: then they say how far the clip is open to
    interpretation. What an annotator gave as probabilities, and what one person said, is taught as one
    emotion.

    Args:
        clip: of a build.
        targets: one of `TARGETS`.
    """
    if clip.emotion_scores is None or targets == "hard":
        return False
    return targets == "soft" or (clip.emotion_source == "human" and (clip.raters or 0) > 1)


def target_of(clip: Clip, targets: str) -> list[tuple[int, float]]:
    """The emotions that a clip teaches and the share of each; the shares sum to 1.

    Args:
        clip: of a build.
        targets: one of `TARGETS`.
    """
    scores = clip.emotion_scores
    if scores is None or not is_soft(clip, targets):
        return [(clip.label, 1.0)]
    total = sum(scores)
    return [(label, score / total) for label, score in enumerate(scores) if score > 0]


def effective_targets(clips: Sequence[Clip], targets: str) -> str:
    """What a way of teaching comes to for some clips: "hard" where none of them has a distribution."""
    return targets if any(is_soft(clip, targets) for clip in clips) else "hard"


def distributions_of(clips: Sequence[Clip], targets: str) -> np.ndarray:
    """The targets of clips as rows of shares, float64 [clips, emotions].

    Args:
        clips: at least one.
        targets: one of `TARGETS`.
    """
    found = np.zeros((len(clips), len(clips[0].taxonomy)))
    for place, clip in enumerate(clips):
        for label, share in target_of(clip, targets):
            found[place, label] = share
    return found
