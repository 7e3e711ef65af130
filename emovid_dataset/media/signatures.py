"""Which files are videos by their first bytes, whatever they are called.

This only finds files that nobody named; whether one can be used shows when it is opened.
"""

from __future__ import annotations

HEAD = 1024
"""Bytes that are looked at."""

_BOXES = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot")
_SOUND_BRANDS = (b"M4A ", b"M4B ", b"M4P ", b"F4A ", b"F4B ")
_PICTURE_BRANDS = (b"heic", b"heix", b"mif1", b"avif")
_BEGINNINGS = (
    b"FLV\x01",
    b"\x00\x00\x01\xba",  # MPEG program stream
    b"\x00\x00\x01\xb3",  # MPEG video
    bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c"),  # ASF: WMV
    bytes.fromhex("060e2b34020501010d0102"),  # MXF
    b".RMF",
    b"GIF87a",
    b"GIF89a",
    b"DKIF",  # IVF
    b"YUV4MPEG2",
    b"nut/multimedia container",
)
_OGG_VIDEO = (b"\x80theora", b"BBCD\x00", b"OVP80", b"\x01video")
_TS_PACKET, _TS_SYNC = 188, 0x47


def is_video_head(head: bytes) -> bool:
    """Whether a file that begins like this is a video, or an animation.

    Args:
        head: its first 1024 bytes, or all where it is shorter.

    Source: the containers' own specifications; ISO/IEC 13818-1 for the sync bytes of a transport stream, the
    Blu-ray format for those behind a timestamp of four bytes.

    >>> is_video_head(b"\\x1aE\\xdf\\xa3\\x01"), is_video_head(b"path,emotion")
    (True, False)
    """
    if head[4:8] in _BOXES:
        return head[4:8] != b"ftyp" or head[8:12] not in (*_SOUND_BRANDS, *_PICTURE_BRANDS)
    if head.startswith(b"\x1aE\xdf\xa3"):  # Matroska and WebM
        return True
    if head[:4] == b"RIFF":
        return head[8:12] == b"AVI " or (head[8:12] == b"WEBP" and b"ANIM" in head[:64])
    if head[:8] == b"\x89PNG\r\n\x1a\n":
        return b"acTL" in head
    if head[:4] == b"OggS":
        return any(mark in head for mark in _OGG_VIDEO)
    return head.startswith(_BEGINNINGS) or _is_transport_stream(head)


def _is_transport_stream(head: bytes) -> bool:
    """Whether sync bytes stand where packets of 188 bytes, or of 192 with a timestamp, begin."""
    for first, step in ((0, _TS_PACKET), (4, _TS_PACKET + 4)):
        syncs = head[first::step][:5]
        if len(syncs) >= 3 and set(syncs) == {_TS_SYNC}:
            return True
    return False
