"""`SheetOptions`: how a person tells a build to read a label sheet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from emovid_dataset.builder.sheet.columns import COLUMNS
from emovid_dataset.schema.emotions import MIKELS
from emovid_dataset.schema.taxonomy import Taxonomy


@dataclass(frozen=True, slots=True, kw_only=True)
class SheetOptions:
    """How a label sheet is read.

    Attributes:
        taxonomy: the emotions that the sheet may name.
        columns: by meaning, such as "path", the header of the column that has it.
        allow_roots: folders outside the raw folder whose files may be taken too.
    """

    taxonomy: Taxonomy = MIKELS
    columns: Mapping[str, str] = field(default_factory=dict)
    allow_roots: tuple[Path, ...] = ()


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
