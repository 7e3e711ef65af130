"""What is asked for: scenes, each with the emotion that its video shall show.

A prompt names a scene and, apart from it, the emotion, so that no scene can give its emotion away.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from emovid_dataset.schema.clip import CONTENT_TYPES
from emovid_dataset.schema.emotions import EMOTIONS
from emovid_models.evaluation.intended import read_emotion, read_text

PROMPTS = Path(__file__).parents[1] / "prompts"
"""Folder of the prompts that ship, one JSON Lines file a content type."""

PROMPT_FIELDS = ("id", "emotion", "content_type", "prompt", "image")
"""Fields of a line of prompts; the last may be missing."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """One video to ask for.

    Attributes:
        id: unique in its file; the video is called after it.
        emotion: one of the eight, which the scene itself does not name.
        content_type: "cartoon", "movie" or "sticker".
        prompt: the scene.
        image: path of the first image, for image-to-video; else None.
    """

    id: str
    emotion: str
    content_type: str
    prompt: str
    image: str | None = None


def load_prompts(content_type: str) -> list[Prompt]:
    """The prompts that ship for a content type: the same scenes for all eight emotions.

    So no scene can give its emotion away, and emotions and models are compared on equal scenes.
    Their order is such that the first few are a fair choice of all.

    Args:
        content_type: "cartoon", "movie" or "sticker".

    Returns:
        320 prompts of stickers, 192 of each other type.

    Raises:
        ValueError: there is no such content type.

    >>> prompts = load_prompts("sticker")
    >>> len(prompts), prompts[0].emotion, prompts[0].prompt == prompts[len(prompts) // 8].prompt
    (320, 'amusement', True)
    """
    if content_type not in CONTENT_TYPES:
        raise ValueError(f"content_type {content_type!r} is unknown; allowed: {', '.join(CONTENT_TYPES)}")
    return read_prompts(PROMPTS / f"{content_type}.jsonl")


def read_prompts(path: str | os.PathLike[str]) -> list[Prompt]:
    """Read prompts, one JSON object a line, with the fields of `Prompt`.

    Args:
        path: the file; images are given relative to it.

    Raises:
        FileNotFoundError: it does not exist.
        ValueError: a line is no such object, an emotion is unknown, an id comes twice, an image is missing,
            or only some lines have one.
    """
    path = Path(path)
    prompts: list[Prompt] = []
    seen: dict[str, int] = {}
    for number, line in enumerate(read_text(path).splitlines(), 1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        try:
            row = json.loads(line)
        except ValueError as error:
            raise ValueError(f"{where} is no JSON: {error}") from error
        if not isinstance(row, dict):
            raise ValueError(f"{where} is no object with the fields {', '.join(PROMPT_FIELDS)}")
        unknown = sorted(row.keys() - set(PROMPT_FIELDS))
        if unknown:
            raise ValueError(f"{where} has unknown fields {unknown}; allowed: {', '.join(PROMPT_FIELDS)}")
        for field in PROMPT_FIELDS[:4]:
            if not isinstance(row.get(field), str) or not row[field].strip():
                raise ValueError(f"{where}: {field} is {row.get(field)!r}, not a text")
        if not re.fullmatch(r"[\w-]+", row["id"]):
            raise ValueError(f"{where}: id {row['id']!r} may hold letters, digits, - and _ only")
        if row["id"] in seen:
            raise ValueError(f"{where}: id {row['id']!r} stands in line {seen[row['id']]} too")
        if row["content_type"] not in CONTENT_TYPES:
            allowed = ", ".join(CONTENT_TYPES)
            raise ValueError(f"{where}: content_type {row['content_type']!r} is unknown; allowed: {allowed}")
        image = row.get("image")
        if image is not None:
            if not isinstance(image, str) or not (path.parent / image).is_file():
                raise ValueError(f"{where}: image {image!r} is not there")
            image = str(path.parent / image)
        seen[row["id"]] = number
        emotion = read_emotion(row["emotion"], where)
        prompts.append(Prompt(row["id"], emotion, row["content_type"], row["prompt"].strip(), image))
    if not prompts:
        raise ValueError(f"{path} holds no prompts")
    if len({prompt.image is None for prompt in prompts}) > 1:
        raise ValueError(f"{path}: either all lines have an image or none has")
    return prompts


def take_per_emotion(prompts: Sequence[Prompt], count: int) -> list[Prompt]:
    """The first prompts of each emotion.

    Args:
        prompts: in any order.
        count: of each emotion, at least 1.

    Raises:
        ValueError: the count is below 1.
    """
    if count < 1:
        raise ValueError(f"prompts an emotion: {count}; allowed: at least 1")
    left = dict.fromkeys(EMOTIONS, count)
    kept = []
    for prompt in prompts:
        left[prompt.emotion] -= 1
        if left[prompt.emotion] >= 0:
            kept.append(prompt)
    return kept
