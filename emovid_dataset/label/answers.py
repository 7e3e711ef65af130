"""What raters answered: one object per line, one file per rater, and how corrections are resolved.

A line is never changed. A question is a clip, and how often its rater had been asked about it before. Every
further line about the same question has the next `version`, and the last one counts. Undo is such a line:
its emotion is null, and the question is open again::

    {"rater": "anna", "id": "movie-0a..", "emotion": "awe", ..., "version": 1}     answered
    {"rater": "anna", "id": "movie-0a..", "emotion": null, ..., "version": 2}      undone
    {"rater": "anna", "id": "movie-0a..", "emotion": "fear", ..., "version": 3}    what counts: fear
    {"rater": "anna", "id": "movie-0a..", ..., "version": 1, "repeat": 1}          asked again: a new question
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from pathlib import Path
from typing import Any

from emovid_dataset.label.raters import ENDING, file_name, rater_name
from emovid_dataset.schema.emotions import MIKELS
from emovid_dataset.schema.taxonomy import Taxonomy
from emovid_dataset.web.appended import AppendedLines

NONE = "none"
"""The answer of a rater who sees none of the emotions."""
UNCLEAR = "unclear"
"""The answer of a rater who cannot tell."""

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,199}")
_MOST_MS = 7 * 24 * 3600 * 1000


class AnswersError(ValueError):
    """A file of answers says what an answer cannot be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One line of a rater's file.

    Attributes:
        rater: the rater's name.
        id: of the clip, as a build gives it.
        emotion: a name of the taxonomy, "none", "unclear", or None where the answer was undone.
        second: another emotion that the clip shows as well, or None.
        intensity: of the emotion, 0..1, or None where the rater did not say.
        ms: milliseconds from the moment the clip was shown to the answer.
        at: when it was given, in ISO 8601 with its offset.
        version: 1 for the first line about a question, then 2, ...; the highest counts.
        repeat: 0 for the first time the rater is asked about the clip, 1 for the second, ...
    """

    rater: str
    id: str
    emotion: str | None
    second: str | None = None
    intensity: float | None = None
    ms: int
    at: str
    version: int = 1
    repeat: int = 0

    @property
    def question(self) -> tuple[str, str, int]:
        """What the line is about: the rater, the clip, and how often it was asked about before."""
        return self.rater, self.id, self.repeat

    def to_json(self) -> str:
        """The answer as a line, without its end; `repeat` is there only where the clip was asked again."""
        body = asdict(self)
        if not self.repeat:
            del body["repeat"]
        return json.dumps(body, ensure_ascii=False, allow_nan=False)

    @classmethod
    def from_mapping(cls, row: Mapping[str, Any], taxonomy: Taxonomy = MIKELS) -> Answer:
        """Check an answer.

        Args:
            row: the fields by name; `second`, `intensity` and `repeat` may be missing.
            taxonomy: of the emotions that may be chosen.

        Raises:
            AnswersError: it is not an answer; one line that names the field and its value.
        """
        known = {entry.name for entry in fields(cls)}
        if not isinstance(row, Mapping) or not all(isinstance(name, str) for name in row):
            raise AnswersError(f"an answer is an object, not {row!r}")
        missing = sorted(known - {"second", "intensity", "repeat"} - set(row))
        if missing or set(row) - known:
            wrong = f"lacks {missing}" if missing else f"has the unknown fields {sorted(set(row) - known)}"
            raise AnswersError(f"an answer {wrong}")
        try:
            if rater_name(row["rater"]) != row["rater"]:
                raise ValueError(f"rater {row['rater']!r} is not as its file's name has it")
        except ValueError as error:
            raise AnswersError(str(error)) from error
        answer = cls(**row)
        answer._check(taxonomy)
        return answer

    def _check(self, taxonomy: Taxonomy) -> None:
        if not isinstance(self.id, str) or not _ID.fullmatch(self.id):
            raise AnswersError(f"id {self.id!r} is not that of a clip")
        names = taxonomy.names
        if self.emotion not in (*names, NONE, UNCLEAR, None):
            raise AnswersError(
                f"emotion {self.emotion!r}; allowed: {', '.join((*names, NONE, UNCLEAR))} or null"
            )
        if self.second is not None and (
            self.emotion not in names or self.second not in names or self.second == self.emotion
        ):
            raise AnswersError(f"second {self.second!r} beside {self.emotion!r} is not a second emotion")
        intensity = self.intensity
        if intensity is not None and (
            not isinstance(intensity, (int, float))
            or isinstance(intensity, bool)
            or not (math.isfinite(intensity) and 0 <= intensity <= 1)
            or self.emotion not in names
        ):
            raise AnswersError(f"intensity {intensity!r} of {self.emotion!r} is not 0..1 of an emotion")
        for name, least, most in (("ms", 0, _MOST_MS), ("version", 1, 10**6), ("repeat", 0, 10**6)):
            value = getattr(self, name)
            if type(value) is not int or not least <= value <= most:
                raise AnswersError(f"{name} {value!r} is not a whole number {least}..{most}")
        try:
            given = datetime.fromisoformat(self.at.replace("Z", "+00:00"))
        except (AttributeError, ValueError) as error:
            raise AnswersError(f"at {self.at!r} is not a time in ISO 8601") from error
        if given.tzinfo is None:
            raise AnswersError(f"at {self.at!r} lacks its offset, such as +00:00")


def read_answers(
    places: Iterable[str | os.PathLike[str]] | str | os.PathLike[str], taxonomy: Taxonomy = MIKELS
) -> list[Answer]:
    """What counts of the answers in some files: the last version of each question, and nothing undone.

    Args:
        places: files of answers, or folders of them (`*.jsonl`).
        taxonomy: of the emotions that may be chosen.

    Returns:
        The answers by rater, then in the order in which each question was first answered.

    Raises:
        FileNotFoundError: there is no such file, or a folder holds none.
        AnswersError: a file holds what is not an answer, or two files contradict each other.
    """
    given = [places] if isinstance(places, (str, os.PathLike)) else places
    lines = [line for place in given for path in _files(Path(place)) for line in read_lines(path, taxonomy)]
    answers = [answer for answer in resolve(lines).values() if answer.emotion is not None]
    return sorted(answers, key=lambda answer: answer.rater)


def _files(place: Path) -> list[Path]:
    if not place.exists():
        raise FileNotFoundError(f"{place} does not exist")
    if not place.is_dir():
        return [place]
    found = sorted(place.glob(f"*{ENDING}"))
    if not found:
        raise FileNotFoundError(f"{place} holds no answers (*{ENDING})")
    return found


def resolve(lines: Iterable[Answer]) -> dict[tuple[str, str, int], Answer]:
    """By question the answer with the highest version, undone ones among them.

    Raises:
        AnswersError: two different answers have the same version of the same question.
    """
    latest: dict[tuple[str, str, int], Answer] = {}
    every: dict[tuple[tuple[str, str, int], int], Answer] = {}
    for line in lines:
        earlier = every.setdefault((line.question, line.version), line)
        if earlier != line:
            raise AnswersError(
                f"rater {line.rater!r} has two answers about {line.id} with version {line.version}: "
                f"{earlier.emotion} at {earlier.at} and {line.emotion} at {line.at}"
            )
        held = latest.setdefault(line.question, line)
        if line.version > held.version:
            latest[line.question] = line
    return latest


def read_lines(path: Path, taxonomy: Taxonomy = MIKELS) -> list[Answer]:
    """Every line of a file, also those that later ones correct.

    A last line without its end is left out: it was cut off while it was written, and never confirmed.

    Raises:
        FileNotFoundError: there is no such file.
        AnswersError: a line is not an answer; the message names the file and the line.
    """
    *whole, _ = path.read_bytes().split(b"\n")
    return list(_parsed(path, whole, taxonomy))


def _parsed(path: Path, lines: Iterable[bytes], taxonomy: Taxonomy) -> Iterator[Answer]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            yield Answer.from_mapping(json.loads(line), taxonomy)
        except ValueError as error:  # AnswersError, of JSON, of UTF-8
            raise AnswersError(f"{path}, line {number}: {error}") from error


class AnswerFile:
    """A rater's file, which this process alone appends to.

    Args:
        folder: of the answers; created if missing.
        rater: the rater's name.
        taxonomy: of the emotions that may be chosen.

    Attributes:
        path: of the file.
        rater: the rater's name.

    Raises:
        ValueError: `rater` cannot be a name.
        AnswersError: the file holds what is not an answer, or another rater's.
        BlockingIOError: another process appends to it.
        OSError: it cannot be opened.
    """

    def __init__(self, folder: Path, rater: str, taxonomy: Taxonomy = MIKELS) -> None:
        self.rater, self._taxonomy = rater_name(rater), taxonomy
        self._file = AppendedLines(folder / file_name(self.rater))
        self.path = self._file.path
        try:
            self._lines = self._read()
        except BaseException:
            self._file.close()
            raise

    def _read(self) -> dict[tuple[str, str, int], Answer]:
        answers = resolve(_parsed(self.path, self._file.lines(), self._taxonomy))
        others = sorted({answer.rater for answer in answers.values()} - {self.rater})
        if others:
            raise AnswersError(f"{self.path} holds answers of {others[0]!r}, not of {self.rater!r}")
        return answers

    @property
    def lines(self) -> dict[tuple[str, int], Answer]:
        """By clip and repeat the line that counts, undone ones among them, in the order of first answers."""
        return {(clip, repeat): answer for (_, clip, repeat), answer in self._lines.items()}

    def latest(self, clip: str, repeat: int = 0) -> Answer | None:
        """The line that counts of a question, which may be an undone one; None before the first."""
        return self._lines.get((self.rater, clip, repeat))

    def append(self, answer: Answer) -> bool:
        """Write an answer; when this returns, it is on the disk.

        The same answer twice is written once, whatever its time: a page that did not hear of the first
        sends it again.

        Args:
            answer: of this rater, with the next version of its question, or the same as the last one.

        Returns:
            Whether it was written now; False if it was there.

        Raises:
            AnswersError: it is another rater's, or not the next version: somebody else answered meanwhile.
            OSError: it cannot be written whole; then nothing of it is in the file.
        """
        if answer.rater != self.rater:
            raise AnswersError(f"an answer of {answer.rater!r} does not go into {self.path}")
        Answer.from_mapping(asdict(answer), self._taxonomy)
        held = self._lines.get(answer.question)
        if held is not None and held.version == answer.version and _alike(held, answer):
            return False
        due = 1 if held is None else held.version + 1
        if answer.version != due:
            raise AnswersError(
                f"the answer about {answer.id} has version {answer.version}; the next is {due}"
            )
        self._file.append(answer.to_json().encode())
        self._lines[answer.question] = answer
        return True

    def close(self) -> None:
        """Let another process append."""
        self._file.close()

    def __enter__(self) -> AnswerFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _alike(one: Answer, other: Answer) -> bool:
    """Whether two lines say the same; when, and after how long, is left aside."""
    return (one.emotion, one.second, one.intensity) == (other.emotion, other.second, other.intensity)
