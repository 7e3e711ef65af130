"""Scores beside EA for a result: of each video from its frames, and of each system from its videos.

::

    result = add_frame_scores(result, "scores/frames")   # Video.scores
    result = add_system_scores(result)                   # System.measures
    write_result(result, "scores")

What cannot be computed has its reason in the value's place, never 0.
"""

from __future__ import annotations

import importlib.util
import os
import statistics
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from emovid_dataset.engine import Executor
from emovid_dataset.media.frames import decode
from emovid_dataset.media.source import VideoError
from emovid_dataset.store import read_file
from emovid_models.evaluation.frame_scores import FRAME_SCORES
from emovid_models.evaluation.measures import content_kept, seed_diversity
from emovid_models.evaluation.measures.content_kept import Lpips
from emovid_models.evaluation.measures.distribution_distance import (
    circle_distance,
    line_distance,
    sample_distance,
)
from emovid_models.evaluation.measures.network import pick_device
from emovid_models.evaluation.measuring import Measurable, Networks, measure_videos
from emovid_models.evaluation.result import REAL, Result, System, Video
from emovid_models.evaluation.scene_intervals import mean_interval
from emovid_models.evaluation.value import Value

MEANS = ("flicker", "motion", "frozen_share")
"""Scores of a system that are the mean over its videos."""

LOOKS = {"brightness": line_distance, "colorfulness": line_distance, "hue": circle_distance}
"""Attributes whose distribution is compared with that of the real clips."""

_OF_THE_EMOTION = ("intensity", "wording", "emotion_guidance")
"""Settings of a generation that do nothing without an emotion."""


def add_frame_scores(
    result: Result,
    out: str | os.PathLike[str],
    *,
    real: Mapping[str, Callable[[], str | bytes]] | None = None,
    engine: Executor | None = None,
    progress: bool = False,
) -> Result:
    """Measure the frames of every video of a result; what was measured before is not measured again.

    Args:
        result: that was read or written, so that its videos can be found.
        out: path or URL of the folder of what was measured.
        real: by id what opens each real clip; those that are missing keep the scores that they have.
        engine: who measures, by default this process.
        progress: show progress on stderr.

    Returns:
        The result with `Video.scores`; a video that cannot be read has the reason.

    Raises:
        OSError: the folder cannot be written.
    """
    openers: dict[tuple[str, str], Callable[[], str | bytes]] = {
        (video.system, video.request): partial(read_file, result.locate(video.place))
        for video in result.videos
        if video.error is None
    }
    openers |= {
        (REAL, video.request): real[video.file] for video in result.real if real and video.file in real
    }
    everything = {(video.system, video.request): video for video in (*result.videos, *result.real)}
    videos = [
        Measurable("/".join(key), everything[key].sha256 or "", opener, "") for key, opener in openers.items()
    ]
    found, _ = measure_videos(videos, Networks(), out, with_frames=True, engine=engine, progress=progress)
    by_key = dict(zip(openers, found, strict=True))

    def scored(video: Video) -> Video:
        measured = by_key.get((video.system, video.request))
        if measured is not None and measured.from_frames is not None:
            values = measured.from_frames.values()
            reasons = dict(measured.from_frames.not_computed)
        elif measured is None and video.system == REAL:
            return video
        else:
            reason = (measured.error if measured is not None else video.error) or "it was not measured"
            values, reasons = dict.fromkeys(FRAME_SCORES), dict.fromkeys(FRAME_SCORES, reason)
        kept = {name: why for name, why in video.not_computed.items() if name not in values}
        return replace(video, scores={**video.scores, **values}, not_computed={**kept, **reasons})

    return replace(
        result,
        videos=tuple(scored(video) for video in result.videos),
        real=tuple(scored(video) for video in result.real),
    )


def add_system_scores(
    result: Result, *, lpips: Lpips | str | None = None, device: str | None = None
) -> Result:
    """Score every system by its videos.

    Args:
        result: with the scores of `add_frame_scores`.
        lpips: measures how much of the content is kept; or why it cannot; None loads it if it is needed.
        device: for LPIPS, as torch names it; None for cuda if there is one.

    Returns:
        The result with `System.measures`, and with "content_kept" in `Video.scores`.
    """
    if lpips is None and any(_neutral(result, one) not in (None, one) for one in result.systems):
        lpips = find_lpips(device)
    result = _with_content_kept(result, lpips or "it was not needed")
    systems = []
    for system in result.systems:
        videos = result.of(system.name)
        measures = {name: mean_value(videos, name) for name in MEANS}
        for name in LOOKS:
            measures[f"{name}_distance"] = looks_distance(videos, result.real, name)
        measures["seed_diversity"] = _diversity(result, videos)
        measures["content_kept"] = mean_value(videos, "content_kept")
        systems.append(replace(system, measures={**system.measures, **measures}))
    return replace(result, systems=tuple(systems))


def find_lpips(device: str | None = None) -> Lpips | str:
    """Load LPIPS.

    Args:
        device: as torch names it; None for cuda if there is one.

    Returns:
        It, or why it cannot be loaded.
    """
    try:
        return Lpips(device=pick_device(device, 0))
    except OSError as error:
        return str(error)


def mean_value(videos: Sequence[Video], name: str) -> Value:
    """The mean of a score over the videos that have it, with its interval; if none has, the commonest reason.

    Args:
        videos: of one system.
        name: of the score.
    """
    values = [value for video in videos if (value := video.scores.get(name)) is not None]
    if not values:
        reasons = [video.not_computed.get(name, "it was not measured") for video in videos]
        return Value(None, reason=statistics.mode(reasons) if reasons else "there is no video")
    deviation = statistics.stdev(values) if len(values) > 1 else None
    scenes = [video.scene for video in videos if video.scores.get(name) is not None]
    return Value(
        statistics.fmean(values), len(values), deviation=deviation, details=bounds_of(values, scenes)
    )


