"""What follows when a part fails, and which part comes next."""

from __future__ import annotations

import errno
import pickle
from dataclasses import replace
from pathlib import Path

import pytest
from squares import OutOfMemoryError, Squares

from emovid_dataset.engine import Done, Failure, FailureKind, Outcome, StageError
from emovid_dataset.engine.policy import Action, Attempt, decide
from emovid_dataset.engine.schedule import Schedule
from emovid_dataset.store import Store

RAISED = Failure.of(ValueError("broken"))
DISK_FULL = Failure.of(OSError(errno.ENOSPC, "No space left on device"))
CRASHED = Failure(FailureKind.CRASHED, "the worker process died of SIGSEGV", "SIGSEGV")
KILLED = Failure(FailureKind.KILLED, "the worker process died of SIGKILL", "SIGKILL")
STARVED = Failure.of(MemoryError())
LOST = Failure(FailureKind.LOST, "its node has died", "ActorDiedError")
LATE = Failure(FailureKind.TIMED_OUT, "took longer than 5 s", "TimeoutError")


@pytest.mark.parametrize("failure", [RAISED, CRASHED, KILLED, STARVED, LATE])
@pytest.mark.parametrize("alone", [False, True])
@pytest.mark.parametrize("failed", [0, 1])
@pytest.mark.parametrize("divisible", [False, True])
def test_the_rules(failure: Failure, alone: bool, failed: int, divisible: bool, log: Path) -> None:
    part = next(Squares(log).parts(None))
    action = decide(Attempt(part, alone=alone, failed=failed), failure, divisible=divisible)
    if failure in (RAISED, CRASHED):
        assert action is (Action.DIVIDE if divisible else Action.REFUSE)
    elif divisible:
        assert action is (Action.DIVIDE if alone else [Action.AGAIN_ALONE, Action.STOP][failed])
    else:
        assert action is [Action.AGAIN_ALONE, Action.STOP][failed]


@pytest.mark.parametrize("divisible", [False, True])
def test_the_environment_is_never_the_fault_of_a_part(divisible: bool, log: Path) -> None:
    part = next(Squares(log).parts(None))
    assert decide(Attempt(part), DISK_FULL, divisible=divisible) is Action.STOP


@pytest.mark.parametrize(
    ("error", "kind", "family"),
    [
        (ValueError("x"), FailureKind.RAISED, "ValueError"),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "x"), FailureKind.RAISED, "ValueError"),
        (ZeroDivisionError("x"), FailureKind.RAISED, "Exception"),
        (PermissionError(errno.EACCES, "x"), FailureKind.RAISED, "OSError"),
        (MemoryError(), FailureKind.OUT_OF_MEMORY, "Exception"),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), FailureKind.OUT_OF_MEMORY, "OSError"),
        (OutOfMemoryError("CUDA out of memory"), FailureKind.OUT_OF_MEMORY, "Exception"),
        (RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"),) * 1
        + (FailureKind.OUT_OF_MEMORY, "Exception"),
        (RuntimeError("x"), FailureKind.RAISED, "Exception"),
    ],
)
def test_exceptions_have_a_kind(error: Exception, kind: FailureKind, family: str) -> None:
    failure = Failure.of(error)
    assert (failure.kind, failure.family) == (kind, family)
    assert pickle.loads(pickle.dumps(failure)) == failure


def test_real_libraries_running_out_of_memory() -> None:
    import numpy

    torch = pytest.importorskip("torch")
    for allocate in (lambda: numpy.empty(1 << 60, numpy.uint8), lambda: torch.empty(1 << 60)):
        with pytest.raises((MemoryError, RuntimeError)) as caught:
            allocate()
        assert Failure.of(caught.value).kind is FailureKind.OUT_OF_MEMORY
    assert issubclass(torch.OutOfMemoryError, RuntimeError)
    assert Failure.of(torch.OutOfMemoryError("x")).kind is FailureKind.OUT_OF_MEMORY


