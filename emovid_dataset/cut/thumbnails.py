"""Tiny pictures of all frames of a film, on the disk: two hours of them would fill most of a gigabyte."""

from __future__ import annotations

import tempfile
from types import TracebackType

import numpy as np

HEIGHT, WIDTH = 27, 48
"""Size of a tiny picture, in pixels: what TransNetV2 looks at."""

_BYTES = HEIGHT * WIDTH * 3


class Thumbnails:
    """Tiny RGB pictures in a temporary file, which goes with the object."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile(prefix="emovid-cut-")  # noqa: SIM115
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def append(self, picture: np.ndarray) -> None:
        """Add the next frame's.

        Args:
            picture: uint8 [27, 48, 3].
        """
        if picture.shape != (HEIGHT, WIDTH, 3) or picture.dtype != np.uint8:
            raise ValueError(f"{picture.shape = }, {picture.dtype = }")
        self._file.write(np.ascontiguousarray(picture).tobytes())
        self._count += 1

    def read(self, first: int, stop: int) -> np.ndarray:
        """Those of some frames in a row.

        Args:
            first: 0..len.
            stop: first..len.

        Returns:
            uint8 [stop - first, 27, 48, 3].
        """
        if not 0 <= first <= stop <= self._count:
            raise IndexError(f"pictures {first} to {stop} of {self._count}")
        self._file.seek(first * _BYTES)
        data = self._file.read((stop - first) * _BYTES)
        self._file.seek(0, 2)
        return np.frombuffer(data, np.uint8).reshape(stop - first, HEIGHT, WIDTH, 3)

    def at(self, index: int) -> np.ndarray:
        """That of one frame, uint8 [27, 48, 3]."""
        return np.asarray(self.read(index, index + 1)[0])

    def close(self) -> None:
        """Give the disk's room back."""
        self._file.close()

    def __enter__(self) -> Thumbnails:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
