"""A preview that every browser plays, of a video that it may not: HEVC, AVI, or an animated picture."""

from __future__ import annotations

import io
from fractions import Fraction
from itertools import islice
from typing import Any

_PLAYED = {"mov": ("h264", "av1", "vp9"), "matroska": ("vp8", "vp9", "av1")}
"""Codecs that browsers play, by container; "matroska" is WebM too."""

_SIDE = 640
_FRAMES = 600
_RATE = 16


def preview(data: bytes) -> bytes | None:
    """An H.264 MP4 of a video's pictures, small and without sound.

    Args:
        data: of a video or an animated picture.

    Returns:
        The MP4, of the first `_FRAMES` frames; None where a browser plays the file as it is.

    Raises:
        ValueError: it cannot be decoded.
    """
    import av

    made = io.BytesIO()
    try:
        with av.open(io.BytesIO(data)) as source, av.open(made, "w", format="mp4") as target:
            stream = source.streams.video[0]
            codec, layout = stream.codec_context.codec.canonical_name, stream.codec_context.pix_fmt
            played = _PLAYED.get(source.format.name.split(",")[0], ())
            if codec in played and layout in ("yuv420p", "yuvj420p"):
                return None
            rate = stream.average_rate or Fraction(_RATE)
            film: Any = target.add_stream("libx264", rate=rate, options={"crf": "23", "preset": "veryfast"})
            for number, frame in enumerate(islice(source.decode(stream), _FRAMES)):
                shown = _upright(frame)
                if not number:
                    scale = min(1.0, _SIDE / max(shown.width, shown.height))
                    film.width, film.height = (
                        max(2, round(side * scale) // 2 * 2) for side in (shown.width, shown.height)
                    )
                    film.pix_fmt = "yuv420p"
                shown = shown.reformat(film.width, film.height, "yuv420p")
                shown.pts, shown.time_base = number, 1 / Fraction(rate)
                target.mux(film.encode(shown))
            target.mux(film.encode(None))
    except (av.FFmpegError, IndexError, ValueError) as error:
        raise ValueError("This file is no video that can be read.") from error
    return made.getvalue()


def _upright(frame: Any) -> Any:
    """A frame as a player turns it."""
    import av
    import numpy as np

    turns = round(frame.rotation / 90) % 4
    if not turns:
        return frame
    return av.VideoFrame.from_ndarray(np.ascontiguousarray(np.rot90(frame.to_ndarray(format="rgb24"), turns)))
