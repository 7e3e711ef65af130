"""Write a clip of the corpus: the same frames give the same bytes."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
from av.video.frame import PictureType

from tools.mini_corpus.film import Sound

SOUND_BIT_RATE = 48_000
"""Bits per second of the AAC sound, mono."""


def encode(
    path: Path, frames: Iterable[av.VideoFrame], rate: Fraction, *, crf: int, sound: Sound | None = None
) -> None:
    """Write an MP4 that a browser can start before all of it has arrived: H.264 yuv420p, and AAC for sound.

    One thread and no time stamps, so that the same frames give the same bytes.

    Args:
        path: the file to write.
        frames: yuv420p frames of one size; their colour tags go into the stream.
        rate: frames per second.
        crf: x264's constant rate factor.
        sound: starts with the first frame; None for a silent file.
    """
    options = {"movflags": "+faststart", "fflags": "+bitexact"}
    with av.open(str(path), "w", format="mp4", options=options) as container:
        video = None
        sound_stream = None
        for index, frame in enumerate(frames):
            if video is None:
                video = container.add_stream(
                    "libx264",
                    rate=rate,
                    options={"crf": str(crf), "preset": "slow", "threads": "1", "flags": "+bitexact"},
                )
                video.width, video.height, video.pix_fmt = frame.width, frame.height, "yuv420p"
                context = video.codec_context
                context.colorspace, context.color_range = frame.colorspace, frame.color_range
                context.color_primaries, context.color_trc = frame.color_primaries, frame.color_trc
                if sound is not None:
                    sound_stream = container.add_stream(
                        "aac", rate=sound.rate, layout="mono", options={"flags": "+bitexact"}
                    )
                    sound_stream.bit_rate = SOUND_BIT_RATE
            # A decoded frame remembers its picture type, and x264 would obey it.
            frame.pict_type = PictureType.NONE
            frame.pts, frame.time_base, frame.duration = index, 1 / rate, 1
            container.mux(video.encode(frame))
        if video is None:
            raise ValueError(f"{path}: no frames")
        container.mux(video.encode(None))
        if sound is not None and sound_stream is not None:
            samples = av.AudioFrame.from_ndarray(sound.samples[None], format="fltp", layout="mono")
            samples.sample_rate, samples.pts, samples.time_base = sound.rate, 0, Fraction(1, sound.rate)
            container.mux(sound_stream.encode(samples))
            container.mux(sound_stream.encode(None))
