"""What a slow store costs a stream: nothing but its bandwidth, since shards are read ahead; prints a table.

    python -m benchmarks.slow_store DIR [--clips 60]

One process streams clips of a build (16 frames at 224 x 224), from the disk and then over http from a server
on this machine that sends as many bytes per second as the process decodes. That is the worst case: reading
first and decoding then would take twice the time.
"""

from __future__ import annotations

import argparse
import multiprocessing
import time
from functools import partial
from http.server import ThreadingHTTPServer
from itertools import islice
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch

import emovid_dataset
from benchmarks.load import FRAMES, SIZE, RangeHandler
from emovid_dataset.terminal import print_table

_PIECE = 1 << 16  # bytes sent at once


class SlowHandler(RangeHandler):
    """Sends so many bytes of a shard per second."""

    def __init__(self, *args: Any, rate: float, **kwargs: Any) -> None:
        self.rate = rate
        super().__init__(*args, **kwargs)

    def send_part(self, path: Path, first: int, length: int) -> None:
        left = length
        due = time.monotonic()
        with path.open("rb") as file:
            file.seek(first)
            while left:
                piece = file.read(min(_PIECE, left))
                due += len(piece) / self.rate if path.suffix == ".tar" else 0.0
                time.sleep(max(0.0, due - time.monotonic()))
                try:
                    self.wfile.write(piece)
                except ConnectionError:  # whoever has enough clips hangs up
                    return
                left -= len(piece)


def serve(folder: Path, rate: float, ready: Connection) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(SlowHandler, folder=folder, rate=rate))
    ready.send(server.server_port)
    server.serve_forever()


def seconds_for(source: str, clips: int) -> float:
    begun = time.perf_counter()
    taken = islice(emovid_dataset.stream(source, frames=FRAMES, size=SIZE, shuffle=0), clips)
    assert sum(1 for _ in taken) == clips
    return time.perf_counter() - begun


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, metavar="DIR", help="a build")
    parser.add_argument("--clips", type=int, default=60)
    options = parser.parse_args()
    torch.set_num_threads(1)
    folder = str(options.folder)
    shards = emovid_dataset.read_manifest(folder).select("all", "train")
    clips = min(options.clips, sum(shard.samples for shard in shards))
    mean = sum(shard.size for shard in shards) / sum(shard.samples for shard in shards)
    seconds_for(folder, min(4, clips))  # what is imported at the first clip
    alone = seconds_for(folder, clips)
    rate = mean * clips / alone
    here, there = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(
        target=serve, args=(options.folder, rate, there), daemon=True
    )
    server.start()
    try:
        slow = seconds_for(f"http://127.0.0.1:{here.recv()}", clips)
    finally:
        server.terminate()
    again = seconds_for(folder, clips)
    limit = max((alone + again) / 2, mean * clips / rate)
    print_table(
        f"{clips} clips, {mean * clips / 1e6:.1f} MB, from a store of {rate / 1e6:.2f} MB/s",
        ["", "seconds", "of the longer one"],
        [
            ("decoding, from the disk, before and after", round((alone + again) / 2, 2), None),
            ("reading at that rate", round(mean * clips / rate, 2), None),
            ("one after the other", round(limit + min((alone + again) / 2, alone), 2), None),
            ("streaming from the store", round(slow, 2), f"{slow / limit:.2f} x"),
        ],
    )


if __name__ == "__main__":
    main()
