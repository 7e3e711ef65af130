"""What is known of a video: its size, its rate, and when each frame is shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import av
import numpy as np

from emovid_dataset.media.portable.clock import clock_of
from emovid_dataset.media.portable.errors import VideoError
from emovid_dataset.media.portable.streams import channels_of
from emovid_dataset.media.portable.video_file import VideoFile
from emovid_dataset.media.sound_check import heard_stream

_PICTURES = frozenset(("ico", "image2"))
"""Formats of still pictures beside FFmpeg's pipes; the second is chosen by a file's name alone."""

_PICTURE_BRANDS = frozenset(("avif", "avis", "heic", "heix", "heim", "heis", "mif1", "msf1"))
"""What AVIF and HEIF call themselves, which hold pictures, sequences of pictures, or both."""

_LARGEST_SIDE = 16384  # pixels; x264 encodes no larger ones


@dataclass(frozen=True, slots=True)
class VideoInfo:
    """What everybody wants to know of a video.

    Attributes:
        width: pixels, as displayed (after pixel aspect, before rotation).
        height: pixels, as displayed.
        fps: mean frames per second.
        num_frames: frames.
        duration: seconds from the first frame to the end of the last.
        has_audio: whether there is sound that decodes.
        constant_rate: whether all frames stand within one tick of a constant rate.
    """

    width: int
    height: int
    fps: float
    num_frames: int
    duration: float
    has_audio: bool
    constant_rate: bool


@dataclass(frozen=True, slots=True)
class SoundForm:
    """What the sound is in, as the container states it; decoders change their own with the packets.

    Attributes:
        place: of the stream among the container's streams of sound.
        rate: samples per second; 0 where it is not known.
        channels: 1 for mono; 0 where it is not known.
        has_times: whether the container states when a packet is heard. AVI does not: FFmpeg counts its bytes.
    """

    place: int
    rate: int
    channels: int
    has_times: bool

    @classmethod
    def of(cls, stream: av.AudioStream) -> SoundForm:
        """What a stream states."""
        container, context = stream.container, stream.codec_context
        place, has_times = container.streams.audio.index(stream), container.format.name != "avi"
        return cls(place, context.sample_rate, channels_of(context), has_times)


@dataclass(frozen=True, slots=True)
class Scan:
    """What is known of a video that is open.

    Attributes:
        info: what everybody wants to know.
        sound: None where nothing can be heard.
        times: seconds from the first frame to each, float64 [num_frames], ascending.
        start_time: seconds in the file's own time at which the first frame is shown.
        aspect: width of a pixel by its height.
    """

    info: VideoInfo
    sound: SoundForm | None
    times: np.ndarray
    start_time: float
    aspect: Fraction


def scan_file(video: VideoFile) -> Scan:
    """Sum up a video file.

    Raises:
        VideoError: it is a still picture, or has no size or duration that a video can have.
    """
    stream, name = video.stream, video.container.format.name
    if (name.endswith("_pipe") and "png" not in name and "gif" not in name) or name in _PICTURES:
        raise VideoError(f"is a still picture or unknown format ({name})")
    brand = video.container.metadata.get("major_brand", "").strip()
    if brand in _PICTURE_BRANDS and video.num_frames == 1:
        raise VideoError(f"is a still picture ({brand})")
    if stream.width < 1 or stream.height < 1:
        raise VideoError("has no picture size")
    stated = stream.sample_aspect_ratio or Fraction(1)
    aspect = stated if stated > 0 else Fraction(1)
    width, height = round(stream.width * aspect), stream.height
    if max(width, height) > _LARGEST_SIDE:
        raise VideoError(
            f"has pictures of {width}x{height}; at most {_LARGEST_SIDE} pixels on a side are read"
        )
    clock, count = clock_of(video), video.num_frames
    heard = heard_stream(video.source, video.container)
    info = VideoInfo(
        width=width,
        height=height,
        fps=count / clock.duration,
        num_frames=count,
        duration=clock.duration,
        has_audio=heard is not None,
        constant_rate=clock.is_constant,
    )
    sound = None if heard is None else SoundForm.of(heard)
    return Scan(info, sound, clock.times, clock.start, aspect)


def scan_pictures(size: tuple[int, int], delays: Sequence[int], count: int) -> Scan:
    """Sum up an animated picture.

    Args:
        size: width and height in pixels.
        delays: for each frame the milliseconds for which it is shown, at least 1.
        count: frames that the decoder knows of.

    Raises:
        VideoError: it has no frames, or the two do not agree.
    """
    if not count:
        raise VideoError("has no frames")
    if len(delays) != count:
        raise VideoError(f"is damaged: {len(delays)} frames are there, its decoder finds {count}")
    ends = np.cumsum(delays) / 1000.0
    info = VideoInfo(
        width=size[0],
        height=size[1],
        fps=count / float(ends[-1]),
        num_frames=count,
        duration=float(ends[-1]),
        has_audio=False,
        constant_rate=len(set(delays)) == 1,
    )
    return Scan(info, None, np.concatenate([[0.0], ends[:-1]]), 0.0, Fraction(1))
