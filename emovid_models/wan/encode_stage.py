"""`encode`: fill the latent cache, as a stage that any executor runs.

The ledger lies in the cache. What is there and whole is never encoded again, whichever run or selection of
clips it was encoded for.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch

from emovid_dataset.engine import (
    Executor,
    Part,
    Record,
    Resources,
    Serial,
    Stage,
    records,
    run_stage,
)
from emovid_dataset.read.select import Selection
from emovid_dataset.store import Store
from emovid_models.library_bars import library_bars
from emovid_models.wan.cache import LatentCache, clip_pixels
from emovid_models.wan.encode import BaseOutline, Encoders
from emovid_models.wan.plan import BucketedClip, CachePlan
from emovid_models.wan.shares import Shares

CLIPS_PER_PART = 8
LEAST_PARTS = 64
"""Most clips in a part, and about how many parts there are at least, so that there is something to share."""


@dataclass(frozen=True, slots=True)
class EncodePart(Part):
    """Clips that one worker encodes in one go, with all of their texts.

    Attributes:
        clips: in the order of the plan.
        videos: holds the clips' videos, unread; a stretch of the whole selection.
        first: index in the whole selection at which that stretch begins.
    """

    clips: tuple[BucketedClip, ...]
    videos: Selection
    first: int

    @classmethod
    def of(cls, clips: Sequence[BucketedClip], videos: Selection, first: int = 0) -> EncodePart:
        """The part of these clips, named by what is to be encoded.

        Args:
            clips: at least one.
            videos: a stretch of the selection that holds them.
            first: index in the selection at which the stretch begins.
        """
        wanted = [(item.name, sorted(item.texts().values())) for item in clips]
        key = hashlib.sha256(repr(wanted).encode()).hexdigest()[:32]
        start, stop = clips[0].index - first, clips[-1].index - first + 1
        return cls(key, len(clips), 0.0, tuple(clips), videos[start:stop], clips[0].index)

    def halves(self) -> tuple[EncodePart, ...]:
        """Half of the clips each; a single clip cannot be divided."""
        middle = len(self.clips) // 2
        if not middle:
            return ()
        return tuple(
            self.of(clips, self.videos, self.first) for clips in (self.clips[:middle], self.clips[middle:])
        )

    def video(self, item: BucketedClip) -> bytes:
        """Read the MP4 of one of the clips."""
        return self.videos[item.index - self.first].video


class EncodeStage(Stage[EncodePart, Encoders]):
    """Encodes the clips of a plan and their texts, where they are missing from the cache or damaged there.

    Args:
        plan: the clips.
        selection: gives their videos.
        base: whose encoders.
        run: a name for this run, by which its records are told from those of earlier ones.
        device: where the encoders run; None gives each worker a GPU, the CPU where there is none.
        encoders: those that are already loaded, for an executor that works in this process; None loads them
            when there is something to encode.
        rank: of this process among `world` that share the parts.
        world: number of processes.
        threads: of torch in a worker that has no GPU; None leaves them as they are.
    """

    name, unit, ledger = "encode", "clips", "encoded"
    resources = Resources(gpu=True)

    def __init__(
        self,
        plan: CachePlan,
        selection: Selection,
        base: BaseOutline,
        *,
        run: str,
        device: torch.device | str | None = None,
        encoders: Encoders | None = None,
        rank: int = 0,
        world: int = 1,
        threads: int | None = None,
    ) -> None:
        self.plan, self.selection, self.encoders = plan, selection, encoders
        self.base, self.task, self.revision = base.name, base.task, base.revision
        self.run_name, self.device, self.threads = run, device, threads
        self.rank, self.world = rank, world

    def __getstate__(self) -> dict[str, Any]:
        """What a worker gets: neither the plan, since a part holds what is to be done, nor loaded models."""
        return {**self.__dict__, "plan": None, "selection": None, "encoders": None}

    def parts(self, store: Store) -> Iterator[EncodePart]:
        """Clips that follow each other in the selection."""
        clips = self.plan.clips
        count = max(1, min(CLIPS_PER_PART, len(clips) // LEAST_PARTS))
        for first in islice(range(0, len(clips), count), self.rank, None, self.world):
            yield EncodePart.of(clips[first : first + count], self.selection)

    def setup(self, worker: int) -> Encoders:
        """Load the encoders."""
        if self.encoders is not None:
            return self.encoders
        device = self.device
        if device is None:
            count = torch.cuda.device_count()
            device = f"cuda:{worker % count}" if count else "cpu"
        if self.threads is not None and torch.device(device).type == "cpu":
            torch.set_num_threads(self.threads)
        # A worker has no plan, and the bars of several workers overwrite each other.
        with library_bars("transformers", "diffusers", shown=self.plan is not None):
            return Encoders.load(BaseOutline.read(self.base, self.task, self.revision), device)

    def run(self, state: Encoders, part: EncodePart, store: Store) -> Iterator[Record]:
        """Encode what is missing or damaged.

        Raises:
            ValueError: a clip's video is damaged.
        """
        cache = LatentCache(store)
        for item in part.clips:
            for text in item.texts().values():
                if not cache.is_whole(cache.text_name(text)):
                    cache.put_text(text, state.encode_text(text))
            name = cache.clip_name(item)
            outcome = "reused"
            if not cache.is_whole(name):
                outcome = "repaired" if store.exists(name) else "encoded"
                cache.put_clip(item, state.encode_video(clip_pixels(part.video(item), item)))
            yield {"clip": item.name, "outcome": outcome, "run": self.run_name}

    def is_whole(self, part: EncodePart, records: Iterable[Record], store: Store) -> bool:
        """Whether all files of the part's clips and texts are there and whole."""
        cache = LatentCache(store)
        texts = {text for item in part.clips for text in item.texts().values()}
        names = [*map(cache.clip_name, part.clips), *map(cache.text_name, texts)]
        return all(map(cache.is_whole, names))


