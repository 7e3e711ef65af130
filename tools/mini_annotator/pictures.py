"""Pictures as numbers: augmented, as the tower takes them, and as gradients and colours."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F

from tools.mini_annotator.settings import IMAGE_SIZE, PATCH_SIZE


def augment(pictures: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Mirror, turn, scale and shift; colours stay, since they convey emotion too.

    Args:
        pictures: uint8 [n, PICTURE_SIZE, PICTURE_SIZE, 3].
        generator: of the random numbers.

    Returns:
        float32 [n, 3, IMAGE_SIZE, IMAGE_SIZE], -1..1, white outside the picture.
    """
    count = len(pictures)

    def uniform(low: float, high: float) -> torch.Tensor:
        return low + (high - low) * torch.rand(count, generator=generator)

    angle, scale = uniform(-0.25, 0.25), 1 / uniform(0.8, 1.15)
    mirror = torch.where(uniform(0, 1) < 0.5, -1.0, 1.0)
    cosine, sine = torch.cos(angle) * scale, torch.sin(angle) * scale
    rows = (
        torch.stack([cosine * mirror, -sine, uniform(-0.12, 0.12)], -1),
        torch.stack([sine * mirror, cosine, uniform(-0.12, 0.12)], -1),
    )
    grid = F.affine_grid(torch.stack(rows, 1), [count, 3, IMAGE_SIZE, IMAGE_SIZE], align_corners=False)
    ink = 1 - pictures.permute(0, 3, 1, 2).float() / 255
    # Nothing is reflected or smeared: outside there is no ink.
    return 1 - 2 * F.grid_sample(ink, grid, align_corners=False)


def to_pixels(pictures: torch.Tensor) -> torch.Tensor:
    """Pictures uint8 [..., H, W, C] as the tower takes them: float32 [..., C, H, W], -1..1."""
    return pictures.movedim(-1, -3).float() / 127.5 - 1


def gradients_and_colours(pictures: torch.Tensor) -> torch.Tensor:
    """Histogram of oriented gradients, 8x8 cells of 9 directions, and the root of a 4x4x4 colour histogram.

    Args:
        pictures: uint8 [n, H, W, 3], H and W multiples of 8.

    Returns:
        float32 [n, 9 * cells + 64].

    Source:
        Dalal and Triggs, CVPR 2005.
    """
    grey = pictures.float().mean(-1) / 255
    across, down = torch.zeros_like(grey), torch.zeros_like(grey)
    across[:, :, 1:-1] = grey[:, :, 2:] - grey[:, :, :-2]
    down[:, 1:-1] = grey[:, 2:] - grey[:, :-2]
    direction = (torch.atan2(down, across) % math.pi / math.pi * 9).long() % 9
    cells = grey.new_zeros(len(grey), 9, *grey.shape[1:])
    cells.scatter_(1, direction.unsqueeze(1), (across**2 + down**2).sqrt().unsqueeze(1))
    cells = F.avg_pool2d(cells, 8)
    energy = F.avg_pool2d(cells.square().sum(1, keepdim=True), 3, 1, 1)
    shape = (cells / (energy.sqrt() + 0.01)).flatten(1)
    bins = (pictures // 64).long()
    bins = bins[..., 0] * 16 + bins[..., 1] * 4 + bins[..., 2]
    colour = F.one_hot(bins.flatten(1), 64).float().mean(1).sqrt()
    return torch.cat([shape, colour], 1)


def gradients_and_means(pixels: torch.Tensor) -> torch.Tensor:
    """Oriented gradients and mean colour of each patch of 8x8 pixels, [n, patches, 12]."""
    pictures = ((pixels + 1) * 127.5).clamp(0, 255).round().byte().permute(0, 2, 3, 1)
    shape = gradients_and_colours(pictures)[:, :-64].unflatten(1, (9, -1)).transpose(1, 2)
    return torch.cat([6 * shape, per_patch(F.avg_pool2d(pixels, PATCH_SIZE))], -1)


def per_patch(maps: torch.Tensor) -> torch.Tensor:
    """Maps [n, C, H, W] as rows [n, H * W, C], one per patch where H and W are the tower's."""
    return maps.flatten(2).transpose(1, 2)
