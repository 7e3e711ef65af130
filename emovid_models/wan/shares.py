"""How the processes of one run wait for each other while each fills its share of the cache.

They leave notes beside the cache instead of meeting in a collective of torch.distributed, whose time-out
would end a run in which one process encodes for longer than another.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from accelerate import Accelerator
from accelerate.utils import broadcast_object_list

from emovid_dataset.store import Store

_STARTED, _DONE = "started", b"done"
_LOOK = 1.0  # seconds between looks at the notes
_VISIBLE = 120.0  # seconds after which every machine sees what another one wrote to a shared disk


@dataclass(frozen=True, slots=True)
class Shares:
    """The processes of one run; a single one leaves no notes.

    Attributes:
        store: where the notes are; all processes must see it.
        run: a name that no other run has.
        rank: of this process.
        world: number of processes.
    """

    store: Store
    run: str
    rank: int
    world: int

    @classmethod
    def alone(cls, store: Store) -> Shares:
        """A run of this process alone."""
        return cls(store, uuid.uuid4().hex, 0, 1)

    @classmethod
    def begin(cls, store: Store, accelerator: Accelerator) -> Shares:
        """Agree on a name for the run, in all processes at the same time.

        Raises:
            ValueError: this process does not see the notes of the first one.
        """
        if accelerator.num_processes == 1:
            return cls.alone(store)
        rank, run = accelerator.process_index, uuid.uuid4().hex
        if rank == 0:
            store.put(f"shares/{run}/{_STARTED}", b"")
        shares = cls(store, broadcast_object_list([run])[0], rank, accelerator.num_processes)
        shares.look_for_start()
        return shares

    def look_for_start(self) -> None:
        """Make sure that this process sees what the first one wrote.

        Raises:
            ValueError: it does not.
        """
        end = time.monotonic() + _VISIBLE
        while not self.store.exists(self._note(_STARTED)):
            if time.monotonic() > end:
                raise ValueError(
                    f"the cache {self.store.name} is not shared: process {self.rank} does not see what "
                    "process 0 wrote there; give a folder or a bucket that all machines see"
                )
            time.sleep(_LOOK)

    @contextmanager
    def working(self) -> Iterator[None]:
        """A block in which this process fills its share; the others learn how it ended."""
        try:
            yield
        except BaseException as error:
            self._tell(f"{type(error).__name__}: {error}".encode())
            raise
        self._tell(_DONE)

    def wait(self) -> None:
        """Wait until all processes have filled their shares, however long that takes.

        Raises:
            OSError: one of them failed; the message says why.
        """
        missing = set(range(self.world)) if self.world > 1 else set()
        while missing:
            for rank in sorted(missing):
                if self.store.exists(self._note(rank)):
                    missing.discard(rank)
                    if (note := self.store.read(self._note(rank))) != _DONE:
                        raise OSError(f"process {rank} could not fill its share: {note.decode()}")
            if missing:
                time.sleep(_LOOK)

    def clear(self) -> None:
        """Delete the notes, once no process waits any more."""
        self.store.clear(f"shares/{self.run}")

    def _tell(self, note: bytes) -> None:
        if self.world > 1:
            self.store.put(self._note(self.rank), note)

    def _note(self, name: str | int) -> str:
        return f"shares/{self.run}/{name}"
