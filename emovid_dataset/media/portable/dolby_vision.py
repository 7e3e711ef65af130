"""Dolby Vision whose base layer no other decoder shows right: its numbers are in a space of Dolby's own.

A container says which profile it is; the decoders of FFmpeg give the base layer as if it were ordinary video.
"""

from __future__ import annotations

import re
from typing import BinaryIO

from .movie_index import movie_index

_EBML = b"\x1a\x45\xdf\xa3"
_HEAD = 1 << 20  # bytes of a Matroska file in which its tracks are looked for
_RECORD = re.compile(rb"dv[cvw]C")
_IN_MATROSKA = re.compile(rb"\x41\xe7\x84dv[cvw]C.{0,64}?\x41\xed(?:[\x85-\xc0]|\x40.)", re.DOTALL)
_OWN_SPACE = 5  # the profile; those of 10 and 20 are of it too where they name no other space
_OWN_OR_NAMED = (10, 20)


def needs_dolby_vision(file: BinaryIO) -> bool:
    """Whether an MP4, MOV or Matroska file holds Dolby Vision that is compatible with nothing else.

    Args:
        file: open for reading, at any position; the position is changed.

    Source: Dolby Vision Streams within the ISO Base Media File Format, version 2.4, section 3.1.
    """
    file.seek(0)
    if file.read(4) == _EBML:
        file.seek(0)
        head = file.read(_HEAD)
        return any(_is_of_its_own(head[found.end() :]) for found in _IN_MATROSKA.finditer(head))
    index = movie_index(file)
    return any(
        _is_of_its_own(index[found.end() :])
        for found in _RECORD.finditer(index)
        if 13 <= int.from_bytes(index[found.start() - 4 : found.start()], "big") <= 64
    )


def _is_of_its_own(record: bytes) -> bool:
    if len(record) < 5 or record[0] != 1:
        return False
    profile, compatible_with = record[2] >> 1, record[4] >> 4
    return profile == _OWN_SPACE or (profile in _OWN_OR_NAMED and compatible_with == 0)