class Unprintable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (
            ValueError("two\n  lines\twith\x1b[31m colour and \udcff"),
            "two lines with\\x1b[31m colour and \\udcff",
        ),
        (ValueError(""), "ValueError"),
        (KeyError("fps"), "'fps'"),
        (OSError(errno.ENOENT, "No such file or directory", "a\nb"), "No such file or directory: 'a\\nb'"),
        (OSError("truncated"), "truncated"),
        (Unprintable(), "Unprintable"),
        (ValueError("x" * 10**6), "x" * 497 + "..."),
    ],
)
def test_a_reason_is_one_printable_line(error: Exception, reason: str) -> None:
    assert Failure.of(error).reason == reason


def test_a_stage_error_survives_the_way_between_processes() -> None:
    error = pickle.loads(pickle.dumps(StageError("prepare", "abc", "no memory")))
    assert (error.stage, error.part, error.reason) == ("prepare", "abc", "no memory")
    assert str(error) == "prepare: part abc: no memory" and isinstance(error, OSError)
    assert str(StageError("prepare", None, "no memory")) == "prepare: no memory"


# the order of attempts


@pytest.mark.parametrize("alone", [False, True])
def test_what_was_lost_is_tried_again_beside_others_and_not_for_ever(
    alone: bool, store: Store, log: Path
) -> None:
    plan = schedule(Squares(log, count=4, size=2), store, [])
    attempt = replace(take(plan, 0), alone=alone)
    for lost in range(1, 5):
        plan.settle(attempt, LOST)
        attempt = take(plan, 0)
        assert (attempt.part.key, attempt.alone, attempt.failed, attempt.lost) == ("0-1", alone, 0, lost)
    assert (plan.take(1) is None) == alone
    with pytest.raises(
        StageError, match=r"^square: part 0-1: its worker was lost 5 times, the last time: its "
    ):
        plan.settle(attempt, LOST)
    assert list(store.list()) == [], "neither divided nor refused"


def schedule(stage: Squares, store: Store, told: list[Done]) -> Schedule:
    return Schedule(stage, store, told.append)


def take(plan: Schedule, running: int) -> Attempt:
    attempt = plan.take(running)
    assert attempt is not None
    return attempt


def test_nothing_runs_beside_what_was_killed(store: Store, log: Path) -> None:
    plan = schedule(Squares(log, count=5, size=1), store, [])
    first, second = take(plan, 0), take(plan, 1)
    plan.settle(first, KILLED)
    assert plan.take(1) is None, "before the others have ended"
    plan.settle(second, Outcome.DONE)
    again = take(plan, 0)
    assert again.part == first.part and again.alone
    assert plan.take(1) is None, "while it runs"
    plan.settle(again, Outcome.DONE)
    assert [take(plan, n).part.key for n in range(3)] == ["2-2", "3-3", "4-4"]
    assert plan.take(3) is None and plan.take(0) is None


def test_halves_of_what_was_killed_run_alone_and_come_first(store: Store, log: Path) -> None:
    plan = schedule(Squares(log, count=6, size=2), store, [])
    first, second = take(plan, 0), take(plan, 1)
    plan.settle(second, KILLED)
    plan.settle(first, KILLED)
    again = take(plan, 0)
    assert again.part == second.part
    plan.settle(again, STARVED)
    halves = []
    for _ in range(2):
        halves.append(take(plan, 0))
        assert plan.take(1) is None
        plan.settle(halves[-1], Outcome.DONE)
    assert [(half.part.key, half.alone) for half in halves] == [("2-2", True), ("3-3", True)]
    assert [take(plan, 0).part.key] == ["0-1"]


def test_halves_of_what_crashed_come_next_and_together(store: Store, log: Path) -> None:
    plan = schedule(Squares(log, count=6, size=2), store, [])
    first = take(plan, 0)
    second = take(plan, 1)
    plan.settle(first, CRASHED)
    assert [take(plan, n).part.key for n in (1, 2, 3)] == ["0-0", "1-1", "4-5"]
    plan.settle(second, Outcome.DONE)


def test_a_part_that_is_half_of_itself_is_an_error(store: Store, log: Path) -> None:
    class Stuck(Squares):
        def parts(self, store):  # type: ignore[no-untyped-def]
            for part in super().parts(store):
                object.__setattr__(part, "halves", lambda part=part: (part, part))
                yield part

    plan = schedule(Stuck(log), store, [])
    with pytest.raises(ValueError, match="square: part 0-3 is a half of itself"):
        plan.settle(take(plan, 0), CRASHED)
