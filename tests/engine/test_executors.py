"""Every executor: the same results, the same resumption, the same treatment of what fails."""

from __future__ import annotations

import errno
import itertools
import json
import os
import weakref
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from squares import Batch, CheckedSquares, Squares, batch

from emovid_dataset.engine import (
    Done,
    Executor,
    FailureKind,
    Outcome,
    Processes,
    Record,
    Resources,
    Serial,
    StageError,
    executor,
    records,
    run_stage,
    usable_cores,
)
from emovid_dataset.store import Store

ENGINES = {"serial": Serial(), "one process": Processes(1), "two processes": Processes(2)}


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> Executor:
    return ENGINES[request.param]


@pytest.fixture(params=["one process", "two processes"])
def processes(request: pytest.FixtureRequest) -> Executor:
    return ENGINES[request.param]


def run(engine: Executor, stage: Squares, store: Store) -> list[Done]:
    told: list[Done] = []
    engine.run(stage, store, on_done=told.append)
    return told


def done_log(stage: Squares, kind: str) -> list[str]:
    """What the workers noted: `kind` is run, setup or close."""
    path = stage.log / "log.txt"
    lines = path.read_text().splitlines() if path.exists() else []
    return [line.partition(" ")[2] for line in lines if line.startswith(f"{kind} ")]


def squares(store: Store) -> dict[int, int]:
    names = store.list("squares/")
    return {int(name.removeprefix("squares/")): int(store.read(name)) for name in names}


def assert_all_done_but(stage: Squares, store: Store, refused: dict[int, str]) -> None:
    """Every number is squared, except those that are refused for the given reasons."""
    wanted: list[Record] = [
        {"number": number, "reason": refused[number]}
        if number in refused
        else {"number": number, "square": number**2}
        for number in range(stage.count)
    ]
    assert list(records(stage, store)) == wanted
    assert squares(store) == {n: n**2 for n in range(stage.count) if n not in refused}


# results and resumption


@pytest.mark.parametrize("size", [1, 3, 16])
def test_all_parts_are_done_and_told_of(engine: Executor, store: Store, log: Path, size: int) -> None:
    stage = Squares(log, size=size)
    told = run(engine, stage, store)
    assert {done.outcome for done in told} == {Outcome.DONE}
    assert sorted(done.part.key for done in told) == sorted(part.key for part in stage.parts(store))
    assert_all_done_but(stage, store, {})


def test_the_ledger_has_one_file_per_part(engine: Executor, store: Store, log: Path) -> None:
    run(engine, Squares(log, count=4, size=2), store)
    assert list(store.list("ledger/")) == ["ledger/square/0-1.jsonl", "ledger/square/2-3.jsonl"]
    lines = store.read("ledger/square/2-3.jsonl").splitlines()
    assert [json.loads(line) for line in lines] == [{"number": 2, "square": 4}, {"number": 3, "square": 9}]


def test_a_rerun_does_nothing_and_tells_of_everything(engine: Executor, store: Store, log: Path) -> None:
    stage = Squares(log)
    run(engine, stage, store)
    before = (stage.log / "log.txt").read_text()
    told = run(engine, stage, store)
    assert [(done.part.key, done.outcome) for done in told] == [
        (part.key, Outcome.REUSED) for part in stage.parts(store)
    ]
    assert (stage.log / "log.txt").read_text() == before, "something was set up or run"


def test_a_run_goes_on_on_another_executor(engine: Executor, store: Store, log: Path) -> None:
    run(Serial(), Squares(log, count=8), store)
    stage = Squares(log)
    told = run(engine, stage, store)
    assert {d.part.key for d in told if d.outcome is Outcome.REUSED} == {"0-3", "4-7"}
    assert sorted(done_log(stage, "run")) == ["0-3", "12-15", "4-7", "8-11"]
    assert_all_done_but(stage, store, {})


