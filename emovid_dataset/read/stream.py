"""`stream`: decoded clips for training."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from emovid_dataset.read.arguments import check_config, labels_of
from emovid_dataset.read.manifest import read_manifest
from emovid_dataset.schema.clip import Clip
from emovid_dataset.store import Store

if TYPE_CHECKING:
    from emovid_dataset.read.clip_stream import ClipStream


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
        config: one of the build's, such as "all" or "sticker".
        split: one of the build's, such as "train".
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
        A dataset of dicts; `ClipStream` names the keys.

    Raises:
        ValueError: an unknown config, split or emotion, or a number out of range.
        FileNotFoundError: the source is not a build.
        ImportError: torch is not installed.
    """
    try:
        from emovid_dataset.read.clip_stream import ClipStream
    except ModuleNotFoundError as error:
        raise ImportError(
            f"stream needs {error.name}, which is not installed; run in a checkout: pip install -e '.[torch]'"
        ) from error

    store = Store.find(source, revision=revision, token=token)
    manifest = read_manifest(store)
    check_config(config, manifest, store)
    if split not in manifest.splits(config):
        raise ValueError(f"split is {split!r}; {config} has: {', '.join(manifest.splits(config))}")
    return ClipStream(
        store,
        manifest,
        manifest.select(config, split),
        frames=frames,
        size=size,
        labels=None if emotions is None else frozenset(labels_of("emotions", emotions, manifest.taxonomy)),
        where=where,
        shuffle=shuffle,
        seed=seed,
        epoch=epoch,
        rank=rank,
        world_size=world_size,
    )
