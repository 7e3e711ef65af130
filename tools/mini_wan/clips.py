"""The animated emoji as clips to train on, and how often each is drawn."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from emovid_models.wan.encode import fit, frame_indices
from tools.mini_wan.captions import subject_of

SIZE = 64
"""Pixels per side of a clip."""
FRAMES = 17
"""Frames of a clip, at 16 per second."""
SHARES = {
    "a yellow face": 0.34,
    "the face of a cat": 0.06,
    "a person": 0.09,
    "a woman": 0.09,
    "a man": 0.09,
    "an animal": 0.1,
    "a figure": 0.07,
    "a heart": 0.04,
    "a hand": 0.04,
    "something in the sky": 0.04,
}
"""How often a subject is drawn in training; the other subjects share the rest."""


@dataclass(frozen=True, slots=True)
class EmojiClips:
    """The emoji that the VAE and the bases are trained on.

    Attributes:
        stems: file names without their ending.
        pixels: uint8 [clips, FRAMES, 3, SIZE, SIZE].
    """

    stems: tuple[str, ...]
    pixels: torch.Tensor

    @classmethod
    def load(cls, path: Path) -> EmojiClips:
        """Read what `save` wrote."""
        with np.load(path) as stored:
            return cls(tuple(map(str, stored["stems"])), torch.from_numpy(stored["pixels"]))

    def save(self, path: Path) -> None:
        """Write to a file that is either complete or absent."""
        part = path.with_name(f".{path.name}.part.npz")
        np.savez(part, stems=np.array(self.stems), pixels=self.pixels.numpy())
        os.replace(part, path)


def read_emoji(path: Path) -> torch.Tensor:
    """The middle of an animated image at 16 frames per second, on white; uint8 [FRAMES, 3, SIZE, SIZE].

    A still image is repeated.
    """
    with Image.open(path) as image:
        count = image.n_frames  # type: ignore[attr-defined]
        rate = 1000 / (image.info.get("duration") or 1000)
        wanted = frame_indices(count, rate, FRAMES)
        pictures: dict[int, np.ndarray] = {}
        for index in range(max(wanted) + 1):
            image.seek(index)
            if index in wanted:
                picture = image.convert("RGBA")
                white = Image.new("RGBA", picture.size, "white")
                pictures[index] = np.asarray(Image.alpha_composite(white, picture).convert("RGB"))
    return fit(np.stack([pictures[index] for index in wanted]), SIZE, SIZE)


def clip_weights(stems: Sequence[str]) -> np.ndarray:
    """Probability that each clip is drawn, by `SHARES`."""
    subjects = [subject_of(stem) for stem in stems]
    counts = {subject: subjects.count(subject) for subject in set(subjects)}
    others = sum(count for subject, count in counts.items() if subject not in SHARES)
    rest = 1 - sum(share for subject, share in SHARES.items() if subject in counts)
    weights = np.array(
        [SHARES[s] / counts[s] if s in SHARES else rest / max(1, others) for s in map(str, subjects)]
    )
    return weights / weights.sum()
