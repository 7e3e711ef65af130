"""Mikels' eight emotions as the page shows them: names, colours, and the words of a mood."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Emotion:
    """One of the eight.

    Attributes:
        name: lower case.
        mood: what it looks like, in the words that condition the generator.
        light: colour on a light page; any two differ also to colour-blind eyes.
        dark: colour on a dark page.
    """

    name: str
    mood: str
    light: str
    dark: str


EMOTIONS: tuple[Emotion, ...] = (
    Emotion("amusement", "playful, funny and light-hearted", "#b0883a", "#c8a712"),
    Emotion("awe", "vast, solemn and breathtaking", "#4297a6", "#5bf6f5"),
    Emotion("contentment", "calm, warm and peaceful", "#117965", "#71bbaf"),
    Emotion("excitement", "energetic, thrilling and full of anticipation", "#de487d", "#a94d71"),
    Emotion("anger", "hostile, tense and furious", "#7a2a2a", "#e16f6f"),
    Emotion("disgust", "repulsive, sickening and unpleasant", "#5e6d01", "#def765"),
    Emotion("fear", "dark, threatening and frightening", "#5e3a78", "#ba8aef"),
    Emotion("sadness", "sorrowful, lonely and subdued", "#5e6ae9", "#4968c8"),
)
"""In the dataset's order: the first four are positive, the last four negative."""

NAMES: tuple[str, ...] = tuple(emotion.name for emotion in EMOTIONS)
VALENCES: tuple[str, str] = ("positive", "negative")
CONTENT_TYPES: tuple[str, ...] = ("cartoon", "movie", "sticker")


def valence(name: str) -> str:
    """Valence of an emotion.

    >>> valence("awe"), valence("fear")
    ('positive', 'negative')
    """
    return VALENCES[NAMES.index(name) // 4]
