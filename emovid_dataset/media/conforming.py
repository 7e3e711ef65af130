"""What a shard takes as it is: an MP4 that every reader of the data set can play; and what comes near one."""

from __future__ import annotations

from dataclasses import dataclass

import av

from emovid_dataset.media.portable.colour import colour_of
from emovid_dataset.media.portable.errors import refusing
from emovid_dataset.media.portable.h264 import H264Headers
from emovid_dataset.media.portable.matrices import BEYOND_SCALER
from emovid_dataset.media.portable.pixels import orientation_of
from emovid_dataset.media.portable.streams import open_bytes
from emovid_dataset.media.sound import TAIL
from emovid_dataset.media.sound_check import is_sound_whole, sound_end
from emovid_dataset.media.sound_copy import CannotCopy, SoundLayout, sound_layout
from emovid_dataset.media.source import Reader, Source

_HDR_TRANSFERS = (16, 18)  # FFmpeg's numbers of PQ and HLG
_BT2020 = 9


@dataclass(frozen=True, slots=True)
class Misfit:
    """Why a video does not fit a shard.

    Attributes:
        file: why the file cannot go in as it is; None where it can.
        pictures: why its pictures must be encoded; None where their packets can be copied.
        sound: why its sound must be encoded; None where its packets can be copied, or nothing is heard.
        layout: where the packets of its sound go; None where they are not copied.
    """

    file: str | None
    pictures: str | None = None
    sound: str | None = None
    layout: SoundLayout | None = None


def misfit_of(reader: Reader, *, by_header: bool = False) -> Misfit:
    """What of a video must be encoded, and what can be copied.

    Args:
        reader: an open video, not opened with `quick`.
        by_header: believe what its sound says of itself, and look at no packet of it; `layout` is None then.

    Raises:
        VideoError: the file is damaged.
        OSError: it cannot be read.
    """
    why = nonconforming(reader, by_header=by_header)
    if why is None:
        return Misfit(None)
    with refusing():
        pictures = _pictures(reader) or _packets(reader)
        sound, layout = None, None
        if reader.sound is not None and by_header:
            sound = None if reader.audio is None else _sound_codec(reader.audio)
        elif reader.sound is not None:
            try:
                layout = sound_layout(reader)
            except CannotCopy as error:
                sound = str(error)
        return Misfit(why, pictures, sound, layout)


def nonconforming(reader: Reader, *, by_header: bool = False) -> str | None:
    """Why the file cannot go into a shard as it is, or None when it can.

    Conforming is: MP4 with its index in front, one H.264 stream in yuv420p of even size with square pixels,
    neither HDR nor BT.2020, at most one AAC stream that decodes, nothing else. Whether it is turned or
    mirrored shows only on a decoded frame: see `attributes.measure`.

    Args:
        reader: an open video, not opened with `quick`.
        by_header: take it that its sound decodes.

    Raises:
        VideoError: the file is damaged.
        OSError: it cannot be read.
    """
    if reader.quick:
        raise ValueError("a reader opened with quick=True does not know the pixel format")
    with refusing():
        why = _container(reader) or _pictures(reader) or _streams(reader)
        return why if why is not None or by_header else _heard(reader)


def _container(reader: Reader) -> str | None:
    if reader.file is None:
        return "animated WebP"
    container = reader.file.container
    names = container.format.name.split(",")
    if "mp4" not in names:
        return f"container {names[0]}"
    if container.metadata.get("major_brand", "").strip() == "qt":
        return "container mov"
    return None


def _pictures(reader: Reader) -> str | None:
    """Why other readers would not show the pictures as they are."""
    if reader.file is None:
        return "animated WebP"
    stream = reader.file.stream
    context = stream.codec_context
    if context.name != "h264":
        return f"codec {context.name}"
    if context.pix_fmt != "yuv420p":
        return f"pixel format {context.pix_fmt}"
    if (
        context.color_trc in _HDR_TRANSFERS
        or context.color_primaries == _BT2020
        or context.colorspace in BEYOND_SCALER
    ):
        return "colours beyond BT.709"
    if stream.width % 2 or stream.height % 2:
        return f"odd size {stream.width}x{stream.height}"
    if reader.aspect != 1:
        return f"pixel aspect {reader.aspect}"
    if reader.file.has_hidden_frames:
        has_edits = "mp4" in reader.file.container.format.name
        return "frames that its edit list leaves out" if has_edits else "fewer frames than its index counts"
    if reader.file.is_mended:  # another reader would count or time its frames otherwise
        return reader.file.packets.doubt or "times of pictures that are guessed"
    if reader.file.packets.changes_form:
        return "pictures that change their size or format"
    return None


def _packets(reader: Reader) -> str | None:
    """Why the packets of pictures that are right cannot be put into another container."""
    assert reader.file is not None
    file = reader.file
    if file.order is None or file.times is None or file.packets.is_guessed:
        return "pictures without times of their own"
    if file.breaks:
        return "a clock that begins anew"
    if not H264Headers(file.stream.codec_context.extradata).has_sets:
        return "H.264 without parameter sets"
    _, first = next(reader.frames([0]))
    if not orientation_of(first).is_upright:
        return "pictures that are turned or mirrored"
    if colour_of(first).profile is not None:
        return "colours that an ICC profile describes"
    return None


def _streams(reader: Reader) -> str | None:
    """Why the file's streams, or their order in it, do not fit."""
    assert reader.file is not None
    container = reader.file.container
    for audio in container.streams.audio:
        if (codec := _sound_codec(audio)) is not None:
            return codec
    if len(container.streams) > 2 or len(container.streams) > 1 + len(container.streams.audio):
        return "more than one video and one sound stream"
    if not _has_faststart(reader.source):
        return "index behind the frames"
    return None


def _sound_codec(audio: av.AudioStream) -> str | None:
    """Why sound of this codec is encoded."""
    if audio.codec_context is None or audio.codec_context.name != "aac":
        return f"sound codec {audio.name or 'unknown'}"
    return None


def _heard(reader: Reader) -> str | None:
    """Why the sound, once it is decoded, does not fit."""
    assert reader.file is not None
    container, stream = reader.file.container, reader.file.stream
    pixels = stream.width * stream.height * reader.info.num_frames
    if not is_sound_whole(reader.source, container, pixels, heard_by=reader.heard_by):
        return "sound that does not decode"
    if sound_end(container) > reader.start_time + reader.info.duration + TAIL:
        return "sound that goes on long after its pictures"
    return None


def _has_faststart(source: Source) -> bool:
    """Whether an MP4's moov box stands before its mdat box."""
    with open_bytes(source) as file:
        length = file.seek(0, 2)
        file.seek(0)
        while len(head := file.read(8)) == 8:
            size, kind = int.from_bytes(head[:4], "big"), head[4:]
            if kind in (b"moov", b"mdat"):
                return kind == b"moov"
            if size == 1:
                size = int.from_bytes(file.read(8), "big") - 8
            if size < 8 or size > length:  # no seek to where a damaged length points
                return False
            file.seek(size - 8, 1)
    return False
