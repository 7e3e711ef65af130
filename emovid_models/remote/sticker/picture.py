"""The picture of a sticker: read from any file, laid on a plain background, padded to the model's frame.

A picture with transparency is laid on the first colour of `COLOURS` that does not occur in its character:
white if possible, since the stickers that the models were trained on lie on white. A picture without
transparency keeps its own background; where that is plain, it can be removed.
"""

from __future__ import annotations

import struct
import warnings
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from .choices import BACKGROUNDS, TOLERANCE
from .regions import components

COLOURS = (
    (255, 255, 255),
    (160, 160, 160),
    (0, 200, 0),
    (255, 0, 255),
    (0, 0, 255),
    (0, 255, 255),
    (255, 255, 0),
    (255, 0, 0),
    (0, 0, 0),
)
"""Background colours in the order in which they are tried."""

_MULTIPLE = 16
_LONGEST = 2048
_OPAQUE = 128
_ROOM = 16
_PLAIN = 0.8
_RARE = 1e-3
_UNREADABLE = (
    OSError,
    ValueError,
    SyntaxError,  # Pillow's for a broken PNG or GIF
    EOFError,
    OverflowError,
    MemoryError,
    struct.error,
    zlib.error,
)


@dataclass(frozen=True, slots=True, eq=False)
class PreparedPicture:
    """What the model is given, and what is known of its transparency.

    Attributes:
        frame: uint8 [H, W, 3], the picture on its background.
        alpha: uint8 [H, W], 0 for background; the same in every frame where the background is kept.
        colour: of the background, 0..255 each.
        removes: whether the background is to be removed from the generated frames.
    """

    frame: np.ndarray
    alpha: np.ndarray
    colour: tuple[int, int, int]
    removes: bool

    @property
    def background(self) -> str:
        """``"kept"``, or the colour that is removed as ``"#rrggbb"``."""
        return "#{:02x}{:02x}{:02x}".format(*self.colour) if self.removes else "kept"


def read_picture(path: Path) -> Image.Image:
    """Read a picture of any kind: palette, grey, 16 bits, with or without transparency; the first of several.

    Args:
        path: a file that Pillow reads.

    Returns:
        RGBA with 8 bits per channel, upright, reduced to 2048 pixels a side at most.

    Raises:
        ValueError: it is not a picture, damaged, too large, or wholly transparent; one line.
    """
    try:
        with warnings.catch_warnings():
            # Pillow only warns of a picture that would fill the memory.
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as file:
                image = _eight_bits(ImageOps.exif_transpose(file))
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        most = (Image.MAX_IMAGE_PIXELS or 0) // 1_000_000
        raise ValueError(f"picture {path.name} has more than {most} million pixels") from error
    except UnidentifiedImageError as error:
        raise ValueError(f"picture {path.name} is not an image that Pillow reads") from error
    except _UNREADABLE as error:
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise ValueError(f"picture {path.name} cannot be read: {reason}") from error
    if not np.asarray(image.getchannel("A")).any():
        raise ValueError(f"picture {path.name} is wholly transparent")
    image.thumbnail((_LONGEST, _LONGEST), Image.Resampling.LANCZOS)
    return image


def _eight_bits(image: Image.Image) -> Image.Image:
    """RGBA; Pillow's own conversion clips what has more than eight bits."""
    if image.mode[0] not in "IF":
        # Of the modes without transparency not every one converts to RGBA.
        has_alpha = "A" in image.mode or "a" in image.mode or "transparency" in image.info
        return image.convert("RGBA") if has_alpha else image.convert("RGB").convert("RGBA")
    values = np.asarray(image)
    fraction = image.mode == "F" and values.max() <= 1
    most = 1.0 if fraction else 255.0 if image.mode == "F" else 65535.0
    grey = (np.nan_to_num(values.astype(np.float32)).clip(0, most) * (255 / most)).round().astype(np.uint8)
    alpha = np.full_like(grey, 255)
    if isinstance(hidden := image.info.get("transparency"), int):
        alpha[values == hidden] = 0
    return Image.fromarray(np.dstack([grey, grey, grey, alpha]))


def frame_shape(image: Image.Image, pixels: int = 832 * 480) -> tuple[int, int]:
    """The size of a video for a picture: of the picture's shape, with about so many pixels.

    Args:
        image: the picture; one that is longer than 2:1 gets a shape of 2:1.
        pixels: of a frame.

    Returns:
        Height and width, multiples of 16.

    >>> frame_shape(Image.new("RGBA", (500, 500))), frame_shape(Image.new("RGBA", (1920, 1080)))
    ((624, 624), (480, 848))
    """
    ratio = min(max(image.width / image.height, 0.5), 2.0)
    height, width = (pixels / ratio) ** 0.5, (pixels * ratio) ** 0.5
    rows, columns = (max(1, round(side / _MULTIPLE)) for side in (height, width))
    return rows * _MULTIPLE, columns * _MULTIPLE


