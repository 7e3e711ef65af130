"""`SheetOptions`: how a person tells a build to read a label sheet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from emovid_dataset.builder.sheet.columns import COLUMNS
from emovid_dataset.schema.clip import NAME_PATTERN
from emovid_dataset.schema.label_set import MIKELS_LABELS, LabelSet


@dataclass(frozen=True, slots=True, kw_only=True)
class SheetOptions:
    """How a label sheet is read.

    Attributes:
        labels: the emotions that the sheet may name, the words for them, and the content types.
        columns: by meaning, such as "path", the header of the column that has it.
        allow_roots: folders outside the raw folder whose files may be taken too.
        content_type: of clips for which neither a column nor their top folder gives one.
        words: by word of the sheet the name of the emotion that it means, or "no specific emotion".
        keep_columns: headers of columns that become fields of the clips, each of its type.
        min_agreement: clips are refused of whose raters a smaller share agreed; 0 refuses none.
    """

    labels: LabelSet = MIKELS_LABELS
    columns: Mapping[str, str] = field(default_factory=dict)
    allow_roots: tuple[Path, ...] = ()
    content_type: str | None = None
    words: Mapping[str, str] = field(default_factory=dict)
    keep_columns: tuple[str, ...] = ()
    min_agreement: float = 0.0

    @property
    def content_types(self) -> tuple[str, ...]:
        """Those that clips may have, in the order in which they are listed."""
        types = self.labels.content_types
        new = self.content_type is not None and self.content_type not in types
        return (*types, str(self.content_type)) if new else types


def parse_column(text: str) -> tuple[str, str]:
    """Read "path=clip_url": a meaning and the header of its column.

    Raises:
        ValueError: there is no such meaning, or no header.

    >>> parse_column("path=clip_url")
    ('path', 'clip_url')
    """
    meaning, _, header = text.partition("=")
    if meaning.strip() not in COLUMNS or not header.strip():
        raise ValueError(f"column {text!r} must be MEANING=HEADER; meanings: {', '.join(COLUMNS)}")
    return meaning.strip(), header.strip()


def parse_word(text: str) -> tuple[str, str]:
    """Read "happy=contentment": a word of the sheet and the emotion that it means.

    Raises:
        ValueError: one of them is missing.

    >>> parse_word("happy=contentment")
    ('happy', 'contentment')
    """
    word, _, emotion = (part.strip() for part in text.partition("="))
    if not word or not emotion:
        raise ValueError(f"word {text!r} must be WORD=EMOTION, such as happy=contentment")
    return word, emotion


def parse_content_type(text: str) -> str:
    """Check the name of a content type.

    Raises:
        ValueError: it is not of a-z, 0-9 and _, or it is "all", which is the config of all clips.

    >>> parse_content_type("vlog")
    'vlog'
    """
    if not NAME_PATTERN.fullmatch(text) or text == "all":
        raise ValueError(f"content type {text!r} must be of a-z, 0-9 and _, and not 'all'")
    return text


def parse_names(text: str) -> tuple[str, ...]:
    """Read "film, scene": names with commas between them; no text is no names.

    Raises:
        ValueError: a name is empty.

    >>> parse_names("film, scene")
    ('film', 'scene')
    """
    names = tuple(name.strip() for name in text.split(",")) if text.strip() else ()
    if not all(names):
        raise ValueError(f"columns {text!r} must be names with commas between them, such as film,scene")
    return names
