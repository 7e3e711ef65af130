"""What becomes of a video in a build, and about how large it gets, by its header and its first frame."""

from __future__ import annotations

from dataclasses import dataclass

from emovid_dataset.media.encoding import Encoding
from emovid_dataset.media.portable.pixels import orientation_of
from emovid_dataset.media.source import Reader
from emovid_dataset.media.video_settings import AS_IT_IS, COPIED, ENCODED

BITS_PER_PIXEL = 0.2
"""That x264 takes at a constant rate factor of 18: 0.11 to 0.42 for 18 clips of the miniature."""

MOST_GROWTH = 2.0
"""By how many times larger than its source a clip gets that is encoded at 18, whatever its size in pixels."""

_CRF, _HALVING = 18, 6  # a rate factor that is larger by so many halves the bits
_SOUND = 128_000  # bits per second at most


@dataclass(frozen=True, slots=True)
class Forecast:
    """What becomes of a video, or of a stretch of it.

    Attributes:
        way: `AS_IT_IS`, `COPIED` or `ENCODED`.
        why: it does not go in as it is; None where it does.
        size: of the clip in bytes: the file's own where its pictures are copied, else a guess.
    """

    way: str
    why: str | None
    size: int


def by_first_frame(reader: Reader, encoding: Encoding) -> Encoding:
    """How a clip is made once its first frame shows whether its pictures are upright.

    Raises:
        VideoError: the frame is damaged.
        OSError: the file cannot be read.
    """
    if not encoding.takes_file:
        return encoding
    _, first = next(reader.frames([0]))
    if orientation_of(first).is_upright:
        return encoding
    return encoding.after("pictures that are turned or mirrored")


def forecast(
    reader: Reader, encoding: Encoding, size: int, start: float | None, end: float | None
) -> Forecast:
    """Say what becomes of a video.

    Args:
        reader: the open video.
        encoding: how the clip is made; by the header will do.
        size: of its file in bytes.
        start: first second of the stretch, None for a whole file.
        end: end of the stretch in seconds, None for a whole file.
    """
    if encoding.takes_file:
        return Forecast(AS_IT_IS, None, size)
    if encoding.copies_pictures:
        return Forecast(COPIED, encoding.misfit.file, size)
    return Forecast(ENCODED, encoding.misfit.pictures, _encoded(reader, encoding, size, start, end))


def _encoded(reader: Reader, encoding: Encoding, size: int, start: float | None, end: float | None) -> int:
    """Bytes of a clip whose pictures are encoded, about."""
    info, video = reader.info, encoding.video
    seconds = info.duration if start is None or end is None else end - start
    width, height = info.width, info.height
    if encoding.crop is not None:
        width, height = encoding.crop.left_of(width, height)
    pixels = float(width * height)
    if video.height is not None and height > video.height:
        pixels *= (video.height / height) ** 2
    rate = info.fps if video.fps is None else min(info.fps, video.fps)
    left = pixels * rate / (info.width * info.height * info.fps)
    bits = min(pixels * rate * BITS_PER_PIXEL, MOST_GROWTH * left * 8 * size / info.duration)
    bits *= 2 ** ((_CRF - video.crf) / _HALVING)
    sound = _SOUND if reader.sound is not None else 0
    return round(seconds * (bits + sound) / 8)
