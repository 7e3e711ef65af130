"""`stream`: decoded clips for training."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from emovid_dataset.read.arguments import check_config, labels_of
from emovid_dataset.read.manifest import read_manifest
from emovid_dataset.read.proxies import ProxyChoice
from emovid_dataset.schema.clip import Clip
from emovid_dataset.store import Store

if TYPE_CHECKING:
    from emovid_dataset.media.frames import Fit
    from emovid_dataset.read.clip_stream import ClipStream, Pixels, ShardBy
    from emovid_dataset.read.share import Even


def stream(
    source: str | os.PathLike[str],
    config: str = "all",
    *,
    split: str = "train",
    frames: int = 16,
    size: int | tuple[int, int] = 224,
    fit: Fit = "squeeze",
    windows: int | None = None,
    frame_rate: float | None = None,
    audio: int | None = None,
    to: Pixels = "uint8",
    emotions: str | int | Iterable[str | int] | None = None,
    where: Callable[[Clip], bool] | None = None,
    shuffle: int = 256,
    seed: int = 0,
    epoch: int = 0,
    shard_by: ShardBy = "auto",
    even: Even = "pad",
    rank: int | None = None,
    world_size: int | None = None,
    proxy: ProxyChoice = False,
    revision: str | None = None,
    token: str | bool | None = None,
) -> ClipStream:
    """Stream decoded clips for training: a torch IterableDataset on webdataset.

    Every clip of the split is yielded once an epoch, whatever the number of ranks and DataLoader workers; see
    `even` for numbers of clips that the ranks cannot share evenly.

    Args:
        source: a build: its folder, a Hub repo (``owner/name``), or an http(s) address.
        config: one of the build's, such as "all" or "sticker".
        split: one of the build's, such as "train".
        frames: T, 1 or more: frames of a clip, or of each of its windows, chosen uniformly in time.
        size: a side for a square, or (height, width), pixels.
        fit: how a picture of other proportions is brought to `size`: "squeeze" changes them, "crop" fills the
            size and cuts off equally at both ends, "pad" shows the whole picture with equal black bars.
        windows: how many windows of T frames a clip gives, spread evenly over it, the first at its start and
            the last at its end: ``video`` is then [windows, T, C, H, W]. None gives one, [T, C, H, W].
        frame_rate: frames per second, so that a window lasts T / frame_rate seconds; one window lies in the
            middle of the clip, and a shorter clip repeats its last frame. None spreads the frames over the
            whole clip, or over its `windows` equal parts.
        audio: samples per second of the sound that goes with the frames, 1 or more: ``waveform`` is then
            [C, S], or [windows, C, S], with S the seconds of a window times `audio`, silent where the clip's
            sound is over; None for a clip without sound, which `emovid_dataset.collate` can batch. None
            leaves sound out.
        to: "uint8" gives pixels 0..255, "float" float32 0..1.
        emotions: only clips of these emotions (names or indices).
        where: only clips for which this is true; it is asked before the video is decoded, and must say the
            same of a clip on every rank.
        shuffle: clips held to draw the next one from, their videos undecoded; 0 keeps the order of the
            shards.
        seed: with the epoch it decides the order of the shards and of the clips.
        epoch: the first epoch; `ClipStream.set_epoch` sets the next.
        shard_by: who shares the clips. "rank": all ranks, and the DataLoader workers of each. "worker": the
            workers of one DataLoader, so that every rank yields every clip. "none": nobody, so that every
            worker yields every clip. "auto": "worker" where accelerate's `prepare` divides the DataLoader
            among the ranks itself, else "rank".
        even: what happens where the ranks cannot share the clips evenly. "pad" yields some clips again, their
            ``padding`` true, so that all ranks yield equally many; "drop" leaves some out, others in every
            epoch; with "none" ranks differ by one clip, and training by DistributedDataParallel hangs
            unless it is told of it (`Join`).
        rank: of this process among `world_size`; by default what torch.distributed or torchrun says.
        world_size: number of processes that share the clips.
        proxy: read the training copies that `make_proxy` has made, a few times as fast to decode: the same
            clips, fields and sound in the same order, with the same frames chosen. True takes them and
            nothing else; "auto" takes them where `size` fits within their short side and all of them are
            there, and else the originals; False takes the originals.
        revision: branch, tag or commit of a Hub repo.
        token: for a private Hub repo.

    Returns:
        A dataset of dicts; `ClipStream` names the keys.

    Raises:
        ValueError: an unknown config, split or emotion, a number out of range, or `proxy` is True and there
            are no proxies of that size, or stale ones.
        FileNotFoundError: the source is not a build.
        ImportError: torch is not installed.
    """
    try:
        from emovid_dataset.read.clip_stream import ClipStream
    except ModuleNotFoundError as error:
        raise ImportError(
            f"stream needs {error.name}, which is not installed; pip install 'emovid[torch]'"
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
        fit=fit,
        windows=windows,
        frame_rate=frame_rate,
        audio=audio,
        to=to,
        labels=None if emotions is None else frozenset(labels_of("emotions", emotions, manifest.taxonomy)),
        where=where,
        shuffle=shuffle,
        seed=seed,
        epoch=epoch,
        shard_by=shard_by,
        even=even,
        rank=rank,
        world_size=world_size,
        proxy=proxy,
    )