def test_a_part_whose_outputs_are_gone_is_done_again(engine: Executor, store: Store, log: Path) -> None:
    stage = CheckedSquares(log)
    run(engine, stage, store)
    store.delete("squares/5")
    told = run(engine, stage, store)
    assert {done.part.key: done.outcome for done in told} == {
        "0-3": Outcome.REUSED,
        "4-7": Outcome.DONE,
        "8-11": Outcome.REUSED,
        "12-15": Outcome.REUSED,
    }
    assert_all_done_but(stage, store, {})


def test_looking_for_outputs_needs_no_setup(engine: Executor, store: Store, log: Path) -> None:
    stage = CheckedSquares(log)
    run(engine, stage, store)
    (log / "log.txt").unlink()
    assert {done.outcome for done in run(engine, stage, store)} == {Outcome.REUSED}
    assert done_log(stage, "setup") == []


def test_a_part_that_lost_its_outputs_and_now_fails_is_not_done(
    engine: Executor, store: Store, log: Path
) -> None:
    stage = CheckedSquares(log)
    run(engine, stage, store)
    store.delete("squares/5")
    with pytest.raises(StageError):
        run(engine, replace(stage, does={5: "raise_value_error"}, refuses=False), store)
    with pytest.raises(ValueError, match=r"square: part [45]-[45] is not done; run the same command again"):
        list(records(stage, store))


def test_records_of_a_stage_that_is_not_done(store: Store, log: Path) -> None:
    run(Serial(), Squares(log, count=4), store)
    found = records(Squares(log, count=8), store)
    assert [next(found)["number"] for _ in range(4)] == [0, 1, 2, 3]
    with pytest.raises(ValueError, match="square: part 4-7 is not done"):
        next(found)


# what a part does wrong by itself


@pytest.mark.parametrize(
    ("mischief", "reason"),
    [
        ("raise_value_error", "raised: not a\\x1b[0m square"),
        ("divide_by_zero", "raised: integer division or modulo by zero"),
    ],
)
def test_an_exception_is_narrowed_down_to_its_row(
    engine: Executor, store: Store, log: Path, mischief: str, reason: str
) -> None:
    stage = Squares(log, size=16, does={5: mischief})
    told = run(engine, stage, store)
    refused = [done for done in told if done.outcome is Outcome.REFUSED]
    assert [done.part.key for done in refused] == ["5-5"]
    assert refused[0].failure is not None and refused[0].failure.kind is FailureKind.RAISED
    assert sum(done.part.rows for done in told) == 16
    assert_all_done_but(stage, store, {5: reason})
    assert sorted(done_log(stage, "run")) == sorted(
        ["0-15", "0-7", "8-15", "0-3", "4-7", "4-5", "6-7", "4-4", "5-5"]
    )


@pytest.mark.parametrize(
    ("mischief", "reason"),
    [
        ("segfault", "crashed: the worker process died of SIGSEGV"),
        ("leave", "crashed: the worker process exited with code 0"),
        ("exit", "crashed: the worker process exited with code 3"),
    ],
)
def test_a_crash_is_narrowed_down_to_its_row(
    processes: Executor, store: Store, log: Path, mischief: str, reason: str
) -> None:
    stage = Squares(log, size=16, does={5: mischief})
    told = run(processes, stage, store)
    assert [done.part.key for done in told if done.outcome is Outcome.REFUSED] == ["5-5"]
    assert_all_done_but(stage, store, {5: reason})
    runs = done_log(stage, "run")
    assert len(runs) == len(set(runs)) == 9, "a part was run twice"


def test_a_rerun_does_not_crash_again(processes: Executor, store: Store, log: Path) -> None:
    stage = Squares(log, size=16, does={5: "segfault"})
    run(processes, stage, store)
    for number in (5, 6, 7):  # as if killed when it had found the fault
        store.delete(f"ledger/square/{number}-{number}.jsonl")
    store.delete("ledger/square/6-7.jsonl")
    (log / "log.txt").unlink()
    run(processes, stage, store)
    assert sorted(done_log(stage, "run")) == ["5-5", "6-7"]
    assert_all_done_but(stage, store, {5: "crashed: the worker process died of SIGSEGV"})


