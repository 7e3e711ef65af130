"""What the paper says of its own corpus, to stand beside the figures of a build.

Source: Qiu, Wang, Chen, He and Wang, "EmoVid", AAAI 2026. Only what the text states in numbers or words is
here; nothing is read off its figures. Its corpus is not the one that a page describes.
"""

from __future__ import annotations

CLIPS: dict[str, int] = {"all": 22758, "cartoon": 2807, "movie": 13255, "sticker": 6696}
"""Clips by content type; the paper's "animation" is "cartoon" here."""

STAYING: dict[str, float] = {"fear": 0.53, "anger": 0.46, "amusement": 0.46}
"""Probability of an emotion after itself, of those that the text names."""

WITHIN: tuple[float, float] = (0.08, 0.18)
"""Range of the probabilities of another emotion of the same valence."""

ACROSS: float = 0.08
"""The probabilities of an emotion of the other valence lie below."""

ETA_SQUARED: float = 0.01
"""Eta squared of brightness, colorfulness and hue by emotion lies below, over all content types."""

P: float = 0.01
"""The p-values of the three lie below."""
