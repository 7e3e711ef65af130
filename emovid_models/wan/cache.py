"""Clips and texts as the transformer sees them, and the cache on disk that keeps them.

    DIR/{fingerprint of the encoders}/clips/{clip}-{bucket}.safetensors     latents, I2V's condition and image
    DIR/{fingerprint of the encoders}/texts/{sha256}.safetensors            text embeddings

Every file is written under another name and then renamed, so that a file that is there is whole. Running
again encodes only what is missing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from safetensors import safe_open
from safetensors.torch import load_file

from emovid_dataset.media.frames import decode
from emovid_dataset.read.loading import Selection
from emovid_models.remote.wan.lora import read_header, write_safetensors
from emovid_models.wan.encode import TEXT_LENGTH, Encoders, Variant, fit, frame_indices
from emovid_models.wan.plan import BucketedClip, CachePlan


def padded(text: torch.Tensor) -> torch.Tensor:
    """Fill a text's embeddings [L, D] up with zeros to [512, D], as the stock pipelines do."""
    return torch.cat([text, text.new_zeros(TEXT_LENGTH - text.shape[0], text.shape[1])])


@dataclass(frozen=True, slots=True)
class Sample:
    """One encoded clip with one of its texts.

    Attributes:
        latents: bfloat16 [C, T', H', W'].
        text: bfloat16 [512, D], zeros after the last token.
        condition: bfloat16 [C, T', H', W'] of the first frame, or None for T2V.
        image: bfloat16 [N, D] of the image encoder, or None.
    """

    latents: torch.Tensor
    text: torch.Tensor
    condition: torch.Tensor | None
    image: torch.Tensor | None

    @classmethod
    def of(cls, video: dict[str, torch.Tensor], text: torch.Tensor) -> Sample:
        """Put an encoded clip and an unpadded text [L, D] together."""
        return cls(video["latents"], padded(text), video.get("condition"), video.get("image"))


class SampleSource(Protocol):
    """Where the training loop gets its samples from."""

    def load(self, item: BucketedClip, variant: Variant) -> Sample:
        """The encoded clip with that text."""
        ...


class EncodedOnTheFly:
    """Samples without a cache: decoded and encoded whenever they are asked for.

    Args:
        selection: the clips.
        encoders: of the base.
    """

    def __init__(self, selection: Selection, encoders: Encoders) -> None:
        self.selection, self.encoders = selection, encoders

    def load(self, item: BucketedClip, variant: Variant) -> Sample:
        """Decode and encode a clip and its text."""
        video = self.encoders.encode_video(clip_pixels(self.selection[item.index].video, item))
        return Sample.of(video, self.encoders.encode_text(item.texts()[variant]))


class LatentCache:
    """Encoded clips and texts on disk.

    Args:
        folder: the folder of one fingerprint.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def clip_path(self, item: BucketedClip) -> Path:
        """The file of a clip in its bucket."""
        return self.folder / "clips" / f"{item.name}.safetensors"

    def text_path(self, text: str) -> Path:
        """The file of a text."""
        return self.folder / "texts" / f"{hashlib.sha256(text.encode()).hexdigest()[:32]}.safetensors"

    def load(self, item: BucketedClip, variant: Variant) -> Sample:
        """Read a clip and its text.

        Raises:
            ValueError: a file is missing or cut short.
        """
        return Sample.of(self._read(self.clip_path(item)), self.text(item.texts()[variant]))

    def text(self, text: str) -> torch.Tensor:
        """Read the embeddings [L, D] of a text."""
        return self._read(self.text_path(text))["text"]

    def _read(self, path: Path) -> dict[str, torch.Tensor]:
        if not path.is_file():
            raise ValueError(f"{path} is missing from the cache; run the same command again to encode it")
        read_header(path)
        return load_file(path)

    def is_complete(self, plan: CachePlan) -> bool:
        """Whether every clip and text of a plan is there and whole."""
        texts = {text for item in plan.clips for text in item.texts().values()}
        paths = [self.clip_path(item) for item in plan.clips] + [self.text_path(text) for text in texts]
        return all(_is_whole(path) for path in paths)

    def fill(
        self,
        plan: CachePlan,
        selection: Selection,
        encoders: Encoders,
        *,
        rank: int = 0,
        world: int = 1,
        done: Callable[[int], None] = lambda size: None,
    ) -> FilledCache:
        """Encode whatever is missing or damaged.

        Args:
            plan: the clips.
            selection: gives their videos.
            encoders: of the base.
            rank: of this process; each takes every `world`-th clip.
            world: number of processes.
            done: called after each clip with the bytes written.

        Returns:
            What was done.

        Raises:
            ValueError: a clip's video is damaged.
        """
        reused = repaired = encoded = 0
        texts = {text for item in plan.clips for text in item.texts().values()}
        for text in sorted(texts)[rank::world]:
            if not _is_whole(self.text_path(text)):
                write_safetensors(self.text_path(text), {"text": encoders.encode_text(text)}, {"of": text})
        for item in plan.clips[rank::world]:
            path = self.clip_path(item)
            if _is_whole(path):
                reused += 1
                done(0)
                continue
            repaired += path.exists()
            encoded += not path.exists()
            pixels = clip_pixels(selection[item.index].video, item)
            write_safetensors(path, encoders.encode_video(pixels))
            done(path.stat().st_size)
        return FilledCache(encoded, reused, repaired)


@dataclass(frozen=True, slots=True)
class FilledCache:
    """What filling the cache did.

    Attributes:
        encoded: clips that were not there.
        reused: clips that were there.
        repaired: clips whose file was damaged and is now whole.
    """

    encoded: int
    reused: int
    repaired: int


def clip_pixels(video: bytes, item: BucketedClip) -> torch.Tensor:
    """Decode the frames of a clip that its bucket holds.

    Args:
        video: the bytes of an MP4.
        item: says which frames and which size.

    Returns:
        uint8 [T, 3, H, W] of the bucket's shape.

    Raises:
        ValueError: the video is damaged.
    """
    try:
        frames = decode(
            video, frames=lambda count: frame_indices(count, item.clip.fps, item.bucket.frames), threads=2
        )
    except ValueError as error:
        raise ValueError(f"clip {item.clip.id} cannot be decoded: {error}") from error
    return fit(frames, item.bucket.height, item.bucket.width)


def _is_whole(path: Path) -> bool:
    """Whether a cache file is there and as long as its header says; safetensors checks that on opening."""
    if not path.is_file():
        return False
    try:
        with safe_open(path, framework="pt"):
            return True
    except Exception:
        return False
