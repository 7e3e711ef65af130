"""Contact sheets: some clips of each emotion, a picture of a few frames each."""

from __future__ import annotations

import base64
import hashlib
import io
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from heapq import nsmallest
from itertools import zip_longest

from emovid_dataset.media.frames import decode
from emovid_dataset.read.select import select
from emovid_dataset.report.stats import Statistics
from emovid_dataset.schema.clip import Clip
from emovid_dataset.terminal import Progress

_LONGEST_SIDE = 240
_GAP = 4
_FILM_SIDE, _FILM_FRAMES, _FILM_SECONDS = 160, 16, 4.0


def draw_clips(statistics: Statistics, *, count: int, seed: int) -> dict[str, tuple[str, ...]]:
    """Choose the clips of the contact sheets.

    The content types take turns, so that a rare one is seen too. A clip's place in the draw depends on the
    seed and its id only, so that adding clips to a build changes few of the pictures.

    Args:
        statistics: of the build.
        count: at most this many clips an emotion.
        seed: another seed draws other clips.

    Returns:
        Clip ids by emotion, for the emotions that have clips.
    """
    drawn = {}
    for emotion in statistics.manifest.taxonomy.names:
        queues = [
            nsmallest(count, statistics.ids[content_type, emotion], key=lambda key: _draw(seed, key))
            for content_type in statistics.manifest.content_types
            if (content_type, emotion) in statistics.ids
        ]
        turns = [key for turn in zip_longest(*queues) for key in turn if key is not None]
        if turns:
            drawn[emotion] = tuple(turns[:count])
    return drawn


def _draw(seed: int, key: str) -> bytes:
    return hashlib.sha256(f"{seed}:{key}".encode()).digest()


@dataclass(frozen=True, slots=True)
class SheetClip:
    """One clip on a contact sheet.

    Attributes:
        clip: its fields.
        split: "train", "validation" or "test".
        shown: number of frames in the picture.
        picture: a WebP of the frames, in rows, in the order of time; empty when it could not be made.
        width: pixels of the picture.
        height: pixels of the picture.
        film: a small animated WebP of the clip, in its own time; empty for a clip of one frame.
        problem: why there is no picture, or None.
    """

    clip: Clip
    split: str
    shown: int
    picture: bytes
    width: int
    height: int
    film: bytes = b""
    problem: str | None = None

    @property
    def uri(self) -> str:
        """The picture as a data URI."""
        return _data_uri(self.picture)

    @property
    def film_uri(self) -> str:
        """The film as a data URI."""
        return _data_uri(self.film)


def _data_uri(picture: bytes) -> str:
    return "data:image/webp;base64," + base64.b64encode(picture).decode("ascii")


def contact_sheets(
    source: str | os.PathLike[str],
    drawn: Mapping[str, Sequence[str]],
    *,
    frames: int = 4,
    progress: bool = False,
    revision: str | None = None,
    token: str | bool | None = None,
) -> dict[str, tuple[SheetClip, ...]]:
    """Make a picture of each drawn clip; one video is held at a time.

    Args:
        source: the build, as for `measure`.
        drawn: clip ids by emotion, from `draw_clips`.
        frames: frames a clip, chosen uniformly in time; fewer where the clip has fewer.
        progress: show progress on stderr.
        revision: branch, tag or commit of a Hub repo.
        token: for a private Hub repo.

    Returns:
        `SheetClip` by emotion, in the order drawn. A clip that cannot be read or decoded is among them, with
        its problem in words.
    """
    wanted = {key for keys in drawn.values() for key in keys}
    chosen = select(source, where=lambda clip: clip.id in wanted, revision=revision, token=token)
    made: dict[str, SheetClip] = {}
    with Progress(len(chosen), unit="clips", title="contact sheets", enabled=progress) as bar:
        for index, clip in enumerate(chosen.clips):
            try:
                selected = chosen[index]
                made[clip.id] = _sheet_clip(clip, selected.split, selected.video, frames)
                bar.update(size=len(selected.video))
            except (OSError, ValueError) as error:
                made[clip.id] = SheetClip(clip, "", 0, b"", 0, 0, problem=str(error).partition("\n")[0])
                bar.update()
    return {emotion: tuple(made[key] for key in keys) for emotion, keys in drawn.items()}


def _sheet_clip(clip: Clip, split: str, video: bytes, frames: int) -> SheetClip:
    from PIL import Image

    shown = min(frames, clip.num_frames)
    scale = min(1.0, _LONGEST_SIDE / max(clip.width, clip.height))
    width, height = max(1, round(clip.width * scale)), max(1, round(clip.height * scale))
    pictures = decode(video, frames=shown, size=(height, width))
    across = math.ceil(math.sqrt(shown))
    down = math.ceil(shown / across)
    # Transparent where no frame lies, so that the page's own colour, light or dark, parts the frames.
    sheet = Image.new("RGBA", (across * (width + _GAP) - _GAP, down * (height + _GAP) - _GAP), (0, 0, 0, 0))
    for index, picture in enumerate(pictures):
        row, column = divmod(index, across)
        sheet.paste(Image.fromarray(picture), (column * (width + _GAP), row * (height + _GAP)))
    file = io.BytesIO()
    sheet.save(file, "WEBP", quality=78, method=4)
    return SheetClip(clip, split, shown, file.getvalue(), *sheet.size, _film(clip, video))


def _film(clip: Clip, video: bytes) -> bytes:
    """The clip with at most `_FILM_FRAMES` frames, spread over the first seconds of it; it repeats."""
    from PIL import Image

    seconds = min(clip.duration, _FILM_SECONDS)
    within = max(1, round(clip.num_frames * seconds / clip.duration)) if clip.duration else 1
    count = min(_FILM_FRAMES, within)
    if count < 2:
        return b""
    scale = min(1.0, _FILM_SIDE / max(clip.width, clip.height))
    size = max(1, round(clip.height * scale)), max(1, round(clip.width * scale))
    indices = [place * within // count for place in range(count)]
    first, *others = map(Image.fromarray, decode(video, frames=lambda _: indices, size=size))
    file = io.BytesIO()
    each = round(1000 * seconds / count)  # milliseconds
    first.save(file, "WEBP", save_all=True, append_images=others, duration=each, loop=0, quality=55, method=2)
    return file.getvalue()
