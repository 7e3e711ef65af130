"""Emotions that change within one video: when each of them holds, in seconds and in latent frames.

``{0: "sadness", 3.0: "awe"}`` is sadness for three seconds, then awe to the end. A latent frame stands for
one picture, or for the next four; where an emotion ends among the four, both have their share of it. Part of
the pipelines' remote code.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .conditioning import emotion_weights

FPS = 16
"""Frames per second of a generated video, as Wan2.1 was trained."""

_TI2V_FPS = 24


def frame_rate_of(index: Mapping[str, Any]) -> int:
    """Frames per second of the videos that a base makes: 24 of Wan2.2 TI2V, else 16.

    Args:
        index: the base's model_index.json, or the config of the loaded pipeline.
    """
    return _TI2V_FPS if index.get("expand_timesteps") else FPS


def is_over_time(emotion: object) -> bool:
    """Whether an `emotion` is one that changes: a mapping whose values are emotions, not weights.

    >>> is_over_time({0: "sadness", 3.0: "awe"}), is_over_time({"awe": 0.7, "fear": 0.3})
    (True, False)
    """
    return isinstance(emotion, Mapping) and any(
        isinstance(value, (str, Mapping)) for value in emotion.values()
    )


@dataclass(frozen=True, slots=True)
class EmotionOverTime:
    """Emotions, one after the other.

    Attributes:
        starts: seconds from which each holds, up to the next one's start, ascending; the first holds before
            its start too.
        emotions: for each the names and weights of a blend, sum 1.
    """

    starts: tuple[float, ...]
    emotions: tuple[Mapping[str, float], ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The emotions that occur, each once, in order of their first appearance."""
        return tuple(dict.fromkeys(name for blend in self.emotions for name in blend))

    def check(self, num_frames: int, fps: float) -> None:
        """Refuse times that no frame of a video shows.

        Args:
            num_frames: frames of the video.
            fps: how many are shown in a second.

        Raises:
            ValueError: a time is outside the video, or two are so close that no frame lies between them.
        """
        last = (num_frames - 1) / fps
        for start, blend in zip(self.starts, self.emotions, strict=True):
            if start > last:
                raise ValueError(
                    f"emotion {_said(blend)} from {start:g} s is outside the video: the last of its "
                    f"{num_frames} frames is at {last:g} s"
                )
        shown = {self._index(frame / fps) for frame in range(num_frames)}
        for index, blend in enumerate(self.emotions):
            if index not in shown:
                raise ValueError(
                    f"emotion {_said(blend)} holds from {self.starts[index]:g} to "
                    f"{self.starts[index + 1]:g} s, but no frame is there: the video has {fps:g} per second"
                )

    def latent_weights(
        self, num_frames: int, fps: float, temporal_factor: int = 4
    ) -> list[tuple[float, ...]]:
        """How much of each latent frame belongs to each emotion.

        Args:
            num_frames: frames of the video, a multiple of `temporal_factor` plus one.
            fps: how many are shown in a second.
            temporal_factor: frames of one latent frame after the first, which is one frame.

        Returns:
            For each of `names` a weight of every latent frame; those of a latent frame sum to 1.

        >>> change = emotion_over_time({0: "sadness", 0.5: "awe"})
        >>> change.latent_weights(17, fps=16)
        [(1.0, 1.0, 0.75, 0.0, 0.0), (0.0, 0.0, 0.25, 1.0, 1.0)]
        """
        blends = [self.emotions[self._index(frame / fps)] for frame in range(num_frames)]
        groups = [blends[:1]]
        groups += [blends[at : at + temporal_factor] for at in range(1, num_frames, temporal_factor)]
        return [
            tuple(sum(blend.get(name, 0.0) for blend in group) / len(group) for group in groups)
            for name in self.names
        ]

    def _index(self, time: float) -> int:
        """Which emotion holds; a start that is a frame's time but for rounding is of that frame."""
        return max(0, bisect_right(self.starts, time + 1e-6) - 1)


def emotion_over_time(emotion: Mapping[float, str | int | Mapping[str, float]]) -> EmotionOverTime:
    """Read emotions that change within a video.

    Args:
        emotion: from seconds, in any order, to an emotion or a blend as `emotion_weights` takes them.

    Returns:
        `EmotionOverTime`.

    Raises:
        ValueError: a time is not a number from 0 up, or an emotion is unknown.

    >>> emotion_over_time({3: "awe", 0: "sadness"}).starts
    (0.0, 3.0)
    """
    found: dict[float, Mapping[str, float]] = {}
    for start, value in emotion.items():
        if isinstance(start, bool) or not isinstance(start, (int, float)) or not 0 <= start < math.inf:
            raise ValueError(
                f"emotion {emotion!r}: {start!r} is not a time in seconds from 0 up; an emotion that changes "
                'is given as {0: "sadness", 3.0: "awe"}'
            )
        found[float(start)] = emotion_weights(value)
    starts = tuple(sorted(found))
    return EmotionOverTime(starts, tuple(found[start] for start in starts))


def read_emotion(
    emotion: str | int | Mapping[Any, Any] | None,
) -> dict[str, float] | EmotionOverTime | None:
    """Read what a pipeline takes as `emotion`: one, a blend, or emotions over time.

    Args:
        emotion: as the pipelines take it.

    Returns:
        Names and weights, sum 1; or `EmotionOverTime`; or None for None.

    Raises:
        ValueError: it cannot be read.

    >>> read_emotion("awe")
    {'awe': 1.0}
    """
    if emotion is None:
        return None
    if isinstance(emotion, Mapping) and is_over_time(emotion):
        return emotion_over_time(emotion)
    return emotion_weights(emotion)


def _said(blend: Mapping[str, float]) -> str:
    return repr(next(iter(blend)) if len(blend) == 1 else dict(blend))
