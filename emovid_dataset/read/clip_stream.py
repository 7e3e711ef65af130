"""`ClipStream`: a torch IterableDataset of decoded clips, on webdataset.

Who reads what::

    shards of the split --shuffled by seed and epoch--> s4 s0 s7 s2 s1 ...
      one rank:       its workers take whole shards in turn, or single clips where shards are few
      several ranks:  each of their workers takes a run of the clips in that order, see `share`
    raw samples -> emotions, where -> shuffle buffer -> skip to the resumed place -> decode

Of a remote store raw samples are read ahead in a thread, up to a number of bytes, while clips are decoded.
"""

from __future__ import annotations

import json
import math
import random
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal, get_args

import torch
import webdataset
from torch.utils.data import IterableDataset, get_worker_info
from webdataset.tariterators import group_by_keys, tar_file_iterator
from webdataset.utils import pytorch_worker_info

from emovid_dataset.media.frames import Fit
from emovid_dataset.media.source import VideoError
from emovid_dataset.media.windows import read_windows
from emovid_dataset.read.ahead import READ_AHEAD, read_ahead
from emovid_dataset.read.choice import chosen_clips
from emovid_dataset.read.launchers import Division, division_of, is_known_here
from emovid_dataset.read.proxies import ProxyChoice, proxies_for
from emovid_dataset.read.share import Even, StreamReader, Take, even_parts, whole_shards
from emovid_dataset.schema.clip import KEYS, Clip
from emovid_dataset.schema.manifest import Manifest, ShardRecord
from emovid_dataset.store import Store

ShardBy = Literal["auto", "rank", "worker", "none"]
Pixels = Literal["uint8", "float"]

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


@dataclass(frozen=True, slots=True)
class _Sample:
    clip: Clip
    video: bytes
    index: int
    padding: bool
    is_ours: bool


@dataclass(frozen=True, slots=True)
class _RawSample:
    sample: dict[str, Any]
    index: int
    padding: bool


