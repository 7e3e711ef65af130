"""What H.264's own headers say: whether a packet holds a whole picture, where decoding may begin, and in
which order pictures are shown.

A picture of an interlaced stream may stand in two packets, one for each field; only the slices tell.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import av

_SLICE, _IDR_SLICE, _SPS, _PPS = 1, 5, 7, 8  # kinds of NAL units
_HIGH_PROFILES = frozenset((44, 83, 86, 100, 110, 118, 122, 128, 134, 135, 138, 139, 244))
_HEADER = 64  # bytes of a slice that hold what is read of its header
_IN_FRONT = 512  # bytes of a packet in which parameter sets are looked for


class H264Headers:
    """Follows a stream's parameter sets.

    Args:
        extradata: of the stream, in the form of MP4 (avcC) or of a byte stream.

    Source: ITU-T H.264, sections 7.3.2.1 (sequence parameter set), 7.3.2.2 and 7.3.3 (slice header);
    ISO/IEC 14496-15, section 5.3.3 (avcC).
    """

    def __init__(self, extradata: bytes | None) -> None:
        self._sequences: dict[int, _Sequence] = {}
        self._sequence_of: dict[int, int] = {}  # by picture parameter set
        self._forms: set[tuple[int, ...]] = set()
        self._refreshes = self._pictures = 0
        self._order_before = 0  # of the reference picture before
        self._sets: dict[tuple[int, int], bytes] = {}  # contents by kind and number
        self.changes_sets = False
        """Whether a parameter set has been replaced by another one of its number."""
        self.length_size = 0
        """Bytes of the length before every NAL unit; 0 for a byte stream with start codes."""
        if extradata and len(extradata) > 6 and extradata[0] == 1:
            self.length_size = (extradata[4] & 3) + 1
            for unit in _units_of_avcc(extradata):
                self._learn(unit)
        elif extradata:
            for unit in _units_of_stream(memoryview(extradata)):
                self._learn(unit)

    @property
    def forms(self) -> int:
        """How many different sizes and formats of pictures the parameter sets so far state."""
        return len(self._forms)

    @property
    def has_sets(self) -> bool:
        """Whether there are parameter sets of both kinds, without which nothing decodes."""
        return {kind for kind, _ in self._sets} == {_SPS, _PPS}

    def is_field(self, packet: av.Packet) -> bool:
        """Whether the packet holds one field only; parameter sets in it count from here on."""
        return self._first_slice(packet)[0]

    def is_refresh(self, packet: av.Packet) -> bool:
        """Whether decoding may begin here without anything before (an IDR picture)."""
        return self._first_slice(packet)[1]

    @property
    def may_hold_fields(self) -> bool:
        """Whether the parameter sets so far allow packets of one field, or are not known."""
        return not self._sequences or any(each.may_hold_fields for each in self._sequences.values())

    def place_shown(self, packet: av.Packet) -> tuple[int, int] | None:
        """Where a packet's picture stands among those shown, to be compared with those of other packets.

        Args:
            packet: the one after that of the call before, without fields.

        Returns:
            The refreshes so far, and the picture order count since; None where that is not known.

        Source: ITU-T H.264, section 8.2.1 (types 0 and 2; what resets the count within a group is not read).
        """
        unit = self._slice(packet)
        if unit is None:
            return None
        bits = _Bits(unit[1:_HEADER])
        is_refresh, is_reference = unit[0] & 31 == _IDR_SLICE, bool(unit[0] & 0x60)
        self._pictures += 1
        self._refreshes += is_refresh
        try:
            sequence = self._sequence_of_slice(bits)
            if sequence is None or sequence.order_bits is None:
                return None
            if sequence.order_bits == 0:
                return self._refreshes, self._pictures
            bits.take(sequence.bits_before_field)
            if sequence.may_hold_fields and bits.take(1):
                return None
            if is_refresh:
                bits.golomb()  # its identity
            low = bits.take(sequence.order_bits)
        except ValueError:
            return None
        cycle = 1 << sequence.order_bits
        before = 0 if is_refresh else self._order_before
        # the count is the one with these low bits that lies nearest to the reference picture's before
        ahead = (low - before) % cycle
        order = before + (ahead if ahead <= cycle // 2 else ahead - cycle)
        if is_reference:
            self._order_before = order
        return self._refreshes, order

    def _first_slice(self, packet: av.Packet) -> tuple[bool, bool]:
        unit = self._slice(packet)
        if unit is None:
            return False, False
        return self._holds_field(unit), unit[0] & 31 == _IDR_SLICE

    def _slice(self, packet: av.Packet) -> memoryview | None:
        """The first slice of a packet; parameter sets before it are learnt."""
        data = memoryview(packet)
        units = _units_of_lengths(data, self.length_size) if self.length_size else _units_of_stream(data)
        for unit in units:
            if unit[0] & 31 in (_SLICE, _IDR_SLICE):
                return unit
            self._learn(unit)
        return None

    def _sequence_of_slice(self, bits: _Bits) -> _Sequence | None:
        """Read a slice's header up to its parameter set."""
        bits.golomb()  # first macroblock
        bits.golomb()  # slice type
        return self._sequences.get(self._sequence_of.get(bits.golomb(), 0))

    def _learn(self, unit: memoryview) -> None:
        kind = unit[0] & 31
        try:
            if kind == _SPS:
                number, sequence = _read_sequence(_Bits(unit[1:_IN_FRONT]))
                self._keep(unit, number)
                self._sequences[number] = sequence
                self._forms.add(sequence.form)
            elif kind == _PPS:
                bits = _Bits(unit[1:_HEADER])
                number = bits.golomb()
                self._keep(unit, number)
                self._sequence_of[number] = bits.golomb()
        except ValueError:
            pass  # a damaged set: the decoder will say so

    def _keep(self, unit: memoryview, number: int) -> None:
        # zeros at its end belong to the next start code
        key, content = (unit[0] & 31, number), bytes(unit).rstrip(b"\0")
        self.changes_sets |= self._sets.setdefault(key, content) != content
        self._sets[key] = content

    def _holds_field(self, unit: memoryview) -> bool:
        if not self.may_hold_fields:
            return False
        bits = _Bits(unit[1:_HEADER])
        try:
            sequence = self._sequence_of_slice(bits)
            if sequence is None or not sequence.may_hold_fields:
                return False
            bits.take(sequence.bits_before_field)
            return bits.take(1) == 1
        except ValueError:
            return False


