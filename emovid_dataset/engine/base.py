"""What a stage is, what an executor promises, and what can go wrong with a part.

A stage names its parts, is set up once per worker, and does one part at a time; an executor decides who
does which part. A part counts as done when its ledger file is in the store, so that a run that was
interrupted goes on where it was, on any executor.
"""

from __future__ import annotations

import errno
import traceback
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar, cast

if TYPE_CHECKING:
    from emovid_dataset.store import Store

Record = Mapping[str, Any]
"""One line of a ledger file: JSON values by name."""

_LONGEST_REASON = 500  # characters; some libraries put a whole log into a message


@dataclass(frozen=True, slots=True)
class Part:
    """A unit of work, named by its content. Stages add their payload in a subclass; it must be picklable.

    Attributes:
        key: the name of its ledger file: letters, digits, `.`, `_` and `-`, at most 200 of them, not starting
            with a dot; unique in its stage. Another input or setting gives another key.
        rows: what it holds, counted in the stage's unit.
        cost: bytes to be read, for the progress display.
    """

    key: str
    rows: int
    cost: float

    def halves(self) -> tuple[Part, ...]:
        """The smaller parts that this one divides into, in order; () when it cannot be divided.

        The same part divides the same way every time: a resumed run goes on with the parts of a division.
        """
        return ()


P = TypeVar("P", bound=Part)
S = TypeVar("S")


@dataclass(frozen=True, slots=True)
class Resources:
    """What a stage needs.

    Attributes:
        gpu: its state takes a GPU where there is one; unless told otherwise, one worker does the stage.
        timeout: seconds that one part may take, without the setup; None for as long as it likes. Only an
            executor that runs parts in other processes can enforce it.
    """

    gpu: bool = False
    timeout: float | None = None


class FailureKind(str, Enum):
    """How a part failed."""

    RAISED = "raised"
    CRASHED = "crashed"  # its process died of a fault of its own, such as SIGSEGV, or exited
    KILLED = "killed"  # its process was killed from outside: by the OOM killer or a person
    OUT_OF_MEMORY = "out of memory"
    TIMED_OUT = "timed out"
    LOST = "lost"  # its worker is out of reach, with its node or the network


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a part failed, or why a worker cannot work.

    Attributes:
        kind: how.
        reason: one printable line.
        type: name of the exception's type, or of the signal.
        family: what the exception is to the command line: OSError for the environment's, ValueError for a
            wrong argument or input, Exception for anything else.
        errno: of an OSError.
        traceback: where it was raised, for whoever debugs it.
    """

    kind: FailureKind
    reason: str
    type: str
    family: Literal["OSError", "ValueError", "Exception"] = "Exception"
    errno: int | None = None
    traceback: str = field(default="", repr=False, compare=False)

    @property
    def summary(self) -> str:
        """The reason with the type before it."""
        return self.type if self.reason == self.type else f"{self.type}: {self.reason}"

    @classmethod
    def of(cls, error: Exception) -> Failure:
        """Describe an exception in values that survive the trip between processes."""
        out_of_memory = _is_out_of_memory(error)
        reason = one_line(_text(error)) or type(error).__name__
        return cls(
            kind=FailureKind.OUT_OF_MEMORY if out_of_memory else FailureKind.RAISED,
            reason=reason,
            type=type(error).__name__,
            family=_family(error),
            errno=error.errno if isinstance(error, OSError) else None,
            # formatting takes memory, and there is none
            traceback="" if out_of_memory else "".join(traceback.format_exception(error)),
        )


class StageError(OSError):
    """A stage stopped: a part cannot be done and nothing may stand for it, or its workers cannot work.

    An OSError, so that the command line shows its one line.

    Attributes:
        stage: the stage's name.
        part: the part's key; None where no single part is to blame.
        reason: one line.
    """

    def __init__(self, stage: str, part: str | None, reason: str) -> None:
        super().__init__(f"{stage}: {f'part {part}: ' if part else ''}{reason}")
        self.stage, self.part, self.reason = stage, part, reason

    def __reduce__(self) -> tuple[type[StageError], tuple[str, str | None, str]]:
        return type(self), (self.stage, self.part, self.reason)


class WorkerTraceback(Exception):
    """The cause of an error that was raised in a worker, as text."""

    def __str__(self) -> str:
        return f"\n{self.args[0]}"


class Outcome(Enum):
    """What became of a part."""

    DONE = "done"
    REUSED = "reused"  # an earlier run had done it
    REFUSED = "refused"  # it can never be done; its ledger file says why


@dataclass(frozen=True, slots=True)
class Done:
    """A part that counts as done: its ledger file is in the store.

    Attributes:
        part: which one; the halves of a part that had to be divided take its place.
        outcome: what became of it.
        failure: why it was refused, else None.
    """

    part: Part
    outcome: Outcome
    failure: Failure | None = None


OnDone = Callable[[Done], None]


class Stage(ABC, Generic[P, S]):
    """One step over all of a data set. Picklable: every worker process gets a copy.

    Attributes:
        name: title of the progress display, such as "prepare".
        unit: plural name of what rows are, such as "clips".
        ledger: folder of its ledger files in the store.
        resources: what it needs.
        leaves_only_records: its parts write nothing but their records, so that workers on other machines
            need not see its store.
    """

    name: str
    unit: str
    ledger: str
    resources: Resources = Resources()
    leaves_only_records: bool = False

    @abstractmethod
    def parts(self, store: Store) -> Iterator[P]:
        """All parts, one after the other; the same ones in the same order when a run is resumed."""

    def setup(self, worker: int) -> S:
        """What a worker keeps from part to part, such as a model. Called once per worker, before its first
        part; what it raises stops the run.

        Args:
            worker: 0, 1, ...: a stage on several GPUs chooses its device by it.
        """
        return cast(S, None)

    def close(self, state: S) -> None:
        """Release what `setup` made. Not called in a process that is killed."""
        return None

    @abstractmethod
    def run(self, state: S, part: P, store: Store) -> Iterable[Record]:
        """Do a part: write its outputs, yield its records.

        The records become the part's ledger file after the last one, so the outputs must be written by then.
        A part that was interrupted is run again.

        Raises:
            OSError: the environment is at fault, such as a full disk; the run stops at once.
            Exception: any other is taken as the fault of the part, which is divided until what is at fault
                stands alone and is refused.
        """

    def refuse(self, part: P, failure: Failure) -> Iterable[Record] | None:
        """The records of a part that is at fault all by itself; None (the default) stops the run.

        Called in the process that runs the stage, which has no state.

        Args:
            part: it cannot be divided.
            failure: it raised or crashed. What was killed, ran out of memory or timed out is never refused,
                for the result would depend on the machine.
        """
        return None

    def is_whole(self, part: P, records: Iterable[Record], store: Store) -> bool:
        """Whether the outputs that a part's ledger file speaks of are still there; asked before any setup."""
        return True


