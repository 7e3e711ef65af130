"""The sound of a clip, as AAC in step with its pictures.

Frames of sound follow each other without a break, unless their times say that something is missing or heard
twice. What counts is how far a frame's time is from where the sound before it ends, however small the steps
were that led there, and only if the next frame bears it out::

    lost packets    |--|--|--|   |--|--|   |--|         silence is put in
    an overlap      |--|--|--|==|--|--|                 what was heard already is left out
    rounded times   |--|--|-- |--|--|--|                nothing is done
"""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np

from emovid_dataset.media.scan import SoundForm

_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)  # AAC's, samples per second
_GAP = 0.05  # seconds; the times of some containers and recorders waver by less
_OVERLAP = 1.0  # seconds; times that lie further back are wrong, or a clock began anew
_PACKET = 0.75  # a step of so much of the longest packet is a packet that is missing
_LEAST_PACKET = 0.01  # seconds


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
        self._written = 0
        self._ahead = 0  # samples from before the clip, or heard already, still to be dropped
        self._position: float | None = None  # seconds in the clip at which the sound that came in ends
        self._due = 0.0  # seconds in the clip at which it ends by its own times
        self._longest = 0.0  # seconds of a frame
        self._held: tuple[av.AudioFrame, float] | None = None  # a frame that may follow a break, and its time

    @property
    def is_empty(self) -> bool:
        """Whether nothing has been written."""
        return not self._written

    def limit(self, seconds: float) -> None:
        """Let the sound be no longer than this."""
        self._limit = round(seconds * self.rate)

    def write(self, frame: av.AudioFrame, zero: float) -> None:
        """Encode a frame of sound.

        Args:
            frame: the next one, in order of time.
            zero: when the clip begins, seconds in the file's own time.
        """
        time = float(frame.time or 0.0) - zero
        if self._position is None:
            self._move_to(time)
        elif self._held is not None:
            self._settle(self._is_borne_out(time))
        is_break = self._is_break(time)
        self._due = time + _seconds(frame)
        self._longest = max(self._longest, _seconds(frame))
        if is_break:
            self._held = frame, time
        else:
            self._take(frame)

    def close(self) -> None:
        """Encode what is held back."""
        if self._held is not None:
            self._settle(self._held[1] - (self._position or 0.0) > _GAP)
        self._flush()
        if self._written:
            self._sink.mux(self._stream.encode(None))

    def _is_break(self, time: float) -> bool:
        """Whether a frame of this time does not go on where the one before ended."""
        assert self._position is not None
        drift, step = time - self._position, time - self._due
        if not self._has_times:
            return step > _GAP
        packet = max(_PACKET * self._longest, _LEAST_PACKET)
        is_lost = self._longest > 0 and min(drift, step) >= packet
        return is_lost or drift > _GAP or -_OVERLAP <= drift < -_GAP

    def _is_borne_out(self, time: float) -> bool:
        """Whether a frame of this time goes on after the one that is held as if that followed a break."""
        assert self._held is not None and self._position is not None
        held, held_time = self._held
        length = _seconds(held)
        after_break, unbroken = abs(time - held_time - length), abs(time - self._position - length)
        if held_time < self._position and after_break > length / 2:
            return False  # times that stand still, rather than sound that is there twice
        return after_break < unbroken

    def _settle(self, is_break: bool) -> None:
        """Take the frame that was held, after a break or without one."""
        assert self._held is not None
        (frame, time), self._held = self._held, None
        if is_break:
            self._flush()
            self._move_to(time if self._has_times else max(time, self._written / self.rate))
        self._take(frame)

    def _move_to(self, seconds: float) -> None:
        """Let the next sample be heard at this time: put in silence, or drop what comes too early."""
        self._position = seconds
        self._ahead = max(0, round((self._written / self.rate - seconds) * self.rate))
        self._silence_until(seconds)

    def _take(self, frame: av.AudioFrame) -> None:
        assert self._position is not None
        self._position += _seconds(frame)
        form = (frame.format.name, frame.layout.name, frame.sample_rate)
        if self._form is not None and form != self._form:
            self._flush()
        self._form = form
        for piece in self._resampler.resample(frame):
            self._put(piece.to_ndarray())

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
            samples = samples[:, : max(self._limit - self._written, 0)]
        if not samples.shape[1]:
            return
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples), format="fltp", layout=self._layout)
        frame.sample_rate = self.rate
        frame.pts, frame.time_base = self._written, Fraction(1, self.rate)
        self._written += samples.shape[1]
        self._sink.mux(self._stream.encode(frame))


def _seconds(frame: av.AudioFrame) -> float:
    return float(frame.samples / frame.sample_rate)
