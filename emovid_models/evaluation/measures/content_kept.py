"""Content kept: how far a video with an emotion is from the same seed's video without one, by LPIPS."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np

FRAMES = 8
"""Frames of a video that are compared, in the middles of equal parts of its time."""

SIDE = 256
"""Pixels per side to which they are squeezed."""

Backbone = Literal["alex", "squeeze"]

_WEIGHTS: dict[Backbone, str] = {"alex": "AlexNet_Weights", "squeeze": "SqueezeNet1_1_Weights"}


class Lpips:
    """LPIPS of torchmetrics, on a network of torchvision that is already on this machine.

    Args:
        backbone: "alex", which the authors recommend for measuring, or "squeeze", which is smaller.
        device: as torch names it.

    Raises:
        OSError: torchmetrics or torchvision is not installed, or the network's weights are not in torch's
            cache: nothing is downloaded behind one's back.
    """

    def __init__(self, backbone: Backbone = "alex", device: str = "cpu") -> None:
        try:
            import torch
            import torchvision.models
            from torchmetrics.image import LearnedPerceptualImagePatchSimilarity
        except ImportError as error:
            raise OSError(f"{error.name} is not installed; pip install 'emovid[models,scores]'") from error
        weights = getattr(torchvision.models, _WEIGHTS[backbone]).DEFAULT
        place = Path(torch.hub.get_dir(), "checkpoints", weights.url.rpartition("/")[2])
        if not place.is_file():
            # without the folder's own path: the reason stands on pages that are published
            raise OSError(
                f"LPIPS needs {weights.url} in torch's cache as hub/checkpoints/{place.name}; it is not there"
            )
        self.identity = f"lpips-{backbone}-{place.stem}"
        self._device = device
        self._network = LearnedPerceptualImagePatchSimilarity(backbone, normalize=True).to(device).eval()

    def __call__(self, video: np.ndarray, neutral: np.ndarray) -> float:
        """The mean LPIPS of the frames of two videos.

        Formula: ``mean over t of LPIPS(v_t, n_t)``; LPIPS is the sum over layers of the mean over places of
        ``w . (a - b)^2``, with channels a and b of unit length. Lower keeps more of the content; 0 is the
        same video, so that a generator which ignores the emotion has the lowest value: read it beside EA.

        Args:
            video: uint8 [T, H, W, 3], of the emotion.
            neutral: the same, of intensity 0 and the same seed and prompt.

        Returns:
            0 up; unlike pictures have about 0.5 to 1.

        Raises:
            ValueError: the shapes differ.

        Source:
            Zhang et al., "The unreasonable effectiveness of deep features as a perceptual metric", CVPR 2018.
        """
        import torch

        if video.shape != neutral.shape or not len(video):
            raise ValueError(f"videos of shapes {video.shape} and {neutral.shape}; they must be of one")
        sides = [
            torch.from_numpy(np.ascontiguousarray(side.transpose(0, 3, 1, 2))).to(self._device).float() / 255
            for side in (video, neutral)
        ]
        with torch.inference_mode():
            self._network.reset()
            return float(self._network(*sides))
