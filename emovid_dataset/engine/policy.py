"""What follows when a part fails: the same rules on every executor.

::

    raised an OSError            the environment's fault: stop
    raised anything else,        the part's fault: divide it; what stands alone is refused
    or crashed
    lost with its node           nobody's fault: again
    killed, out of memory,       perhaps the machine's fault: again, alone; then divide it;
    or timed out                 what stands alone and fails twice stops the run and is never refused
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from emovid_dataset.engine.base import Failure, FailureKind, Part, StageError, WorkerTraceback

_PERHAPS_THE_MACHINE = frozenset((FailureKind.KILLED, FailureKind.OUT_OF_MEMORY, FailureKind.TIMED_OUT))
_LOSSES = 4  # that a part survives; whoever loses its worker more often takes it down
_STARVED = ": most likely out of memory; try fewer workers or a larger machine"  # SIGKILL is the OOM killer's


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try at a part.

    Attributes:
        part: what to do.
        written: whether it has a ledger file already, so that only its outputs are to be looked for.
        alone: whether no other part may run meanwhile.
        failed: how often it has been killed, starved of memory or timed out before.
        lost: how often its worker has been lost before.
    """

    part: Part
    written: bool = False
    alone: bool = False
    failed: int = 0
    lost: int = 0


class Action(Enum):
    """What to do about a failed attempt."""

    AGAIN = "again"
    AGAIN_ALONE = "again, alone"
    DIVIDE = "divide"
    REFUSE = "refuse"
    STOP = "stop"


def is_perhaps_the_machine(failure: Failure) -> bool:
    """Whether the same part may succeed on a larger or less busy machine."""
    return failure.kind in _PERHAPS_THE_MACHINE


def decide(attempt: Attempt, failure: Failure, *, divisible: bool) -> Action:
    """What to do about a failed attempt.

    Args:
        attempt: that failed.
        failure: how.
        divisible: whether the part can be divided.
    """
    if failure.kind is FailureKind.LOST:
        return Action.AGAIN if attempt.lost < _LOSSES else Action.STOP
    if is_perhaps_the_machine(failure):
        if attempt.alone and divisible:
            return Action.DIVIDE
        return Action.STOP if attempt.failed else Action.AGAIN_ALONE
    if failure.kind is FailureKind.RAISED and failure.family == "OSError":
        return Action.STOP
    return Action.DIVIDE if divisible else Action.REFUSE


def stop_error(stage: str, part: Part, failure: Failure) -> Exception:
    """The error of a run that stops because of a part."""
    if failure.kind is FailureKind.RAISED and failure.family == "OSError":
        return _as_raised(stage, part.key, failure)
    twice = "twice, the second time with nothing beside it"
    reason = {
        FailureKind.RAISED: failure.summary,
        FailureKind.CRASHED: failure.reason,
        FailureKind.KILLED: f"{failure.reason} {twice}" + (_STARVED if failure.type == "SIGKILL" else ""),
        FailureKind.OUT_OF_MEMORY: f"out of memory {twice} ({failure.summary}); it takes a larger machine",
        FailureKind.LOST: f"its worker was lost {_LOSSES + 1} times, the last time: {failure.reason}",
        FailureKind.TIMED_OUT: f"{failure.reason} {twice}",
    }[failure.kind]
    return _chained(StageError(stage, part.key, reason), failure)


def broken_error(stage: str, failure: Failure) -> Exception:
    """The error of a run that stops because its workers cannot work: the setup's own, in one line."""
    return _as_raised(stage, None, failure)


def _as_raised(stage: str, part: str | None, failure: Failure) -> Exception:
    error: Exception
    if failure.family == "OSError":
        error = OSError(failure.reason) if failure.errno is None else OSError(failure.errno, failure.reason)
    elif failure.family == "ValueError":
        error = ValueError(failure.reason)
    elif failure.kind is FailureKind.CRASHED:
        error = StageError(stage, part, failure.reason)
    else:
        error = StageError(stage, part, failure.summary)
    return _chained(error, failure)


def _chained(error: Exception, failure: Failure) -> Exception:
    if failure.traceback:
        error.__cause__ = WorkerTraceback(failure.traceback)
    return error
