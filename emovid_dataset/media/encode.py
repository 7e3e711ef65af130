"""Encode a video, or a segment of one, as an MP4 that a shard takes."""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from emovid_dataset.media.frames import flatten
from emovid_dataset.media.segment import segment
from emovid_dataset.media.sound import SoundTrack
from emovid_dataset.media.source import Reader, VideoError

X264_SAME_BYTES = {"threads": "1", "x264-params": "asm=avx2"}
"""Options by which libx264 gives the same bytes for the same frames.

Its AVX-512 code gave other bytes now and then on some processors; AVX2's does not.
"""


def transcode(
    reader: Reader, out: Path, *, start: float | None = None, end: float | None = None, crf: int = 18
) -> None:
    """Encode a video, or a segment of it, as a conforming MP4, sound in step.

    One thread and no date or version in the file: the same input gives the same bytes.

    Args:
        reader: the open source; many segments of one film share it.
        out: path of the MP4 to write; a half-written file is left there when this raises.
        start: first second of the segment, None for a whole file.
        end: end of the segment in seconds (exclusive), None for a whole file.
        crf: x264's constant rate factor, 0..51.

    Raises:
        VideoError: nothing decodes, or the source is damaged.
    """
    info, audio = reader.info, reader.audio
    rate = Fraction(info.fps).limit_denominator(1001 if abs(info.fps - round(info.fps)) > 1e-3 else 1)
    width, height = info.width + info.width % 2, info.height + info.height % 2
    options = {"movflags": "+faststart", "fflags": "+bitexact"}
    with av.open(os.fspath(out), "w", format="mp4", options=options) as sink:
        picture: Any = None
        sound = SoundTrack(sink, audio) if audio is not None else None
        reformatter = VideoReformatter()
        count, last = 0, -1
        early: list[av.AudioFrame] = []  # sound from before the first picture: both streams stand first
        zero: float | None = None
        base = Fraction(1) / rate if info.constant_rate else Fraction(1, 90000)
        for frame in segment(reader, start, end):
            if isinstance(frame, av.AudioFrame):
                early.append(frame)
                if zero is not None:
                    _write_sound(sound, early, zero)
                continue
            upright = flatten(frame)
            if picture is None:
                turned = int(frame.rotation) % 180 != 0
                size = (height, width) if turned else (width, height)
                picture = sink.add_stream("libx264", rate=rate)
                picture.width, picture.height, picture.pix_fmt = *size, "yuv420p"
                picture.options = {"crf": str(crf), "preset": "veryfast", **X264_SAME_BYTES}
                if not info.constant_rate:
                    # MP4 holds durations in the order of decoding; only without reordering are they exact
                    picture.options = {**picture.options, "bf": "0"}
                picture.codec_context.thread_count = 1
                picture.codec_context.time_base = base
                if upright is frame and frame.colorspace in (1, 5, 6):
                    picture.codec_context.colorspace = frame.colorspace
            time = frame.time or 0.0
            if zero is None:
                zero = time
                if sound is not None and end is not None:
                    sound.total = round((reader.start_time + end - zero) * sound.rate)
            ready = reformatter.reformat(
                upright,
                width=picture.width,
                height=picture.height,
                format="yuv420p",
                dst_color_range="MPEG",
                threads=1,
            )
            tick = count if info.constant_rate else max(last + 1, round((time - zero) / base))
            ready.pts, ready.time_base = tick, base
            ready.pict_type = 0
            last = tick
            count += 1
            sink.mux(picture.encode(ready))
        if picture is None:
            raise VideoError("has no frames that decode" if start is None else "has no frame in the segment")
        assert zero is not None
        _write_sound(sound, early, zero)
        rest = picture.encode(None)
        if rest and not info.constant_rate:
            rest[-1].duration = round(_shown(reader, zero + last * base - reader.start_time, end) / base)
        sink.mux(rest)
        if sound is not None:
            sound.close()


def _shown(reader: Reader, time: float, end: float | None) -> float:
    """Seconds for which the frame at this time is shown, within a segment that ends at `end`."""
    after = int(np.searchsorted(reader.times, time + 1e-3))  # the time is rounded to the clip's ticks
    until = float(reader.times[after]) if after < len(reader.times) else reader.info.duration
    return max((until if end is None else min(until, end)) - time, 0.0)


def _write_sound(track: SoundTrack | None, frames: list[av.AudioFrame], zero: float) -> None:
    if track is not None:
        for frame in frames:
            track.write(frame, zero)
    frames.clear()
