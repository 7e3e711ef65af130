"""An executor that shares the parts out over processes of this machine."""

from __future__ import annotations

import os
import pickle
from collections.abc import Sequence
from typing import TYPE_CHECKING

from emovid_dataset.engine.base import Executor, OnDone, P, S, Stage
from emovid_dataset.engine.policy import Attempt, broken_error
from emovid_dataset.engine.schedule import Schedule
from emovid_dataset.engine.worker_process import (
    Job,
    WorkerProcess,
    task_of,
    wait_for_any,
    without_ctrl_c,
)

if TYPE_CHECKING:
    from emovid_dataset.store import Store


class Processes(Executor):
    """Does the parts in processes of this machine; a crash costs its part, not the run.

    The workers never see Ctrl-C and end with this process, even when it is killed. They are started only as
    there is work for them, and end with the stage; within `with engine:` they wait for the next stage, which
    spares starting and importing again. A script that runs a stage must do so under
    `if __name__ == "__main__":`.

    Args:
        workers: number of processes. None is one per usable core, and a single one for a stage on a GPU.
    """

    def __init__(self, workers: int | None = None) -> None:
        if workers is not None and workers < 1:
            raise ValueError(f"workers is {workers}; it must be at least 1")
        self.workers = workers
        self.threads = None if workers is None else max(1, usable_cores() // workers)
        self._waiting: list[WorkerProcess] = []

    def _end_waiting(self) -> None:
        waiting, self._waiting = self._waiting, []
        _end(waiting)

    def run(self, stage: Stage[P, S], store: Store, *, on_done: OnDone) -> None:
        pickled, timeout = pickle.dumps(stage), stage.resources.timeout
        jobs = [Job(n, pickled, store, timeout) for n in range(self.workers_for(stage))]
        schedule = Schedule(stage, store, on_done)
        workers = self._at_work(jobs)
        busy: dict[WorkerProcess, Attempt] = {}
        try:
            while _hand_out(schedule, workers, busy, stage.name):
                wait_for_any(busy)
                for worker in list(busy):
                    if (result := worker.poll()) is not None:
                        schedule.settle(busy.pop(worker), result)
            _close(workers, stage.name)
            if self._entered:
                self._waiting += [worker for worker in workers if worker.has_process]
            else:
                _end(workers)
        finally:
            _kill([worker for worker in workers if worker not in self._waiting])
            schedule.close()

    def _at_work(self, jobs: Sequence[Job]) -> list[WorkerProcess]:
        """A place for each job, those with waiting workers first; what waits beyond that is ended."""
        waiting, self._waiting = self._waiting, []
        _end(waiting[len(jobs) :])
        workers = waiting[: len(jobs)]
        for worker, job in zip(workers, jobs, strict=False):
            worker.begin(job)
        return workers + [WorkerProcess(job) for job in jobs[len(workers) :]]

    def workers_for(self, stage: Stage[P, S]) -> int:
        """The most processes that a stage gets."""
        if self.workers is not None:
            return self.workers
        return 1 if stage.resources.gpu else usable_cores()


def usable_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _hand_out(
    schedule: Schedule, workers: Sequence[WorkerProcess], busy: dict[WorkerProcess, Attempt], stage: str
) -> bool:
    """Give the idle workers what there is to do; whether any is busy then."""
    for worker in workers:
        if worker not in busy:
            attempt = schedule.take(len(busy))
            if attempt is None:
                break
            if attempt.alone:
                idle = [other for other in workers if other not in busy]
                _close(idle, stage)
                _end(idle)  # idle workers hold memory too
            worker.give(task_of(attempt))
            busy[worker] = attempt
    return bool(busy)


def _close(idle: Sequence[WorkerProcess], stage: str) -> None:
    """Let idle workers close what they set up."""
    for worker in idle:
        worker.dismiss()
    for worker in idle:
        if broken := worker.closed():
            raise broken_error(stage, broken.failure)


def _end(closed: Sequence[WorkerProcess]) -> None:
    """Let workers whose stage is closed end."""
    for worker in closed:
        worker.ask_to_exit()
    for worker in closed:
        worker.exited()


def _kill(workers: Sequence[WorkerProcess]) -> None:
    with without_ctrl_c():  # a second Ctrl-C leaves no process behind
        for worker in workers:
            worker.kill()
    for worker in workers:
        worker.discard()
