"""CLIP: a text or a frame as a feature; both lie in one space."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np

from emovid_models.evaluation.measures.network import load_network, normalisation

_BATCH = 32
_MEAN, _STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


@dataclass(frozen=True, slots=True)
class TextFeature:
    """A text's feature.

    Attributes:
        feature: float32 [D].
        tokens: what the whole text has, with the marks of beginning and end.
        is_truncated: whether that is more than CLIP reads (77 in the published ones); the rest did not count.
    """

    feature: np.ndarray
    tokens: int
    is_truncated: bool


class ClipModel:
    """A CLIP of transformers with its tokenizer.

    Args:
        model: a folder or a Hub repo with safetensors, such as ``openai/clip-vit-base-patch32``.
        device: as torch names it.

    Attributes:
        size: pixels of a side of the square that the network sees.

    Raises:
        OSError: it cannot be loaded.
    """

    def __init__(self, model: str, device: str = "cpu") -> None:
        from transformers import AutoTokenizer, CLIPModel

        self._network: Any = load_network(CLIPModel, model, device)
        try:
            self._tokenizer = AutoTokenizer.from_pretrained(model)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise OSError(f"model {model!r} cannot be loaded: it has no tokenizer") from error
        self._mean, self._std = normalisation(model, _MEAN, _STD)
        self.size: int = self._network.config.vision_config.image_size

    def text(self, text: str) -> TextFeature:
        """The feature of a text; what is longer than CLIP reads is cut off, and said."""
        import torch

        longest = self._network.config.text_config.max_position_embeddings
        tokens = len(self._tokenizer(text, verbose=False).input_ids)
        given = self._tokenizer(text, return_tensors="pt", truncation=True, max_length=longest)
        with torch.inference_mode():
            found = self._network.get_text_features(**given.to(self._network.device))
        return TextFeature(_array(found)[0], tokens, tokens > longest)

    def frames(self, frames: Iterable[np.ndarray]) -> np.ndarray:
        """The feature of every frame.

        The shorter side is reduced to `size` (bicubic), the middle is cut out, and the colours are
        normalised, as CLIP was trained; EvalCrafter's code gives it colours that are not normalised, which is
        not followed.

        Args:
            frames: uint8 [H, W, 3], 0..255; they are not held.

        Returns:
            float32 [T, D].
        """
        import torch

        mean, std = np.asarray(self._mean, np.float32), np.asarray(self._std, np.float32)
        features: list[np.ndarray] = []
        frames = iter(frames)
        while batch := list(islice(frames, _BATCH)):
            squares = np.stack([square_middle(frame, self.size) for frame in batch])
            pixels = torch.from_numpy(((squares / np.float32(255) - mean) / std).transpose(0, 3, 1, 2).copy())
            with torch.inference_mode():
                found = self._network.get_image_features(pixel_values=pixels.to(self._network.device))
            features.append(_array(found))
        return np.concatenate(features)


def square_middle(frame: np.ndarray, size: int) -> np.ndarray:
    """The middle of a frame as a square, the shorter side resized (bicubic).

    Args:
        frame: uint8 [H, W, 3].
        size: pixels of a side.

    Returns:
        uint8 [size, size, 3].
    """
    from PIL import Image

    height, width = frame.shape[:2]
    short = min(height, width)
    shape = int(size * width / short), int(size * height / short)
    image = Image.fromarray(frame).resize(shape, Image.Resampling.BICUBIC)
    left, top = (image.width - size) // 2, (image.height - size) // 2
    return np.asarray(image.crop((left, top, left + size, top + size)))


def _array(found: Any) -> np.ndarray:
    """Projected features; transformers 5 gives them inside a record, earlier versions as they are."""
    return getattr(found, "pooler_output", found).float().cpu().numpy()
