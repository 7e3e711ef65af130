"""What raters voted: one object per line, one file per rater, and how corrections are resolved.

The folder ``votes`` of a study holds ``r0001.jsonl``, ``r0002.jsonl``, ...: nothing in them says who a rater
is or when the rater voted. A question is asked at a place of the rater's way through the study; a line about
it is never changed. Every further line about the same question has the next `version`; the last one counts::

    {"rater": "r0001", "place": 4, "kind": "trial", "question": "emotion", "prompt": "s0012",
     "shown": ["base", "lora"], "chosen": "lora", "ms": 5321, "version": 1}
    {..., "place": 6, "kind": "check", "question": "check", ..., "chosen": "base", "expected": "base", ...}

The order of `shown` is that of the places on the page. `chosen` is null where nothing was chosen: the time
was over, or a video could not be played.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal

from emovid_dataset.web.appended import AppendedLines
from emovid_models.study.preference import Choice

VOTES_FOLDER = "votes"
"""In the folder of a study."""
KINDS = ("practice", "trial", "check")
CHECK = "check"
"""The question of an attention check, which says itself what is to be chosen."""

Kind = Literal["practice", "trial", "check"]
Question = tuple[int, str]
"""The place of a trial on a rater's way, and what is asked there."""

_RATER = re.compile(r"r[0-9]{4,9}")
_NAME = re.compile(r"[^\x00-\x1f\x7f]{1,200}")
_MOST_MS = 24 * 3600 * 1000


