"""Read answers as `emovid label` writes them, or as others wrote them in its format."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from emovid_dataset.agree.rating import Rating, Vocabulary, milliseconds, name_of, place_of


def read_answer_lines(
    path: Path, where: str, words: Vocabulary, tell: Callable[[str], None] = lambda remark: None
) -> Iterator[Rating]:
    """Read a file of JSON Lines, one answer per line.

    Only `rater`, `id` and `emotion` must be there; keys that are not known say nothing here. An `emotion`
    that is null undoes the rater's answer.

    Args:
        path: of the file.
        where: names it in messages.
        words: in which answers are given.
        tell: gets what a person should know of how it was read.

    Yields:
        Every line's rating, in order.

    Raises:
        ValueError: a line is not an answer; the message names the file, the line and what is wrong.
    """
    lines = path.read_bytes().removeprefix(b"\xef\xbb\xbf").split(b"\n")
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line, parse_constant=_refuse_constant)
        except ValueError as error:
            if number == len(lines):
                tell(f"{where}: line {number} was cut off while it was written, and is left out")
                return
            raise ValueError(f"{where} line {number}: is not JSON: {error}") from None
        try:
            yield rating_of(row, words)
        except ValueError as error:
            raise ValueError(f"{where} line {number}: {error}") from None


def rating_of(row: Any, words: Vocabulary) -> Rating:
    """Read one answer.

    Args:
        row: the object.
        words: in which answers are given.

    Raises:
        ValueError: it is not an answer; the message says why.
    """
    if not isinstance(row, dict):
        raise ValueError("is not an object")
    missing = [name for name in ("rater", "id", "emotion") if name not in row]
    if missing:
        raise ValueError(f"has no {' and no '.join(missing)}")
    emotion = None if row["emotion"] is None else words.emotion(row["emotion"])
    intensity, version = row.get("intensity"), row.get("version")
    if intensity is not None and (isinstance(intensity, bool) or not isinstance(intensity, (int, float))):
        raise ValueError(f"intensity is {intensity!r}, not a number")
    return Rating(
        rater=name_of("rater", row["rater"]),
        id=name_of("id", row["id"]),
        emotion=emotion,
        second=words.second(row.get("second"), emotion),
        ms=milliseconds(row.get("ms")),
        version=version if type(version) is int else 0,
        repeat=_repeat(row.get("repeat")),
        place=place_of(row),
    )


def _repeat(value: Any) -> int:
    if value is None:
        return 0
    if not isinstance(value, int) or value < 0:
        raise ValueError(f"repeat is {value!r}, not the how-many-eth time the clip was shown again")
    return int(value)


def _refuse_constant(text: str) -> None:
    raise ValueError(f"{text} is not a JSON number")
