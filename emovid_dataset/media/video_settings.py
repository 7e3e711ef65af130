"""What a build makes of its videos: what is encoded, and how."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any

TRANSCODE = ("needed", "always", "never")
"""Encode what a shard cannot take otherwise; everything; nothing."""

AS_IT_IS, COPIED, ENCODED = "as it is", "pictures copied", "encoded"
"""What is done to a file."""

HEIGHTS = (16, 8192)  # pixels
HIGHEST_CRF = 51


@dataclass(frozen=True, slots=True)
class VideoSettings:
    """What a build makes of its videos.

    Attributes:
        transcode: "needed" encodes the pictures, or the sound, that a shard cannot take as they are; "always"
            encodes all; "never" refuses what would have to be encoded, segments of films too.
        height: pictures of more lines, as they are shown, are reduced to so many; an even number. None keeps
            every size.
        fps: of clips that have more frames per second, so many are taken; none are made up where there are
            fewer. None keeps every rate.
        crf: x264's constant rate factor of what is encoded, 0 (lossless) .. 51.
        max_seconds: longer clips are cut to so many seconds from their beginning. None keeps every length.

    Raises:
        ValueError: one of them is out of range, or "never" stands beside what must be encoded.
    """

    transcode: str = "needed"
    height: int | None = None
    fps: float | None = None
    crf: int = 18
    max_seconds: float | None = None

    def __post_init__(self) -> None:
        if self.transcode not in TRANSCODE:
            raise ValueError(f"transcode is {self.transcode!r}; allowed: {', '.join(TRANSCODE)}")
        low, high = HEIGHTS
        if self.height is not None and (self.height % 2 or not low <= self.height <= high):
            raise ValueError(f"height is {self.height}; it must be an even number {low}..{high}")
        for name in ("fps", "max_seconds"):
            value = getattr(self, name)
            if value is not None and not (value > 0 and math.isfinite(value)):
                raise ValueError(f"{name} is {value}; it must be a number above 0")
        if not 0 <= self.crf <= HIGHEST_CRF:
            raise ValueError(f"crf is {self.crf}; it must be 0..{HIGHEST_CRF}")
        if self.transcode == "never":
            for name in ("height", "fps", "max_seconds"):
                if getattr(self, name) is not None:
                    raise ValueError(f"transcode 'never' and {name} {getattr(self, name)} exclude each other")

    def changed(self) -> dict[str, Any]:
        """Those that are not the usual ones, by name."""
        return {
            field.name: value
            for field in fields(self)
            if (value := getattr(self, field.name)) != field.default
        }


USUAL = VideoSettings()
"""Nothing is encoded that a shard can take, and nothing is reduced."""
