"""What each emotion means, as the page explains it, and what it may look like on a screen.

The eight are those of Mikels, Fredrickson, Larkin, Lindberg, Maglio & Reuter-Lorenz (2005), "Emotional
category data on images from the International Affective Picture System", Behavior Research Methods 37,
626-630. The sentences are our own.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from emovid_dataset.schema.taxonomy import Taxonomy

SOURCE = (
    "The eight emotions are those of Mikels et al. (2005), Behavior Research Methods 37, 626–630; "
    "the explanations are EmoVid's."
)
_MOST_CHARACTERS = 600


@dataclass(frozen=True, slots=True)
class Definition:
    """What an emotion means.

    Attributes:
        meaning: one or two sentences.
        examples: what a clip may show, or empty.
    """

    meaning: str
    examples: str = ""


MIKELS_DEFINITIONS: Mapping[str, Definition] = {
    "amusement": Definition(
        "The clip is funny: it makes you smile or laugh, or shows somebody who does.",
        "a pratfall, a silly face, a joke that lands, an animal's antics",
    ),
    "awe": Definition(
        "Something is so vast, beautiful or extraordinary that you stop and marvel.",
        "a starry sky, a towering wave, a cathedral, an astonishing feat",
    ),
    "contentment": Definition(
        "Calm, quiet pleasure: all is well and nothing more is wanted.",
        "a cat asleep in the sun, a gentle embrace, a cup of tea, a peaceful meadow",
    ),
    "excitement": Definition(
        "Lively, high-energy joy or eager suspense: something thrilling happens or is about to.",
        "a winning goal, a dance, fireworks, a wild ride that is fun",
    ),
    "anger": Definition(
        "Rage, annoyance or indignation at somebody or something, shown or stirred in you.",
        "shouting, a clenched fist, a door that is slammed, an injustice",
    ),
    "disgust": Definition(
        "Revulsion: something is foul, repulsive or morally sickening, and you want to turn away.",
        "rotten food, vomiting, vermin, a grimace at a bad smell",
    ),
    "fear": Definition(
        "Threat or dread: danger is there or expected, and you want to flee or hide.",
        "a pursuer in the dark, a fall from a height, a monster, wide-eyed panic",
    ),
    "sadness": Definition(
        "Loss, loneliness, disappointment or grief; energy is low.",
        "tears, a farewell, a funeral, somebody alone in the rain",
    ),
}
"""By name of one of the eight emotions."""


def definitions_of(taxonomy: Taxonomy, path: Path | None = None) -> dict[str, Definition]:
    """What is known of the meaning of a taxonomy's emotions.

    Args:
        taxonomy: the emotions.
        path: the taxonomy's file; a label in it may have a "definition" and "examples", both text.

    Returns:
        By name, where there is a definition: the file's own, or that of the same one of the eight.

    Raises:
        ValueError: a definition is not a text, or too long.
    """
    found = {name: MIKELS_DEFINITIONS[name] for name in taxonomy.names if name in MIKELS_DEFINITIONS}
    for label in [] if path is None else json.loads(path.read_text(encoding="utf-8-sig"))["labels"]:
        own = {name: label[name] for name in ("definition", "examples") if name in label}
        for name, text in own.items():
            if not isinstance(text, str) or len(text) > _MOST_CHARACTERS:
                raise ValueError(
                    f"taxonomy {path}: {name} of {label['name']!r} is not a text of at most "
                    f"{_MOST_CHARACTERS} characters"
                )
        if "definition" in own:
            found[label["name"]] = Definition(own["definition"], own.get("examples", ""))
    return found
