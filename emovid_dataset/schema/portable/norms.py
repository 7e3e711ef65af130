"""Valence and arousal of the emotions' words, and what probabilities of the emotions make of them."""

from __future__ import annotations

from collections.abc import Mapping

WARRINER: dict[str, tuple[float, float]] = {
    "amusement": (7.00, 4.82),
    "awe": (6.85, 3.83),
    "contentment": (6.62, 4.60),
    "excitement": (7.62, 6.21),
    "anger": (2.50, 5.93),
    "disgust": (3.32, 5.00),
    "fear": (2.93, 6.14),
    "sadness": (2.40, 2.81),
}
"""Mean valence and arousal of a word on scales of 1..9, 5 the middle.

Source: A. B. Warriner, V. Kuperman and M. Brysbaert, "Norms of valence, arousal, and dominance for 13,915
English lemmas", Behavior Research Methods 45, 2013: the columns V.Mean.Sum and A.Mean.Sum.
"""

MIDDLE = 5.0
"""Middle of both scales."""


def expected_norms(probabilities: Mapping[str, float]) -> tuple[float, float] | None:
    """Valence and arousal that are expected under probabilities of the emotions.

    Args:
        probabilities: of each emotion by its name, sum 1.

    Returns:
        Mean valence and mean arousal, each 1..9; None where a word's norm is not known.

    >>> expected_norms({"excitement": 0.5, "sadness": 0.5})
    (5.01, 4.51)
    """
    if not probabilities.keys() <= WARRINER.keys():
        return None
    valence, arousal = (
        sum(share * WARRINER[emotion][scale] for emotion, share in probabilities.items()) for scale in (0, 1)
    )
    return valence, arousal
