"""What a browser plays of a video: as a build would take it, or what a build makes of it.

So every browser can play it, whatever the source is in, and a viewer sees what the data set would hold: its
frames, its colours, its background.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from emovid_dataset.media.encoding import Encoding
from emovid_dataset.media.portable.errors import VideoError
from emovid_dataset.media.source import Reader
from emovid_dataset.media.video_settings import VideoSettings

PREVIEW = VideoSettings(height=1080, crf=20)
"""More lines than a page shows would only take longer."""


def write_playable(
    reader: Reader, encoding: Encoding, out: Path, start: float | None = None, end: float | None = None
) -> None:
    """Write a video as every browser plays it; its pictures are encoded anew where copying them fails.

    Args:
        reader: of the source.
        encoding: of the reader, with `PREVIEW`.
        out: the MP4 file to write.
        start: seconds in the source, None for its beginning.
        end: the same, None for its end.

    Raises:
        VideoError: it cannot be decoded.
    """
    try:
        encoding.write(reader, out, start, end)
    except VideoError as error:
        if not encoding.copies_pictures:
            raise
        encoding.after(str(error)).write(reader, out, start, end)


def playable(data: bytes) -> bytes:
    """A video's bytes as every browser plays them.

    Args:
        data: of a video in any container.

    Returns:
        The same bytes where browsers play them, else those of an MP4.

    Raises:
        VideoError: it cannot be decoded.
    """
    with Reader(data) as reader:
        encoding = Encoding.of(reader, PREVIEW, is_whole=True)
        if encoding.takes_file:
            return data
        with TemporaryDirectory(prefix="emovid-playable-") as folder:
            out = Path(folder) / "video.mp4"
            write_playable(reader, encoding, out)
            return out.read_bytes()
