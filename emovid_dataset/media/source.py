"""A video source: what it is, and the frames that are asked for.

Frames that nobody asked for and that no other frame refers to are not decoded at all, and groups of pictures
without a chosen frame are not even given to the decoder. The frames that come out are the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction

import av

from emovid_dataset.media.portable.errors import VideoError, refusing
from emovid_dataset.media.portable.pictures import (
    open_picture,
    pictures_at,
    profile_of_picture,
    webp_delays,
)
from emovid_dataset.media.portable.streams import Source, first_bytes, is_mp4, is_webp, open_bytes
from emovid_dataset.media.portable.video_file import VideoFile, whole
from emovid_dataset.media.scan import VideoInfo, scan_file, scan_pictures

__all__ = ["SUFFIXES", "Reader", "Source", "VideoError", "VideoInfo", "probe"]

SUFFIXES = frozenset(
    (
        *(".mp4", ".m4v", ".mkv", ".mov", ".qt", ".avi", ".webm", ".gif", ".webp", ".apng", ".png"),
        *(".mpg", ".mpeg", ".m2v", ".vob", ".ts", ".m2ts", ".mts", ".flv", ".f4v", ".wmv", ".asf"),
        *(".3gp", ".3g2", ".ogv", ".mxf", ".divx", ".rm", ".rmvb"),
    )
)
"""Endings of names that are taken for videos where only names are known; else what a file holds counts."""


_WEBP_HEAD = 64  # bytes within which an animation says that it is one


class Reader:
    """An open video source: its facts, and the frames that are asked for.

    Args:
        source: bytes or a path.
        threads: decoder threads; 1 suits many worker processes.
        quick: do not decode frames to learn an MP4's pixel format; it opens in half of the time, and only
            `nonconforming` needs it.
        is_ours: it was written by `media.proxy`, and its packets need not be looked into.

    Attributes:
        source, quick: as given.
        file: the open file; None for animated WebP.
        info: what everybody wants to know.
        sound: what the stream of sound is in; None where nothing can be heard.
        times: seconds from the first frame to each, float64 [num_frames].
        start_time: seconds in the file's own time at which the first frame is shown.
        aspect: width of a pixel by its height.
        has_profile: whether an animated picture's frames, as they are given, were brought from the colours of
            an ICC profile to sRGB.
        seen_by: is shown every frame that `frames` decodes, with its number; None shows them to nobody else.
        heard_by: is given the sound that is decoded of the video; likewise.

    Raises:
        VideoError: it is not a video, has no frames, or is damaged.
        OSError: the file is not there, or cannot be read.
    """

    def __init__(
        self, source: Source, *, threads: int = 1, quick: bool = False, is_ours: bool = False
    ) -> None:
        self.source = source
        self.quick = quick
        self.file: VideoFile | None = None
        self.has_profile = False
        self.seen_by: Callable[[int, av.VideoFrame], None] | None = None
        self.heard_by: Callable[[av.AudioFrame], None] | None = None
        with refusing():
            head = first_bytes(source)
            if is_webp(head):
                with open_bytes(source) as stored, open_picture(stored) as image:
                    scan = scan_pictures(image.size, webp_delays(stored), getattr(image, "n_frames", 1))
                    self.has_profile = profile_of_picture(image) is not None
            else:
                self.file = VideoFile(
                    source, threads=threads, headers_only=quick and is_mp4(head), is_ours=is_ours
                )
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
        return self._shown(wanted)

    def _shown(self, wanted: list[int]) -> Iterator[tuple[int, av.VideoFrame]]:
        for index, frame in self._frames(wanted):
            if self.seen_by is not None:
                self.seen_by(index, frame)
            yield index, frame

    def _frames(self, wanted: list[int]) -> Iterator[tuple[int, av.VideoFrame]]:
        with refusing():
            if self.file is None:
                with open_bytes(self.source) as stored, open_picture(stored) as image:
                    for index, picture in pictures_at(image, wanted):
                        frame = av.VideoFrame.from_ndarray(picture, format="rgba")
                        frame.pts, frame.time_base = round(self.times[index] * 1000), Fraction(1, 1000)
                        yield index, frame
                return
            found = 0
            for index, frame in self.file.frames(wanted):
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


def refuse_still_picture(reader: Reader) -> None:
    """Refuse a PNG or WebP without animation, as pictures of all other formats are when they are opened.

    Raises:
        VideoError: it is one.
    """
    if reader.file is not None:
        name = reader.file.container.format.name
        is_still = name.endswith("_pipe") and "gif" not in name
    else:
        with open_bytes(reader.source) as stored:
            is_still, name = b"ANIM" not in stored.read(_WEBP_HEAD), "webp"
    if is_still:
        raise VideoError(f"is a still picture ({name})")


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
