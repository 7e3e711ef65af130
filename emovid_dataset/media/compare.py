"""Whether an encoded clip shows what its source shows: as many frames, the same pictures at the same times.

The encoder counts frames and times on its way. Here a few pictures are found again in the source by the time
at which they are shown, through a fresh decoder and from the key frame before, and each is held against the
clip's picture. Its neighbours are too: where one of them is much more alike, the clip is shifted.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain, count

import av
import numpy as np

from emovid_dataset.media.crop import Crop
from emovid_dataset.media.frames import shown_size
from emovid_dataset.media.portable.clock import HELD
from emovid_dataset.media.portable.errors import VideoError, refusing
from emovid_dataset.media.portable.groups import decode_packet, skip_unreferenced
from emovid_dataset.media.portable.icc import lend
from emovid_dataset.media.portable.pictures import open_picture, pictures_at
from emovid_dataset.media.portable.pixels import orientation_of, rgb
from emovid_dataset.media.portable.streams import decoder_of, open_bytes, open_container, seek, video_stream
from emovid_dataset.media.portable.video_file import VideoFile
from emovid_dataset.media.segment import stretch_of, thinned
from emovid_dataset.media.source import Reader, Source

LEAST_PSNR = 24.0
"""dB of luma, in pictures of at most 160 pixels a side. At crf 18 film has 40 and more, noise about 30."""

ALIKE_PSNR = 40.0
"""dB from which on a picture counts as the source's, however alike its neighbours are: in a still scene the
encoder repeats the picture before."""

SHIFTED = 4.0
"""A neighbour is more alike if its squared error is so many times smaller (6 dB)."""

LARGEST_COLOUR_OFF = 16.0
"""Levels of 255, root mean square of red, green and blue over a grid of at most 8 x 8 cells."""

_USUAL_CRF = 18
_PSNR_PER_CRF = 0.5  # dB that every further step of x264's scale may cost

_SIDE, _CELLS, _LEAST_CELL = 160, 8, 12
_EPSILON = 1e-6  # seconds
_MOST_ROUNDED = HELD / 2  # a segment of slides may begin so shortly before the next one, and not show it
_ROOM = 4.5  # pictures before a moment from which on all are decoded
_BACK = (0.0, 1.0, 10.0, math.inf)  # seconds by which a seek that landed too late is tried again


@dataclass(frozen=True, slots=True)
class _Moment:
    """What the source shows at a moment.

    Attributes:
        shown: the picture.
        before: the one before it; None at the beginning.
        after: the one after it; None at the end.
        until: when that one is shown, seconds from the source's first picture; infinite at the end.
    """

    shown: av.VideoFrame
    before: av.VideoFrame | None
    after: av.VideoFrame | None
    until: float

    def cropped(self, crop: Crop, reader: Reader) -> _Moment:
        """The same with less at the sides of each picture."""

        def one(frame: av.VideoFrame) -> av.VideoFrame:
            size = shown_size(frame, orientation_of(frame), reader.aspect)
            return av.VideoFrame.from_ndarray(
                np.ascontiguousarray(crop.of_array(rgb(frame, size))), format="rgb24"
            )

        before, after = (None if frame is None else one(frame) for frame in (self.before, self.after))
        return _Moment(one(self.shown), before, after, self.until)


class MadeClip(Reader):
    """A clip that was just made; of the frames that are asked for it keeps those that are to be compared.

    Args:
        source: its path.
    """

    def __init__(self, source: Source) -> None:
        super().__init__(source)
        last = self.info.num_frames - 1
        self.places = sorted({0, (last + 1) // 2, last})
        self.kept: dict[int, av.VideoFrame] = {}

    def frames(self, indices: Iterable[int]) -> Iterator[tuple[int, av.VideoFrame]]:
        """As `Reader.frames`; whoever takes all of them has decoded what is to be compared."""
        wanted = set(indices)
        for index, frame in super().frames(wanted.union(self.places)):
            if index in self.places:
                self.kept[index] = frame
            if index in wanted:
                yield index, frame

    def __enter__(self) -> MadeClip:
        return self

    def to_compare(self) -> dict[int, av.VideoFrame]:
        """The first, the middle and the last frame, by number."""
        if len(self.kept) < len(self.places):
            for _ in self.frames(()):
                pass
        return self.kept


def check_faithful(
    reader: Reader,
    made: MadeClip,
    *,
    start: float | None,
    end: float | None,
    crf: int = _USUAL_CRF,
    fps: float | None = None,
    crop: Crop | None = None,
) -> None:
    """Compare a clip with the stretch of the source that it was made of.

    Args:
        reader: the source.
        made: the clip.
        start: first second of the segment, None for a whole file.
        end: end of the segment in seconds (exclusive), None for a whole file.
        crf: with which it was encoded.
        fps: to which it was thinned, as for `transcode`.
        crop: what was taken from the sides of the source's pictures; None for nothing.

    Raises:
        VideoError: the clip has another number of frames, or a picture that is not the source's.
        OSError: the source cannot be read.
    """
    stretch = stretch_of(reader, start, end)
    chosen = thinned(reader, stretch, fps)
    frames, due = made.info.num_frames, stretch.stop - stretch.first if chosen is None else len(chosen)
    if frames != due:
        raise _unfaithful(f"it has {frames} frames, the source {due}")
    places = sources = made.places
    begin = stretch.zero - reader.start_time
    times = [begin + float(made.times[place]) for place in places]
    if chosen is not None:
        sources = [chosen[place] - stretch.first for place in places]
        times = [float(reader.times[chosen[place]]) for place in places]
    least = LEAST_PSNR - _PSNR_PER_CRF * max(crf - _USUAL_CRF, 0)
    with refusing("cannot be compared with its source"):
        pictures = made.to_compare()
        for place, moment in zip(places, _moments(reader, stretch.first, sources, times), strict=True):
            shown = moment if crop is None else moment.cropped(crop, reader)
            _compare(pictures[place], shown, float(made.times[place]), least)
    if chosen is None and moment.until < (math.inf if end is None else end) - _slack(reader):
        raise _unfaithful("the source shows more pictures")


def _compare(picture: av.VideoFrame, moment: _Moment, time: float, least: float) -> None:
    ours = _reduced(picture, None)
    size = ours.shape[0], ours.shape[1]
    theirs = _reduced(moment.shown, size)
    error = _squared_error(ours, theirs)
    if _psnr(error) < least:
        raise _unfaithful(f"the picture at {time:.3f} s is not the source's (PSNR {_psnr(error):.1f} dB)")
    off = _colour_off(ours, theirs)
    if off > LARGEST_COLOUR_OFF:
        raise _unfaithful(f"the colours at {time:.3f} s are {off:.0f} of 255 levels from the source's")
    if _psnr(error) >= ALIKE_PSNR:
        return
    for neighbour in (moment.before, moment.after):
        if neighbour is None:
            continue
        if _squared_error(ours, _reduced(neighbour, size)) * SHIFTED < error:
            raise _unfaithful(f"the picture at {time:.3f} s is that of the frame beside it")


def _unfaithful(what: str) -> VideoError:
    return VideoError(f"was not encoded faithfully: {what}")


def _reduced(frame: av.VideoFrame, size: tuple[int, int] | None) -> np.ndarray:
    """A picture as it is seen, small; float32 [height, width, 3].

    Args:
        frame: a decoded frame.
        size: height and width; None keeps the proportions.
    """
    if size is None:
        factor = max(1.0, max(frame.width, frame.height) / _SIDE)
        size = max(2, round(frame.height / factor)), max(2, round(frame.width / factor))
    return rgb(frame, size).astype(np.float32)


def _luma(picture: np.ndarray) -> np.ndarray:
    weights = np.array([0.299, 0.587, 0.114], np.float32)
    return picture @ weights


def _squared_error(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.square(_luma(one) - _luma(other)).mean())


def _psnr(squared_error: float) -> float:
    return math.inf if squared_error == 0 else 10 * math.log10(255**2 / squared_error)


def _colour_off(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.sqrt(np.square(_cells(one) - _cells(other)).mean()))


def _cells(picture: np.ndarray) -> np.ndarray:
    """Mean colours of a coarse grid; in a small picture of fewer cells.

    Colours are stored at half the width and height, so that those of a few pixels are not the source's.
    """
    down, across = (min(_CELLS, max(side // _LEAST_CELL, 1)) for side in picture.shape[:2])
    return np.array(
        [
            cell.mean(axis=(0, 1))
            for row in np.array_split(picture, down)
            for cell in np.array_split(row, across, 1)
        ]
    )


# the source, read afresh


def _slack(reader: Reader) -> float:
    """By how many seconds a picture's time may differ; a constant rate is rounded to a clock's ticks."""
    return min(0.5 / reader.info.fps, _MOST_ROUNDED) if reader.info.constant_rate else 0.002


def _moments(reader: Reader, first: int, places: Sequence[int], times: Sequence[float]) -> Iterator[_Moment]:
    """What the source shows at some moments.

    Args:
        reader: the source.
        first: place of the clip's first picture.
        places: of pictures of the clip, ascending.
        times: of the same, seconds from the source's first picture.
    """
    file = reader.file
    by_time = file is not None and file.times is not None and not file.is_mended and not file.breaks
    if not by_time:  # its frames' own times are not those at which they are shown
        times = [float(reader.times[first + place]) for place in places]
    before: av.VideoFrame | None = None
    shown: av.VideoFrame | None = None
    frames: Iterator[tuple[float, av.VideoFrame]] | None = None
    ahead: tuple[float, av.VideoFrame] | None = None
    last = 0.0
    for time in times:
        if frames is None or (file is not None and by_time and _may_skip(reader, file, last, time)):
            if file is None:
                frames = _drawn(reader)
            else:
                frames = _decoded(reader, time) if by_time else _counted(reader)
            before = shown = ahead = None
        moment = last = time + (_slack(reader) if by_time else _EPSILON)
        coming = frames if ahead is None else chain([ahead], frames)
        ahead = None
        for each in coming:
            if each[0] > moment and shown is not None:
                ahead = each
                break
            before, shown = shown, each[1]
        if shown is None:
            raise _unfaithful("the source shows nothing there")
        after, until = (ahead[1], ahead[0]) if ahead is not None else (None, math.inf)
        yield _Moment(shown, before, after, until)


def _may_skip(reader: Reader, file: VideoFile, last: float, time: float) -> bool:
    """Whether a key frame stands between two moments, so that to go there is less work than to go on."""
    low, high = (reader.start_time + moment for moment in (last, time - _ROOM / reader.info.fps))
    base = float(file.base)
    return any(
        is_key and ticks is not None and low < ticks * base < high
        for ticks, is_key in zip(file.packets.times, file.packets.keys, strict=True)
    )


def _drawn(reader: Reader) -> Iterator[tuple[float, av.VideoFrame]]:
    """The frames of an animated picture."""
    with open_bytes(reader.source) as stored, open_picture(stored) as image:
        for place, picture in pictures_at(image, range(reader.info.num_frames)):
            yield float(reader.times[place]), av.VideoFrame.from_ndarray(picture, format="rgba")


def _decoded(reader: Reader, moment: float) -> Iterator[tuple[float, av.VideoFrame]]:
    """A file's frames by their own times, from the key frame before the picture before a moment on."""
    target = moment - _ROOM / reader.info.fps
    for room in _BACK:  # without an index, as in a broadcast, a seek may land too late, or nowhere
        frames = _frames_from(reader, target - room)
        first = next(frames, None)
        if first is not None and (first[0] <= target or target - room <= 0):
            yield first
            yield from frames
            return


