"""The text that conditions Wan2.1 on an emotion, in one of two wordings.

Training, both pipelines and the evaluation call `conditioning_text`, so that a LoRA is always asked in the
words that it was trained with. This file travels with the pipelines as remote code and therefore imports
nothing of this package.

- ``paper``: the caption, then one sentence that names the emotion in quotes, as in EmoVid (Qiu et al.,
  AAAI 2026). It has no words for a style and none for a degree.
- ``mood``: this project's own. After the caption a sentence for the style, then one that explains the emotion
  in a few words and knows degrees.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping

WORDINGS = ("paper", "mood")
"""A wording never changes: another text for the same arguments needs another name, which a LoRA carries."""

DEFAULT_WORDING = "paper"
"""Of new LoRAs, and of a base without a LoRA."""

MOODS: dict[str, str] = {
    "amusement": "playful, funny and light-hearted",
    "awe": "vast, solemn and breathtaking",
    "contentment": "calm, warm and peaceful",
    "excitement": "energetic, thrilling and full of anticipation",
    "anger": "hostile, tense and furious",
    "disgust": "repulsive, sickening and unpleasant",
    "fear": "dark, threatening and frightening",
    "sadness": "sorrowful, lonely and subdued",
}
"""The eight emotions in the dataset's order, each with the words that explain it in the wording ``mood``."""

STYLES: dict[str, str] = {
    "cartoon": "A cartoon animation.",
    "movie": "A live-action movie scene.",
    "sticker": "An animated sticker on a plain background.",
}
"""The sentence that names each content type in the wording ``mood``."""


def conditioning_text(
    caption: str,
    emotion: str | None = None,
    content_type: str | None = None,
    intensity: float = 1.0,
    *,
    wording: str = DEFAULT_WORDING,
) -> str:
    """Say what is shown and with which emotion.

    Args:
        caption: what is shown; may be empty. Without anything to add it comes back as it is.
        emotion: one of the eight emotions, or None for a text without an emotion.
        content_type: "cartoon", "movie" or "sticker", or None for a text without a style; the wording
            ``paper`` has no words for it.
        intensity: 0 for a text without an emotion, 1 as in training. In the wording ``mood`` the emotion is
            called gentle below 0.5 and overwhelming from 1.5 up.
        wording: one of `WORDINGS`.

    Returns:
        The text for the text encoder.

    Raises:
        ValueError: an emotion, a content type, an intensity or a wording that is not allowed.

    >>> conditioning_text("A cat on a roof", "awe")
    'A cat on a roof. The video is in the "awe" emotion.'
    >>> conditioning_text("A cat!", "fear", "cartoon", intensity=2, wording="mood")
    'A cat! A cartoon animation. The mood is one of overwhelming fear: dark, threatening and frightening.'
    >>> conditioning_text("A cat on a roof")
    'A cat on a roof'
    """
    check_intensity(intensity)
    check_wording(wording)
    if content_type is not None and content_type not in STYLES:
        raise ValueError(f"content_type {content_type!r} is unknown; allowed: {', '.join(STYLES)}")
    name = None if emotion is None else _emotion_name(emotion)
    sentences = []
    if content_type is not None and wording == "mood":
        sentences.append(STYLES[content_type])
    if name is not None and intensity > 0:
        sentences.append(_paper(name) if wording == "paper" else _mood(name, intensity))
    if not sentences:
        return caption
    shown = caption.strip()
    if shown and shown[-1] not in ".!?…。！？":
        shown += "."
    return " ".join([shown, *sentences]) if shown else " ".join(sentences)


def fit_caption(
    caption: str, texts_of: Callable[[str], Iterable[str]], tokens_of: Callable[[str], int], limit: int
) -> str:
    """Shorten a caption at its end until what is made of it fits into the text encoder.

    The encoder cuts a text at its end, where the sentence of the emotion stands: with a long caption every
    emotion would give the same video.

    Args:
        caption: what is shown.
        texts_of: from a caption to the texts that are encoded.
        tokens_of: from a text to its number of tokens, with those that the tokenizer adds.
        limit: tokens that the encoder takes.

    Returns:
        The caption as it is where all texts fit, else its beginning, cut between words where there are any.

    >>> fit_caption("a b c d", lambda caption: [caption + " end"], lambda text: len(text.split()), 3)
    'a b'
    """

    def fits(length: int) -> bool:
        return all(tokens_of(text) <= limit for text in texts_of(caption[:length].rstrip()))

    if fits(len(caption)):
        return caption
    low, high = 0, len(caption)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    cut = caption[:low]
    if low and not caption[low].isspace() and any(map(str.isspace, cut)):
        cut = cut[: max(place for place, letter in enumerate(cut) if letter.isspace())]
    return cut.rstrip()


def _paper(name: str) -> str:
    return f'The video is in the "{name}" emotion.'


def _mood(name: str, intensity: float) -> str:
    degree = "gentle " if intensity < 0.5 else "overwhelming " if intensity >= 1.5 else ""
    return f"The mood is one of {degree}{name}: {MOODS[name]}."


def check_wording(wording: str) -> None:
    """Refuse a wording that is not one of `WORDINGS`.

    Raises:
        ValueError: it is another.
    """
    if wording not in WORDINGS:
        raise ValueError(f"wording {wording!r} is unknown; allowed: {', '.join(WORDINGS)}")


def emotion_weights(emotion: str | int | Mapping[str, float]) -> dict[str, float]:
    """Read one emotion or a blend of emotions.

    Args:
        emotion: a name, an index 0..7, or a mapping from names to weights above 0.

    Returns:
        Names and weights that sum to 1, in the order given.

    Raises:
        ValueError: a name is unknown or named twice, or a weight is not a positive number.

    >>> emotion_weights("Awe")
    {'awe': 1.0}
    >>> emotion_weights({"awe": 3, "fear": 1})
    {'awe': 0.75, 'fear': 0.25}
    """
    if not isinstance(emotion, Mapping):
        return {_emotion_name(emotion): 1.0}
    weights: dict[str, float] = {}
    for key, weight in emotion.items():
        name = _emotion_name(key)
        if name in weights:
            raise ValueError(f"emotion {name!r} is named twice in {dict(emotion)!r}")
        if isinstance(weight, bool) or not isinstance(weight, (int, float)) or not 0 < weight < math.inf:
            raise ValueError(f"emotion weight {weight!r} of {name!r} is not a number above 0")
        weights[name] = float(weight)
    if not weights:
        raise ValueError("emotion {} is empty; name at least one emotion")
    total = sum(weights.values())
    return {name: weight / total for name, weight in weights.items()}


def check_intensity(intensity: float) -> None:
    """Refuse an intensity that is not a number of 0 or more.

    Args:
        intensity: 0 for the base model, 1 as trained, more for more.

    Raises:
        ValueError: it is negative, infinite or not a number.
    """
    if (
        isinstance(intensity, bool)
        or not isinstance(intensity, (int, float))
        or not 0 <= intensity < math.inf
    ):
        raise ValueError(f"intensity {intensity!r} is not a number from 0 up")


def _emotion_name(value: object) -> str:
    names = list(MOODS)
    if isinstance(value, str) and value.strip().lower() in MOODS:
        return value.strip().lower()
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < len(names):
        return names[value]
    raise ValueError(f"emotion {value!r} is unknown; allowed: {', '.join(names)} or 0..{len(names) - 1}")
