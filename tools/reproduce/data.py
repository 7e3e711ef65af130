"""The clips: the build of the labelled stickers, the emoji for VAE and bases, and what is held out.

Nothing is trained on the stickers of validation, test and benchmark, nor on what shares a code point with
them.
"""

from __future__ import annotations

import csv
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import torch

from emovid_dataset.builder.build import build
from emovid_dataset.media.frames import decode
from emovid_dataset.read.select import select
from emovid_models.wan.encode import fit, frame_indices
from tools.mini_corpus import MINI
from tools.mini_corpus.benchmark import NAME as BENCHMARK_NAME
from tools.mini_corpus.fetch import emoji_folder, training_emoji
from tools.mini_corpus.labels import read_stickers, reserved_assets
from tools.mini_wan.captions import caption_of, subject_of
from tools.mini_wan.clips import FRAMES, SIZE, EmojiClips, read_emoji
from tools.reproduce.run import Run


def benchmark_stickers() -> list[str]:
    """The ids of the stickers in the miniature's benchmark."""
    ids = (MINI / BENCHMARK_NAME).read_text(encoding="utf-8").split()
    return [key for key in ids if key.startswith("sticker-")]


def held_out_code_points(run: Run) -> frozenset[str]:
    """First code points that no training may see: of every sticker not in train, and of reserved emoji."""
    train = {item.group for item in select(run.build, split="train").clips}
    held = {sticker.group for sticker in read_stickers()} - train
    reserved = {Path(asset).stem.partition("-")[0] for asset in reserved_assets()}
    return frozenset(held | reserved)


def training_paths(run: Run) -> list[Path]:
    """The emoji that VAE and bases are trained on: those with a subject, in one skin tone each."""
    hidden = held_out_code_points(run)
    tones = {f"{tone:x}" for tone in range(0x1F3FB, 0x1F400)}
    paths = [
        path
        for path in training_emoji()
        if subject_of(path.stem) is not None
        and path.stem.partition("-")[0] not in hidden
        and not tones & set(path.stem.split("-"))
    ]
    return paths[:: max(1, len(paths) // run.settings.emoji)][: run.settings.emoji]


def write_labels(path: Path) -> None:
    """Write the label sheet of the stickers, with captions that mention no emotion."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("path", "emotion", "content_type", "caption", "group", "license", "source"))
        for sticker in read_stickers():
            stem = Path(sticker.asset).stem
            caption = caption_of(stem)
            writer.writerow(
                (sticker.path, sticker.emotion, "sticker", caption, sticker.group, "MIT", sticker.package)
            )


def data(run: Run) -> list[Path]:
    """Build the labelled stickers with their own split; decode the emoji for VAE and bases."""
    emoji_folder()
    write_labels(run.out / "labels.csv")
    build(
        MINI,
        run.out / "labels.csv",
        run.build,
        ratios=run.settings.ratios,
        benchmark_ids=benchmark_stickers(),
        overwrite=True,
    )
    paths = training_paths(run)
    with ProcessPoolExecutor(run.settings.threads) as pool:
        pixels = list(pool.map(read_emoji, paths, chunksize=16))
    EmojiClips(tuple(path.stem for path in paths), torch.stack(pixels)).save(run.clips)
    print(f"{len(paths)} emoji, {len(select(run.build, split='train').clips)} labelled stickers to train on")
    return [run.build / "manifest.json", run.clips]


def held_out_pixels(video: bytes, fps: float) -> np.ndarray:
    frames = decode(video, frames=lambda count: frame_indices(count, fps, FRAMES))
    return fit(frames, SIZE, SIZE).numpy()