def test_a_division_that_a_stage_no_longer_makes_is_forgotten(
    engine: Executor, store: Store, log: Path
) -> None:
    stage = Squares(log, count=4)
    store.put("ledger/square/0-3.halves", b'{"halves": ["0-0", "1-3"]}\n')
    run(engine, stage, store)
    assert done_log(stage, "run") == ["0-3"]
    assert_all_done_but(stage, store, {})


def test_what_cannot_be_refused_stops_the_run(engine: Executor, store: Store, log: Path) -> None:
    stage = Squares(log, does={5: "raise_value_error"}, refuses=False)
    with pytest.raises(StageError) as caught:
        run(engine, stage, store)
    assert str(caught.value) == "square: part 5-5: ValueError: not a\\x1b[0m square"
    assert 'raise ValueError("not' in str(caught.value.__cause__), "where it was raised is lost"
    run(engine, replace(stage, does={}), store)
    assert_all_done_but(stage, store, {})


def test_a_crash_that_cannot_be_refused_stops_the_run(processes: Executor, store: Store, log: Path) -> None:
    stage = Squares(log, does={5: "segfault"}, refuses=False)
    with pytest.raises(StageError, match=r"^square: part 5-5: the worker process died of SIGSEGV$"):
        run(processes, stage, store)


@pytest.mark.parametrize("mischief", ["fill_the_disk", "fill_the_disk_of_pyav"])
def test_an_error_of_the_environment_stops_the_run_at_once(
    engine: Executor, store: Store, log: Path, mischief: str
) -> None:
    stage = Squares(log, count=400, does={5: mischief})
    with pytest.raises(OSError) as caught:
        run(engine, stage, store)
    assert type(caught.value) is OSError and caught.value.errno == errno.ENOSPC
    assert str(caught.value) == f"[Errno {errno.ENOSPC}] No space left on device: 'squares/5'"
    runs = done_log(stage, "run")
    assert "4-5" not in runs and runs.count("4-7") == 1, "it was tried again"
    assert len(runs) < 100, "it went on"


# what the machine may have done


def test_a_part_out_of_memory_is_tried_again(engine: Executor, store: Store, log: Path) -> None:
    stage = Squares(log, does={5: "exhaust_once"})
    assert {done.outcome for done in run(engine, stage, store)} == {Outcome.DONE}
    assert done_log(stage, "run").count("4-7") == 2
    assert_all_done_but(stage, store, {})


@pytest.mark.parametrize(
    ("mischief", "text"),
    [
        ("exhaust", "MemoryError"),
        ("exhaust_gpu", "OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB"),
    ],
)
def test_what_is_always_out_of_memory_stops_the_run(
    engine: Executor, store: Store, log: Path, mischief: str, text: str
) -> None:
    stage = Squares(log, does={5: mischief})
    with pytest.raises(StageError) as caught:
        run(engine, stage, store)
    assert str(caught.value) == (
        "square: part 5-5: out of memory twice, the second time with nothing beside it "
        f"({text}); it takes a larger machine"
    )
    assert 5 not in squares(store) and not store.exists("ledger/square/5-5.jsonl")
    runs = done_log(stage, "run")
    assert [runs.count(key) for key in ("4-7", "4-5", "5-5")] == [2, 1, 2]


def test_a_killed_worker_costs_nothing(processes: Executor, store: Store, log: Path) -> None:
    stage = Squares(log, does={5: "kill_once"})
    assert {done.outcome for done in run(processes, stage, store)} == {Outcome.DONE}
    assert (log / "once").exists(), "no worker was killed"
    assert done_log(stage, "run").count("4-7") == 2
    assert_all_done_but(stage, store, {})


