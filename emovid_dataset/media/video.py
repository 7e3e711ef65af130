"""Video in and out: probe, decode chosen frames, cut, encode. All of it on PyAV, Pillow for animated WebP.

A clip's timeline, with four frames chosen uniformly in time (the middles of four equal parts)::

    frame     0   1   2   3   4   5   6   7
    time   |---|---|---|---|---|---|---|---|
    chosen     ^       ^       ^       ^

Frames that nobody asked for and that no other frame refers to are not decoded at all, and groups of
pictures without a chosen frame are not even given to the decoder. The frames that come out are the same.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

import av
import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter

from emovid_dataset.media.portable.truncation import is_truncated

SUFFIXES = frozenset(
    {".mp4", ".m4v", ".mkv", ".mov", ".avi", ".webm", ".gif", ".webp", ".apng", ".png", ".mpg", ".mpeg"}
)
"""File name endings that a raw folder is searched for."""

X264_SAME_BYTES = {"threads": "1", "x264-params": "asm=avx2"}
"""Options by which libx264 gives the same bytes for the same frames.

Its AVX-512 code gave other bytes now and then on some processors; AVX2's does not.
"""

_REDUCED_SIDE = 128
_KEPT_BYTES = 64 << 20  # compressed packets of a short video stay in memory between scan and decode
_ALPHA = ("rgba", "bgra", "argb", "abgr", "yuva", "ya", "pal8", "gbrap")
_AAC_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
_EPSILON = 1e-6
_OF_DECODERS = (ValueError, ArithmeticError, LookupError, MemoryError)  # what damage makes them raise
_SOUND_GAP = 0.05  # seconds; containers round times, so smaller steps are no gaps

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


def uniform_indices(num_frames: int, count: int) -> list[int]:
    """Choose frames uniformly in time: the middles of `count` equal parts.

    Args:
        num_frames: frames of the video, at least 1.
        count: frames wanted, at least 1; a short video repeats frames.

    Returns:
        `count` indices 0..num_frames - 1, not decreasing.

    >>> uniform_indices(8, 4), uniform_indices(2, 4)
    ([1, 3, 5, 7], [0, 0, 1, 1])
    """
    if num_frames < 1 or count < 1:
        raise ValueError(f"{num_frames = } and {count = } must be at least 1")
    return [(2 * part + 1) * num_frames // (2 * count) for part in range(count)]


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
        self._source = source
        self._quick = quick
        self._threads = threads
        self._packets: list[av.Packet] | None = None
        self._stills: list[np.ndarray] | None = None
        with _one_line_errors(source):
            webp = _is_webp(source)
            with _opened(source) as file:
                if is_truncated(file):
                    raise VideoError("is truncated: its own sizes say that there is more")
            if webp:
                self._container = None
                self._scan_webp()
                return
            self._container = self._open()
            self._scan()

    # opening and scanning

    def _open(self) -> av.container.InputContainer:
        source = io.BytesIO(self._source) if isinstance(self._source, bytes) else os.fspath(self._source)
        quick = [{"skip_frame": "all"}] if self._quick and _is_mp4(self._source) else None
        container = av.open(source, mode="r", metadata_errors="ignore", stream_options=quick)  # type: ignore[call-overload]
        streams = [s for s in container.streams.video if not s.disposition & s.disposition.attached_pic]
        if not streams:
            container.close()
            raise VideoError("has no video stream")
        self._stream = streams[0]
        if self._stream.codec_context is None:
            raise VideoError("has a video stream of an unknown codec")
        context = self._decoder = _decoder(self._stream)
        context.thread_count = self._threads
        context.thread_type = "SLICE" if self._threads == 1 else "AUTO"
        return container

    def _scan(self) -> None:
        assert self._container is not None
        stream = self._stream
        name = self._container.format.name
        if name.endswith("_pipe") and "png" not in name and "gif" not in name:
            raise VideoError(f"is a still picture or unknown format ({name})")
        if stream.width < 1 or stream.height < 1:
            raise VideoError("has no picture size")
        packets: list[av.Packet] | None = []
        order: list[tuple[int | None, bool]] = []
        shown: list[int | None] = []  # without frames that an edit list hides, to which others may refer
        kept = 0
        end = None
        for packet in self._container.demux(stream):
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
            there = _count_without_edits(self._source, stream.index)
            if there < claimed:
                raise VideoError(f"is truncated: {there} of {claimed} frames are there")
        self._packets = packets
        self._order = order
        self._edited = len(shown) < max(len(order), claimed)
        pts = [p for p in shown if p is not None]
        # AVI holds no presentation times: those of reordered frames are FFmpeg's guess
        guessed = name == "avi" and stream.codec_context.has_b_frames
        self._exact = len(pts) == len(shown) and len(set(pts)) == len(pts) and not guessed
        base = stream.time_base or Fraction(1, 90000)
        rate = stream.average_rate or stream.guessed_rate or Fraction(25)
        if self._exact:
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
        audio = [s for s in self._container.streams.audio if s.codec_context is not None]
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

        data = self._source if isinstance(self._source, bytes) else Path(self._source).read_bytes()
        self._stills, durations = [], []
        try:
            opened = Image.open(io.BytesIO(data))
        except Image.DecompressionBombError as error:
            raise VideoError(f"is too large: {error}") from error
        with opened as image:
            size = image.size
            for frame in ImageSequence.Iterator(image):
                frame.load()
                durations.append(max(int(frame.info.get("duration", 0) or 0), 0) or 100)
                self._stills.append(np.asarray(frame.convert("RGBA")))
        if not self._stills:
            raise VideoError("has no frames")
        ends = np.cumsum(durations) / 1000.0
        self.times = np.concatenate([[0.0], ends[:-1]])
        self.start_time, self.aspect, self.audio, self._exact = 0.0, Fraction(1), None, True
        self.info = VideoInfo(
            width=size[0],
            height=size[1],
            fps=len(durations) / float(ends[-1]),
            num_frames=len(durations),
            duration=float(ends[-1]),
            has_audio=False,
            constant_rate=len(set(durations)) == 1,
        )

    def nonconforming(self) -> str | None:
        """Why the file cannot go into a shard as it is, or None when it can.

        Conforming is: MP4 with its index in front, one H.264 stream in yuv420p of even size
        with square pixels, at most one AAC stream, nothing else. (Rotation shows only on a decoded frame:
        see `rotation`.)
        """
        if self._quick:
            raise ValueError("a reader opened with quick=True does not know the pixel format")
        if self._container is None:
            return "animated WebP"
        names = self._container.format.name.split(",")
        stream, context = self._stream, self._stream.codec_context
        if "mp4" not in names:
            return f"container {names[0]}"
        if self._container.metadata.get("major_brand", "").strip() == "qt":
            return "container mov"
        if context.name != "h264":
            return f"codec {context.name}"
        if context.pix_fmt != "yuv420p":
            return f"pixel format {context.pix_fmt}"
        if stream.width % 2 or stream.height % 2:
            return f"odd size {stream.width}x{stream.height}"
        if self.aspect != 1:
            return f"pixel aspect {self.aspect}"
        if self.audio is not None and self.audio.codec_context.name != "aac":
            return f"sound codec {self.audio.codec_context.name}"
        if len(self._container.streams) != 1 + (self.audio is not None):
            return "more than one video and one sound stream"
        if not self._exact:
            return "frames without times of their own"
        if self._edited:
            return "frames that its edit list leaves out"
        if not _has_faststart(self._source):
            return "index behind the frames"
        return None

    # decoding

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
        with _one_line_errors(self._source):
            if self._stills is not None:
                for index in wanted:
                    yield index, av.VideoFrame.from_ndarray(self._stills[index], format="rgba")
            elif self._exact:
                yield from self._frames_by_pts({self._pts[index]: index for index in wanted})
            else:
                yield from self._frames_by_count(set(wanted))

    def _restart(self) -> Iterator[av.Packet]:
        if self._packets is not None:
            packets, self._packets = self._packets, None
            yield from packets
            return
        assert self._container is not None
        self._container.close()
        self._container = self._open()
        for packet in self._container.demux(self._stream):
            if packet.size:
                yield packet

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
            _sound(frame)
            if frame.pts in left:
                yield left.pop(frame.pts), frame
        if left:
            raise VideoError(f"is damaged: {len(left)} of {len(wanted)} chosen frames do not decode")

    def _decode_groups(self, wanted: dict[int, int]) -> Iterator[av.VideoFrame]:
        """Decode the groups of pictures with a wanted frame, and in them what other frames refer to."""
        needed = _needed_groups(self._order, wanted)
        source = self._restart()
        group, skipping = -1, False
        context = self._decoder
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
                yield index, _sound(frame)
        if found < len(wanted):
            left = len(wanted) - found
            raise VideoError(f"is damaged: {left} of {len(wanted)} chosen frames do not decode")

    def _all_frames(self) -> Iterator[av.VideoFrame]:
        for packet in self._restart():
            yield from self._decoder.decode(packet)
        yield from self._decoder.decode(None)

    def count_frames(self) -> int:
        """Decode everything and count the frames that come out whole.

        Raises:
            VideoError: a frame is damaged.
        """
        if self._stills is not None:
            return len(self._stills)
        with _one_line_errors(self._source):
            return sum(_sound(frame) is frame for frame in self._all_frames())

    def segment(self, start: float | None, end: float | None) -> Iterator[av.VideoFrame | av.AudioFrame]:
        """Decode a stretch of picture and sound, from a seek to the key frame before it.

        Args:
            start: seconds; the first picture is the first one with time >= start. None is the beginning.
            end: seconds; the last picture is the last one with time < end. None is the end.

        Yields:
            Pictures whose time lies in the stretch and sound frames that overlap it, as they come. Their
            `time` is the file's own; subtract `start_time`.
        """
        with _one_line_errors(self._source):
            if self._stills is not None:
                for index, time in enumerate(self.times):
                    if (start or 0) - _EPSILON <= time < (np.inf if end is None else end) - _EPSILON:
                        frame = av.VideoFrame.from_ndarray(self._stills[index], format="rgba")
                        frame.pts, frame.time_base = round(time * 1000), Fraction(1, 1000)
                        yield frame
                return
            low = self.start_time + (start or 0) - _EPSILON
            high = np.inf if end is None else self.start_time + end - _EPSILON
            # a half second of room, so that the sound's packets before the first picture are read too
            # (frames without times of their own are counted from the beginning)
            for room in (0.5, 5.0, 30.0, np.inf) if start and self._exact else (np.inf,):
                yielded = yield from self._segment(low, high, low - room)
                if yielded:
                    return

    def _segment(
        self, low: float, high: float, seek_to: float
    ) -> Generator[av.VideoFrame | av.AudioFrame, None, bool]:  # False: the seek landed too late
        assert self._container is not None
        self._packets = None
        # fresh decoders: that of AAC keeps a state when flushed, and no cut may depend on the one before
        self._container.close()
        self._container = self._open()
        audio = [s for s in self._container.streams.audio if s.codec_context is not None]
        self.audio = audio[0] if audio else None
        if seek_to > self.start_time:
            stream = self._stream
            assert stream.time_base is not None
            self._container.seek(int(seek_to / stream.time_base), stream=stream, backward=True)
        streams = [self._stream] + ([self.audio] if self.audio is not None else [])
        open_ended = {stream.index for stream in streams}
        context = self._decoder
        step = 1 / self.info.fps
        first: float | None = None
        early: list[av.AudioFrame] = []  # held back until it is clear that the seek did not land too late
        count = 0
        base = self._stream.time_base or Fraction(1, 90000)
        for packet in self._container.demux(streams):
            index = packet.stream.index  # the packet's own stream_index is 0 in those that end a stream
            if index not in open_ended and packet.size:
                continue
            if index == self._stream.index:
                before = self._exact and packet.pts is not None and float(packet.pts * base) < low - step
                context.skip_frame = "NONREF" if before else "DEFAULT"
                frames: Sequence[Any] = context.decode(packet)
            else:
                try:
                    frames = packet.decode()
                except av.FFmpegError:
                    continue  # a damaged piece of sound becomes silence
            for frame in frames:
                if isinstance(frame, av.VideoFrame):
                    time = self._frame_time(frame, count)
                    count += 1
                    if first is None:
                        first = time
                        if seek_to > self.start_time and first > low + step:
                            return False
                        yield from early
                    if time >= high:
                        open_ended.discard(self._stream.index)
                        break
                    if time >= low:
                        if not self._exact:
                            frame.pts, frame.time_base = round(time * 90000), Fraction(1, 90000)
                        yield _sound(frame)
                elif isinstance(frame, av.AudioFrame):
                    if frame.time is None:
                        continue
                    if frame.time >= high:
                        open_ended.discard(index)
                        break
                    if frame.time + frame.samples / frame.sample_rate > low:
                        if first is None:
                            early.append(frame)
                        else:
                            yield frame
            if not open_ended:
                break
        context.skip_frame = "DEFAULT"
        return True

    def _frame_time(self, frame: av.VideoFrame, count: int) -> float:
        if not self._exact or frame.time is None:
            return self.start_time + float(self.times[min(count, len(self.times) - 1)])
        return float(frame.time)

    def close(self) -> None:
        """Close the file."""
        if self._container is not None:
            self._container.close()

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


def decode(
    source: Source,
    *,
    frames: int | Callable[[int], Sequence[int]] | None = None,
    size: int | tuple[int, int] | None = None,
    threads: int = 1,
) -> np.ndarray:
    """Decode frames as RGB.

    Args:
        source: bytes or a path.
        frames: how many, chosen uniformly in time (`uniform_indices`); or a function from the number of
            frames to the indices wanted; or None for every frame.
        size: a side for a square, or (height, width); the picture is squeezed to it (bilinear). None
            keeps the video's own size.
        threads: decoder threads.

    Returns:
        uint8 [T, H, W, 3], 0..255, transparent pixels on white, upright. In memory it is [T, 3, H, W].

    Raises:
        VideoError: it is no video, has no frames, or is damaged.
    """
    with Reader(source, threads=threads, quick=True) as reader:
        count = reader.info.num_frames
        if frames is None:
            indices = list(range(count))
        elif callable(frames):
            indices = [int(index) for index in frames(count)]
        else:
            indices = _indices_in_time(reader, frames)
        shape = (size, size) if isinstance(size, int) else size
        return _decode_rgb(reader, indices, shape)


def _indices_in_time(reader: Reader, count: int) -> list[int]:
    info = reader.info
    if info.constant_rate:
        return uniform_indices(info.num_frames, count)
    middles = (np.arange(count) + 0.5) * info.duration / count
    return [int(i) for i in np.searchsorted(reader.times, middles + _EPSILON, side="right") - 1]


def _decode_rgb(reader: Reader, indices: Sequence[int], shape: tuple[int, int] | None) -> np.ndarray:
    places: dict[int, list[int]] = {}
    for place, index in enumerate(indices):
        places.setdefault(index, []).append(place)
    out: np.ndarray | None = None
    reformatter = VideoReformatter()
    for index, frame in reader.frames(places):
        upright = flatten(frame)
        height, width = shape or (upright.height, round(upright.width * reader.aspect))
        scaled = (height, width) != (upright.height, upright.width)
        small = reformatter.reformat(
            upright,
            width=width,
            height=height,
            # the scaler is twice as fast, and nearer to exact arithmetic, when it writes planes
            format="gbrp" if scaled else "rgb24",
            interpolation=Interpolation.BILINEAR,
            threads=1,
        )
        if out is None:
            planes = np.empty((len(indices), 3, height, width), np.uint8)
            out = planes.transpose(0, 2, 3, 1)
        first, *others = places[index]
        if scaled:
            for channel, plane in zip((1, 2, 0), small.planes, strict=True):
                rows = np.asarray(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
                planes[first, channel] = rows[:height, :width]
        else:
            out[first] = small.to_ndarray()
        for place in others:
            planes[place] = planes[first]
    assert out is not None
    return out


def sample_for_attributes(reader: Reader, count: int) -> tuple[np.ndarray, int]:
    """Decode the frames that the visual attributes are computed on, reduced by the scaler.

    The scaler takes every n-th pixel (no averaging), so that the spread of the colours, which
    colorfulness measures, stays what it is at full size. It reduces in YUV; the small picture then takes
    the same road to RGB as a full-size one, for another road rounds otherwise and shifts the hue of pale
    clips by degrees.

    Args:
        reader: an open video.
        count: frames, chosen uniformly in time.

    Returns:
        uint8 [T, h, w, 3] with at most 128 pixels on the longer side, and the rotation in degrees.
    """
    info = reader.info
    indices = _indices_in_time(reader, count)
    factor = max(1.0, max(info.width, info.height) / _REDUCED_SIDE)
    height, width = (max(2, round(side / factor / 2) * 2) for side in (info.height, info.width))
    rotation = 0
    pictures: dict[int, np.ndarray] = {}
    reduce, convert = VideoReformatter(), VideoReformatter()
    for index, frame in reader.frames(indices):
        rotation = rotation or int(frame.rotation)
        small = frame
        if factor > 1:
            small = reduce.reformat(
                frame, width=width, height=height, interpolation=Interpolation.POINT, threads=1
            )
        pictures[index] = convert.reformat(_on_white(small), format="rgb24", threads=1).to_ndarray()
    return np.stack([pictures[index] for index in indices]), rotation


def flatten(frame: av.VideoFrame) -> av.VideoFrame:
    """Put transparent pixels on white and turn the picture upright.

    Args:
        frame: a decoded frame.

    Returns:
        The same frame if it is opaque and upright, else a new one in rgb24.
    """
    opaque = _on_white(frame)
    turns = int(frame.rotation) // 90 % 4
    if not turns:
        return opaque
    rgb: np.ndarray[Any, np.dtype[np.uint8]] = opaque.to_ndarray(format="rgb24").astype(np.uint8)
    turned = np.ascontiguousarray(np.rot90(rgb, turns))
    return _like(av.VideoFrame.from_ndarray(turned, format="rgb24"), frame)


def _on_white(frame: av.VideoFrame) -> av.VideoFrame:
    if not frame.format.name.startswith(_ALPHA):
        return frame
    rgba = frame.to_ndarray(format="rgba").astype(np.uint16)
    alpha = rgba[..., 3:]
    rgb = (rgba[..., :3] * alpha + 255 * (255 - alpha) + 127) // 255
    return _like(av.VideoFrame.from_ndarray(rgb.astype(np.uint8), format="rgb24"), frame)


def _like(new: av.VideoFrame, old: av.VideoFrame) -> av.VideoFrame:
    new.pts = old.pts
    if old.time_base is not None:
        new.time_base = old.time_base
    return new


def transcode(
    reader: Reader, out: Path, *, start: float | None = None, end: float | None = None, crf: int = 18
) -> None:
    """Encode a video, or a segment of it, as a conforming MP4, sound in step.

    One thread and no date or version in the file: the same input gives the same bytes.

    Args:
        reader: the open source; many segments of one film share it.
        out: path of the MP4 to write; a half-written file is left there when this raises.
        start: first second of the segment, None for a whole file.
        end: end of the segment in seconds (exclusive), None for a whole file.
        crf: x264's constant rate factor, 0..51.

    Raises:
        VideoError: nothing decodes, or the source is damaged.
    """
    info, audio = reader.info, reader.audio
    rate = Fraction(info.fps).limit_denominator(1001 if abs(info.fps - round(info.fps)) > 1e-3 else 1)
    width, height = info.width + info.width % 2, info.height + info.height % 2
    options = {"movflags": "+faststart", "fflags": "+bitexact"}
    with av.open(os.fspath(out), "w", format="mp4", options=options) as sink:
        picture: Any = None
        sound = _SoundTrack(sink, audio) if audio is not None else None
        reformatter = VideoReformatter()
        count, last = 0, -1
        early: list[av.AudioFrame] = []  # sound from before the first picture: both streams stand first
        zero: float | None = None
        base = Fraction(1) / rate if info.constant_rate else Fraction(1, 90000)
        for frame in reader.segment(start, end):
            if isinstance(frame, av.AudioFrame):
                early.append(frame)
                if zero is not None:
                    _write_sound(sound, early, zero)
                continue
            upright = flatten(frame)
            if picture is None:
                turned = int(frame.rotation) % 180 != 0
                size = (height, width) if turned else (width, height)
                picture = sink.add_stream("libx264", rate=rate)
                picture.width, picture.height, picture.pix_fmt = *size, "yuv420p"
                picture.options = {"crf": str(crf), "preset": "veryfast", **X264_SAME_BYTES}
                if not info.constant_rate:
                    # MP4 holds durations in the order of decoding; only without reordering are they exact
                    picture.options = {**picture.options, "bf": "0"}
                picture.codec_context.thread_count = 1
                picture.codec_context.time_base = base
                if upright is frame and frame.colorspace in (1, 5, 6):
                    picture.codec_context.colorspace = frame.colorspace
            time = frame.time or 0.0
            if zero is None:
                zero = time
                if sound is not None and end is not None:
                    sound.total = round((reader.start_time + end - zero) * sound.rate)
            ready = reformatter.reformat(
                upright,
                width=picture.width,
                height=picture.height,
                format="yuv420p",
                dst_color_range="MPEG",
                threads=1,
            )
            tick = count if info.constant_rate else max(last + 1, round((time - zero) / base))
            ready.pts, ready.time_base = tick, base
            ready.pict_type = 0
            last = tick
            count += 1
            sink.mux(picture.encode(ready))
        if picture is None:
            raise VideoError("has no frames that decode" if start is None else "has no frame in the segment")
        assert zero is not None
        _write_sound(sound, early, zero)
        rest = picture.encode(None)
        if rest and not info.constant_rate:
            rest[-1].duration = round(_shown(reader, zero + last * base - reader.start_time, end) / base)
        sink.mux(rest)
        if sound is not None:
            sound.close()


def _shown(reader: Reader, time: float, end: float | None) -> float:
    """Seconds for which the frame at this time is shown, within a segment that ends at `end`."""
    after = int(np.searchsorted(reader.times, time + 1e-3))  # the time is rounded to the clip's ticks
    until = float(reader.times[after]) if after < len(reader.times) else reader.info.duration
    return max((until if end is None else min(until, end)) - time, 0.0)


def _write_sound(track: _SoundTrack | None, frames: list[av.AudioFrame], zero: float) -> None:
    if track is not None:
        for frame in frames:
            track.write(frame, zero)
    frames.clear()


class _SoundTrack:
    """Encodes decoded sound as AAC, from the first picture on to the sample, gaps as silence."""

    def __init__(self, sink: Any, source: Any) -> None:
        context = source.codec_context
        self.rate = context.sample_rate if context.sample_rate in _AAC_RATES else 48000
        layout = "mono" if context.channels == 1 else "stereo"
        self.sink = sink
        self.stream = sink.add_stream("aac", rate=self.rate, layout=layout)
        self.stream.codec_context.bit_rate = 64000 if layout == "mono" else 128000
        self.layout = layout
        self.resampler = av.AudioResampler(format="fltp", layout=layout, rate=self.rate)
        self.total: int | None = None
        self.written = 0
        self.ahead = 0  # samples from before the first picture, still to be dropped
        self.next: float | None = None  # time at which the next frame of unbroken sound begins

    def write(self, frame: av.AudioFrame, zero: float) -> None:
        time = float(frame.time or 0.0)
        if self.next is None:
            self.ahead = max(0, round((zero - time) * self.rate))
            self._silence(time - zero)
        elif time - self.next > _SOUND_GAP:
            self._flush()
            self._silence(time - zero - self.written / self.rate)
        self.next = time + frame.samples / frame.sample_rate
        for piece in self.resampler.resample(frame):
            self._put(piece.to_ndarray())

    def _silence(self, seconds: float) -> None:
        missing = max(0, round(seconds * self.rate))
        if self.total is not None:
            missing = min(missing, self.total)
        while missing > 0:
            length = min(missing, self.rate)
            self._put(np.zeros((1 if self.layout == "mono" else 2, length), np.float32))
            missing -= length

    def _flush(self) -> None:
        for piece in self.resampler.resample(None):
            self._put(piece.to_ndarray())
        self.resampler = av.AudioResampler(format="fltp", layout=self.layout, rate=self.rate)

    def _put(self, samples: np.ndarray) -> None:
        if self.ahead:
            dropped = min(self.ahead, samples.shape[1])
            self.ahead -= dropped
            samples = samples[:, dropped:]
        if self.total is not None:
            samples = samples[:, : max(self.total - self.written, 0)]
        if not samples.shape[1]:
            return
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples), format="fltp", layout=self.layout)
        frame.sample_rate = self.rate
        frame.pts, frame.time_base = self.written, Fraction(1, self.rate)
        self.written += samples.shape[1]
        self.sink.mux(self.stream.encode(frame))

    def close(self) -> None:
        self._flush()
        if self.written:
            self.sink.mux(self.stream.encode(None))


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
    with _opened(source) as file:
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


def _sound(frame: av.VideoFrame) -> av.VideoFrame:
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


def _opened(source: Source) -> Any:
    return io.BytesIO(source) if isinstance(source, bytes) else open(source, "rb")


def _count_without_edits(source: Source, index: int) -> int:
    """Packets of an MP4's stream, those too that its edit list leaves out altogether."""
    with _opened(source) as file, av.open(file, options={"ignore_editlist": "1"}) as container:
        return sum(packet.size > 0 for packet in container.demux(container.streams[index]))


def _has_faststart(source: Source) -> bool:
    """Whether an MP4's moov box stands before its mdat box."""
    with _opened(source) as file:
        while len(head := file.read(8)) == 8:
            size, kind = int.from_bytes(head[:4], "big"), head[4:]
            if kind in (b"moov", b"mdat"):
                return kind == b"moov"
            if size == 1:
                size = int.from_bytes(file.read(8), "big") - 8
            if size < 8:
                return False
            file.seek(size - 8, 1)
    return False


@contextmanager
def _one_line_errors(source: Source) -> Iterator[None]:
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
