"""`collate`: items of a stream as a batch, also where some of them have no sound."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch.utils.data import default_collate


def collate(items: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Make a batch of a stream's items; give it to a DataLoader as ``collate_fn=emovid_dataset.collate``.

    As torch's default collation, but for what that cannot do:

    - ``waveform``: float32 [B, C, S], or [B, windows, C, S], with zeros after the end of a shorter sound and
      for clips that have none; where mono and stereo meet, mono goes to both channels
    - ``waveform_samples``: int64 [B], how many of the S samples are the clip's own; 0 without sound
    - any other field that is None in one of the items: a list

    Args:
        items: at least one, all with the same keys.

    Returns:
        The batch.
    """
    batch: dict[str, Any] = {}
    for name in items[0]:
        values = [item[name] for item in items]
        if name == "waveform":
            batch[name] = _padded(values, items[0]["video"].shape[:-4])
            lengths = [0 if value is None else value.shape[-1] for value in values]
            batch["waveform_samples"] = torch.tensor(lengths)
        elif any(value is None for value in values):
            batch[name] = values
        else:
            batch[name] = default_collate(values)
    return batch


def _padded(waveforms: Sequence[torch.Tensor | None], windows: Sequence[int]) -> torch.Tensor:
    """One tensor of sounds of different lengths, whose first axes are `windows`: none, or one."""
    held = [waveform.shape[-2:] for waveform in waveforms if waveform is not None]
    channels, samples = (max((shape[axis] for shape in held), default=1 - axis) for axis in (0, 1))
    batch = torch.zeros(len(waveforms), *windows, channels, samples)
    for row, waveform in zip(batch, waveforms, strict=True):
        if waveform is not None:
            row[..., : waveform.shape[-1]] = waveform  # a single channel spreads over all
    return batch
