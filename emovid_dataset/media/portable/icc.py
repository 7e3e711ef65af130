"""Colours that an ICC profile describes, as sRGB, by LittleCMS."""

from __future__ import annotations

import io
import zlib
from dataclasses import dataclass
from functools import lru_cache
from typing import BinaryIO

import av
import numpy as np
from PIL import Image, ImageCms

from .errors import VideoError
from .side_data import attached

_MODES = {"RGB": "RGB", "GRAY": "L"}  # Pillow's, by the profile's own name of its space
_STEPS = 9  # of each channel, on which a profile is tried
_PNG, _LARGEST = b"\x89PNG\r\n\x1a\n", 1 << 26  # bytes of an unpacked profile


@dataclass(frozen=True, slots=True)
class _Lent:
    profile: bytes


def profile_of(frame: av.VideoFrame) -> bytes | None:
    """The profile of a decoded frame, or the one that `lend` gave it.

    Returns:
        None where it has none, or one that says the same as sRGB.

    Raises:
        VideoError: as for `differing`.
    """
    lent = frame.opaque
    if isinstance(lent, _Lent):
        return differing(lent.profile)
    try:
        found = attached(frame, "ICC_PROFILE")
    except ValueError:
        return None
    return None if found is None else differing(found)


def lend(frame: av.VideoFrame, profile: bytes | None) -> av.VideoFrame:
    """A frame with the profile of its file: FFmpeg's decoder of APNG gives it with the first frame alone."""
    if profile is not None:
        # of its own for each frame: PyAV keeps one object once, and forgets it with the first frame
        frame.opaque = _Lent(profile)
    return frame


def profile_of_png(file: BinaryIO) -> bytes | None:
    """The profile that a PNG or APNG file states; None where it states none, and for every other file.

    Args:
        file: open for reading, at any position; the position is changed.

    Source: W3C PNG, section 11.3.2.3 (the iCCP chunk).
    """
    file.seek(0)
    if file.read(8) != _PNG:
        return None
    while len(head := file.read(8)) == 8 and head[4:] not in (b"IDAT", b"IEND"):
        length = int.from_bytes(head[:4], "big")
        if head[4:] != b"iCCP":
            file.seek(length + 4, 1)
            continue
        packed = file.read(length).partition(b"\0")[2][1:]
        try:
            return zlib.decompressobj().decompress(packed, _LARGEST)
        except zlib.error:
            return None  # FFmpeg and browsers leave out a chunk that is damaged
    return None


@lru_cache(maxsize=8)
def differing(profile: bytes) -> bytes | None:
    """A profile; None for one by which no colour is more than a level from sRGB.

    Raises:
        VideoError: it cannot be read, or is not one of red, green and blue or of grey.
    """
    ramp = np.linspace(0, 255, _STEPS).astype(np.uint8)
    colours = np.stack(np.meshgrid(ramp, ramp, ramp), axis=-1).reshape(-1, _STEPS, 3)
    if _transform(profile)[0] == "L":
        colours = np.repeat(ramp[None, :, None], 3, axis=2)
    off = np.abs(to_srgb(colours, profile).astype(int) - colours).max()
    return profile if off > 1 else None


def to_srgb(picture: np.ndarray, profile: bytes) -> np.ndarray:
    """A picture's numbers as sRGB.

    Args:
        picture: uint8 [height, width, 3] or, with transparency, [height, width, 4], as it is stored.
        profile: says what its numbers mean.

    Returns:
        An array of the same shape; transparency as it was.

    Raises:
        VideoError: as for `differing`.
    """
    mode, transform = _transform(profile)
    stored = picture[..., 0] if mode == "L" else picture[..., :3]
    image = ImageCms.applyTransform(Image.fromarray(np.ascontiguousarray(stored), mode), transform)
    assert image is not None
    return np.concatenate([np.asarray(image), picture[..., 3:]], axis=2)


@lru_cache(maxsize=8)
def _transform(profile: bytes) -> tuple[str, ImageCms.ImageCmsTransform]:
    try:
        opened = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        space = opened.profile.xcolor_space.strip()
        if space not in _MODES:
            raise VideoError(f"has an ICC profile of {space}, which is not read")
        mode = _MODES[space]
        srgb = ImageCms.createProfile("sRGB")
        intent = ImageCms.Intent(ImageCms.getDefaultIntent(opened))
        return mode, ImageCms.buildTransform(opened, srgb, mode, "RGB", intent)
    except (ImageCms.PyCMSError, OSError, TypeError, ValueError) as error:
        if isinstance(error, VideoError):
            raise
        raise VideoError("has an ICC profile that cannot be read") from error
