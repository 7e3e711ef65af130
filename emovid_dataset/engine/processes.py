"""An executor that shares the parts out over processes of this machine."""

from __future__ import annotations

import os
import pickle
from collections.abc import Sequence
from typing import TYPE_CHECKING

from emovid_dataset.engine.base import Executor, OnDone, P, S, Stage
from emovid_dataset.engine.policy import broken_error
from emovid_dataset.engine.schedule import Schedule
from emovid_dataset.engine.worker_process import WorkerProcess, wait_for_any, without_ctrl_c

if TYPE_CHECKING:
    from emovid_dataset.store import Store


class Processes(Executor):
    """Does the parts in processes of this machine; a crash costs its part, not the run.

    The workers never see Ctrl-C and end with this process, even when it is killed. They are started only as
    there is work for them. A script that runs a stage must do so under `if __name__ == "__main__":`.

    Args:
        workers: number of processes. None is one per usable core, and a single one for a stage on a GPU.
    """

    def __init__(self, workers: int | None = None) -> None:
        if workers is not None and workers < 1:
            raise ValueError(f"workers is {workers}; it must be at least 1")
        self.workers = workers

    def run(self, stage: Stage[P, S], store: Store, *, on_done: OnDone) -> None:
        payload = pickle.dumps((stage, store))
        timeout = stage.resources.timeout
        slots = [WorkerProcess(index, payload, timeout) for index in range(self.workers_for(stage))]
        schedule = Schedule(stage, store, on_done)
        try:
            while busy := _hand_out(schedule, slots, stage.name):
                wait_for_any(busy)
                for slot in busy:
                    if (result := slot.poll()) is not None:
                        schedule.settle(slot.release(), result)
            _retire(slots, stage.name)
        finally:
            schedule.close()
            _kill(slots)

    def workers_for(self, stage: Stage[P, S]) -> int:
        """The most processes that a stage gets."""
        if self.workers is not None:
            return self.workers
        return 1 if stage.resources.gpu else usable_cores()


def usable_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _hand_out(schedule: Schedule, slots: Sequence[WorkerProcess], stage: str) -> list[WorkerProcess]:
    """Give the idle workers what there is to do; all workers that are busy then."""
    busy = [slot for slot in slots if slot.attempt is not None]
    for slot in slots:
        if slot.attempt is None:
            attempt = schedule.take(len(busy))
            if attempt is None:
                break
            if attempt.alone:
                _retire(slots, stage)  # idle workers hold memory too
            slot.give(attempt)
            busy.append(slot)
    return busy


def _retire(slots: Sequence[WorkerProcess], stage: str) -> None:
    """Let idle workers close what they set up, and end."""
    for slot in slots:
        slot.dismiss()
    for slot in slots:
        if broken := slot.leave():
            raise broken_error(stage, broken.failure)


def _kill(slots: Sequence[WorkerProcess]) -> None:
    with without_ctrl_c():  # a second Ctrl-C leaves no process behind
        for slot in slots:
            slot.kill()
    for slot in slots:
        slot.discard()
