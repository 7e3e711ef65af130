"""How fast conforming clips are built, against only decoding them and against a plain script.

    python -m benchmarks.build                        # 2,000 clips, about 25 minutes on two cores
    python -m benchmarks.build --clips 400 --out DIR  # quicker; DIR keeps the build, for benchmarks.load

The clips are the film of the miniature corpus in pieces of five seconds, 854 x 480 with sound, repeated with
other bytes (a `free` box with a number at the end). All three do the same files with the same number of
processes of one thread each, in turns over parts of the files, so that a busy machine slows all of them down:

- decode: PyAV decodes every frame and drops it
- emovid: `emovid_dataset.builder.build.build`, from the labels to the finished folder
- plain: webdataset's ShardWriter, the perceptual attributes by OpenCV on every frame

Memory is the largest sum of the resident sets of all processes of a build of 200 and of all clips.
"""

from __future__ import annotations

import argparse
import csv
import math
import multiprocessing
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import psutil

from emovid_dataset.builder.build import build
from emovid_dataset.schema.emotions import EMOTIONS
from emovid_dataset.terminal import print_table
from tools.mini_corpus.fetch import cache_folder, film_path

SECONDS, WIDTH, HEIGHT = 5, 854, 480


def film_pieces() -> list[Path]:
    """The film in pieces of five seconds at 480p with sound, encoded once and kept in the cache."""
    folder = cache_folder() / "film-480p-5s"
    if not (folder / "done").exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        _cut_film(film_path(), folder)
        (folder / "done").touch()
    return sorted(folder.glob("*.mp4"))


def _cut_film(film: Path, folder: Path) -> None:
    with av.open(str(film)) as source:
        video, audio = source.streams.video[0], source.streams.audio[0]
        rate, sample_rate = video.average_rate, audio.codec_context.sample_rate
        assert rate is not None
        per_piece = int(rate * SECONDS)
        resampler = av.AudioResampler("fltp", "stereo", sample_rate)
        fifo = av.AudioFifo()
        pictures: list[av.VideoFrame] = []
        number = 0
        for packet in source.demux(video, audio):
            for frame in packet.decode():
                if isinstance(frame, av.AudioFrame):
                    for piece in resampler.resample(frame):
                        piece.pts = None
                        fifo.write(piece)
                else:
                    assert isinstance(frame, av.VideoFrame)
                    pictures.append(frame.reformat(WIDTH, HEIGHT, "yuv420p"))
            if len(pictures) >= per_piece and fifo.samples >= SECONDS * sample_rate:
                sound = fifo.read(SECONDS * sample_rate)
                _encode(folder / f"{number:03d}.mp4", pictures[:per_piece], sound, rate, sample_rate)
                del pictures[:per_piece]
                number += 1


def _encode(
    path: Path, pictures: Sequence[av.VideoFrame], sound: Any, rate: Fraction, sample_rate: int
) -> None:
    with av.open(str(path), "w", options={"movflags": "+faststart"}) as sink:
        video = sink.add_stream("libx264", rate=rate, options={"crf": "23"})
        audio = sink.add_stream("aac", rate=sample_rate, layout="stereo")
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for index, picture in enumerate(pictures):
            picture.pts, picture.time_base, picture.pict_type = index, 1 / rate, 0
            sink.mux(video.encode(picture))
        sound.pts = 0
        sink.mux(audio.encode(sound))
        sink.mux(audio.encode(None))
        sink.mux(video.encode(None))


def repeat(pieces: Sequence[Path], count: int, folder: Path) -> list[Path]:
    """Write `count` files of different bytes."""
    folder.mkdir(parents=True)
    paths = []
    for number in range(count):
        path = folder / f"{number:05d}.mp4"
        box = number.to_bytes(8, "big")
        path.write_bytes(pieces[number % len(pieces)].read_bytes() + b"\0\0\0\x10free" + box)
        paths.append(path)
    return paths


def write_labels(paths: Sequence[Path], sheet: Path) -> None:
    with sheet.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "emotion", "content_type", "caption"])
        for number, path in enumerate(paths):
            writer.writerow([path.name, EMOTIONS[number % 8], "cartoon", f"Piece {number} of a film"])


# the three ways; each does the files of one part with the same number of processes


def decode_all(path: Path) -> int:
    with av.open(str(path)) as source:
        stream = source.streams.video[0]
        stream.thread_count, stream.thread_type = 1, "SLICE"
        return sum(1 for _ in source.decode(stream))


def decode_files(paths: Sequence[Path], out: Path, workers: int) -> None:
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        for _ in pool.imap_unordered(decode_all, paths, chunksize=4):
            pass


def build_files(paths: Sequence[Path], out: Path, workers: int) -> None:
    sheet = out.with_suffix(".csv")
    write_labels(paths, sheet)
    build(paths[0].parent, sheet, out, workers=workers)


def opencv_attributes(path: Path) -> dict[str, float]:
    import cv2
    import numpy as np

    cv2.setNumThreads(1)
    capture = cv2.VideoCapture(str(path))
    light, colour, x, y = [], [], 0.0, 0.0
    while True:
        good, frame = capture.read()
        if not good:
            break
        light.append(cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY).mean() / 255)
        blue, green, red = (frame[..., channel].astype(np.float32) for channel in range(3))
        rg, yb = red - green, (red + green) / 2 - blue
        colour.append(math.hypot(rg.std(), yb.std()) + 0.3 * math.hypot(rg.mean(), yb.mean()))
        hue, saturation, value = cv2.split(cv2.cvtColor(frame, cv2.COLOR_BGR2HSV))
        angle, weight = hue.astype(np.float32) * (np.pi / 90), saturation.astype(np.float32) * value
        x, y = x + float((weight * np.cos(angle)).sum()), y + float((weight * np.sin(angle)).sum())
    capture.release()
    hue_degrees = math.degrees(math.atan2(y, x)) % 360
    return {
        "luma": float(np.mean(light)),
        "colorfulness_m3": float(np.mean(colour)) / 255,
        "hue_chroma": hue_degrees,
    }


