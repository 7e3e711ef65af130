"""`LabelSet`: a taxonomy with the words that people write for its emotions, and the content types."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from emovid_dataset.schema.clip import CONTENT_TYPES, NAME_PATTERN
from emovid_dataset.schema.emotions import MIKELS
from emovid_dataset.schema.taxonomy import Taxonomy

_SYNONYMS = {
    "amusement": ("amused", "amusing"),
    "awe": ("awed", "awestruck"),
    "contentment": ("content", "contented"),
    "excitement": ("excited", "exciting", "excitment"),
    "anger": ("angry", "angered"),
    "disgust": ("disgusted", "disgusting"),
    "fear": ("fearful", "afraid", "scared", "frightened"),
    "sadness": ("sad", "saddened"),
}
"""Other forms of the same word, and adjectives that mean nothing else."""

_POSITIVE = ("amusement", "contentment", "excitement")
_CANDIDATES = {
    **dict.fromkeys(("happy", "happiness", "joy", "joyful", "enjoyment", "delight", "positive"), _POSITIVE),
    **dict.fromkeys(("fun", "funny", "humor", "humour"), ("amusement",)),
    **dict.fromkeys(("calm", "calmness", "relaxed", "peaceful", "serenity", "love"), ("contentment",)),
    **dict.fromkeys(("surprise", "surprised"), ("awe", "excitement", "fear")),
    **dict.fromkeys(("wonder", "admiration"), ("awe",)),
    **dict.fromkeys(("contempt",), ("anger", "disgust")),
    **dict.fromkeys(("annoyed", "annoyance", "frustration", "rage"), ("anger",)),
    **dict.fromkeys(("anxiety", "anxious", "nervous", "horror", "terror"), ("fear",)),
    **dict.fromkeys(("grief", "sorrow", "depressed", "disappointment"), ("sadness",)),
    **dict.fromkeys(("negative",), ("anger", "disgust", "fear", "sadness")),
}
"""What words that are not among Mikels' emotions may mean: a person decides, never the program."""


@dataclass(frozen=True, slots=True)
class LabelSet:
    """What a label sheet may say.

    Attributes:
        taxonomy: the emotions.
        synonyms: by word, in lower case, the name of the emotion that it means.
        candidates: by word that is not known the emotions that it may mean.
        content_types: of clips, in the order in which they are listed.
    """

    taxonomy: Taxonomy
    synonyms: Mapping[str, str] = field(default_factory=dict)
    candidates: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    content_types: tuple[str, ...] = CONTENT_TYPES

    def __post_init__(self) -> None:
        for word, name in self.synonyms.items():
            if name not in self.taxonomy.names or (word in self.taxonomy.names and word != name):
                raise ValueError(
                    f"synonym {word!r} means {name!r}; allowed: {', '.join(self.taxonomy.names)}"
                )
        wrong = [name for name in self.content_types if not NAME_PATTERN.fullmatch(name) or name == "all"]
        if wrong or not self.content_types or len(set(self.content_types)) < len(self.content_types):
            raise ValueError(
                f"content_types is {list(self.content_types)}; a name is of a-z, 0-9 and _, once"
            )


MIKELS_LABELS = LabelSet(
    MIKELS, {word: name for name, words in _SYNONYMS.items() for word in words}, _CANDIDATES
)
"""Mikels' eight emotions, and the three content types of EmoVid."""


def read_label_set(path: Path) -> LabelSet:
    """Read a taxonomy's file::

        {"name": "moods", "content_types": ["game"],
         "labels": [{"name": "joy", "valence": 0, "synonyms": ["happy"]}, {"name": "grief", "valence": 1}]}

    Args:
        path: of the JSON file. `content_types`, `synonyms` and `valence` may be left out, a label may be its
            name alone, and the whole file a list of labels, called as the file is.

    Raises:
        ValueError: it is not such a file; one line that names it.
        OSError: it cannot be read.
    """
    try:
        body: Any = json.loads(path.read_text(encoding="utf-8-sig"))
        if isinstance(body, list):
            body = {"name": path.stem, "labels": body}
        if not isinstance(body, Mapping):
            raise ValueError("it is not a JSON object with name and labels, or a list of labels")
        taxonomy = Taxonomy.from_mapping(body)
        unknown = sorted(set(body) - {"name", "labels", "content_types"})
        if unknown:
            raise ValueError(f"it has the unknown keys {unknown}")
        synonyms: dict[str, str] = {}
        for label in body["labels"]:
            for word in label.get("synonyms", ()) if isinstance(label, Mapping) else ():
                if not isinstance(word, str) or word.strip().lower() in synonyms:
                    raise ValueError(f"synonym {word!r} is not a text, or stands there twice")
                synonyms[word.strip().lower()] = label["name"]
        types = body.get("content_types", CONTENT_TYPES)
        if not isinstance(types, (list, tuple)) or not all(isinstance(name, str) for name in types):
            raise ValueError(f"content_types is {types!r}, not a list of names")
        return LabelSet(taxonomy, synonyms, {}, tuple(types))
    except (ValueError, AttributeError) as error:
        raise ValueError(f"taxonomy {path}: {error}") from error
