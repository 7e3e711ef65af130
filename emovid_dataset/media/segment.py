"""A stretch of a film: its pictures and its sound, from a seek to the key frame before it."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from fractions import Fraction
from typing import Any

import av
import numpy as np

from emovid_dataset.media.source import Reader, one_line_errors, whole

_EPSILON = 1e-6


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
    """
    with one_line_errors(reader.source):
        if reader.stills is not None:
            for index, time in enumerate(reader.times):
                if (start or 0) - _EPSILON <= time < (np.inf if end is None else end) - _EPSILON:
                    frame = av.VideoFrame.from_ndarray(reader.stills[index], format="rgba")
                    frame.pts, frame.time_base = round(time * 1000), Fraction(1, 1000)
                    yield frame
            return
        low = reader.start_time + (start or 0) - _EPSILON
        high = np.inf if end is None else reader.start_time + end - _EPSILON
        # a half second of room, so that the sound's packets before the first picture are read too
        # (frames without times of their own are counted from the beginning)
        for room in (0.5, 5.0, 30.0, np.inf) if start and reader.exact else (np.inf,):
            yielded = yield from _decode_between(reader, low, high, low - room)
            if yielded:
                return


def _decode_between(
    reader: Reader, low: float, high: float, seek_to: float
) -> Generator[av.VideoFrame | av.AudioFrame, None, bool]:  # False: the seek landed too late
    # fresh decoders: that of AAC keeps a state when flushed, and no cut may depend on the one before
    container = reader.reopen()
    audio = [s for s in container.streams.audio if s.codec_context is not None]
    reader.audio = audio[0] if audio else None
    if seek_to > reader.start_time:
        stream = reader.stream
        assert stream.time_base is not None
        container.seek(int(seek_to / stream.time_base), stream=stream, backward=True)
    streams = [reader.stream] + ([reader.audio] if reader.audio is not None else [])
    open_ended = {stream.index for stream in streams}
    context = reader.decoder
    step = 1 / reader.info.fps
    first: float | None = None
    early: list[av.AudioFrame] = []  # held back until it is clear that the seek did not land too late
    count = 0
    base = reader.stream.time_base or Fraction(1, 90000)
    for packet in container.demux(streams):
        index = packet.stream.index  # the packet's own stream_index is 0 in those that end a stream
        if index not in open_ended and packet.size:
            continue
        if index == reader.stream.index:
            before = reader.exact and packet.pts is not None and float(packet.pts * base) < low - step
            context.skip_frame = "NONREF" if before else "DEFAULT"
            frames: Sequence[Any] = context.decode(packet)
        else:
            try:
                frames = packet.decode()
            except av.FFmpegError:
                continue  # a damaged piece of sound becomes silence
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
                    open_ended.discard(reader.stream.index)
                    break
                if time >= low:
                    if not reader.exact:
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
    context.skip_frame = "DEFAULT"
    return True


def _frame_time(reader: Reader, frame: av.VideoFrame, count: int) -> float:
    if not reader.exact or frame.time is None:
        return reader.start_time + float(reader.times[min(count, len(reader.times) - 1)])
    return float(frame.time)
