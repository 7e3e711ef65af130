"""Summaries: pooled features, shortened."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from tools.mini_annotator.settings import SUMMARY_SIZE


@dataclass(frozen=True, slots=True)
class Summary:
    """Shortens pooled features: all their parts weigh the same, and the principal components stay.

    Attributes:
        mean: of the features.
        basis: [features, SUMMARY_SIZE]; summaries of the emoji it was made from have a total variance of 1.
    """

    mean: torch.Tensor
    basis: torch.Tensor

    @classmethod
    def of(cls, pooled: torch.Tensor, sizes: Sequence[int]) -> Summary:
        """From features of many emoji, [n, features], and the number of features of each part."""
        mean = pooled.mean(0)
        repeated = torch.repeat_interleave(torch.tensor(sizes), torch.tensor(sizes))
        scale = 1 / ((pooled.std(0) + 1e-3) * repeated.sqrt())
        rows = (pooled - mean) * scale
        basis = torch.linalg.svd(rows, full_matrices=False)[2][:SUMMARY_SIZE].T
        spread = (rows @ basis).var(0).sum().sqrt()
        return cls(mean, scale.unsqueeze(1) * basis / spread)

    def __call__(self, pooled: torch.Tensor) -> torch.Tensor:
        """Summaries [..., SUMMARY_SIZE] of features [..., features]."""
        return (pooled - self.mean) @ self.basis


def pool_patches(features: torch.Tensor) -> torch.Tensor:
    """Mean and standard deviation over the patches: [..., patches, C] to [..., 2 C]."""
    return torch.cat([features.float().mean(-2), features.float().std(-2)], -1)
