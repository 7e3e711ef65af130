"""The sound of a clip as a waveform, in step with its pictures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import av
import numpy as np

from emovid_dataset.media.portable.errors import refusing
from emovid_dataset.media.portable.streams import Source, channels_of, kept, open_container
from emovid_dataset.media.scan import SoundForm

_GAP = 0.05  # seconds; containers round times, so smaller steps are no gaps


def read_waveform(
    source: Source, sound: SoundForm, *, rate: int, zero: float, starts: Sequence[float], length: float
) -> np.ndarray | None:
    """Decode parts of the sound.

    Mono stays mono, everything else becomes stereo. Where there is no sound, before its start, in its gaps
    and after its end, there is silence.

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
        for place, piece in _pieces(container, stream, rate, "mono" if channels == 1 else "stereo", zero):
            heard = True
            for part, first in zip(parts, firsts, strict=True):
                low, high = max(place, first), min(place + piece.shape[1], first + samples)
                if low < high:
                    part[:, low - first : high - first] = piece[:, low - place : high - place]
            if place >= max(firsts) + samples:
                break
    return parts if heard else None


def _pieces(
    container: av.container.InputContainer, stream: av.AudioStream, rate: int, layout: str, zero: float
) -> Iterator[tuple[int, np.ndarray]]:
    """The sound in pieces [C, samples], each with the sample after the first picture at which it begins."""
    resampler: av.AudioResampler | None = None
    form: tuple[str, str, int] | None = None
    due, place = 0.0, 0
    for frame in container.decode(stream):
        time = due if frame.time is None else frame.time
        now = (frame.format.name, kept(frame.layout).name, frame.sample_rate)
        broken = abs(time - due) > _GAP
        if resampler is None or broken or now != form:
            if resampler is not None:
                for piece in resampler.resample(None):
                    yield place, piece.to_ndarray()
                    place += piece.samples
            if resampler is None or broken:
                due = time
                place = round((time - zero) * rate)
            resampler, form = av.AudioResampler(format="fltp", layout=layout, rate=rate), now
        due += frame.samples / frame.sample_rate  # from the last break on, so that small gaps add up
        frame.pts = None
        for piece in resampler.resample(frame):
            yield place, piece.to_ndarray()
            place += piece.samples
    if resampler is not None:
        for piece in resampler.resample(None):
            yield place, piece.to_ndarray()
            place += piece.samples
