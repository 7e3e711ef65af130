"""The one pass over a film: every frame is decoded once, reduced, and measured; no picture is held.

Frames and their times are those of the reader by which `emovid build` cuts segments, so that a clip that is
proposed here holds exactly the frames that were looked at.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import av
import numpy as np
from av.video.reformatter import Interpolation

from emovid_dataset.cut.speech import Speech
from emovid_dataset.cut.text_share import text_share
from emovid_dataset.cut.thumbnails import HEIGHT, WIDTH, Thumbnails
from emovid_dataset.media.frames import shown_size
from emovid_dataset.media.portable.errors import VideoError, refusing
from emovid_dataset.media.portable.pixels import RgbConverter, orientation_of
from emovid_dataset.media.segment import Stretch, segment
from emovid_dataset.media.sound_check import SoundDecoder
from emovid_dataset.media.source import Reader

_SMALL_WIDTH = 256  # pixels; PySceneDetect reduces to about as many
_PICTURE_WIDTH = 160  # pixels, of the pictures for a page
_SAMPLED_SIDE = 512  # pixels, of the pictures in which text is looked for
SAMPLED_EVERY = 0.5
"""Seconds between the frames in which text and bars are looked for."""

_BRIGHT = 99  # percentile of a line's luma that counts as its brightness: a few noisy pixels do not


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
        luma: mean luma of each frame, float32 [n], 0..255.
        spread: standard deviation of the luma of each frame, float32 [n].
        change: mean difference of each frame's thumbnail from the one before, float32 [n], 0..255.
        stir: likewise the greatest difference of any point of it.
        damaged: frames that do not decode, bool [n].
        sampled: frames in which text and bars were looked for, ascending, int64 [m].
        text: share of each of these that looks like lines of text, float32 [m].
        rows: brightness of each line of pixels of these, uint8 [m, height].
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
        self._pictures: list[bytes] | None = [] if pictures else None
        self._reader, self._thumbnails, self._watchers = reader, thumbnails, watchers
        self._small = RgbConverter(Interpolation.AREA, quick=True)
        self._whole = RgbConverter(quick=True)
        self._luma, self._spread = array("f"), array("f")
        self._change, self._stir = array("f"), array("f")
        self._damaged = bytearray()
        self._sampled, self._text = array("q"), array("f")
        self._rows: list[np.ndarray] = []
        self._columns: list[np.ndarray] = []
        self._before: np.ndarray | None = None
        self._size = (reader.info.height, reader.info.width)
        self._next_sample = 0.0

    @property
    def is_empty(self) -> bool:
        """Whether no frame was seen."""
        return all(self._damaged)

    def look(self, frame: av.VideoFrame) -> None:
        """Measure the next frame."""
        import cv2

        orientation = orientation_of(frame)
        height, width = shown_size(frame, orientation, self._reader.aspect)
        factor = max(1.0, width / _SMALL_WIDTH)
        size = max(1, round(height / factor)), max(1, round(width / factor))
        with refusing():
            stored = self._small.packed(frame, orientation.stored(size))
        picture = np.ascontiguousarray(orientation.shown(stored))
        tiny = cv2.resize(picture, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
        self._thumbnails.append(tiny)
        luma = cv2.cvtColor(tiny, cv2.COLOR_RGB2GRAY)
        mean, spread = cv2.meanStdDev(luma)
        self._luma.append(float(mean[0, 0]))
        self._spread.append(float(spread[0, 0]))
        apart = cv2.absdiff(tiny, tiny if self._before is None else self._before)
        self._change.append(sum(cv2.mean(apart)[:3]) / 3)
        self._stir.append(float(apart.max()))
        self._before = tiny
        self._damaged.append(False)
        for watcher in self._watchers:
            watcher.see(self.due, picture)
        if self._reader.times[self.due] >= self._next_sample - 1e-6:
            self._sample(frame, picture)
            self._next_sample = float(self._reader.times[self.due]) + SAMPLED_EVERY
        self.due += 1

    def _sample(self, frame: av.VideoFrame, small: np.ndarray) -> None:
        """Look for text and bars, in a larger picture; keep the small one as a JPEG."""
        import cv2

        orientation = orientation_of(frame)
        height, width = shown_size(frame, orientation, self._reader.aspect)
        if not self._rows:
            self._size = height, width
        elif self._size != (height, width):
            return  # the size changes within the film, and a line is no longer the same line
        with refusing():
            stored = self._whole.packed(frame, orientation.stored((height, width)))
        luma = cv2.cvtColor(np.ascontiguousarray(orientation.shown(stored)), cv2.COLOR_RGB2GRAY)
        self._sampled.append(self.due)
        if self._pictures is not None:
            scale = _PICTURE_WIDTH / small.shape[1]
            size = (_PICTURE_WIDTH, max(1, round(small.shape[0] * scale)))
            shown = cv2.cvtColor(cv2.resize(small, size, interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2BGR)
            self._pictures.append(cv2.imencode(".jpg", shown, [cv2.IMWRITE_JPEG_QUALITY, 70])[1].tobytes())
        self._rows.append(_brightness(luma, 1))
        self._columns.append(_brightness(luma, 0))
        factor = max(1.0, max(height, width) / _SAMPLED_SIDE)
        reduced = (max(1, round(width / factor)), max(1, round(height / factor)))
        self._text.append(text_share(cv2.resize(luma, reduced, interpolation=cv2.INTER_AREA)))

    def skip_to(self, place: int) -> None:
        """Take the frames up to one for damaged."""
        while self.due < place:
            self._thumbnails.append(np.zeros((HEIGHT, WIDTH, 3), np.uint8))
            for numbers in (self._luma, self._spread, self._change, self._stir):
                numbers.append(0.0)
            self._damaged.append(True)
            self.due += 1
        self._before = None

    def measures(self, speech: Speech | None) -> Measures:
        """All that was measured."""
        info, (height, width) = self._reader.info, self._size
        return Measures(
            times=np.append(self._reader.times, info.duration),
            width=width,
            height=height,
            fps=info.fps,
            thumbnails=self._thumbnails,
            luma=np.array(self._luma, np.float32),
            spread=np.array(self._spread, np.float32),
            change=np.array(self._change, np.float32),
            stir=np.array(self._stir, np.float32),
            damaged=np.frombuffer(bytes(self._damaged), bool),
            sampled=np.array(self._sampled, np.int64),
            text=np.array(self._text, np.float32),
            rows=np.array(self._rows, np.uint8).reshape(-1, height),
            columns=np.array(self._columns, np.uint8).reshape(-1, width),
            speech=speech,
            pictures=self._pictures,
        )


def _brightness(luma: np.ndarray, axis: int) -> np.ndarray:
    """How bright each line is; every fourth pixel of it is looked at.

    Args:
        luma: uint8 [h, w].
        axis: 1 for rows, 0 for columns.
    """
    thinned = luma[:, ::4] if axis else luma[::4]
    place = min(thinned.shape[axis] - 1, math.ceil(thinned.shape[axis] * _BRIGHT / 100))
    return np.asarray(np.take(np.partition(thinned, place, axis), place, axis), np.uint8)
