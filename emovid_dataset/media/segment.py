"""A stretch of a film: its pictures and its sound, from a seek to the key frame before it."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator, Sequence
from fractions import Fraction
from typing import Any

import av

from emovid_dataset.media.portable.errors import refusing
from emovid_dataset.media.portable.groups import skip_unreferenced
from emovid_dataset.media.portable.video_file import VideoFile, whole
from emovid_dataset.media.source import Reader

_EPSILON = 1e-6  # seconds


def segment(
    reader: Reader, start: float | None, end: float | None
) -> Iterator[av.VideoFrame | av.AudioFrame]:
    """Decode a stretch of picture and sound, from a seek to the key frame before it.

    Args:
        reader: an open video.
        start: seconds; the first picture is the first one with time >= start. None is the beginning.
        end: seconds; the last picture is the last one with time < end. None is the end.

    Yields:
        Pictures whose time lies in the stretch and sound frames that overlap it, as they come. Their
        `time` is the file's own; subtract `start_time`.

    Raises:
        VideoError: a picture is damaged.
        OSError: the file cannot be read.
    """
    with refusing():
        if reader.file is None:
            yield from _pictures_between(reader, start or 0, math.inf if end is None else end)
            return
        low = reader.start_time + (start or 0) - _EPSILON
        high = math.inf if end is None else reader.start_time + end - _EPSILON
        # a half second of room, so that the sound's packets before the first picture are read too
        # (frames without times of their own are counted from the beginning)
        for room in (0.5, 5.0, 30.0, math.inf) if start and reader.has_exact_times else (math.inf,):
            in_time = yield from _decode_between(reader, reader.file, low, high, low - room)
            if in_time:
                return


def _pictures_between(reader: Reader, start: float, end: float) -> Iterator[av.VideoFrame]:
    assert reader.pictures is not None
    for picture, time in zip(reader.pictures, reader.times, strict=True):
        if start - _EPSILON <= time < end - _EPSILON:
            frame = av.VideoFrame.from_ndarray(picture, format="rgba")
            frame.pts, frame.time_base = round(time * 1000), Fraction(1, 1000)
            yield frame


def _decode_between(
    reader: Reader, file: VideoFile, low: float, high: float, seek_to: float
) -> Generator[av.VideoFrame | av.AudioFrame, None, bool]:  # False: the seek landed too late
    # fresh decoders: that of AAC keeps a state when flushed, and no cut may depend on the one before
    file.reopen()
    stream, audio, decoder = file.stream, reader.audio, file.decoder
    base = stream.time_base or Fraction(1, 90000)
    if seek_to > reader.start_time:
        file.container.seek(int(seek_to / base), stream=stream, backward=True)
    streams = [stream, audio] if audio is not None else [stream]
    open_ended = {each.index for each in streams}
    step = 1 / reader.info.fps
    first: float | None = None
    early: list[av.AudioFrame] = []  # held back until it is clear that the seek did not land too late
    count = 0
    for packet in file.container.demux(streams):
        index = packet.stream.index  # the packet's own stream_index is 0 in those that end a stream
        if index not in open_ended and packet.size:
            continue
        if index == stream.index:
            before = (
                reader.has_exact_times and packet.pts is not None and float(packet.pts * base) < low - step
            )
            skip_unreferenced(decoder, before)
            frames: Sequence[Any] = decoder.decode(packet)
        else:
            frames = _sound_of(packet)
        for frame in frames:
            if isinstance(frame, av.VideoFrame):
                time = _frame_time(reader, frame, count)
                count += 1
                if first is None:
                    first = time
                    if seek_to > reader.start_time and first > low + step:
                        return False
                    yield from early
                if time >= high:
                    open_ended.discard(stream.index)
                    break
                if time >= low:
                    if not reader.has_exact_times:
                        frame.pts, frame.time_base = round(time * 90000), Fraction(1, 90000)
                    yield whole(frame)
            elif isinstance(frame, av.AudioFrame):
                if frame.time is None:
                    continue
                if frame.time >= high:
                    open_ended.discard(index)
                    break
                if frame.time + frame.samples / frame.sample_rate > low:
                    if first is None:
                        early.append(frame)
                    else:
                        yield frame
        if not open_ended:
            break
    # a seek may also land behind the last key frame, and nothing decodes
    return first is not None or seek_to <= reader.start_time


def _sound_of(packet: av.Packet) -> Sequence[Any]:
    """What a packet of sound decodes to; a damaged one becomes silence."""
    try:
        return packet.decode()
    except av.FFmpegError as error:
        if isinstance(error, MemoryError):
            raise
        return []


def _frame_time(reader: Reader, frame: av.VideoFrame, count: int) -> float:
    if not reader.has_exact_times or frame.time is None:
        return reader.start_time + float(reader.times[min(count, len(reader.times) - 1)])
    return float(frame.time)