@pytest.mark.parametrize(
    ("mischief", "name", "advice"),
    [
        ("kill", "SIGKILL", ": most likely out of memory; try fewer workers or a larger machine"),
        ("terminate", "SIGTERM", ""),
    ],
)
def test_what_is_always_killed_stops_the_run_which_goes_on_elsewhere(
    processes: Executor, store: Store, log: Path, mischief: str, name: str, advice: str
) -> None:
    stage = Squares(log, does={5: mischief})
    with pytest.raises(StageError) as caught:
        run(processes, stage, store)
    assert str(caught.value) == (
        f"square: part 5-5: the worker process died of {name} twice, the second time with nothing beside it"
        + advice
    )
    assert store.exists("ledger/square/0-3.jsonl") and store.exists("ledger/square/4-4.jsonl")
    assert not store.exists("ledger/square/5-5.jsonl")
    (log / "log.txt").unlink()
    larger_machine = replace(stage, does={})
    told = run(processes, larger_machine, store)
    assert {"0-3", "4-4"} <= {done.part.key for done in told if done.outcome is Outcome.REUSED}
    assert "4-7" not in done_log(stage, "run")
    assert_all_done_but(stage, store, {})


def test_a_part_that_hangs_once_is_tried_again(processes: Executor, store: Store, log: Path) -> None:
    stage = Squares(log, does={5: "hang_once"}, timeout=2)
    assert {done.outcome for done in run(processes, stage, store)} == {Outcome.DONE}
    assert_all_done_but(stage, store, {})


def test_a_part_that_always_hangs_stops_the_run(processes: Executor, store: Store, log: Path) -> None:
    stage = Squares(log, count=8, does={5: "hang"}, timeout=0.5)
    with pytest.raises(StageError) as caught:
        run(processes, stage, store)
    assert str(caught.value) == (
        "square: part 5-5: took longer than 0.5 s twice, the second time with nothing beside it"
    )
    assert not store.exists("ledger/square/5-5.jsonl")


# setup


def test_every_worker_is_set_up_and_closed_once(engine: Executor, store: Store, log: Path) -> None:
    stage = Squares(log, count=64, size=1)
    run(engine, stage, store)
    setups = done_log(stage, "setup")
    assert sorted(setups) == sorted(done_log(stage, "close"))
    assert len(set(setups)) == len(setups)
    assert {line.split()[0] for line in setups} <= {"0", "1"}


@pytest.mark.parametrize(
    ("mischief", "kind", "message"),
    [
        ("raise_value_error", ValueError, "not a\\x1b[0m square"),
        ("miss_a_file", FileNotFoundError, "[Errno 2] No such file or directory: 'weights.safetensors'"),
        ("miss_a_package", StageError, "square: ModuleNotFoundError: No module named 'frobnicate'"),
        ("exhaust", StageError, "square: MemoryError"),
    ],
)
def test_a_setup_that_fails_stops_the_run_with_its_own_error(
    engine: Executor, store: Store, log: Path, mischief: str, kind: type[Exception], message: str
) -> None:
    stage = Squares(log, at_setup=mischief)
    with pytest.raises(kind) as caught:
        run(engine, stage, store)
    assert type(caught.value) is kind and str(caught.value) == message
    assert done_log(stage, "run") == [] and list(store.list()) == []


def test_a_setup_that_crashes_refuses_nothing(processes: Executor, store: Store, log: Path) -> None:
    stage = Squares(log, at_setup="segfault")
    with pytest.raises(StageError, match=r"^square: the worker process died of SIGSEGV while it was set up$"):
        run(processes, stage, store)
    assert list(store.list()) == []


def test_a_setup_that_is_killed_once_costs_nothing(processes: Executor, store: Store, log: Path) -> None:
    stage = Squares(log, at_setup="kill_once")
    assert {done.outcome for done in run(processes, stage, store)} == {Outcome.DONE}
    assert (log / "once").exists()
    assert_all_done_but(stage, store, {})


