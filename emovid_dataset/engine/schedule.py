"""Which part comes next, and what becomes of it: everything that executors have in common.

A schedule draws parts only as they are asked for and holds none but those that are to be tried again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from emovid_dataset.engine.base import Done, Failure, OnDone, Outcome, Part, Stage
from emovid_dataset.engine.ledger import Ledger
from emovid_dataset.engine.policy import (
    Action,
    Attempt,
    broken_error,
    decide,
    is_perhaps_the_machine,
    stop_error,
)
from emovid_dataset.engine.worker import Broken, Result

if TYPE_CHECKING:
    from emovid_dataset.store import Store


class Schedule:
    """The attempts of one run of a stage.

    An executor asks for attempts with `take`, makes them, and answers each with `settle`, in any order.
    """

    def __init__(self, stage: Stage[Any, Any], store: Store, on_done: OnDone) -> None:
        self._stage = stage
        self._on_done = on_done
        self._ledger = Ledger(store, stage.ledger)
        self._entries = self._ledger.entries()
        self._checks_outputs = type(stage).is_whole is not Stage.is_whole
        self._fresh = (attempt for part in stage.parts(store) for attempt in self._attempts(part))
        self._soon: deque[Attempt] = deque()
        self._alone: deque[Attempt] = deque()
        self._is_one_alone = False

    def take(self, running: int) -> Attempt | None:
        """The next attempt.

        Args:
            running: how many attempts were taken and are not settled.

        Returns:
            None when nothing may start before another attempt is settled, or, with none running, when all
            parts are done.
        """
        if self._is_one_alone or (self._alone and running):
            return None
        if self._alone:
            self._is_one_alone = True
            return self._alone.popleft()
        if self._soon:
            return self._soon.popleft()
        return next(self._fresh, None)

    def settle(self, attempt: Attempt, result: Result) -> None:
        """Record the result of an attempt.

        Raises:
            StageError, OSError, ValueError: the run stops.
        """
        if attempt.alone:
            self._is_one_alone = False
        if isinstance(result, Outcome):
            self._on_done(Done(attempt.part, result))
        elif isinstance(result, Broken):
            raise broken_error(self._stage.name, result.failure)
        else:
            self._settle_failure(attempt, result)

    def close(self) -> None:
        """Let go of what the stage holds open to name its parts."""
        self._fresh.close()

    def _settle_failure(self, attempt: Attempt, failure: Failure) -> None:
        part = attempt.part
        halves = part.halves()
        action = decide(attempt, failure, divisible=bool(halves))
        if action is Action.AGAIN:
            again = self._alone if attempt.alone else self._soon
            again.appendleft(replace(attempt, lost=attempt.lost + 1))
        elif action is Action.AGAIN_ALONE:
            self._alone.append(replace(attempt, written=False, alone=True, failed=attempt.failed + 1))
        elif action is Action.DIVIDE:
            self._divide(part, halves, alone=is_perhaps_the_machine(failure))
        elif action is Action.REFUSE and (records := self._stage.refuse(part, failure)) is not None:
            self._ledger.write(part.key, records)
            self._on_done(Done(part, Outcome.REFUSED, failure))
        else:
            raise stop_error(self._stage.name, part, failure)

    def _divide(self, part: Part, halves: tuple[Part, ...], *, alone: bool) -> None:
        keys = [half.key for half in halves]
        if part.key in keys:
            raise ValueError(f"{self._stage.name}: part {part.key} is a half of itself")
        self._ledger.divide(part.key, keys)
        attempts = [attempt for half in halves for attempt in self._attempts(half)]
        if alone:
            self._alone.extendleft(replace(attempt, alone=True) for attempt in reversed(attempts))
        else:
            self._soon.extendleft(reversed(attempts))

    def _attempts(self, part: Part) -> Iterator[Attempt]:
        """What is to be done about a part: nothing where it is done, its halves where it was divided."""
        if part.key in self._entries.done:
            if self._checks_outputs:
                yield Attempt(part, written=True)
            else:
                self._on_done(Done(part, Outcome.REUSED))
            return
        halves = part.halves() if part.key in self._entries.divided else ()
        if halves and self._ledger.halves(part.key) == tuple(half.key for half in halves):
            for half in halves:
                yield from self._attempts(half)
        else:
            yield Attempt(part)
