"""What tiny pictures tell of every frame: how light it is, and how much it differs from the one before."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from emovid_dataset.cut.thumbnails import WIDTH, Thumbnails

_BLOCK = 100  # frames that are looked at at once


@dataclass(frozen=True, slots=True)
class Changes:
    """Of each frame, float32 [n] each; 0 for one that does not decode.

    Attributes:
        luma: its mean luma, 0..255.
        spread: the standard deviation of its luma.
        change: the mean difference from the frame before, 0..255; 0 where there is none.
        colour_change: likewise in hue, saturation and value.
        stir: likewise the greatest difference of any point.
    """

    luma: np.ndarray
    spread: np.ndarray
    change: np.ndarray
    colour_change: np.ndarray
    stir: np.ndarray


def changes_of(thumbnails: Thumbnails, damaged: np.ndarray) -> Changes:
    """Look at all tiny pictures of a film.

    Args:
        thumbnails: of the film.
        damaged: which of them stand for frames that do not decode, bool [n].
    """
    import cv2

    count = len(thumbnails)
    found = Changes(*(np.zeros(count, np.float32) for _ in range(5)))
    for first in range(0, count, _BLOCK):
        stop, before = min(count, first + _BLOCK), max(0, first - 1)
        pictures = thumbnails.read(before, stop)
        here = pictures[first - before :]
        luma = cv2.cvtColor(here.reshape(-1, WIDTH, 3), cv2.COLOR_RGB2GRAY).reshape(len(here), -1)
        found.luma[first:stop] = luma.mean(1)
        found.spread[first:stop] = luma.std(1)
        if len(pictures) > 1:
            behind = stop - len(pictures) + 1
            apart = _apart(pictures)
            found.change[behind:stop] = apart.mean(1)
            found.stir[behind:stop] = apart.max(1)
            colours = cv2.cvtColor(pictures.reshape(-1, WIDTH, 3), cv2.COLOR_RGB2HSV)
            found.colour_change[behind:stop] = _apart(colours.reshape(pictures.shape)).mean(1)
    alone = damaged.copy()
    alone[1:] |= damaged[:-1]
    for values in (found.luma, found.spread):
        values[damaged] = 0
    for values in (found.change, found.colour_change, found.stir):
        values[alone] = 0
    return found


def _apart(pictures: np.ndarray) -> np.ndarray:
    """How much each but the first differs from the one before, uint8 [n - 1, numbers of a picture]."""
    import cv2

    flat = pictures.reshape(len(pictures), -1)
    return np.asarray(cv2.absdiff(flat[1:], flat[:-1]))
