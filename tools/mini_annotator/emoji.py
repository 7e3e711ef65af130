"""The animated emoji that training may see: their pictures, their names, and what is hidden."""

from __future__ import annotations

import hashlib
import sys
import unicodedata
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from emovid_dataset.terminal import Progress
from tools.mini_annotator.settings import NUM_FRAMES, PICTURE_SIZE
from tools.mini_annotator.sheets import rated_groups
from tools.mini_corpus.fetch import cache_folder, training_emoji
from tools.mini_corpus.labels import reserved_assets

_SKIN_TONES = range(0x1F3FB, 0x1F400)
_SILENT = {0xFE0F, 0x200D, 0x20E3}
_FLAG_LETTERS = range(0x1F1E6, 0x1F200)


@dataclass(frozen=True, slots=True)
class Emoji:
    """The emoji that the distillation may see.

    Attributes:
        pictures: uint8 [emoji, NUM_FRAMES, PICTURE_SIZE, PICTURE_SIZE, 3].
        names: one per emoji; a few share one.
    """

    pictures: torch.Tensor
    names: tuple[str, ...]


def work_folder() -> Path:
    """Folder that keeps intermediate results, so that a second run need not repeat them."""
    folder = cache_folder().parent / "mini-annotator"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def emoji_name(stem: str) -> str | None:
    """Name of an emoji, from the names of its code points; None if Unicode has none for it.

    >>> emoji_name("1f64b-1f3fb-200d-2642-fe0f"), emoji_name("1f1ec-1f1e7")
    ('happy person raising one hand, male sign', 'flag')
    """
    try:
        points = [int(part, 16) for part in stem.split("-")]
    except ValueError:
        return None
    if max(points) > sys.maxunicode:
        return None  # a sequence of tags, spelled in one word
    if all(point in _FLAG_LETTERS for point in points):
        return "flag"
    names = [
        unicodedata.name(chr(point), "").lower()
        for point in points
        if point not in _SILENT and point not in _SKIN_TONES
    ]
    return ", ".join(names) if all(names) else None


def emoji_caption(name: str) -> str:
    """A caption in the words of the corpus.

    >>> emoji_caption("orange heart")
    'An animated sticker of an orange heart.'
    """
    article = "an" if name[0] in "aeiou" else "a"
    return f"An animated sticker of {article} {name}."


def first_code_point(stem: str) -> str:
    """What all variants of an emoji share; also the group of a labelled sticker."""
    return stem.partition("-")[0]


def hidden_code_points() -> frozenset[str]:
    """First code points of the emoji that the distillation must not see: rated and reserved ones."""
    return rated_groups() | {first_code_point(Path(asset).stem) for asset in reserved_assets()}


def hidden_digest() -> str:
    """Names what is kept of the emoji that are not hidden."""
    return hashlib.sha256(" ".join(sorted(hidden_code_points())).encode()).hexdigest()[:16]


def has_skin_tone(stem: str) -> bool:
    """Whether an emoji is a variant of another in one of the five skin tones.

    >>> has_skin_tone("1f44b-1f3fb"), has_skin_tone("1f44b")
    (True, False)
    """
    return any(f"{tone:x}" in stem.split("-") for tone in _SKIN_TONES)


def read_picture(path: Path) -> np.ndarray:
    """Frames of an animated emoji on white, uint8 [NUM_FRAMES, PICTURE_SIZE, PICTURE_SIZE, 3]."""
    frames: dict[int, np.ndarray] = {}
    with Image.open(path) as image:
        count = image.n_frames  # type: ignore[attr-defined]
        indices = np.round(np.linspace(0, count - 1, NUM_FRAMES)).astype(int).tolist()
        for index in sorted(set(indices)):
            image.seek(index)
            picture = image.convert("RGBA")
            white = Image.new("RGBA", picture.size, "white")
            flat = Image.alpha_composite(white, picture).convert("RGB")
            frames[index] = np.asarray(flat.resize((PICTURE_SIZE,) * 2, Image.Resampling.BICUBIC))
    return np.stack([frames[index] for index in indices])


def read_emoji() -> Emoji:
    """All emoji except the reserved and the rated ones and all their variants, decoded once and kept.

    Of those in several skin tones only the yellow one is among them.
    """
    kept = work_folder() / "emoji.npz"
    if not kept.exists():
        paths = [path for path in training_emoji() if not has_skin_tone(path.stem)]
        with ProcessPoolExecutor() as pool, Progress(len(paths), unit="emoji", title="Decoding") as progress:
            pictures = []
            for picture in pool.map(read_picture, paths, chunksize=16):
                pictures.append(picture)
                progress.update()
        np.savez(kept, pictures=np.stack(pictures), stems=[path.stem for path in paths])
    with np.load(kept) as stored:
        pictures, stems = stored["pictures"], [str(stem) for stem in stored["stems"]]
    hidden = hidden_code_points()
    chosen = [
        (index, name)
        for index, stem in enumerate(stems)
        if first_code_point(stem) not in hidden and (name := emoji_name(stem)) is not None
    ]
    return Emoji(
        torch.from_numpy(pictures[[index for index, _ in chosen]]), tuple(name for _, name in chosen)
    )
