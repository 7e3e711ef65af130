"""The dataset's clips: chosen in the Parquet metadata, read by byte range, served to the player."""

from __future__ import annotations

import hashlib
import io
import json
import logging
import os
import re
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import av
import fsspec
import pandas as pd
from emotions import CONTENT_TYPES, NAMES
from huggingface_hub import HfApi, HfFileSystem
from PIL import Image
from portable.pixels import rgb
from settings import shown_name
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

BRIGHTNESS = (0.0, 1.0)
COLORFULNESS = (0.0, 1.0)
HUE = (0, 360)
"""The whole range of each attribute; a clip is never left out by a whole range."""

ORDERS: dict[str, tuple[str, bool] | None] = {
    "mixed": ("sha256", True),
    "as in the dataset": None,
    "brightest first": ("brightness", False),
    "darkest first": ("brightness", True),
    "most colourful first": ("colorfulness", False),
    "greyest first": ("colorfulness", True),
    "by hue": ("hue", True),
    "longest first": ("duration", False),
}
"""How clips are ordered: a column and whether it ascends. A hash mixes them, every time alike."""

ID_PATTERN = re.compile(r"([a-z0-9_]+)-[0-9a-f]{16}")
"""What an id looks like; the same as the package's. It becomes part of addresses."""

_TEXTS = ("id", "content_type", "emotion", "emotion_source", "caption", "source", "sha256", "shard")
# A clip's bytes are held in memory, so one of more than a gigabyte is none that can be played here.
_RANGES: dict[str, tuple[float, float]] = {
    "brightness": (0, 1),
    "colorfulness": (0, 2),  # in a build of format 1, where it is M3; now 0..1
    "fps": (1e-3, 1e6),
    "duration": (0, 1e9),
}
_WHOLE_RANGES: dict[str, tuple[int, int]] = {
    "width": (1, 1 << 16),
    "height": (1, 1 << 16),
    "num_frames": (1, 1 << 40),
    "offset": (0, 1 << 50),
    "size": (1, 1 << 30),
}
_COLUMNS = (*_TEXTS, *_RANGES, *_WHOLE_RANGES, "hue", "has_audio", "license")
# A row names the file that is read: nothing but a shard may be read.
_SHARD = re.compile(r"data/[a-z0-9_]+/(\d{5,}/)?[a-z0-9_]+-\d{5,}(-of-\d{5,})?\.tar", re.ASCII)
_EMOTION = re.compile(r"[a-z][a-z0-9_-]*", re.ASCII)
_SPAN = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")
_KEPT_VIDEOS = 96
_KEPT_POSTERS = 1024
_POSTER_SIDE = 480
_CACHE = "private, max-age=3600"

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Which clips are wanted.

    Attributes:
        emotions: names; none of them means all.
        content_types: names; none of them means all.
        brightness: least and greatest, 0..1.
        colorfulness: least and greatest, 0..1; at 1 there is no upper bound, for a build of format 1.
        hue: from and to in degrees; (340, 20) runs through 0. A grey pixel counts as 0, so that grey clips
            and those on white lie near it. A clip without a hue belongs to the whole circle only.
        words: all of them stand in the caption.
        order: a key of `ORDERS`.
    """

    emotions: Sequence[str] = ()
    content_types: Sequence[str] = ()
    brightness: tuple[float, float] = BRIGHTNESS
    colorfulness: tuple[float, float] = COLORFULNESS
    hue: tuple[float, float] = HUE
    words: str = ""
    order: str = "mixed"


class Library:
    """The clips of a build; its metadata is read when it is first asked for.

    Args:
        source: a Hub repo, or the folder of a build.
    """

    def __init__(self, source: str) -> None:
        self.name = shown_name(source)
        self._source = source
        self._lock = threading.Lock()
        self._files: Any = None
        self._root = ""
        self._table: pd.DataFrame | None = None
        self._emotions = NAMES
        self.video = lru_cache(maxsize=_KEPT_VIDEOS)(self._video)
        self.poster = lru_cache(maxsize=_KEPT_POSTERS)(self._poster)

    def table(self) -> pd.DataFrame:
        """Every clip's fields, by id; rows that `checked` refuses are left out.

        Raises:
            OSError: the dataset is not there, may not be read, is no build, or has no clip to show.
        """
        with self._lock:
            if self._table is None:
                if os.path.isdir(self._source):
                    self._files, self._root = fsspec.filesystem("file"), os.path.abspath(self._source)
                else:
                    # One commit for all reads, so that a push in between cannot mix two builds.
                    commit = HfApi().dataset_info(self._source).sha
                    self._files, self._root = HfFileSystem(), f"datasets/{self._source}@{commit}"
                # The tables of a large build stand in numbered subfolders too.
                tables = f"{self._root}/metadata"
                paths = sorted(
                    {path for deep in ("*", "*/*") for path in self._files.glob(f"{tables}/{deep}/*.parquet")}
                )
                if not paths:
                    raise FileNotFoundError(f"{self.name} is no build of clips: no metadata/*/*.parquet")
                parts = [pd.read_parquet(io.BytesIO(self._files.cat_file(path))) for path in paths]
                rows = pd.concat(parts, ignore_index=True)
                missing = [name for name in _COLUMNS if name not in rows]
                if missing:
                    raise OSError(f"{self.name} is no build of clips: its metadata lacks {missing}")
                self._emotions = self._named_emotions()
                clips = checked(rows, self._emotions)
                if len(clips) < len(rows):
                    log.warning(
                        "%s: %d of %d rows are no clips", self.name, len(rows) - len(clips), len(rows)
                    )
                if clips.empty:
                    raise OSError(f"{self.name} has no clip that can be shown")
                self._table = clips.set_index("id", drop=False)
            return self._table

    def emotions(self) -> tuple[str, ...]:
        """Names of the build's emotions, in its order; Mikels' eight unless its manifest names others.

        Raises:
            OSError: as for `table`.
        """
        self.table()
        return self._emotions

    def content_types(self) -> tuple[str, ...]:
        """The content types to choose from: EmoVid's where clips have one of them, and all others.

        Raises:
            OSError: as for `table`.
        """
        held = set(self.table()["content_type"])
        known = CONTENT_TYPES if held & set(CONTENT_TYPES) else ()
        return (*known, *sorted(held - set(known)))

    def _named_emotions(self) -> tuple[str, ...]:
        """What the manifest says; names become parts of styles and so have a plain form only."""
        try:
            body = json.loads(self._files.cat_file(f"{self._root}/manifest.json"))
            names = tuple(label["name"] for label in body["taxonomy"]["labels"])
        except (OSError, ValueError, KeyError, TypeError):
            return NAMES
        plain = all(isinstance(name, str) and _EMOTION.fullmatch(name) for name in names)
        return names if names and plain else NAMES

    def choose(self, choice: Choice) -> pd.DataFrame:
        """The clips that are wanted, in order.

        Raises:
            OSError: as for `table`.
        """
        clips = self.table()
        wanted = pd.Series(True, clips.index)
        if choice.emotions:
            wanted &= clips["emotion"].isin(list(choice.emotions))
        if choice.content_types:
            wanted &= clips["content_type"].isin(list(choice.content_types))
        wanted &= clips["brightness"].between(*choice.brightness)
        low, high = choice.colorfulness
        wanted &= clips["colorfulness"].between(low, high if high < COLORFULNESS[1] else float("inf"))
        start, end = choice.hue
        if (start, end) != HUE:
            hue = clips["hue"]
            wanted &= hue.between(start, end) if start <= end else (hue >= start) | (hue <= end)
        for word in choice.words.split():
            wanted &= clips["caption"].str.contains(word, case=False, regex=False)
        chosen = clips[wanted]
        order = ORDERS.get(choice.order)
        if order is not None:
            chosen = chosen.sort_values(order[0], ascending=order[1], kind="stable", na_position="last")
        return chosen

    def _video(self, clip_id: str) -> bytes:
        """The bytes of a clip's MP4, read by range from its shard and checked.

        Raises:
            KeyError: there is no such clip.
            OSError: it cannot be read or differs from its sha256.
        """
        row = self.table().loc[clip_id]
        if not _SHARD.fullmatch(row["shard"]):
            raise OSError(f"clip {clip_id} names no shard")
        # Without "none" megabytes are read ahead for every range of a repo.
        options = {"cache_type": "none"} if isinstance(self._files, HfFileSystem) else {}
        start, size = int(row["offset"]), int(row["size"])
        data: bytes = self._files.cat_file(
            f"{self._root}/{row['shard']}", start=start, end=start + size, **options
        )
        if hashlib.sha256(data).hexdigest() != row["sha256"]:
            raise OSError(f"clip {clip_id} differs from its sha256")
        return data

    def _poster(self, clip_id: str) -> bytes:
        """The first frame of a clip as JPEG: twelve players at once would be slow to open.

        Raises:
            KeyError: there is no such clip.
            OSError: it cannot be read.
        """
        data = self.video(clip_id)
        try:
            with av.open(io.BytesIO(data)) as file:
                picture = Image.fromarray(rgb(next(file.decode(video=0))))
        # Without a stream of pictures there is no index 0, without a picture no next one.
        except (av.FFmpegError, ValueError, IndexError, StopIteration) as error:
            raise OSError(f"clip {clip_id} cannot be decoded") from error
        picture.thumbnail((_POSTER_SIDE, _POSTER_SIDE))
        jpeg = io.BytesIO()
        picture.save(jpeg, "JPEG", quality=88)
        return jpeg.getvalue()

    async def serve_poster(self, request: Request) -> Response:
        """Answer ``/poster/<id>.jpg``."""
        data = await _read(self.poster, request.path_params["id"])
        if isinstance(data, Response):
            return data
        return Response(data, headers={"Cache-Control": _CACHE}, media_type="image/jpeg")

    async def serve(self, request: Request) -> Response:
        """Answer ``/clip/<id>.mp4``, whole or a range of it: a player seeks by ranges."""
        data = await _read(self.video, request.path_params["id"])
        if isinstance(data, Response):
            return data
        headers = {"Accept-Ranges": "bytes", "Cache-Control": _CACHE}
        asked = request.headers.get("range")
        if asked is None:
            return Response(data, headers=headers, media_type="video/mp4")
        span = _span(asked, len(data))
        if span is None:
            return Response(status_code=416, headers={"Content-Range": f"bytes */{len(data)}"})
        start, end = span
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{len(data)}"
        return Response(data[start:end], 206, headers, "video/mp4")


async def _read(read: Callable[[str], bytes], clip_id: str) -> bytes | Response:
    """What is read of a clip, or the answer that it cannot be."""
    try:
        return await run_in_threadpool(read, clip_id)
    except KeyError:
        return PlainTextResponse("there is no such clip", 404)
    except Exception:  # of the Hub's client, which has exceptions of many kinds
        log.exception("the clip %s cannot be read", clip_id)
        return PlainTextResponse("the clip cannot be read", 502)


def checked(rows: pd.DataFrame, emotions: Sequence[str] = NAMES) -> pd.DataFrame:
    """Leave out rows that are no clips: their fields become addresses, styles and pictures' shapes.

    A clip's id has the package's form and names its content type, its emotion is one of the build's, its
    texts are texts, and its numbers lie in the ranges of their fields. Rows that share an id are all left
    out, since it is not known which of them is meant.

    Args:
        rows: the metadata of a build, all columns of a clip and of its place in a shard.
        emotions: the build's.

    Returns:
        The rows that are clips, in order; an absent licence is "", an absent hue is NaN.
    """
    good = rows["emotion"].isin(emotions)
    for name in _TEXTS:
        good &= pd.Series([isinstance(value, str) for value in rows[name]], rows.index, bool)
    named = [
        isinstance(clip_id, str)
        and ID_PATTERN.fullmatch(clip_id) is not None
        and clip_id.partition("-")[0] == content_type
        for clip_id, content_type in zip(rows["id"], rows["content_type"], strict=True)
    ]
    good &= pd.Series(named, rows.index, bool)
    ranges = _RANGES | _WHOLE_RANGES
    numbers = {name: pd.to_numeric(rows[name], errors="coerce") for name in (*ranges, "hue")}
    for name, (low, high) in ranges.items():
        good &= numbers[name].between(low, high)
    good &= numbers["hue"].isna() | numbers["hue"].between(*HUE)
    licenses = [value if isinstance(value, str) else "" for value in rows["license"]]
    clips = rows.assign(**numbers, license=licenses)[good]
    clips = clips.astype(dict.fromkeys(_WHOLE_RANGES, "int64"))
    return clips[~clips["id"].duplicated(keep=False)]


def _span(asked: str, size: int) -> tuple[int, int] | None:
    """Start and end (exclusive) of a Range header's one range, or None for one that cannot be had.

    >>> _span("bytes=2-5", 10), _span("bytes=7-", 10), _span("bytes=-3", 10), _span("bytes=10-", 10)
    ((2, 6), (7, 10), (7, 10), None)
    """
    match = _SPAN.fullmatch(asked)
    if match is None or match[1] == match[2] == "":
        return None
    if match[1] == "":
        start, end = max(0, size - int(match[2])), size
    else:
        start = int(match[1])
        end = min(size, int(match[2]) + 1) if match[2] else size
    return (start, end) if start < end else None
