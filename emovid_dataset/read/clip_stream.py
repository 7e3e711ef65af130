"""`ClipStream`: a torch IterableDataset of decoded clips, on webdataset.

Who reads what, with R ranks of W workers each (R x W readers)::

    shards of the split --shuffled by seed and epoch--> s4 s0 s7 s2 s1 ...
      at least R x W shards: rank r takes every R-th shard, its worker w every W-th of those
      fewer shards:          every reader walks all shards and takes every (R x W)-th clip
    raw samples -> emotions, where -> shuffle buffer -> skip to the resumed place -> decode
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import torch
import webdataset
from torch.utils.data import IterableDataset
from webdataset.tariterators import group_by_keys, tar_file_iterator
from webdataset.utils import pytorch_worker_info

from emovid_dataset.media.frames import decode
from emovid_dataset.media.source import VideoError
from emovid_dataset.schema.clip import KEYS, Clip
from emovid_dataset.schema.manifest import Manifest, ShardRecord
from emovid_dataset.store import Store

_NUMBERS = (
    "brightness",
    "colorfulness",
    "hue",
    "luma",
    "colorfulness_m3",
    "hue_chroma",
    "start",
    "end",
    "agreement",
)
_TEXTS = ("license", "color", "extra")


class ClipStream(IterableDataset):
    """Decoded clips, each once an epoch over all ranks and workers; made by `emovid_dataset.stream`.

    Each item is a dict that torch's default collation can batch:

    - ``video``: uint8 tensor [T, C, H, W], RGB, 0..255, contiguous
    - ``label``: int, index of the emotion in the build's taxonomy; ``valence``: int
    - ``id``, ``caption``, ``content_type``, ``emotion``, ``emotion_source``, ``source``, ``group``,
      ``sha256``: str; ``license``, ``color``, ``extra``: str, "" when unknown
    - ``brightness``, ``colorfulness``, ``hue``, ``luma``, ``colorfulness_m3``, ``hue_chroma``, ``fps``,
      ``duration``, ``start``, ``end``, ``agreement``: float, nan where the clip has None
    - ``width``, ``height``, ``num_frames``: int; ``raters``: int, 0 when unknown; ``has_audio``: bool
    - ``emotion_scores``: float32 tensor, one for each emotion, nan when unknown; ``votes``: int64 tensor
      likewise, -1 when unknown

    `state_dict` and `load_state_dict` count the clips that this process, or this DataLoader worker, has
    yielded; torchdata's StatefulDataLoader calls them in every worker. The same seed, epoch, filters and
    numbers of ranks and workers give the same order, and skipped clips are not decoded.

    Args:
        store: where the build lies.
        manifest: of the build.
        shards: those of it to read.
        frames: T.
        size: a side for a square, or (height, width).
        labels: only clips with these labels; None takes all.
        where: only clips for which it is true.
        shuffle: clips in the shuffle buffer; 0 keeps the order.
        seed: of the order.
        epoch: the first one.
        rank: of this process; None asks torchrun's environment and torch.distributed.
        world_size: number of processes; None likewise.

    Raises:
        ValueError: a number is out of range.
    """

    def __init__(
        self,
        store: Store,
        manifest: Manifest,
        shards: Sequence[ShardRecord],
        *,
        frames: int,
        size: int | tuple[int, int],
        labels: frozenset[int] | None = None,
        where: Callable[[Clip], bool] | None = None,
        shuffle: int = 256,
        seed: int = 0,
        epoch: int = 0,
        rank: int | None = None,
        world_size: int | None = None,
    ) -> None:
        super().__init__()
        if frames < 1:
            raise ValueError(f"frames is {frames}; it must be 1 or more")
        sides = (size, size) if isinstance(size, int) else tuple(size)
        if len(sides) != 2 or min(sides) < 1:
            raise ValueError(f"size is {size!r}; it must be a side or (height, width), each 1 or more")
        if shuffle < 0:
            raise ValueError(f"shuffle is {shuffle}; it must be 0 or more clips")
        if (rank is None) != (world_size is None):
            raise ValueError(f"rank is {rank} but world_size is {world_size}: both or neither")
        if rank is not None and world_size is not None and not 0 <= rank < world_size:
            raise ValueError(f"rank is {rank}; it must be 0..{world_size - 1}")
        self.store, self.manifest, self.shards = store, manifest, tuple(shards)
        self.frames, self.size = frames, (sides[0], sides[1])
        self.labels, self.where = labels, where
        self.shuffle, self.seed = shuffle, seed
        self.rank, self.world_size = rank, world_size
        # In shared memory, so that `set_epoch` reaches workers that live on (persistent_workers=True).
        self._epoch = torch.tensor(epoch, dtype=torch.int64).share_memory_()
        self._yielded = self._skip = 0

    @property
    def epoch(self) -> int:
        """The epoch that the next iteration yields."""
        return int(self._epoch)

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch of the next iteration: another order of the same clips."""
        self._epoch.fill_(epoch)

    def state_dict(self) -> dict[str, int]:
        """The place in the epoch: how many clips this reader has yielded."""
        return {"epoch": self.epoch, "yielded": self._yielded}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Let the next iteration go on after the place that `state_dict` told."""
        self.set_epoch(state["epoch"])
        self._skip = self._yielded = state["yielded"]

    def __iter__(self) -> Iterator[dict[str, Any]]:
        skip, self._skip = self._skip, 0
        self._yielded = skip
        for clip, video in islice(self._samples(), skip, None):
            item = self._item(clip, video)
            # Counted before it is handed out: a state that is taken while the caller holds it includes it.
            self._yielded += 1
            yield item

    def _samples(self) -> Iterator[tuple[Clip, bytes]]:
        rank, world_size, worker, workers = pytorch_worker_info()
        if self.rank is not None and self.world_size is not None:
            rank, world_size = self.rank, self.world_size
        shards = list(self.shards)
        if self.shuffle:
            random.Random(f"{self.seed}/{self.epoch}").shuffle(shards)
        reader, readers = rank * workers + worker, world_size * workers
        if len(shards) >= readers:
            raw = self._raw_samples(shards[rank::world_size][worker::workers])
        else:
            raw = islice(self._raw_samples(shards), reader, None, readers)
        chosen = self._chosen(raw)
        if not self.shuffle:
            return chosen
        rng = random.Random(f"{self.seed}/{self.epoch}/{reader}")
        mixed = webdataset.shuffle(self.shuffle, initial=self.shuffle, rng=rng)
        return iter(webdataset.DataPipeline(lambda: chosen, mixed))

    def _raw_samples(self, shards: Sequence[ShardRecord]) -> Iterator[dict[str, Any]]:
        for shard in shards:
            with self.store.open(shard.path) as file:
                url = self.store.shown(shard.path)
                count = 0
                for sample in group_by_keys({**member, "__url__": url} for member in tar_file_iterator(file)):
                    count += 1
                    yield sample
            if count != shard.samples:
                raise OSError(f"{url} holds {count} clips instead of {shard.samples}; it is damaged")

    def _chosen(self, samples: Iterator[dict[str, Any]]) -> Iterator[tuple[Clip, bytes]]:
        for sample in samples:
            clip = self.manifest.clip(json.loads(sample["json"]))
            if self.labels is not None and clip.label not in self.labels:
                continue
            if self.where is None or self.where(clip):
                yield clip, sample["mp4"]

    def _item(self, clip: Clip, video: bytes) -> dict[str, Any]:
        try:
            pixels = decode(video, frames=self.frames, size=self.size)
        except VideoError as error:
            raise VideoError(f"{clip.id}: {error}") from error
        fields = {name: getattr(clip, name) for name in KEYS}
        # torch's default collation batches no None
        for names, unknown in ((_NUMBERS, math.nan), (_TEXTS, ""), (("raters",), 0)):
            fields |= {name: unknown for name in names if fields[name] is None}
        emotions = len(clip.taxonomy)
        return {
            "video": torch.from_numpy(pixels).permute(0, 3, 1, 2),
            "label": clip.label,
            **fields,
            "emotion_scores": torch.tensor(clip.emotion_scores or (math.nan,) * emotions),
            "votes": torch.tensor(clip.votes or (-1,) * emotions),
        }
