"""Frames with transparency as files: animated WebP, GIF, and a contact sheet of several animations."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
from PIL import Image, ImageDraw, ImageFont

_CELL = 128
_SHOWN = 6
_GAP = 8
_SQUARE = 8
_LABEL = 84
_COLOURS = 255
_SAMPLE = 1 << 20


def durations(count: int, fps: float, unit: float = 0.001) -> list[int]:
    """How long the frames of an animation are shown, in whole units, so that their sum is right.

    Args:
        count: frames.
        fps: frames per second.
        unit: seconds; WebP counts thousandths, GIF hundredths.

    >>> durations(5, 16), durations(5, 16, 0.01)
    ([63, 62, 63, 62, 63], [6, 7, 6, 6, 6])
    """
    ends = [int(index / (fps * unit) + 0.5) for index in range(count + 1)]
    return [end - start for start, end in pairwise(ends)]


def encode_webp(frames: np.ndarray, fps: float) -> bytes:
    """An animated WebP that loops for ever; alpha is kept exactly, colours nearly.

    Args:
        frames: uint8 [T, H, W, 4].
        fps: frames per second.
    """
    images = [Image.fromarray(frame) for frame in frames]
    data = io.BytesIO()
    images[0].save(
        data,
        "WEBP",
        save_all=True,
        append_images=images[1:],
        duration=durations(len(images), fps),
        loop=0,
        quality=90,
        alpha_quality=100,
        method=4,
        background=(0, 0, 0, 0),
    )
    return data.getvalue()


def encode_gif(frames: np.ndarray, fps: float) -> bytes:
    """A GIF that loops for ever, with one palette for all frames; what is half transparent or more is hidden.

    Args:
        frames: uint8 [T, H, W, 4].
        fps: frames per second; GIF counts hundredths of a second.
    """
    hidden = frames[..., 3] < 128
    shown = frames[~hidden][:, :3]
    if len(shown) == 0:
        shown = np.zeros((1, 3), np.uint8)
    sample = shown[:: -(-len(shown) // _SAMPLE)]
    found = Image.fromarray(sample[None]).quantize(_COLOURS, Image.Quantize.MEDIANCUT)
    colours = (found.getpalette() or [])[: 3 * _COLOURS]
    palette = Image.new("P", (1, 1))
    palette.putpalette(colours + colours[:3] * (256 - len(colours) // 3))
    images = []
    for frame, gone in zip(frames, hidden, strict=True):
        image = Image.fromarray(np.ascontiguousarray(frame[..., :3]))
        indices = np.array(image.quantize(palette=palette, dither=Image.Dither.NONE))
        # What follows the colours in the palette repeats its first.
        indices[indices >= len(colours) // 3] = 0
        indices[gone] = _COLOURS
        image = Image.fromarray(indices).convert("L")
        image = Image.frombytes("P", image.size, image.tobytes())
        image.putpalette(palette.getpalette() or [])
        images.append(image)
    data = io.BytesIO()
    images[0].save(
        data,
        "GIF",
        save_all=True,
        append_images=images[1:],
        duration=[10 * hundredths for hundredths in durations(len(images), fps, 0.01)],
        loop=0,
        disposal=2,
        transparency=_COLOURS,
        optimize=False,
    )
    return data.getvalue()


def on_white(frames: np.ndarray) -> np.ndarray:
    """Frames without transparency.

    Args:
        frames: uint8 [T, H, W, 4].

    Returns:
        float32 [T, H, W, 3] in 0..1.
    """
    alpha = frames[..., 3:].astype(np.float32) / 255
    return frames[..., :3].astype(np.float32) / 255 * alpha + (1 - alpha)


def contact_sheet(rows: Mapping[str, Sequence[np.ndarray]]) -> bytes:
    """A PNG with a row per animation: its name, and a few of its frames on a checkerboard.

    Args:
        rows: by name the frames, uint8 [H, W, 4], all of one shape.
    """
    height, width = next(iter(rows.values()))[0].shape[:2]
    scale = _CELL / max(height, width)
    cell_height, cell_width = max(1, round(height * scale)), max(1, round(width * scale))
    sampling = Image.Resampling.NEAREST if scale > 2 else Image.Resampling.LANCZOS
    sheet_size = (
        _LABEL + _SHOWN * (cell_width + _GAP),
        _GAP + len(rows) * (cell_height + _GAP),
    )
    sheet = Image.new("RGB", sheet_size, "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default()
    board = _checkerboard(cell_width, cell_height)
    for row, (name, frames) in enumerate(rows.items()):
        top = _GAP + row * (cell_height + _GAP)
        draw.text((_GAP, top + cell_height // 2 - 6), name, fill="black", font=font)
        for column in range(_SHOWN):
            frame = frames[(2 * column + 1) * len(frames) // (2 * _SHOWN)]
            cell = board.copy()
            small = Image.fromarray(frame).resize((cell_width, cell_height), sampling)
            cell.alpha_composite(small)
            sheet.paste(cell.convert("RGB"), (_LABEL + column * (cell_width + _GAP), top))
    data = io.BytesIO()
    sheet.save(data, "PNG")
    return data.getvalue()


def _checkerboard(width: int, height: int) -> Image.Image:
    rows, columns = np.indices((height, width)) // _SQUARE
    grey = np.where((rows + columns) % 2, 204, 255).astype(np.uint8)
    return Image.fromarray(np.dstack([grey, grey, grey, np.full_like(grey, 255)]))
