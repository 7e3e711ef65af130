"""`CardInfo`: what only its owner knows about a data set, as the card says it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

_LANGUAGE = re.compile(r"[a-z]{2,3}(-[A-Za-z0-9]{2,8})*")


@dataclass(frozen=True, slots=True)
class CardInfo:
    """What the owner of a data set says of it; what is not said is not in the card.

    Attributes:
        title: of the data set.
        authors: names, in order.
        citation: how to cite it: BibTeX or plain text.
        contact: an address, a page or a name.
        language: codes of the captions' languages, such as "en".
    """

    title: str | None = None
    authors: tuple[str, ...] = ()
    citation: str | None = None
    contact: str | None = None
    language: tuple[str, ...] = ()

    @classmethod
    def from_mapping(cls, body: object) -> CardInfo:
        """Read the fields from YAML or JSON; a list may be given as one text.

        Raises:
            ValueError: a field is unknown or of another kind; the message names it.

        >>> CardInfo.from_mapping({"title": "Films", "language": "de"}).language
        ('de',)
        """
        if not isinstance(body, Mapping):
            raise ValueError(f"is {body!r}, not a mapping with {', '.join(cls.__slots__)}")
        if unknown := sorted(str(name) for name in body if name not in cls.__slots__):
            raise ValueError(f"{unknown[0]} is unknown; allowed: {', '.join(cls.__slots__)}")
        values: dict[str, Any] = {}
        for name, value in body.items():
            several = name in ("authors", "language")
            texts = value if several and isinstance(value, (list, tuple)) else [value]
            if value is None or (several and not texts):
                continue
            if not all(isinstance(text, str) and text.strip() for text in texts):
                raise ValueError(f"{name} is {value!r}, not text{' or a list of texts' if several else ''}")
            values[name] = tuple(text.strip() for text in texts) if several else value.strip()
        info = cls(**values)
        for code in info.language:
            if not _LANGUAGE.fullmatch(code):
                raise ValueError(f"language is {code!r}, not a code such as en or zh-Hant")
        if info.citation is not None and "```" in info.citation:
            raise ValueError("citation holds ```, which would end its block in the card")
        return info

    def to_mapping(self) -> dict[str, Any]:
        """What is said, as a manifest holds it."""
        return {name: value for name, value in asdict(self).items() if value}
