"""The file that `--prompts` names in every command: JSON Lines, or one JSON list of the same objects.

::

    {"id": "cat-1", "prompt": "a cat on a roof", "emotion": "awe", "content_type": "movie"}
    {"id": "cat-2", "prompt": "a cat on a roof", "emotion": {"awe": 0.7, "fear": 0.3}, "seed": 7}

Only `prompt` is always there; each command says what else it needs, and what it has no use for.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from emovid_dataset.schema.clip import CONTENT_TYPES
from emovid_dataset.schema.emotions import EMOTIONS, parse_emotion


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptEntry:
    """One object of a file of prompts; None is what the file does not say.

    Attributes:
        place: where it stands, for messages: the file and the line or entry.
        prompt: what the video shows.
        id: letters, digits, - and _; unique in the file.
        emotion: one of the eight, or a blend such as ``{"awe": 0.7, "fear": 0.3}``.
        intensity: 0 for the base model, 1 as trained.
        content_type: "cartoon", "movie" or "sticker".
        image: path of the first image; in the file it is relative to the file.
        seed: of the noise.
        out: name of the MP4.
    """

    place: str
    prompt: str
    id: str | None = None
    emotion: str | Mapping[str, float] | None = None
    intensity: float | None = None
    content_type: str | None = None
    image: str | None = None
    seed: int | None = None
    out: str | None = None


PROMPT_FIELDS = tuple(field.name for field in fields(PromptEntry) if field.name != "place")
"""What an object may hold."""


def read_prompt_file(path: str | os.PathLike[str]) -> list[PromptEntry]:
    """Read a file of prompts.

    Args:
        path: UTF-8; one JSON object per line, or a JSON list of objects.

    Returns:
        At least one entry, in the order of the file.

    Raises:
        FileNotFoundError: it does not exist.
        ValueError: in one line with the place: not JSON, an unknown field, a value that is not allowed, an id
            that is used twice, an image that is missing, or images for some of the prompts only.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not a file")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 text") from error
    places: dict[str, str] = {}
    entries = []
    for place, value in _objects(text, path):
        entry = _entry(value, f"{path}, {place}", path.parent)
        if entry.id is not None:
            if entry.id in places:
                raise ValueError(f"{entry.place}: id {entry.id!r} is also in {places[entry.id]}")
            places[entry.id] = place
        entries.append(entry)
    if not entries:
        raise ValueError(f"{path} holds no prompts")
    if len({entry.image is None for entry in entries}) > 1:
        raise ValueError(f"{path}: either all prompts have an image or none has")
    return entries


def _objects(text: str, path: Path) -> Iterator[tuple[str, Any]]:
    """The JSON values of a file, each with its place."""
    if text.lstrip().startswith("["):
        try:
            values = json.loads(text)
        except ValueError as error:
            raise ValueError(f"{path} is not JSON: {error}") from error
        yield from ((f"entry {index}", value) for index, value in enumerate(values))
        return
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                yield f"line {number}", json.loads(line)
            except ValueError as error:
                raise ValueError(f"{path}, line {number} is not JSON: {error}") from error


def _entry(value: Any, place: str, folder: Path) -> PromptEntry:
    allowed = f"allowed: {', '.join(PROMPT_FIELDS)}"
    if not isinstance(value, dict):
        raise ValueError(
            f'{place} is not an object such as {{"prompt": "a cat", "emotion": "awe"}}; {allowed}'
        )
    if unknown := sorted(value.keys() - set(PROMPT_FIELDS)):
        raise ValueError(f"{place}: unknown fields {unknown}; {allowed}")
    given = {name: item for name, item in value.items() if item is not None}
    prompt = given.get("prompt")
    if not isinstance(prompt, str) or not prompt.strip():
        raise ValueError(f"{place}: prompt is {prompt!r}; it must say what the video shows")
    for name in given.keys() & _READERS.keys():
        try:
            given[name] = _READERS[name](given[name])
        except ValueError as error:
            raise ValueError(f"{place}: {error}") from error
    if "image" in given:
        image = folder / given["image"]
        if not image.is_file():
            raise ValueError(f"{place}: image {given['image']!r} does not exist")
        given["image"] = str(image)
    return PromptEntry(place=place, **given)


def _id(value: Any) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"[\w-]+", value):
        raise ValueError(f"id is {value!r}; it may hold letters, digits, - and _ only")
    return value


def _emotion(value: Any) -> str | dict[str, float]:
    if not isinstance(value, dict):
        return EMOTIONS[parse_emotion(value)]
    blend: dict[str, float] = {}
    for name, weight in value.items():
        emotion = EMOTIONS[parse_emotion(name)]
        if emotion in blend:
            raise ValueError(f"emotion {emotion!r} is in the blend twice")
        blend[emotion] = _number(weight, f"weight of {emotion}")
        if not blend[emotion]:
            raise ValueError(f"weight of {emotion} is 0; it must be above 0")
    if not blend:
        raise ValueError("emotion is {}; a blend names at least one emotion")
    return blend


def _intensity(value: Any) -> float:
    return _number(value, "intensity")


def _number(value: Any, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < float("inf"):
        raise ValueError(f"{name} is {value!r}; it must be a number from 0 up")
    return value


def _content_type(value: Any) -> str:
    if value not in CONTENT_TYPES:
        raise ValueError(f"content_type {value!r} is unknown; allowed: {', '.join(CONTENT_TYPES)}")
    return str(value)


def _image(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError(f"image is {value!r}; it must be a path")
    return value


def _seed(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**63:
        raise ValueError(f"seed is {value!r}; it must be a whole number from 0 up")
    return value


def _out(value: Any) -> str:
    if not isinstance(value, str) or Path(value).name != value or not value.endswith(".mp4"):
        raise ValueError(f"out {value!r} is not the name of an .mp4 file")
    return value


_READERS = {
    "id": _id,
    "emotion": _emotion,
    "intensity": _intensity,
    "content_type": _content_type,
    "image": _image,
    "seed": _seed,
    "out": _out,
}
