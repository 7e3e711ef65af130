"""The pictures of a build's card: frames of some clips, and how many clips each emotion has.

The same build gives the same bytes: clips are taken in the order of the metadata, and everything is drawn by
Pillow with the font that it brings.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

from emovid_dataset.media.frames import decode
from emovid_dataset.media.source import VideoError
from emovid_dataset.report.colours import palette
from emovid_dataset.schema.manifest import Manifest
from emovid_dataset.store import Store

TILE = 120
"""Side of a tile of the contact sheet, in pixels."""

_COLUMNS, _MOST_TILES = 8, 24
_GAP, _LINE, _NEXT_LINE = 8, 22, 17
_INK, _PAGE, _EMPTY = "#1b1f27", "#ffffff", "#eef0f3"
_ROWS = 10_000


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a clip's MP4 lies."""

    content_type: str
    emotion: str
    shard: str
    offset: int
    size: int


def contact_sheet(build: Store, manifest: Manifest, unchanged: Store | None = None) -> bytes:
    """A frame from the middle of one clip of each emotion and content type, as a JPEG.

    Args:
        build: its metadata and shards are there.
        manifest: of the build.
        unchanged: where the shards lie that `build` does not hold, while a build is being changed.

    Returns:
        At most 24 tiles in the order of the emotions, each with the emotion's name; a clip that cannot be
        decoded leaves its tile empty.
    """
    places = _choose(build, manifest)
    columns = min(_COLUMNS, len(places))
    rows = -(-len(places) // columns)
    font = ImageFont.load_default(14)
    names = {place.emotion: _lines(place.emotion, font) for place in places}
    lines = max(map(len, names.values()))
    step_x, step_y = TILE + _GAP, TILE + _GAP + _LINE + (lines - 1) * _NEXT_LINE
    sheet = Image.new("RGB", (columns * step_x + _GAP, rows * step_y + _GAP), _PAGE)
    draw = ImageDraw.Draw(sheet)
    for number, place in enumerate(places):
        left, top = _GAP + number % columns * step_x, _GAP + number // columns * step_y
        draw.rectangle((left, top, left + TILE - 1, top + TILE - 1), fill=_EMPTY)
        store = build if unchanged is None or build.exists(place.shard) else unchanged
        video = store.range(place.shard, place.offset, place.offset + place.size)
        try:
            frame = Image.fromarray(decode(video, frames=_middle)[0])
        except VideoError:
            frame = None
        if frame is not None:
            frame.thumbnail((TILE, TILE))
            sheet.paste(frame, (left + (TILE - frame.width) // 2, top + (TILE - frame.height) // 2))
        for line, text in enumerate(names[place.emotion]):
            draw.text((left, top + TILE + 2 + line * _NEXT_LINE), text, fill=_INK, font=font)
    return _jpeg(sheet)


def emotion_chart(counts: Mapping[str, int]) -> bytes:
    """A bar for each emotion with its number of clips, as a JPEG.

    Args:
        counts: clips by emotion, in the order of the emotions.
    """
    bar, step, font = 20, 30, ImageFont.load_default(15)
    name_width = max(170, *(math.ceil(font.getlength(name)) + 3 * _GAP for name in counts))
    width = name_width + 590
    most = max(counts.values(), default=0) or 1
    chart = Image.new("RGB", (width, len(counts) * step + 2 * _GAP), _PAGE)
    draw = ImageDraw.Draw(chart)
    colours = palette(list(counts))
    for number, (name, count) in enumerate(counts.items()):
        top = _GAP + number * step + (step - bar) // 2
        draw.text((_GAP, top + 1), name, fill=_INK, font=font)
        length = round((width - name_width - 90) * count / most)
        draw.rectangle((name_width, top, name_width + max(length, 1), top + bar), fill=colours[name][0])
        draw.text((name_width + length + 8, top + 1), f"{count:,}", fill=_INK, font=font)
    return _jpeg(chart)


def _choose(build: Store, manifest: Manifest) -> list[_Place]:
    """The first clip of each emotion and content type in the order of the metadata, emotion by emotion."""
    first: dict[tuple[str, str], _Place] = {}
    emotions, types = manifest.taxonomy.names, manifest.content_types
    for place in _places(build, manifest):
        first.setdefault((place.emotion, place.content_type), place)
        if len(first) == len(emotions) * len(types):
            break
    # With many emotions one of each comes before a second one of any.
    found = [[first[emotion, kind] for kind in types if (emotion, kind) in first] for emotion in emotions]
    rounds = max(1, _MOST_TILES // max(1, sum(map(bool, found))))
    return [place for its in found for place in its[:rounds]][:_MOST_TILES]


def _places(build: Store, manifest: Manifest) -> Iterator[_Place]:
    import pyarrow.parquet

    columns = ["emotion", "shard", "offset", "size"]
    for name, (first, *_) in manifest.tables().items():
        with build.local(name) as path:
            for batch in pyarrow.parquet.ParquetFile(path).iter_batches(_ROWS, columns=columns):
                for row in batch.to_pylist():
                    yield _Place(first.content_type, **row)


def _middle(count: int) -> Sequence[int]:
    return [count // 2]


def _lines(name: str, font: ImageFont.ImageFont | ImageFont.FreeTypeFont) -> list[str]:
    """A name in lines of a tile's width, broken behind its hyphens and underscores where it has any."""
    lines = [""]
    for part in re.split("(?<=[-_])", name):
        while part:
            if font.getlength(lines[-1] + part) <= TILE:
                lines[-1] += part
                break
            if lines[-1]:
                lines.append("")
                continue
            fitting = max(length for length in range(1, len(part)) if font.getlength(part[:length]) <= TILE)
            lines[-1], part = part[:fitting], part[fitting:]
            lines.append("")
    return lines


def _jpeg(picture: Image.Image) -> bytes:
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=90, subsampling=0)
    return file.getvalue()
