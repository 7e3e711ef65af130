"""What is looked for in two frames of every second only: lines of text, black bars, a picture for a page."""

from __future__ import annotations

from array import array

import av
import numpy as np

from emovid_dataset.cut.bars import lightness_of_lines
from emovid_dataset.cut.text_share import text_share
from emovid_dataset.media.portable.colour import RGB, colour_of
from emovid_dataset.media.portable.errors import refusing
from emovid_dataset.media.portable.pixels import Orientation, RgbConverter, is_transparent, orientation_of

EVERY = 0.5
"""Seconds from one sampled frame to the next."""

_PICTURE_WIDTH = 160  # pixels, of the pictures for a page
_SIDE = 512  # pixels, of the pictures in which text is looked for
_BLACK, _STEPS = 16, 219  # of luma as most films code it
_WHOLE_RANGE = np.clip(np.round((np.arange(256) - _BLACK) * 255 / _STEPS), 0, 255).astype(np.uint8)


class Samples:
    """The sampled frames of a film.

    Args:
        size: height and width of the film as it says of itself; the frames' own count.
        pictures: whether to keep a small JPEG of each.

    Attributes:
        size: height and width of the frames, as shown.
        places: numbers of the frames.
        text: share of each that looks like lines of text.
        rows: lightness of the lines of each, see `emovid_dataset.cut.bars`.
        columns: likewise.
        pictures: the JPEGs; None where none are kept.
    """

    def __init__(self, size: tuple[int, int], *, pictures: bool) -> None:
        self.size = size
        self.places, self.text = array("q"), array("f")
        self.rows: list[np.ndarray] = []
        self.columns: list[np.ndarray] = []
        self.pictures: list[bytes] | None = [] if pictures else None
        self._converter = RgbConverter(quick=True)
        self._next = 0.0

    def see(self, index: int, time: float, frame: av.VideoFrame, size: tuple[int, int]) -> None:
        """Look at a frame if it is due.

        Args:
            index: of the frame.
            time: seconds from the film's first frame at which it is shown.
            frame: as decoded.
            size: height and width with which it is shown.
        """
        import cv2

        if time < self._next - 1e-6:
            return
        self._next = time + EVERY
        if not self.rows:
            self.size = size
        elif self.size != size:
            return  # the size changes within the film, and a line is no longer the same line
        luma, levels = self._luma(frame, orientation_of(frame), size)
        self.places.append(index)
        rows, columns = lightness_of_lines(luma, levels)
        self.rows.append(rows)
        self.columns.append(columns)
        small = _reduced(luma, _SIDE)
        self.text.append(text_share(small if levels is None else cv2.LUT(small, levels)))
        if self.pictures is not None:
            self.pictures.append(self._jpeg(frame, size))

    def _luma(
        self, frame: av.VideoFrame, orientation: Orientation, size: tuple[int, int]
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Its luma as shown, uint8 [h, w]; and which level each number means, None for itself."""
        import cv2

        colour = colour_of(frame)
        pixels = frame.format
        is_plain = colour.shows_as_bt709 and colour.matrix != RGB and not is_transparent(frame)
        is_coded_so = pixels.is_planar and not pixels.is_rgb and pixels.components[0].bits == 8
        if is_plain and is_coded_so and orientation.stored(size) == (frame.height, frame.width):
            # it is there already: to compute colours first would take longer than all that is looked for
            plane = frame.planes[0]
            stored = np.asarray(memoryview(plane)).view(np.uint8).reshape(plane.height, -1)[:, : plane.width]
            return np.ascontiguousarray(orientation.shown(stored)), None if colour.full else _WHOLE_RANGE
        with refusing():
            rgb = self._converter.packed(frame, orientation.stored(size))
        return cv2.cvtColor(np.ascontiguousarray(orientation.shown(rgb)), cv2.COLOR_RGB2GRAY), None

    def _jpeg(self, frame: av.VideoFrame, size: tuple[int, int]) -> bytes:
        import cv2

        orientation = orientation_of(frame)
        with refusing():
            rgb = self._converter.packed(frame, orientation.stored(size))
        shape = (_PICTURE_WIDTH, max(1, round(size[0] * _PICTURE_WIDTH / size[1])))
        shown = cv2.resize(np.ascontiguousarray(orientation.shown(rgb)), shape, interpolation=cv2.INTER_AREA)
        coded = cv2.imencode(".jpg", cv2.cvtColor(shown, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 70])[
            1
        ]
        return coded.tobytes()


def _reduced(luma: np.ndarray, side: int) -> np.ndarray:
    """A picture whose longer side is at most as given: halved while it can be, then by interpolation."""
    import cv2

    height, width = luma.shape
    factor = max(1.0, max(height, width) / side)
    size = max(1, round(width / factor)), max(1, round(height / factor))
    while luma.shape[1] >= 2 * size[0] and luma.shape[0] >= 2 * size[1]:
        half = luma.shape[1] // 2, luma.shape[0] // 2
        even = luma[: 2 * half[1], : 2 * half[0]]
        luma = cv2.resize(even, half, interpolation=cv2.INTER_AREA)
    return luma if luma.shape[::-1] == size else cv2.resize(luma, size, interpolation=cv2.INTER_LINEAR)
