"""Open a file of video: what it is by its first bytes, its container, its video stream and the decoder."""

from __future__ import annotations

import ctypes
import io
import os
from fractions import Fraction
from typing import Any, BinaryIO

import av

from .dolby_vision import needs_dolby_vision
from .errors import VideoError
from .truncation import is_truncated

Source = bytes | str | os.PathLike[str]
"""A video: its bytes, or the path of its file."""

_HEAD = 16  # bytes
_LFS_POINTER = b"version https://git-lfs.github.com/spec/"
_ALPHA_DECODERS = {"vp8": "libvpx", "vp9": "libvpx-vp9"}  # FFmpeg's own leave out the transparency
_AS_BROWSERS = {"max_fps": "99", "default_fps": "10"}  # APNG: 10 ms or less stand 100 ms
_LISTS = frozenset(("concat", "dash", "hls", "imf"))  # formats that name other files
_TEXT = frozenset(("tty",))  # text, which FFmpeg would draw on a screen
_PICTURE_CODECS = frozenset(("bmp", "gif", "jpegls", "mjpeg", "png", "tiff", "webp"))
_NOT_MOVING = ("attached_pic", "timed_thumbnails", "still_image")  # dispositions of streams
_ON_THE_SIDE = ("comment", "hearing_impaired", "visual_impaired", "dependent")
_OWN_LAYOUT = " channels ("  # as FFmpeg describes one that is none of its own


def open_bytes(source: Source) -> BinaryIO:
    """The source as a file open for reading.

    Raises:
        OSError: it is missing, not a regular file, or may not be read.
    """
    return io.BytesIO(source) if isinstance(source, bytes) else open(source, "rb")


def first_bytes(source: Source) -> bytes:
    """The first 16 bytes of a file that is all there.

    Raises:
        VideoError: it is empty, truncated by what it says itself, or in Dolby Vision's own colours.
        OSError: as for `open_bytes`.
    """
    with open_bytes(source) as file:
        head = file.read(_HEAD)
        if not head:
            raise VideoError("is empty (0 bytes)")
        if head == _LFS_POINTER[:_HEAD]:
            file.seek(0)
            if file.read(len(_LFS_POINTER)) == _LFS_POINTER:
                raise VideoError("is a Git LFS pointer, not the file; `git lfs pull` fetches the file")
        if is_truncated(file):
            raise VideoError("is truncated: its own sizes say that there is more")
        if needs_dolby_vision(file):
            raise VideoError("is in Dolby Vision (profile 5) without colours that other players can show")
    return head


def is_webp(head: bytes) -> bool:
    """Whether a file that begins like this is WebP, whose animation FFmpeg does not decode."""
    return head[:4] == b"RIFF" and head[8:12] == b"WEBP"


def is_mp4(head: bytes) -> bool:
    """Whether a file that begins like this is MP4 or its kin."""
    return head[4:8] == b"ftyp"


def open_container(
    source: Source, *, headers_only: bool = False, with_hidden_packets: bool = False
) -> av.container.InputContainer:
    """Open a file's container.

    Args:
        source: bytes or a path.
        headers_only: decode no frame to learn the pixel format; an MP4 opens in half of the time.
        with_hidden_packets: give those packets of an MP4 too that its edit list leaves out altogether.

    Raises:
        VideoError: it is a list of other files, or text.
        OSError: as for `open_bytes`.
        av.FFmpegError: it is not a container that FFmpeg knows, or is damaged.
    """
    file: Any = io.BytesIO(source) if isinstance(source, bytes) else f"file:{os.fspath(source)}"
    options = {"protocol_whitelist": "file", **_AS_BROWSERS}
    if with_hidden_packets:
        options["ignore_editlist"] = "1"
    per_stream: Any = [{"skip_frame": "all"}] if headers_only else None
    try:
        container = av.open(
            file, mode="r", metadata_errors="ignore", options=options, stream_options=per_stream
        )
    except av.FFmpegError:
        open_bytes(source).close()  # where the disk is to blame, this raises a plain OSError
        raise
    name = container.format.name
    if name in _LISTS or name in _TEXT:
        container.close()
        raise VideoError(f"is {'a list of other files' if name in _LISTS else 'text'} ({name})")
    return container