def _frames_from(reader: Reader, begin: float) -> Iterator[tuple[float, av.VideoFrame]]:
    with open_container(reader.source) as container:
        stream = video_stream(container)
        base = stream.time_base or Fraction(1)
        if begin > 0 and not seek(container, stream, reader.start_time + begin):
            return
        decoder = decoder_of(stream)
        for packet in container.demux(stream):
            before = packet.pts is not None and float(packet.pts * base) < reader.start_time + begin
            skip_unreferenced(decoder, before)
            for frame in _decoded_packet(decoder, packet):
                if frame.time is not None:
                    yield frame.time - reader.start_time, _with_profile(frame, reader)


def _counted(reader: Reader) -> Iterator[tuple[float, av.VideoFrame]]:
    """A file's frames from its beginning, by their number; further ones come after its end."""
    times = chain((float(time) for time in reader.times), count(reader.info.duration + 1.0))
    with open_container(reader.source) as container:
        stream = video_stream(container)
        decoder = decoder_of(stream)
        for packet in container.demux(stream):
            for frame in _decoded_packet(decoder, packet):
                yield next(times), _with_profile(frame, reader)


def _with_profile(frame: av.VideoFrame, reader: Reader) -> av.VideoFrame:
    return frame if reader.file is None else lend(frame, reader.file.profile)


def _decoded_packet(decoder: av.VideoCodecContext, packet: av.Packet) -> list[av.VideoFrame]:
    """The frames of a packet; none of one that does not decode, such as those before the first key frame."""
    if not packet.size and packet.pts is not None:  # it repeats the picture before; it ends nothing
        return []
    try:
        return decode_packet(decoder, packet) if packet.size else decoder.decode(packet)
    except av.FFmpegError as error:
        if isinstance(error, MemoryError):
            raise
        return []
