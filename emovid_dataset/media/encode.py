"""Encode a video, or a segment of one, as an MP4 that a shard takes."""

from __future__ import annotations

import errno
import math
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from emovid_dataset.media.crop import Crop
from emovid_dataset.media.portable.clock import HELD
from emovid_dataset.media.portable.errors import refusing
from emovid_dataset.media.portable.pixels import orientation_of
from emovid_dataset.media.portable.streams import sound_streams
from emovid_dataset.media.segment import Stretch, segment, stretch_of, thinned
from emovid_dataset.media.sound import TAIL, SoundTrack
from emovid_dataset.media.sound_check import SoundCheck, SoundDecoder, sound_errors
from emovid_dataset.media.sound_copy import SoundCopy, SoundLayout
from emovid_dataset.media.source import Reader, VideoError
from emovid_dataset.media.stored_picture import StoredPictures

X264_SAME_BYTES = {"threads": "1", "x264-params": "asm=avx2"}
"""Options by which libx264 gives the same bytes for the same frames.

Its AVX-512 code gave other bytes now and then on some processors; AVX2's does not.
"""

MP4_OPTIONS = {"movflags": "+faststart", "fflags": "+bitexact"}
"""Of the muxer: the index in front, and no version in the file."""

_VARIABLE_BASE = Fraction(1, 90000)
_SMALL_DENOMINATOR = 1001  # of NTSC's rates
_OF_THE_DISK = frozenset(
    (
        *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS, errno.EACCES, errno.EPERM),
        *(errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.EMFILE, errno.ENFILE),
    )
)


@dataclass(frozen=True, slots=True)
class Encoded:
    """What became of a source that was encoded.

    Attributes:
        colours: what was done to them, for example "hdr-hlg -> bt709"; None where nothing was.
        damage: what of the source is damaged, and what stands in its place; None where nothing is.
    """

    colours: str | None = None
    damage: str | None = None


VERBATIM = Encoded()
"""What becomes of a source that is taken as it is."""


def transcode(
    reader: Reader,
    out: Path,
    *,
    start: float | None = None,
    end: float | None = None,
    crf: int = 18,
    height: int | None = None,
    fps: float | None = None,
    crop: Crop | None = None,
    sound: SoundLayout | None = None,
) -> Encoded:
    """Encode a video, or a segment of it, as a conforming MP4, sound in step.

    One thread and no date or version in the file: the same input gives the same bytes. Packets of sound that
    are damaged become silence; sound of which hardly anything decodes is left out, and so is what is heard
    more than `TAIL` after the last picture.

    Args:
        reader: the open source; many segments of one film share it.
        out: path of the MP4 to write; a half-written file is left there when this raises.
        start: first second of the segment, None for a whole file.
        end: end of the segment in seconds (exclusive), None for a whole file.
        crf: x264's constant rate factor, 0..51.
        height: pictures of more lines are reduced to so many, an even number; None keeps their size.
        fps: of more frames per second so many are taken; None keeps them all.
        crop: what is taken from the sides of each picture; None for nothing.
        sound: where the packets of a whole file's sound go that are copied; None encodes what can be heard.

    Returns:
        What was done to it.

    Raises:
        VideoError: nothing decodes, the source is damaged, or the crop leaves no picture.
        OSError: `out` cannot be written, or the source cannot be read.
    """
    with refusing("cannot be encoded"), blaming_the_disk(out):
        stretch = stretch_of(reader, start, end)
        form = _Form(crf, height, fps, crop)
        until = reader.info.duration if end is None else end
        if sound is not None:
            colours, _, _ = _encode(reader, stretch, out, form, sound)
            return Encoded(colours)
        if reader.sound is None:
            colours, _, _ = _encode(reader, stretch, out, form, None)
            return Encoded(colours, why_mute(reader))
        decoder = SoundDecoder(reader.heard_by)
        colours, is_heard, over = _encode(reader, stretch, out, form, decoder, until - (start or 0))
        found = decoder.found()
        if is_heard and found.is_audible:
            return Encoded(colours, damage_of_sound(found, over))
        _encode(reader, stretch, out, form, None)  # no track rather than an empty one
        return Encoded(colours, f"{found.damage}; it is left out" if found.errors else None)


