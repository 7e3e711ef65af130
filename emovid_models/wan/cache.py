"""Clips and texts as the transformer sees them, and the cache that keeps them.

CACHE/{fingerprint of the encoders}/clips/{clip}-{bucket}.safetensors   latents, I2V's condition and image
CACHE/{fingerprint of the encoders}/texts/{sha256}.safetensors          text embeddings
CACHE/{fingerprint of the encoders}/encoded/                            ledger of what was encoded
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from typing import Protocol

import torch
from safetensors import SafetensorError
from safetensors.torch import load as deserialize

from emovid_dataset.media.frames import decode
from emovid_dataset.read.select import Selection
from emovid_dataset.store import Store
from emovid_models.remote.wan.lora import safetensors_bytes
from emovid_models.wan.encode import (
    TEXT_LENGTH,
    BaseOutline,
    Encoders,
    Variant,
    first_indices,
    fit,
    frame_indices,
)
from emovid_models.wan.plan import BucketedClip


def padded(text: torch.Tensor) -> torch.Tensor:
    """Fill a text's embeddings [L, D] up with zeros to [512, D], as the stock pipelines do."""
    return torch.cat([text, text.new_zeros(TEXT_LENGTH - text.shape[0], text.shape[1])])


@dataclass(frozen=True, slots=True)
class Sample:
    """One encoded clip with one of its texts.

    Attributes:
        latents: bfloat16 [C, T', H', W'].
        text: bfloat16 [512, D], zeros after the last token.
        condition: bfloat16 [C, T', H', W'] of the first frame, or of one latent frame where the base puts
            it in the place of the first; None for T2V.
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
    """Encoded clips and texts that are kept.

    Args:
        store: of one fingerprint.
    """

    def __init__(self, store: Store) -> None:
        self.store = store

    @classmethod
    def at(cls, place: str | os.PathLike[str], base: BaseOutline) -> LatentCache:
        """The cache of a base's encoders.

        Args:
            place: a folder or the URL of a bucket; it holds the caches of any number of bases.
            base: says which.
        """
        return cls(Store.at(f"{os.fspath(place)}/{base.fingerprint()}"))

    @staticmethod
    def clip_name(item: BucketedClip) -> str:
        """The file of a clip in its bucket."""
        return f"clips/{item.name}.safetensors"

    @staticmethod
    def text_name(text: str) -> str:
        """The file of a text."""
        return f"texts/{hashlib.sha256(text.encode()).hexdigest()[:32]}.safetensors"

    def load(self, item: BucketedClip, variant: Variant) -> Sample:
        """Read a clip and its text.

        Raises:
            ValueError: a file is missing or cut short.
        """
        return Sample.of(self._read(self.clip_name(item)), self.text(item.texts()[variant]))

    def text(self, text: str) -> torch.Tensor:
        """Read the embeddings [L, D] of a text."""
        return self._read(self.text_name(text))["text"]

    def put_clip(self, item: BucketedClip, tensors: dict[str, torch.Tensor]) -> None:
        """Keep an encoded clip."""
        self.store.put(self.clip_name(item), safetensors_bytes(tensors))

    def put_text(self, text: str, embeddings: torch.Tensor) -> None:
        """Keep the embeddings [L, D] of a text."""
        self.store.put(self.text_name(text), safetensors_bytes({"text": embeddings}, {"of": text}))

    def is_whole(self, name: str) -> bool:
        """Whether a file is there and as long as its header says."""
        try:
            size = self.store.size(name)
            start = 8 + int.from_bytes(self.store.range(name, 0, min(8, size)), "little")
            if not 8 < start <= size:
                return False
            header = json.loads(self.store.range(name, 8, start))
            ends = [entry["data_offsets"][1] for key, entry in header.items() if key != "__metadata__"]
            return start + max(ends) == size
        except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):
            return False

    def _read(self, name: str) -> dict[str, torch.Tensor]:
        try:
            return deserialize(self.store.read(name))
        except FileNotFoundError as error:
            raise ValueError(
                f"{self.store.shown(name)} is missing from the cache; run the same command again to encode it"
            ) from error
        except SafetensorError as error:
            raise ValueError(
                f"{self.store.shown(name)} is cut short or not a safetensors file ({error}); "
                "run the same command again to encode it"
            ) from error


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

    def chosen(count: int) -> list[int]:
        if item.framing == "prefix":
            return first_indices(count, item.bucket.frames)
        return frame_indices(count, item.clip.fps, item.bucket.frames)

    try:
        frames = decode(video, frames=chosen, threads=2)
    except ValueError as error:
        raise ValueError(f"clip {item.clip.id} cannot be decoded: {error}") from error
    return fit(frames, item.bucket.height, item.bucket.width)