class Executor(ABC):
    """Who does the parts of a stage. All executors have the same results and treat failures alike.

    Within `with executor:` it may keep what is costly to start, such as its processes, from stage to stage;
    such blocks may be nested.

    Attributes:
        is_this_process: whether parts are done in this process, with what is loaded here.
        threads: CPU threads that one worker may compute on; None leaves it to the libraries.
    """

    is_this_process: bool = False
    threads: int | None = None
    _entered: int = 0

    def __enter__(self) -> Executor:
        self._entered += 1
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._entered -= 1
        if not self._entered:
            self._end_waiting()

    def _end_waiting(self) -> None:  # noqa: B027 - an executor that keeps nothing has nothing to end
        """End what was kept from stage to stage: the outermost block is over."""

    @abstractmethod
    def run(self, stage: Stage[P, S], store: Store, *, on_done: OnDone) -> None:
        """Do all parts of a stage that are not done yet.

        Args:
            stage: what to do.
            store: where its outputs and its ledger are.
            on_done: called for every part that counts as done, in this process, in no particular order.

        Raises:
            StageError: a part cannot be done and nothing may stand for it.
            OSError: the environment is at fault, such as a full disk.
            ValueError: the stage cannot be set up.
        """


def one_line(text: str) -> str:
    """A message as one printable line of bounded length.

    >>> one_line("bad\\n  name a\\udcff\\x1b[0m")
    'bad name a\\\\udcff\\\\x1b[0m'
    """
    line = " ".join(text[: 4 * _LONGEST_REASON].split())
    line = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line)
    return line if len(line) <= _LONGEST_REASON else line[: _LONGEST_REASON - 3] + "..."


def _family(error: Exception) -> Literal["OSError", "ValueError", "Exception"]:
    if isinstance(error, OSError):
        return "OSError"
    return "ValueError" if isinstance(error, ValueError) else "Exception"


def _text(error: Exception) -> str:
    try:
        if isinstance(error, OSError) and error.errno is not None and error.strerror:
            named = f": {error.filename!r}" if error.filename is not None else ""
            return f"{error.strerror}{named}"
        return str(error)
    except Exception:  # a message that cannot be made must not hide what happened
        return ""


def _is_out_of_memory(error: Exception) -> bool:
    """MemoryError of Python, NumPy, Arrow and PyAV, ENOMEM, and torch's, which is known by its name."""
    if isinstance(error, MemoryError):
        return True
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    if any(kind.__name__ == "OutOfMemoryError" for kind in type(error).__mro__):
        return True
    # torch has no type for the CPU's
    return isinstance(error, RuntimeError) and "DefaultCPUAllocator" in str(error)
