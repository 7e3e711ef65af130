"""A preview that every browser plays, of a video that it may not: HEVC, or an animated picture."""

from __future__ import annotations

import io
from fractions import Fraction
from typing import Any

_PLAYED = {"h264", "vp8", "vp9", "av1"}
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
            codec, layout = stream.codec_context.name.removeprefix("lib"), stream.codec_context.pix_fmt or ""
            if any(codec.startswith(name) for name in _PLAYED) and layout in ("yuv420p", "yuvj420p"):
                return None
            scale = min(1.0, _SIDE / max(stream.width, stream.height, 1))
            width, height = (max(2, round(side * scale) // 2 * 2) for side in (stream.width, stream.height))
            rate = stream.average_rate or Fraction(_RATE)
            film: Any = target.add_stream("libx264", rate=rate, options={"crf": "23", "preset": "veryfast"})
            film.width, film.height, film.pix_fmt = width, height, "yuv420p"
            for number, frame in enumerate(source.decode(stream)):
                if number == _FRAMES:
                    break
                shown = frame.reformat(width, height, "yuv420p")
                shown.pts, shown.time_base = number, 1 / Fraction(rate)
                target.mux(film.encode(shown))
            target.mux(film.encode(None))
    except (av.FFmpegError, IndexError, ValueError) as error:
        raise ValueError("This file is no video that can be read.") from error
    return made.getvalue()
