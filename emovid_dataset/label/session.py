"""`RatingSession`: what one rater is asked, what that rater answered, and what comes next."""

from __future__ import annotations

import statistics
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone

from emovid_dataset.label.answers import Answer, AnswerFile, AnswersError
from emovid_dataset.label.order import Question

PACE_OVER = 30
"""The pace is the median of so many latest answers."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A question as its rater sees it: nothing of what others said, nor of what an annotator thinks.

    Attributes:
        place: in the rater's order, from 0.
        question: which clip, and how often it was asked about before.
        answer: what the rater said, None before.
        version: of the next line about it.
    """

    place: int
    question: Question
    answer: Answer | None
    version: int


class RatingSession:
    """One rater's way through the questions; safe to be called from several threads.

    Args:
        file: the rater's answers; it stays open and is closed by its owner.
        questions: in order.
    """

    def __init__(self, file: AnswerFile, questions: Sequence[Question]) -> None:
        self._file, self._questions = file, tuple(questions)
        self._places = {question: place for place, question in enumerate(self._questions)}
        self._lock = threading.Lock()
        self._unplayable: dict[str, str] = {}
        self._given = [
            answer for answer in file.lines.values() if answer.emotion is not None and self._asks(answer)
        ]
        self._given.sort(key=lambda answer: _when(answer))

    @property
    def rater(self) -> str:
        """The rater's name."""
        return self._file.rater

    def __len__(self) -> int:
        return len(self._questions)

    @property
    def answered(self) -> int:
        """Questions that are answered."""
        return len(self._given)

    @property
    def unplayable(self) -> dict[str, str]:
        """By id of a clip that could not be shown the reason."""
        return dict(self._unplayable)

    @property
    def milliseconds(self) -> float | None:
        """The median time that the latest answers took; None before the first."""
        times = [answer.ms for answer in self._given[-PACE_OVER:]]
        return statistics.median(times) if times else None

    def shown(self, place: int) -> Shown:
        """The question at a place.

        Raises:
            IndexError: there is no such place.
        """
        if not 0 <= place < len(self._questions):
            raise IndexError(place)
        question = self._questions[place]
        held = self._file.latest(question.clip, question.repeat)
        given = None if held is None or held.emotion is None else held
        return Shown(place, question, given, 1 if held is None else held.version + 1)

    def next_open(self, place: int = 0) -> int | None:
        """The first place from one on, and then from the beginning, that is not answered; None if all are."""
        count = len(self._questions)
        for at in (*range(place, count), *range(min(place, count))):
            question = self._questions[at]
            if question.clip not in self._unplayable and self.shown(at).answer is None:
                return at
        return None

    def ahead(self, place: int, count: int = 2) -> list[str]:
        """Clips that will be shown after a place."""
        found: list[str] = []
        for at in range(place + 1, min(place + 50, len(self._questions))):
            if len(found) == count:
                break
            if self.shown(at).answer is None and self._questions[at].clip not in self._unplayable:
                found.append(self._questions[at].clip)
        return found

    def answer(
        self,
        place: int,
        *,
        emotion: str,
        second: str | None,
        intensity: float | None,
        ms: int,
        version: int,
    ) -> bool:
        """Write an answer to the disk.

        Args:
            place: of the question.
            emotion: a name of the taxonomy, "none" or "unclear".
            second: another emotion, or None.
            intensity: 0..1, or None.
            ms: milliseconds that it took.
            version: as `Shown.version` said; the same answer with the same version again is the one that
                was given.

        Returns:
            Whether it is new; False if it had been written before.

        Raises:
            IndexError: there is no such question.
            AnswersError: it is not an answer, or the question was answered elsewhere meanwhile.
            OSError: it cannot be written.
        """
        if emotion is None:
            raise AnswersError("an answer has an emotion")
        question = self.shown(place).question
        with self._lock:
            return self._append(
                Answer(
                    rater=self.rater,
                    id=question.clip,
                    emotion=emotion,
                    second=second,
                    intensity=intensity,
                    ms=ms,
                    at=_now(),
                    version=version,
                    repeat=question.repeat,
                )
            )

    @property
    def last(self) -> Shown | None:
        """The question that was answered last, which undo takes back; None if there is none."""
        return None if not self._given else self.shown(self._place_of(self._given[-1]))

    def undo(self, place: int, version: int) -> bool:
        """Take an answer back: its question is open again.

        Args:
            place: of the question.
            version: as `Shown.version` said.

        Returns:
            Whether it was taken back now; False if it had been before.

        Raises:
            IndexError, AnswersError, OSError: as `answer`.
        """
        question = self.shown(place).question
        with self._lock:
            held = self._file.latest(question.clip, question.repeat)
            if held is None:
                raise AnswersError("there is no answer that could be taken back")
            return self._append(
                replace(held, emotion=None, second=None, intensity=None, ms=0, at=_now(), version=version)
            )

    def cannot_show(self, clip: str, reason: str) -> None:
        """Note that a clip cannot be shown; it is passed over until it can, or the server starts anew."""
        with self._lock:
            self._unplayable[clip] = reason

    def can_show(self, clip: str) -> None:
        """Note that a clip can be shown after all."""
        with self._lock:
            self._unplayable.pop(clip, None)

    def _append(self, answer: Answer) -> bool:
        if not self._file.append(answer):
            return False
        self._given = [one for one in self._given if one.question != answer.question]
        if answer.emotion is not None:
            self._given.append(answer)
        return True

    def _asks(self, answer: Answer) -> bool:
        return Question(answer.id, answer.repeat) in self._places

    def _place_of(self, answer: Answer) -> int:
        return self._places[Question(answer.id, answer.repeat)]


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")


def _when(answer: Answer) -> datetime:
    return datetime.fromisoformat(answer.at.replace("Z", "+00:00"))