def bounds_of(values: Sequence[float], scenes: Sequence[str]) -> dict[str, float]:
    """The interval of a mean over whole scenes as a value's details "low" and "high"; empty if it has none.

    Args:
        values: of which it is the mean.
        scenes: of each.
    """
    found = mean_interval(values, scenes)
    return {} if found is None else dict(zip(("low", "high"), found, strict=True))


def looks_distance(videos: Sequence[Video], real: Sequence[Video], name: str) -> Value:
    """How far an attribute of the videos is from the real clips of the same emotion.

    Formula: the mean over the emotions of the distance of the distributions, see `LOOKS`. Where the content
    type of every video is known, only real clips of these types count: stickers lie on white.

    Args:
        videos: of one system.
        real: the real clips.
        name: of the attribute.

    Returns:
        Lower is closer. Its details have "by_chance", the same mean for as many values that are drawn from
        the real clips, and the number of emotions.
    """
    if not real:
        return Value(None, reason="the result has no real clips")
    if importlib.util.find_spec("scipy") is None:
        return Value(None, reason="scipy is not installed; pip install 'emovid[scores]'")
    types = {video.content_type for video in videos}
    if None not in types:
        real = [clip for clip in real if clip.content_type in types]
    sides: list[dict[str, list[float]]] = [defaultdict(list), defaultdict(list)]
    for side, some in zip(sides, (videos, real), strict=True):
        for video in some:
            if (value := video.scores.get(name)) is not None:
                side[video.intended].append(value)
    common = [emotion for emotion in sides[0] if emotion in sides[1]]
    if not common:
        return Value(None, reason=f"no emotion has both a video and a real clip whose {name} is known")
    found = [sample_distance(LOOKS[name], sides[0][emotion], sides[1][emotion]) for emotion in common]
    return Value(
        statistics.fmean(one.value for one in found),
        sum(one.generated for one in found),
        details={
            "by_chance": statistics.fmean(one.by_chance for one in found),
            "emotions": len(common),
            "real": sum(one.real for one in found),
        },
    )


def _diversity(result: Result, videos: Sequence[Video]) -> Value:
    """The mean of `seed_diversity` over the prompts and emotions that have several seeds."""
    groups: dict[tuple[str, str], list[Video]] = defaultdict(list)
    for video in videos:
        if video.error is None and video.seed is not None:
            groups[video.scene, video.intended].append(video)
    several = [group for group in groups.values() if len({video.seed for video in group}) > 1]
    if not several:
        return Value(None, reason="no prompt and emotion has videos of two seeds")
    values, scenes, count = [], [], 0
    for group in several:
        frames = [
            frames
            for video in group
            if (frames := _decode(result, video, seed_diversity.FRAMES, seed_diversity.SIDE)) is not None
        ]
        if len(frames) > 1:
            values.append(seed_diversity.seed_diversity(frames))
            scenes.append(group[0].scene)
            count += len(frames)
    if not values:
        return Value(None, reason="no two videos of one prompt and emotion can be read")
    deviation = statistics.stdev(values) if len(values) > 1 else None
    return Value(
        statistics.fmean(values),
        count,
        deviation=deviation,
        details={"groups": len(values), **bounds_of(values, scenes)},
    )


def _with_content_kept(result: Result, lpips: Lpips | str) -> Result:
    """Compare every video with that of intensity 0 of the same base, prompt and seed."""
    videos: list[Video] = []
    for system in result.systems:
        neutral = _neutral(result, system)
        without = {} if neutral is None else {video.request: video for video in result.of(neutral.name)}
        for video in result.of(system.name):
            value: float | None = None
            if neutral is None:
                reason = "no system with the same base and settings has intensity 0"
            elif neutral.name == system.name:
                reason = "these are the videos of intensity 0"
            elif isinstance(lpips, str):
                reason = lpips
            else:
                value, reason = _content(result, video, without.get(video.request), lpips)
            reasons = {name: why for name, why in video.not_computed.items() if name != "content_kept"}
            reasons |= {"content_kept": reason} if value is None else {}
            videos.append(
                replace(video, scores={**video.scores, "content_kept": value}, not_computed=reasons)
            )
    return replace(result, videos=tuple(videos))


def _neutral(result: Result, system: System) -> System | None:
    """The system that differs from this one by its intensity of 0, and by what has no effect there."""
    if system.base is None:
        return None
    if system.settings.get("intensity") == 0:
        return system

    def others(one: System) -> dict[str, object]:
        return {name: value for name, value in one.settings.items() if name not in _OF_THE_EMOTION}

    alike = (one for one in result.systems if one.base == system.base and others(one) == others(system))
    return next((one for one in alike if one.settings.get("intensity") == 0), None)


def _content(result: Result, video: Video, neutral: Video | None, lpips: Lpips) -> tuple[float | None, str]:
    if neutral is None or neutral.seed != video.seed:
        return None, "there is no video of intensity 0 with its seed"
    sides = [_decode(result, one, content_kept.FRAMES, content_kept.SIDE) for one in (video, neutral)]
    if sides[0] is None or sides[1] is None:
        return None, "it or the video of intensity 0 cannot be read"
    return lpips(sides[0], sides[1]), ""


def _decode(result: Result, video: Video, frames: int, side: int) -> np.ndarray | None:
    if video.error is not None:
        return None
    try:
        return decode(read_file(result.locate(video.place)), frames=frames, size=side)
    except (VideoError, OSError):
        return None
