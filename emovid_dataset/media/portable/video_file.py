"""A video file: its packets are scanned once without decoding, then the frames that are asked for decoded."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

import av

from .errors import VideoError
from .groups import decode_groups
from .streams import Source, decoder_of, open_container, video_stream

_KEPT_BYTES = 64 << 20  # compressed packets of a short video stay in memory between scan and decode


class VideoFile:
    """An open video and what a scan of its packets tells.

    Args:
        source: bytes or a path.
        threads: of the decoder; 1 suits many processes.
        headers_only: as for `open_container`.
        strict: a damaged frame spoils the whole video if it is seen at all. Otherwise it spoils itself and
            those up to the next key frame, and all others are given.

    Attributes:
        container, stream, decoder: PyAV's; others after each `reopen`.
        order: time and key of every packet, also of those that an edit list hides, to which others may refer.
        num_frames: packets that are shown.
        times: when frames are shown, ascending, in ticks of the stream's time base; None where frames have no
            times of their own, or FFmpeg only guesses them.
        end: when the last frame ends, in ticks, where the packets say it.
        has_hidden_frames: whether an edit list leaves out frames.

    Raises:
        VideoError: there is no video stream, it has no frames, or some are missing.
        OSError: the file is not there, or cannot be read.
        av.FFmpegError: it is damaged.
    """

    container: av.container.InputContainer
    stream: av.VideoStream
    decoder: av.VideoCodecContext

    def __init__(
        self, source: Source, *, threads: int = 1, headers_only: bool = False, strict: bool = True
    ) -> None:
        self.source = source
        self._threads = threads
        self._headers_only = headers_only
        self._strict = strict
        self._packets: list[av.Packet] | None = None
        self._open()
        try:
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

    def _scan(self) -> None:
        packets: list[av.Packet] | None = []
        self.order: list[tuple[int | None, bool]] = []
        shown: list[int | None] = []
        self.end: int | None = None
        kept = 0
        for packet in self.container.demux(self.stream):
            if packet.size == 0:
                continue
            self.order.append((packet.pts, packet.is_keyframe))
            if not packet.is_discard:
                shown.append(packet.pts)
                if packet.pts is not None and packet.duration:
                    self.end = max(self.end or 0, packet.pts + packet.duration)
            if packets is not None:
                packets.append(packet)
                kept += packet.size
                if kept > _KEPT_BYTES:
                    packets = None
        if not shown:
            raise VideoError("has no frames")
        self._refuse_missing_packets()
        self._packets = packets
        self.num_frames = len(shown)
        self.has_hidden_frames = len(shown) < max(len(self.order), self.stream.frames)
        times = sorted({time for time in shown if time is not None})
        # AVI holds no times of presentation: those of reordered frames are FFmpeg's guess
        guessed = self.container.format.name == "avi" and self.stream.codec_context.has_b_frames
        self.times = times if len(times) == len(shown) and not guessed else None

    def _refuse_missing_packets(self) -> None:
        """An MP4's index knows how many frames there are, where its boxes do not."""
        claimed = self.stream.frames
        if "mp4" not in self.container.format.name or not claimed or len(self.order) >= claimed:
            return
        with open_container(self.source, with_hidden_packets=True) as container:
            there = sum(packet.size > 0 for packet in container.demux(container.streams[self.stream.index]))
        if there < claimed:
            raise VideoError(f"is truncated: {there} of {claimed} frames are there")

    def reopen(self) -> None:
        """Begin anew at the beginning of the file, with a fresh container, stream and decoder."""
        self._packets = None
        self.container.close()
        self._open()

    def _restart(self) -> Iterable[av.Packet]:
        """All packets, for a fresh decoder; those kept from the scan the first time."""
        if self._packets is not None:
            packets, self._packets = self._packets, None
            return packets
        self.reopen()
        return (packet for packet in self.container.demux(self.stream) if packet.size)

    def frames_at(self, times: Collection[int]) -> Iterator[tuple[int, av.VideoFrame]]:
        """Decode the frames of some times; only groups of pictures that are needed go through the decoder.

        Args:
            times: of `self.times`, which is not None.

        Yields:
            Time and frame, in order of time but for frames that a first attempt misses. A frame that does not
            decode is not given.

        Raises:
            VideoError: a frame is damaged.
        """
        left = set(times)
        packets = self._restart()
        for frame in decode_groups(packets, self.decoder, self.order, frozenset(left)):
            if frame.pts in left:
                left.remove(frame.pts)
                yield frame.pts, frame
                if not left:
                    return
        for frame, is_broken in _marked(self.all_frames()):
            if is_broken and (self._strict or frame.pts in left):
                raise _damaged(frame)
            if frame.pts in left:
                left.remove(frame.pts)
                yield frame.pts, frame
                if not left:
                    return

    def frames_in_order(self, places: Collection[int]) -> Iterator[tuple[int, av.VideoFrame]]:
        """Decode from the beginning, and give the frames at some places.

        Args:
            places: counted from 0 in the order in which frames come out.

        Yields:
            Place and frame, in order. A frame that does not come out is not given.

        Raises:
            VideoError: a frame is damaged.
        """
        last = max(places, default=-1)
        for place, (frame, is_broken) in enumerate(_marked(self.all_frames())):
            if place > last:
                return
            if is_broken and (self._strict or place in places):
                raise _damaged(frame)
            if place in places:
                yield place, frame

    def all_frames(self) -> Iterator[av.VideoFrame]:
        """Decode everything that is shown, damaged frames too."""
        packets = self._restart()
        for packet in packets:
            yield from self.decoder.decode(packet)
        yield from self.decoder.decode(None)

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


def _marked(frames: Iterable[av.VideoFrame]) -> Iterator[tuple[av.VideoFrame, bool]]:
    """Frames, and whether they are damaged or come between a damaged one and the next key frame."""
    broken = False
    for frame in frames:
        broken = frame.is_corrupt or (broken and not frame.key_frame)
        yield frame, broken


def _damaged(frame: av.VideoFrame) -> VideoError:
    return VideoError(f"is damaged: the frame at {frame.time} s does not decode whole")
