"""`Rating`: what one rater said of one clip, and how a field of it is read, whoever wrote it."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from emovid_dataset.builder.sheet.words import EmotionWords
from emovid_dataset.label.answers import NONE, UNCLEAR
from emovid_dataset.schema.label_set import MIKELS_LABELS, LabelSet
from emovid_dataset.schema.no_emotion import is_no_emotion

PLACE = ("path", "start", "end", "content_type", "caption", "group", "license", "source")
"""What may stand beside an answer or in a sheet of clips about where a clip comes from."""

_NONE_WORDS = frozenset((NONE, "none of these", "none of them"))
_UNCLEAR_WORDS = frozenset((UNCLEAR, "unsure", "not sure", "cannot tell", "can't tell", "?"))
_MOST_CHARACTERS = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Rating:
    """What one rater said of one clip.

    Attributes:
        rater: the rater's name.
        id: of the clip.
        emotion: a name of the taxonomy, "none", "unclear", or None where the answer was undone.
        second: another emotion that the clip shows as well, or None.
        ms: milliseconds that the answer took, or None.
        version: a higher one of the same question replaces a lower one; of equal ones the later line does.
        repeat: 0 for the first time the rater was asked about the clip, 1 for the second, ...
        place: where the clip comes from, as far as the answer says it: some of `PLACE`.
    """

    rater: str
    id: str
    emotion: str | None
    second: str | None = None
    ms: float | None = None
    version: int = 0
    repeat: int = 0
    place: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The words that an answer may be given in.

    Attributes:
        labels: the emotions and other words for them.
    """

    labels: LabelSet = MIKELS_LABELS

    def emotion(self, value: object) -> str:
        """Read an answer: an emotion's name or a synonym, "none" or "unclear", in any case.

        Raises:
            ValueError: it is none of these; the message says what is allowed.

        >>> words = Vocabulary()
        >>> words.emotion("Awe"), words.emotion("no specific emotion"), words.emotion("unsure")
        ('awe', 'none', 'unclear')
        """
        names = self.labels.taxonomy.names
        if isinstance(value, str):
            text = " ".join(value.lower().split())
            if text in _NONE_WORDS or is_no_emotion(value):
                return NONE
            if text in _UNCLEAR_WORDS:
                return UNCLEAR
            if not text.isdigit():
                try:
                    label = EmotionWords.of(self.labels, {}).read(value)
                except ValueError as error:
                    hint = str(error).partition("; it may be ")[2].partition(":")[0]
                    raise ValueError(self._refusal(value) + (f"; it may be {hint}" if hint else "")) from None
                return NONE if label is None else names[label]
        raise ValueError(self._refusal(value))

    def _refusal(self, value: object) -> str:
        return (
            f"emotion {value!r} is unknown; allowed: {', '.join(self.labels.taxonomy.names)}, none or unclear"
        )

    def second(self, value: object, first: str | None) -> str | None:
        """Read a second emotion; one that repeats the first, or stands beside no emotion, says nothing.

        Raises:
            ValueError: it is not an answer.
        """
        if value is None or (isinstance(value, str) and not value.strip()):
            return None
        found = self.emotion(value)
        names = self.labels.taxonomy.names
        return found if first in names and found in names and found != first else None


def name_of(what: str, value: object) -> str:
    """Read the name of a rater or a clip; a number is taken for one.

    Args:
        what: "rater" or "id", for the message.
        value: as it was written.

    Raises:
        ValueError: it is missing, or not one line of text.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if not isinstance(value, str):
        raise ValueError(f"{what} is {value!r}, not a name")
    text = unicodedata.normalize("NFC", value.strip())
    if not text or len(text) > _MOST_CHARACTERS or not all(map(str.isprintable, text)):
        raise ValueError(f"{what} {text[:40]!r} is not a name")
    return text


def milliseconds(value: object) -> float | None:
    """Read how long an answer took; None where it is not said.

    Raises:
        ValueError: it is not a number from 0 up.
    """
    if value is None or value == "":
        return None
    try:
        found = math.nan if isinstance(value, bool) else float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        found = math.nan
    if not (math.isfinite(found) and found >= 0):
        raise ValueError(f"ms is {value!r}, not a number of milliseconds")
    return found


def place_of(row: Mapping[str, Any]) -> dict[str, Any]:
    """What a row says about where its clip comes from."""
    return {name: row[name] for name in PLACE if row.get(name) not in (None, "")}


def in_force(ratings: Iterable[Rating]) -> list[Rating]:
    """What counts: of each question the last version, unless it was undone.

    Args:
        ratings: in the order in which they were written.

    >>> lines = [Rating(rater="a", id="x", emotion=said) for said in ("awe", "fear")]
    >>> [one.emotion for one in in_force(lines)]
    ['fear']
    """
    latest: dict[tuple[str, str, int], Rating] = {}
    for one in ratings:
        question = (one.rater, one.id, one.repeat)
        if question not in latest or one.version >= latest[question].version:
            latest[question] = one
    return [one for one in latest.values() if one.emotion is not None]
