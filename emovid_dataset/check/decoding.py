"""Decode a clip whole, as plainly as can be, and hold it against what its JSON says.

The builder reads a file's packets first and decodes only what it needs. Here nothing is left out and nothing
is believed but what comes out of the decoders: every packet is decoded in its order, by one thread.

What decoders cannot see is not found: bytes of a picture or of AAC that are changed to others that decode as
well. Sources in Opus or PCM carry nothing by which a build could see damage within their packets.
"""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import av
import numpy as np
from av.video.reformatter import Interpolation

from emovid_dataset.media.attributes import HsvSum, luma
from emovid_dataset.media.portable.errors import VideoError, refusing
from emovid_dataset.media.portable.pixels import ROUNDED, WHOLE_CHROMA_OUT, RgbConverter
from emovid_dataset.media.sound import TAIL
from emovid_dataset.media.sound_check import SoundCheck, SoundDecoder

AAC_FRAMES = 2
"""The sound may end so many AAC frames of 1024 samples, and one picture, away from the pictures: encoders
begin with one frame of lead-in and fill the last one."""

MUCH_LATER = TAIL
"""Sound that ends so many seconds later still is wrong: a build leaves it out, so pictures are missing.
Less is a note, since a build takes it as it is; so is sound that ends early: films end in silence."""

_AAC_FRAME = 1024  # samples
_LONGEST_OFF = 0.05  # seconds; a clip's duration is never farther from the truth than this or half a frame
_ROUNDING = 0.002  # seconds: two ticks of a clock of milliseconds
_FPS_ROUNDING = 1e-6  # frames per second; much where pictures stand for hours
_EXACT = Interpolation.BILINEAR | ROUNDED | WHOLE_CHROMA_OUT
_LEVELS = {"brightness": 0.01, "colorfulness": 0.02, "luma": 0.02}
"""By how much attributes may differ: processors and versions of FFmpeg convert colours differently."""


@dataclass(frozen=True, slots=True)
class Claims:
    """What a clip's JSON says of its MP4; the fields are those of `schema.clip.Clip`.

    Attributes:
        width, height, fps, num_frames, duration, has_audio: of every build.
        levels: brightness, colorfulness and luma by name; empty for a build of format 1, which measured
            otherwise.
    """

    width: int
    height: int
    fps: float
    num_frames: int
    duration: float
    has_audio: bool
    levels: dict[str, float]

    @classmethod
    def of(cls, fields: Mapping[str, Any]) -> Claims:
        """Those of a JSON member whose types are right."""
        is_measured = all(name in fields for name in _LEVELS)
        return cls(
            levels={name: fields[name] for name in _LEVELS} if is_measured else {},
            **{name: fields[name] for name in cls.__slots__ if name != "levels"},
        )


@dataclass(frozen=True, slots=True)
class Pictures:
    """What came out of the decoder of a clip's pictures.

    Attributes:
        times: seconds in the file's own time of every frame, as they come out; None where one has no time.
        end: seconds at which the last one in time ends; None where that is not known.
        sizes: how many frames are of each size, (width, height) as shown but not turned.
        damaged: times of frames that do not decode whole.
        refused: packets that the decoder refuses.
        attributes: brightness, colorfulness and luma of every n-th frame, by name; empty without frames.
    """

    times: tuple[float | None, ...]
    end: float | None
    sizes: Counter[tuple[int, int]]
    damaged: tuple[float | None, ...]
    refused: int
    attributes: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ClipFindings:
    """What decoding a clip shows.

    Attributes:
        wrong: what is not as the JSON says, or damaged; one line each.
        notes: what is unusual, but may be so in the source too.
    """

    wrong: tuple[str, ...]
    notes: tuple[str, ...] = ()


def check_clip(fields: Mapping[str, Any], data: bytes, every: int) -> ClipFindings:
    """Decode a clip and compare it with its fields.

    Args:
        fields: of its JSON member, of the right types.
        data: the MP4.
        every: the attributes are those of every such frame.

    Raises:
        MemoryError: memory ran out, which says nothing about the clip.
    """
    try:
        pictures, sound, rate = decode_whole(data, every)
    except VideoError as error:
        return ClipFindings((f"the MP4 {error}",))
    said = Claims.of(fields)
    wrong = (*_of_pictures(said, pictures), *_of_sound(said, sound))
    late = _sound_ends_late(pictures, sound, rate)
    if late is None:
        return ClipFindings(wrong)
    seconds, allowed = late
    if abs(seconds) <= allowed:
        return ClipFindings(wrong)
    direction = "after" if seconds > 0 else "before"
    line = f"the sound ends {abs(seconds):.3f} s {direction} the pictures, {allowed:.3f} s are allowed"
    if seconds > allowed + MUCH_LATER:
        return ClipFindings((*wrong, line))
    return ClipFindings(wrong, (line,))


