"""The index of an MP4 or MOV file, as bytes: for what FFmpeg's reader leaves out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

_LARGEST = 1 << 28  # bytes of an index
_TO_SAMPLES = (b"mdia", b"minf", b"stbl", b"stsd")
_PICTURE_HEAD = 78  # bytes of a picture's sample entry before its boxes


def movie_index(file: BinaryIO) -> bytes:
    """What the moov box holds; empty where there is none.

    Args:
        file: open for reading, at any position; the position is changed.
    """
    size = file.seek(0, 2)
    position = 0
    while position + 8 <= size:
        file.seek(position)
        head = file.read(16)
        length = int.from_bytes(head[:4], "big")
        start = 8
        if length == 1:
            length, start = int.from_bytes(head[8:16], "big"), 16
        if not head[4:8].isalnum() or (length < start and length != 0):
            return b""
        if head[4:8] == b"moov":
            file.seek(position + start)
            return file.read(min(length - start, _LARGEST) if length else _LARGEST)
        if length == 0:
            return b""
        position += length
    return b""


def restricted_profile(file: BinaryIO, track: int) -> bytes | None:
    """The ICC profile of a track's pictures that stands as a restricted one, which FFmpeg passes over.

    Args:
        file: as for `movie_index`.
        track: the number that the file gives it.

    Returns:
        The profile; None where there is none, and for files that are neither MP4 nor MOV.

    Source: ISO/IEC 14496-12, section 12.1.5 (colour_type 'rICC').
    """
    for kind, body in _boxes(movie_index(file)):
        if kind != b"trak" or _number(body) != track:
            continue
        for name in _TO_SAMPLES:
            body = next((inner for found, inner in _boxes(body) if found == name), b"")
        for _, entry in _boxes(body[8:]):
            for inner, content in _boxes(entry[_PICTURE_HEAD:]):
                if inner == b"colr" and content[:4] == b"rICC":
                    return content[4:]
    return None


def _number(track: bytes) -> int | None:
    for kind, body in _boxes(track):
        if kind == b"tkhd" and body:
            at = 20 if body[0] else 12
            return int.from_bytes(body[at : at + 4], "big")
    return None


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Kind and content of the boxes in a row, up to the first that is no box."""
    position = 0
    while position + 8 <= len(data):
        length = int.from_bytes(data[position : position + 4], "big")
        if length < 8 or position + length > len(data):
            return
        yield data[position + 4 : position + 8], data[position + 8 : position + length]
        position += length
