"""Decode the groups of pictures that hold wanted frames, and of other frames those that these refer to.

A group begins with a key frame. With two wanted frames, marked below, groups 1 and 2 are not given to the
decoder, and of group 3 only what comes out in time::

    group     0           1           2           3
    packet    K B B P B P K B P B B P K B P B P P K P B P B P
    wanted        ^                                     ^

Which packet a frame comes from is told by the packet's number, which travels through the decoder in the place
of its timestamp: timestamps may be missing or doubled.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence

import av

Order = Sequence[tuple[int | None, bool]]
"""A stream's packets in their order: the place in time of each one's frame, counted from 0, None where it
shows none; and whether it is a key frame."""

_SKIPS_UNREFERENCED = frozenset(("h264", "mpeg1video", "mpeg2video"))
"""Codecs whose decoders leave out unreferenced frames packet by packet, with all other frames the same.

dav1d takes the setting only when it is opened. In HEVC "unreferenced" holds within a temporal layer only, VP9
ignores it, and what VP8 learns from a frame may be used by the next one.
"""

_WITH_SEQUENCES = frozenset(("mpeg1video", "mpeg2video"))
_SEQUENCE = b"\x00\x00\x01\xb3"  # then twelve bits each of width and height
_SEQUENCE_WITHIN = 64  # bytes of a packet


def needed_groups(order: Order, wanted: Collection[int]) -> list[bool]:
    """Which groups of pictures are decoded.

    Args:
        order: all packets.
        wanted: places of the frames that are wanted.

    Returns:
        For each group whether it holds one, or one of the next group's that may refer to it.
    """
    needed: list[bool] = []
    key: int | None = None
    for place, is_key in order:
        if is_key or not needed:
            needed.append(False)
            key = place
        if place in wanted:
            needed[-1] = True
            # a picture shown before its own key frame may refer to the group before
            if len(needed) > 1 and (key is None or place is None or place < key):
                needed[-2] = True
    return needed


def decode_groups(
    packets: Iterable[av.Packet],
    decoder: av.VideoCodecContext,
    order: Order,
    wanted: Collection[int],
    *,
    skip: bool,
) -> Iterator[av.VideoFrame]:
    """Decode what is needed for the wanted frames.

    It ends early at a damaged frame, and where a group cannot be decoded from its key frame on: a key frame
    that is only the beginning of a gradual refresh needs the frames before it, and does not come out. Whoever
    then misses a frame must decode everything.

    Args:
        packets: all packets of the stream, in their order.
        decoder: fresh.
        order: of the same packets.
        wanted: places of the frames that are wanted.
        skip: whether each packet is a frame, so that those to which no other refers can be left out.

    Yields:
        The wanted frames, and some others, in the order in which they are shown; each one's `pts` is the
        number of its packet.
    """
    begun: int | None = None
    for anew, frame in _decode(packets, decoder, order, wanted, skip):
        place = _place(order, frame.pts)
        if anew is not None and anew != begun and place is not None and place >= anew:
            if place != anew:
                return
            begun = anew
        if frame.is_corrupt:
            return
        yield frame


def skip_unreferenced(decoder: av.VideoCodecContext, skip: bool) -> None:
    """Whether the decoder leaves out frames to which no other frame refers, from the next packet on."""
    if decoder.codec.canonical_name in _SKIPS_UNREFERENCED:
        decoder.skip_frame = "NONREF" if skip else "DEFAULT"


def decode_packet(decoder: av.VideoCodecContext, packet: av.Packet) -> list[av.VideoFrame]:
    """The frames that come out with a packet, none of them lost where pictures change their size.

    Where MPEG-1 or 2 goes on in another size, FFmpeg's decoder drops the picture that it holds back.

    Args:
        decoder: of the stream.
        packet: its next one, not empty.
    """
    held: list[av.VideoFrame] = []
    if decoder.codec.canonical_name in _WITH_SEQUENCES and packet.is_keyframe:
        data = bytes(memoryview(packet)[:_SEQUENCE_WITHIN])
        at = data.find(_SEQUENCE) + len(_SEQUENCE)
        if at >= len(_SEQUENCE) and len(data) >= at + 3:
            sizes = int.from_bytes(data[at : at + 3], "big")
            if (sizes >> 12, sizes & 0xFFF) != (decoder.width & 0xFFF, decoder.height & 0xFFF):
                held = decoder.decode(None)
                decoder.flush_buffers()
    return [*held, *decoder.decode(packet)]


def _place(order: Order, number: int | None) -> int | None:
    return order[number][0] if number is not None and 0 <= number < len(order) else None


def _decode(
    packets: Iterable[av.Packet],
    decoder: av.VideoCodecContext,
    order: Order,
    wanted: Collection[int],
    skip: bool,
) -> Iterator[tuple[int | None, av.VideoFrame]]:
    """Frames of the needed groups, each with the place of the key frame at which the decoder began anew."""
    needed = needed_groups(order, wanted)
    length_size = _nal_length_size(decoder) if skip else 0
    group, fed = -1, False
    anew: int | None = None
    for number, (packet, (place, is_key)) in enumerate(zip(packets, order, strict=False)):
        if is_key or group < 0:
            group += 1
            if fed and not needed[group]:
                for frame in decoder.decode(None):
                    yield anew, frame
                decoder.flush_buffers()
            elif needed[group] and not fed and group:
                anew = place
            fed = needed[group]
        if not fed:
            continue
        is_wanted = place in wanted
        if not is_wanted and length_size and _is_unreferenced(packet, length_size):
            continue  # the decoder would unpack it before it drops it
        if skip:
            skip_unreferenced(decoder, not is_wanted)
        packet.pts = number
        for frame in decode_packet(decoder, packet):
            yield anew, frame
    if fed:
        for frame in decoder.decode(None):
            yield anew, frame


def _nal_length_size(decoder: av.VideoCodecContext) -> int:
    """Bytes of the length before every NAL unit of H.264 in MP4 (avcC); 0 for everything else."""
    extradata = decoder.extradata
    if decoder.name != "h264" or not extradata or len(extradata) < 5 or extradata[0] != 1:
        return 0
    return (extradata[4] & 3) + 1


def _is_unreferenced(packet: av.Packet, length_size: int) -> bool:
    """Whether no other frame refers to this H.264 frame: nal_ref_idc of its first slice is 0."""
    data = memoryview(packet)
    position = 0
    while position + length_size < len(data):
        header = data[position + length_size]
        if 1 <= header & 31 <= 5:
            return header & 0x60 == 0
        position += length_size + int.from_bytes(data[position : position + length_size], "big")
    return False
