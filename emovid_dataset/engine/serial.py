"""An executor that does everything in this process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emovid_dataset.engine.base import Executor, OnDone, P, S, Stage
from emovid_dataset.engine.policy import broken_error
from emovid_dataset.engine.schedule import Schedule
from emovid_dataset.engine.worker import Worker

if TYPE_CHECKING:
    from emovid_dataset.store import Store


class Serial(Executor):
    """Does the parts one after the other in this process.

    A part that crashes takes the process along, and no part can time out.
    """

    is_this_process = True

    def run(self, stage: Stage[P, S], store: Store, *, on_done: OnDone) -> None:
        schedule = Schedule(stage, store, on_done)
        worker = Worker(stage, store, 0)
        try:
            while (attempt := schedule.take(running=0)) is not None:
                schedule.settle(attempt, worker.perform(attempt.part, written=attempt.written))
        except BaseException:
            worker.close()  # should this fail too, what stopped the run is what the user must see
            raise
        finally:
            schedule.close()
        if broken := worker.close():
            raise broken_error(stage.name, broken.failure)
