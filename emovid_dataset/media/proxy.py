"""Make a proxy of a clip: smaller pictures with many key frames, of which training decodes few.

A proxy has as many frames as its clip, each at the same time to the tick, so that whoever chooses frames or
windows by their times chooses the same ones of both. Its sound is the clip's own, packet by packet, where it
can be copied.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from emovid_dataset.media.encode import MP4_OPTIONS, X264_SAME_BYTES, blaming_the_disk, frame_rate
from emovid_dataset.media.frames import uniform_indices
from emovid_dataset.media.portable.errors import VideoError, refusing
from emovid_dataset.media.portable.pixels import orientation_of
from emovid_dataset.media.portable.streams import open_container
from emovid_dataset.media.remux import EncodedSound
from emovid_dataset.media.sound_check import SoundDecoder
from emovid_dataset.media.sound_copy import CannotCopy, SoundCopy, sound_layout
from emovid_dataset.media.source import Reader
from emovid_dataset.media.stored_picture import StoredPictures
from emovid_dataset.schema.proxies import HIGHEST_CRF, ProxySettings

HIGHEST_PSNR = 100.0
"""dB; stands for pictures that are equal to the bit as well."""

FEW_PIXELS = 0.5
"""A proxy's bytes are limited where its pictures have at most this share of the clip's pixels."""

LEAST_PSNR = 30.0
"""dB; where the limit on bytes would leave less, it gives way to `_STEPS_WORSE` steps of crf more."""

_STEPS_WORSE = 14

_COMPARED = 16  # frames of a clip over which its PSNR is taken
_FULL = 0.9  # share of x264's buffer that is there from the beginning
_LEAST_SHARE = 0.1  # of the clip's bytes, for pictures beside much sound
_MOST_BETWEEN = 7  # frames that refer to others and that none refers to
_INDEX_BYTES = 24  # of an MP4's index, per frame
_OPTIONS = {**MP4_OPTIONS, "movie_timescale": "90000"}
_SLACK = 1e-6  # seconds by which times may differ: nobody who chooses frames looks closer


@dataclass(frozen=True, slots=True)
class ProxyFacts:
    """What became of a clip.

    Attributes:
        width, height: pixels of the proxy.
        num_frames: as many as the clip has.
        psnr: dB over Y, U and V of up to 16 frames spread over the clip, against the clip's own scaled to the
            proxy's size; at most `HIGHEST_PSNR`.
    """

    width: int
    height: int
    num_frames: int
    psnr: float


def proxy_size(width: int, height: int, short_side: int) -> tuple[int, int]:
    """Width and height of a proxy: even, in the clip's proportions, never larger than the clip.

    Args:
        width, height: of the clip, as it is shown.
        short_side: pixels to which the shorter side is reduced.

    >>> proxy_size(1920, 1080, 256), proxy_size(480, 854, 256), proxy_size(128, 128, 256)
    ((456, 256), (256, 456), (128, 128))
    """
    factor = min(1.0, short_side / min(width, height))
    scaled = (max(2, 2 * round(side * factor / 2)) for side in (width, height))
    return next(scaled), next(scaled)


def write_proxy(clip: bytes, out: Path, settings: ProxySettings) -> ProxyFacts:
    """Make the proxy of a clip.

    One thread and no date or version in the file: the same clip gives the same bytes.

    Args:
        clip: its MP4.
        out: path of the MP4 to write; a half-written file is left there when this raises.
        settings: of the proxy.

    Raises:
        VideoError: the clip is damaged, or cannot be told in frames of the same times.
        OSError: `out` cannot be written.
    """
    with Reader(clip) as reader:
        facts = _made(reader, out, settings)
        if facts.psnr < LEAST_PSNR and _most_bytes(reader, facts.width * facts.height, settings) is not None:
            worse = min(HIGHEST_CRF, settings.crf + _STEPS_WORSE)
            return _made(reader, out, replace(settings, crf=worse), is_limited=False)
        return facts


def _made(reader: Reader, out: Path, settings: ProxySettings, *, is_limited: bool = True) -> ProxyFacts:
    with refusing("cannot be made a proxy of"), blaming_the_disk(out):
        compared = _write(reader, out, settings, is_limited)
    with Reader(out) as made:
        _check_times(reader, made)
        psnr = _psnr(made, compared)
        return ProxyFacts(made.info.width, made.info.height, made.info.num_frames, psnr)


def _write(reader: Reader, out: Path, settings: ProxySettings, is_limited: bool) -> dict[int, av.VideoFrame]:
    """Write pictures and sound; the pictures that are to be compared, as they were given to the encoder."""
    count = reader.info.num_frames
    wanted = set(uniform_indices(count, min(_COMPARED, count)))
    compared: dict[int, av.VideoFrame] = {}
    with av.open(os.fspath(out), "w", format="mp4", options=_OPTIONS) as sink:
        stream: Any = sink.add_stream("libx264", rate=frame_rate(reader.info.fps))
        packets: list[av.Packet] = []
        pictures: StoredPictures | None = None
        for index, frame in reader.frames(range(count)):
            if pictures is None:
                pictures = _opened(stream, reader, frame, settings, is_limited)
            ready = pictures.make(frame)
            if index in wanted:
                compared[index] = ready
            ready.pts, ready.time_base, ready.pict_type = index, stream.codec_context.time_base, 0
            packets += stream.encode(ready)
        packets += stream.encode(None)
        base = _give_times(reader, packets)
        stream.time_base = base
        sound = _sound(reader, sink)
        for packet in packets:
            if sound is not None:
                sound.write_until(float((packet.pts or 0) * base))
            packet.stream = stream
            sink.mux(packet)
        if sound is not None:
            sound.close()
    return compared


def _opened(
    stream: Any, reader: Reader, first: av.VideoFrame, settings: ProxySettings, is_limited: bool
) -> StoredPictures:
    """Set up the encoder by the first frame."""
    shown = first.width, first.height
    if orientation_of(first).transposed:
        shown = first.height, first.width
    stream.width, stream.height = proxy_size(*shown, settings.short_side)
    stream.pix_fmt = "yuv420p"
    limit = _most_bytes(reader, stream.width * stream.height, settings) if is_limited else None
    stream.options = {
        "crf": str(settings.crf),
        "preset": "medium",
        "g": str(settings.keyframe_every),
        "sc_threshold": "0",  # no key frames but those that are due
        # all between a key frame and the last of its group refer to these two alone, so that of a group of
        # eight a chosen frame takes three to decode instead of five
        "bf": str(max(0, min(settings.keyframe_every - 1, _MOST_BETWEEN))),
        "b_strategy": "0",
        "b-pyramid": "none",
        "refs": "1",
        **X264_SAME_BYTES,
        **({} if limit is None else _rate(limit, reader.info.duration)),
    }
    stream.codec_context.thread_count = 1
    stream.codec_context.time_base = 1 / stream.codec_context.framerate
    pictures = StoredPictures(first, stream.width, stream.height)
    pictures.tag(stream.codec_context)
    return pictures


def _most_bytes(reader: Reader, pixels: int, settings: ProxySettings) -> float | None:
    """Bytes that the pictures may take; None for as many as they need.

    Args:
        reader: the clip.
        pixels: of a picture of the proxy.
        settings: of the proxy.
    """
    assert isinstance(reader.source, bytes)
    if pixels > FEW_PIXELS * reader.info.width * reader.info.height:
        return None
    size, sound = len(reader.source), 0
    if reader.sound is not None:
        with open_container(reader.source) as container:
            heard = container.streams.audio[reader.sound.place]
            sound = sum(packet.size for packet in container.demux(heard))
    index = _INDEX_BYTES * reader.info.num_frames
    return max(settings.byte_share * size - sound - index, _LEAST_SHARE * size)


def _rate(limit: float, duration: float) -> dict[str, str]:
    """What keeps x264 below so many bytes: a rate, and how far it may be ahead of it."""
    ahead = min(1.0, duration / 4)
    rate = 8 * limit / (duration + _FULL * ahead)
    return {"maxrate": str(max(1, int(rate))), "bufsize": str(max(1, int(rate * ahead)))}


def _give_times(reader: Reader, packets: Sequence[av.Packet]) -> Fraction:
    """Give packets that are numbered in the order of display the clip's own times; seconds in a tick."""
    if reader.file is None or reader.file.times is None or len(packets) != reader.info.num_frames:
        raise VideoError("has frames without times of their own")
    base = reader.file.base
    times = np.array(reader.file.times, np.int64) - reader.file.times[0]
    end = max(round(reader.info.duration / base), int(times[-1]) + 1)
    places = [int(packet.pts or 0) for packet in packets]
    durations = np.diff(np.append(times, end))
    # what is decoded first is shown later by so much, where pictures are reordered
    delay = max(int(times[number]) - int(times[place]) for number, place in enumerate(places))
    for number, (packet, place) in enumerate(zip(packets, places, strict=True)):
        packet.pts, packet.dts = int(times[place]), int(times[number]) - delay
        packet.duration, packet.time_base = int(durations[place]), base
    return base


