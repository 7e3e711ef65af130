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
    Emotion("amusement", "playful, funny and light-hearted", "#b0883a", "#917702"),
    Emotion("awe", "vast, solemn and breathtaking", "#4297a6", "#62b2be"),
    Emotion("contentment", "calm, warm and peaceful", "#117965", "#19766a"),
    Emotion("excitement", "energetic, thrilling and full of anticipation", "#de487d", "#d91d7a"),
    Emotion("anger", "hostile, tense and furious", "#7a2a2a", "#c67f72"),
    Emotion("disgust", "repulsive, sickening and unpleasant", "#5e6d01", "#9ca731"),
    Emotion("fear", "dark, threatening and frightening", "#5e3a78", "#8649c7"),
    Emotion("sadness", "sorrowful, lonely and subdued", "#5e6ae9", "#7183b7"),
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