@dataclass(frozen=True, slots=True)
class FilledCache:
    """What filling the cache did.

    Attributes:
        place: the cache, as it may be shown.
        encoded: clips that were missing.
        reused: clips that were there.
        repaired: clips whose file was damaged and is now whole.
    """

    place: str
    encoded: int
    reused: int
    repaired: int

    @classmethod
    def of(cls, stage: EncodeStage, store: Store) -> FilledCache:
        """Read it from the ledger of a stage that is done, all of its run's processes counted."""
        counts = {"encoded": 0, "reused": 0, "repaired": 0}
        for record in records(stage, store):
            counts[record["outcome"] if record["run"] == stage.run_name else "reused"] += 1
        return cls(store.name, **counts)


def fill_cache(
    cache: LatentCache,
    plan: CachePlan,
    selection: Selection,
    base: BaseOutline,
    *,
    shares: Shares | None = None,
    engine: Executor | None = None,
    device: torch.device | str = "cpu",
    encoders: Encoders | None = None,
    progress: bool = False,
) -> FilledCache:
    """Encode what is missing from a cache or damaged there.

    Args:
        cache: of the base's encoders.
        plan: the clips.
        selection: gives their videos.
        base: whose encoders.
        shares: the processes that fill the cache together; None for this one alone.
        engine: who encodes, each of its workers on a GPU if there is one; by default this process.
        device: where the encoders run in this process.
        encoders: those that are already loaded in this process; None loads them when there is something to
            encode.
        progress: show progress on stderr.

    Returns:
        What was done, by all processes together.

    Raises:
        ValueError: the base cannot be loaded.
        OSError: a clip's video is damaged, the cache cannot be written, or another process failed.
    """
    shares = shares or Shares.alone(cache.store)
    engine = engine or Serial()
    stage = EncodeStage(
        plan,
        selection,
        base,
        run=shares.run,
        device=device if engine.is_this_process else None,
        encoders=encoders if engine.is_this_process else None,
        rank=shares.rank,
        world=shares.world,
        threads=engine.threads,
    )
    with shares.working(), library_bars("transformers", "diffusers", shown=progress):
        total = sum(part.rows for part in stage.parts(cache.store))
        run_stage(stage, cache.store, executor=engine, progress=progress, total=total)
    shares.wait()
    return FilledCache.of(EncodeStage(plan, selection, base, run=shares.run), cache.store)
