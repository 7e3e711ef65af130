"""The labelled clips, as the annotator sees them."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from emovid_dataset.schema.emotions import EMOTIONS
from emovid_models.nvila import NVILALiteProcessor
from tools.mini_annotator.emoji import work_folder
from tools.mini_annotator.pictures import to_pixels
from tools.mini_annotator.settings import IMAGE_SIZE, NUM_FRAMES
from tools.mini_annotator.sheets import SHEETS, labelled_emoji
from tools.mini_corpus import MINI


@dataclass(frozen=True, slots=True)
class Labels:
    """What is known of labelled clips before any is decoded.

    Attributes:
        labels: int64 [n], indices of emotions.
        groups: what belongs together; of an emoji, its first code point.
        paths: of the files; those of the corpus relative to it, other emoji by their names.
        sources: who labelled each, "human" or "model".
    """

    labels: torch.Tensor
    groups: tuple[str, ...]
    paths: tuple[str, ...]
    sources: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Clips(Labels):
    """Labelled clips.

    Attributes:
        pictures: uint8 [n, NUM_FRAMES, IMAGE_SIZE, IMAGE_SIZE, 3], the frames that the annotator's processor
            takes, at its size.
    """

    pictures: torch.Tensor

    @property
    def pixels(self) -> torch.Tensor:
        """float32 [n, NUM_FRAMES, 3, IMAGE_SIZE, IMAGE_SIZE], as the annotator's processor makes them."""
        return to_pixels(self.pictures)


def sheets_digest() -> str:
    """Names what is kept of the labelled emoji."""
    return hashlib.sha256(b"".join(sheet.read_bytes() for sheet in SHEETS)).hexdigest()[:16]


def read_sticker_labels() -> Labels:
    """The labelled emoji of all sheets, none of them decoded."""
    emoji = labelled_emoji()
    return Labels(
        torch.tensor([EMOTIONS.index(clip.emotion) for clip in emoji]),
        tuple(clip.group for clip in emoji),
        tuple(
            clip.corpus_path.relative_to(MINI).as_posix() if clip.corpus_path.exists() else clip.asset
            for clip in emoji
        ),
        tuple(clip.emotion_source for clip in emoji),
    )


def read_stickers() -> Clips:
    """The labelled emoji of all sheets, decoded once and kept."""
    found = read_sticker_labels()
    kept = work_folder() / f"stickers-{sheets_digest()}.npz"
    if not kept.exists():
        np.savez_compressed(kept, pictures=_read_pictures([clip.path for clip in labelled_emoji()]))
    with np.load(kept) as stored:
        pictures = torch.from_numpy(stored["pictures"])
    return Clips(found.labels, found.groups, found.paths, found.sources, pictures)


def read_cartoon() -> Clips:
    """The labelled segments of the corpus's film."""
    with (MINI / "labels.csv").open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["content_type"] == "cartoon"]
    return Clips(
        torch.tensor([EMOTIONS.index(row["emotion"]) for row in rows]),
        tuple(row["group"] for row in rows),
        tuple(row["path"] for row in rows),
        ("human",) * len(rows),
        torch.from_numpy(_read_pictures([MINI / row["path"] for row in rows])),
    )


def _read_pictures(paths: Sequence[Path]) -> np.ndarray:
    # PyAV is imported where there is something to decode.
    from emovid_models.remote.annotator.reading import read_frames

    clips = []
    for path in paths:
        frames = read_frames(path, lambda total: NVILALiteProcessor.sample_indices(total, NUM_FRAMES))
        sized = [
            _small(frame if isinstance(frame, Image.Image) else Image.fromarray(frame)) for frame in frames
        ]
        clips.append(np.stack(sized))
    return np.stack(clips)


def _small(frame: Image.Image) -> np.ndarray:
    if frame.mode == "RGBA":
        frame = Image.alpha_composite(Image.new("RGBA", frame.size, "white"), frame)
    return np.asarray(frame.convert("RGB").resize((IMAGE_SIZE,) * 2, Image.Resampling.BICUBIC))
