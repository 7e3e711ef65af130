"""How loud a clip's sound is, how much of it is silence, and how much of it is speech."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import av
import numpy as np

from emovid_dataset.media.portable.errors import VideoError, refusing
from emovid_dataset.media.portable.streams import Source, channels_of, kept, open_container
from emovid_dataset.media.sound_check import heard_stream

SILENCE = -60.0
"""dBFS below which a window is silent: the root mean square of its samples over all channels."""

WINDOW = 0.1
"""Seconds of a window of silence."""

GATE = -70.0
"""LUFS below which EBU R 128 hears nothing."""

_RATE = 48000
_SPEECH_RATE = 16000
_BLOCK = 0.4  # seconds that EBU R 128 needs for a first measurement

Speech = Callable[[bytes], float]
"""From 512 samples at 16 kHz, mono, int16, to the probability that they are speech."""

SPEECH_SAMPLES = 512


@dataclass(frozen=True, slots=True)
class SoundLevels:
    """The sound of one clip.

    Attributes:
        seconds: of sound.
        loudness: integrated loudness in LUFS, mono as played by two speakers; None where there is none.
        reason: why there is no loudness, else None.
        silence: share of the windows that are silent, 0..1.
        speech: share of the pieces of 32 ms that are more likely speech than not; None if nobody listened.
    """

    seconds: float
    loudness: float | None
    reason: str | None
    silence: float
    speech: float | None


def sound_levels(source: Source, speech: Speech | None = None) -> SoundLevels:
    """Measure the sound of a clip.

    Args:
        source: a video with sound.
        speech: tells speech from other sound, with the clip's sound in order.

    Raises:
        VideoError: it has no sound, or sound that cannot be decoded.

    Source: EBU R 128 and ITU-R BS.1770 by FFmpeg's filter ebur128.
    """
    with refusing("has sound that cannot be decoded"), open_container(source) as container:
        stream = heard_stream(source, container)
        if stream is None:
            raise VideoError("has no sound")
        layout = "mono" if channels_of(stream.codec_context) == 1 else "stereo"
        meter, windows, talk = _Meter(layout), _Windows(), _Talk(speech)
        resampler = av.AudioResampler(format="fltp", layout=layout, rate=_RATE)
        samples = 0
        for frame in _resampled(container, stream, resampler):
            frame.pts = samples
            samples += frame.samples
            meter.push(frame)
            windows.push(frame.to_ndarray())
            talk.push(frame)
        if not samples:
            raise VideoError("has a sound track that holds nothing")
        loudness, reason = meter.close(samples / _RATE)
        return SoundLevels(samples / _RATE, loudness, reason, windows.silent(), talk.share())


def _resampled(
    container: av.container.InputContainer, stream: av.AudioStream, resampler: av.AudioResampler
) -> Iterator[av.AudioFrame]:
    for frame in container.decode(stream):
        kept(frame.layout)
        frame.pts = None  # gaps are no sound; the filter wants times without them
        yield from resampler.resample(frame)
    yield from resampler.resample(None)


class _Meter:
    """FFmpeg's ebur128, fed frame by frame."""

    def __init__(self, layout: str) -> None:
        self._graph = av.filter.Graph()
        into = self._graph.add_abuffer(sample_rate=_RATE, format="fltp", layout=layout)
        meter = self._graph.add("ebur128", "metadata=1:dualmono=true")
        out = self._graph.add("abuffersink")
        into.link_to(meter)
        meter.link_to(out)
        self._graph.configure()
        self._told: dict[str, str] | None = None

    def push(self, frame: av.AudioFrame | None) -> None:
        self._graph.push(frame)
        while True:
            try:
                found = self._graph.pull()
            except (BlockingIOError, av.error.EOFError):
                return
            told = getattr(found, "metadata", None)
            if told is not None and (self._told is None or "lavfi.r128.I" in told):
                self._told = told  # the last frame may be too short to be measured, and then says nothing

    def close(self, seconds: float) -> tuple[float | None, str | None]:
        """The loudness, or why there is none."""
        self.push(None)
        if seconds < _BLOCK:
            return None, f"shorter than {_BLOCK} s"
        if self._told is None:
            return None, f"PyAV {av.__version__} does not pass on what FFmpeg's filter says"
        found = float(self._told.get("lavfi.r128.I", -math.inf))
        return (found, None) if found > GATE else (None, f"never above {GATE:g} LUFS")


class _Windows:
    """Mean squares of windows, over all channels."""

    def __init__(self) -> None:
        self._held = np.zeros(0)
        self._length = round(WINDOW * _RATE)
        self._count = self._silent = 0

    def push(self, samples: np.ndarray) -> None:
        """Take [channels, samples]."""
        self._held = np.concatenate([self._held, np.square(samples, dtype=np.float64).mean(0)])
        whole = len(self._held) // self._length * self._length
        self._count_windows(self._held[:whole].reshape(-1, self._length))
        self._held = self._held[whole:]

    def silent(self) -> float:
        """The share of windows that are silent; the last one may be shorter."""
        if len(self._held):
            self._count_windows(self._held[None])
        return self._silent / self._count

    def _count_windows(self, squares: np.ndarray) -> None:
        self._count += len(squares)
        self._silent += int((squares.mean(1) < 10 ** (SILENCE / 10)).sum())


class _Talk:
    """Pieces of speech."""

    def __init__(self, speech: Speech | None) -> None:
        self._speech = speech
        self._resampler = av.AudioResampler(format="s16", layout="mono", rate=_SPEECH_RATE)
        self._held = b""
        self._count = self._spoken = 0

    def push(self, frame: av.AudioFrame | None) -> None:
        if self._speech is None:
            return
        for piece in self._resampler.resample(frame):
            self._held += piece.to_ndarray().astype("<i2").tobytes()
        size = 2 * SPEECH_SAMPLES
        while len(self._held) >= size:
            self._count += 1
            self._spoken += self._speech(self._held[:size]) > 0.5
            self._held = self._held[size:]

    def share(self) -> float | None:
        self.push(None)
        return self._spoken / self._count if self._count else None