@dataclass(frozen=True, slots=True)
class _Sequence:
    """What is needed of a sequence parameter set.

    Attributes:
        may_hold_fields: whether a packet of it may be one field.
        bits_before_field: of a slice's header, between its parameter set's number and its field flag.
        form: what its pictures' size and format follow from.
        order_bits: of the low part of the order count in a slice's header; 0 where pictures are shown in the
            order of their packets, None where the header says it in another way.
    """

    may_hold_fields: bool
    bits_before_field: int
    form: tuple[int, ...]
    order_bits: int | None


class _Bits:
    """Reads bits, most significant first, of a NAL unit."""

    def __init__(self, unit: memoryview) -> None:
        data = bytes(unit).replace(b"\0\0\3", b"\0\0")
        self._value, self._left = int.from_bytes(data, "big"), 8 * len(data)

    def take(self, count: int) -> int:
        """The next bits, as a number."""
        self._left -= count
        if self._left < 0:
            raise ValueError("the header ends too early")
        return self._value >> self._left & ((1 << count) - 1)

    def golomb(self) -> int:
        """The next unsigned Exp-Golomb number."""
        zeros = 0
        while not self.take(1):
            zeros += 1
            if zeros > 32:
                raise ValueError("not an Exp-Golomb number")
        return (1 << zeros) - 1 + self.take(zeros)

    def signed_golomb(self) -> int:
        """The next signed Exp-Golomb number."""
        number = self.golomb()
        return (number + 1) // 2 if number % 2 else -(number // 2)


def _read_sequence(bits: _Bits) -> tuple[int, _Sequence]:
    profile = bits.take(8)
    bits.take(16)  # constraints and level
    number = bits.golomb()
    separate_planes, chroma, depths = 0, 1, (0, 0)
    if profile in _HIGH_PROFILES:
        chroma = bits.golomb()
        if chroma == 3:
            separate_planes = bits.take(1)
        depths = bits.golomb(), bits.golomb()
        bits.take(1)  # lossless
        if bits.take(1):
            for index in range(8 if chroma != 3 else 12):
                if bits.take(1):
                    _skip_scaling_list(bits, 16 if index < 6 else 64)
    frame_number_bits = bits.golomb() + 4
    order = bits.golomb()
    order_bits = 0 if order == 2 else None
    if order == 0:
        order_bits = bits.golomb() + 4
    elif order == 1:
        bits.take(1), bits.signed_golomb(), bits.signed_golomb()
        for _ in range(min(bits.golomb(), 255)):
            bits.signed_golomb()
    bits.golomb(), bits.take(1)  # reference frames, gaps
    size = bits.golomb(), bits.golomb()  # in macroblocks
    only_frames = bits.take(1)
    if not only_frames:
        bits.take(1)  # pairs of macroblocks
    bits.take(1)  # direct inference
    crop = tuple(bits.golomb() for _ in range(4)) if bits.take(1) else ()
    form = (chroma, *depths, *size, only_frames, *crop)
    return number, _Sequence(not only_frames, 2 * separate_planes + frame_number_bits, form, order_bits)


def _skip_scaling_list(bits: _Bits, size: int) -> None:
    last = scale = 8
    for _ in range(size):
        if scale:
            scale = (last + bits.signed_golomb()) % 256
        last = scale or last


def _units_of_avcc(data: bytes) -> Iterator[memoryview]:
    view, at = memoryview(data), 5
    for mask in (31, 255):  # sequence sets, then picture sets
        if at >= len(view):
            return
        count, at = view[at] & mask, at + 1
        for _ in range(count):
            length = int.from_bytes(view[at : at + 2], "big")
            if length and at + 2 + length <= len(view):
                yield view[at + 2 : at + 2 + length]
            at += 2 + length


def _units_of_lengths(data: memoryview, size: int) -> Iterator[memoryview]:
    at = 0
    while at + size < len(data):
        length = int.from_bytes(data[at : at + size], "big")
        yield data[at + size : at + size + max(length, 1)]
        at += size + length


def _units_of_stream(data: memoryview) -> Iterator[memoryview]:
    """NAL units behind start codes; the ends of long ones are not looked for."""
    head = bytes(data[: 1 << 16])
    at = head.find(b"\0\0\1")
    while at >= 0 and at + 3 < len(head):
        end = head.find(b"\0\0\1", at + 3)
        yield data[at + 3 : end if end >= 0 else len(data)]
        at = end
