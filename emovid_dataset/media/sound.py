"""The sound of a clip, as AAC in step with its pictures."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np

from emovid_dataset.media.scan import SoundForm
from emovid_dataset.media.sound_line import SoundLine

TAIL = 0.5
"""Seconds for which sound may go on after the last picture: cameras stop the two one after the other."""

_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)  # AAC's, samples per second


class SoundTrack:
    """Encodes decoded sound as AAC, from the beginning of the clip on, to the sample; gaps become silence.

    Mono stays mono, everything else becomes stereo. Where the source changes its layout, rate or format on
    the way, as a broadcast does, it is resampled to what the container states.

    Args:
        sink: an open MP4.
        form: what the source's sound is in.
        duration: seconds of the pictures. No silence is written beyond them, and no sound after such silence.
    """

    def __init__(self, sink: av.container.OutputContainer, form: SoundForm, duration: float) -> None:
        self.rate = form.rate if form.rate in _RATES else 48000
        self._layout = "mono" if form.channels == 1 else "stereo"
        self._has_times = form.has_times
        self._duration = duration
        self._sink = sink
        self._stream = sink.add_stream("aac", rate=self.rate, layout=self._layout)
        self._stream.codec_context.bit_rate = 64000 if self._layout == "mono" else 128000
        self._resampler = self._fresh_resampler()
        self._form: tuple[str, str, int] | None = None  # sample format, layout and rate that come in now
        self._limit: int | None = None  # samples
        self._over = 0  # samples beyond it
        self._written = 0
        self._ahead = 0  # samples from before the clip, or heard already, still to be dropped
        self._line = SoundLine(form.has_times)

    @property
    def is_empty(self) -> bool:
        """Whether nothing has been written."""
        return not self._written

    @property
    def seconds_over(self) -> float:
        """How much of the sound lay beyond its limit."""
        return self._over / self.rate

    def limit(self, seconds: float) -> None:
        """Let the sound be no longer than this."""
        self._limit = round(seconds * self.rate)

    def write(self, frame: av.AudioFrame, zero: float) -> None:
        """Encode a frame of sound.

        Args:
            frame: the next one, in order of time.
            zero: when the clip begins, seconds in the file's own time.
        """
        for each, begins in self._line.push(frame, float(frame.time or 0.0) - zero):
            self._take(each, begins)

    def close(self) -> None:
        """Encode what is held back."""
        for frame, begins in self._line.close():
            self._take(frame, begins)
        self._flush()
        if self._written:
            self._sink.mux(self._stream.encode(None))

    def _take(self, frame: av.AudioFrame, begins: float | None) -> None:
        if begins is not None:
            self._flush()
            if not self._has_times and self._form is not None:  # the first frame may begin before the clip
                begins = max(begins, self._written / self.rate)
            self._move_to(begins)
        form = (frame.format.name, frame.layout.name, frame.sample_rate)
        if self._form is not None and form != self._form:
            self._flush()
        self._form = form
        for piece in self._resampler.resample(frame):
            self._put(piece.to_ndarray())

    def _move_to(self, seconds: float) -> None:
        """Let the next sample be heard at this time: put in silence, or drop what comes too early."""
        self._ahead = max(0, round((self._written / self.rate - seconds) * self.rate))
        self._silence_until(seconds)

    def _silence_until(self, seconds: float) -> None:
        if seconds > self._duration:
            seconds = self._duration
            end = max(self._written, round(seconds * self.rate))
            self._limit = end if self._limit is None else min(self._limit, end)
        missing = max(0, round((seconds - self._written / self.rate) * self.rate))
        if self._limit is not None:
            missing = min(missing, self._limit)
        while missing > 0:
            length = min(missing, self.rate)
            self._put(np.zeros((1 if self._layout == "mono" else 2, length), np.float32))
            missing -= length

    def _flush(self) -> None:
        for piece in self._resampler.resample(None):
            self._put(piece.to_ndarray())
        self._resampler = self._fresh_resampler()

    def _fresh_resampler(self) -> av.AudioResampler:
        return av.AudioResampler(format="fltp", layout=self._layout, rate=self.rate)

    def _put(self, samples: np.ndarray) -> None:
        if self._ahead:
            dropped = min(self._ahead, samples.shape[1])
            self._ahead -= dropped
            samples = samples[:, dropped:]
        if self._limit is not None:
            room = max(self._limit - self._written, 0)
            self._over += max(samples.shape[1] - room, 0)
            samples = samples[:, :room]
        if not samples.shape[1]:
            return
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples), format="fltp", layout=self._layout)
        frame.sample_rate = self.rate
        frame.pts, frame.time_base = self._written, Fraction(1, self.rate)
        self._written += samples.shape[1]
        self._sink.mux(self._stream.encode(frame))
