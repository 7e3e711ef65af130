"""A video file: its packets are scanned once, then the frames that are asked for decoded.

Where packets may not tell which frames there are and when each is shown (`packets` says when), everything is
decoded once at the beginning, and the frames tell.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from fractions import Fraction
from functools import cached_property

import av

from .errors import VideoError
from .groups import Order, decode_groups, decode_packet, needed_groups
from .icc import lend, profile_of_png
from .movie_index import restricted_profile
from .packets import PacketScan
from .pictures import TOO_SHORT, USUAL_DELAY
from .streams import Source, decoder_of, open_bytes, open_container, video_stream
from .timestamps import EndToEnd, is_ascending, mended, slowed

_EARLY, _EARLY_SHARE = 1.0, 0.1  # seconds, and share of the length, by which a file may end early
_KEPT_BYTES = 64 << 20  # compressed packets of a short video stay in memory between scan and decode


class VideoFile:
    """An open video and which frames it shows.

    Args:
        source: bytes or a path.
        threads: of the decoder; 1 suits many processes.
        headers_only: as for `open_container`.
        strict: a damaged frame spoils the whole video if it is seen at all. Otherwise it spoils itself and
            those up to the next key frame, and all others are given.
        is_ours: as for `PacketScan`.

    Attributes:
        container, stream, decoder: PyAV's; others after each `reopen`.
        packets: what the scan found; also of packets that an edit list hides, to which others may refer.
        num_frames: frames that are shown.
        order: for each packet the place of its frame among those shown, and whether it is a key frame; None
            where frames do not tell which packet they come from.
        times: when each frame is shown, ascending, in ticks of the stream's time base; None where frames have
            no times of their own, or FFmpeg only guesses them. Single ones that are missing, doubled or out
            of place are made up from those beside them.
        end: when the last frame ends, in ticks, where that is known.
        has_hidden_frames: whether an edit list leaves out frames.
        is_mended: whether its packets tell other frames or other times than there are.
        breaks: how often its clock begins anew.
        profile: the ICC profile that the file states where FFmpeg does not give it with each frame: that of a
            PNG or APNG, and a restricted one of an MP4 or MOV.

    Raises:
        VideoError: there is no video stream, it has no frames, or some are missing.
        OSError: the file is not there, or cannot be read.
        av.FFmpegError: it is damaged.
    """

    container: av.container.InputContainer
    stream: av.VideoStream
    decoder: av.VideoCodecContext
    order: Order | None
    times: list[int] | None

    def __init__(
        self,
        source: Source,
        *,
        threads: int = 1,
        headers_only: bool = False,
        strict: bool = True,
        is_ours: bool = False,
    ) -> None:
        self.source = source
        self._threads = threads
        self._headers_only = headers_only
        self._strict = strict
        self._is_ours = is_ours
        self._kept: list[av.Packet] | None = None
        self._open()
        try:
            with open_bytes(source) as file:
                self.profile = profile_of_png(file)
                if self.profile is None and "mp4" in self.container.format.name:
                    self.profile = restricted_profile(file, self.stream.id)
            self._scan()
        except BaseException:
            self.container.close()
            raise

    def _open(self) -> None:
        self.container = open_container(self.source, headers_only=self._headers_only)
        try:
            self.stream = video_stream(self.container)
            self.decoder = decoder_of(self.stream, threads=self._threads)
        except BaseException:
            self.container.close()
            raise

    @property
    def base(self) -> Fraction:
        """Seconds in a tick of `times`."""
        return self.stream.time_base or Fraction(1, 90000)

    def demux(self, *streams: av.VideoStream | av.AudioStream) -> Iterator[av.Packet]:
        """Packets of some streams from where the container stands; from its beginning on one line of time."""
        self._joints = EndToEnd(self.container, self.stream)
        if not self._joints.may_break:
            yield from self.container.demux(*streams)
            return
        # where a clock breaks off, it does for sound and pictures alike, and either may come first
        heard = [self.stream, *self.container.streams.audio]
        for packet in self._joints.lay(self.container.demux(heard)):
            if packet.stream in streams:
                yield packet

    def _scan(self) -> None:
        kept: list[av.Packet] | None = []
        scan = PacketScan(self.container, self.stream, is_ours=self._is_ours)
        size = 0
        for packet in self.demux(self.stream):
            if packet.size == 0:
                continue
            scan.add(packet)
            if kept is not None:
                kept.append(packet)
                size += packet.size
                if size > _KEPT_BYTES:
                    kept = None
        self.breaks = self._joints.breaks
        self.packets = scan.packets
        if all(self.packets.hidden):
            raise VideoError("has no frames")
        scan.finish()
        self._refuse_missing_packets()
        self._refuse_early_end()
        self._kept = kept
        shown = [number for number, hidden in enumerate(self.packets.hidden) if not hidden]
        self.has_hidden_frames = len(shown) < max(len(self.packets.hidden), self.stream.frames)
        self.end = self.packets.end
        # AVI holds no times of presentation: those of reordered frames are FFmpeg's guess
        guessed = self.container.format.name == "avi" and self.stream.codec_context.has_b_frames
        if self.packets.doubt is None and not guessed:
            self._number(sorted(shown, key=lambda number: self.packets.times[number] or 0))
            self.is_mended = False
        else:
            self._ask(guessed)
        if self.container.format.name == "gif" and self.times is not None and self.end is not None:
            second = 1 / self.base
            self.times, self.end = slowed(
                self.times, self.end, too_short=TOO_SHORT * second / 1000, usual=USUAL_DELAY * second / 1000
            )

    def _number(self, shown: list[int]) -> None:
        """Take the packets whose frames are shown, in their order."""
        places: list[int | None] = [None] * len(self.packets.keys)
        for place, number in enumerate(shown):
            places[number] = place
        self.num_frames = len(shown)
        self.order = list(zip(places, self.packets.keys, strict=True))
        self.times = [self.packets.times[number] or 0 for number in shown]

    def _ask(self, guessed: bool) -> None:
        """Decode everything, and learn from the frames what the packets do not tell."""
        packets = self.packets
        shown = [frame.pts for frame in self._decode_all()]
        if not shown:
            raise VideoError("has no frames that decode")
        numbers = [number for number in shown if number is not None]
        told = sorted(
            (number for number, hidden in enumerate(packets.hidden) if not hidden),
            key=lambda number: packets.times[number] or 0,
        )
        if len(set(numbers)) == len(shown):
            self._number(numbers)
        else:
            self.num_frames, self.order = len(shown), None
        stated = [None if number is None else packets.times[number] for number in shown]
        in_their_order = [packets.times[number] for number in sorted(numbers)]
        if numbers != sorted(numbers) and is_ascending(in_their_order):
            stated = in_their_order  # pictures are reordered, their times are not: they are those of decoding
        self.times = None if guessed else mended(stated)
        self.is_mended = guessed or told != shown or self.times != stated
        if self.times is not None and (self.end is None or self.times != stated):
            step = (self.times[-1] - self.times[0]) / max(self.num_frames - 1, 1)
            self.end = self.times[-1] + round(step) if step else None

    def _refuse_missing_packets(self) -> None:
        """An MP4's index knows how many frames there are, where its boxes do not."""
        claimed = self.stream.frames
        if "mp4" not in self.container.format.name or not claimed or len(self.packets.keys) >= claimed:
            return
        with open_container(self.source, with_hidden_packets=True) as container:
            there = sum(packet.size > 0 for packet in container.demux(container.streams[self.stream.index]))
        if there < claimed:
            raise VideoError(f"is truncated: {there} of {claimed} frames are there")

    def _refuse_early_end(self) -> None:
        """Matroska's reader takes damage between packets for the end of the file; its header knows better."""
        stated = (self.container.duration or 0) / 1_000_000
        allowed = max(_EARLY, _EARLY_SHARE * stated)
        pictures_end = float((self.packets.end or 0) * self.base)
        if "matroska" not in self.container.format.name or stated - pictures_end <= allowed:
            return
        end = pictures_end  # what goes on longer may be the sound
        with open_container(self.source) as container:
            for packet in container.demux():
                if packet.pts is not None and packet.size:
                    end = max(end, float((packet.pts + (packet.duration or 0)) * packet.time_base))
        if stated - end > allowed:
            raise VideoError(f"is damaged: what can be read ends at {end:.1f} of {stated:.1f} s")

    def reopen(self) -> None:
        """Begin anew at the beginning of the file, with a fresh container, stream and decoder."""
        self._kept = None
        self.container.close()
        self._open()

    def _restart(self) -> Iterable[av.Packet]:
        """All packets, for a fresh decoder; those kept from the scan the first time."""
        if self._kept is not None:
            kept, self._kept = self._kept, None
            return kept
        self.reopen()
        return (packet for packet in self.demux(self.stream) if packet.size)

    def frames(self, places: Collection[int]) -> Iterator[tuple[int, av.VideoFrame]]:
        """Decode the frames at some places; only groups of pictures that are needed go through the decoder.

        Args:
            places: 0..num_frames - 1, in the order in which frames are shown.

        Yields:
            Place and frame, in order but for frames that a first attempt misses. A frame that does not decode
            is not given.

        Raises:
            VideoError: a frame is damaged.
        """
        left = set(places)
        if self.order is not None:
            skip = self.packets.doubt is None
            for frame in decode_groups(self._restart(), self.decoder, self.order, frozenset(left), skip=skip):
                place = self.place(frame)
                if place in left:
                    left.remove(place)
                    yield place, self._timed(frame, place)
                    if not left:
                        return
        for place, frame, is_broken in self._marked():
            if is_broken and (self._strict or place in left):
                raise _damaged(frame)
            if place in left:
                left.remove(place)
                yield place, frame
                if not left:
                    return

    def frames_in_order(self, places: Collection[int]) -> Iterator[tuple[int, av.VideoFrame]]:
        """Decode from the beginning, and give the frames at some places among those that come out.

        Args:
            places: counted from 0.

        Yields:
            Place and frame, in order.

        Raises:
            VideoError: a frame is damaged.
        """
        last = max(places, default=-1)
        for count, (_, frame, is_broken) in enumerate(self._marked()):
            if count > last:
                return
            if is_broken and (self._strict or count in places):
                raise _damaged(frame)
            if count in places:
                yield count, frame

    def all_frames(self) -> Iterator[av.VideoFrame]:
        """Decode everything that is shown, damaged frames too, in one go from the beginning."""
        for count, frame in enumerate(self._decode_all()):
            yield self._timed(frame, count if self.order is None else self.place(frame))

    @property
    def can_seek(self) -> bool:
        """Whether a packet's own timestamp tells after a seek which one of the scan it is."""
        return (
            self.order is not None
            and self.times is not None
            and not self.breaks
            and not self.packets.is_guessed
            and len(self._numbers) == len(self.packets.times)
        )

    @cached_property
    def _numbers(self) -> dict[int | None, int]:
        return {time: number for number, time in enumerate(self.packets.times)}

    def number_of(self, packet: av.Packet) -> int | None:
        """Which packet of the scan this one is, by its timestamp and its size; None if that is not clear."""
        number = self._numbers.get(packet.pts)
        return number if number is not None and self.packets.sizes[number] == packet.size else None

    def needed_from(self, places: range) -> int:
        """The number of the packet from which on everything is decoded to get some frames in a row."""
        if self.order is None:
            return 0
        needed = needed_groups(self.order, places)
        group = needed.index(True) if True in needed else 0
        begins = [number for number, (_, is_key) in enumerate(self.order) if is_key or not number]
        return begins[group]

    def place(self, frame: av.VideoFrame) -> int | None:
        """The place of a frame whose `pts` is the number of its packet; None if there is none."""
        if self.order is None or frame.pts is None or not 0 <= frame.pts < len(self.order):
            return None
        return self.order[frame.pts][0]

    def _timed(self, frame: av.VideoFrame, place: int | None) -> av.VideoFrame:
        """The frame with its own time in the place of its packet's number."""
        known = place is not None and self.times is not None and place < len(self.times)
        frame.pts = self.times[place] if known and self.times is not None and place is not None else None
        frame.time_base = self.base
        return lend(frame, self.profile)

    def _decode_all(self) -> Iterator[av.VideoFrame]:
        """All frames that are shown; the `pts` of each is the number of its packet."""
        begun = False
        for number, packet in enumerate(self._restart()):
            packet.pts = number
            try:
                frames = decode_packet(self.decoder, packet)
            except av.error.InvalidDataError:
                if begun or self.packets.doubt is None:
                    raise
                continue  # a recording that begins in the middle begins with what cannot be decoded
            begun = begun or bool(frames)
            yield from (frame for frame in frames if not self._hides(frame))
        yield from (frame for frame in self.decoder.decode(None) if not self._hides(frame))

    def _hides(self, frame: av.VideoFrame) -> bool:
        """Whether an edit list leaves the frame out; not every decoder heeds that."""
        hidden = self.packets.hidden
        return frame.pts is not None and 0 <= frame.pts < len(hidden) and hidden[frame.pts]

    def _marked(self) -> Iterator[tuple[int, av.VideoFrame, bool]]:
        """Frames, and whether they are damaged or come between a damaged one and the next key frame."""
        broken = False
        for count, frame in enumerate(self._decode_all()):
            place = count if self.order is None else self.place(frame)
            broken = frame.is_corrupt or (broken and not frame.key_frame)
            if place is not None:
                yield place, self._timed(frame, place), broken

    def close(self) -> None:
        """Close the file."""
        self.container.close()

    def __enter__(self) -> VideoFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def whole(frame: av.VideoFrame) -> av.VideoFrame:
    """The frame, if it decoded without damage.

    Raises:
        VideoError: it did not.
    """
    if frame.is_corrupt:
        raise _damaged(frame)
    return frame


def _damaged(frame: av.VideoFrame) -> VideoError:
    which = "a frame" if frame.time is None else f"the frame at {frame.time} s"
    return VideoError(f"is damaged: {which} does not decode whole")