def seek(container: av.container.InputContainer, stream: av.VideoStream, seconds: float) -> bool:
    """Go to the last key frame at or before a time, as well as the container knows it.

    Args:
        container: open; it is moved.
        stream: of the container.
        seconds: in the file's own time.

    Returns:
        Whether that worked. Some files (RealMedia, Matroska without a key frame that FFmpeg knows) cannot be
        sought; then the container has to be opened anew and read from its beginning.
    """
    try:
        container.seek(int(seconds / (stream.time_base or Fraction(1))), stream=stream, backward=True)
    except av.FFmpegError as error:
        if isinstance(error, MemoryError):
            raise
        return False
    return True


def video_stream(container: av.container.InputContainer) -> av.VideoStream:
    """The stream of moving pictures that is shown.

    Cover art, thumbnails and still pictures do not count. Of several streams it is the one with the default
    flag, which in MP4 is that of an enabled track; among equals one whose codec is not that of a picture,
    then the one with the most pixels, then the first. The ffmpeg command too goes by flag, then by pixels.
    One that is known to have a single frame comes last, such as the cover of an animated AVIF.

    Raises:
        VideoError: there is none, or no decoder for it.
    """
    moving = [stream for stream in container.streams.video if not _has_flag(stream, *_NOT_MOVING)]
    if not moving:
        raise VideoError("has no video stream")
    known = [stream for stream in moving if stream.codec_context is not None]
    if not known:
        raise VideoError("has a video stream of an unknown codec")
    return max(known, key=_rank_of_pictures)  # of equals the first


def sound_streams(container: av.container.InputContainer) -> list[av.AudioStream]:
    """The streams of sound that can be decoded, the one to be played first.

    That is the one with the default flag, which in MP4 is that of an enabled track; among equals one that is
    not a commentary nor made for the blind or the deaf, then the one with the most channels, then the first.
    The ffmpeg command too goes by flag, then by channels.
    """
    known = [stream for stream in container.streams.audio if stream.codec_context is not None]
    return sorted(known, key=_rank_of_sound, reverse=True)  # stable: of equals the first


def kept(layout: av.AudioLayout) -> av.AudioLayout:
    """A layout of channels, for good where it is one of the file's own making.

    PyAV frees the map of channels of such a layout with the layout, and a second time with the frame or the
    decoder that it comes from, which ends the process. Every layout that is looked at must go through here.

    Args:
        layout: of a decoder or a frame.
    """
    if _OWN_LAYOUT in layout.name:
        # not in a list, which is cleared when the process ends
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(layout))
    return layout


def channels_of(decoder: av.AudioCodecContext) -> int:
    """How many channels of sound a decoder gives; 0 where that is not known."""
    return kept(decoder.layout).nb_channels


def _has_flag(stream: av.VideoStream | av.AudioStream, *names: str) -> bool:
    flags = stream.disposition
    return any(flags & getattr(type(flags), name) for name in names)


def _rank_of_pictures(stream: av.VideoStream) -> tuple[bool, bool, bool, bool, int]:
    pixels = stream.width * stream.height
    is_picture = stream.codec_context.name in _PICTURE_CODECS
    return pixels > 0, stream.frames != 1, _has_flag(stream, "default"), not is_picture, pixels


def _rank_of_sound(stream: av.AudioStream) -> tuple[bool, bool, bool, int]:
    context = stream.codec_context
    channels = channels_of(context)
    is_known = channels > 0 and context.sample_rate > 0
    return is_known, _has_flag(stream, "default"), not _has_flag(stream, *_ON_THE_SIDE), channels


def decoder_of(stream: av.VideoStream, *, threads: int = 1) -> av.VideoCodecContext:
    """A stream's decoder; for VP8 and VP9 with transparency the one that decodes it.

    Args:
        stream: of an open container.
        threads: with 1 nothing is decoded ahead, which suits many processes.

    Raises:
        VideoError: the stream has transparency, and this PyAV lacks libvpx.
    """
    context: Any = stream.codec_context
    if stream.metadata.get("alpha_mode") == "1" and context.name in _ALPHA_DECODERS:
        try:
            with_alpha = av.CodecContext.create(_ALPHA_DECODERS[context.name], "r")
        except ValueError as error:
            raise VideoError("has transparency, and this PyAV lacks libvpx to decode it") from error
        with_alpha.extradata = context.extradata
        context = with_alpha
    context.thread_count = threads
    context.thread_type = "SLICE" if threads == 1 else "AUTO"
    return context
