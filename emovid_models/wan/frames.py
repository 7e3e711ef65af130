"""Pictures in, videos out: the first image of a video, and frames as an MP4."""

from __future__ import annotations

import io
import os
import tempfile
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from emovid_dataset.store import Store, read_file, without_credentials
from emovid_models.remote.wan.over_time import FPS, frame_rate_of

if TYPE_CHECKING:
    from PIL import Image


def frames_by_default(index: Mapping[str, Any]) -> int:
    """Frames of a video of five seconds: 121 of Wan2.2 TI2V, else 81.

    Args:
        index: as for `frame_rate_of`.
    """
    return 5 * frame_rate_of(index) + 1


def read_image(place: str | os.PathLike[str], height: int, width: int) -> Image.Image:
    """Read an image and crop it to a video's shape, keeping the middle.

    Args:
        place: path or URL of any format that Pillow reads; transparent parts become white.
        height: pixels.
        width: pixels.

    Returns:
        RGB, of that size.

    Raises:
        OSError: it cannot be read.
        ValueError: it is not an image.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(read_file(place))) as file:
            image = ImageOps.exif_transpose(file).convert("RGBA")
    except UnidentifiedImageError as error:
        raise ValueError(
            f"image {without_credentials(os.fspath(place))} is not an image that Pillow reads"
        ) from error
    white = Image.new("RGBA", image.size, "white")
    return ImageOps.fit(Image.alpha_composite(white, image).convert("RGB"), (width, height))


def encode_video(frames: np.ndarray, fps: int = FPS) -> bytes:
    """Encode frames as an MP4 (H.264, yuv420p, faststart); the same frames give the same bytes.

    Args:
        frames: float [T, H, W, 3] in 0..1, both sides even.
        fps: frames per second.
    """
    import av

    from emovid_dataset.media.encode import X264_SAME_BYTES

    pixels = (np.asarray(frames).clip(0, 1) * 255).round().astype(np.uint8)
    # PyAV writes faststart into files only.
    with tempfile.TemporaryDirectory(prefix="emovid-") as folder:
        path = Path(folder, "video.mp4")
        with av.open(str(path), "w", options={"movflags": "+faststart"}) as file:
            stream = file.add_stream("libx264", rate=Fraction(fps), options={"crf": "16", **X264_SAME_BYTES})
            stream.height, stream.width = pixels.shape[1:3]
            stream.pix_fmt = "yuv420p"
            for picture in pixels:
                file.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            file.mux(stream.encode())
        return path.read_bytes()


def write_video(path: Path, frames: np.ndarray, fps: int = FPS) -> None:
    """Write frames as an MP4, complete or not at all; see `encode_video`.

    Args:
        path: the file.
        frames: float [T, H, W, 3] in 0..1, both sides even.
        fps: frames per second.
    """
    Store.at(path.parent).put(path.name, encode_video(frames, fps))
