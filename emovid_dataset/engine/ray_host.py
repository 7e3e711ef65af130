"""What lies at the other end of `Ray`: an actor that keeps one worker process on its node.

The part runs in a process below the actor, so that its exit code tells a crash from a kill as it does on one
machine; the actor itself dies only with its node.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from tempfile import TemporaryDirectory

import emovid_dataset
from emovid_dataset.engine.base import Outcome
from emovid_dataset.engine.ledger import Ledger
from emovid_dataset.engine.worker import Broken, Result
from emovid_dataset.engine.worker_process import Job, WorkerProcess, wait_for_any
from emovid_dataset.store import Store


@dataclass(frozen=True, slots=True)
class Call:
    """An attempt on its way to a node.

    Attributes:
        key: of the part.
        task: see `worker_process.task_of`.
        entry: the part's ledger file, for a host with a ledger of its own.
    """

    key: str
    task: bytes
    entry: bytes | None


@dataclass(frozen=True, slots=True)
class CallResult:
    """What came of an attempt.

    Attributes:
        result: the outcome, or why there is none.
        entry: the part's ledger file, from a host with a ledger of its own.
    """

    result: Result
    entry: bytes | None


@dataclass(frozen=True, slots=True)
class HostFacts:
    """What a host says of its node before it is given work.

    Attributes:
        version: of this package.
        sees_store: whether it found the mark that the driver left in the store.
    """

    version: str
    sees_store: bool


class RayHost:
    """One worker on some node, for one stage after the other; made into an actor by `Ray`."""

    def __init__(self) -> None:
        # Else the worker process would run Ray's own script as its main module.
        vars(sys.modules["__main__"]).pop("__file__", None)
        self._worker: WorkerProcess | None = None
        self._scratch: TemporaryDirectory[str] | None = None

    def begin(
        self, index: int, stage: bytes, store: Store | None, ledger: str, timeout: float | None, mark: str
    ) -> HostFacts:
        """Take up a stage, when the last one is closed, and look around on this node.

        Args:
            index: which worker of the stage this is.
            stage: pickled; only the worker process loads it.
            store: where outputs and ledger go; None for a ledger of its own, which travels with the answers.
            ledger: folder of the ledger files.
            timeout: seconds that one part may take, None for as long as it likes.
            mark: name of a file that the driver left in the store.
        """
        self._scratch = None if store else TemporaryDirectory(prefix="emovid-ray-")
        used = store or Store.at(self._scratch.name if self._scratch else "")
        self._ledger = Ledger(used, ledger)
        job = Job(index, stage, used, timeout)
        if self._worker is None:
            self._worker = WorkerProcess(job)
        else:
            self._worker.begin(job)
        return HostFacts(emovid_dataset.__version__, self._scratch is not None or used.exists(mark))

    def perform(self, call: Call) -> CallResult:
        """Do a part, and wait for it."""
        assert self._worker is not None
        if self._scratch and call.entry is not None:
            self._ledger.enter(call.key, call.entry)
        self._worker.give(call.task)
        while (result := self._worker.poll()) is None:
            wait_for_any([self._worker])
        entry = None
        if self._scratch and isinstance(result, Outcome):
            entry = self._ledger.entry(call.key)
            self._ledger.remove(call.key)
        return CallResult(result, entry)

    def close(self) -> Broken | None:
        """Let the worker process close what it set up for the stage; why that failed, if it did."""
        assert self._worker is not None
        self._worker.dismiss()
        broken = self._worker.closed()
        if self._scratch:
            self._scratch.cleanup()
        return broken

    def leave(self) -> None:
        """Let the worker process end, when its stage is closed."""
        if self._worker is not None:
            self._worker.ask_to_exit()
            self._worker.exited()
