"""Worker processes: who dies of what, who sees Ctrl-C, and who is left."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
from gates import Gate
from squares import Batch, Squares

from emovid_dataset.engine import Done, Outcome, Processes, StageError, records
from emovid_dataset.store import Store

HERE = Path(__file__).parent


@contextmanager
def script(store: Store, log: Path, workers: int, **stage: Any) -> Iterator[subprocess.Popen[str]]:
    """A process with a process group of its own that runs the stage; nothing of it is left afterwards."""
    command = [sys.executable, str(HERE / "run_squares.py"), store.root, str(log), str(workers)]
    process = subprocess.Popen(
        [*command, json.dumps(stage)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def workers_of(process: subprocess.Popen[str]) -> list[psutil.Process]:
    children = psutil.Process(process.pid).children(recursive=True)
    return [child for child in children if "spawn_main" in " ".join(child.cmdline())]


def wait_until_gone(family: list[psutil.Process]) -> None:
    _, alive = psutil.wait_procs(family, timeout=30)
    assert not alive, f"left behind: {alive}"


def test_a_crash_costs_its_part_and_not_the_one_beside_it(store: Store, log: Path) -> None:
    _, go = Gate(log / "here"), Gate(log / "go")
    # the other part begins before the crash, and ends after it
    stage = Squares(log, count=2, size=1, does={0: "knock_and_wait", 1: "wait_for_a_knock_and_segfault"})
    told: list[tuple[str, Outcome]] = []

    def on_done(done: Done) -> None:
        told.append((done.part.key, done.outcome))
        if done.outcome is Outcome.REFUSED:
            go.open()

    Processes(2).run(stage, store, on_done=on_done)
    assert told == [("1-1", Outcome.REFUSED), ("0-0", Outcome.DONE)]
    assert sorted((log / "log.txt").read_text().split("\n")).count("run 0-0") == 1


def test_what_was_killed_is_tried_again_with_no_other_worker_alive(store: Store, log: Path) -> None:
    stage = Squares(log, count=12, size=1, does={5: "kill_once_then_count_workers"})
    Processes(3).run(stage, store, on_done=lambda done: None)
    assert (log / "workers").read_text() == "1"
    assert len(list(store.list("ledger/"))) == 12


def test_ctrl_c_leaves_no_worker_and_what_is_done(store: Store, log: Path) -> None:
    here = Gate(log / "here")
    with script(store, log, 2, size=1, does={4: "knock_and_hang", 5: "knock_and_hang"}) as process:
        here.wait(2)
        family = workers_of(process)
        assert len(family) == 2
        os.killpg(process.pid, signal.SIGINT)
        _, errors = process.communicate(timeout=30)
        assert (process.returncode, errors) == (130, "")
        wait_until_gone(family)
    assert sorted(store.list("ledger/")) == [f"ledger/square/{n}-{n}.jsonl" for n in range(4)]
    Processes(2).run(Squares(log, size=1), store, on_done=lambda done: None)
    assert [record["number"] for record in records(Squares(log, size=1), store)] == list(range(16))


def test_workers_do_not_see_ctrl_c_even_while_they_import(store: Store, log: Path) -> None:
    importing, go = Gate(log / "importing"), Gate(log / "import")
    with script(store, log, 2, size=1) as process:
        importing.wait(2)
        family = workers_of(process)
        assert len(family) == 2
        for worker in family:
            os.kill(worker.pid, signal.SIGINT)
        go.open(2)
        _, errors = process.communicate(timeout=60)
        assert (process.returncode, errors) == (0, "")
    assert len(list(store.list("ledger/"))) == 16


def test_workers_do_not_see_ctrl_c_while_they_work(store: Store, log: Path) -> None:
    here, go = Gate(log / "here"), Gate(log / "go")
    with script(store, log, 2, size=1, does={4: "knock_and_wait", 5: "knock_and_wait"}) as process:
        here.wait(2)
        for worker in workers_of(process):
            os.kill(worker.pid, signal.SIGINT)
        go.open(2)
        _, errors = process.communicate(timeout=60)
        assert (process.returncode, errors) == (0, "")


@pytest.mark.parametrize("moment", ["at work", "while they import"])
def test_workers_end_with_a_parent_that_is_killed(store: Store, log: Path, moment: str) -> None:
    here = Gate(log / ("here" if moment == "at work" else "importing"))
    go = Gate(log / "import") if moment != "at work" else None
    with script(store, log, 2, size=1, does={0: "knock_and_hang", 1: "knock_and_hang"}) as process:
        here.wait(2)
        family = psutil.Process(process.pid).children(recursive=True)
        assert len(workers_of(process)) == 2
        process.kill()
        process.wait()
        if go is not None:
            go.open(2)
        wait_until_gone(family)


def children() -> list[psutil.Process]:
    """The workers of this process."""
    return [c for c in psutil.Process().children() if "spawn_main" in " ".join(c.cmdline())]


def test_an_exception_in_the_parent_leaves_no_worker(store: Store, log: Path) -> None:
    go = Gate(log / "go")

    class Enough(Exception):
        pass

    def stop(done: Done) -> None:
        raise Enough

    with pytest.raises(Enough):
        stage = Squares(log, size=1, does={0: "wait", 1: "let_go_and_hang"})
        Processes(2).run(stage, store, on_done=stop)
    assert children() == []
    del go


class Cube(Squares):
    """Another stage, with a ledger of its own."""

    name, ledger = "cube", "ledger/cube"


def setups(log: Path) -> list[str]:
    """The processes that were set up, one after the other."""
    lines = (log / "log.txt").read_text().splitlines()
    return [line.split()[2] for line in lines if line.startswith("setup")]


def test_workers_wait_for_the_next_stage_where_they_are_told_to(store: Store, log: Path) -> None:
    with Processes(1) as engine:
        with engine:
            engine.run(Squares(log), store, on_done=lambda done: None)
        (worker,) = children()
        engine.run(Cube(log), store, on_done=lambda done: None)
        assert setups(log) == [str(worker.pid)] * 2
        lines = (log / "log.txt").read_text().splitlines()
        assert [line.split()[0] for line in lines if line[:3] in ("set", "clo")] == ["setup", "close"] * 2

        # one that died meanwhile is replaced
        kill_the_only_worker(signal.SIGKILL)
        store.clear("ledger")
        engine.run(Squares(log), store, on_done=lambda done: None)
        assert len(set(setups(log))) == 2

        # what fails in the next stage costs no more than it does in a first one
        told: list[Done] = []
        broken = Cube(log, count=2, size=1, does={1: "segfault"})
        engine.run(broken, store, on_done=told.append)
        assert [done.outcome for done in told] == [Outcome.DONE, Outcome.REFUSED]
        again = Cube(log, count=3, size=1, does={2: "kill_once_then_count_workers"})
        engine.run(again, store, on_done=told.append)
        assert (log / "workers").read_text() == "1"
        assert told[-1].outcome is Outcome.DONE
        with pytest.raises(FileNotFoundError):
            engine.run(Cube(log, count=4, size=1, at_setup="miss_a_file"), store, on_done=told.append)
        assert children() == []
        engine.run(Cube(log, count=5, size=1), store, on_done=told.append)
        assert len(children()) == 1
    assert children() == []
    engine.run(Squares(log, count=17), store, on_done=lambda done: None)
    assert children() == []


def test_a_stage_on_fewer_workers_ends_those_that_are_left_over(store: Store, log: Path) -> None:
    go = Gate(log / "go")
    with Processes(2) as engine:
        stage = Squares(log, count=2, size=1, does={0: "wait", 1: "let_go"})
        engine.run(stage, store, on_done=lambda done: None)
        assert len(children()) == 2
        engine.workers = 1
        engine.run(Cube(log), store, on_done=lambda done: None)
        assert len(children()) == 1
    del go


def kill_the_only_worker(number: int) -> None:
    (worker,) = children()
    os.kill(worker.pid, number)
    while worker.status() != psutil.STATUS_ZOMBIE:
        os.sched_yield()


def test_a_worker_that_dies_while_it_is_idle_costs_nothing(store: Store, log: Path) -> None:
    told: list[Done] = []

    def kill_the_worker(done: Done) -> None:
        told.append(done)
        if len(told) == 1:
            kill_the_only_worker(signal.SIGSEGV)

    Processes(1).run(Squares(log, count=8), store, on_done=kill_the_worker)
    assert [done.outcome for done in told] == [Outcome.DONE, Outcome.DONE]
    setups = [line for line in (log / "log.txt").read_text().splitlines() if line.startswith("setup 0 ")]
    assert len(setups) == 2


class KillingItsWorker(Batch):
    """A part that takes the idle worker along at the very moment that it is sent."""

    def __reduce__(self) -> tuple[type[Batch], tuple[str, int, float, tuple[int, ...]]]:
        if not sent:
            sent.append(True)
            kill_the_only_worker(signal.SIGSEGV)
        return Batch, (self.key, self.rows, self.cost, self.numbers)


sent: list[bool] = []


class SecondPartKills(Squares):
    def parts(self, store: Store) -> Iterator[Batch]:
        first, second, *others = super().parts(store)
        yield from (first, KillingItsWorker(second.key, second.rows, second.cost, second.numbers), *others)


def test_a_worker_that_dies_while_a_part_is_on_its_way_costs_nothing(store: Store, log: Path) -> None:
    sent.clear()
    told: list[Done] = []
    Processes(1).run(SecondPartKills(log), store, on_done=told.append)
    assert sent and [(done.part.key, done.outcome) for done in told] == [
        (key, Outcome.DONE) for key in ("0-3", "4-7", "8-11", "12-15")
    ]


def end_orphan(log: Path) -> None:
    """End what a worker left behind, which must not have ended by itself: that would have closed the pipe."""
    assert not (log / "waited in vain").exists()
    os.kill(int((log / "orphan").read_text()), signal.SIGKILL)


def test_a_death_is_noticed_though_an_orphan_keeps_its_pipe_open(store: Store, log: Path) -> None:
    stage = Squares(log, count=4, size=1, does={2: "leave_an_orphan_and_die"})
    told: list[Done] = []
    Processes(1).run(stage, store, on_done=told.append)
    end_orphan(log)
    assert [done.part.key for done in told if done.outcome is Outcome.REFUSED] == ["2-2"]


def test_so_is_the_death_of_a_worker_that_has_nothing_left_to_do(store: Store, log: Path) -> None:
    stage = Squares(log, count=1, size=1, does={0: "leave_an_orphan"})
    Processes(1).run(stage, store, on_done=lambda done: kill_the_only_worker(signal.SIGKILL))
    end_orphan(log)


WITHOUT_GUARD = """\
import sys
from pathlib import Path

