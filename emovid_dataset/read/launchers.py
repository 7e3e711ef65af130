"""Who divides a stream's clips among the ranks: the stream itself, or accelerate around it.

`Accelerator.prepare(DataLoader(stream))`, and so transformers' Trainer, puts one of two things around it:

- with `dispatch_batches`, the default, rank 0 iterates the stream and sends the others their parts of each
  batch; only tensors can be sent
- without it every rank iterates the whole stream and keeps its own part

Either says in accelerate's `GradientState` that it is being iterated before it asks the stream for anything.
After a `break` it goes on saying so, and one that is suspended does too. Whether it is the one that asks now
shows in the calls that lead here, in a worker that was forked for it as well.
"""

from __future__ import annotations

import sys
from enum import IntEnum
from types import FrameType, ModuleType
from typing import Any

from torch.utils.data import IterableDataset, dataloader


class Division(IntEnum):
    """Who divides the clips among the ranks."""

    BY_STREAM = 0
    BY_EACH_RANK = 1
    BY_RANK_0 = 2


def division_of(stream: object) -> Division:
    """Who divides a stream that a DataLoader is about to iterate, here or in a worker forked for it."""
    # Whoever prepared a loader has imported accelerate; nobody else should have to.
    state, loaders = (sys.modules.get(f"accelerate.{name}") for name in ("state", "data_loader"))
    if state is None or loaders is None:
        return Division.BY_STREAM
    loader = state.GradientState().active_dataloader
    dataset: Any = getattr(loader, "dataset", None)
    if not _reads(dataset, stream) or not _asks(loader, loaders):
        return Division.BY_STREAM
    if isinstance(dataset, loaders.IterableDatasetShard):
        return Division.BY_EACH_RANK
    dispatched = isinstance(loader, loaders.DataLoaderDispatcher) and loader.state.num_processes > 1
    return Division.BY_RANK_0 if dispatched else Division.BY_STREAM


def _asks(loader: object, loaders: ModuleType) -> bool:
    """Whether a method of accelerate's loader is among the calls that lead here."""
    frame: FrameType | None = sys._getframe()
    while frame is not None:
        if frame.f_globals is vars(loaders) and frame.f_locals.get("self") is loader:
            return True
        frame = frame.f_back
    return False


def is_known_here() -> bool:
    """Whether the calls that lead here show which DataLoader iterates: not in a worker that was spawned."""
    frame: FrameType | None = sys._getframe()
    while frame is not None:
        if frame.f_globals is vars(dataloader):
            return True
        frame = frame.f_back
    return False


def _reads(dataset: Any, stream: object, depth: int = 8) -> bool:
    """Whether a dataset is the stream, or holds it as one of its attributes, as a user's own wrapper does."""
    if dataset is stream:
        return True
    if not isinstance(dataset, IterableDataset) or not depth:
        return False
    return any(_reads(value, stream, depth - 1) for value in list(vars(dataset).values()))