# bounds

drawn: list[weakref.ref[Batch]] = []


@dataclass(frozen=True)
class Endless(Squares):
    def parts(self, store: Store) -> Iterator[Batch]:
        for number in itertools.count():
            part = batch([number])
            drawn.append(weakref.ref(part))
            yield part


class Enough(Exception):
    pass


def test_parts_are_drawn_as_they_are_done_and_not_kept(engine: Executor, store: Store, log: Path) -> None:
    drawn.clear()
    done = 0
    most = 0

    def stop_at_fifty(_: Done) -> None:
        nonlocal done, most
        done += 1
        assert len(drawn) <= done + 2, "parts are drawn ahead"
        most = max(most, sum(part() is not None for part in drawn))
        if done == 50:
            raise Enough

    with pytest.raises(Enough):
        engine.run(Endless(log), store, on_done=stop_at_fifty)
    assert done == 50 and most <= 4


# by name, with progress


def test_executors_by_name() -> None:
    assert isinstance(executor("serial"), Serial)
    assert isinstance(executor(), Processes)
    assert isinstance(executor(None, 1), Serial) and isinstance(executor(None, 2), Processes)
    assert (executor("processes", 1).threads, Serial().threads) == (usable_cores(), None)
    three = executor("processes", 3)
    assert isinstance(three, Processes) and three.workers == 3
    with pytest.raises(ValueError, match=r"^engine is 'slurm'; it must be one of processes, serial, ray$"):
        executor("slurm")
    for name in ("serial", "processes"):
        with pytest.raises(ValueError, match=r"^workers is 0; it must be at least 1$"):
            executor(name, 0)
    with pytest.raises(ValueError, match=r"^workers is 0; it must be at least 1$"):
        Processes(0)


def test_a_stage_on_a_gpu_has_one_worker_unless_told_otherwise(log: Path) -> None:
    class OnGpu(Squares):
        resources = Resources(gpu=True)  # type: ignore[assignment]

    assert Processes().workers_for(OnGpu(log)) == 1
    assert Processes(3).workers_for(OnGpu(log)) == 3
    assert Processes().workers_for(Squares(log)) == usable_cores() == len(os.sched_getaffinity(0))


released: list[bool] = []


class HoldingAFile(Squares):
    def parts(self, store: Store) -> Iterator[Batch]:
        try:
            yield from super().parts(store)
        finally:
            released.append(True)


def test_what_names_the_parts_is_released_when_a_run_stops(engine: Executor, store: Store, log: Path) -> None:
    released.clear()
    with pytest.raises(OSError) as caught:
        run(engine, HoldingAFile(log, does={1: "fill_the_disk"}), store)
    # while every frame of the run is still held by its traceback
    assert caught.value.__traceback__ is not None and released == [True]


def test_rows_are_counted_and_shown(
    engine: Executor, store: Store, log: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    stage = Squares(log, count=8, does={5: "raise_value_error"})
    counts = run_stage(stage, store, executor=engine, progress=True, total=8)
    assert (counts.done, counts.reused) == (8, 0)
    assert capfd.readouterr().err.startswith("square: 8/8 numbers, ")
    counts = run_stage(replace(stage, count=12), store, executor=engine, progress=False)
    assert (counts.done, counts.reused) == (4, 8)
    assert capfd.readouterr().err == ""


def test_a_record_that_is_not_json_is_the_fault_of_its_part(store: Store, log: Path) -> None:
    @dataclass(frozen=True)
    class NotANumber(Squares):
        def run(self, state: str, part: Batch, store: Store) -> Iterator[Record]:
            yield {"square": float("nan")}

        def refuse(self, part: Batch, failure: Any) -> Iterable[Record] | None:
            return None

    with pytest.raises(StageError, match="a record of part 0-0 cannot be written as JSON"):
        run(Serial(), NotANumber(log, count=1), store)
    assert list(store.list()) == []
