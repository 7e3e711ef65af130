"""The sheet of further emoji: what two passes over the label page said, and what they agree on."""

from __future__ import annotations

import csv
import hashlib
from pathlib import Path

from emovid_dataset.label.answers import Answer, read_lines, resolve
from emovid_dataset.schema.clip import clip_id
from emovid_dataset.schema.emotions import EMOTIONS
from tools.mini_corpus.fetch import training_emoji
from tools.mini_corpus.labels import SHEETS, reserved_assets

PASSES = tuple(SHEETS / "emoji_answers" / f"model-pass-{number}.jsonl" for number in (1, 2))
"""Answers of the two passes, as `emovid label` wrote them: one vision-language model, asked twice."""
SHEET = SHEETS / "emoji_labels.csv"
COLUMNS = ("asset", "group", "id", "emotion", "emotion_source", "pass_1", "pass_2")
_LARGE = 10
"""Emoji whose first code point more of the others share than this stay out of the sheet: each would hide all
of them from the distillation."""


def settled(answers: tuple[str, ...]) -> str:
    """The emotion that all passes name; empty where they name several, or none.

    >>> settled(("awe", "awe")), settled(("awe", "fear")), settled(("none", "none"))
    ('awe', '', '')
    """
    return answers[0] if len(set(answers)) == 1 and answers[0] in EMOTIONS else ""


def read_passes() -> tuple[dict[str, Answer], ...]:
    """The answer in force to each clip, by its id, of each pass."""
    return tuple({key[1]: answer for key, answer in resolve(read_lines(path)).items()} for path in PASSES)


def emoji_rows() -> list[dict[str, str]]:
    """The sheet's rows, from the answers and the emoji themselves, by asset.

    Raises:
        ValueError: an answer is to something else than an emoji that training may see.
    """
    passes = read_passes()
    rated = set.union(*(set(answers) for answers in passes))
    paths = training_emoji()
    sharing: dict[str, int] = {}
    for path in paths:
        group = path.stem.partition("-")[0]
        tones = {part for part in path.stem.split("-") if "1f3fb" <= part <= "1f3ff"}
        sharing[group] = sharing.get(group, 0) + (not tones)
    found = {clip_id("sticker", hashlib.sha256(path.read_bytes())): path for path in paths}
    unknown = rated - set(found)
    if unknown:
        raise ValueError(f"{len(unknown)} answers are to none of the emoji, {min(unknown)} among them")
    rows = []
    for identity in rated:
        asset = found[identity].name
        group = found[identity].stem.partition("-")[0]
        if sharing[group] > _LARGE or asset in reserved_assets():
            continue
        said = tuple(_said(answers.get(identity)) for answers in passes)
        values = (asset, group, identity, settled(said), "model", *said)
        rows.append(dict(zip(COLUMNS, values, strict=True)))
    return sorted(rows, key=lambda row: row["asset"])


def write_sheet(path: Path = SHEET) -> int:
    """Write the sheet; returns how many of its emoji have an emotion."""
    rows = emoji_rows()
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return sum(bool(row["emotion"]) for row in rows)


def _said(answer: Answer | None) -> str:
    return (answer.emotion if answer else None) or ""