def damage_of_sound(found: SoundCheck, over: float) -> str | None:
    """What of a clip's sound is not as in its source, in words; None where all is.

    Args:
        found: what decoding it told.
        over: seconds that were left out because they come after the pictures.
    """
    told = [f"{found.damage}; they are silent"] if found.errors else []
    if over >= 0.05:
        told.append(f"its sound goes on {over + TAIL:.1f} s after its pictures; {over:.1f} s are left out")
    return "; ".join(told) or None


def why_mute(reader: Reader) -> str | None:
    """What is wrong with the sound of a source of which none decodes; None where there is none at all."""
    if reader.file is None or not reader.file.container.streams.audio:
        return None
    found = sound_errors(reader.source)
    if found.errors:
        return f"{found.damage}; it is left out"
    unknown = not sound_streams(reader.file.container)
    return "its sound is in a codec that cannot be decoded; it is left out" if unknown else None


@dataclass(frozen=True, slots=True)
class _Form:
    """How pictures are encoded; as for `transcode`."""

    crf: int
    height: int | None
    fps: float | None
    crop: Crop | None


def _encode(
    reader: Reader,
    stretch: Stretch,
    out: Path,
    form: _Form,
    heard: SoundDecoder | SoundLayout | None,
    duration: float = 0.0,
) -> tuple[str | None, bool, float]:
    """Encode a stretch.

    Args:
        reader, stretch, out: as for `transcode`.
        form: of the pictures.
        heard: decodes the sound, or says where its packets go; None leaves the sound out.
        duration: seconds of the pictures.

    Returns:
        What was done to the colours, whether any sound was written, and the seconds of sound that were left
        out because they come after the end of the film's pictures.
    """
    with av.open(os.fspath(out), "w", format="mp4", options=MP4_OPTIONS) as sink:
        pictures: _PictureTrack | None = None
        sound: SoundTrack | None = None
        copied: SoundCopy | None = None
        decoder = heard if isinstance(heard, SoundDecoder) else None
        if decoder is not None and reader.sound is not None:
            sound = SoundTrack(sink, reader.sound, duration)
        places = thinned(reader, stretch, form.fps)
        repeats = None if places is None else Counter(places)
        place = stretch.first
        early: list[av.AudioFrame] = []  # sound from before the first picture: both streams stand first
        for frame in segment(reader, stretch, decoder):
            if isinstance(frame, av.AudioFrame):
                early.append(frame)
                if pictures is not None and sound is not None:
                    _write_all(sound, early, pictures.zero)
                continue
            if pictures is None:
                pictures = _PictureTrack(sink, reader, stretch, frame, form, is_thinned=repeats is not None)
                if isinstance(heard, SoundLayout):
                    copied = SoundCopy(sink, reader, heard)
                if sound is not None:
                    sound.limit(duration + TAIL if math.isinf(stretch.end) else stretch.end - pictures.zero)
            if copied is not None:
                copied.write_until((frame.time or 0.0) - pictures.zero)
            for _ in range(1 if repeats is None else repeats[place]):
                pictures.write(frame)
            place += 1
        if pictures is None:
            raise VideoError("has no frames that decode")
        if sound is not None:
            _write_all(sound, early, pictures.zero)
        pictures.close()
        if copied is not None:
            copied.close()
        if sound is not None:
            sound.close()
        over = sound.seconds_over if sound is not None and math.isinf(stretch.end) else 0.0
        return pictures.colours_done, sound is not None and not sound.is_empty, over


