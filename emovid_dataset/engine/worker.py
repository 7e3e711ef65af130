"""What every worker does with a part, in whatever process it is."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from emovid_dataset.engine.base import Failure, Outcome, Part, Stage
from emovid_dataset.engine.ledger import Ledger

if TYPE_CHECKING:
    from emovid_dataset.store import Store


@dataclass(frozen=True, slots=True)
class Broken:
    """A worker that cannot work, whatever the part: its setup failed, or the like."""

    failure: Failure


Result = Outcome | Failure | Broken
"""What comes of an attempt."""


class Worker:
    """Does parts of a stage one after the other; the stage is set up when the first one is to be run.

    Args:
        stage: whose parts.
        store: where outputs and ledger go.
        index: which worker this is, from 0.
    """

    def __init__(self, stage: Stage[Any, Any], store: Store, index: int) -> None:
        self._stage, self._store, self._index = stage, store, index
        self._ledger = Ledger(store, stage.ledger)
        self._state: list[Any] = []  # empty before the setup

    def perform(self, part: Part, *, written: bool, on_start: Callable[[], None] | None = None) -> Result:
        """Do a part.

        Args:
            part: what to do.
            written: whether it has a ledger file, so that it is done if its outputs are there.
            on_start: called when all is ready and the part itself begins.
        """
        try:
            if written:
                if self._is_whole(part):
                    return Outcome.REUSED
                self._ledger.remove(part.key)
            if not self._state:
                self._state.append(self._stage.setup(self._index))
        except Exception as error:
            return Broken(Failure.of(error))
        if on_start is not None:
            on_start()
        try:
            self._ledger.write(part.key, self._stage.run(self._state[0], part, self._store))
        except Exception as error:
            return Failure.of(error)
        return Outcome.DONE

    def close(self) -> Broken | None:
        """Release what the setup made, and the memory of a GPU that it was in."""
        try:
            while self._state:
                self._stage.close(self._state.pop())
            # PyTorch keeps it for itself, and the next stage may be another process's
            if (torch := sys.modules.get("torch")) is not None and torch.cuda.is_initialized():
                gc.collect()
                torch.cuda.empty_cache()
        except Exception as error:
            return Broken(Failure.of(error))
        return None

    def _is_whole(self, part: Part) -> bool:
        try:
            return self._stage.is_whole(part, self._ledger.read(part.key), self._store)
        except FileNotFoundError:  # the ledger file itself, or an output that was looked into
            return False
