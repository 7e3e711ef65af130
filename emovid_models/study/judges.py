"""Whether judges see what people see: correlations of their EA-8cls with the study's emotion preference."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from emovid_models.study.preference import Choice

if TYPE_CHECKING:
    from emovid_models.evaluation.result import Result, Video
    from emovid_models.study.plan import Scene, StudyPlan

FEWEST_SYSTEMS = 5
"""Fewer have no correlation over systems: with four even a perfect order has a p of 0.08."""

FEWEST_PROMPTS = 10
"""Fewer prompts have no correlation over videos, whose interval is of drawn prompts."""

DRAWS = 1000
"""Bootstrap samples of prompts."""

_Row = tuple[str, str, float, float, float]
"""Prompt, system, whether the judge is right, share of first choices, the same less chance."""


@dataclass(frozen=True, slots=True)
class Correlation:
    """Pearson's correlation, or the reason why there is none.

    Attributes:
        value: -1..1; None where there are too few or nothing varies.
        low, high: of the 95 % interval; None as `value`.
        n: systems, or videos.
        reason: why there is none; "" if there is one.
    """

    value: float | None
    low: float | None
    high: float | None
    n: int
    reason: str = ""


@dataclass(frozen=True, slots=True)
class JudgeAgreement:
    """A judge beside people.

    Attributes:
        judge: its identity.
        source: the folder's name, or the Hub repo.
        over_systems: EA-8cls of a system on the study's scenes with its share of first choices; the interval
            is Fisher's.
        over_videos: whether the judge sees the emotion asked for in a video, 1 or 0, with the share of first
            choices of that video, less chance; the interval is of a bootstrap over prompts.
        missing: videos of the study that the result does not have.
    """

    judge: str
    source: str
    over_systems: Correlation
    over_videos: Correlation
    missing: int


def agreement_with_judges(
    plan: StudyPlan, choices: Sequence[Choice], result: Result
) -> tuple[JudgeAgreement, ...]:
    """Compare the judges of a result with people.

    Args:
        plan: of the study.
        choices: the votes on the emotion.
        result: of an evaluation of the same systems; the videos are found by prompt, emotion and seed.

    Returns:
        One for each judge. A video on which a judge failed counts as wrong.

    Raises:
        ValueError: the result lacks a system of the study.

    Source: R. A. Fisher, "On the probable error of a coefficient of correlation", Metron 1, 1921.
    """
    there = {system.name for system in result.systems}
    if lacking := sorted(set(plan.systems) - there):
        raise ValueError(f"the result lacks the systems {lacking} of the study; it has {sorted(there)}")
    shares = _shares(choices)
    videos = _videos(plan, result)
    found = []
    for judge in result.judges:
        rows: list[_Row] = []
        for scene in plan.scenes:
            for system in plan.systems:
                video = videos.get((scene.id, system))
                if video is None or (scene.id, system) not in shares:
                    continue
                answer = video.answers.get(judge.identity)
                right = answer is not None and answer.emotion == video.intended
                rows.append((scene.prompt or scene.id, system, float(right), *shares[scene.id, system]))
        missing = sum((scene.id, system) not in videos for scene in plan.scenes for system in plan.systems)
        found.append(
            JudgeAgreement(judge.identity, judge.source, _over_systems(rows), _over_videos(rows), missing)
        )
    return tuple(found)


def _shares(choices: Sequence[Choice]) -> dict[tuple[str, str], tuple[float, float]]:
    """By scene and system the share of the trials that showed the video in which it was chosen."""
    votes: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for choice in choices:
        for system in choice.shown:
            won = float(system == choice.chosen)
            votes.setdefault((choice.prompt, system), []).append((won, won - 1 / len(choice.shown)))
    return {
        key: (float(np.mean([won for won, _ in rows])), float(np.mean([over for _, over in rows])))
        for key, rows in votes.items()
    }


def _videos(plan: StudyPlan, result: Result) -> Mapping[tuple[str, str], Video]:
    by_request: dict[Hashable, Video] = {}
    for video in result.videos:
        by_request[video.system, video.prompt, video.intended, video.seed] = video

    def asked(scene: Scene, system: str) -> Hashable:
        return system, scene.prompt, scene.emotion, scene.seed

    return {
        (scene.id, system): by_request[asked(scene, system)]
        for scene in plan.scenes
        for system in plan.systems
        if asked(scene, system) in by_request
    }


def _over_systems(rows: Sequence[_Row]) -> Correlation:
    systems = sorted({row[1] for row in rows})
    count = len(systems)
    if count < FEWEST_SYSTEMS:
        return Correlation(
            None, None, None, count, f"too few: {count} systems, and {FEWEST_SYSTEMS} are needed"
        )
    means = np.array([np.mean([row[2:4] for row in rows if row[1] == system], axis=0) for system in systems])
    value = _pearson(means[:, 0], means[:, 1])
    if value is None:
        return Correlation(None, None, None, count, "all systems are alike")
    reach = 1.959964 / math.sqrt(count - 3)
    at = math.atanh(max(-1 + 1e-12, min(1 - 1e-12, value)))
    return Correlation(value, math.tanh(at - reach), math.tanh(at + reach), count)


def _over_videos(rows: Sequence[_Row]) -> Correlation:
    prompts = sorted({row[0] for row in rows})
    if len(prompts) < FEWEST_PROMPTS:
        reason = f"too few: {len(prompts)} prompts, and {FEWEST_PROMPTS} are needed"
        return Correlation(None, None, None, len(rows), reason)
    right, over = np.array([row[2] for row in rows]), np.array([row[4] for row in rows])
    value = _pearson(right, over)
    if value is None:
        return Correlation(None, None, None, len(rows), "the judge, or people, say the same of all videos")
    of_prompt = [np.flatnonzero([row[0] == prompt for row in rows]) for prompt in prompts]
    random = np.random.default_rng(0)
    drawn = []
    for _ in range(DRAWS):
        taken = np.concatenate(
            [of_prompt[index] for index in random.integers(len(prompts), size=len(prompts))]
        )
        again = _pearson(right[taken], over[taken])
        if again is not None:
            drawn.append(again)
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Correlation(value, float(low), float(high), len(rows))


def _pearson(first: np.ndarray, second: np.ndarray) -> float | None:
    if np.ptp(first) < 1e-12 or np.ptp(second) < 1e-12:
        return None
    return float(np.corrcoef(first, second)[0, 1])
