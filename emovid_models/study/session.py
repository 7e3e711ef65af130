"""`RaterSession`: what one rater is asked, what the rater voted, and what comes next."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

from emovid_models.study.plan import Step, StudyPlan
from emovid_models.study.votes import Vote, VoteFile, VotesError

_GRACE = 30.0
"""Seconds beyond the time limit for videos on their way to the page, and answers on theirs."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A question as its rater sees it.

    Attributes:
        number: of the question on the rater's way, from 0.
        step: whose videos are shown.
        question: what is asked.
        chosen: the place of the video that was chosen, from 0; None before, and where nothing was chosen.
        version: of the next line about it.
        left: seconds until it is passed over; None without a limit.
    """

    number: int
    step: Step
    question: str
    chosen: int | None
    version: int
    left: float | None


class RaterSession:
    """One rater's way through a study; safe to be called from several threads.

    Args:
        plan: of the study.
        file: the rater's votes; it stays open and is closed by its owner.
        number: of the rater, from 0.
    """

    def __init__(self, plan: StudyPlan, file: VoteFile, number: int) -> None:
        self._plan, self._file = plan, file
        self._asks = [(step, question) for step in plan.steps(number) for question in step.questions]
        self._lock = threading.Lock()
        self._begun: dict[int, float] = {}

    def __len__(self) -> int:
        return len(self._asks)

    @property
    def answered(self) -> int:
        """Questions that have a line on the disk."""
        return sum((step.place, question) in self._file.votes for step, question in self._asks)

    def next_open(self) -> int | None:
        """The first question without a vote; None if all have one."""
        for number, (step, question) in enumerate(self._asks):
            if (step.place, question) not in self._file.votes:
                return number
        return None

    def asked(self, number: int) -> Asked:
        """A question; its time begins when it is first called for.

        Raises:
            IndexError: there is no such question, or it comes after one that is open.
        """
        following = self.next_open()
        if not 0 <= number < len(self._asks) or (following is not None and number > following):
            raise IndexError(number)
        step, question = self._asks[number]
        held = self._file.votes.get((step.place, question))
        left = None
        if self._plan.seconds is not None and held is None:
            begun = self._begun.setdefault(number, time.monotonic())
            left = max(0.0, self._plan.seconds - (time.monotonic() - begun))
        chosen = None if held is None or held.chosen is None else step.shown.index(held.chosen)
        return Asked(number, step, question, chosen, 1 if held is None else held.version + 1, left)

    def ahead(self, number: int) -> list[str]:
        """Ids of the videos of the step after that of a question."""
        place = self._asks[number][0].place
        for step, _ in self._asks[number:]:
            if step.place > place:
                return [step.scene.videos[system] for system in step.shown]
        return []

    def vote(self, number: int, *, choice: int | None, ms: int, version: int) -> bool:
        """Write a vote to the disk.

        Args:
            number: of the question.
            choice: the place of the video that is chosen, from 0; None where nothing was.
            ms: milliseconds that it took.
            version: as `Asked.version` said; the same vote with the same version again is the one given.

        Returns:
            Whether it is new; False if it had been written before.

        Raises:
            IndexError: there is no such question, or it comes after one that is open.
            VotesError: it is not a vote, comes too late, or was given elsewhere meanwhile.
            OSError: it cannot be written.
        """
        with self._lock:
            asked = self.asked(number)
            step = asked.step
            if choice is not None and not 0 <= choice < len(step.shown):
                raise VotesError(f"choice {choice} is not one of {len(step.shown)} videos")
            if choice is not None and self._is_late(number):
                raise VotesError("the time for this question is over")
            return self._file.append(
                Vote(
                    rater=self._file.rater,
                    place=step.place,
                    kind=step.kind,
                    question=asked.question,
                    prompt=step.scene.id,
                    shown=step.shown,
                    chosen=None if choice is None else step.shown[choice],
                    expected=step.expected,
                    ms=ms,
                    version=version,
                )
            )

    def _is_late(self, number: int) -> bool:
        begun = self._begun.get(number)
        if self._plan.seconds is None or begun is None:
            return False
        return time.monotonic() - begun > self._plan.seconds + _GRACE

    def close(self) -> None:
        """Close the rater's file, once no vote is being written."""
        with self._lock:
            self._file.close()
