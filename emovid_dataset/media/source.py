"""A video source: what it is, and the frames that are asked for.

Frames that nobody asked for and that no other frame refers to are not decoded at all, and groups of pictures
without a chosen frame are not even given to the decoder. The frames that come out are the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import av
import numpy as np

from emovid_dataset.media.portable.errors import VideoError, refusing
from emovid_dataset.media.portable.pictures import all_pictures, open_picture
from emovid_dataset.media.portable.streams import Source, first_bytes, is_mp4, is_webp, open_bytes
from emovid_dataset.media.portable.video_file import VideoFile, whole
from emovid_dataset.media.scan import VideoInfo, scan_file, scan_pictures

__all__ = ["SUFFIXES", "Reader", "Source", "VideoError", "VideoInfo", "probe"]

SUFFIXES = frozenset(
    {".mp4", ".m4v", ".mkv", ".mov", ".avi", ".webm", ".gif", ".webp", ".apng", ".png", ".mpg", ".mpeg"}
)
"""File name endings that a raw folder is searched for."""


class Reader:
    """An open video source: its facts, and the frames that are asked for.

    Args:
        source: bytes or a path.
        threads: decoder threads; 1 suits many worker processes.
        quick: do not decode frames to learn an MP4's pixel format; it opens in half of the time, and only
            `nonconforming` needs it.

    Attributes:
        source, quick: as given.
        file: the open file; None for animated WebP.
        pictures: every frame of an animated WebP, uint8 [height, width, 4]; None for a file.
        info: what everybody wants to know.
        sound: what the stream of sound is in; None where nothing can be heard.
        times: seconds from the first frame to each, float64 [num_frames].
        start_time: seconds in the file's own time at which the first frame is shown.
        aspect: width of a pixel by its height.

    Raises:
        VideoError: it is not a video, has no frames, or is damaged.
        OSError: the file is not there, or cannot be read.
    """

    def __init__(self, source: Source, *, threads: int = 1, quick: bool = False) -> None:
        self.source = source
        self.quick = quick
        self.file: VideoFile | None = None
        self.pictures: list[np.ndarray] | None = None
        with refusing():
            head = first_bytes(source)
            if is_webp(head):
                with open_bytes(source) as stored, open_picture(stored) as image:
                    frames = list(all_pictures(image))
                    scan = scan_pictures(image.size, [delay for _, delay in frames])
                self.pictures = [picture for picture, _ in frames]
            else:
                self.file = VideoFile(source, threads=threads, headers_only=quick and is_mp4(head))
                try:
                    scan = scan_file(self.file)
                except BaseException:
                    self.close()
                    raise
        self.info, self.sound, self.times = scan.info, scan.sound, scan.times
        self.start_time, self.aspect = scan.start_time, scan.aspect

    @property
    def audio(self) -> av.AudioStream | None:
        """The stream of sound that is heard, of the container that is open now; None where there is none."""
        if self.file is None or self.sound is None:
            return None
        return self.file.container.streams.audio[self.sound.place]

    @property
    def has_exact_times(self) -> bool:
        """Whether each frame has a time of its own that the file itself states."""
        return self.file is None or self.file.times is not None

    def frames(self, indices: Iterable[int]) -> Iterator[tuple[int, av.VideoFrame]]:
        """Decode chosen frames.

        Args:
            indices: 0..num_frames - 1, in any order, each is given once.

        Returns:
            An iterator of index and frame, in order of time, but for frames that a first attempt misses. It
            raises `VideoError` where a frame is damaged or missing.

        Raises:
            ValueError: an index is out of range.
        """
        wanted = sorted(set(indices))
        if wanted and not 0 <= wanted[0] <= wanted[-1] < self.info.num_frames:
            raise ValueError(f"frame indices {wanted[0]}..{wanted[-1]} of {self.info.num_frames} frames")
        return self._frames(wanted)

    def _frames(self, wanted: list[int]) -> Iterator[tuple[int, av.VideoFrame]]:
        with refusing():
            if self.pictures is not None:
                for index in wanted:
                    yield index, av.VideoFrame.from_ndarray(self.pictures[index], format="rgba")
                return
            assert self.file is not None
            found = 0
            if self.file.times is not None:
                index_of = {self.file.times[index]: index for index in wanted}
                for time, frame in self.file.frames_at(index_of):
                    found += 1
                    yield index_of[time], frame
            else:
                for index, frame in self.file.frames_in_order(frozenset(wanted)):
                    found += 1
                    yield index, frame
            if found < len(wanted):
                missing = f"{len(wanted) - found} of {len(wanted)}"
                raise VideoError(f"is damaged: {missing} chosen frames do not decode")

    def count_frames(self) -> int:
        """Decode everything and count the frames that come out whole.

        Raises:
            VideoError: a frame is damaged.
        """
        if self.file is None:
            return self.info.num_frames
        with refusing():
            return sum(whole(frame) is frame for frame in self.file.all_frames())

    def close(self) -> None:
        """Close the file."""
        if self.file is not None:
            self.file.close()

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def probe(source: Source) -> VideoInfo:
    """Read a video's facts from its packets, without decoding.

    Args:
        source: bytes or a path.

    Raises:
        VideoError: it is not a video, has no frames, or is truncated.
        OSError: the file is not there, or cannot be read.
    """
    with Reader(source) as reader:
        return reader.info
