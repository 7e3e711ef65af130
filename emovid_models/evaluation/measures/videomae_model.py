"""VideoMAE: a video as one feature, for FVD."""

from __future__ import annotations

from typing import Any

import numpy as np

from emovid_models.evaluation.measures.network import load_network, normalisation

_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class VideoMaeModel:
    """A VideoMAE of transformers, whose features FVD compares.

    Args:
        model: a folder or a Hub repo with safetensors.
        device: as torch names it.

    Attributes:
        num_frames: frames that the network sees; 16 in the published ones.
        size: pixels of a side that it sees; 224 in the published ones.

    Raises:
        OSError: it cannot be loaded.
    """

    def __init__(self, model: str, device: str = "cpu") -> None:
        from transformers import VideoMAEModel

        self._network: Any = load_network(VideoMAEModel, model, device)
        self._mean, self._std = normalisation(model, _MEAN, _STD)
        self.num_frames: int = self._network.config.num_frames
        self.size: int = self._network.config.image_size

    def video(self, frames: np.ndarray) -> np.ndarray:
        """The feature of a video: the mean over all its tokens of the last layer.

        Args:
            frames: uint8 [num_frames, size, size, 3], 0..255: chosen uniformly in time over the whole video,
                the picture squeezed to a square so that nothing of it is cut off.

        Returns:
            float32 [D].
        """
        import torch

        mean, std = np.asarray(self._mean, np.float32), np.asarray(self._std, np.float32)
        colours = (frames / np.float32(255) - mean) / std
        pixels = torch.from_numpy(colours.transpose(0, 3, 1, 2).copy())[None]
        with torch.inference_mode():
            tokens = self._network(pixels.to(self._network.device)).last_hidden_state
        return tokens.mean(1)[0].float().cpu().numpy()
