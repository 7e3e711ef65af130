"""How sizes are written on the command line: bytes of a file, pixels of a frame."""

from __future__ import annotations

import re

_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}


def parse_byte_size(text: str) -> int:
    """Read a number of bytes with an optional unit.

    Raises:
        ValueError: it is no positive size.

    >>> parse_byte_size("256MB"), parse_byte_size("1.5 GiB"), parse_byte_size("4096")
    (256000000, 1610612736, 4096)
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-zA-Z]*)\s*", text)
    size = int(float(match[1]) * _UNITS.get(match[2].upper(), 0)) if match else 0
    if size < 1:
        raise ValueError(f"size {text!r} must be a number with B, KB, MB, GB, KiB, MiB or GiB, such as 256MB")
    return size


def parse_frame_size(text: str) -> tuple[int, int]:
    """Read ``832x480``, width first.

    Returns:
        Height and width.

    >>> parse_frame_size("832x480")
    (480, 832)
    """
    width, _, height = text.lower().partition("x")
    if not (width.isdecimal() and height.isdecimal()):
        raise ValueError(f"size {text!r} is not of the form WIDTHxHEIGHT, such as 832x480")
    return int(height), int(width)
