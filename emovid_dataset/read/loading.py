"""`load`, `stream` and `select`: three ways to clips of a build in a folder, on the Hub or behind http.

- `load`: a typed `datasets.Dataset`, as the loading script gives it, on every version of `datasets`.
- `stream`: decoded frames for training.
- `select`: a few clips, chosen in the metadata, of which only the bytes are read.
"""

from __future__ import annotations

import hashlib
import io
import os
import random
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from emovid_dataset.read.manifest import read_manifest
from emovid_dataset.schema.clip import CONTENT_TYPES, SPLITS, Clip
from emovid_dataset.schema.emotions import EMOTIONS, parse_emotion
from emovid_dataset.schema.manifest import Manifest, metadata_path
from emovid_dataset.store import Store

if TYPE_CHECKING:
    from emovid_dataset.read.stream import ClipStream

METADATA = "metadata"
"""The config of `load` that holds every field but the video."""

_AHEAD = 8


def load(
    source: str | os.PathLike[str],
    config: str = "all",
    *,
    split: str | None = None,
    streaming: bool = False,
    revision: str | None = None,
    token: str | bool | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
    num_proc: int | None = None,
) -> Any:
    """Load clips, or only their metadata, with flat and typed columns.

    The same on every version of `datasets`, also on those that run no loading scripts. The columns are
    `emovid_dataset.schema.clip.flat_features`; the video is ``{"path", "bytes"}`` and needs no decoder.

    Args:
        source: a build: its folder, a Hub repo (``owner/name``), or an http(s) address.
        config: "all", "cartoon", "movie" or "sticker"; or "metadata" for every field but the video, plus
            the shard, and the offset and size of the MP4 in it.
        split: "train", "validation", "test", a slice such as "train[:10%]", or None for all of them.
        streaming: read while iterating, without a cache on disk.
        revision: branch, tag or commit of a Hub repo.
        token: for a private Hub repo.
        cache_dir: where `datasets` keeps its cache.
        num_proc: processes that prepare the cache.

    Returns:
        What `datasets.load_dataset` returns: a Dataset, an IterableDataset, or a dict of them by split.

    Raises:
        ValueError: an unknown config or split, or one without clips.
        FileNotFoundError: the source is not a build.
    """
    store = Store.find(source, revision=revision, token=token)
    manifest = read_manifest(store)
    _check_config(config, manifest, store, also=(METADATA,))
    _check_split(split, manifest, "all" if config == METADATA else config)
    cache = None if cache_dir is None else os.fspath(cache_dir)
    if config == METADATA:
        return _load_metadata(store, manifest, split, streaming, cache, num_proc)

    from emovid_dataset.read._builder import EmoVid

    builder = EmoVid(
        config_name=config,
        data_dir=store.root,
        dataset_name="emovid",
        # The cache must tell two builds at one address apart.
        hash=hashlib.sha256(manifest.to_json().encode()).hexdigest()[:16],
        token=token,
        cache_dir=cache,
    )
    if streaming:
        return builder.as_streaming_dataset(split=split)
    builder.download_and_prepare(num_proc=num_proc)
    return builder.as_dataset(split=split)


def loading_script() -> Path:
    """The file of the builder that `load` uses; it works alone, and a dataset's repo carries it."""
    from emovid_dataset.read import _builder

    return Path(str(_builder.__file__))


def _load_metadata(
    store: Store,
    manifest: Manifest,
    split: str | None,
    streaming: bool,
    cache_dir: str | None,
    num_proc: int | None,
) -> Any:
    from datasets import load_dataset

    files = {
        name: [store.url(path) for path in _metadata_files(manifest, CONTENT_TYPES, (name,))]
        for name in manifest.splits()
    }
    return load_dataset(
        "parquet",
        data_files=files,
        split=split,
        streaming=streaming,
        token=store.token,
        cache_dir=cache_dir,
        num_proc=None if streaming else num_proc,
    )


