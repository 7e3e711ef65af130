"""Frames on a plain background become frames with transparency.

In every frame the background is what has its colour and leads to the border. A patch of that colour inside
the character stays, unless more than half of it was background in the frame before (before the first frame:
in the picture). So the white of an eye stays even on white, the hole of a ring remains a hole as it moves,
and what an arm encloses stays open. The colour is followed from frame to frame, since no model holds it.

Pixels at the outline are mixtures of the character and the background. Their share of the character is their
distance from the background's colour, relative to that of the character just inside; what the background adds
to their colour is taken out.
"""

from __future__ import annotations

import numpy as np

from .choices import TOLERANCE
from .picture import PreparedPicture
from .regions import components, grown, window_sum

_SPECK = 4000
_SIDE_PER_EDGE = 256
_FOLLOWED = 2
_ENOUGH = 8
_SOLID = 0.95


def cut_out(frames: np.ndarray, picture: PreparedPicture, *, tolerance: int = TOLERANCE) -> np.ndarray:
    """Make the background of generated frames transparent.

    Args:
        frames: uint8 [T, H, W, 3], generated from the picture's frame.
        picture: what the model was given.
        tolerance: 0..255, by how much a channel may differ from the background's colour.

    Returns:
        uint8 [T, H, W, 4]; where alpha is 0, the colour is that of the nearest outline, or black far from it.

    Raises:
        ValueError: the frames have another shape than the picture.
    """
    if frames.shape[1:3] != picture.alpha.shape:
        raise ValueError(f"{frames.shape = } is not the shape of the picture, {picture.alpha.shape = }")
    if not picture.removes:
        alpha = np.broadcast_to(picture.alpha, frames.shape[:3])
        return np.concatenate([frames, alpha[..., None]], axis=-1)
    cut = np.empty((*frames.shape[:3], 4), np.uint8)
    colour = np.array(picture.colour, np.float32)
    background = picture.alpha < 128
    for index, frame in enumerate(frames):
        pixels = frame.astype(np.float32)
        colour = _followed(pixels, colour, tolerance)
        background = _background(pixels, colour, background, tolerance)
        cut[index] = _with_soft_edge(pixels, colour, background)
    return cut


def _followed(pixels: np.ndarray, colour: np.ndarray, tolerance: int) -> np.ndarray:
    """The background's colour in a frame: the median of the border's pixels that are near that of before."""
    ring = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    near = np.abs(ring - colour).max(axis=-1) <= tolerance
    return np.median(ring[near], axis=0) if near.sum() >= _ENOUGH else colour


def _background(pixels: np.ndarray, colour: np.ndarray, before: np.ndarray, tolerance: int) -> np.ndarray:
    """The background of a frame, bool [H, W], from that of the frame before."""
    labels = components(np.abs(pixels - colour).max(axis=-1) <= tolerance)
    sizes = np.bincount(labels.ravel())
    open_ = np.bincount(labels.ravel(), weights=before.ravel()) * _FOLLOWED > sizes
    open_[np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])] = True
    open_[0] = False
    background: np.ndarray = open_[labels]
    # What is left of the noise of a model: specks that nobody would see as part of a character.
    specks = components(~background)
    small = np.bincount(specks.ravel()) * _SPECK <= specks.size
    small[0] = False
    return background | small[specks]


def _with_soft_edge(pixels: np.ndarray, colour: np.ndarray, background: np.ndarray) -> np.ndarray:
    """RGBA of a frame: alpha 0 on the background, 255 inside, between them at the outline."""
    width = max(1, round(min(background.shape) / _SIDE_PER_EDGE))
    edge = grown(background, width) & ~background
    inside = ~background & ~edge
    if not inside.any():  # too thin to have an inside
        edge, inside = np.zeros_like(edge), ~background
    reach = 2 * width
    weight = window_sum(inside.astype(np.float32), reach)
    known = weight > 0.5
    nearby = window_sum(np.where(inside[..., None], pixels, 0), reach) / np.maximum(weight, 1)[..., None]
    apart = np.linalg.norm(pixels - colour, axis=-1)
    whole = np.linalg.norm(nearby - colour, axis=-1)
    mixed = edge & known & (apart < whole)
    share = np.where(mixed, apart / np.maximum(whole, 1), ~background)
    # Without the background's part: pixel = share * character + (1 - share) * background.
    clean = (pixels - (1 - share[..., None]) * colour) / np.maximum(share, 1e-3)[..., None]
    shown = np.where(mixed[..., None], clean, pixels)
    shown = np.where((background & known)[..., None], nearby, shown)
    shown[background & ~known] = 0
    # What is nearly the character's own colour is no mixture, only noise or shading.
    alpha = (share / _SOLID * 255)[..., None]
    return np.concatenate([shown, alpha], axis=-1).round().clip(0, 255).astype(np.uint8)
