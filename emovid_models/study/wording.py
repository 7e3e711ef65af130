"""The words of a study's page and its consent text: files in its folder, one pair per language.

``texts/en.json`` holds every word of the page, ``texts/consent.en.txt`` what raters agree to, in paragraphs
with an empty line between. Another language is another pair of files; who runs the study edits them.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

TEXTS_FOLDER = "texts"
_LANGUAGE = re.compile(r"[a-z]{2,3}(-[A-Za-z0-9]{2,8})*")
_BLANK = re.compile(r"\[[^\]\n]*\]")


@dataclass(frozen=True, slots=True)
class Wording:
    """The page in one language.

    Attributes:
        language: its tag, such as "en".
        words: every word of the page by name; questions and emotions by theirs.
        consent: paragraphs that a rater agrees to.
    """

    language: str
    words: Mapping[str, Any]
    consent: tuple[str, ...]

    @property
    def blanks(self) -> list[str]:
        """What is still to be filled in: whatever stands in square brackets."""
        return [blank for paragraph in self.consent for blank in _BLANK.findall(paragraph)]

    @property
    def digest(self) -> str:
        """Says which consent a rater gave: a sha256 of its text."""
        return hashlib.sha256("\n\n".join(self.consent).encode()).hexdigest()


def copy_wordings(study: Path) -> None:
    """Put the languages that ship into the folder of a study."""
    out = study / TEXTS_FOLDER
    out.mkdir()
    for entry in (files(__package__) / TEXTS_FOLDER).iterdir():
        if entry.name.endswith((".json", ".txt")):
            (out / entry.name).write_bytes(entry.read_bytes())


def read_wordings(study: Path, questions: Sequence[str], emotions: Sequence[str]) -> dict[str, Wording]:
    """Read every language of a study.

    Args:
        study: its folder.
        questions: that it asks.
        emotions: that its scenes have.

    Returns:
        By tag, English first if it is there.

    Raises:
        FileNotFoundError: there is none, or one lacks its consent.
        ValueError: a file lacks a word, a question or an emotion.
    """
    own = json.loads((files(__package__) / TEXTS_FOLDER / "en.json").read_bytes())
    found: dict[str, Wording] = {}
    for path in sorted(
        (study / TEXTS_FOLDER).glob("*.json"), key=lambda path: (path.stem != "en", path.stem)
    ):
        try:
            if not _LANGUAGE.fullmatch(path.stem):
                raise ValueError("its name is not the tag of a language, such as de")
            words = json.loads(path.read_bytes())
            for name, value in own.items():
                if not isinstance(words[name], type(value)):
                    raise ValueError(f"{name!r} is not of the kind that it must be")
            for name in questions:
                words["questions"][name]
            for name in emotions:
                words["emotions"].setdefault(name, name)
        except KeyError as error:
            raise ValueError(f"{path} lacks {error}") from error
        except (ValueError, TypeError) as error:
            raise ValueError(f"{path} cannot be used: {error}") from error
        consent = path.with_name(f"consent.{path.stem}.txt")
        if not consent.is_file():
            raise FileNotFoundError(f"{path} has no consent beside it: {consent.name}")
        paragraphs = re.split(r"\n\s*\n", consent.read_text(encoding="utf-8").strip())
        found[path.stem] = Wording(path.stem, words, tuple(" ".join(text.split()) for text in paragraphs))
    if not found:
        raise FileNotFoundError(f"{study / TEXTS_FOLDER} holds no language, such as en.json")
    return found


def best_language(wordings: Mapping[str, Wording], accepted: str) -> str:
    """The language to begin with.

    Args:
        wordings: by tag.
        accepted: an Accept-Language header.

    >>> wording = Wording("", {}, ())
    >>> best_language({"en": wording, "de": wording}, "fr, de-AT;q=0.8, en;q=0.2")
    'de'
    """
    ranked: list[tuple[float, str]] = []
    for entry in accepted.split(",")[:20]:
        tag, _, weight = entry.strip().partition(";q=")
        try:
            ranked.append((float(weight or 1), tag.strip().lower()))
        except ValueError:
            continue
    for _, tag in sorted(ranked, key=lambda pair: -pair[0]):
        for language in wordings:
            if language.lower() == tag or language.lower() == tag.partition("-")[0]:
                return language
    return next(iter(wordings))
