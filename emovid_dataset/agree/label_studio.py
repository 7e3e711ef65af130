"""Read what Label Studio exports: its JSON with annotations, and the shorter JSON_MIN."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from emovid_dataset.agree.rating import Rating, Vocabulary, name_of, place_of

_MEDIA = ("video", "path", "file", "url", "audio", "image")
_UPLOAD = re.compile(r"(?:.*/)?upload/\d+/[0-9a-f]{8}-(.+)")


def is_export(tasks: Any) -> bool:
    """Whether a JSON value is such an export: a list of tasks that have annotations, or an annotator."""
    return (
        isinstance(tasks, list)
        and bool(tasks)
        and all(isinstance(task, dict) and ("annotations" in task or "annotator" in task) for task in tasks)
    )


def read_export(tasks: list[dict[str, Any]], where: str, words: Vocabulary) -> Iterator[Rating]:
    """Read an export.

    A clip's id is the task's own `id` or `clip_id` in its data; else the path of its video is the id. Of
    several choices the first is the emotion and the next the second one. A cancelled annotation says nothing;
    of several by one person for one task the last counts.

    Args:
        tasks: the export.
        where: names the file in messages.
        words: in which answers are given.

    Raises:
        ValueError: a task or annotation cannot be read; the message names its place in the file.
    """
    for number, task in enumerate(tasks, start=1):
        try:
            yield from _annotations(task, words) if "annotations" in task else [_short(task, words)]
        except ValueError as error:
            raise ValueError(f"{where} task {number}: {error}") from None


def media_path(address: str) -> str:
    """The path of a file below the raw folder, from the address under which Label Studio serves it.

    >>> media_path("/data/local-files/?d=movies/a%20b.mp4"), media_path("/data/upload/1/0a1b2c3d-a.mp4")
    ('movies/a b.mp4', 'a.mp4')
    """
    parts = urlsplit(address)
    if local := parse_qs(parts.query).get("d"):
        return local[0].lstrip("/")
    if upload := _UPLOAD.fullmatch(parts.path):
        return unquote(upload[1])
    return address if parts.scheme else unquote(parts.path)


def _clip(data: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """A clip's id, and where it comes from."""
    place = place_of(data)
    media = next((data[name] for name in _MEDIA if isinstance(data.get(name), str)), None)
    if media is not None:
        place.setdefault("path", media_path(media))
    found = next((data[name] for name in ("clip_id", "id") if data.get(name) not in (None, "")), None)
    if found is None and media is None:
        raise ValueError(f"its data names no clip: none of clip_id, id, {', '.join(_MEDIA)}")
    return name_of("id", place["path"] if found is None else found), place


def _annotations(task: Mapping[str, Any], words: Vocabulary) -> Iterator[Rating]:
    if not isinstance(task.get("data"), dict) or not isinstance(task["annotations"], list):
        raise ValueError("has no data, or no list of annotations")
    clip, place = _clip(task["data"])
    given = [one for one in task["annotations"] if isinstance(one, dict) and not one.get("was_cancelled")]
    for one in sorted(given, key=lambda one: str(one.get("updated_at") or one.get("created_at") or "")):
        chosen = [
            choice
            for result in one.get("result") or ()
            if isinstance(result, dict) and result.get("type") == "choices"
            for choice in (result.get("value") or {}).get("choices") or ()
        ]
        if chosen:
            yield _rating(_person(one.get("completed_by")), clip, chosen, one.get("lead_time"), place, words)


def _short(task: Mapping[str, Any], words: Vocabulary) -> Rating:
    """A row of JSON_MIN: the data's fields beside the choices; its `id` is the task's."""
    own = ("id", "annotator", "annotation_id", "created_at", "updated_at", "lead_time")
    data = {name: value for name, value in task.items() if name not in own}
    clip, place = _clip(data if any(name in data for name in ("clip_id", *_MEDIA)) else task)
    for name in ("emotion", "choice", "label", "sentiment"):
        if (value := data.get(name)) not in (None, ""):
            chosen = value.get("choices", []) if isinstance(value, dict) else value
            return _rating(
                _person(task["annotator"]),
                clip,
                chosen if isinstance(chosen, list) else [chosen],
                task.get("lead_time"),
                place,
                words,
            )
    raise ValueError("has no choice: none of emotion, choice, label, sentiment")


def _rating(
    rater: str, clip: str, chosen: list[Any], lead_time: Any, place: Mapping[str, Any], words: Vocabulary
) -> Rating:
    emotion = words.emotion(chosen[0] if chosen else None)
    timed = isinstance(lead_time, (int, float)) and not isinstance(lead_time, bool) and lead_time >= 0
    return Rating(
        rater=rater,
        id=clip,
        emotion=emotion,
        second=words.second(chosen[1], emotion) if len(chosen) > 1 else None,
        ms=1000 * float(lead_time) if timed else None,
        place=place,
    )


def _person(value: Any) -> str:
    """A person's e-mail address or number."""
    if isinstance(value, dict):
        value = value.get("email") or value.get("username") or value.get("id")
    return name_of("rater", value)
