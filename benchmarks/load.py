"""How fast clips are streamed, and how few bytes a selection moves; prints tables of ratios.

    python -m benchmarks.load DIR            # DIR is a build: what benchmarks.build --out DIR leaves
    python -m benchmarks.load --clips 400    # makes a smaller one of the same kind, and removes it

Streaming: 16 frames at 224 x 224 of every clip, by DataLoaders with the same number of workers of one thread
each, on the same shards, in turns, so that a busy machine slows all of them down alike:

- emovid: `emovid_dataset.stream`
- datasets + torchcodec: `load_dataset(DIR, streaming=True)`, `get_frames_at`, then a resize
- webdataset + decord: a `WebDataset` pipeline, decord resizing while it decodes
- the limit: the same samples, and of each only what FFmpeg has to decode for the 16 frames, without scaling
  them or handing them on; no way to get the same frames can be faster on these clips

Selection: 1 % of the clips over http from a server on this machine that counts the bytes of every answer,
those of the manifest and the metadata included.
"""

from __future__ import annotations

import argparse
import io
import os
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import torch
import webdataset
from datasets import load_dataset
from torch.utils.data import DataLoader

import emovid_dataset
from emovid_dataset.media.frames import uniform_indices
from emovid_dataset.media.source import Reader
from emovid_dataset.read.manifest import read_manifest
from emovid_dataset.terminal import print_table

FRAMES, SIZE = 16, 224


def with_emovid(folder: Path, config: str, workers: int) -> Iterator[Any]:
    clips = emovid_dataset.stream(folder, config, split="train", frames=FRAMES, size=SIZE, shuffle=0)
    return iter(DataLoader(clips, batch_size=None, num_workers=workers))


def torchcodec_frames(row: dict[str, Any]) -> dict[str, Any]:
    from torchvision.transforms.v2.functional import resize

    decoder = row["mp4"]
    frames = decoder.get_frames_at(uniform_indices(decoder.metadata.num_frames, FRAMES)).data
    # antialias is resize's default, and what swscale's bilinear does when it reduces
    return {"video": resize(frames, [SIZE, SIZE], antialias=True), "label": row["cls"], "id": row["__key__"]}


def with_datasets(folder: Path, config: str, workers: int) -> Iterator[Any]:
    # map() would write the frames into Arrow and out again; a collate function costs nothing.
    clips = load_dataset(str(folder), config, split="train", streaming=True)
    return iter(DataLoader(clips, batch_size=None, num_workers=workers, collate_fn=torchcodec_frames))


def decord_frames(sample: dict[str, Any]) -> dict[str, Any]:
    import decord

    reader = decord.VideoReader(io.BytesIO(sample["mp4"]), width=SIZE, height=SIZE, num_threads=1)
    frames = reader.get_batch(uniform_indices(len(reader), FRAMES)).asnumpy()
    video = torch.from_numpy(frames).permute(0, 3, 1, 2)
    return {"video": video, "label": int(sample["cls"]), "id": sample["__key__"]}


def with_webdataset(folder: Path, config: str, workers: int) -> Iterator[Any]:
    shards = [str(folder / shard.path) for shard in read_manifest(folder).select(config, "train")]
    clips = webdataset.WebDataset(shards, shardshuffle=False).map(decord_frames)
    return iter(DataLoader(clips, batch_size=None, num_workers=workers))


def needed_frames(sample: dict[str, Any]) -> dict[str, Any]:
    with Reader(sample["mp4"], quick=True) as reader:
        for _ in reader.frames(uniform_indices(reader.info.num_frames, FRAMES)):
            pass
    return {"video": torch.empty(FRAMES, 3, SIZE, 0), "id": sample["__key__"]}


def only_decoded(folder: Path, config: str, workers: int) -> Iterator[Any]:
    shards = [str(folder / shard.path) for shard in read_manifest(folder).select(config, "train")]
    clips = webdataset.WebDataset(shards, shardshuffle=False).map(needed_frames)
    return iter(DataLoader(clips, batch_size=None, num_workers=workers))


WAYS: dict[str, Callable[[Path, str, int], Iterator[Any]]] = {
    "emovid": with_emovid,
    "datasets + torchcodec": with_datasets,
    "webdataset + decord": with_webdataset,
    "the limit": only_decoded,
}


def clips_per_second(items: Iterator[Any], clips: int, warm_up: int) -> float:
    """Speed over `clips` items after the first `warm_up`, for which the workers are started."""
    for _ in range(warm_up):
        next(items)
    start = time.perf_counter()
    for _ in range(clips):
        assert next(items)["video"].shape[:3] == (FRAMES, 3, SIZE)
    return clips / (time.perf_counter() - start)


