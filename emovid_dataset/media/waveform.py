"""The sound of a clip as a waveform, in step with its pictures."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

import av
import numpy as np

from emovid_dataset.media.portable.errors import refusing
from emovid_dataset.media.portable.streams import Source, channels_of, kept, open_container
from emovid_dataset.media.scan import SoundForm
from emovid_dataset.media.sound_line import SoundLine


def read_waveform(
    source: Source, sound: SoundForm, *, rate: int, zero: float, starts: Sequence[float], length: float
) -> np.ndarray | None:
    """Decode parts of the sound.

    Mono stays mono, everything else becomes stereo. Where there is no sound, before its start, in its gaps
    and after its end, there is silence; what is there twice is heard once (`sound_line`).

    Args:
        source: bytes or a path.
        sound: its sound, as a `Reader` found it.
        rate: samples per second that are wanted.
        zero: time of the first picture, seconds in the file's own time.
        starts: of each part, seconds from the first picture.
        length: seconds of each part.

    Returns:
        float32 [parts, C, S], -1..1, with S = round(length * rate); None where the track holds nothing.

    Raises:
        VideoError: the sound cannot be decoded.
        OSError: the file is not there, or cannot be read.
    """
    firsts = [round(start * rate) for start in starts]
    samples = round(length * rate)
    with refusing("has sound that cannot be decoded"), open_container(source) as container:
        stream = container.streams.audio[sound.place]
        channels = 1 if channels_of(stream.codec_context) == 1 else 2
        parts = np.zeros((len(firsts), channels, samples), np.float32)
        heard = False
        frames = _on_line(container, stream, SoundLine(sound.has_times))
        for place, piece in _placed(frames, rate, "mono" if channels == 1 else "stereo", zero):
            heard = True
            for part, first in zip(parts, firsts, strict=True):
                low, high = max(place, first), min(place + piece.shape[1], first + samples)
                if low < high:
                    part[:, low - first : high - first] = piece[:, low - place : high - place]
            if place >= max(firsts) + samples:
                break
    return parts if heard else None


def _on_line(
    container: av.container.InputContainer, stream: av.AudioStream, line: SoundLine
) -> Iterator[tuple[av.AudioFrame, float | None]]:
    """The frames of sound, and the seconds at which those begin that follow a break."""
    for frame in container.decode(stream):
        kept(frame.layout)
        time, frame.pts = frame.time, None
        yield from line.push(frame, time)
    yield from line.close()


def _placed(
    frames: Iterable[tuple[av.AudioFrame, float | None]], rate: int, layout: str, zero: float
) -> Iterator[tuple[int, np.ndarray]]:
    """The sound in pieces [C, samples], each with the sample after the first picture at which it begins."""
    place = end = 0
    for piece, begins in _resampled(frames, rate, layout):
        if begins is not None:
            place = round((begins - zero) * rate)
        twice = max(0, min(end - place, piece.shape[1]))
        yield place + twice, piece[:, twice:]
        place += piece.shape[1]
        end = max(end, place)


def _resampled(
    frames: Iterable[tuple[av.AudioFrame, float | None]], rate: int, layout: str
) -> Iterator[tuple[np.ndarray, float | None]]:
    resampler: av.AudioResampler | None = None
    form: tuple[str, str, int] | None = None
    moved: float | None = None
    for frame, begins in chain(frames, [(None, None)]):
        now = None if frame is None else (frame.format.name, kept(frame.layout).name, frame.sample_rate)
        pieces: list[av.AudioFrame] = []
        if resampler is not None and (begins is not None or now != form):
            pieces, resampler = resampler.resample(None), None
        for piece in pieces:
            yield piece.to_ndarray(), moved
            moved = None
        if frame is None:
            return
        if resampler is None:
            resampler, form = av.AudioResampler(format="fltp", layout=layout, rate=rate), now
        moved = moved if begins is None else begins
        for piece in resampler.resample(frame):
            yield piece.to_ndarray(), moved
            moved = None
