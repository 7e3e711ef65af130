"""A video file: opened, scanned by its packets without decoding, and chosen frames decoded.

Frames that nobody asked for and that no other frame refers to are not decoded at all, and groups of
pictures without a chosen frame are not even given to the decoder. The frames that come out are the same.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import av
import numpy as np

from emovid_dataset.media.portable.truncation import is_truncated

SUFFIXES = frozenset(
    {".mp4", ".m4v", ".mkv", ".mov", ".avi", ".webm", ".gif", ".webp", ".apng", ".png", ".mpg", ".mpeg"}
)
"""File name endings that a raw folder is searched for."""

_KEPT_BYTES = 64 << 20  # compressed packets of a short video stay in memory between scan and decode
_OF_DECODERS = (ValueError, ArithmeticError, LookupError, MemoryError)  # what damage makes them raise

Source = bytes | str | os.PathLike[str]
"""A video: its bytes, or the path of its file."""


class VideoError(ValueError):
    """A video that cannot be used; the message is one line that says why."""


@dataclass(frozen=True, slots=True)
class VideoInfo:
    """What a scan of the packets tells, without decoding.

    Attributes:
        width: pixels, as displayed (after rotation and pixel aspect).
        height: pixels, as displayed.
        fps: mean frames per second.
        num_frames: frames.
        duration: seconds from the first frame to the end of the last.
        has_audio: whether there is sound.
        constant_rate: whether all frames stand within one tick of a constant rate.
    """

    width: int
    height: int
    fps: float
    num_frames: int
    duration: float
    has_audio: bool
    constant_rate: bool


class Reader:
    """An open video file: its facts, and the frames that are asked for.

    Args:
        source: bytes or a path.
        threads: decoder threads; 1 suits many worker processes.
        quick: do not decode frames to learn an MP4's pixel format; it opens in half of the time, and only
            `nonconforming` needs it.

    Raises:
        VideoError: it is no video, has no frames, or is damaged.
        FileNotFoundError: there is no such file.
    """

    def __init__(self, source: Source, *, threads: int = 1, quick: bool = False) -> None:
        self.source = source
        self.quick = quick
        self._threads = threads
        self._packets: list[av.Packet] | None = None
        self.stills: list[np.ndarray] | None = None
        with one_line_errors(source):
            webp = _is_webp(source)
            with opened(source) as file:
                if is_truncated(file):
                    raise VideoError("is truncated: its own sizes say that there is more")
            if webp:
                self.container: av.container.InputContainer | None = None
                self._scan_webp()
                return
            self.container = self._open()
            self._scan()

    # opening and scanning

    def _open(self) -> av.container.InputContainer:
        source = io.BytesIO(self.source) if isinstance(self.source, bytes) else os.fspath(self.source)
        quick = [{"skip_frame": "all"}] if self.quick and _is_mp4(self.source) else None
        container = av.open(source, mode="r", metadata_errors="ignore", stream_options=quick)  # type: ignore[call-overload]
        streams = [s for s in container.streams.video if not s.disposition & s.disposition.attached_pic]
        if not streams:
            container.close()
            raise VideoError("has no video stream")
        self.stream = streams[0]
        if self.stream.codec_context is None:
            raise VideoError("has a video stream of an unknown codec")
        context = self.decoder = _decoder(self.stream)
        context.thread_count = self._threads
        context.thread_type = "SLICE" if self._threads == 1 else "AUTO"
        return container

    def _scan(self) -> None:
        assert self.container is not None
        stream = self.stream
        name = self.container.format.name
        if name.endswith("_pipe") and "png" not in name and "gif" not in name:
            raise VideoError(f"is a still picture or unknown format ({name})")
        if stream.width < 1 or stream.height < 1:
            raise VideoError("has no picture size")
        packets: list[av.Packet] | None = []
        order: list[tuple[int | None, bool]] = []
        shown: list[int | None] = []  # without frames that an edit list hides, to which others may refer
        kept = 0
        end = None
        for packet in self.container.demux(stream):
            if packet.size == 0:
                continue
            order.append((packet.pts, packet.is_keyframe))
            if not packet.is_discard:
                shown.append(packet.pts)
                if packet.pts is not None and packet.duration:
                    end = max(end or 0, packet.pts + packet.duration)
            if packets is not None:
                packets.append(packet)
                kept += packet.size
                if kept > _KEPT_BYTES:
                    packets = None
        if not shown:
            raise VideoError("has no frames")
        claimed = stream.frames
        if "mp4" in name and claimed and len(order) < claimed:
            there = _count_without_edits(self.source, stream.index)
            if there < claimed:
                raise VideoError(f"is truncated: {there} of {claimed} frames are there")
        self._packets = packets
        self._order = order
        self.edited = len(shown) < max(len(order), claimed)
        pts = [p for p in shown if p is not None]
        # AVI holds no presentation times: those of reordered frames are FFmpeg's guess
        guessed = name == "avi" and stream.codec_context.has_b_frames
        self.exact = len(pts) == len(shown) and len(set(pts)) == len(pts) and not guessed
        base = stream.time_base or Fraction(1, 90000)
        rate = stream.average_rate or stream.guessed_rate or Fraction(25)
        if self.exact:
            pts.sort()
            self.times = np.array([float((p - pts[0]) * base) for p in pts])
            self.start_time = float(pts[0] * base)
            last = float((end - pts[0]) * base) if end is not None else 0.0
            if last <= self.times[-1]:
                last = float(self.times[-1]) + float(1 / rate)
        else:
            self.times = np.arange(len(shown)) / float(rate)
            self.start_time = float((stream.start_time or 0) * base)
            last = len(shown) / float(rate)
        self._pts = pts
        count = len(shown)
        step = last / count
        tolerance = min(2.01 * float(base), 0.4 * step)  # a tick for the frame, one for the film's end
        constant = bool(np.abs(self.times - np.arange(count) * step).max() <= tolerance)
        if constant and abs(float(rate) * last - count) < 0.5:
            last = count / float(rate)  # times in milliseconds, as in Matroska, only come near the rate
        aspect = stream.sample_aspect_ratio or Fraction(1)
        self.aspect = aspect if aspect > 0 else Fraction(1)
        audio = [s for s in self.container.streams.audio if s.codec_context is not None]
        self.audio = audio[0] if audio else None
        # an MP4 may name a sound track that holds nothing
        silent = self.audio is None or ("mp4" in name and self.audio.frames == 0)
        self.info = VideoInfo(
            width=round(stream.width * self.aspect),
            height=stream.height,
            fps=count / last,
            num_frames=count,
            duration=last,
            has_audio=not silent,
            constant_rate=constant,
        )

    def _scan_webp(self) -> None:
        from PIL import Image, ImageSequence

        data = self.source if isinstance(self.source, bytes) else Path(self.source).read_bytes()
        self.stills, durations = [], []
        try:
            opened = Image.open(io.BytesIO(data))
        except Image.DecompressionBombError as error:
            raise VideoError(f"is too large: {error}") from error
        with opened as image:
            size = image.size
            for frame in ImageSequence.Iterator(image):
                frame.load()
                durations.append(max(int(frame.info.get("duration", 0) or 0), 0) or 100)
                self.stills.append(np.asarray(frame.convert("RGBA")))
        if not self.stills:
            raise VideoError("has no frames")
        ends = np.cumsum(durations) / 1000.0
        self.times = np.concatenate([[0.0], ends[:-1]])
        self.start_time, self.aspect, self.audio, self.exact = 0.0, Fraction(1), None, True
        self.info = VideoInfo(
            width=size[0],
            height=size[1],
            fps=len(durations) / float(ends[-1]),
            num_frames=len(durations),
            duration=float(ends[-1]),
            has_audio=False,
            constant_rate=len(set(durations)) == 1,
        )

    def frames(self, indices: Iterable[int]) -> Iterator[tuple[int, av.VideoFrame]]:
        """Decode chosen frames.

        Args:
            indices: 0..num_frames - 1, in any order, each is given once.

        Yields:
            Index and frame, in order of time, but for frames that a first attempt misses.

        Raises:
            VideoError: a frame is damaged or missing.
        """
        wanted = sorted(set(indices))
        if wanted and not 0 <= wanted[0] <= wanted[-1] < self.info.num_frames:
            raise ValueError(f"frame indices {wanted[0]}..{wanted[-1]} of {self.info.num_frames} frames")
        with one_line_errors(self.source):
            if self.stills is not None:
                for index in wanted:
                    yield index, av.VideoFrame.from_ndarray(self.stills[index], format="rgba")
            elif self.exact:
                yield from self._frames_by_pts({self._pts[index]: index for index in wanted})
            else:
                yield from self._frames_by_count(set(wanted))

    def _restart(self) -> Iterator[av.Packet]:
        if self._packets is not None:
            packets, self._packets = self._packets, None
            yield from packets
            return
        for packet in self.reopen().demux(self.stream):
            if packet.size:
                yield packet

    def reopen(self) -> av.container.InputContainer:
        """Open the file anew at its beginning, with a fresh decoder, in place of the open one."""
        assert self.container is not None
        self._packets = None
        self.container.close()
        self.container = self._open()
        return self.container

    def _frames_by_pts(self, wanted: dict[int, int]) -> Iterator[tuple[int, av.VideoFrame]]:
        left = dict(wanted)
        for frame in self._decode_groups(wanted):
            if frame.is_corrupt:
                break  # others refer to it
            if frame.pts in left:
                yield left.pop(frame.pts), frame
                if not left:
                    return
        # a key frame that is only where a gradual refresh begins needs the frames before it
        for frame in self._all_frames():
            whole(frame)
            if frame.pts in left:
                yield left.pop(frame.pts), frame
        if left:
            raise VideoError(f"is damaged: {len(left)} of {len(wanted)} chosen frames do not decode")

    def _decode_groups(self, wanted: dict[int, int]) -> Iterator[av.VideoFrame]:
        """Decode the groups of pictures with a wanted frame, and in them what other frames refer to."""
        needed = _needed_groups(self._order, wanted)
        source = self._restart()
        group, skipping = -1, False
        context = self.decoder
        length_size = _nal_length_size(context)
        for packet in source:
            if packet.is_keyframe or group < 0:
                group += 1
                # a seek: give out what the decoder holds, then start anew at the next needed key frame
                if not needed[group] and not skipping and group > 0:
                    yield from context.decode(None)
                    context.flush_buffers()
                skipping = not needed[group]
            if skipping:
                continue
            if packet.pts in wanted:
                context.skip_frame = "DEFAULT"
            elif length_size and _is_unreferenced(packet, length_size):
                continue  # the decoder would unpack it before it drops it
            else:
                context.skip_frame = "NONREF"
            yield from context.decode(packet)
        if not skipping:
            yield from context.decode(None)

    def _frames_by_count(self, wanted: set[int]) -> Iterator[tuple[int, av.VideoFrame]]:
        found = 0
        for index, frame in enumerate(self._all_frames()):
            if index in wanted:
                found += 1
                yield index, whole(frame)
        if found < len(wanted):
            left = len(wanted) - found
            raise VideoError(f"is damaged: {left} of {len(wanted)} chosen frames do not decode")

    def _all_frames(self) -> Iterator[av.VideoFrame]:
        for packet in self._restart():
            yield from self.decoder.decode(packet)
        yield from self.decoder.decode(None)

    def count_frames(self) -> int:
        """Decode everything and count the frames that come out whole.

        Raises:
            VideoError: a frame is damaged.
        """
        if self.stills is not None:
            return len(self.stills)
        with one_line_errors(self.source):
            return sum(whole(frame) is frame for frame in self._all_frames())

    def close(self) -> None:
        """Close the file."""
        if self.container is not None:
            self.container.close()

    def __enter__(self) -> Reader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def probe(source: Source) -> VideoInfo:
    """Read a video's facts from its packets, without decoding.

    Args:
        source: bytes or a path.

    Raises:
        VideoError: it is no video, has no frames, or is truncated.
    """
    with Reader(source) as reader:
        return reader.info


def _needed_groups(order: Sequence[tuple[int | None, bool]], wanted: dict[int, int]) -> list[bool]:
    """Which groups of pictures, each begun by a key frame, must be decoded for the wanted frames."""
    needed: list[bool] = []
    key: int | None = None
    for pts, keyframe in order:
        if keyframe or not needed:
            needed.append(False)
            key = pts
        if pts in wanted:
            needed[-1] = True
            # a picture shown before its own key frame may refer to the group before
            if key is not None and pts is not None and pts < key and len(needed) > 1:
                needed[-2] = True
    return needed


def _decoder(stream: Any) -> Any:
    """The stream's decoder; for VP8 and VP9 with transparency the one that decodes it."""
    names = {"vp8": "libvpx", "vp9": "libvpx-vp9"}
    if stream.metadata.get("alpha_mode") != "1" or stream.codec_context.name not in names:
        return stream.codec_context
    try:
        context = av.CodecContext.create(names[stream.codec_context.name], "r")
    except ValueError as error:
        raise VideoError("has transparency, and this PyAV lacks libvpx to decode it") from error
    context.extradata = stream.codec_context.extradata
    return context