from squares import Squares

from emovid_dataset.engine import Processes
from emovid_dataset.store import Store

Processes(2).run(Squares(Path(sys.argv[2])), Store.at(sys.argv[1]), on_done=lambda done: None)
"""


def test_a_script_without_a_guard_is_told_what_it_lacks(store: Store, log: Path) -> None:
    (log / "script.py").write_text(WITHOUT_GUARD)
    command = [sys.executable, str(log / "script.py"), store.root, str(log)]
    environment = {**os.environ, "PYTHONPATH": str(HERE)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        'RuntimeError: processes do not start; a script must call this under `if __name__ == "__main__":`'
    )
    assert list(store.list()) == []


def test_a_stage_that_the_workers_cannot_load_stops_the_run(store: Store, log: Path) -> None:
    module = type(sys)("a_module_of_this_process_only")
    exec("from squares import Squares\nclass Local(Squares):\n    pass", module.__dict__)
    module.Local.__module__ = module.__name__
    sys.modules[module.__name__] = module
    try:
        with pytest.raises(StageError, match=r"^square: ModuleNotFoundError: No module named 'a_module_of"):
            Processes(1).run(module.Local(log), store, on_done=lambda done: None)
    finally:
        del sys.modules[module.__name__]
    assert list(store.list()) == []


def test_no_more_processes_are_started_than_there_are_parts(store: Store, log: Path) -> None:
    Processes(8).run(Squares(log, count=4, size=2), store, on_done=lambda done: None)
    setups = [line for line in (log / "log.txt").read_text().splitlines() if line.startswith("setup")]
    assert len(setups) <= 2
