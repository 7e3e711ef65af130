"""The file that `--prompts` names in every command: JSON Lines, or one JSON list of the same objects.

::

    {"id": "cat-1", "prompt": "a cat on a roof", "emotion": "awe", "content_type": "movie"}
    {"id": "cat-2", "prompt": "a cat on a roof", "emotion": {"awe": 0.7, "fear": 0.3}, "seed": 7}
    {"id": "cat-3", "prompt": "a cat on a roof", "emotion": {"0": "sadness", "3": "awe"}}

Only `prompt` is always there; each command says what else it needs, and what it has no use for.
"""

from __future__ import annotations

import json
import os
import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from emovid_dataset.schema.clip import CONTENT_TYPES
from emovid_dataset.schema.emotions import EMOTIONS, parse_emotion
from emovid_dataset.store import Store, store_of, without_credentials


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptEntry:
    """One object of a file of prompts; None is what the file does not say.

    Attributes:
        place: where it stands, for messages: the file and the line or entry.
        prompt: what the video shows.
        id: letters, digits, - and _; unique in the file.
        emotion: one of the eight, or a blend such as ``{"awe": 0.7, "fear": 0.3}``, or emotions over time,
            from seconds to names: ``{0.0: "sadness", 3.0: "awe"}``.
        intensity: 0 for the base model, 1 as trained.
        content_type: "cartoon", "movie" or "sticker".
        image: path or URL of the first image; in the file it is relative to the file.
        seed: of the noise.
        out: name of the MP4.
    """

    place: str
    prompt: str
    id: str | None = None
    emotion: str | Mapping[str, float] | Mapping[float, str] | None = None
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
        path: path or URL of UTF-8; one JSON object per line, or a JSON list of objects.

    Returns:
        At least one entry, in the order of the file.

    Raises:
        FileNotFoundError: it does not exist.
        ValueError: in one line with the place: not JSON, an unknown field, a value that is not allowed, an id
            that is used twice, an image that is missing, or images for some of the prompts only.
    """
    store, name = store_of(path, to_read=True) if "://" in os.fspath(path) else store_of(path)
    path = without_credentials(os.fspath(path))
    if not store.exists(name):
        raise FileNotFoundError(f"{path} is not a file")
    try:
        text = store.read(name).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 text") from error
    places: dict[str, str] = {}
    entries = []
    for place, value in _objects(text, path):
        entry = _entry(value, f"{path}, {place}", store)
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


def _objects(text: str, path: str) -> Iterator[tuple[str, Any]]:
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


def _entry(value: Any, place: str, folder: Store) -> PromptEntry:
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
        image = _beside(folder, given["image"])
        if image is None:
            raise ValueError(f"{place}: image {given['image']!r} does not exist")
        given["image"] = image
    return PromptEntry(place=place, **given)


def _beside(folder: Store, image: str) -> str | None:
    """Path or URL of an image that is named relative to a folder, if it is there."""
    if folder.folder is not None and "://" not in image:
        path = folder.folder / image
        return str(path) if path.is_file() else None
    store, name = store_of(image, to_read=True) if "://" in image else (folder, posixpath.normpath(image))
    return store.url(name) if store.exists(name) else None


def _id(value: Any) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"[\w-]+", value):
        raise ValueError(f"id is {value!r}; it may hold letters, digits, - and _ only")
    return value


def _emotion(value: Any) -> str | dict[str, float] | dict[float, str]:
    if not isinstance(value, dict):
        return EMOTIONS[parse_emotion(value)]
    if any(map(_is_number, value)) and any(isinstance(item, str) for item in value.values()):
        return _emotion_over_time(value)
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


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _emotion_over_time(value: dict[str, Any]) -> dict[float, str]:
    found: dict[float, str] = {}
    for text, name in value.items():
        try:
            start = _number(float(text), "time")
        except ValueError:
            raise ValueError(
                f"emotion has the key {text!r}; it must be a time in seconds from 0 up"
            ) from None
        if start in found:
            raise ValueError(f"emotion has the time {start:g} s twice")
        found[start] = EMOTIONS[parse_emotion(name)]
    return dict(sorted(found.items()))


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
