"""How fast proxies are streamed, beside the originals and beside other readers; prints ratios of one run.

    python -m benchmarks.proxy DIR            # DIR is a build with proxies: what --out leaves
    python -m benchmarks.proxy --clips 119    # makes one of the miniature's film at 480p, and removes it

16 frames at 224 x 224 of every clip, by DataLoaders with the same number of workers of one thread each, in
turns, so that a busy machine slows all of them down alike:

- emovid, proxies: `emovid_dataset.stream(..., proxy=True)`
- emovid, originals: the same without
- datasets + torchcodec, webdataset + decord: on the originals, see `benchmarks.load`
- webdataset + torchcodec, proxies: another good reader on the same proxies
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
import webdataset
from torch.utils.data import DataLoader

import emovid_dataset
from benchmarks.load import (
    FRAMES,
    SIZE,
    build_clips,
    clips_per_second,
    torchcodec_frames,
    with_datasets,
    with_emovid,
    with_webdataset,
)
from emovid_dataset.read.manifest import read_manifest
from emovid_dataset.terminal import print_table

GOALS = {
    "datasets + torchcodec": 4.0,
    "webdataset + decord": 3.0,
    "webdataset + torchcodec, proxies": 1.3,
}
"""By how much proxies shall be faster."""

MOST_BYTES = 0.5


def with_proxies(folder: Path, config: str, workers: int) -> Iterator[Any]:
    clips = emovid_dataset.stream(
        folder, config, split="train", frames=FRAMES, size=SIZE, shuffle=0, proxy=True
    )
    return iter(DataLoader(clips, batch_size=None, num_workers=workers))


def torchcodec_sample(sample: dict[str, Any]) -> dict[str, Any]:
    from torchcodec.decoders import VideoDecoder

    # what `datasets` does with an MP4, without its copies
    decoder = VideoDecoder(sample["mp4"], num_ffmpeg_threads=1)
    return torchcodec_frames({"mp4": decoder, "cls": int(sample["cls"]), "__key__": sample["__key__"]})


def with_torchcodec(folder: Path, config: str, workers: int) -> Iterator[Any]:
    proxies = emovid_dataset.stream(folder, config, split="train", size=SIZE, proxy=True).proxies
    shards = [str(folder / proxies[shard.path]) for shard in read_manifest(folder).select(config, "train")]
    clips = webdataset.WebDataset(shards, shardshuffle=False).map(torchcodec_sample)
    return iter(DataLoader(clips, batch_size=None, num_workers=workers))


WAYS: dict[str, Callable[[Path, str, int], Iterator[Any]]] = {
    "emovid, proxies": with_proxies,
    "emovid, originals": with_emovid,
    "datasets + torchcodec": with_datasets,
    "webdataset + decord": with_webdataset,
    "webdataset + torchcodec, proxies": with_torchcodec,
}


def compare(folder: Path, config: str, *, clips: int, rounds: int, workers: int) -> None:
    speeds: dict[str, list[float]] = {name: [] for name in WAYS}
    for _ in range(rounds):
        for name, way in WAYS.items():
            items = way(folder, config, workers)
            speeds[name].append(clips_per_second(items, clips, 4 * max(workers, 1)))
            del items  # its workers end before the next ones start
    rows = []
    for name, found in speeds.items():
        # Within a round, since what else the machine does changes more slowly than the rounds.
        ratios = [ours / other for ours, other in zip(speeds["emovid, proxies"], found, strict=True)]
        goal = f"{GOALS[name]:g} x" if name in GOALS else None
        span = f"{min(ratios):.2f} to {max(ratios):.2f}"
        speed = round(statistics.median(found), 2)
        rows.append((name, speed, f"{statistics.median(ratios):.2f} x", span, goal))
    print_table(
        f"Stream: {FRAMES} frames at {SIZE}, {workers} workers, {rounds} rounds of {clips} clips",
        ["", "clips/s (median)", "proxies are faster by (median)", "over the rounds", "goal"],
        rows,
    )


def compare_processor_time(folder: Path, config: str, *, clips: int, rounds: int) -> None:
    """The same in this process, by the processor's time: what else the machine does counts less."""
    streams = {name: way(folder, config, 0) for name, way in WAYS.items()}
    spent: dict[str, list[float]] = {name: [] for name in WAYS}
    for items in streams.values():
        next(items)  # what is imported at the first clip
    for _ in range(rounds):
        for name, items in streams.items():
            begun = time.process_time()
            for _ in range(clips):
                next(items)
            spent[name].append((time.process_time() - begun) / clips)
    rows = []
    for name, found in spent.items():
        ratios = [other / ours for ours, other in zip(spent["emovid, proxies"], found, strict=True)]
        goal = f"{GOALS[name]:g} x" if name in GOALS else None
        span = f"{min(ratios):.2f} to {max(ratios):.2f}"
        cost = round(1000 * statistics.median(found), 1)
        rows.append((name, cost, f"{statistics.median(ratios):.2f} x", span, goal))
    print_table(
        f"Processor's time in one process, {rounds} rounds of {clips} clips",
        ["", "ms per clip (median)", "proxies cost less by (median)", "over the rounds", "goal"],
        rows,
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, nargs="?", metavar="DIR", help="a build with proxies")
    parser.add_argument("--clips", type=int, default=119, help="clips of the build that is made without DIR")
    parser.add_argument("--out", type=Path, help="keep that build here")
    parser.add_argument("--config", default="all", help="all, cartoon, movie or sticker")
    parser.add_argument("--timed", type=int, default=40, help="clips timed a round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as temporary:
        workers = options.workers
        folder = options.folder
        if folder is None:
            folder = build_clips(options.clips, options.out or Path(temporary), max(workers, 1))
        made = emovid_dataset.make_proxy(folder, workers=max(workers, 1), progress=True)
        print_table(
            f"Proxies of {made.settings.short_side}, a key frame every {made.settings.keyframe_every} frames",
            ["", "value"],
            [
                ("clips", made.clips),
                ("of the originals' bytes", f"{made.size / made.original_size:.3f} x, goal {MOST_BYTES} x"),
                ("PSNR, mean over the clips", f"{made.psnr:.1f} dB" if made.psnr else None),
                ("PSNR, lowest of a clip", f"{made.least_psnr:.1f} dB" if made.least_psnr else None),
                ("seconds", round(made.seconds, 1)),
            ],
        )
        compare_processor_time(folder, options.config, clips=5, rounds=min(options.rounds, 6))
        compare(folder, options.config, clips=options.timed, rounds=options.rounds, workers=workers)


if __name__ == "__main__":
    main()
