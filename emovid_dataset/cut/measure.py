"""The one pass over a film: every frame is decoded once, reduced, and measured; no picture is held.

Frames and their times are those of the reader by which `emovid build` cuts segments, so that a clip that is
proposed here holds exactly the frames that were looked at.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import av
import numpy as np
from av.video.reformatter import Interpolation

from emovid_dataset.cut.change import changes_of
from emovid_dataset.cut.samples import Samples
from emovid_dataset.cut.speech import Speech
from emovid_dataset.cut.thumbnails import HEIGHT, WIDTH, Thumbnails
from emovid_dataset.media.frames import shown_size
from emovid_dataset.media.portable.errors import VideoError, refusing
from emovid_dataset.media.portable.pixels import (
    ROUNDED,
    WHOLE_CHROMA_IN,
    WHOLE_CHROMA_OUT,
    RgbConverter,
    orientation_of,
)
from emovid_dataset.media.segment import Stretch, segment
from emovid_dataset.media.sound_check import SoundDecoder
from emovid_dataset.media.source import Reader

_SMALL_WIDTH = 256  # pixels; PySceneDetect reduces to about as many
EXACT_AREA = Interpolation.AREA | ROUNDED | WHOLE_CHROMA_IN | WHOLE_CHROMA_OUT
"""Of the scaler: without these flags it leaves out pixels and is two levels too dark."""


class FrameWatcher(Protocol):
    """Who looks at every frame of the pass, one after the other."""

    def see(self, index: int, picture: np.ndarray) -> None:
        """Look at a frame.

        Args:
            index: of the frame, ascending; damaged ones are left out.
            picture: uint8 [h, w, 3], RGB, about 256 pixels wide.
        """


@dataclass(frozen=True, slots=True)
class Measures:
    """What one pass over a film tells.

    Attributes:
        times: seconds from the first frame to each, float64 [n + 1]; the last one is the film's end.
        width: pixels, as shown.
        height: pixels, as shown.
        fps: mean frames per second.
        thumbnails: of all frames; those of damaged frames are black.
        luma, spread, change, colour_change, stir: of each frame, see `emovid_dataset.cut.change.Changes`.
        damaged: frames that do not decode, bool [n].
        sampled: frames in which text and bars were looked for, ascending, int64 [m].
        text: share of each of these that looks like lines of text, float32 [m].
        rows: lightness of each line of pixels of these (`emovid_dataset.cut.bars`), uint8 [m, height].
        columns: of each column, uint8 [m, width].
        speech: as it was given.
        pictures: small JPEGs of the sampled frames; None where none were asked for.
    """

    times: np.ndarray
    width: int
    height: int
    fps: float
    thumbnails: Thumbnails
    luma: np.ndarray
    spread: np.ndarray
    change: np.ndarray
    colour_change: np.ndarray
    stir: np.ndarray
    damaged: np.ndarray
    sampled: np.ndarray
    text: np.ndarray
    rows: np.ndarray
    columns: np.ndarray
    speech: Speech | None
    pictures: list[bytes] | None

    @property
    def frames(self) -> int:
        """Number of frames."""
        return len(self.luma)


def measure(
    reader: Reader,
    thumbnails: Thumbnails,
    watchers: Sequence[FrameWatcher] = (),
    speech: Speech | None = None,
    *,
    pictures: bool = False,
) -> Measures:
    """Go once through a film.

    Args:
        reader: the open film.
        thumbnails: empty; gets those of all frames.
        watchers: look at every frame.
        speech: hears its sound; None leaves the sound out.
        pictures: whether to keep a small JPEG of each frame in which text is looked for.

    Raises:
        VideoError: no frame decodes.
        OSError: the film cannot be read.
    """
    pass_ = _Pass(reader, thumbnails, watchers, pictures)
    for frame in _frames(reader, pass_, with_sound=speech is not None and reader.sound is not None):
        if isinstance(frame, av.VideoFrame):
            pass_.look(frame)
        elif speech is not None and frame.time is not None:
            speech.hear(frame, frame.time - reader.start_time)
    return pass_.measures(speech)


def _frames(reader: Reader, pass_: _Pass, *, with_sound: bool) -> Iterator[av.VideoFrame | av.AudioFrame]:
    """All that decodes; behind a damaged frame it goes on at the next key frame."""
    count = reader.info.num_frames
    keys = _key_places(reader)
    reason = "has no frame that decodes"
    while pass_.due < count:
        first = pass_.due
        begin = reader.start_time if not first else reader.start_time + float(reader.times[first])
        stretch = Stretch(first, count, begin, math.inf, begin)
        try:
            yield from segment(reader, stretch, SoundDecoder() if with_sound else None)
        except VideoError as error:
            reason = str(error)
            later = keys[np.searchsorted(keys, pass_.due, side="right") :]
            pass_.skip_to(int(later[0]) if len(later) else count)
    if pass_.is_empty:
        raise VideoError(reason)


def _key_places(reader: Reader) -> np.ndarray:
    """Places of the key frames among those shown, ascending, int64."""
    order = None if reader.file is None else reader.file.order
    return np.array(sorted(p for p, is_key in order or () if is_key and p is not None), np.int64)


class _Pass:
    """What was measured so far."""

    def __init__(
        self, reader: Reader, thumbnails: Thumbnails, watchers: Sequence[FrameWatcher], pictures: bool
    ) -> None:
        self.due = 0
        self._reader, self._thumbnails, self._watchers = reader, thumbnails, watchers
        self._samples = Samples((reader.info.height, reader.info.width), pictures=pictures)
        self._converter = RgbConverter(EXACT_AREA, quick=True)
        self._damaged = bytearray()

    @property
    def is_empty(self) -> bool:
        """Whether no frame was seen."""
        return all(self._damaged)

    def look(self, frame: av.VideoFrame) -> None:
        """Measure the next frame."""
        orientation = orientation_of(frame)
        height, width = shown_size(frame, orientation, self._reader.aspect)
        if self._watchers:
            factor = max(1.0, width / _SMALL_WIDTH)
            picture = self._reduced(frame, (max(1, round(height / factor)), max(1, round(width / factor))))
            self._thumbnails.append(_tiny(picture))
            for watcher in self._watchers:
                watcher.see(self.due, picture)
        else:
            # nobody looks at a larger picture, and the scaler takes a third of the time
            self._thumbnails.append(self._reduced(frame, (HEIGHT, WIDTH)))
        self._damaged.append(False)
        self._samples.see(self.due, float(self._reader.times[self.due]), frame, (height, width))
        self.due += 1

    def _reduced(self, frame: av.VideoFrame, size: tuple[int, int]) -> np.ndarray:
        """A frame as shown, uint8 [h, w, 3]."""
        orientation = orientation_of(frame)
        with refusing():
            stored = self._converter.packed(frame, orientation.stored(size))
        return np.ascontiguousarray(orientation.shown(stored))

    def skip_to(self, place: int) -> None:
        """Take the frames up to one for damaged."""
        while self.due < place:
            self._thumbnails.append(np.zeros((HEIGHT, WIDTH, 3), np.uint8))
            self._damaged.append(True)
            self.due += 1

    def measures(self, speech: Speech | None) -> Measures:
        """All that was measured."""
        info, samples = self._reader.info, self._samples
        damaged = np.frombuffer(bytes(self._damaged), bool)
        changes = changes_of(self._thumbnails, damaged)
        height, width = samples.size
        return Measures(
            times=np.append(self._reader.times, info.duration),
            width=width,
            height=height,
            fps=info.fps,
            thumbnails=self._thumbnails,
            luma=changes.luma,
            spread=changes.spread,
            change=changes.change,
            colour_change=changes.colour_change,
            stir=changes.stir,
            damaged=damaged,
            sampled=np.array(samples.places, np.int64),
            text=np.array(samples.text, np.float32),
            rows=np.array(samples.rows, np.uint8).reshape(-1, height),
            columns=np.array(samples.columns, np.uint8).reshape(-1, width),
            speech=speech,
            pictures=samples.pictures,
        )


def _tiny(picture: np.ndarray) -> np.ndarray:
    """A picture at the size of thumbnails."""
    import cv2

    return np.asarray(cv2.resize(picture, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA))