class VotesError(ValueError):
    """A file of votes says what a vote cannot be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Vote:
    """One line of a rater's file.

    Attributes:
        rater: such as "r0001", in the order in which raters began.
        place: of the trial on the rater's way through the study, from 0; practice and checks have places.
        kind: "practice", which counts for nothing; "trial"; "check", an attention check.
        question: "emotion", "quality", "overall" or another of the study's; "check" in an attention check.
        prompt: id of the scene (a prompt, an emotion and a seed) as `study.json` lists it.
        shown: the systems whose videos were shown, in the order of their places.
        chosen: one of them; None where the time was over, or a video could not be played.
        expected: in a check, what was to be chosen; else None.
        ms: milliseconds from the moment that the question could be answered.
        version: 1 for the first line about a question, then 2, ...; the highest counts.
    """

    rater: str
    place: int
    kind: Kind
    question: str
    prompt: str
    shown: tuple[str, ...]
    chosen: str | None
    expected: str | None = None
    ms: int
    version: int = 1

    @property
    def asked(self) -> Question:
        """What the line is about."""
        return self.place, self.question

    @property
    def choice(self) -> Choice | None:
        """The vote as `preference` takes it; None where nothing was chosen."""
        if self.chosen is None:
            return None
        return Choice(self.rater, self.prompt, self.shown, self.chosen)

    @property
    def failed(self) -> bool:
        """Whether it is a check in which something else than what was expected, or nothing, was chosen."""
        return self.kind == CHECK and self.chosen != self.expected

    def to_json(self) -> str:
        """The vote as a line, without its end; `expected` is there only in a check."""
        body = asdict(self) | {"shown": list(self.shown)}
        if self.expected is None:
            del body["expected"]
        return json.dumps(body, ensure_ascii=False, allow_nan=False)

    @classmethod
    def from_mapping(cls, row: Mapping[str, Any]) -> Vote:
        """Check a vote.

        Args:
            row: the fields by name; `expected` may be missing.

        Raises:
            VotesError: it is not a vote; one line that names the field and its value.
        """
        known = {entry.name for entry in fields(cls)}
        if not isinstance(row, Mapping):
            raise VotesError(f"a vote is an object, not {row!r}")
        missing = sorted(known - {"expected"} - set(row))
        if missing or set(row) - known:
            wrong = f"lacks {missing}" if missing else f"has the unknown fields {sorted(set(row) - known)}"
            raise VotesError(f"a vote {wrong}")
        shown = row["shown"]
        if not isinstance(shown, (list, tuple)):
            raise VotesError(f"shown {shown!r} is not a list")
        vote = cls(**{**row, "shown": tuple(shown)})
        vote._check()
        return vote

    def _check(self) -> None:
        if not isinstance(self.rater, str) or not _RATER.fullmatch(self.rater):
            raise VotesError(f"rater {self.rater!r} is not one such as r0001")
        if self.kind not in KINDS:
            raise VotesError(f"kind {self.kind!r}; allowed: {', '.join(KINDS)}")
        for name in ("question", "prompt"):
            value = getattr(self, name)
            if not isinstance(value, str) or not _NAME.fullmatch(value):
                raise VotesError(f"{name} {value!r} is not a name")
        if not all(isinstance(name, str) and _NAME.fullmatch(name) for name in self.shown):
            raise VotesError(f"shown {list(self.shown)!r} are not names of systems")
        if len(self.shown) < 2 or len(set(self.shown)) < len(self.shown):
            raise VotesError(f"shown {list(self.shown)!r} are not two or more systems, each once")
        if self.chosen not in (*self.shown, None):
            raise VotesError(f"chosen {self.chosen!r} is not one of {list(self.shown)!r}")
        is_check = self.kind == CHECK
        if is_check != (self.question == CHECK) or is_check != (self.expected is not None):
            raise VotesError(
                f"kind {self.kind!r} with question {self.question!r}, expected {self.expected!r}"
            )
        if is_check and self.expected not in self.shown:
            raise VotesError(f"expected {self.expected!r} is not one of {list(self.shown)!r}")
        for name, least, most in (("place", 0, 10**6), ("ms", 0, _MOST_MS), ("version", 1, 10**6)):
            value = getattr(self, name)
            if type(value) is not int or not least <= value <= most:
                raise VotesError(f"{name} {value!r} is not a whole number {least}..{most}")


def read_votes(study: Path) -> list[Vote]:
    """What counts of the votes of a study: the last version of each, practice and checks among them.

    Args:
        study: its folder, or its folder of votes.

    Returns:
        The votes by rater, then by place, then in the order in which the questions were first answered.

    Raises:
        FileNotFoundError: there is no such folder.
        VotesError: a file holds what is not a vote, or another rater's; the message names file and line.
    """
    folder = study / VOTES_FOLDER if (study / VOTES_FOLDER).is_dir() else study
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is not a folder of votes")
    found: list[Vote] = []
    for path in sorted(folder.glob("r*.jsonl"), key=lambda path: (len(path.name), path.name)):
        *whole, _ = path.read_bytes().split(b"\n")  # a last line without its end was never confirmed
        found += sorted(_latest(path, whole).values(), key=lambda vote: vote.place)
    return found


def failed_checks(votes: Iterable[Vote]) -> dict[str, int]:
    """By rater the number of attention checks in which the rater did not choose what was said.

    Args:
        votes: as `read_votes` gives them; every rater among them is a key.
    """
    counts: dict[str, int] = {}
    for vote in votes:
        counts[vote.rater] = counts.get(vote.rater, 0) + vote.failed
    return counts


def _latest(path: Path, lines: Iterable[bytes]) -> dict[Question, Vote]:
    """By question the line with the highest version."""
    latest: dict[Question, Vote] = {}
    for number, vote in _parsed(path, lines):
        held = latest.get(vote.asked)
        due = 1 if held is None else held.version + 1
        if vote.version != due:
            raise VotesError(f"{path}, line {number}: version {vote.version}; the next is {due}")
        latest[vote.asked] = vote
    return latest


def _parsed(path: Path, lines: Iterable[bytes]) -> Iterator[tuple[int, Vote]]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            vote = Vote.from_mapping(json.loads(line))
            if vote.rater != path.stem:
                raise VotesError(f"the vote is of {vote.rater!r}")
        except ValueError as error:  # VotesError, of JSON, of UTF-8
            raise VotesError(f"{path}, line {number}: {error}") from error
        yield number, vote


class VoteFile:
    """A rater's file, which this process alone appends to.

    Args:
        study: folder of the study; its folder of votes is created if missing.
        rater: such as "r0001".

    Raises:
        VotesError: the file holds what is not a vote, or another rater's.
        BlockingIOError: another process appends to it.
        OSError: it cannot be opened.
    """

    def __init__(self, study: Path, rater: str) -> None:
        if not _RATER.fullmatch(rater):
            raise VotesError(f"rater {rater!r} is not one such as r0001")
        self.rater = rater
        self._file = AppendedLines(study / VOTES_FOLDER / f"{rater}.jsonl", mode=0o600)
        try:
            self._votes = _latest(self._file.path, self._file.lines())
        except BaseException:
            self._file.close()
            raise

    @property
    def votes(self) -> Mapping[Question, Vote]:
        """By question the vote that counts."""
        return self._votes

    def append(self, vote: Vote) -> bool:
        """Write a vote; when this returns, it is on the disk.

        The same vote twice is written once, whatever time it took: a page that did not hear of the first
        sends it again.

        Args:
            vote: of this rater, with the next version of its question, or the same as the last one.

        Returns:
            Whether it was written now; False if it was there.

        Raises:
            VotesError: it is another rater's, or not the next version.
            OSError: it cannot be written whole; then nothing of it is in the file.
        """
        if vote.rater != self.rater:
            raise VotesError(f"a vote of {vote.rater!r} does not go into {self._file.path}")
        vote = Vote.from_mapping(asdict(vote))
        held = self._votes.get(vote.asked)
        if held is not None and held.version == vote.version and held.chosen == vote.chosen:
            return False
        due = 1 if held is None else held.version + 1
        if vote.version != due:
            raise VotesError(f"the vote on {vote.question} has version {vote.version}; the next is {due}")
        self._file.append(vote.to_json().encode())
        self._votes[vote.asked] = vote
        return True

    def close(self) -> None:
        """Let another process append."""
        self._file.close()