def stream(
    source: str | os.PathLike[str],
    config: str = "all",
    *,
    split: str = "train",
    frames: int = 16,
    size: int | tuple[int, int] = 224,
    emotions: str | int | Iterable[str | int] | None = None,
    where: Callable[[Clip], bool] | None = None,
    shuffle: int = 256,
    seed: int = 0,
    epoch: int = 0,
    rank: int | None = None,
    world_size: int | None = None,
    revision: str | None = None,
    token: str | bool | None = None,
) -> ClipStream:
    """Stream decoded clips for training: a torch IterableDataset on webdataset.

    Every clip of the split is yielded once an epoch, whatever the number of ranks and DataLoader workers.

    Args:
        source: a build: its folder, a Hub repo (``owner/name``), or an http(s) address.
        config: "all", "cartoon", "movie" or "sticker".
        split: "train", "validation" or "test".
        frames: T, chosen uniformly in time.
        size: a side for a square, or (height, width); the picture is squeezed to it.
        emotions: only clips of these emotions (names or indices).
        where: only clips for which this is true; it is asked before the video is decoded.
        shuffle: clips held to draw the next one from, their videos undecoded; 0 keeps the order of the
            shards.
        seed: with the epoch it decides the order of the shards and of the clips.
        epoch: the first epoch; `ClipStream.set_epoch` sets the next.
        rank: of this process among `world_size`; by default what torch.distributed or torchrun says.
        world_size: number of processes that share the clips.
        revision: branch, tag or commit of a Hub repo.
        token: for a private Hub repo.

    Returns:
        A dataset of dicts; `emovid_dataset.read.stream.ClipStream` names the keys.

    Raises:
        ValueError: an unknown config, split or emotion, or a number out of range.
        FileNotFoundError: the source is not a build.
    """
    from emovid_dataset.read.stream import ClipStream

    store = Store.find(source, revision=revision, token=token)
    manifest = read_manifest(store)
    _check_config(config, manifest, store)
    if split not in manifest.splits(config):
        raise ValueError(f"split is {split!r}; {config} has: {', '.join(manifest.splits(config))}")
    return ClipStream(
        store,
        manifest.select(config, split),
        frames=frames,
        size=size,
        labels=None if emotions is None else frozenset(_labels("emotions", emotions)),
        where=where,
        shuffle=shuffle,
        seed=seed,
        epoch=epoch,
        rank=rank,
        world_size=world_size,
    )


@dataclass(frozen=True, slots=True)
class SelectedClip:
    """One clip of a selection, with its video.

    Attributes:
        clip: its fields.
        split: "train", "validation" or "test".
        video: the bytes of its MP4, checked against `Clip.sha256`.
    """

    clip: Clip
    split: str
    video: bytes


@dataclass(frozen=True, slots=True)
class _Member:
    clip: Clip
    split: str
    shard: str
    offset: int
    size: int


class Selection(Sequence[SelectedClip]):
    """The clips that `select` chose; a video is read when its clip is asked for, and not kept.

    Attributes:
        clips: the fields of every clip, in order, without reading a video.
    """

    def __init__(self, store: Store, members: Sequence[_Member]) -> None:
        self._store, self._members = store, tuple(members)
        self.clips: tuple[Clip, ...] = tuple(member.clip for member in self._members)

    def __len__(self) -> int:
        return len(self._members)

    @overload
    def __getitem__(self, index: int) -> SelectedClip: ...

    @overload
    def __getitem__(self, index: slice) -> Selection: ...

    def __getitem__(self, index: int | slice) -> SelectedClip | Selection:
        if isinstance(index, slice):
            return Selection(self._store, self._members[index])
        return self._read(self._members[index])

    def __iter__(self) -> Iterator[SelectedClip]:
        """Read the clips in order; remote ones a few at a time."""
        if self._store.folder is not None:
            yield from map(self._read, self._members)
            return
        with ThreadPoolExecutor(_AHEAD) as pool:
            waiting: list[Future[SelectedClip]] = []
            try:
                for member in self._members:
                    waiting.append(pool.submit(self._read, member))
                    if len(waiting) == _AHEAD:
                        yield waiting.pop(0).result()
                for future in waiting:
                    yield future.result()
            finally:
                for future in waiting:
                    future.cancel()

    def __repr__(self) -> str:
        return f"Selection of {len(self)} clips in {self._store.name}"

    def _read(self, member: _Member) -> SelectedClip:
        video = self._store.range(member.shard, member.offset, member.offset + member.size)
        if hashlib.sha256(video).hexdigest() != member.clip.sha256:
            raise OSError(
                f"{member.clip.id} in {self._store.shown(member.shard)} differs from its sha256; "
                "the shard is damaged or of another build"
            )
        return SelectedClip(member.clip, member.split, video)