def _write_all(sound: SoundTrack, frames: list[av.AudioFrame], zero: float) -> None:
    for frame in frames:
        sound.write(frame, zero)
    frames.clear()


class _PictureTrack:
    """Encodes decoded pictures as H.264, in even size."""

    def __init__(
        self,
        sink: av.container.OutputContainer,
        reader: Reader,
        stretch: Stretch,
        first: av.VideoFrame,
        form: _Form,
        *,
        is_thinned: bool,
    ) -> None:
        info = reader.info
        rate = frame_rate(form.fps if is_thinned and form.fps is not None else info.fps)
        self.zero = stretch.zero
        self._reader, self._stretch = reader, stretch
        # a picture that stands long is cut with the segment, to the tick
        is_whole = stretch.first == 0 and math.isinf(stretch.end)
        is_even = info.constant_rate and (is_whole or 1 / info.fps <= HELD + 1e-6)
        self._is_constant = is_thinned or is_even
        self._sink = sink
        self._base = 1 / rate if self._is_constant else _VARIABLE_BASE
        self._count, self._last = 0, -1
        width, height = info.width + info.width % 2, info.height + info.height % 2
        if orientation_of(first).transposed:
            width, height = height, width
        whole = width, height
        if form.crop is not None:
            try:
                width, height = form.crop.left_of(width, height)
            except ValueError as error:
                raise VideoError(str(error)) from None
        if form.height is not None and height > form.height:
            width, height = max(2, 2 * round(width * form.height / height / 2)), form.height
        stream: Any = sink.add_stream("libx264", rate=rate)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.options = {"crf": str(form.crf), "preset": "veryfast", **X264_SAME_BYTES}
        if not self._is_constant:
            # MP4 holds durations in the order of decoding; only without reordering are they exact
            stream.options = {**stream.options, "bf": "0"}
        stream.codec_context.thread_count = 1
        stream.codec_context.time_base = self._base
        self._pictures = StoredPictures(first, width, height, form.crop, whole)
        self._pictures.tag(stream.codec_context)
        self._stream = stream

    @property
    def colours_done(self) -> str | None:
        """What is done to the colours; None where nothing is."""
        return "icc profile -> bt709" if self._reader.has_profile else self._pictures.done

    def write(self, frame: av.VideoFrame) -> None:
        ready = self._pictures.make(frame)
        tick = self._count
        if not self._is_constant:
            tick = max(self._last + 1, round(((frame.time or 0.0) - self.zero) / self._base))
        ready.pts, ready.time_base = tick, self._base
        ready.pict_type = 0
        self._last = tick
        self._count += 1
        self._sink.mux(self._stream.encode(ready))

    def close(self) -> None:
        rest = self._stream.encode(None)
        if rest and not self._is_constant:
            rest[-1].duration = round(self._last_stands() / self._base)
        self._sink.mux(rest)

    def _last_stands(self) -> float:
        """Seconds for which the last frame is shown."""
        times, stop = self._reader.times, self._stretch.stop
        after = float(times[stop]) if stop < len(times) else self._reader.info.duration
        until = min(self._reader.start_time + after, self._stretch.end)
        return max(until - (self.zero + self._last * float(self._base)), 0.0)


def frame_rate(fps: float) -> Fraction:
    whole = abs(fps - round(fps)) <= 1e-3
    rate = Fraction(fps).limit_denominator(1 if whole else _SMALL_DENOMINATOR)
    # a slideshow's pictures may stand for hours
    return rate or 1 / Fraction(1 / fps).limit_denominator(_SMALL_DENOMINATOR)


@contextmanager
def blaming_the_disk(out: Path) -> Iterator[None]:
    """What a full or broken disk makes FFmpeg raise, as a plain OSError."""
    try:
        yield
    except av.FFmpegError as error:
        if error.errno in _OF_THE_DISK:
            # PyAV's own do not survive the way from process to process
            raise OSError(error.errno, os.strerror(error.errno), os.fspath(out)) from None
        raise
