"""Put the pictures of a file into an MP4 that a shard takes without touching a frame.

The packets of H.264 go as they are into an MP4 with its index in front, whatever container they were in.
Every picture is shown when it was shown before, counted from the first one::

    Matroska, ms      0    42    83    125             rounded times of 24 frames per second
    MP4, 24ths        0     1     2      3
    packets           I     P     B      P             in the order of decoding

The sound is copied too, or encoded where only it does not fit.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction
from os import fspath
from pathlib import Path

import av
import numpy as np

from emovid_dataset.media.encode import (
    MP4_OPTIONS,
    Encoded,
    blaming_the_disk,
    damage_of_sound,
    frame_rate,
    why_mute,
)
from emovid_dataset.media.portable.errors import VideoError, refusing
from emovid_dataset.media.portable.h264 import H264Headers
from emovid_dataset.media.portable.streams import open_container
from emovid_dataset.media.portable.video_file import VideoFile
from emovid_dataset.media.sound import TAIL, SoundTrack
from emovid_dataset.media.sound_check import SoundDecoder
from emovid_dataset.media.sound_copy import SoundCopy, SoundLayout
from emovid_dataset.media.source import Reader

_OPTIONS = {**MP4_OPTIONS, "movie_timescale": "90000"}  # a beginning that is hidden is counted in its ticks
_FINE = Fraction(1, 10_000)
"""Seconds of a tick from which on a clock is taken as it is: one of milliseconds cannot tell 24 frames per
second from others."""


def remux(reader: Reader, out: Path, sound: SoundLayout | None) -> Encoded:
    """Write a video's own pictures as a conforming MP4, sound in step.

    No date or version stands in the file: the same input gives the same bytes.

    Args:
        reader: an open video whose pictures fit, see `conforming.misfit_of`.
        out: path of the MP4 to write; a half-written file is left there when this raises.
        sound: where its packets go; None encodes what can be heard.

    Returns:
        What was done to it.

    Raises:
        VideoError: the source is damaged.
        OSError: `out` cannot be written, or the source cannot be read.
    """
    assert reader.file is not None
    with refusing("cannot be remuxed"), blaming_the_disk(out):
        if sound is not None:
            _write(reader, reader.file, out, sound)
            return Encoded()
        if reader.sound is None:
            _write(reader, reader.file, out, None)
            return Encoded(damage=why_mute(reader))
        decoder = SoundDecoder(reader.heard_by)
        over = _write(reader, reader.file, out, decoder)
        found = decoder.found()
        if over is not None and found.is_audible:
            return Encoded(damage=damage_of_sound(found, over))
        _write(reader, reader.file, out, None)
        return Encoded(damage=f"{found.damage}; it is left out" if found.errors else None)


def _write(
    reader: Reader, file: VideoFile, out: Path, sound: SoundLayout | SoundDecoder | None
) -> float | None:
    """Write the pictures, and the sound copied or encoded.

    Returns:
        The seconds of sound that were left out because they come after the pictures; None without any sound.
    """
    pictures = _Pictures(reader, file)
    with av.open(fspath(out), "w", format="mp4", options=_OPTIONS) as sink:
        file.reopen()
        stream = sink.add_stream_from_template(file.stream, opaque=True)
        stream.time_base = pictures.base
        track: SoundCopy | EncodedSound | None = None
        if isinstance(sound, SoundLayout):
            track = SoundCopy(sink, reader, sound)
        elif sound is not None:
            track = EncodedSound(sink, reader, sound)
        for packet in pictures.packets():
            if track is not None:
                track.write_until(float((packet.pts or 0) * pictures.base))
            packet.stream = stream
            sink.mux(packet)
        if track is None:
            return None
        track.close()
        return track.seconds_over if isinstance(track, EncodedSound) else 0.0


class _Pictures:
    """The packets of a video's pictures, with the times that they have in the clip.

    Args:
        reader: the open video.
        file: its own.

    Attributes:
        base: seconds in a tick.
    """

    def __init__(self, reader: Reader, file: VideoFile) -> None:
        assert file.times is not None
        self._file = file
        self.base = file.base
        times = np.array(file.times, np.int64) - file.times[0]
        end = round((reader.info.duration) / self.base)
        if reader.info.constant_rate and file.base > _FINE:
            rate = frame_rate(reader.info.fps)
            count = np.arange(len(times))
            if np.abs(times * float(file.base) - count / float(rate)).max() <= 1.01 * float(file.base):
                self.base, times, end = 1 / rate, count, len(count)
        # what is decoded first is shown later by so much, where pictures are reordered
        places = [place for place, _ in file.order or () if place is not None]
        self._shown = [int(times[place]) for place in places]
        self._delay = max(int(times[number]) - shown for number, shown in enumerate(self._shown))
        self._decoded = [int(time) - self._delay for time in times]
        self._durations = np.diff(np.append(times, max(end, int(times[-1]) + 1)))[places]

    def packets(self) -> Iterator[av.Packet]:
        """In the order of decoding.

        Raises:
            VideoError: there are others than at the first reading.
        """
        packets = (packet for packet in self._file.demux(self._file.stream) if packet.size)
        headers = H264Headers(self._file.stream.codec_context.extradata)
        count = 0
        for packet in packets:
            if count == len(self._shown) or packet.size != self._file.packets.sizes[count]:
                raise VideoError("changed while it was read")
            headers.is_refresh(packet)  # takes its parameter sets
            if headers.changes_sets or packet.is_corrupt:
                raise VideoError("has parameter sets that change, or packets that are damaged")
            packet.pts, packet.dts = self._shown[count], self._decoded[count]
            packet.duration, packet.time_base = int(self._durations[count]), self.base
            count += 1
            yield packet
        if count < len(self._shown):
            raise VideoError("changed while it was read")


class EncodedSound:
    """Encodes a video's sound beside pictures that are copied.

    Args:
        sink: an open MP4.
        reader: the video.
        decoder: counts what is damaged.
    """

    def __init__(self, sink: av.container.OutputContainer, reader: Reader, decoder: SoundDecoder) -> None:
        assert reader.sound is not None
        self._container = open_container(reader.source)
        self._track = SoundTrack(sink, reader.sound, reader.info.duration)
        self._track.limit(reader.info.duration + TAIL)
        self._zero = reader.start_time
        stream = self._container.streams.audio[reader.sound.place]
        self._frames = _decoded(self._container.demux(stream), decoder, self._zero)
        self._next = next(self._frames, None)

    @property
    def seconds_over(self) -> float | None:
        """How much of the sound lay behind the pictures; None where there was none at all."""
        return None if self._track.is_empty else self._track.seconds_over

    def write_until(self, seconds: float) -> None:
        """Write what is heard up to a time of the clip."""
        while self._next is not None and (self._next.time or 0.0) - self._zero <= seconds:
            self._track.write(self._next, self._zero)
            self._next = next(self._frames, None)

    def close(self) -> None:
        """Write the rest."""
        self.write_until(float("inf"))
        self._track.close()
        self._container.close()


def _decoded(packets: Iterable[av.Packet], decoder: SoundDecoder, zero: float) -> Iterator[av.AudioFrame]:
    """What is heard from a time on."""
    for packet in packets:
        time, base = packet.pts, packet.time_base
        ends_before = time is not None and base and float((time + (packet.duration or 0)) * base) < zero
        for frame in decoder.decode(packet, counted=not ends_before):
            if frame.time is not None and frame.time + frame.samples / frame.sample_rate > zero:
                yield frame
