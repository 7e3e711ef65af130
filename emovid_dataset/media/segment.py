"""A stretch of a film: its pictures and its sound, from a seek to the key frame before it.

The first picture of a segment is the first one whose time is not before the start. Where pictures stand long
it is another: where the next one comes more than a tenth of a second after the start, or not before the
segment's end, the segment begins with the picture that is on display at its start::

    film at 25 fps        |75   |76   |77   |78        slides  |  A                |  B                |
    segment                  [--------------...                          [--------------...
    its pictures                |76   |77   |78                          |  A      |  B
"""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
import numpy as np

from emovid_dataset.media.portable.clock import EPSILON, places_between
from emovid_dataset.media.portable.errors import VideoError, refusing
from emovid_dataset.media.portable.groups import decode_packet, skip_unreferenced
from emovid_dataset.media.portable.icc import lend
from emovid_dataset.media.portable.streams import seek
from emovid_dataset.media.portable.video_file import VideoFile, whole
from emovid_dataset.media.sound_check import SoundDecoder
from emovid_dataset.media.source import Reader

_FASTER = 1e-3  # share by which a rate is faster than another, rather than rounded
_WHOLE = 0.01  # of a picture: a rest shorter than this is a rounding
_DATED = frozenset(("vorbis", "opus"))
_ROOMS = (0.5, 5.0, 30.0)
"""Seconds before the first picture to which a file is sought; where one is not enough, the next. Even the
first leaves room, so that the sound's packets before the first picture are read too."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """Which part of a film a segment is. Times are seconds in the file's own time.

    Attributes:
        first: place of the first picture.
        stop: place behind the last picture.
        start: as asked for.
        end: as asked for; infinite for the end of the file.
        zero: when the clip begins: with its first picture, or at `start` if that picture stood before.
    """

    first: int
    stop: int
    start: float
    end: float
    zero: float


def stretch_of(reader: Reader, start: float | None, end: float | None) -> Stretch:
    """Which pictures a segment shows, and from when.

    Args:
        reader: an open video.
        start: seconds from the first picture; None is the beginning.
        end: seconds, exclusive; None is the end.

    Raises:
        VideoError: the segment has no picture.
    """
    begin = start or 0.0
    places, held = places_between(reader.times, reader.info.duration, begin, end)
    if not places:
        raise VideoError("has no frame in the segment")
    return Stretch(
        places.start,
        places.stop,
        reader.start_time + begin,
        math.inf if end is None else reader.start_time + end,
        reader.start_time + begin if held else _file_time(reader, places.start),
    )


def is_faster(reader: Reader, fps: float) -> bool:
    """Whether a video has more frames per second, and not only by a rounding."""
    return reader.info.fps > fps * (1 + _FASTER)


def thinned(reader: Reader, stretch: Stretch, fps: float | None) -> list[int] | None:
    """Which pictures of a stretch are taken where it has more of them per second than are wanted.

    At every moment of the new rate it is the picture that is on display: one that stands long is taken
    several times.

    Args:
        reader: an open video.
        stretch: of it.
        fps: frames per second that are wanted; None wants all.

    Returns:
        Their places, ascending; None where every picture is taken once.
    """
    info = reader.info
    if fps is None or not is_faster(reader, fps):
        return None
    places = np.arange(stretch.first, stretch.stop)
    times = places / info.fps if info.constant_rate else reader.times[places]
    times = times - (stretch.zero - reader.start_time)
    end = min(stretch.end - reader.start_time, info.duration) - (stretch.zero - reader.start_time)
    moments = np.arange(max(1, math.ceil(end * fps - _WHOLE))) / fps
    shown = np.searchsorted(times, moments + EPSILON, side="right") - 1
    return [int(place) for place in places[np.maximum(shown, 0)]]


def segment(
    reader: Reader, stretch: Stretch, sound: SoundDecoder | None = None
) -> Iterator[av.VideoFrame | av.AudioFrame]:
    """Decode a stretch of picture and sound.

    Args:
        reader: an open video.
        stretch: of it.
        sound: decodes the sound and counts what is damaged of it; None leaves the sound out.

    Yields:
        The pictures of the stretch and sound frames that overlap it, as they come. Their `time` is the
        file's own; subtract the stretch's `zero`.

    Raises:
        VideoError: a picture is damaged or missing.
        OSError: the file cannot be read.
    """
    file = reader.file
    if file is None:
        for _, frame in reader.frames(range(stretch.first, stretch.stop)):
            yield frame
        return
    with refusing():
        can_seek = file.can_seek and (sound is None or not _guesses_sound(reader, file))
        rooms = _ROOMS if stretch.first and can_seek else ()
        places = range(stretch.first, stretch.stop)
        for attempt in (
            *(_Attempt(file, room) for room in rooms),
            _Attempt(file, begin=file.needed_from(places)),
        ):
            if (yield from _decode(reader, file, stretch, attempt, sound)):
                return
        yield from _decode(reader, file, stretch, _Attempt(file, is_last=True), sound)


class _Attempt:
    """Where decoding begins, and which packet of the file's scan each packet is.

    Args:
        file: to be decoded.
        room: seconds before the first picture to which it is sought; None reads it from its beginning.
        begin: number of the first packet that is given to the decoder.
        is_last: whether what is missing now is missing for good.
    """

    def __init__(
        self, file: VideoFile, room: float | None = None, *, begin: int = 0, is_last: bool = False
    ) -> None:
        self._file = file
        self._begin = begin
        self.room, self.is_last = room, is_last
        self._next: int | None = 0 if room is None else None
        self._given = 0

    def number(self, packet: av.Packet) -> int | None:
        """The number of the next packet of pictures; None if it is not to be decoded."""
        if self._next is None:
            found = self._file.number_of(packet)
            if found is None or not self._file.packets.keys[found]:
                return None
            self._next = found
        number = self._next
        self._next += 1
        return number if number >= self._begin else None

    def place(self, frame: av.VideoFrame) -> int | None:
        """The place of the next frame that comes out; None if it is not shown."""
        if self._file.order is not None:
            return self._file.place(frame)
        self._given += 1
        return self._given - 1


def _decode(
    reader: Reader, file: VideoFile, stretch: Stretch, attempt: _Attempt, sound: SoundDecoder | None
) -> Generator[av.VideoFrame | av.AudioFrame, None, bool]:
    """Give what belongs to the stretch; or nothing, and False, where decoding began too late."""
    if sound is not None:
        sound.begin_anew()
    first_time = _file_time(reader, stretch.first)
    heard_from, high = stretch.start - EPSILON, stretch.end - EPSILON
    target = min(first_time, stretch.start) - EPSILON - (attempt.room or 0)
    # fresh decoders: that of AAC keeps a state when flushed, and no cut may depend on the one before
    file.reopen()
    if attempt.room is not None and target > reader.start_time:
        if sound is not None and _misses_sound(reader, file, target, heard_from):
            return False
        if not seek(file.container, file.stream, target):
            return False
    stream, audio = file.stream, None if sound is None else reader.audio
    is_far = (
        file.packets.is_guessed or file.breaks > 0 or (sound is not None and _guesses_sound(reader, file))
    )
    skips_sound = attempt.room is None and is_far
    streams = [stream, audio] if audio is not None else [stream]
    open_ended = {each.index for each in streams}
    early: list[av.AudioFrame] = []  # held back until it is clear that decoding did not begin too late
    due = stretch.first
    for packet in file.demux(*streams):
        index = packet.stream.index  # the packet's own stream_index is 0 in those that end a stream
        if index not in open_ended and packet.size:
            continue
        if index == stream.index:
            frames: Sequence[Any] = _pictures_of(packet, file, attempt, stretch.first)
        elif skips_sound and _ends_before(packet, heard_from - _ROOMS[0]):
            continue
        else:
            frames = sound.decode(packet, counted=_is_heard(packet, heard_from, high)) if sound else []
        for frame in frames:
            if isinstance(frame, av.VideoFrame):
                place = attempt.place(frame)
                if place is None or place < stretch.first:
                    continue
                if place > stretch.first == due and not attempt.is_last:
                    return False
                if place >= stretch.stop:
                    open_ended.discard(stream.index)
                    break
                yield _in_its_time(reader, file, whole(frame), place)
                due += 1
                yield from early
                early.clear()
            elif isinstance(frame, av.AudioFrame):
                if frame.time is None:
                    continue
                if frame.time >= high:
                    open_ended.discard(index)
                    break
                if frame.time + frame.samples / frame.sample_rate > heard_from:
                    early.append(frame)
                    if due > stretch.first:
                        yield from early
                        early.clear()
        if not open_ended:
            break
    if due == stretch.first and not attempt.is_last:
        return False  # a seek may also land behind the last key frame, and nothing decodes
    if due < stretch.stop:
        missing = f"{stretch.stop - due} of {stretch.stop - stretch.first}"
        raise VideoError(f"is damaged: {missing} frames do not decode")
    return True


def _guesses_sound(reader: Reader, file: VideoFile) -> bool:
    """Whether FFmpeg gives packets of sound wrong times after a seek.

    In Ogg only the end of a page has a time. What stands before it is counted back from there, which FFmpeg
    does for Vorbis and Opus alone; of other sound the page begins at its end.
    """
    audio = reader.audio
    return (
        audio is not None and file.container.format.name == "ogg" and audio.codec_context.name not in _DATED
    )


def _misses_sound(reader: Reader, file: VideoFile, target: float, heard_from: float) -> bool:
    """Whether the sound that belongs to a segment may stand before the place to which a file is sought.

    Where pictures stand long, they come late into a file: their sound stands seconds before them. Only MP4
    finds the place of each stream by itself. The file is opened anew.
    """
    audio = reader.audio
    if audio is None or "mp4" in file.container.format.name:
        return False
    first = None
    if seek(file.container, file.stream, target):
        times = (packet.pts * packet.time_base for packet in file.demux(audio) if packet.pts is not None)
        first = next(times, None)
    file.reopen()
    return first is None or first > heard_from


def _pictures_of(packet: av.Packet, file: VideoFile, attempt: _Attempt, first: int) -> Sequence[Any]:
    if not packet.size:  # the end of the stream; one with a time is Theora's picture that repeats the last
        return file.decoder.decode(packet) if packet.pts is None else []
    number = attempt.number(packet)
    if number is None:
        return []
    if file.packets.doubt is None and file.order is not None:
        place = file.order[number][0]
        skip_unreferenced(file.decoder, place is not None and place < first)
    packet.pts = number
    return decode_packet(file.decoder, packet)


def _ends_before(packet: av.Packet, time: float) -> bool:
    if packet.pts is None or not packet.time_base:
        return False
    return float((packet.pts + (packet.duration or 0)) * packet.time_base) < time


def _is_heard(packet: av.Packet, low: float, high: float) -> bool:
    """Whether a packet of sound is of the stretch by its own time."""
    if packet.pts is None or not packet.time_base:
        return True
    # to multiply fractions takes as long as to decode a packet, and without an end there is nothing to ask
    is_early = math.isinf(high) or float(packet.pts * packet.time_base) < high
    return is_early and not _ends_before(packet, low)


def _in_its_time(reader: Reader, file: VideoFile, frame: av.VideoFrame, place: int) -> av.VideoFrame:
    if file.times is not None:
        frame.pts, frame.time_base = file.times[place], file.base
    else:
        frame.pts, frame.time_base = round(_file_time(reader, place) * 90000), Fraction(1, 90000)
    return lend(frame, file.profile)


def _file_time(reader: Reader, place: int) -> float:
    """Seconds in the file's own time at which a frame is shown."""
    if reader.file is not None and reader.file.times is not None:
        return float(reader.file.times[place] * reader.file.base)
    return reader.start_time + float(reader.times[place])
