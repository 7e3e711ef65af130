"""How much of a video's sound decodes: its packets, those that are damaged, and how long it is."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av

from emovid_dataset.media.portable.errors import refusing
from emovid_dataset.media.portable.streams import Source, kept, open_container, sound_streams

_LEAST_WHOLE = 0.1  # share of the packets
_COSTLY = 220_000  # pixels that take fifty times as long to prepare as a packet of sound to decode
_WIDEST_STRIDE = 8


@dataclass(frozen=True, slots=True)
class SoundCheck:
    """What became of the packets of sound when they were decoded.

    Attributes:
        packets: of the stream of sound that players choose; 0 where there is none.
        errors: those that do not decode, or of which the decoder says that it made up a part.
        seconds: of sound that came out, without gaps.
        start: seconds in the file's own time at which the first of it is heard; None where none came out, or
            the file states no times.
        end: seconds in the file's own time at which the last of it ends; None likewise.
    """

    packets: int = 0
    errors: int = 0
    seconds: float = 0.0
    start: float | None = None
    end: float | None = None

    @property
    def is_audible(self) -> bool:
        """Whether so much decodes that it is sound; of random bytes one packet in thirty decodes, too."""
        return self.packets - self.errors >= _LEAST_WHOLE * self.packets

    @property
    def damage(self) -> str:
        """How many packets are damaged, in words."""
        return f"{self.errors} of {self.packets} packets of its sound do not decode"


class SoundDecoder:
    """Decodes packets of sound and counts; what is damaged is left out.

    Decoders tell of damage in two ways: those of AAC, MP3, FLAC and ALAC raise and give no frame, that of
    AC-3 gives one with a flag. Together these are all that FFmpeg logs. Opus and PCM carry nothing by which
    damage within a packet could be seen.

    Args:
        heard_by: is given every frame of sound that counts.
    """

    def __init__(self, heard_by: Callable[[av.AudioFrame], None] | None = None) -> None:
        self._heard_by = heard_by
        self.begin_anew()

    def begin_anew(self) -> None:
        """Forget what has been counted."""
        self._packets = self._errors = 0
        self._seconds = 0.0
        self._start: float | None = None
        self._end: float | None = None
        self._due: float | None = None  # when the frame before ends

    def decode(self, packet: av.Packet, *, counted: bool = True) -> Sequence[av.AudioFrame]:
        """The frames of sound of a packet, none if it is damaged; one without a time follows the one before.

        Args:
            packet: the stream's next one; an empty one gives what the decoder holds back.
            counted: whether it counts, or is decoded only for the sake of the next ones.

        Raises:
            MemoryError: memory ran out, which says nothing about the file.
        """
        counted &= packet.size > 0
        self._packets += counted
        try:
            frames: list[Any] = packet.decode()
        except av.FFmpegError as error:
            if isinstance(error, MemoryError):
                raise
            self._errors += counted
            return []
        if counted and (packet.is_corrupt or any(frame.is_corrupt for frame in frames)):
            self._errors += 1
        for frame in frames:
            kept(frame.layout)
            if counted and self._heard_by is not None:
                self._heard_by(frame)
            seconds, start = frame.samples / frame.sample_rate, frame.time
            self._seconds += seconds
            if start is None and self._due is not None:  # what a decoder held back to the end
                frame.pts = round(self._due * frame.sample_rate)
                frame.time_base = Fraction(1, frame.sample_rate)
                start = frame.time
            if start is not None:
                self._start = start if self._start is None else min(self._start, start)
                self._due = start + seconds
                self._end = self._due if self._end is None else max(self._end, self._due)
        return frames

    def found(self) -> SoundCheck:
        """What has been decoded so far."""
        return SoundCheck(self._packets, self._errors, self._seconds, self._start, self._end)


def sound_errors(source: Source) -> SoundCheck:
    """Decode all sound of a video and count what is damaged.

    Args:
        source: a video, with sound or without.

    Raises:
        VideoError: its container cannot be read.
        OSError: the file is not there, or cannot be read.
    """
    decoder = SoundDecoder()
    with refusing("cannot be read"), open_container(source) as container:
        streams = sound_streams(container)
        if streams:
            heard = heard_stream(source, container) or streams[0]
            for packet in container.demux(heard):
                decoder.decode(packet)
    return decoder.found()


def is_sound_whole(
    source: Source,
    container: av.container.InputContainer,
    pixels: int,
    stream: av.AudioStream | None = None,
    heard_by: Callable[[av.AudioFrame], None] | None = None,
) -> bool:
    """Whether the sound of a file decodes, for a fiftieth of the time in which its pictures are prepared.

    Every packet is tried where the pictures are large or the stream is named, else every second up to every
    eighth. If one of these is damaged, all are decoded and the answer is certain.

    Args:
        source: of the container.
        container: open; it is moved.
        pixels: of all its pictures together.
        stream: of the container; None is the one that players choose.
        heard_by: is given the sound that is decoded.

    Raises:
        av.FFmpegError, OSError: as for `open_container`.
    """
    streams = sound_streams(container) if stream is None else [stream]
    if not streams:
        return True
    if stream is None:
        container.seek(0)
    packets = [packet for packet in container.demux(streams[0]) if packet.size]
    stride = 1
    if stream is None:
        stride = min(max(math.ceil(_COSTLY * len(packets) / max(pixels, 1)), 1), _WIDEST_STRIDE)
    decoder = SoundDecoder(heard_by)
    for packet in packets[::stride]:
        decoder.decode(packet)
    if not decoder.found().errors:
        return True
    return stride > 1 and not sound_errors(source).errors


def sound_end(container: av.container.InputContainer) -> float:
    """When the last packet of an MP4's sound ends, seconds in the file's own time; -inf without any.

    Args:
        container: open; it is moved.
    """
    end = -math.inf
    for stream in sound_streams(container)[:1]:
        container.seek(max((stream.start_time or 0) + (stream.duration or 0) - 1, 0), stream=stream)
        for packet in container.demux(stream):
            if packet.pts is not None and packet.time_base:
                end = max(end, float((packet.pts + (packet.duration or 0)) * packet.time_base))
    return end


def heard_stream(source: Source, container: av.container.InputContainer) -> av.AudioStream | None:
    """The stream of sound that is heard: of those that hold anything that decodes the one to be played first.

    The index of an MP4 counts the packets, and is believed where it counts any. That of a fragmented one
    counts none, other containers have none, and a stream may hold nothing: then it is tried.

    Args:
        source: of the container.
        container: open, at any position; it is not moved.

    Raises:
        av.FFmpegError, OSError: as for `open_container`.
    """
    has_index = "mp4" in container.format.name
    for stream in sound_streams(container):
        if (has_index and stream.frames > 0) or _is_heard(source, stream.index, has_index):
            return stream
    return None


def _is_heard(source: Source, index: int, is_mp4: bool) -> bool:
    """Whether any packet of a stream decodes."""
    decoder = SoundDecoder()
    with open_container(source, headers_only=is_mp4) as container:
        return any(decoder.decode(packet) for packet in container.demux(container.streams[index]))
