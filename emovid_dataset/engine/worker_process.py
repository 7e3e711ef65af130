"""One worker process: it is started, given parts of one stage or several, watched, and said why it died.

Each worker is a process with a pipe of its own, on one part at a time, so that a death costs exactly the part
that it was on, and its exit code tells a crash from a kill.

::

    this process                      a worker
        <------------- UP --------------     it has started
        -------------- job ------------->    a stage and its store
        ------------- part ------------->    looked for in the ledger; set up, the first time
        <----------- RUNNING ------------    its time begins
        <------------ result ------------    its ledger file is written
        ------------- None ------------->    close
        <----------- CLOSED -------------    ready for another job
        ------------- EXIT ------------->
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import threading
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import Enum
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from typing import TYPE_CHECKING, Any

from emovid_dataset.engine.base import Failure, FailureKind
from emovid_dataset.engine.worker import Broken, Result, Worker

if TYPE_CHECKING:
    from multiprocessing.context import SpawnProcess

    from emovid_dataset.engine.policy import Attempt
    from emovid_dataset.store import Store

# What a program does to itself. Every other signal comes from outside.
_FAULTS = frozenset(
    getattr(signal, f"SIG{name}") for name in ("SEGV", "BUS", "ABRT", "ILL", "FPE", "TRAP", "SYS")
)
_CLOSE = pickle.dumps(None)
_EXIT = b"exit"  # no pickle begins like this
_LOOK = 1.0  # seconds between looks at processes whose pipe an orphan of theirs keeps open
_LEAVE = 10.0  # seconds that a worker has for exiting after its last word


def task_of(attempt: Attempt) -> bytes:
    """What a worker needs to know of an attempt."""
    return pickle.dumps((attempt.part, attempt.written))


def wait_for_any(busy: Collection[WorkerProcess]) -> None:
    """Wait until one of these workers says something, dies or runs out of time, or for a second."""
    until = min((worker.deadline for worker in busy if worker.deadline is not None), default=float("inf"))
    seconds = min(_LOOK, max(until - time.monotonic(), 0.0))
    wait([thing for worker in busy for thing in worker.signs_of_life()], seconds)


class _Sign(Enum):
    """What a worker tells beside results."""

    UP = "up"
    RUNNING = "running"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class Job:
    """What a worker is there for, until another job comes.

    Attributes:
        index: which worker of the stage it is.
        stage: pickled; only the worker loads it.
        store: where its outputs and its ledger go.
        timeout: seconds that one part may take, None for as long as it likes.
    """

    index: int
    stage: bytes
    store: Store
    timeout: float | None


class WorkerProcess:
    """A place for one worker process; another one takes the place of one that died.

    Args:
        job: its first one.

    Attributes:
        deadline: when its time is up, None while no clock runs.
    """

    def __init__(self, job: Job) -> None:
        self.deadline: float | None = None
        self._job = job
        self._task = b""
        self._process: SpawnProcess | None = None
        self._connection: Connection | None = None
        self._is_up = self._has_job = self._is_running = self._has_answered = False

    def begin(self, job: Job) -> None:
        """Take up another job, when the last one is closed."""
        self._job = job

    def give(self, task: bytes) -> None:
        """Start an attempt, in a new process where there is none.

        Args:
            task: from `task_of`.
        """
        if self._process is not None and self._process.exitcode is not None:
            self.discard()  # it died while it was idle
        self._task, self.deadline, self._is_running = task, None, False
        if self._process is None:
            self._start()
        else:
            self._send_task()

    def signs_of_life(self) -> list[Any]:
        """What `wait` takes: becomes ready when the worker says something or dies."""
        assert self._connection is not None and self._process is not None
        return [self._connection, self._process.sentinel]

    def poll(self) -> Result | None:
        """What came of the attempt that it was given, None as long as that goes on.

        Raises:
            RuntimeError: processes cannot start.
        """
        assert self._process is not None
        # Asked before the pipe is read: what a process says before it dies is in the pipe by then.
        is_dead = self._process.exitcode is not None
        message, has_ended = self._receive()
        if message is not None:
            self._has_answered = True
            self.deadline = None
            return message
        if is_dead or has_ended:
            if self._has_answered and not self._is_running:
                # It died of what it did before: this attempt has not begun. A new process that dies before it
                # answers does not come back here.
                self.discard()
                self._start()
                return None
            return self._death()
        if self.deadline is not None and time.monotonic() >= self.deadline:
            self.discard()
            return Failure(FailureKind.TIMED_OUT, f"took longer than {self._job.timeout:g} s", "TimeoutError")
        return None

    @property
    def has_process(self) -> bool:
        """Whether there is a process, as far as is known."""
        return self._process is not None

    def dismiss(self) -> None:
        """Ask an idle worker to close its job."""
        if self._has_job:
            self._send(_CLOSE)

    def closed(self) -> Broken | None:
        """Wait until a dismissed worker is ready for another job; why its closing failed, if it did."""
        if self._process is None or self._connection is None or not self._has_job:
            return None
        last, self._has_job = None, False
        with suppress(EOFError, OSError):  # it died while it was idle: all its parts are done
            while not self._connection.poll(_LOOK) and self._process.exitcode is None:
                pass
            if self._connection.poll():
                last = self._connection.recv()
        if last is None:
            self.discard()
        return last if isinstance(last, Broken) else None

    def ask_to_exit(self) -> None:
        """Let an idle worker whose job is closed end by itself; `exited` must follow."""
        if self._process is not None:
            self._send(_EXIT)

    def exited(self) -> None:
        """Wait until a worker that was asked to exit has gone."""
        if self._process is not None:
            self._process.join(_LEAVE)
            self.discard()

    def kill(self) -> None:
        """Kill the process, if there is one."""
        if self._process is not None:
            self._process.kill()

    def discard(self) -> None:
        """Kill the process, if there is one, and wait until it is gone."""
        if self._process is not None and self._connection is not None:
            self._process.kill()
            self._process.join()
            self._connection.close()
            self._process = self._connection = None
            self._has_job = False

    def _start(self) -> None:
        # Started before SIGINT is blocked, for starting it unblocks SIGINT.
        resource_tracker.ensure_running()
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=_serve, args=(theirs,), name=f"worker {self._job.index}")
        with without_ctrl_c():
            process.start()
            self._process, self._connection = process, ours
            self._is_up = self._has_answered = False
        theirs.close()

    def _send_task(self) -> None:
        if not self._has_job:
            self._has_job = True
            self._send(pickle.dumps((self._job.index, self._job.store, self._job.stage)))
        self._send(self._task)

    def _send(self, message: bytes) -> None:
        assert self._connection is not None
        with suppress(OSError):  # it is dead, which the next look at it shows
            self._connection.send_bytes(message)

    def _receive(self) -> tuple[Result | None, bool]:
        """The attempt's result, if it has come, and whether the pipe has ended."""
        assert self._connection is not None
        try:
            while self._connection.poll():
                message = self._connection.recv()
                if message is _Sign.UP:
                    self._is_up = True
                    self._send_task()
                elif message is _Sign.RUNNING:
                    self._is_running = True
                    if self._job.timeout is not None:
                        self.deadline = time.monotonic() + self._job.timeout
                else:
                    return message, False
        except (EOFError, OSError):
            return None, True
        return None, False

    def _death(self) -> Result:
        """Why the process died."""
        assert self._process is not None
        process = self._process
        process.join(_LEAVE)  # the pipe ends a moment before the process
        self.discard()
        code = process.exitcode
        assert code is not None
        if code < 0:
            kind = FailureKind.CRASHED if -code in _FAULTS else FailureKind.KILLED
            name = _signal_name(-code)
            failure = Failure(kind, f"the worker process died of {name}", name)
        else:
            failure = Failure(FailureKind.CRASHED, f"the worker process exited with code {code}", "exit")
        if failure.kind is FailureKind.KILLED or self._is_running:
            return failure
        if not self._is_up and code > 0:
            raise RuntimeError(
                'processes do not start; a script must call this under `if __name__ == "__main__":`'
            )
        return Broken(Failure(failure.kind, f"{failure.reason} while it was set up", failure.type))


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal
        return f"signal {number}"


@contextmanager
def without_ctrl_c() -> Iterator[None]:
    """Processes started in here never see Ctrl-C, not even while they import; this one sees it after."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


# in the worker


def _serve(connection: Connection) -> None:
    """Do the jobs that come through the pipe, until it is time to exit or the pipe ends."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    connection.send(_Sign.UP)
    with suppress(EOFError):
        while (job := connection.recv_bytes()) != _EXIT:
            try:
                index, store, stage = pickle.loads(job)
                worker = Worker(pickle.loads(stage), store, index)
            except Exception as error:
                connection.send(Broken(Failure.of(error)))
                return
            if not _do_parts(worker, connection):
                return
            connection.send(worker.close() or _Sign.CLOSED)


def _do_parts(worker: Worker, connection: Connection) -> bool:
    """Do the parts of one job, until None comes; whether all of them could be loaded here.

    Raises:
        EOFError: the pipe has ended.
    """
    while True:
        message = connection.recv_bytes()
        try:
            task = pickle.loads(message)
        except Exception as error:
            connection.send(Broken(Failure.of(error)))
            return False
        if task is None:
            return True
        part, written = task
        result = worker.perform(part, written=written, on_start=lambda: connection.send(_Sign.RUNNING))
        connection.send(result)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
