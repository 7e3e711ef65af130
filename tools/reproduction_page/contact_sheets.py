"""Contact sheets: frames of the first videos of each emotion, the models side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from emovid_dataset.schema.emotions import EMOTIONS
from emovid_models.evaluation import INTENDED_NAME, Intended, read_intended
from emovid_models.nvila import NVILALiteProcessor
from emovid_models.remote.annotator.pipeline import read_frames

SHEET_FRAMES = 4
"""Frames of a video that are side by side on a sheet."""
SHEET_SCENES = 6
"""Scenes of a sheet: the first ones of the table, whatever their result."""
SHEET_COLUMNS = 2
TILE = 64
"""Pixels per side of a frame on a sheet."""


def first_blocks(rows: Sequence[Intended], count: int) -> list[tuple[str, list[Intended]]]:
    """The first blocks of a sheet: a heading, and one video of each emotion.

    Where the emotions share scenes, a block is a scene (a prompt with its seed). Where they do not, as with
    first images that have their own emotion, the nth block holds the nth video of each emotion.

    Args:
        rows: the table of the videos.
        count: at most this many blocks.

    Raises:
        ValueError: an emotion has no video.
    """
    scenes: dict[tuple[str, int | None], dict[str, Intended]] = {}
    for row in rows:
        scenes.setdefault((row.prompt, row.seed), {})[row.emotion] = row
    whole = [
        (prompt, [scene[emotion] for emotion in EMOTIONS])
        for (prompt, _), scene in scenes.items()
        if len(scene) == len(EMOTIONS)
    ]
    if whole:
        return whole[:count]
    columns = [[row for row in rows if row.emotion == emotion] for emotion in EMOTIONS]
    if not all(columns):
        raise ValueError("the sheet needs a video of each of the eight emotions")
    # Several videos of one first image follow one another; spread over them, a sheet shows more images.
    length = min(map(len, columns))
    count = min(count, length)
    return [
        (
            f"video {place * length // count + 1} of each emotion",
            [c[place * len(c) // count] for c in columns],
        )
        for place in range(count)
    ]


def read_strip(path: Path) -> Image.Image:
    """Frames of a video side by side, [TILE, SHEET_FRAMES * TILE]."""
    frames = read_frames(str(path), lambda total: NVILALiteProcessor.sample_indices(total, SHEET_FRAMES))
    strip = Image.new("RGB", (SHEET_FRAMES * TILE, TILE), "white")
    for place, frame in enumerate(frames):
        picture = Image.fromarray(np.asarray(frame)).convert("RGB")
        strip.paste(picture.resize((TILE, TILE), Image.Resampling.BICUBIC), (place * TILE, 0))
    return strip


def draw_sheet(folders: Mapping[str, Path], count: int = SHEET_SCENES) -> Image.Image:
    """All emotions of the first scenes: one block per scene, one row per emotion, models side by side.

    Args:
        folders: heading -> folder of videos with its table; all have the same files.
        count: scenes.

    Raises:
        ValueError: an emotion has no video.
    """
    blocks = first_blocks(read_intended(next(iter(folders.values())) / INTENDED_NAME), count)
    label, title, gap = 86, 40, 12
    strip = SHEET_FRAMES * TILE
    width = label + len(folders) * (strip + gap)
    height = title + len(EMOTIONS) * (TILE + 2) + gap
    columns = min(SHEET_COLUMNS, len(blocks))
    sheet = Image.new("RGB", (columns * width, -(-len(blocks) // columns) * height), "white")
    draw = ImageDraw.Draw(sheet)
    large, small = ImageFont.load_default(14), ImageFont.load_default(12)
    for place, (prompt, rows) in enumerate(blocks):
        left, top = place % columns * width, place // columns * height
        draw.text((left + label, top + 2), prompt, "black", large)
        for column, (heading, folder) in enumerate(folders.items()):
            x = left + label + column * (strip + gap)
            draw.text((x, top + 21), heading, "black", small)
            for line, row in enumerate(rows):
                y = top + title + line * (TILE + 2)
                if column == 0:
                    draw.text((left + 4, y + TILE // 2 - 7), row.emotion, "black", small)
                sheet.paste(read_strip(folder / row.file), (x, y))
    return sheet
