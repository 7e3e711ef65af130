"""Tell a truncated video file from a whole one by the sizes that its outermost parts state.

Most demuxers read a cut file up to the cut and call that its end. The containers themselves know better: the
boxes of MP4, the segment of Matroska and the chunks of RIFF state their sizes, GIF and PNG have an end mark.
"""

from __future__ import annotations

import struct
from typing import BinaryIO

_BOXES = frozenset(
    (
        b"ftyp",
        b"moov",
        b"mdat",
        b"free",
        b"skip",
        b"wide",
        b"moof",
        b"mfra",
        b"sidx",
        b"styp",
        b"uuid",
        b"meta",
    )
)
_EBML, _MATROSKA_SEGMENT = 0x1A45DFA3, 0x18538067


def is_truncated(file: BinaryIO) -> bool:
    """Whether an MP4, MOV, Matroska, WebM, AVI, WebP, GIF, PNG or APNG file ends before it says it does.

    Args:
        file: open for reading, at any position; the position is changed.

    Returns:
        True when bytes are missing at the end. False when none are, and for every other format.

    Source: ISO/IEC 14496-12 section 4.2 (boxes); RFC 8794 and RFC 9559 (Matroska); Microsoft RIFF; GIF89a
    sections 15 to 27; W3C PNG section 5.3.

    >>> import io
    >>> is_truncated(io.BytesIO(b"RIFF" + (100).to_bytes(4, "little") + b"WEBP"))
    True
    """
    size = file.seek(0, 2)
    file.seek(0)
    head = file.read(12)
    try:
        if head[4:8] in _BOXES:
            return _boxes_end(file, size) > size
        if head[:4] == _EBML.to_bytes(4, "big"):
            return _matroska_end(file, size) > size
        if head[:4] == b"RIFF":
            return 8 + int.from_bytes(head[4:8], "little") > size
        if head[:4] == b"GIF8":
            return not _gif_has_trailer(file)
        if head[:8] == b"\x89PNG\r\n\x1a\n":
            return not _png_has_end(file, size)
    except (IndexError, struct.error):
        return True  # a size field itself is cut
    return False


def _boxes_end(file: BinaryIO, size: int) -> int:
    position = 0
    while position <= size:  # no seek to where a damaged length points: disks refuse the largest numbers
        file.seek(position)
        head = file.read(16)
        if head[4:8] not in _BOXES:
            return position
        length = int.from_bytes(head[:4], "big")
        if length == 1:
            length = struct.unpack(">Q", head[8:16])[0]
        if length < 8:  # 0: to the end of the file
            return position
        position += length
    return position


def _matroska_end(file: BinaryIO, size: int) -> int:
    position = 0
    for wanted in (_EBML, _MATROSKA_SEGMENT):
        if position > size:
            break
        file.seek(position)
        head = file.read(12)
        if int.from_bytes(head[:4], "big") != wanted:
            return 0
        width = 9 - head[4].bit_length()
        length = int.from_bytes(head[4 : 4 + width], "big") & ((1 << 7 * width) - 1)
        if length == (1 << 7 * width) - 1:  # unknown: a live stream
            return 0
        position += 4 + width + length
    return position


def _gif_has_trailer(file: BinaryIO) -> bool:
    file.seek(10)
    flags = file.read(3)[0]
    file.seek(13 + (3 << (flags & 7) + 1 if flags & 0x80 else 0))
    while kind := file.read(1):
        if kind == b";":
            return True
        if kind == b"!":
            file.seek(1, 1)
        elif kind == b",":
            flags = file.read(9)[8]
            file.seek((3 << (flags & 7) + 1 if flags & 0x80 else 0) + 1, 1)
        else:
            return True  # what the decoder makes of garbage after the last picture is its own affair
        while length := file.read(1)[0]:
            file.seek(length, 1)
    return False


def _png_has_end(file: BinaryIO, size: int) -> bool:
    position = 8
    while position + 12 <= size:
        file.seek(position)
        length, kind = struct.unpack(">I4s", file.read(8))
        position += 12 + length
        if kind == b"IEND":
            return position <= size
    return False
