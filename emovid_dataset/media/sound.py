"""The sound of a clip, as AAC in step with its pictures."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import av
import numpy as np

_AAC_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
_SOUND_GAP = 0.05  # seconds; containers round times, so smaller steps are no gaps


class SoundTrack:
    """Encodes decoded sound as AAC, from the first picture on to the sample, gaps as silence."""

    def __init__(self, sink: Any, source: Any) -> None:
        context = source.codec_context
        self.rate = context.sample_rate if context.sample_rate in _AAC_RATES else 48000
        layout = "mono" if context.channels == 1 else "stereo"
        self.sink = sink
        self.stream = sink.add_stream("aac", rate=self.rate, layout=layout)
        self.stream.codec_context.bit_rate = 64000 if layout == "mono" else 128000
        self.layout = layout
        self.resampler = av.AudioResampler(format="fltp", layout=layout, rate=self.rate)
        self.total: int | None = None
        self.written = 0
        self.ahead = 0  # samples from before the first picture, still to be dropped
        self.next: float | None = None  # time at which the next frame of unbroken sound begins

    def write(self, frame: av.AudioFrame, zero: float) -> None:
        time = float(frame.time or 0.0)
        if self.next is None:
            self.ahead = max(0, round((zero - time) * self.rate))
            self._silence(time - zero)
        elif time - self.next > _SOUND_GAP:
            self._flush()
            self._silence(time - zero - self.written / self.rate)
        self.next = time + frame.samples / frame.sample_rate
        for piece in self.resampler.resample(frame):
            self._put(piece.to_ndarray())

    def _silence(self, seconds: float) -> None:
        missing = max(0, round(seconds * self.rate))
        if self.total is not None:
            missing = min(missing, self.total)
        while missing > 0:
            length = min(missing, self.rate)
            self._put(np.zeros((1 if self.layout == "mono" else 2, length), np.float32))
            missing -= length

    def _flush(self) -> None:
        for piece in self.resampler.resample(None):
            self._put(piece.to_ndarray())
        self.resampler = av.AudioResampler(format="fltp", layout=self.layout, rate=self.rate)

    def _put(self, samples: np.ndarray) -> None:
        if self.ahead:
            dropped = min(self.ahead, samples.shape[1])
            self.ahead -= dropped
            samples = samples[:, dropped:]
        if self.total is not None:
            samples = samples[:, : max(self.total - self.written, 0)]
        if not samples.shape[1]:
            return
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples), format="fltp", layout=self.layout)
        frame.sample_rate = self.rate
        frame.pts, frame.time_base = self.written, Fraction(1, self.rate)
        self.written += samples.shape[1]
        self.sink.mux(self.stream.encode(frame))

    def close(self) -> None:
        self._flush()
        if self.written:
            self.sink.mux(self.stream.encode(None))
