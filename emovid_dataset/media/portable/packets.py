"""What a scan of a stream's packets tells, and whether its frames must be asked all the same.

In most files each packet is one frame, and its timestamp is the frame's own. Then nothing has to be decoded
to know how many frames there are and when each is shown. This module owns the list of what can make that
untrue.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from statistics import median

import av

from .h264 import H264Headers

_ONE_FRAME_EACH = frozenset(("h264", "hevc", "av1", "vp8", "vp9", "mpeg1video", "mpeg2video", "gif", "apng"))
"""Codecs, beside those without references between frames, whose packets are frames but for what is seen."""

_REORDERED = frozenset(("h264", "hevc", "mpeg1video", "mpeg2video"))
"""Those of them whose packets stand in another order than their frames."""

_GUESSED = frozenset(("mpeg",))
"""Containers that hold few timestamps: FFmpeg makes up the others, and now and then errs."""

_OF_DECODING = frozenset(("asf",))
"""Containers whose times are often those of decoding: writers have no others, or no place for them."""


@dataclass(slots=True)
class Packets:
    """The packets of a video stream in their order, which is that of decoding.

    Attributes:
        times: of each in ticks of the stream's time base, None where it has none.
        keys: whether each is a key frame.
        sizes: bytes of each.
        hidden: whether an edit list leaves it out; later frames may refer to it all the same.
        end: when the last one ends, in ticks, where they say it.
        changes_form: whether pictures of H.264 change their size or format on the way.
        is_guessed: whether most timestamps are not in the file.
        doubt: why the frames may be others than the packets, None where there is no reason to think so.
    """

    times: list[int | None] = field(default_factory=list)
    keys: list[bool] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    hidden: list[bool] = field(default_factory=list)
    end: int | None = None
    changes_form: bool = False
    is_guessed: bool = False
    doubt: str | None = None


class PacketScan:
    """Takes packets one by one.

    Args:
        container: its name tells what timestamps are worth.
        stream: whose packets they are.
        is_ours: they were written by this package, a frame each with its own time; they are not looked into.
    """

    def __init__(
        self, container: av.container.InputContainer, stream: av.VideoStream, *, is_ours: bool = False
    ) -> None:
        codec = stream.codec_context.codec
        self.packets = Packets()
        self._codec = codec.canonical_name
        self._may_be_of_decoding = container.format.name in _OF_DECODING and bool(
            stream.codec_context.has_b_frames
        )
        # without times of decoding beside them, as in MP4, no muxer has compared the times
        self._has_one_clock = "matroska" in container.format.name
        looks = self._codec == "h264" and not is_ours
        self._headers = H264Headers(stream.codec_context.extradata) if looks else None
        self._places: list[tuple[int, int] | None] = []  # of H.264's pictures among those shown
        if container.format.name in _GUESSED:
            self.packets.is_guessed = True
            self._doubt("timestamps that are not in the file")
        elif self._codec not in _ONE_FRAME_EACH and not codec.intra_only:
            self._doubt(f"a codec, {self._codec}, whose packets need not be frames")

    def add(self, packet: av.Packet) -> None:
        """Take the next packet, which is not empty."""
        known = self.packets
        if known.doubt is None:
            self._look_into(packet)
        if packet.is_keyframe and self._headers is not None and not known.changes_form:
            self._headers.is_refresh(packet)  # takes its parameter sets
            known.changes_form = self._headers.forms > 1 or (
                bool(known.keys) and packet.has_sidedata("new_extradata")
            )
        known.times.append(packet.pts)
        known.keys.append(packet.is_keyframe)
        known.sizes.append(packet.size)
        known.hidden.append(packet.is_discard)
        if not packet.is_discard and packet.pts is not None and packet.duration:
            known.end = max(known.end or 0, packet.pts + packet.duration)

    def finish(self) -> Packets:
        """All that is known."""
        known = self.packets
        shown = [time for time, hidden in zip(known.times, known.hidden, strict=True) if not hidden]
        stated = [time for time in shown if time is not None]
        if len(set(stated)) < len(shown):
            self._doubt("timestamps that are missing or doubled")
        elif known.times[0] is None or min(stated) < known.times[0]:
            self._doubt("frames before its first key frame")
        elif self._are_disordered():
            self._doubt("timestamps in another order than that of its pictures")
        elif self._may_be_of_decoding and stated == sorted(stated):
            self._doubt("timestamps that may be those of decoding")
        elif stated != sorted(stated) and self._may_be_misplaced(stated):
            self._doubt("timestamps that may be out of place")
        return known

    def _are_disordered(self) -> bool:
        """Whether H.264's own headers show the pictures in another order than the timestamps."""
        places = [place for place in self._places if place is not None]
        if self.packets.doubt is not None or len(places) < len(self.packets.times):
            return False
        numbers = range(len(places))
        times = self.packets.times
        return sorted(numbers, key=places.__getitem__) != sorted(numbers, key=lambda each: times[each] or 0)

    def _may_be_misplaced(self, stated: list[int]) -> bool:
        """Whether packets in another order than that of their timestamps may owe it to a wrong one."""
        if self._codec not in _REORDERED:
            return True
        if not self._has_one_clock:
            return False
        # the time of a single frame that is wrong leaves a gap, and comes close to another's
        gaps = [after - before for before, after in pairwise(sorted(stated))]
        usual = median(gaps)
        return min(gaps) < usual / 2 - 1 or max(gaps) > 1.5 * usual + 1

    def _look_into(self, packet: av.Packet) -> None:
        first = not self.packets.keys
        if first and not packet.is_keyframe:
            self._doubt("frames before its first key frame")
        elif self._headers is not None:
            if first and not self._headers.is_refresh(packet):
                self._doubt("a beginning that refers to what was before it")
            elif self._headers.may_hold_fields and self._headers.is_field(packet):
                self._doubt("fields in packets of their own")
            self._places.append(self._headers.place_shown(packet))
        elif self._codec in _SHOWS and not _SHOWS[self._codec](packet):
            self._doubt("packets that show nothing")

    def _doubt(self, reason: str) -> None:
        if self.packets.doubt is None:
            self.packets.doubt = reason


def _shows_vp8(packet: av.Packet) -> bool:
    """Source: RFC 6386, section 9.1."""
    return bool(memoryview(packet)[0] & 0x10)


def _shows_vp9(packet: av.Packet) -> bool:
    """Source: VP9 bitstream specification, section 6.2 and annex B."""
    data = memoryview(packet)
    if data[-1] & 0xE0 == 0xC0:  # several frames in one packet, of which the last is shown
        return True
    bits = int.from_bytes(data[:2].tobytes().ljust(2, b"\0"), "big")
    profile = bits >> 13 & 1 | bits >> 11 & 2
    existing = 11 - (profile == 3)  # the bit that shows a frame of before; two on stands that of this one
    return bool(bits >> existing & 1 or bits >> (existing - 2) & 1)


_SHOWS = {"vp8": _shows_vp8, "vp9": _shows_vp9}
