"""H.264 whose pictures are pairs of fields, in packets of their own (PAFF), written bit by bit.

No encoder at hand makes such a stream. Its macroblocks are plain samples (I_PCM): each decoded picture is
known by arithmetic: all lines of a field have one grey level, and the lower field's is two more.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av

WIDTH, HEIGHT = 64, 64
GROUP = 10
"""Frames from one key frame to the next."""


def level(number: int) -> int:
    """Grey level of a frame's upper field, 20..216; the lower field's is two more."""
    return 20 + 4 * (number % 50)


class _Bits:
    def __init__(self) -> None:
        self.text = ""

    def put(self, value: int, count: int) -> _Bits:
        self.text += f"{value:0{count}b}"
        return self

    def golomb(self, *values: int) -> _Bits:
        for value in values:
            digits = f"{value + 1:b}"
            self.text += "0" * (len(digits) - 1) + digits
        return self

    def align(self) -> _Bits:
        self.text += "0" * (-len(self.text) % 8)
        return self

    def unit(self, kind: int, importance: int) -> bytes:
        """A NAL unit with its start code: stop bit, and no start code within."""
        text = self.text + "1"
        text += "0" * (-len(text) % 8)
        data, zeros = bytearray(), 0
        for byte in int(text, 2).to_bytes(len(text) // 8, "big"):
            if zeros == 2 and byte <= 3:
                data.append(3)
                zeros = 0
            data.append(byte)
            zeros = zeros + 1 if byte == 0 else 0
        return b"\0\0\0\1" + bytes([importance << 5 | kind]) + bytes(data)


def _parameter_sets() -> bytes:
    sequence = _Bits().put(77, 8).put(0, 8).put(30, 8).golomb(0, 0, 0, 4, 2).put(0, 1)
    sequence.golomb(WIDTH // 16 - 1, HEIGHT // 32 - 1)
    sequence.put(0, 1).put(0, 1).put(1, 1)  # not only frames, no macroblock pairs, direct inference
    sequence.put(0, 1).put(0, 1)  # no cropping, no usability information
    picture = _Bits().golomb(0, 0).put(0, 2).golomb(0, 0, 0).put(0, 3).golomb(0, 0, 0).put(0b100, 3)
    return sequence.unit(7, 3) + picture.unit(8, 3)


def _field(number: int, *, lower: bool) -> bytes:
    place = number % GROUP
    is_key = place == 0 and not lower
    slice_ = _Bits().golomb(0, 7, 0).put(place % 16, 4).put(1, 1).put(int(lower), 1)
    if is_key:
        slice_.golomb(number // GROUP % 2)
    slice_.put((2 * place + lower) % 256, 8)
    slice_.put(0, 2 if is_key else 1)  # marking of references
    slice_.golomb(0, 1)  # no change of quantizer, no deblocking
    samples = bytes([level(number) + 2 * lower]) * 256 + bytes([128]) * 128
    for _ in range((WIDTH // 16) * (HEIGHT // 32)):
        slice_.golomb(25).align()  # I_PCM
        slice_.text += f"{int.from_bytes(samples, 'big'):0{8 * len(samples)}b}"
    return slice_.unit(5 if is_key else 1, 2)


def write_field_pairs(path: Path, count: int, *, rate: int = 25, lone_times: bool = False) -> Path:
    """Write a file whose suffix chooses the container, each field in a packet of its own.

    Args:
        path: of the file.
        count: frames.
        rate: frames per second.
        lone_times: both packets of a pair have the frame's time, else the second one is half a frame later.
    """
    fields = [_field(number, lower=lower) for number in range(count) for lower in (False, True)]
    raw = path.with_suffix(".h264")
    raw.write_bytes(_parameter_sets() + b"".join(fields))
    base = Fraction(1, 2 * rate)
    muxer = {"movflags": "+faststart"} if path.suffix == ".mp4" else {}
    with av.open(str(raw)) as source, av.open(str(path), "w", options=muxer) as sink:
        stream: Any = sink.add_stream_from_template(source.streams.video[0])
        stream.time_base = base
        for index, data in enumerate(fields):
            is_key = index % (2 * GROUP) == 0
            packet = av.Packet((_parameter_sets() if is_key else b"") + data)
            packet.pts, packet.dts = (index // 2 * 2 if lone_times else index), index
            packet.duration, packet.time_base = 1, base
            packet.is_keyframe = is_key
            packet.stream = stream
            sink.mux(packet)
    return path