def _sound(reader: Reader, sink: av.container.OutputContainer) -> SoundCopy | EncodedSound | None:
    """What writes the sound: its packets as they are, or encoded once more."""
    if reader.sound is None:
        return None
    try:
        return SoundCopy(sink, reader, sound_layout(reader))
    except CannotCopy:
        return EncodedSound(sink, reader, SoundDecoder())


def _check_times(reader: Reader, made: Reader) -> None:
    """Whoever chooses frames by number or time must choose the same ones of a clip and of its proxy."""
    ours, theirs = made.info, reader.info
    if ours.num_frames != theirs.num_frames or ours.constant_rate != theirs.constant_rate:
        raise VideoError(f"becomes {ours.num_frames} frames of {theirs.num_frames}, or another rhythm")
    off = float(np.abs(made.times - reader.times).max())
    if max(off, abs(ours.duration - theirs.duration)) > _SLACK:
        raise VideoError("becomes frames of other times")


def _psnr(made: Reader, compared: dict[int, av.VideoFrame]) -> float:
    error, samples = 0.0, 0
    for index, frame in made.frames(compared):
        ours = frame.to_ndarray(format="yuv420p").astype(np.int32)
        theirs = compared[index].to_ndarray(format="yuv420p")
        error += float(np.square(ours - theirs).sum())
        samples += ours.size
    if not error:
        return HIGHEST_PSNR
    return min(HIGHEST_PSNR, 10 * math.log10(255**2 * samples / error))