def compare_streams(folder: Path, config: str, *, clips: int, rounds: int, workers: int) -> None:
    speeds: dict[str, list[float]] = {name: [] for name in WAYS}
    for _ in range(rounds):
        for name, way in WAYS.items():
            items = way(folder, config, workers)
            speeds[name].append(clips_per_second(items, clips, 8 * max(workers, 1)))
            del items  # its workers end before the next ones start
    rows = []
    for name, found in speeds.items():
        # Within a round, since what else the machine does changes more slowly than the rounds.
        ratios = [ours / other for ours, other in zip(speeds["emovid"], found, strict=True)]
        middle, least, most = statistics.median(ratios), min(ratios), max(ratios)
        rows.append(
            (name, round(statistics.median(found), 2), f"{middle:.2f} x", f"{least:.2f} to {most:.2f}")
        )
    print_table(
        f"Stream: {FRAMES} frames at {SIZE}, {workers} workers, {rounds} rounds of {clips} clips",
        ["", "clips/s (median)", "emovid is faster by (median)", "over the rounds"],
        rows,
    )


class RangeHandler(BaseHTTPRequestHandler):
    """Answers GET and HEAD for files of a folder, single byte ranges included."""

    protocol_version = "HTTP/1.1"

    def __init__(self, *args: Any, folder: Path, **kwargs: Any) -> None:
        self.folder = folder
        super().__init__(*args, **kwargs)

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, *, body: bool) -> None:
        path = self.folder / self.path.lstrip("/")
        if not path.is_file():
            self.send_error(404)
            return
        size = path.stat().st_size
        wanted = self.headers.get("Range")
        first, last = 0, size - 1
        if wanted:
            begin, _, end = wanted.removeprefix("bytes=").partition("-")
            first, last = int(begin), min(int(end or size - 1), size - 1)
        self.send_response(206 if wanted else 200)
        if wanted:
            self.send_header("Content-Range", f"bytes {first}-{last}/{size}")
        self.send_header("Content-Length", str(last - first + 1))
        self.end_headers()
        if body:
            self.send_part(path, first, last - first + 1)

    def send_part(self, path: Path, first: int, length: int) -> None:
        """Send bytes of a file."""
        with path.open("rb") as file:
            file.seek(first)
            self.wfile.write(file.read(length))

    def log_message(self, *args: Any) -> None:
        pass


class CountingHandler(RangeHandler):
    """Counts what it sends."""

    def __init__(self, *args: Any, sent: list[int], **kwargs: Any) -> None:
        self.sent = sent
        super().__init__(*args, **kwargs)

    def send_part(self, path: Path, first: int, length: int) -> None:
        super().send_part(path, first, length)
        self.sent.append(length)


def count_selection(folder: Path, config: str, share: float) -> None:
    manifest = read_manifest(folder)
    clips = sum(shard.samples for shard in manifest.select(config))
    stored = sum(shard.size for shard in manifest.select(config))
    sent: list[int] = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(CountingHandler, folder=folder, sent=sent))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    selection = emovid_dataset.select(
        f"http://127.0.0.1:{server.server_port}",
        content_type=None if config == "all" else config,
        limit=max(1, round(share * clips)),
        seed=0,
    )
    index = sum(sent)
    wanted = sum(len(clip.video) for clip in selection)
    moved = sum(sent)
    server.shutdown()
    thread.join()
    print_table(
        f"Select {len(selection)} of {clips} clips over http",
        ["", "bytes", "of the clips' bytes"],
        [
            ("the chosen clips", wanted, "1.000 x"),
            ("moved in all", moved, f"{moved / wanted:.3f} x"),
            ("  of it manifest and metadata", index, f"{index / wanted:.3f} x"),
            ("every shard", stored, f"{stored / wanted:.1f} x"),
        ],
    )


def build_clips(clips: int, folder: Path, workers: int) -> Path:
    """Build pieces of the miniature corpus's film, as `benchmarks.build` does."""
    from benchmarks.build import build_files, film_pieces, repeat

    out = folder / "build"
    build_files(repeat(film_pieces(), clips, folder / "raw"), out, workers)
    return out


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, nargs="?", metavar="DIR", help="a build")
    parser.add_argument("--clips", type=int, default=400, help="clips of the build that is made without DIR")
    parser.add_argument("--config", default="all", help="all, cartoon, movie or sticker")
    parser.add_argument("--timed", type=int, default=60, help="clips timed a round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--share", type=float, default=0.01, help="share of the clips to select")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as temporary:
        workers = options.workers
        folder = options.folder or build_clips(options.clips, Path(temporary), max(workers, 1))
        count_selection(folder, options.config, options.share)
        compare_streams(folder, options.config, clips=options.timed, rounds=options.rounds, workers=workers)


if __name__ == "__main__":
    main()
