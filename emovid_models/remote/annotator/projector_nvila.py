"""From the patches that SigLIP sees to the tokens that Qwen2 reads."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from .configuration_nvila import NVILALiteConfig, mlp_depth


class Downsample(nn.Module):
    """Joins squares of `rate` x `rate` neighbouring patches into one token.

    The grid is padded with zeros at the bottom and at the right to a multiple of `rate`. A token's channels
    are those of its patches in the order of rows, then columns; tokens come row by row.

    Args:
        rate: patches along a side of the square.

    >>> patches = torch.arange(1.0, 10.0).reshape(1, 9, 1)
    >>> Downsample(2)(patches)[0].tolist()
    [[1.0, 2.0, 4.0, 5.0], [3.0, 0.0, 6.0, 0.0], [7.0, 8.0, 0.0, 0.0], [9.0, 0.0, 0.0, 0.0]]
    """

    def __init__(self, rate: int) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, patches: torch.Tensor) -> torch.Tensor:
        """Join patches [frames, side * side, C] to [frames, ceil(side / rate) ** 2, rate * rate * C]."""
        frames, count, channels = patches.shape
        side = round(count**0.5)
        padding = -side % self.rate
        grid = F.pad(patches.view(frames, side, side, channels), (0, 0, 0, padding, 0, padding))
        side = (side + padding) // self.rate
        grid = grid.view(frames, side, self.rate, side, self.rate, channels).transpose(2, 3)
        return grid.reshape(frames, side * side, self.rate * self.rate * channels)


class NVILALiteProjector(nn.Module):
    """Maps the tower's patches to tokens of the language model.

    Args:
        config: its `projector_type` chooses the layers.
    """

    def __init__(self, config: NVILALiteConfig) -> None:
        super().__init__()
        vision, text, rate = (
            config.vision_config.hidden_size,
            config.text_config.hidden_size,
            config.downsample_rate,
        )
        depth = mlp_depth(config.projector_type)
        layers: list[nn.Module]
        if config.projector_type == "linear":
            self.layers: nn.Module = nn.Linear(vision, text)
            return
        if depth is not None:
            layers = [nn.Linear(vision, text)]
            for _ in range(depth - 1):
                layers += [nn.GELU(), nn.Linear(text, text)]
        elif rate == 2:
            layers = [Downsample(2), nn.LayerNorm(4 * vision), nn.Linear(4 * vision, text)]
            layers += [nn.GELU(), nn.Linear(text, text)]
        else:
            layers = [Downsample(3), nn.LayerNorm(9 * vision), nn.Linear(9 * vision, 3 * vision), nn.GELU()]
            layers += [
                nn.LayerNorm(3 * vision),
                nn.Linear(3 * vision, text),
                nn.GELU(),
                nn.Linear(text, text),
            ]
        self.layers = nn.Sequential(*layers)

    def forward(self, patches: torch.Tensor) -> torch.Tensor:
        """Map patches [frames, patches, C] to [frames, tokens, H]."""
        return self.layers(patches)
