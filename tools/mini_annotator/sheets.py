"""The labelled emoji: every sheet that training, folds and figures read, in one list."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

from emovid_dataset.schema.emotions import EMOTIONS
from tools.mini_corpus import MINI
from tools.mini_corpus.fetch import emoji_folder
from tools.mini_corpus.labels import SHEETS as CORPUS_SHEETS
from tools.mini_corpus.labels import reserved_assets

SHEETS: tuple[Path, ...] = (CORPUS_SHEETS / "sticker_labels.csv", CORPUS_SHEETS / "emoji_labels.csv")
"""Sheets of rated emoji, CSV with the columns asset, group and emotion, and emotion_source where it is not
"human"; the emotion is empty where raters saw none or did not agree. Another sheet is added here and nowhere
else: its emoji are then hidden from the distillation, and those with an emotion are spread over the folds and
trained on unless their group is held out."""


@dataclass(frozen=True, slots=True)
class LabelledEmoji:
    """An animated emoji and what it conveys.

    Attributes:
        asset: its file's name.
        group: first code point; all variants share it.
        emotion: one of the eight; empty where its raters saw none or did not agree.
        emotion_source: who said so, "human" or "model".
    """

    asset: str
    group: str
    emotion: str
    emotion_source: str = "human"

    @property
    def corpus_path(self) -> Path:
        """Where its clip in the corpus would be."""
        return MINI / "sticker" / f"{Path(self.asset).stem}.mp4"

    @property
    def path(self) -> Path:
        """Its clip in the corpus; where it has none, the emoji itself."""
        return self.corpus_path if self.corpus_path.exists() else emoji_folder() / self.asset


def labelled_emoji(sheets: tuple[Path, ...] = SHEETS) -> list[LabelledEmoji]:
    """The emoji of all sheets that have an emotion, in their order.

    Raises:
        ValueError: an emoji stands in two rows, is reserved, or has an emotion that is not one of the eight.
    """
    return [emoji for emoji in _rated_emoji(sheets) if emoji.emotion]


def rated_groups(sheets: tuple[Path, ...] = SHEETS) -> frozenset[str]:
    """The groups of all emoji that the sheets name, whether they have an emotion or not.

    Raises:
        ValueError: as `labelled_emoji`.
    """
    return frozenset(emoji.group for emoji in _rated_emoji(sheets))


def _rated_emoji(sheets: tuple[Path, ...]) -> list[LabelledEmoji]:
    found: dict[str, LabelledEmoji] = {}
    reserved = reserved_assets()
    for sheet in sheets:
        with sheet.open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                asset, emotion = row["asset"], row["emotion"]
                if asset in reserved:
                    raise ValueError(f"{sheet.name}: {asset} is reserved; no training may see it")
                if asset in found:
                    raise ValueError(f"{sheet.name}: {asset} is labelled twice")
                if emotion and emotion not in EMOTIONS:
                    raise ValueError(
                        f"{sheet.name}: {asset} has the emotion {emotion!r}; allowed: {EMOTIONS}, or empty"
                    )
                found[asset] = LabelledEmoji(
                    asset, row["group"], emotion, row.get("emotion_source") or "human"
                )
    return list(found.values())