def prepare(
    image: Image.Image, height: int, width: int, *, background: str = "auto", tolerance: int = TOLERANCE
) -> PreparedPicture:
    """Pad a picture to a frame's shape, never stretched, and lay it on a plain background.

    A figure that is to be cut out and touches the picture's edge gets a sixteenth of the frame around it, so
    that it has room to move.

    Args:
        image: RGBA.
        height: of the frame, pixels.
        width: of the frame, pixels.
        background: "remove" makes the background transparent: the picture's transparent parts, or without
            any the parts of the border's colour that touch the border. "auto" does so only where the picture
            has transparency or at least four fifths of its border have one colour. "keep" lets everything
            stay, and lays transparent parts on white.
        tolerance: 0..255, by how much a channel may differ from the background's colour.

    Raises:
        ValueError: an unknown `background`, a border without a plain colour to remove, or a picture that
            consists of background only.
    """
    if background not in BACKGROUNDS:
        raise ValueError(f"background is {background!r}; allowed: {', '.join(BACKGROUNDS)}")
    transparent = bool(np.asarray(image.getchannel("A")).min() < 255)
    if background == "keep":
        if transparent:
            image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
        return _kept(image, height, width)
    if transparent:
        figure = _padded(image, height, width)
        alpha = np.asarray(figure.getchannel("A"))
        colour = choose_colour(np.asarray(figure.convert("RGB"))[alpha >= _OPAQUE], tolerance)
        return PreparedPicture(_laid_on(figure, colour), alpha, colour, removes=True)
    pixels = np.asarray(image.convert("RGB"))
    colour, share = border_colour(pixels, tolerance)
    if background == "auto" and share < _PLAIN:
        return _kept(image, height, width)
    if share < 1 - _PLAIN:
        raise ValueError("the picture's border has no plain colour to remove; keep its background instead")
    alpha = _plain_parts(pixels, colour, tolerance)
    if not alpha.any():
        if background == "auto":
            return _kept(image, height, width)
        raise ValueError("the picture holds nothing but its background; keep it instead")
    figure = image.copy()
    figure.putalpha(Image.fromarray(alpha))
    padded = _padded(figure, height, width)
    # The colours as they were: what is nearly background has no sharp edge in the picture either.
    whole = _padded(image, height, width, room=_touches_edge(figure))
    return PreparedPicture(_laid_on(whole, colour), np.asarray(padded.getchannel("A")), colour, removes=True)


def choose_colour(pixels: np.ndarray, tolerance: int = TOLERANCE) -> tuple[int, int, int]:
    """Choose a background that does not occur in a character.

    Args:
        pixels: uint8 [N, 3], the character's.
        tolerance: see `prepare`; a colour occurs if at least one pixel of a thousand differs from it by no
            more than twice that.

    Returns:
        The first of `COLOURS` that does not occur; if all do, the one that is farthest from the thousandth
        part of the pixels that is nearest to it.

    >>> choose_colour(np.array([[255, 204, 77]], np.uint8))
    (255, 255, 255)
    >>> choose_colour(np.array([[250, 250, 250]], np.uint8))
    (160, 160, 160)
    """
    distances = []
    for colour in COLOURS:
        apart = np.abs(pixels.astype(np.int16) - colour).max(axis=-1)
        distances.append(float(np.quantile(apart, _RARE)) if apart.size else 255.0)
    for colour, distance in zip(COLOURS, distances, strict=True):
        if distance > 2 * tolerance:
            return colour
    return COLOURS[int(np.argmax(distances))]


def border_colour(pixels: np.ndarray, tolerance: int = TOLERANCE) -> tuple[tuple[int, int, int], float]:
    """The commonest colour of a picture's border.

    Args:
        pixels: uint8 [H, W, 3].
        tolerance: see `prepare`.

    Returns:
        The colour, and the share of the border's pixels that have it within the tolerance.
    """
    ring = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    coarse, counts = np.unique(ring // 32, axis=0, return_counts=True)
    found = np.median(ring[(ring // 32 == coarse[counts.argmax()]).all(axis=-1)], axis=0)
    near = np.abs(ring.astype(np.float32) - found).max(axis=-1) <= tolerance
    red, green, blue = np.median(ring[near], axis=0) if near.any() else found
    return (int(red), int(green), int(blue)), float(near.mean())


def _plain_parts(pixels: np.ndarray, colour: tuple[int, int, int], tolerance: int) -> np.ndarray:
    """Alpha of a picture: 0 where its background's colour leads to the border, else 255."""
    labels = components(np.abs(pixels.astype(np.int16) - colour).max(axis=-1) <= tolerance)
    ring = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    background = np.isin(labels, np.unique(ring[ring > 0]))
    return np.where(background, 0, 255).astype(np.uint8)


def _touches_edge(image: Image.Image) -> bool:
    alpha = np.asarray(image.getchannel("A"))
    return bool(max(side.max() for side in (alpha[0], alpha[-1], alpha[:, 0], alpha[:, -1])) >= _OPAQUE)


def _padded(image: Image.Image, height: int, width: int, room: bool | None = None) -> Image.Image:
    """The whole picture in the middle of a transparent frame."""
    margin = min(height, width) // _ROOM if (_touches_edge(image) if room is None else room) else 0
    scale = min((width - 2 * margin) / image.width, (height - 2 * margin) / image.height)
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    small = image.resize(size, Image.Resampling.LANCZOS)
    frame = Image.new("RGBA", (width, height))
    frame.paste(small, ((width - size[0]) // 2, (height - size[1]) // 2))
    return frame


def _laid_on(image: Image.Image, colour: tuple[int, int, int]) -> np.ndarray:
    ground = Image.new("RGBA", image.size, colour)
    return np.asarray(Image.alpha_composite(ground, image).convert("RGB"))


def _kept(image: Image.Image, height: int, width: int) -> PreparedPicture:
    """A picture whose background stays; its padding has the border's colour, and becomes transparent."""
    frame = _padded(image, height, width, room=False)
    colour, _ = border_colour(np.asarray(image.convert("RGB")))
    alpha = np.where(np.asarray(frame.getchannel("A")) >= _OPAQUE, 255, 0).astype(np.uint8)
    return PreparedPicture(_laid_on(frame, colour), alpha, colour, removes=False)
