"""`Label` and `Rejection`: what becomes of a row of a label sheet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from emovid_dataset._credentials import without_credentials


@dataclass(frozen=True, slots=True)
class Label:
    """One accepted row of a label sheet.

    Attributes:
        row: number of the row, 1 for the first one after the header.
        path: of the file below the raw folder, with slashes.
        emotion: index in the taxonomy, None for no specific emotion.
        content_type: such as "sticker".
        caption: may be empty.
        group: None when the sheet gives none.
        license: None when the sheet gives none.
        source: None when the sheet gives none.
        start: seconds, None for a whole file.
        end: seconds, None for a whole file.
        emotion_source: "human" or "model".
        emotion_scores: a probability for each emotion, or None.
        raters: people who labelled the clip, or None.
        votes: how many of them chose each emotion, or None.
        agreement: share of the raters that chose the clip's emotion, or None.
        color: what was done to the colours before, or None.
        extra: the other columns as a JSON object, or None.
        split: that the sheet gives the clip, or None.
        rater: who gave the row's emotion, or None.
        kept: columns that become fields of the clip, by name, or None.
        crop_bars: pixels that are taken from the sides of its pictures, as `media.crop.Crop`, or None.
    """

    row: int
    path: str
    emotion: int | None
    content_type: str
    caption: str
    group: str | None
    license: str | None
    source: str | None
    start: float | None
    end: float | None
    emotion_source: str
    emotion_scores: tuple[float, ...] | None
    raters: int | None = None
    votes: tuple[int, ...] | None = None
    agreement: float | None = None
    color: str | None = None
    extra: str | None = None
    split: str | None = None
    rater: str | None = None
    kept: Mapping[str, Any] | None = None
    crop_bars: str | None = None


@dataclass(frozen=True, slots=True, order=True)
class Rejection:
    """A row or file that is refused.

    Attributes:
        row: number of the row in the label sheet, 1 for the first one after the header.
        path: as the sheet gives it.
        reason: one line.
    """

    row: int
    path: str
    reason: str


def printable(text: str) -> str:
    """One line of valid Unicode without credentials; a file name's stray bytes become escapes.

    >>> printable("a\\udcffb\\nc")
    'a\\\\udcffb\\\\nc'
    >>> printable("https://me:secret@host/a.mp4")
    'https://host/a.mp4'
    """
    text = without_credentials(text) if "://" in text else text
    encoded = text.encode("utf-8", "backslashreplace").decode()
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in encoded)