def plain_part(task: tuple[Sequence[Path], Path]) -> None:
    import webdataset

    paths, pattern = task
    with webdataset.ShardWriter(str(pattern), maxsize=256e6, verbose=0) as writer:
        for path in paths:
            sample = {
                "__key__": path.stem,
                "mp4": path.read_bytes(),
                "json": opencv_attributes(path),
                "cls": 0,
            }
            writer.write(sample)


def plain_files(paths: Sequence[Path], out: Path, workers: int) -> None:
    out.mkdir()
    tasks = [(paths[part::workers], out / f"{part}-%06d.tar") for part in range(workers)]
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        pool.map(plain_part, tasks)


def timed(way: Callable[..., None], paths: Sequence[Path], out: Path, workers: int) -> float:
    start = time.perf_counter()
    way(paths, out, workers)
    return time.perf_counter() - start


@contextmanager
def peak_memory() -> Iterator[list[int]]:
    """Watch the sum of the resident sets of this process and its children, above where it began."""
    process, peak, stop = psutil.Process(), [0], threading.Event()

    def total() -> int:
        size = process.memory_info().rss
        for child in process.children(recursive=True):
            try:
                size += child.memory_info().rss
            except psutil.NoSuchProcess:
                continue
        return size

    def watch() -> None:
        while not stop.wait(0.05):
            peak[0] = max(peak[0], total())

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield peak
    finally:
        stop.set()
        thread.join()


def measure_memory(paths: Sequence[Path], out: Path, workers: int, shard_size: int, queue: Any) -> None:
    sheet = out.with_suffix(".csv")
    write_labels(paths, sheet)
    with peak_memory() as peak:
        build(paths[0].parent, sheet, out, workers=workers, shard_size=shard_size)
    queue.put(peak[0])


def memory_of_build(paths: Sequence[Path], out: Path, workers: int, shard_size: int = 256_000_000) -> int:
    """Peak bytes of a build in a process of its own."""
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    process = context.Process(target=measure_memory, args=(paths, out, workers, shard_size, queue))
    process.start()
    peak = queue.get()
    process.join()
    return peak


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clips", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=4, help="parts that the three take turns on")
    parser.add_argument("--plain-share", type=float, default=0.1, help="share of a part for the plain script")
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--out", type=Path, help="keep a build of all clips here")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="emovid-bench-") as scratch:
        folder = Path(scratch)
        paths = repeat(film_pieces(), options.clips, folder / "raw")
        size = sum(path.stat().st_size for path in paths)
        print(f"{len(paths)} clips of {SECONDS} s, {size / 1e6:.0f} MB, {options.workers} processes")
        seconds: dict[str, list[float]] = {"decode": [], "emovid": [], "plain": []}
        for number in range(options.rounds):
            part = paths[number :: options.rounds]
            few = part[: max(int(len(part) * options.plain_share), options.workers)]
            ways: list[tuple[str, Callable[..., None], Sequence[Path]]] = [
                ("decode", decode_files, part),
                ("emovid", build_files, part),
                ("plain", plain_files, few),
            ]
            for name, way, files in ways[number % 2 :] + ways[: number % 2]:
                out = folder / f"{name}-{number}"
                seconds[name].append(timed(way, files, out, options.workers) / len(files))
                shutil.rmtree(out, ignore_errors=True)
            print(f"round {number}: " + ", ".join(f"{k} {1 / v[-1]:.2f} clips/s" for k, v in seconds.items()))
        rates = {name: len(parts) / sum(parts) for name, parts in seconds.items()}
        print_table(
            "Clips per second",
            ["way", "clips/s", "emovid is x times as fast", "each round", "goal"],
            [
                [
                    name,
                    round(rates[name], 2),
                    round(rates["emovid"] / rates[name], 2),
                    ", ".join(f"{a / b:.2f}" for a, b in zip(seconds[name], seconds["emovid"], strict=True)),
                    {"decode": "1.0", "plain": "3", "emovid": ""}[name],
                ]
                for name in seconds
            ],
        )
        small = min(200, len(paths))
        few_peak = memory_of_build(paths[:small], folder / "memory-few", options.workers)
        all_out = options.out or folder / "memory-all"
        all_peak = memory_of_build(paths, all_out, options.workers)
        shards_peak = memory_of_build(paths[:small], folder / "memory-shards", options.workers, 10_000_000)
        print_table(
            "Peak memory of a build, all processes",
            ["build", "MB", "ratio", "goal"],
            [
                [f"{small} clips", round(few_peak / 1e6), 1.0, ""],
                [f"{len(paths)} clips", round(all_peak / 1e6), round(all_peak / few_peak, 3), "within 15 %"],
                [
                    f"{small} clips, 10 MB shards",
                    round(shards_peak / 1e6),
                    round(shards_peak / few_peak, 3),
                    "",
                ],
            ],
        )


if __name__ == "__main__":
    main()
