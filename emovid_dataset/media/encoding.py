"""How a clip is made of a video: the file as it is, its packets in a new file, or encoded anew.

::

    conforming file --------------------------------> the file itself
    H.264 that fits, wherever it stands ------------> remux: pictures copied, sound copied or encoded
    all else, segments, smaller or fewer pictures --> transcode: pictures encoded, sound copied or encoded
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from emovid_dataset.media.compare import MadeClip, check_faithful
from emovid_dataset.media.conforming import Misfit, misfit_of
from emovid_dataset.media.crop import Crop
from emovid_dataset.media.encode import Encoded, transcode
from emovid_dataset.media.portable.pixels import orientation_of
from emovid_dataset.media.remux import remux
from emovid_dataset.media.segment import is_faster
from emovid_dataset.media.source import Reader
from emovid_dataset.media.video_settings import VideoSettings


@dataclass(frozen=True, slots=True)
class Encoding:
    """How a clip is made of a video.

    Attributes:
        misfit: what of it does not fit as it is.
        video: what is wanted.
        crop: what is taken from the sides of its pictures; None for nothing.
    """

    misfit: Misfit
    video: VideoSettings
    crop: Crop | None = None

    @classmethod
    def of(
        cls,
        reader: Reader,
        video: VideoSettings,
        *,
        is_whole: bool,
        crop: Crop | None = None,
        by_header: bool = False,
    ) -> Encoding:
        """How a clip is made of an open video, or of a segment of it.

        Args:
            reader: the open video, not opened with `quick`.
            video: what is wanted.
            is_whole: whether the clip is the whole video.
            crop: what is taken from the sides of its pictures; None for nothing.
            by_header: as for `misfit_of`; such an encoding says what would be done, and cannot do it.

        Raises:
            VideoError: the file is damaged.
            OSError: it cannot be read.
        """
        if not is_whole:
            return cls(_all_encoded("a segment of a film"), video, crop)
        if crop is not None:
            return cls(_all_encoded("its pictures are cropped"), video, crop)
        if video.transcode == "always":
            return cls(_all_encoded("everything is encoded"), video)
        misfit = misfit_of(reader, by_header=by_header)
        reduced = _reduced(reader, video)
        if reduced is None:
            return cls(misfit, video)
        return cls(replace(misfit, file=misfit.file or reduced, pictures=misfit.pictures or reduced), video)

    def after(self, why: str) -> Encoding:
        """How it is made once it has shown that its pictures cannot be taken as they are.

        Args:
            why: they cannot.
        """
        return replace(self, misfit=replace(self.misfit, file=why, pictures=why))

    @property
    def takes_file(self) -> bool:
        """Whether the file itself is the clip, if its pictures are upright."""
        return self.misfit.file is None

    @property
    def copies_pictures(self) -> bool:
        """Whether the pictures' packets are copied."""
        return self.misfit.pictures is None

    @property
    def refusal(self) -> str | None:
        """Why nothing can be made, where nothing may be encoded."""
        why = self.misfit.pictures or self.misfit.sound
        if self.video.transcode != "never" or self.takes_file or why is None:
            return None
        return f"would have to be encoded ({why}), which transcode 'never' rules out"

    def write(self, reader: Reader, out: Path, start: float | None, end: float | None) -> Encoded:
        """Write the clip.

        Args:
            reader: the open video.
            out: path of the MP4 to write.
            start: first second of the segment, None for a whole file.
            end: end of the segment in seconds (exclusive), None for a whole file.

        Raises:
            VideoError: the video is damaged.
            OSError: `out` cannot be written, or the source cannot be read.
        """
        if self.copies_pictures:
            return remux(reader, out, self.misfit.layout)
        video = self.video
        return transcode(
            reader,
            out,
            start=start,
            end=end,
            crf=video.crf,
            height=video.height,
            fps=video.fps,
            crop=self.crop,
            sound=self.misfit.layout,
        )

    def check(self, reader: Reader, made: MadeClip, start: float | None, end: float | None) -> None:
        """Compare the clip with what it was made of, as `compare.check_faithful`."""
        video = self.video
        check_faithful(reader, made, start=start, end=end, crf=video.crf, fps=video.fps, crop=self.crop)


def _all_encoded(why: str) -> Misfit:
    return Misfit(why, why, why)


def _reduced(reader: Reader, video: VideoSettings) -> str | None:
    """Why pictures that would fit are encoded all the same."""
    info = reader.info
    if video.fps is not None and is_faster(reader, video.fps):
        return f"{info.fps:g} frames per second"
    if video.height is not None and max(info.width, info.height) > video.height:
        _, first = next(reader.frames([0]))
        height = info.width if orientation_of(first).transposed else info.height
        if height > video.height:
            return f"pictures of {height} lines"
    return None
