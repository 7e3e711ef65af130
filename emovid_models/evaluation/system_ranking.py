"""Many systems by one judge: each with its interval, every pair with its test, ranks that ties share.

Videos of one scene are not independent: they share a prompt, and mostly the noise. So every interval is of a
bootstrap that draws whole scenes, and every test asks whether the systems can be swapped scene by scene.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from emovid_models.evaluation.judge import Judged
from emovid_models.evaluation.multiple_comparisons import holm, shared_ranks
from emovid_models.evaluation.scene_intervals import difference_interval, macro_recall, share_of
from emovid_models.evaluation.statistics import Figures, Share, metric_emotions, score

LEVEL = 0.05
"""A corrected p-value below this tells two systems apart."""


@dataclass(frozen=True, slots=True)
class RankedSystem:
    """One system among others.

    Attributes:
        name: of the system.
        rank: 1 is best; systems that no test tells from the best of a rank share it.
        figures: EA, recall and confusion matrix; its intervals are Wilson's, as if videos were independent.
        scenes: of its videos.
        ea: share of the emotions that were intended, with the interval of a bootstrap of scenes; Wilson's of
            as many scenes where all videos or none are right, which resampling cannot vary, or where there is
            one scene.
        valence: the same of the valences; None for a taxonomy without them.
        recall: the same of each emotion; None where none was intended.
        macro_recall: the mean of these, with the interval of a bootstrap of scenes.
    """

    name: str
    rank: int
    figures: Figures
    scenes: int
    ea: Share
    valence: Share | None
    recall: Mapping[str, Share | None]
    macro_recall: Share


@dataclass(frozen=True, slots=True)
class PairTest:
    """Two systems on the same requests.

    Attributes:
        first: the system with the greater share, or of two equal ones the one that was named first.
        second: the other one.
        requests: that both have; the test is of these alone.
        scenes: of these requests.
        difference: share of right videos of the first less that of the second, with the interval of a
            bootstrap of scenes, or where that has no width Newcombe's of as many; None with a single scene,
            or without common requests.
        first_only: requests of which only the first has it right.
        second_only: requests of which only the second has.
        p: of `swap_test`, two-sided; None without common requests.
        p_holm: with Holm's correction for all pairs that were tested.
    """

    first: str
    second: str
    requests: int
    scenes: int
    difference: Share | None
    first_only: int
    second_only: int
    p: float | None
    p_holm: float | None

    @property
    def differs(self) -> bool:
        """Whether the test tells them apart."""
        return self.p_holm is not None and self.p_holm < LEVEL


@dataclass(frozen=True, slots=True)
class Ranking:
    """All systems by one judge.

    Attributes:
        judge: its identity.
        systems: the best first.
        pairs: every pair, in that order.
    """

    judge: str
    systems: tuple[RankedSystem, ...]
    pairs: tuple[PairTest, ...]

    @property
    def order(self) -> tuple[str, ...]:
        """Names of the systems, the best first."""
        return tuple(system.name for system in self.systems)

    def pair(self, one: str, other: str) -> PairTest:
        """The test of two systems, whichever is better."""
        return next(pair for pair in self.pairs if {pair.first, pair.second} == {one, other})


def rank_systems(systems: Mapping[str, Judged], scenes: Mapping[str, str]) -> Ranking:
    """Rank systems by the share of videos that show the emotion asked for.

    Args:
        systems: by name what one judge says; a judgement's `file` names its request, the same in all systems.
            A failed video is among them and counts as wrong.
        scenes: by request its scene.

    Returns:
        `Ranking`; two systems whose shares are equal stand in the order of `systems`.

    Raises:
        ValueError: there is no system or no video, the judges differ, a request has no scene or is another
            one elsewhere.
    """
    if not systems:
        raise ValueError("there are no systems to rank")
    judges = {judged.judge for judged in systems.values()}
    if len(judges) > 1:
        raise ValueError(f"judged by {sorted(judges)}; a ranking needs one judge")
    _check_requests(systems, scenes)
    names = sorted(systems, key=lambda name: -_share(_right(systems[name])))
    tests = [_pair(one, other, systems, scenes) for one, other in combinations(names, 2)]
    known = iter(holm([p for *_, p in tests if p is not None]))
    pairs = tuple(PairTest(*test, None if test[-1] is None else next(known)) for test in tests)
    differs = {(pair.first, pair.second): pair.differs for pair in pairs}
    ranks = shared_ranks(names, lambda better, worse: differs[better, worse])
    return Ranking(
        next(iter(judges)), tuple(_ranked(name, ranks[name], systems[name], scenes) for name in names), pairs
    )


def swap_test(gains: Sequence[int]) -> float:
    """Exact two-sided p-value that two systems can be swapped, scene by scene.

    If they are alike, each scene's gain is as likely to be its negative. The p-value is the probability, over
    all ways to choose the signs, of a sum at least as far from 0 as the one that was found. With one video a
    scene it is McNemar's exact test.

    Args:
        gains: by scene the number of videos that the first system has right, less those of the second.

    Returns:
        0..1; 1 if no scene differs. With k scenes that differ it is at least 2 / 2^k, so that few scenes
        cannot tell systems apart.

    Source: R. A. Fisher, "The Design of Experiments", 1935, section 21; M. D. Ernst, "Permutation methods",
    Statistical Science 19, 2004; Q. McNemar, Psychometrika 12, 1947.

    >>> swap_test([1, 1, 1, 1, 1, 1]), swap_test([2, -2])
    (0.03125, 1.0)
    """
    sizes = np.abs(np.asarray([gain for gain in gains if gain], np.int64))
    chances = np.ones(1)  # of the sums -reach, -reach + 2, ... reach, as an array of every step of 1
    for size in sizes.tolist():
        wider = np.zeros(len(chances) + 2 * size)
        wider[: len(chances)] = chances / 2
        wider[2 * size :] += chances / 2
        chances = wider
    reach = int(sizes.sum())
    sums = np.arange(-reach, reach + 1)
    return float(min(1.0, chances[np.abs(sums) >= abs(int(sum(gains)))].sum()))


def _check_requests(systems: Mapping[str, Judged], scenes: Mapping[str, str]) -> None:
    asked: dict[str, tuple[str, str]] = {}
    for name, judged in systems.items():
        if not judged.videos:
            raise ValueError(f"system {name} has no videos")
        for video in judged.videos:
            if video.file not in scenes:
                raise ValueError(f"system {name}: request {video.file} has no scene")
            other, emotion = asked.setdefault(video.file, (name, video.intended))
            if emotion != video.intended:
                raise ValueError(
                    f"request {video.file} is {emotion!r} for {other} and {video.intended!r} for {name}"
                )


def _right(judged: Judged) -> dict[str, bool]:
    return {video.file: video.judged == video.intended for video in judged.videos}


def _share(right: Mapping[str, bool]) -> float:
    return sum(right.values()) / len(right)


def _pair(
    first: str, second: str, systems: Mapping[str, Judged], scenes: Mapping[str, str]
) -> tuple[str, str, int, int, Share | None, int, int, float | None]:
    from emovid_models.metrics.ea_8cls import ea_8cls

    one, other = _right(systems[first]), _right(systems[second])
    common = [request for request in one if request in other]
    if not common:
        return first, second, 0, 0, None, 0, 0, None
    answers = [{video.file: video.judged for video in systems[name].videos} for name in (first, second)]
    ours, theirs = ([said[request] for request in common] for said in answers)
    intended = {video.file: video.intended for video in systems[first].videos}
    found = ea_8cls.compare(
        ours,
        theirs,
        [intended[request] for request in common],
        groups=[scenes[request] for request in common],
        emotions=metric_emotions(systems[first].taxonomy)[0],
    )
    gains: dict[str, int] = defaultdict(int)
    for request in common:
        gains[scenes[request]] += one[request] - other[request]
    interval = found["difference_bootstrap"]
    if interval is not None and interval[0] == interval[1]:
        shares = [sum(right[request] for request in common) / len(common) for right in (one, other)]
        interval = list(difference_interval(shares[0], shares[1], len(gains)))
    return (
        first,
        second,
        len(common),
        len(gains),
        None if interval is None else Share(found["difference"], *interval),
        found["a_only"],
        found["b_only"],
        swap_test(list(gains.values())),
    )


def _ranked(name: str, rank: int, judged: Judged, scenes: Mapping[str, str]) -> RankedSystem:
    from emovid_models.metrics.ea_8cls import ea_8cls

    groups = [scenes[video.file] for video in judged.videos]
    count = len(set(groups))
    emotions, valence = metric_emotions(judged.taxonomy)
    found = ea_8cls.score(
        [video.judged for video in judged.videos],
        [video.intended for video in judged.videos],
        groups=groups,
        emotions=emotions,
        valence=valence,
    )

    def share(key: str) -> Share | None:
        value, interval = found[key], found[f"{key}_bootstrap"]
        return None if value is None else Share(value, *_or_wilson(interval, value, count))

    ea = share(f"ea_{len(emotions)}cls")
    assert ea is not None
    right = [video.judged == video.intended for video in judged.videos]
    intended = [video.intended for video in judged.videos]

    def recall(emotion: str) -> Share | None:
        places = [place for place, name in enumerate(intended) if name == emotion]
        if not places:
            return None
        return share_of([right[place] for place in places], [groups[place] for place in places])

    return RankedSystem(
        name,
        rank,
        score(judged),
        count,
        ea,
        share("ea_2cls"),
        {emotion: recall(emotion) for emotion in emotions},
        macro_recall(right, intended, groups),
    )


def _or_wilson(interval: list[float] | None, value: float, scenes: int) -> tuple[float, float]:
    """The bootstrap's interval; where it has none, or one without width, Wilson's of as many scenes."""
    from emovid_models.metrics.ea_8cls.intervals import wilson_interval

    if interval is None or interval[0] == interval[1]:
        return wilson_interval(value * scenes, scenes)
    return interval[0], interval[1]
