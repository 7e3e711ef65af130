"""The sheets: which emoji and which pieces of film are clips of the corpus, and what they convey."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from tools.mini_corpus.sources import find_source

SHEETS = Path(__file__).resolve().parent / "sheets"


@dataclass(frozen=True, slots=True)
class Sticker:
    """One row of `sticker_labels.csv`: an animated emoji and its emotion."""

    asset: str
    package: str
    name: str
    group: str
    emotion: str

    @property
    def path(self) -> str:
        """Path of the clip in the corpus."""
        return f"sticker/{Path(self.asset).stem}.mp4"

    @property
    def caption(self) -> str:
        """A sentence made from the emoji's name."""
        return f"An animated sticker of {name_phrase(self.name)}."


@dataclass(frozen=True, slots=True)
class Segment:
    """One row of a film's sheet: the frames whose time t satisfies start <= t < end, in seconds.

    Times count from the film's first frame, whatever time stamp that frame carries.
    """

    film: str
    start: Fraction
    end: Fraction
    emotion: str
    group: str
    caption: str

    @property
    def path(self) -> str:
        """Path of the clip in the corpus; times are in milliseconds, so that names sort as the film runs."""
        scene = self.group.rpartition("/")[2]
        times = f"{round(self.start * 1000):06d}-{round(self.end * 1000):06d}"
        return f"{find_source(self.film).content_type}/{scene}-{times}.mp4"


# Unicode names that a plain "a" or "an" would spoil, or that mention a colour that is not drawn.
_PHRASES = {
    "face palm": "a person doing a face palm",
    "face palm + female sign": "a woman doing a face palm",
    "face palm + male sign": "a man doing a face palm",
    "clinking glasses": "clinking glasses",
    "dizzy face + dizzy symbol": "a dizzy face with spiral eyes",
    "fire": "fire",
    "heavy black heart + adhesive bandage": "a heart with an adhesive bandage",
    "horse racing": "horse racing",
    "japanese goblin": "a Japanese goblin",
    "japanese ogre": "a Japanese ogre",
    "revolving hearts": "revolving hearts",
    "rolling on the floor laughing": "a face rolling on the floor laughing",
    "sign of the horns": "the sign of the horns",
    "skull and crossbones": "a skull and crossbones",
    "two hearts": "two hearts",
    "white smiling face": "a smiling face",
    "woman with bunny ears": "two people with bunny ears",
    "woman with bunny ears + female sign": "two people with bunny ears",
    "woman with bunny ears + male sign": "two people with bunny ears",
}


def name_phrase(name: str) -> str:
    """How an emoji's name reads inside a sentence.

    Args:
        name: the emoji's name in Unicode, followed by "+ female sign" or "+ male sign" for the variants.

    Returns:
        The name with its article, or the phrase that replaces it.

    >>> name_phrase("grinning face"), name_phrase("imp"), name_phrase("fire")
    ('a grinning face', 'an imp', 'fire')
    >>> name_phrase("person bowing deeply + female sign"), name_phrase("zombie + male sign")
    ('a woman bowing deeply', 'a male zombie')
    """
    if name in _PHRASES:
        return _PHRASES[name]
    base, _, sign = name.partition(" + ")
    if sign:
        adjective = sign.removesuffix(" sign")
        person = {"female": "woman", "male": "man"}[adjective]
        base = base.replace("person", person) if "person" in base else f"{adjective} {base}"
    return f"{'an' if base[0] in 'aeiou' else 'a'} {base}"


def read_stickers() -> list[Sticker]:
    """The sheet of stickers, in its order."""
    with (SHEETS / "sticker_labels.csv").open(newline="", encoding="utf-8") as file:
        return [
            Sticker(row["asset"], row["package"], row["name"], row["group"], row["emotion"])
            for row in csv.DictReader(file)
        ]


def read_segments(content_type: str) -> list[Segment]:
    """The sheet of film segments of one content type, "cartoon" or "movie", in the order of the film."""
    with (SHEETS / f"{content_type}_labels.csv").open(newline="", encoding="utf-8") as file:
        return [
            Segment(
                row["source"],
                Fraction(row["start"]),
                Fraction(row["end"]),
                row["emotion"],
                row["group"],
                row["caption"],
            )
            for row in csv.DictReader(file)
        ]


def reserved_assets() -> frozenset[str]:
    """File names of the emoji that are kept for testing and that no training may see."""
    lines = (SHEETS / "reserved_assets.txt").read_text(encoding="utf-8").split("\n")
    return frozenset(line.strip() for line in lines if line.strip() and not line.startswith("#"))
