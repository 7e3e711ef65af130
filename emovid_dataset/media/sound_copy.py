"""Sound that goes into a clip as it is: its packets of AAC, each in its place to the sample.

Containers round the times of packets: to milliseconds in Matroska and FLV, to a 90,000th of a second in the
transport stream of MPEG. Packets of AAC are all of one length, so that their number tells where each begins::

    times in ms     -21    0     21    43    64
    samples       -1024    0   1024  2048  3072

What is heard before the first picture is not part of the clip. The packets that hold it are left out but for
one, whose sound the next one's decoding needs and which the clip's edit list hides.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

import av
import numpy as np

from emovid_dataset.media.portable.streams import open_container
from emovid_dataset.media.sound import TAIL
from emovid_dataset.media.sound_check import is_sound_whole
from emovid_dataset.media.source import Reader

_FRAME = 1024  # samples of a packet of AAC-LC
_WAVER = 0.01  # seconds by which a packet's time may be off from where its number puts it
_ROUNDED = 1.5  # ticks of a container's clock within which a time is the one that it was rounded from
_LEAST = 16 / 48000  # seconds; clocks as fine as this are rounded by a few samples


@dataclass(frozen=True, slots=True)
class SoundLayout:
    """Which packets of sound a clip takes, and where they begin.

    Attributes:
        base: seconds in a tick.
        times: in ticks from the clip's beginning, of the packets from `first` on.
        durations: of the same, in ticks.
        first: number of the first packet of the stream that is taken.
    """

    base: Fraction
    times: tuple[int, ...]
    durations: tuple[int, ...]
    first: int


class CannotCopy(Exception):
    """The sound does not fit a clip as it is; the message says why."""


def sound_layout(reader: Reader) -> SoundLayout:
    """Where the packets of a video's sound go.

    Args:
        reader: an open video in which something is heard; it is not moved.

    Raises:
        CannotCopy: the sound must be encoded.
        av.FFmpegError, OSError: the file is damaged, or cannot be read.
    """
    form = reader.sound
    if reader.file is None or form is None:
        raise CannotCopy("no sound")
    with open_container(reader.source) as container:
        stream = container.streams.audio[form.place]
        context = stream.codec_context
        if context.name != "aac":
            raise CannotCopy(f"sound codec {context.name}")
        if not form.has_times:
            raise CannotCopy("sound without times")
        if reader.file.breaks:
            raise CannotCopy("a clock that begins anew")
        base, rate = stream.time_base or Fraction(1, 90000), context.sample_rate
        is_plain = context.profile == "LC"
        packets = [packet for packet in container.demux(stream) if packet.size]
        if any(packet.is_corrupt or packet.pts is None for packet in packets):
            raise CannotCopy("sound that does not decode, or has no times")
        ticks = [packet.pts or 0 for packet in packets]
        durations = [packet.duration or 0 for packet in packets]
    if not rate or not ticks:
        raise CannotCopy("sound of no rate")
    whole = [time + length for time, length in zip(ticks, durations, strict=True)]
    if base == Fraction(1, rate) and all(end == time for end, time in zip(whole, ticks[1:], strict=False)):
        zero = round(reader.start_time * rate)
        times = [time - zero for time in ticks]
    else:
        if not is_plain:
            raise CannotCopy(f"sound of {context.profile or 'unknown profile'} in a clock that rounds")
        times = _by_number([float(time * base) - reader.start_time for time in ticks], rate, float(base))
        durations = [_FRAME] * len(times)
    _check_whole(reader, form.place)
    if times[-1] + durations[-1] <= 0:
        raise CannotCopy("sound that ends before the pictures begin")
    if times[-1] + durations[-1] > (reader.info.duration + TAIL) * rate:
        raise CannotCopy("sound that goes on long after its pictures")
    # the packet that is on at the beginning comes with the one that its decoding needs
    first = max(sum(time <= 0 for time in times) - 2, 0)
    return SoundLayout(Fraction(1, rate), tuple(times[first:]), tuple(durations[first:]), first)


def _by_number(seconds: list[float], rate: int, tick: float) -> list[int]:
    """Where packets of one length begin, in samples, by their rounded times."""
    off = np.array(seconds) - np.arange(len(seconds)) * (_FRAME / rate)
    start = float(off.mean())
    if float(np.abs(off - start).max()) > _WAVER:
        raise CannotCopy("sound with gaps, or with times that waver")
    begin = round(start * rate)
    nearest = _FRAME * round(begin / _FRAME)
    if abs(begin - nearest) <= max(_ROUNDED * tick, _LEAST) * rate:
        begin = nearest
    return [begin + number * _FRAME for number in range(len(seconds))]


def _check_whole(reader: Reader, place: int) -> None:
    with open_container(reader.source) as container:
        info = reader.info
        pixels = info.width * info.height * info.num_frames
        stream = container.streams.audio[place]
        if not is_sound_whole(reader.source, container, pixels, stream, reader.heard_by):
            raise CannotCopy("sound that does not decode")


class SoundCopy:
    """Writes the packets of a video's sound into a clip.

    Args:
        sink: an open MP4.
        reader: the video.
        layout: of its sound.
    """

    def __init__(self, sink: av.container.OutputContainer, reader: Reader, layout: SoundLayout) -> None:
        assert reader.sound is not None
        self._container = open_container(reader.source)
        template = self._container.streams.audio[reader.sound.place]
        self._stream = sink.add_stream_from_template(template, opaque=True)
        self._stream.time_base = layout.base
        self._sink, self._layout = sink, layout
        self._packets = self._own_packets(template)
        self._next = next(self._packets, None)

    def _own_packets(self, template: av.AudioStream) -> Iterator[av.Packet]:
        layout = self._layout
        packets = (packet for packet in self._container.demux(template) if packet.size)
        for number, packet in enumerate(packets):
            place = number - layout.first
            if place < 0:
                continue
            if place >= len(layout.times):
                return
            packet.stream = self._stream
            packet.pts = packet.dts = layout.times[place]
            packet.duration, packet.time_base = layout.durations[place], layout.base
            yield packet

    def write_until(self, seconds: float) -> None:
        """Write what is heard up to a time of the clip."""
        while self._next is not None and float((self._next.pts or 0) * self._layout.base) <= seconds:
            self._sink.mux(self._next)
            self._next = next(self._packets, None)

    def close(self) -> None:
        """Write the rest."""
        self.write_until(math.inf)
        self._container.close()
