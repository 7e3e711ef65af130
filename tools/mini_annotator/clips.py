"""The labelled clips of the corpus, as the annotator sees them."""

from __future__ import annotations

import csv
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image

from emovid_dataset.schema.emotions import EMOTIONS
from emovid_models.nvila import NVILALiteProcessor
from emovid_models.remote.annotator.pipeline import read_frames
from tools.mini_annotator.settings import NUM_FRAMES, PICTURE_SIZE
from tools.mini_corpus import MINI


@dataclass(frozen=True, slots=True)
class Clips:
    """Labelled clips of the corpus.

    Attributes:
        pixels: float32 [n, NUM_FRAMES, 3, IMAGE_SIZE, IMAGE_SIZE], as the annotator's processor makes them.
        pictures: uint8 [n, NUM_FRAMES, PICTURE_SIZE, PICTURE_SIZE, 3], for augmentation.
        labels: int64 [n], indices of emotions.
        groups: first code points.
        captions: one per clip.
        paths: relative to the corpus.
    """

    pixels: torch.Tensor
    pictures: torch.Tensor
    labels: torch.Tensor
    groups: tuple[str, ...]
    captions: tuple[str, ...]
    paths: tuple[str, ...]


def read_clips(processor: NVILALiteProcessor, content_type: str = "sticker") -> Clips:
    """The labelled clips of one content type, each as the annotator sees it."""
    with (MINI / "labels.csv").open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["content_type"] == content_type]
    pixels, pictures = [], []
    for row in rows:
        frames = read_frames(MINI / row["path"], lambda total: processor.sample_indices(total, NUM_FRAMES))
        pixels.append(processor.preprocess_frames(frames, do_sample_frames=False))
        sized = [
            Image.fromarray(frame).resize((PICTURE_SIZE,) * 2, Image.Resampling.BICUBIC) for frame in frames
        ]
        pictures.append(np.stack([np.asarray(frame) for frame in sized]))
    return Clips(
        torch.stack(pixels),
        torch.from_numpy(np.stack(pictures)),
        torch.tensor([EMOTIONS.index(row["emotion"]) for row in rows]),
        tuple(row["group"] for row in rows),
        tuple(row["caption"] for row in rows),
        tuple(row["path"] for row in rows),
    )
