"""What a shard takes as it is: an MP4 that every reader of the data set can play."""

from __future__ import annotations

from emovid_dataset.media.source import Reader, Source, opened


def nonconforming(reader: Reader) -> str | None:
    """Why the file cannot go into a shard as it is, or None when it can.

    Conforming is: MP4 with its index in front, one H.264 stream in yuv420p of even size with square pixels,
    at most one AAC stream, nothing else. Rotation shows only on a decoded frame: see `sample_for_attributes`.

    Args:
        reader: an open video, not opened with `quick`.
    """
    if reader.quick:
        raise ValueError("a reader opened with quick=True does not know the pixel format")
    if reader.container is None:
        return "animated WebP"
    names = reader.container.format.name.split(",")
    stream, context = reader.stream, reader.stream.codec_context
    if "mp4" not in names:
        return f"container {names[0]}"
    if reader.container.metadata.get("major_brand", "").strip() == "qt":
        return "container mov"
    if context.name != "h264":
        return f"codec {context.name}"
    if context.pix_fmt != "yuv420p":
        return f"pixel format {context.pix_fmt}"
    if stream.width % 2 or stream.height % 2:
        return f"odd size {stream.width}x{stream.height}"
    if reader.aspect != 1:
        return f"pixel aspect {reader.aspect}"
    if reader.audio is not None and reader.audio.codec_context.name != "aac":
        return f"sound codec {reader.audio.codec_context.name}"
    if len(reader.container.streams) != 1 + (reader.audio is not None):
        return "more than one video and one sound stream"
    if not reader.exact:
        return "frames without times of their own"
    if reader.edited:
        return "frames that its edit list leaves out"
    if not _has_faststart(reader.source):
        return "index behind the frames"
    return None


def _has_faststart(source: Source) -> bool:
    """Whether an MP4's moov box stands before its mdat box."""
    with opened(source) as file:
        while len(head := file.read(8)) == 8:
            size, kind = int.from_bytes(head[:4], "big"), head[4:]
            if kind in (b"moov", b"mdat"):
                return kind == b"moov"
            if size == 1:
                size = int.from_bytes(file.read(8), "big") - 8
            if size < 8:
                return False
            file.seek(size - 8, 1)
    return False
