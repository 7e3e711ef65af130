"""Chosen frames of a video, given as a path, an address, bytes, frames or a row of a dataset."""

from __future__ import annotations

import os
import shutil
import tempfile
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from .errors import VideoError, refusing
from .pictures import chosen_pictures, open_picture
from .pixels import rgb
from .streams import first_bytes, is_webp, open_bytes
from .video_file import VideoFile

VIDEO_COLUMNS = ("video", "mp4", "webm", "path")
"""Where a row of a dataset is searched for its video, in this order."""

_TIMEOUT = 60  # seconds without a byte
_PICTURES = (b"GIF8", b"\x89PNG", b"\xff\xd8\xff")  # how GIF, PNG and JPEG begin

Indices = Callable[[int], Sequence[int]]
"""From the number of a video's frames to the indices that are wanted."""


def read_frames(video: Any, choose: Indices) -> Any:
    """Read the chosen frames of a video; no others are kept.

    Args:
        video: what `VideoEmotionPipeline.__call__` says a video may be.
        choose: from the number of frames to the indices wanted, ascending.

    Returns:
        A list of frames, or an array of them.

    Raises:
        ValueError: it is not a video, holds no frames, or is damaged.
        OSError: it cannot be read or fetched.

    >>> read_frames(np.zeros((10, 4, 4, 3), np.uint8), lambda count: [0, count - 1]).shape
    (2, 4, 4, 3)
    """
    if isinstance(video, Mapping):
        return read_frames(column_of(video), choose)
    if callable(video):
        return read_frames(video(), choose)
    if isinstance(video, str) and video.startswith(("http://", "https://")):
        with fetched(video) as path:
            return _read_file(path, choose)
    if isinstance(video, (str, os.PathLike)):
        path = Path(video)
        if not path.is_file():
            raise FileNotFoundError(f"{path} is not a file")
        return _read_file(path, choose)
    if isinstance(video, (bytes, bytearray, memoryview)):
        return _read_file(bytes(video), choose)
    if isinstance(video, torch.Tensor):
        video = video.detach().cpu().numpy() if video.dtype != torch.bfloat16 else video.float().cpu().numpy()
    if isinstance(video, Image.Image):
        video = [video]
    if isinstance(video, np.ndarray):
        if video.ndim != 4:
            raise ValueError(f"frames have shape {list(video.shape)}; allowed: [T, H, W, C] or [T, C, H, W]")
        if len(video) == 0:
            raise ValueError("a video has no frames")
        return video[list(choose(len(video)))]
    if isinstance(video, (list, tuple)):
        if not video:
            raise ValueError("a video has no frames")
        return [video[index] for index in choose(len(video))]
    if hasattr(video, "get_frames_at") and hasattr(video, "__len__"):  # torchcodec's decoder, of `datasets`
        return video.get_frames_at(indices=list(choose(len(video)))).data
    raise ValueError(
        f"a video is a {type(video).__name__}; allowed: path, address, bytes, array, tensor, list of frames"
    )


def column_of(row: Mapping[str, Any]) -> Any:
    """The video of a row of a dataset.

    Raises:
        ValueError: it has no column of one.
    """
    if row.get("bytes") is not None:
        return row["bytes"]
    for name in VIDEO_COLUMNS:
        if row.get(name) is not None:
            return row[name]
    raise ValueError(f"a row has the columns {sorted(map(str, row))}; one of {VIDEO_COLUMNS} is needed")


@contextmanager
def fetched(url: str) -> Iterator[Path]:
    """A file with what an address delivers, removed afterwards.

    Raises:
        OSError: it cannot be fetched, or breaks off.
    """
    with tempfile.TemporaryDirectory(prefix="video-") as folder:
        path = Path(folder, "video")
        try:
            with urllib.request.urlopen(url, timeout=_TIMEOUT) as answer, path.open("wb") as file:
                shutil.copyfileobj(answer, file)
                promised = answer.headers.get("Content-Length")
        except (OSError, HTTPException) as error:
            raise OSError(f"{url} cannot be fetched: {' '.join(str(error).split())}") from error
        if promised is not None and path.stat().st_size != int(promised):
            raise OSError(f"{url} broke off after {path.stat().st_size} of {promised} bytes")
        yield path


def _read_file(source: Path | bytes, choose: Indices) -> list[np.ndarray]:
    name = "the video" if isinstance(source, bytes) else str(source)
    try:
        with refusing("cannot be decoded"):
            head = first_bytes(source)
            if head.startswith(_PICTURES) or is_webp(head):
                with open_bytes(source) as file, open_picture(file) as image:
                    return chosen_pictures(image, choose(getattr(image, "n_frames", 1)))
            with VideoFile(source, strict=False) as video:
                return _chosen_frames(video, choose)
    except VideoError as error:
        raise ValueError(f"{name} {error}") from error


def _chosen_frames(video: VideoFile, choose: Indices) -> list[np.ndarray]:
    """Decode what is needed of a video, and keep only the wanted frames."""
    indices = choose(video.num_frames)
    found = {index: rgb(frame) for index, frame in video.frames(set(indices))}
    if len(found) == len(set(indices)):
        return [found[index] for index in indices]
    # some do not come out: count those that do
    total = sum(1 for _ in video.all_frames())
    if total == 0:
        raise VideoError("has no frames")
    indices = choose(total)
    in_order = {index: rgb(frame) for index, frame in video.frames_in_order(frozenset(indices))}
    return [in_order[index] for index in indices]