def select(
    source: str | os.PathLike[str],
    *,
    emotion: str | int | Iterable[str | int] | None = None,
    content_type: str | Iterable[str] | None = None,
    split: str | Iterable[str] | None = None,
    brightness: tuple[float, float] | None = None,
    colorfulness: tuple[float, float] | None = None,
    hue: tuple[float, float] | None = None,
    duration: tuple[float, float] | None = None,
    where: Callable[[Clip], bool] | None = None,
    limit: int | None = None,
    seed: int | None = None,
    revision: str | None = None,
    token: str | bool | None = None,
) -> Selection:
    """Choose clips in the metadata; then only the bytes of those clips are read.

    Args:
        source: a build: its folder, a Hub repo (``owner/name``), or an http(s) address whose server takes
            range requests.
        emotion: one emotion or several, names or indices.
        content_type: one of "cartoon", "movie", "sticker", or several.
        split: one of "train", "validation", "test", or several.
        brightness: least and greatest, both inclusive, 0..1.
        colorfulness: least and greatest, both inclusive, 0 to about 1.5.
        hue: from and to in degrees, both inclusive; (340, 20) runs through 0. Grey clips have no hue and
            are left out.
        duration: least and greatest, both inclusive, seconds.
        where: any other condition on the clip.
        limit: at most this many clips.
        seed: draw them at random with this seed; None takes them in the order of the shards.
        revision: branch, tag or commit of a Hub repo.
        token: for a private Hub repo.

    Returns:
        A sequence of `SelectedClip`. Each video is read when its clip is asked for.

    Raises:
        ValueError: an unknown emotion, content type or split, or a range that is none.
        FileNotFoundError: the source is not a build.
        OSError: a clip cannot be read or differs from its sha256.
    """
    labels = None if emotion is None else _labels("emotion", emotion)
    content_types = _names("content_type", content_type, CONTENT_TYPES)
    splits = _names("split", split, SPLITS)
    ranges = {
        name: _range(name, bounds)
        for name, bounds in (
            ("brightness", brightness),
            ("colorfulness", colorfulness),
            ("duration", duration),
        )
        if bounds is not None
    }
    arc = None if hue is None else _arc(hue)
    if limit is not None and limit < 0:
        raise ValueError(f"limit is {limit}; it must be 0 or more, or None")

    def chosen(clip: Clip) -> bool:
        return (
            (labels is None or clip.label in labels)
            and all(low <= getattr(clip, name) <= high for name, (low, high) in ranges.items())
            and (arc is None or (clip.hue is not None and _on_arc(clip.hue, *arc)))
            and (where is None or where(clip))
        )

    store = Store.find(source, revision=revision, token=token)
    manifest = read_manifest(store)
    found = (member for member in _members(store, manifest, content_types, splits) if chosen(member.clip))
    if seed is None:
        members = list(islice(found, limit))
    else:
        members = list(found)
        random.Random(seed).shuffle(members)
        members = members[:limit]
    return Selection(store, members)


def _members(
    store: Store, manifest: Manifest, content_types: Iterable[str], splits: Iterable[str]
) -> Iterator[_Member]:
    import pyarrow.parquet

    for path in _metadata_files(manifest, content_types, splits):
        split = path.rpartition("/")[2].removesuffix(".parquet")
        for batch in pyarrow.parquet.ParquetFile(io.BytesIO(store.read(path))).iter_batches():
            for row in batch.to_pylist():
                place = {name: row.pop(name) for name in ("shard", "offset", "size")}
                yield _Member(Clip.from_mapping(row), split, **place)


def _metadata_files(manifest: Manifest, content_types: Iterable[str], splits: Iterable[str]) -> Iterator[str]:
    splits = tuple(splits)
    for content_type in content_types:
        for split in manifest.splits(content_type):
            if split in splits:
                yield metadata_path(content_type, split)


def _labels(argument: str, emotions: str | int | Iterable[str | int]) -> set[int]:
    given = (emotions,) if isinstance(emotions, (str, int)) else emotions
    labels = {parse_emotion(emotion) for emotion in given}
    if not labels:
        raise ValueError(f"{argument} is empty; name at least one of: {', '.join(EMOTIONS)}")
    return labels


def _names(argument: str, given: str | Iterable[str] | None, allowed: Sequence[str]) -> tuple[str, ...]:
    if given is None:
        return tuple(allowed)
    names = (given,) if isinstance(given, str) else tuple(given)
    for name in names:
        if name not in allowed:
            raise ValueError(f"{argument} is {name!r}; allowed: {', '.join(allowed)}")
    return tuple(name for name in allowed if name in names)


def _range(argument: str, bounds: tuple[float, float]) -> tuple[float, float]:
    try:
        low, high = (float(bound) for bound in bounds)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{argument} is {bounds!r}; it must be two numbers, least and greatest") from error
    if not low <= high:
        raise ValueError(f"{argument} is {bounds!r}; the least must not exceed the greatest")
    return low, high


def _arc(bounds: tuple[float, float]) -> tuple[float, float]:
    try:
        start, end = (float(bound) for bound in bounds)
    except (TypeError, ValueError) as error:
        raise ValueError(f"hue is {bounds!r}; it must be two angles in degrees, from and to") from error
    if not (0 <= start <= 360 and 0 <= end <= 360):
        raise ValueError(f"hue is {bounds!r}; both angles must be 0..360")
    return start, end


def _on_arc(hue: float, start: float, end: float) -> bool:
    """Whether an angle lies on the arc from `start` up to `end`, through 0 when `start` is greater.

    >>> _on_arc(350, 340, 20), _on_arc(10, 340, 20), _on_arc(180, 340, 20), _on_arc(180, 90, 180)
    (True, True, False, True)
    """
    return start <= hue <= end if start <= end else hue >= start or hue <= end


def _check_config(config: str, manifest: Manifest, store: Store, *, also: Sequence[str] = ()) -> None:
    allowed = (*manifest.configs(), *also)
    if config not in allowed:
        raise ValueError(f"config is {config!r}; {store.name} has: {', '.join(allowed)}")


def _check_split(split: str | None, manifest: Manifest, config: str) -> None:
    # Slices and sums of splits ("train[:10%]+test") are left to `datasets`, their names are not.
    held = manifest.splits(config)
    for name in re.findall(r"(?:^|\+)\s*(\w+)", split or ""):
        if name not in held:
            raise ValueError(f"split is {split!r}; {config} has: {', '.join(held)}")