class ClipStream(IterableDataset):
    """Decoded clips, each once an epoch over all ranks and workers; made by `emovid_dataset.stream`.

    Each item is a dict that torch's default collation can batch, but for the waveform:

    - ``video``: tensor [T, C, H, W], RGB, contiguous: uint8 0..255, or float32 0..1; with `windows`
      [windows, T, C, H, W]
    - ``waveform``, only with `audio`: float32 tensor [C, S], -1..1, C of 1 or 2, of the same seconds as the
      frames; with `windows` [windows, C, S]; None for a clip without sound, which `emovid_dataset.collate`
      can batch; ``sample_rate``: int, `audio`
    - ``label``: int, index of the emotion in the build's taxonomy; ``valence``: int, -1 for an
      emotion that is neither positive nor negative
    - ``index``: int, the clip's place among all clips of the config and split in the order of the shards, as
      in `select(source, content_type=..., split=...).clips`
    - ``padding``: bool, true for a clip that is given again so that all ranks give equally many
    - ``id``, ``caption``, ``content_type``, ``emotion``, ``emotion_source``, ``source``, ``group``,
      ``sha256``: str; ``license``, ``color``, ``extra``: str, "" when unknown
    - ``brightness``, ``colorfulness``, ``hue``, ``luma``, ``colorfulness_m3``, ``hue_chroma``, ``fps``,
      ``duration``, ``start``, ``end``, ``agreement``: float, nan where the clip has None
    - ``width``, ``height``, ``num_frames``: int; ``raters``: int, 0 when unknown; ``has_audio``: bool
    - ``emotion_scores``: float32 tensor, one for each emotion, nan when unknown; ``votes``: int64 tensor
      likewise, -1 when unknown

    Where accelerate dispatches the batches from rank 0, items hold no str, as it can send tensors only.

    `state_dict` and `load_state_dict` count the clips that this process, or this DataLoader worker, has
    yielded; torchdata's StatefulDataLoader calls them in every worker. The same seed, epoch, filters and
    numbers of ranks and workers give the same order, and skipped clips are not decoded.

    Args:
        store: where the build lies.
        manifest: of the build.
        shards: those of it to read.
        labels: only clips with these labels; None takes all.

    The other arguments are those of `emovid_dataset.stream`.

    Attributes:
        proxies: paths of the proxies that are read, by those of their shards; empty for the originals.

    Raises:
        ValueError: an argument is out of range.
    """

    def __init__(
        self,
        store: Store,
        manifest: Manifest,
        shards: Sequence[ShardRecord],
        *,
        frames: int,
        size: int | tuple[int, int],
        fit: Fit = "squeeze",
        windows: int | None = None,
        frame_rate: float | None = None,
        audio: int | None = None,
        to: Pixels = "uint8",
        labels: frozenset[int] | None = None,
        where: Callable[[Clip], bool] | None = None,
        shuffle: int = 256,
        seed: int = 0,
        epoch: int = 0,
        shard_by: ShardBy = "auto",
        even: Even = "pad",
        rank: int | None = None,
        world_size: int | None = None,
        proxy: ProxyChoice = False,
    ) -> None:
        super().__init__()
        for name, value in (("frames", frames), ("windows", windows), ("audio", audio)):
            if value is not None and value < 1:
                raise ValueError(f"{name} is {value}; it must be 1 or more")
        if frame_rate is not None and not 0 < frame_rate < math.inf:
            raise ValueError(f"frame_rate is {frame_rate}; it must be more than 0 frames per second")
        sides = (size, size) if isinstance(size, int) else tuple(size)
        if len(sides) != 2 or min(sides) < 1:
            raise ValueError(f"size is {size!r}; it must be a side or (height, width), each 1 or more")
        if shuffle < 0:
            raise ValueError(f"shuffle is {shuffle}; it must be 0 or more clips")
        for name, text, allowed in (
            ("fit", fit, Fit),
            ("to", to, Pixels),
            ("shard_by", shard_by, ShardBy),
            ("even", even, Even),
        ):
            if text not in get_args(allowed):
                raise ValueError(f"{name} is {text!r}; allowed: {', '.join(get_args(allowed))}")
        if (rank is None) != (world_size is None):
            raise ValueError(f"rank is {rank} but world_size is {world_size}: both or neither")
        if rank is not None and world_size is not None and not 0 <= rank < world_size:
            raise ValueError(f"rank is {rank}; it must be 0..{world_size - 1}")
        self.store, self.manifest, self.shards = store, manifest, tuple(shards)
        self.proxies = proxies_for(store, self.shards, (sides[0], sides[1]), proxy)
        self.frames, self.size, self.fit = frames, (sides[0], sides[1]), fit
        self.windows, self.frame_rate, self.audio, self.to = windows, frame_rate, audio, to
        self.labels, self.where = labels, where
        self.shuffle, self.seed = shuffle, seed
        self.shard_by, self.even = shard_by, even
        self.rank, self.world_size = rank, world_size
        # In shared memory, so that what is set here reaches workers that live on (persistent_workers=True).
        self._epoch = torch.tensor(epoch, dtype=torch.int64).share_memory_()
        self._division = Division.BY_STREAM
        self._resumed_epoch, self._skip = epoch, 0
        self._yielded = 0
        self._ranks: tuple[int, int] | None = None
        self._chosen: list[Sequence[int]] | None = None
        if self._reader().world_size > 1:
            self._chosen = self._choose()  # once here, not in every worker

    def __getstate__(self) -> dict[str, Any]:
        # A DataLoader's worker that is spawned knows nothing of torch.distributed; one that is forked does.
        if get_worker_info() is not None:
            return dict(self.__dict__)
        return {**self.__dict__, "_ranks": pytorch_worker_info()[:2], "_division": division_of(self)}

    @property
    def epoch(self) -> int:
        """The epoch that the next iteration yields."""
        return int(self._epoch)

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch of the next iteration: another order of the same clips."""
        self._epoch.fill_(epoch)
        if get_worker_info() is None:
            self._note_division()  # accelerate's loaders set the epoch whenever they are iterated

    def state_dict(self) -> dict[str, int]:
        """The place in the epoch: how many clips this reader has yielded."""
        return {"epoch": self.epoch, "yielded": self._yielded}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Let the next iteration go on after the place that `state_dict` told, if it is of the same epoch."""
        self._epoch.fill_(state["epoch"])
        self._resumed_epoch, self._skip = state["epoch"], state["yielded"]
        self._yielded = self._skip

    def __iter__(self) -> Iterator[dict[str, Any]]:
        if get_worker_info() is None:
            self._note_division()
        elif is_known_here():
            self._division = division_of(self)
        skip = self._skip if self._resumed_epoch == self.epoch else 0
        self._skip = 0
        self._yielded = skip
        for sample in islice(self._samples(), skip, None):
            item = self._item(sample)
            # Counted before it is handed out: a state that is taken while the caller holds it includes it.
            self._yielded += 1
            yield item

    def _note_division(self) -> None:
        """Find out in the main process who divides the clips."""
        division = division_of(self)
        if division is Division.BY_RANK_0 and self._division is not division:
            warnings.warn(
                "accelerate sends this stream's batches from rank 0 to the others, tensors only: id, caption "
                "and the other texts are left out; docs/streaming.md shows how to keep them",
                stacklevel=3,
            )
        self._division = division

    def _reader(self) -> StreamReader:
        rank, world_size, worker, workers = pytorch_worker_info()
        if self._ranks is not None and get_worker_info() is not None:
            rank, world_size = self._ranks
        if self.rank is not None and self.world_size is not None:
            rank, world_size = self.rank, self.world_size
        by_stream = self._division is Division.BY_STREAM
        if not by_stream and (self.shard_by == "rank" or self.rank is not None):
            given = "shard_by='rank'" if self.shard_by == "rank" else f"rank={self.rank}"
            raise ValueError(
                f"the stream has {given}, and accelerate divides its DataLoader among the ranks once more, "
                "which would lose clips; leave the argument out, or the DataLoader out of prepare()"
            )
        if self.shard_by == "none":
            return StreamReader()
        if self.shard_by == "worker" or not by_stream:
            return StreamReader(worker=worker, workers=workers)
        return StreamReader(rank, world_size, worker, workers)

    def _takes(self, reader: StreamReader) -> list[Take]:
        """What a reader reads, in order; one of several ranks only chosen clips."""
        order = list(range(len(self.shards)))
        rng = random.Random(f"{self.seed}/{self.epoch}")
        if self.shuffle:
            rng.shuffle(order)
        if reader.world_size == 1:
            return whole_shards([shard.samples for shard in self.shards], order, reader)
        if self._chosen is None:
            self._chosen = self._choose()
        total = sum(map(len, self._chosen))
        # Otherwise a rank would have the same part of a few large shards in every epoch.
        turn = rng.randrange(total) if self.shuffle and total else 0
        return even_parts(self._chosen, order, reader, self.even, turn)

    def _choose(self) -> list[Sequence[int]]:
        return chosen_clips(self.store, self.manifest, self.shards, labels=self.labels, where=self.where)

    def _samples(self) -> Iterator[_Sample]:
        samples = self._in_order()
        if not self.shuffle:
            return samples
        rng = random.Random(f"{self.seed}/{self.epoch}/{self._reader().number}")
        mixed = webdataset.shuffle(self.shuffle, initial=self.shuffle, rng=rng)
        return iter(webdataset.DataPipeline(lambda: samples, mixed))

    def _in_order(self) -> Iterator[_Sample]:
        reader = self._reader()
        taken = self._taken(self._takes(reader))
        if self.store.folder is None:
            taken = read_ahead(taken, lambda raw: len(raw.sample["mp4"]), READ_AHEAD)
        with closing(taken):
            for raw in taken:
                clip = self.manifest.clip(json.loads(raw.sample["json"]))
                if reader.world_size > 1 or self._is_chosen(clip):
                    made = raw.sample.get("proxy.json")
                    is_ours = made is not None and "psnr" in json.loads(made)  # else it is the original
                    yield _Sample(clip, raw.sample["mp4"], raw.index, raw.padding, is_ours)

    def _taken(self, takes: Iterable[Take]) -> Generator[_RawSample, None, None]:
        for take in takes:
            before = sum(shard.samples for shard in self.shards[: take.shard])
            with closing(self._raw_samples(self.shards[take.shard], take.ordinals)) as raw:
                for ordinal, sample in raw:
                    yield _RawSample(sample, before + ordinal, take.padding)

    def _raw_samples(
        self, shard: ShardRecord, ordinals: Sequence[int]
    ) -> Generator[tuple[int, dict[str, Any]], None, None]:
        """Some of a shard's samples, with their ordinals; its end is read only if the last is among them."""
        wanted = iter(ordinals)
        due = next(wanted, None)
        if due is None:
            return
        path = self.proxies.get(shard.path, shard.path)
        with self.store.open(path) as file:
            url = self.store.shown(path)
            count = 0
            for sample in group_by_keys({**member, "__url__": url} for member in tar_file_iterator(file)):
                if count == due:
                    yield count, sample
                    due = next(wanted, None)
                count += 1
                if due is None and count < shard.samples:
                    return
        if count != shard.samples:
            raise OSError(f"{url} holds {count} clips instead of {shard.samples}; it is damaged")

    def _is_chosen(self, clip: Clip) -> bool:
        if self.labels is not None and clip.label not in self.labels:
            return False
        return self.where is None or bool(self.where(clip))

    def _item(self, sample: _Sample) -> dict[str, Any]:
        clip = sample.clip
        try:
            taken = read_windows(
                sample.video,
                frames=self.frames,
                size=self.size,
                fit=self.fit,
                windows=self.windows or 1,
                frame_rate=self.frame_rate,
                audio=self.audio,
                is_ours=sample.is_ours,
            )
        except VideoError as error:
            raise VideoError(f"{clip.id}: {error}") from error
        video = torch.from_numpy(taken.video).permute(0, 1, 4, 2, 3)
        item: dict[str, Any] = {"video": video if self.to == "uint8" else video.float().div_(255)}
        if self.audio is not None:
            item["waveform"] = None if taken.waveform is None else torch.from_numpy(taken.waveform)
            item["sample_rate"] = self.audio
        if self.windows is None:
            item |= {name: item[name][0] for name in ("video", "waveform") if item.get(name) is not None}
        fields = {name: getattr(clip, name) for name in KEYS}
        # torch's default collation batches no None
        for names, unknown in ((_NUMBERS, math.nan), (_TEXTS, ""), (("raters",), 0), (("valence",), -1)):
            fields |= {name: unknown for name in names if fields[name] is None}
        emotions = len(clip.taxonomy)
        item |= {"label": clip.label, "index": sample.index, "padding": sample.padding, **fields}
        item |= {
            "emotion_scores": torch.tensor(clip.emotion_scores or (math.nan,) * emotions),
            "votes": torch.tensor(clip.votes or (-1,) * emotions),
        }
        if self._division is Division.BY_RANK_0:
            return {name: value for name, value in item.items() if not isinstance(value, str)}
        return item
