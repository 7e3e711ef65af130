"""All that is trained, and the record of how: what the folder of the annotator is then written from."""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from tools.mini_annotator.clips import read_stickers
from tools.mini_annotator.folds import cross_validate
from tools.mini_annotator.language import read_base


@dataclass(frozen=True, slots=True)
class Learnt:
    """What a training gives.

    Attributes:
        state: float16 weights of the annotator that ships, trained on the train split.
        scores: of every labelled sticker by a model of the cross-validation that saw neither it nor a variant
            of it, before any temperature, [n, 8].
        record: device, seconds, versions, and what was chosen for each fold and for the annotator.
    """

    state: dict[str, torch.Tensor]
    scores: torch.Tensor
    record: dict[str, Any]

    def save(self, path: Path) -> None:
        """Write all of it to one safetensors file."""
        tensors = {f"model.{name}": value for name, value in self.state.items()}
        save_file(
            {**tensors, "scores": self.scores},
            path,
            metadata={"record": json.dumps(self.record, allow_nan=False)},
        )

    @classmethod
    def load(cls, path: Path) -> Learnt:
        """Read what `save` wrote."""
        with safe_open(path, "pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            record = json.loads(file.metadata()["record"])
        scores = tensors.pop("scores")
        return cls({name.removeprefix("model."): value for name, value in tensors.items()}, scores, record)


def learn(device: torch.device) -> Learnt:
    """Train the base, the annotator of every fold and the one that ships.

    Args:
        device: to train on; the processes of the folds share it.
    """
    start = time.monotonic()
    scores, state, chosen = cross_validate(read_base(device), read_stickers())
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{os.cpu_count()} cores"
    record = {
        "device": name,
        "seconds": round(time.monotonic() - start),
        "folds": chosen[:-1],
        "annotator": chosen[-1],
        "versions": {name: version(name) for name in ("torch", "transformers", "scikit-learn", "pillow")},
    }
    return Learnt(state, scores, record)
