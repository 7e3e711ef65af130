"""`VideoError`: why a video cannot be used, and the one place where whatever its content causes becomes one.

What the machine causes keeps its own type. Whether a file is refused must depend on the file alone, not on
the disk or on the memory that happens to be free.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import av
import numpy as np
from PIL import Image

_LARGEST_ALLOCATION = 2**31 - 1  # bytes that FFmpeg allocates at once, whatever the machine has
_LITTLE_MEMORY = 2**28  # bytes; a few large pictures
_KNOWN = (
    OSError,
    EOFError,
    SyntaxError,
    ValueError,
)  # raised by Pillow and PyAV with a text that says it all


class VideoError(ValueError):
    """A video that cannot be used; the message is one line that says why, without the file's path."""


@contextmanager
def refusing(what: str = "is not a video that can be read") -> Iterator[None]:
    """Turn whatever a file's content causes into `VideoError`.

    Args:
        what: begins the message.

    Raises:
        VideoError: anything was raised but the following.
        OSError: the disk failed, or the file is not there.
        MemoryError: memory ran out, which says nothing about the file.

    >>> with refusing():
    ...     {}["no such key"]
    Traceback (most recent call last):
    emovid_dataset.media.portable.errors.VideoError: is not a video that can be read: KeyError: 'no such key'
    """
    try:
        yield
    except VideoError:
        raise
    except Exception as error:
        if _is_of_the_disk(error) or (
            isinstance(error, MemoryError) and not isinstance(error, av.FFmpegError)
        ):
            raise
        if isinstance(error, av.FFmpegError) and not _is_memory_left(error):
            raise MemoryError(_reason(error)) from error
        raise VideoError(f"{what}: {_reason(error)}") from error


def _is_memory_left(error: av.FFmpegError) -> bool:
    # FFmpeg also says that it is out of memory where a damaged file states a size that it never allocates,
    # and some decoders call a failed allocation invalid data. So what counts is how much there is.
    needed = _LARGEST_ALLOCATION if isinstance(error, MemoryError) else _LITTLE_MEMORY
    try:
        np.empty(needed, np.uint8)  # address space only: no page is touched
    except MemoryError:
        return False
    return True


def _is_of_the_disk(error: Exception) -> bool:
    # Pillow's errors have no number. FFmpeg's have one, but its demuxers return EIO for missing bytes too.
    return isinstance(error, OSError) and not isinstance(error, av.FFmpegError) and error.errno is not None


def _reason(error: Exception) -> str:
    if isinstance(error, Image.UnidentifiedImageError):
        return "it does not begin as a picture does"  # Pillow's own text holds an address in memory
    text = " ".join(str(error.strerror if isinstance(error, av.FFmpegError) else error).split())
    if text and isinstance(error, (av.FFmpegError, *_KNOWN)):
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
