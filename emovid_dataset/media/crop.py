"""The part of a picture that a clip shows: what is left when bars are taken from its sides.

Pixels are counted in the film as it is shown, upright and with square pixels::

    "16 16 0 0"    16 lines off the top, 16 off the bottom, nothing off the left and the right
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import av
import numpy as np

_NUMBERS = re.compile(r"(\d{1,5})[\s,]+(\d{1,5})[\s,]+(\d{1,5})[\s,]+(\d{1,5})", re.ASCII)
_LEAST_LEFT = 16  # pixels of a side: less is no picture


@dataclass(frozen=True, slots=True)
class Crop:
    """Pixels that are taken from the sides of a picture; all even: two share a colour."""

    top: int
    bottom: int
    left: int
    right: int

    @classmethod
    def read(cls, text: str) -> Crop | None:
        """The crop that four numbers mean: top, bottom, left, right; None where all are 0.

        Raises:
            ValueError: it is not four even numbers.

        >>> Crop.read("16 16 0 0"), Crop.read("0, 0, 0, 0")
        (Crop(top=16, bottom=16, left=0, right=0), None)
        """
        match = _NUMBERS.fullmatch(text.strip())
        if match is None:
            raise ValueError(f"crop_bars {text!r} is not four numbers of pixels: top, bottom, left, right")
        numbers = [int(number) for number in match.groups()]
        if any(number % 2 for number in numbers):
            raise ValueError(
                f"crop_bars {text!r} has odd numbers; colours are stored for two pixels at a time"
            )
        return cls(*numbers) if any(numbers) else None

    def __str__(self) -> str:
        """As `read` takes it."""
        return f"{self.top} {self.bottom} {self.left} {self.right}"

    def left_of(self, width: int, height: int) -> tuple[int, int]:
        """The width and height of what is left of a picture.

        Args:
            width, height: of the picture as it is shown.

        Raises:
            ValueError: hardly anything is left.
        """
        left = width - self.left - self.right, height - self.top - self.bottom
        if min(left) < _LEAST_LEFT:
            raise ValueError(f"crop_bars {self} leaves no picture of {width}x{height}")
        return left

    def of_array(self, picture: np.ndarray) -> np.ndarray:
        """What is left of an array of pixels [height, width, ...]."""
        height, width = picture.shape[:2]
        return picture[self.top : height - self.bottom, self.left : width - self.right]

    def of_frame(self, frame: av.VideoFrame) -> av.VideoFrame:
        """What is left of a yuv420p frame of even size, without time; not one pixel is computed anew."""
        width, height = self.left_of(frame.width, frame.height)
        cropped = av.VideoFrame(width, height, "yuv420p")
        for plane, into, share in zip(frame.planes, cropped.planes, (1, 2, 2), strict=True):
            top, left, high, wide = (n // share for n in (self.top, self.left, height, width))
            pixels = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
            laid = np.zeros((into.buffer_size // into.line_size, into.line_size), np.uint8)
            laid[:high, :wide] = pixels[top : top + high, left : left + wide]
            into.update(laid.tobytes())
        cropped.colorspace, cropped.color_range = frame.colorspace, frame.color_range
        return cropped
