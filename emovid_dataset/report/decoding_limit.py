"""How near a long step came to its limit: decoding the same clips and doing nothing else.

Of a finished build a few clips are decoded alone, for at most a hundredth of the time that the step took, and
what all of them would take by that measure is held against it.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

from emovid_dataset.engine import Executor, Processes, Serial, usable_cores
from emovid_dataset.media.portable.errors import VideoError
from emovid_dataset.media.source import Reader
from emovid_dataset.read.shard import read_samples
from emovid_dataset.schema.manifest import Manifest
from emovid_dataset.store import Store

COST = 0.01
"""Share of a step's time that it takes to learn its limit, at most."""

LEAST = 0.02
"""Seconds; what is decoded in less says nothing."""

_SHARDS = 8  # from which the clips of the sample come in turn


@dataclass(frozen=True, slots=True)
class DecodingLimit:
    """How near a step came to decoding alone.

    Attributes:
        step: its name, such as "prepare".
        ratio: time that decoding alone takes by the time that the step took; 1 leaves nothing to gain.
        what: that is done at the limit.
    """

    step: str
    ratio: float
    what: str = "decoding"

    def __str__(self) -> str:
        share = "as long as" if self.ratio >= 1 else f"{self.ratio:.0%} of the time of"
        return f"{self.what} the clips alone would take {share} {self.step!r}"


def decoding_limit(
    step: str, build: Store, manifest: Manifest, executor: Executor, *, seconds: float, share: float = 1.0
) -> DecodingLimit | None:
    """Learn how near a step over all clips came to decoding alone.

    Args:
        step: its name.
        build: holds the clips.
        manifest: of the build.
        executor: who did the step.
        seconds: wall time that it took.
        share: of the clips' bytes that it decoded.

    Returns:
        None where the step was too short to tell, or nobody knows how many worked at it.
    """
    workers, budget = workers_of(executor), COST * seconds
    if workers is None or budget < LEAST:
        return None
    done, taken = 0.0, 0.0
    for clip in _drawn(build, manifest):
        try:
            size, spent = _decoded(clip, budget - taken)
        except VideoError:
            continue
        done, taken = done + size, taken + spent
        if taken >= budget:
            break
    if not done:
        return None
    alone = taken / done * share * sum(shard.size for shard in manifest.all_shards)
    return DecodingLimit(step, alone / (seconds * workers))


def workers_of(executor: Executor) -> int | None:
    """How many of an executor's workers work at once on this machine; None where others do the work."""
    if isinstance(executor, Serial):
        return 1
    if isinstance(executor, Processes):
        return min(executor.workers or usable_cores(), usable_cores())
    return None


def _drawn(build: Store, manifest: Manifest) -> Iterator[bytes]:
    """MP4s from some shards in turn, the same ones each time."""
    shards = list(manifest.all_shards)
    drawn = random.Random(0).sample(shards, min(_SHARDS, len(shards)))
    with ExitStack() as stack:
        opened = [read_samples(stack.enter_context(build.open(shard.path))) for shard in drawn]
        while opened:
            for samples in list(opened):
                found = next(samples, None)
                if found is None:
                    opened.remove(samples)
                else:
                    yield found[1]["mp4"]


def _decoded(clip: bytes, budget: float) -> tuple[float, float]:
    """Decode a clip, or as much of it as the time allows: bytes decoded, and seconds that it took."""
    begun = time.perf_counter()
    with Reader(clip, quick=True) as reader:
        count = reader.info.num_frames
        for index, _ in reader.frames(range(count)):
            spent = time.perf_counter() - begun
            if spent >= budget:
                return len(clip) * (index + 1) / count, spent
    return float(len(clip)), time.perf_counter() - begun