def _is_mp4(source: Source) -> bool:
    with opened(source) as file:
        return file.read(8)[4:] == b"ftyp"


def _nal_length_size(context: Any) -> int:
    """Bytes of the length before every NAL unit of H.264 in MP4 (avcC); 0 for everything else."""
    extradata = context.extradata
    if context.name != "h264" or not extradata or len(extradata) < 5 or extradata[0] != 1:
        return 0
    return (extradata[4] & 3) + 1


def _is_unreferenced(packet: av.Packet, length_size: int) -> bool:
    """Whether no other frame refers to this H.264 frame: nal_ref_idc of its first slice is 0."""
    data = memoryview(packet)
    position = 0
    while position + length_size < len(data):
        header = data[position + length_size]
        if 1 <= header & 31 <= 5:
            return header & 0x60 == 0
        position += length_size + int.from_bytes(data[position : position + length_size], "big")
    return False


def whole(frame: av.VideoFrame) -> av.VideoFrame:
    """The frame, if it decoded without damage.

    Raises:
        VideoError: it did not.
    """
    if frame.is_corrupt:
        raise VideoError(f"is damaged: the frame at {frame.time} s does not decode whole")
    return frame


def _is_webp(source: Source) -> bool:
    if isinstance(source, bytes):
        head = source[:12]
    else:
        with open(source, "rb") as file:
            head = file.read(12)
    if not head:
        raise VideoError("is empty (0 bytes)")
    return head[:4] == b"RIFF" and head[8:12] == b"WEBP"


def opened(source: Source) -> BinaryIO:
    """The source as a file open for reading."""
    return io.BytesIO(source) if isinstance(source, bytes) else open(source, "rb")


def _count_without_edits(source: Source, index: int) -> int:
    """Packets of an MP4's stream, those too that its edit list leaves out altogether."""
    with opened(source) as file, av.open(file, options={"ignore_editlist": "1"}) as container:
        return sum(packet.size > 0 for packet in container.demux(container.streams[index]))


@contextmanager
def one_line_errors(source: Source) -> Iterator[None]:
    """FFmpeg's and Pillow's errors as one line without the file's path, which the caller knows."""
    try:
        yield
    except VideoError:
        raise
    except FileNotFoundError:
        raise
    except av.error.FileNotFoundError as error:
        raise FileNotFoundError(str(source)) from error
    except (av.FFmpegError, OSError, SyntaxError, EOFError, *_OF_DECODERS) as error:
        text = str(error.strerror if isinstance(error, av.FFmpegError) else error) or type(error).__name__
        raise VideoError(f"is not a video that can be read: {' '.join(text.split())}") from error