def decode_whole(data: bytes, every: int) -> tuple[Pictures, SoundCheck, int]:
    """Decode every packet of an MP4, in order, with nothing skipped.

    Args:
        data: the MP4.
        every: the attributes are those of every such frame.

    Returns:
        What came of the pictures, what came of the sound, and its samples per second, 0 without sound.

    Raises:
        VideoError: it cannot be opened, or has no stream of pictures.
    """
    times: list[float | None] = []
    damaged: list[float | None] = []
    sizes: Counter[tuple[int, int]] = Counter()
    end: float | None = None
    refused = 0
    hsv, lumas = HsvSum(), []
    sound, converter = SoundDecoder(), RgbConverter(_EXACT)
    with refusing(), av.open(io.BytesIO(data), metadata_errors="ignore") as container:
        if not container.streams.video:
            raise VideoError("has no video stream")
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        heard = container.streams.audio[:1]
        rate = heard[0].codec_context.sample_rate if heard else 0
        for packet in container.demux(stream, *heard):
            if packet.stream.index != stream.index:
                sound.decode(packet)
                continue
            try:
                frames = packet.decode()
            except av.FFmpegError as error:
                if isinstance(error, MemoryError):
                    raise
                refused += 1
                continue
            for frame in frames:
                assert isinstance(frame, av.VideoFrame)
                aspect = stream.sample_aspect_ratio or 1
                sizes[round(frame.width * aspect), frame.height] += 1
                if frame.is_corrupt:
                    damaged.append(frame.time)
                if len(times) % every == 0:
                    picture = converter.planes(frame)
                    hsv.add(*picture)
                    lumas.append(luma(np.dstack(picture)))
                times.append(frame.time)
                if frame.time is not None and frame.duration and frame.time_base:
                    end = max(end or 0.0, frame.time + float(frame.duration * frame.time_base))
    attributes = {}
    if times:
        brightness, colorfulness, _ = hsv.result()
        attributes = {
            "brightness": brightness,
            "colorfulness": colorfulness,
            "luma": sum(lumas) / len(lumas),
        }
    pictures = Pictures(tuple(times), end, sizes, tuple(damaged), refused, attributes)
    return pictures, sound.found(), rate


def _of_pictures(said: Claims, pictures: Pictures) -> Iterator[str]:
    count = len(pictures.times)
    if pictures.refused:
        yield f"the MP4 is damaged: {pictures.refused} packets of pictures do not decode"
    if pictures.damaged:
        first = pictures.damaged[0]
        yield (
            f"the MP4 is damaged: {len(pictures.damaged)} of {count} frames do not decode whole, "
            f"the first at {first} s"
        )
    if count != said.num_frames:
        yield f"decodes to {count} frames, the json says {said.num_frames}"
    if not count:
        return
    width, height = pictures.sizes.most_common(1)[0][0]
    for name, value in (("width", width), ("height", height)):
        if value != getattr(said, name):
            yield f"{name} is {value}, the json says {getattr(said, name)}"
    if len(pictures.sizes) > 1:
        yield f"has frames of {len(pictures.sizes)} sizes"
    yield from _of_times(said, pictures)
    for name, level in said.levels.items():
        if abs(pictures.attributes[name] - level) > _LEVELS[name]:
            yield f"{name} is {pictures.attributes[name]:.3f}, the json says {level:.3f}"


def _of_times(said: Claims, pictures: Pictures) -> Iterator[str]:
    times = [time for time in pictures.times if time is not None]
    if len(times) < len(pictures.times):
        yield f"{len(pictures.times) - len(times)} frames have no time"
        return
    back = next((later for time, later in pairwise(times) if later <= time), None)
    if back is not None:
        yield f"the frame at {back:.3f} s does not come after the one before it"
        return
    duration = _shown_until(pictures) - times[0]
    allowed = max(_ROUNDING, min(0.5 * duration / len(times), _LONGEST_OFF))
    if abs(duration - said.duration) > allowed:
        yield f"duration is {duration:.3f} s by its frames' times, the json says {said.duration}"
    rounded = len(times) / said.fps * _FPS_ROUNDING / said.fps
    if len(times) == said.num_frames and abs(len(times) / said.fps - duration) > allowed + rounded:
        yield f"fps is {len(times) / duration:.4f} by its frames' times, the json says {said.fps}"


def _shown_until(pictures: Pictures) -> float:
    """When the last picture ends; its own duration where it states one, else that of the one before it."""
    times = [time for time in pictures.times if time is not None]
    last = times[-1]
    if pictures.end is not None and pictures.end > last:
        return pictures.end
    return last + (last - times[-2] if len(times) > 1 else 0.0)


def _of_sound(said: Claims, sound: SoundCheck) -> Iterator[str]:
    heard = sound.seconds > 0
    if heard != said.has_audio:
        yield f"has_audio is {heard}, the json says {said.has_audio}"
    if sound.errors:
        yield f"the sound is damaged: {sound.errors} of {sound.packets} packets do not decode"


def _sound_ends_late(pictures: Pictures, sound: SoundCheck, rate: int) -> tuple[float, float] | None:
    """By how many seconds the sound ends after the pictures, and how many are allowed, if there are both."""
    times = [time for time in pictures.times if time is not None]
    if sound.end is None or not rate or not times:
        return None
    until = _shown_until(pictures)
    frame = (until - times[0]) / len(times)
    return sound.end - until, AAC_FRAMES * _AAC_FRAME / rate + frame
