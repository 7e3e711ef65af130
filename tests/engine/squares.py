"""A stage that squares numbers, and on the way does to its worker what files do to decoders."""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from gates import knock, pass_through

from emovid_dataset.engine import Failure, Part, Record, Resources, Stage
from emovid_dataset.store import Store


@dataclass(frozen=True)  # without slots, so that a test can watch how many are alive
class Batch(Part):
    numbers: tuple[int, ...]

    def halves(self) -> tuple[Batch, ...]:
        if len(self.numbers) == 1:
            return ()
        middle = len(self.numbers) // 2
        return batch(self.numbers[:middle]), batch(self.numbers[middle:])


def batch(numbers: Iterable[int]) -> Batch:
    numbers = tuple(numbers)
    return Batch(f"{numbers[0]}-{numbers[-1]}", len(numbers), 100.0 * len(numbers), numbers)


class OutOfMemoryError(RuntimeError):
    """Named as torch's."""


@dataclass(frozen=True)
class Squares(Stage[Batch, str]):
    """Squares of 0 to `count - 1`, `size` per part.

    Attributes:
        log: folder of what the workers did, outside the store.
        does: what happens at a number: the name of a method of `Mischief`.
        at_setup: what happens at the setup.
        refuses: whether a number that cannot be squared is refused.
    """

    log: Path
    count: int = 16
    size: int = 4
    does: Mapping[int, str] = field(default_factory=dict)
    at_setup: str = ""
    refuses: bool = True
    timeout: float | None = None
    name = "square"
    unit = "numbers"
    ledger = "ledger/square"

    @property
    def resources(self) -> Resources:  # type: ignore[override]
        return Resources(timeout=self.timeout)

    def parts(self, store: Store) -> Iterator[Batch]:
        for first in range(0, self.count, self.size):
            yield batch(range(first, min(first + self.size, self.count)))

    def setup(self, worker: int) -> str:
        self.note(f"setup {worker} {os.getpid()}")
        if self.at_setup:
            getattr(Mischief(self.log), self.at_setup)()
        return f"worker {worker}"

    def close(self, state: str) -> None:
        self.note(f"close {state.removeprefix('worker ')} {os.getpid()}")

    def run(self, state: str, part: Batch, store: Store) -> Iterator[Record]:
        assert state.startswith("worker ")
        self.note(f"run {part.key}")
        for number in part.numbers:
            if number in self.does:
                getattr(Mischief(self.log), self.does[number])()
            store.put(f"squares/{number}", str(number**2).encode())
            yield {"number": number, "square": number**2}
        self.note(f"end {part.key}")

    def refuse(self, part: Batch, failure: Failure) -> Iterator[Record] | None:
        if not self.refuses:
            return None
        assert len(part.numbers) == 1
        return iter([{"number": part.numbers[0], "reason": f"{failure.kind.value}: {failure.reason}"}])

    def note(self, line: str) -> None:
        with (self.log / "log.txt").open("a") as file:
            file.write(line + "\n")


class CheckedSquares(Squares):
    """The same, where a part counts as done only while its outputs are there."""

    def is_whole(self, part: Batch, records: Iterable[Record], store: Store) -> bool:
        return all(store.exists(f"squares/{record['number']}") for record in records if "square" in record)


class Noted(Squares):
    """Leaves only records, and notes in which store it was run."""

    leaves_only_records = True

    def run(self, state: str, part: Batch, store: Store) -> Iterator[Record]:
        self.note(f"store {store.root}")
        yield from super().run(state, part, store)

    def is_whole(self, part: Batch, records: Iterable[Record], store: Store) -> bool:
        return all(record.get("reason") is None for record in records)


@dataclass(frozen=True)
class Mischief:
    log: Path

    def segfault(self) -> None:
        os.kill(os.getpid(), signal.SIGSEGV)

    def leave(self) -> None:
        os._exit(0)

    def exit(self) -> None:
        raise SystemExit(3)

    def kill(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def terminate(self) -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    def kill_once(self) -> None:
        if self.is_first_time():
            self.kill()

    def kill_once_then_count_workers(self) -> None:
        self.kill_once()
        siblings = psutil.Process().parent().children()  # type: ignore[union-attr]
        count = sum("spawn_main" in " ".join(sibling.cmdline()) for sibling in siblings)
        (self.log / "workers").write_text(str(count))

    def exhaust(self) -> None:
        raise MemoryError

    def exhaust_once(self) -> None:
        if self.is_first_time():
            self.exhaust()

    def exhaust_gpu(self) -> None:
        raise OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")

    def fill_the_disk(self) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "squares/5")

    def fill_the_disk_of_pyav(self) -> None:
        import av.error  # only here: every worker imports this file

        raise av.error.OSError(errno.ENOSPC, "No space left on device", "squares/5")

    def raise_value_error(self) -> None:
        raise ValueError("not\na\x1b[0m square")

    def divide_by_zero(self) -> None:
        print(1 // 0)

    def hang(self) -> None:
        signal.pause()

    def hang_once(self) -> None:
        if self.is_first_time():
            self.hang()

    def miss_a_package(self) -> None:
        raise ModuleNotFoundError("No module named 'frobnicate'")

    def miss_a_file(self) -> None:
        raise FileNotFoundError(errno.ENOENT, "No such file or directory", "weights.safetensors")

    def knock(self) -> None:
        knock(self.log / "here")

    def knock_and_wait(self) -> None:
        knock(self.log / "here")
        pass_through(self.log / "go")

    def knock_and_hang(self) -> None:
        knock(self.log / "here")
        signal.pause()

    def wait(self) -> None:
        pass_through(self.log / "go")

    def let_go(self) -> None:
        knock(self.log / "go")

    def let_go_and_hang(self) -> None:
        self.let_go()
        signal.pause()

    def wait_for_a_knock_and_segfault(self) -> None:
        pass_through(self.log / "here")
        self.segfault()

    def leave_an_orphan(self) -> None:
        orphan = os.fork()
        if orphan == 0:
            signal.sigtimedwait([], 60)
            (self.log / "waited in vain").touch()
            os._exit(0)
        (self.log / "orphan").write_text(str(orphan))

    def leave_an_orphan_and_die(self) -> None:
        self.leave_an_orphan()
        self.segfault()

    def is_first_time(self) -> bool:
        try:
            (self.log / "once").touch(exist_ok=False)
        except FileExistsError:
            return False
        return True
