"""The annotator: a calibrated probability of each emotion, and a caption if the model offers one."""

from __future__ import annotations

import io
import logging
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from settings import shown_name

_LONGEST = 600
_WIDEST = 4096

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Annotation:
    """What the annotator says of a video.

    Attributes:
        probabilities: of the annotator's emotions by name, sum 1.
        caption: what it shows; may be empty.
    """

    probabilities: dict[str, float]
    caption: str


class Annotator:
    """The pipeline "video-emotion", loaded when it is first needed.

    Args:
        model: a Hub repo or a folder.
    """

    def __init__(self, model: str) -> None:
        self.name = shown_name(model)
        self._model = model
        self._lock = threading.Lock()
        self._pipeline: Any = None

    def load(self) -> None:
        """Load the model, unless it is there.

        Raises:
            OSError: it cannot be loaded; the reason is in the server's log, since it may name paths.
        """
        with self._lock:
            if self._pipeline is not None:
                return
            try:
                import torch
                from transformers import pipeline

                self._pipeline = pipeline(
                    "video-emotion",
                    model=self._model,
                    trust_remote_code=True,
                    device=0 if torch.cuda.is_available() else -1,
                )
            except Exception as error:
                log.exception("the annotator %s cannot be loaded", self._model)
                raise OSError(f"The annotator {self.name} cannot be loaded; try again later.") from error

    def annotate(self, video: Path) -> Annotation:
        """Annotate a video.

        Args:
            video: any file that FFmpeg reads.

        Raises:
            ValueError: it is no video, is damaged, too long or too large.
            OSError: the model cannot be loaded, or fails; the reason is in the server's log.
        """
        data = video.read_bytes()
        check_video(data)
        self.load()
        # Bytes and not the path: the pipeline's errors name what it was given.
        try:
            # Older annotators do not say whether they offer captions; they do.
            captions = getattr(self._pipeline, "offers_captions", True)
            result = self._pipeline(data, return_caption=captions)
        except Exception as error:
            log.exception("the annotator %s failed", self._model)
            raise OSError("The annotator failed on this video; try another one.") from error
        if "error" in result:
            log.warning("a video was refused: %s", result["error"])
            raise ValueError("This video cannot be decoded; it may be damaged or cut short.")
        emotions, caption = (result["emotions"], result["caption"]) if captions else (result, "")
        return Annotation({entry["label"]: float(entry["score"]) for entry in emotions}, caption)


def check_video(data: bytes) -> None:
    """Refuse what is no video, or one that would take too long.

    Raises:
        ValueError: says what is wrong with it.

    >>> check_video(b"plain text")
    Traceback (most recent call last):
    ...
    ValueError: This file is no video that can be read.
    """
    import av

    try:
        with av.open(io.BytesIO(data)) as file:
            stream = next(iter(file.streams.video), None)
            seconds = (file.duration or 0) / av.time_base
            width, height = (stream.width, stream.height) if stream is not None else (0, 0)
    except (av.FFmpegError, ValueError) as error:
        raise ValueError("This file is no video that can be read.") from error
    if not width or not height:
        raise ValueError("This file holds no pictures.")
    if seconds > _LONGEST:
        raise ValueError(
            f"This video runs {seconds / 60:.0f} minutes; cut it to {_LONGEST // 60} minutes at most."
        )
    if max(width, height) > _WIDEST:
        raise ValueError(f"This video is {width}x{height}; scale it to {_WIDEST} pixels a side at most.")
