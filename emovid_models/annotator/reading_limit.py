"""How near annotating came to its limit: reading the frames that the model sees, and doing nothing else.

After the run the frames of a few of its videos are read alone, for at most a hundredth of the time that it
took, and what all of them would take by that measure is held against it. What is left is the model's.
"""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from emovid_dataset.engine import Executor, Processes, Serial, Stage
from emovid_dataset.media.frames import uniform_indices
from emovid_dataset.report.decoding_limit import COST, LEAST, DecodingLimit
from emovid_models.annotator.items import Item


def reading_limit(
    items: Sequence[Item],
    stage: Stage[Any, Any],
    executor: Executor,
    *,
    num_frames: int,
    done: int,
    seconds: float,
) -> DecodingLimit | None:
    """Learn how near a run came to reading its frames alone.

    Args:
        items: the videos that it was given.
        stage: that it ran.
        executor: who did it.
        num_frames: frames of each that the model saw.
        done: how many of the videos this run annotated; the others an earlier one had.
        seconds: wall time that it took.

    Returns:
        None where the run was too short to tell, no video could be read, or the workers are elsewhere.
    """
    workers, budget = _workers(executor, stage), COST * seconds
    if workers is None or budget < LEAST or not done:
        return None
    from emovid_models.remote.annotator.reading import read_frames

    read, taken = 0, 0.0
    for index in random.Random(0).sample(range(len(items)), len(items)):
        begun = time.perf_counter()
        with suppress(ValueError, OSError):  # it has an error in the table
            read_frames(items[index].open, lambda total: uniform_indices(total, num_frames))
            read += 1
        taken += time.perf_counter() - begun
        if taken >= budget:
            break
    if not read:
        return None
    return DecodingLimit("annotate", taken / read * done / (seconds * workers), "reading the frames of")


def _workers(executor: Executor, stage: Stage[Any, Any]) -> int | None:
    if isinstance(executor, Processes):
        return executor.workers_for(stage)
    return 1 if isinstance(executor, Serial) else None
