"""Rankings of many systems: against scipy and statsmodels, and on systems of known order."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import pytest

from emovid_dataset.schema.emotions import EMOTIONS
from emovid_models.evaluation.judge import Judged, Judgement
from emovid_models.evaluation.judge_fitness import judge_fitness, order_agreement
from emovid_models.evaluation.scene_intervals import macro_recall, mean_interval
from emovid_models.evaluation.system_ranking import Ranking, rank_systems, swap_test
from emovid_models.metrics.ea_8cls.comparison import mcnemar_p

SCENES = {f"{scene} {emotion}": f"scene {scene}" for scene in range(12) for emotion in EMOTIONS}


def judged(right: Sequence[bool | None], judge: str = "judge", requests: Sequence[str] = ()) -> Judged:
    """A system that is right, wrong (shows the next emotion) or failed, request by request."""
    rows = []
    for request, one in zip(requests or SCENES, right, strict=False):
        intended = request.split()[1]
        shown = EMOTIONS[(EMOTIONS.index(intended) + (not one)) % 8]
        error = "is empty" if one is None else None
        rows.append(Judgement(request, intended, None if one is None else shown, None, error))
    return Judged(judge, tuple(rows))


def by_chance(share: float, seed: int, spread: float = 0.0) -> list[bool]:
    """Videos of which about a share is right, scene by scene more or fewer."""
    rng = np.random.default_rng(seed)
    levels = np.clip(share + spread * rng.standard_normal(12), 0, 1)
    return (rng.random(96) < np.repeat(levels, 8)).tolist()


@pytest.fixture(scope="module")
def systems() -> dict[str, Judged]:
    return {
        "poor": judged(by_chance(0.15, 1)),
        "good": judged(by_chance(0.6, 2)),
        "best": judged(by_chance(0.7, 3)),
        "broken": judged([None] * 96),
    }


@pytest.fixture(scope="module")
def ranking(systems: dict[str, Judged]) -> Ranking:
    return rank_systems(systems, SCENES)


def test_swapping_scenes_is_scipys_permutation_test() -> None:
    from scipy.stats import permutation_test

    for seed in range(6):
        gains = np.random.default_rng(seed).integers(-3, 4, 9)
        theirs = permutation_test(
            (gains, np.zeros_like(gains)),
            lambda a, b, axis: np.sum(a - b, axis=axis),
            permutation_type="samples",
            n_resamples=np.inf,
            vectorized=True,
        )
        assert swap_test(gains.tolist()) == pytest.approx(theirs.pvalue, abs=1e-12)


def test_with_one_video_a_scene_it_is_mcnemars_test() -> None:
    from statsmodels.stats.contingency_tables import mcnemar

    for first, second in ((1, 9), (4, 4), (0, 0), (30, 12)):
        p = swap_test([1] * first + [-1] * second + [0] * 5)
        assert p == pytest.approx(mcnemar_p(first, second), abs=1e-12)
        assert p == pytest.approx(mcnemar([[0, first], [second, 0]], exact=True).pvalue, abs=1e-12)
    assert swap_test([1] * 2000 + [-1] * 1000) < 1e-60


def test_all_pairs_are_tested_with_holms_correction(ranking: Ranking, systems: dict[str, Judged]) -> None:
    from statsmodels.stats.multitest import multipletests

    assert ranking.order == ("best", "good", "poor", "broken")
    assert [(pair.first, pair.second) for pair in ranking.pairs] == list(combinations(ranking.order, 2))
    corrected = multipletests([pair.p for pair in ranking.pairs], method="holm")[1]
    assert [pair.p_holm for pair in ranking.pairs] == pytest.approx(corrected)
    for pair in ranking.pairs:
        rights = [[v.judged == v.intended for v in systems[n].videos] for n in (pair.first, pair.second)]
        apart = np.subtract(*np.array(rights, int))
        assert (pair.first_only, pair.second_only) == ((apart > 0).sum(), (apart < 0).sum())
        assert pair.difference is not None and pair.difference.value == pytest.approx(apart.mean())
        assert pair.difference.low <= pair.difference.value <= pair.difference.high
        assert pair.p == swap_test(apart.reshape(12, 8).sum(1).tolist()) and pair.scenes == 12
        assert pair.p_holm is not None
        assert (pair.p_holm < 0.05) == pair.differs == (ranking.pair(pair.second, pair.first).differs)


def test_systems_that_no_test_tells_apart_share_a_rank(ranking: Ranking) -> None:
    assert {system.name: system.rank for system in ranking.systems} == {
        "best": 1,
        "good": 1,
        "poor": 3,
        "broken": 4,
    }


def test_failed_videos_stay_in_the_denominator(systems: dict[str, Judged]) -> None:
    half = judged([True] * 48 + [None] * 48)
    found = rank_systems({"half": half, "broken": systems["broken"]}, SCENES)
    first, last = found.systems
    assert (first.name, first.ea.value, first.figures.n, first.figures.unscored) == ("half", 0.5, 96, 48)
    assert (last.ea.value, last.ea.low) == (0.0, 0.0)
    assert found.pairs[0].requests == 96 and found.pairs[0].difference is not None
    assert found.pairs[0].difference.value == 0.5


def test_intervals_are_of_scenes_not_of_videos() -> None:
    by_scene = [scene < 6 for scene in range(12) for _ in range(8)]
    (system,) = rank_systems({"a": judged(by_scene)}, SCENES).systems
    drawn = np.random.default_rng(0).binomial(12, 0.5, 20000) / 12
    assert [system.ea.low, system.ea.high] == pytest.approx(np.quantile(drawn, [0.025, 0.975]), abs=1.01 / 12)
    wilson = system.figures.ea_8cls
    assert system.ea.high - system.ea.low > 2 * (wilson.high - wilson.low)
    (certain,) = rank_systems({"a": judged([True] * 96)}, SCENES).systems
    assert certain.ea.high == 1 and certain.ea.low == pytest.approx(12 / (12 + 1.959964**2), abs=1e-6)


def test_intervals_of_scenes_cover_the_truth_where_wilsons_do_not() -> None:
    covered = {"scenes": 0, "videos": 0}
    for seed in range(60):
        (system,) = rank_systems({"a": judged(by_chance(0.5, seed, spread=0.3))}, SCENES).systems
        covered["scenes"] += system.ea.low <= 0.5 <= system.ea.high
        covered["videos"] += system.figures.ea_8cls.low <= 0.5 <= system.figures.ea_8cls.high
    assert covered["scenes"] >= 52 > covered["videos"] + 5


def test_intervals_of_means_draw_whole_scenes() -> None:
    from scipy.stats import bootstrap

    random = np.random.default_rng(0)
    by_scene = random.normal(size=(20, 1)) + random.normal(scale=0.1, size=(20, 3))
    theirs = bootstrap((by_scene.mean(1),), np.mean, method="percentile", n_resamples=4000, rng=1)
    found = mean_interval(by_scene.ravel().tolist(), [scene for scene in range(20) for _ in range(3)])
    assert found == pytest.approx(tuple(theirs.confidence_interval), abs=0.04)
    assert mean_interval([1.0, 2.0], ["a", "a"]) is None

    right = random.random((20, 8)) < np.linspace(0.1, 0.9, 8)
    macro = macro_recall(
        right.ravel().tolist(), list(EMOTIONS) * 20, [s for s in range(20) for _ in EMOTIONS]
    )
    theirs = bootstrap((right.mean(1),), np.mean, method="percentile", n_resamples=4000, rng=1)
    assert macro.value == pytest.approx(right.mean())
    assert (macro.low, macro.high) == pytest.approx(tuple(theirs.confidence_interval), abs=0.02)


def test_what_drawing_scenes_cannot_vary_still_has_an_interval() -> None:
    from statsmodels.stats.proportion import confint_proportions_2indep

    found = rank_systems({"all": judged([True] * 96), "none": judged([False] * 96)}, SCENES)
    (pair,) = found.pairs
    theirs = confint_proportions_2indep(12, 12, 0, 12, method="newcomb", compare="diff")
    assert pair.difference is not None and pair.difference.value == 1
    assert (pair.difference.low, pair.difference.high) == pytest.approx(theirs, abs=1e-9)
    for system, low in zip(found.systems, (12 / (12 + 1.959964**2), 0.0), strict=True):
        for share in (system.macro_recall, *system.recall.values()):
            assert share is not None and share.low == pytest.approx(low, abs=1e-6)


def test_alike_systems_are_seldom_told_apart() -> None:
    found = 0
    for seed in range(40):
        alike = {str(number): judged(by_chance(0.4, 10 * seed + number, 0.2)) for number in range(4)}
        found += any(pair.differs for pair in rank_systems(alike, SCENES).pairs)
    assert found <= 6  # of 40 at a level of 5 %: more with probability 0.003


def test_only_common_requests_are_compared(systems: dict[str, Judged]) -> None:
    some = list(SCENES)[:40]
    found = rank_systems({"best": systems["best"], "short": judged([True] * 40, requests=some)}, SCENES)
    assert found.pairs[0].requests == 40 and found.pairs[0].scenes == 5
    other = judged([True] * 8, requests=list(SCENES)[40:48])
    apart = rank_systems({"short": judged([True] * 40, requests=some), "other": other}, SCENES).pairs[0]
    assert (apart.requests, apart.p, apart.p_holm, apart.difference) == (0, None, None, None)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({}, "no systems"),
        ({"a": judged([]), "b": judged([True])}, "system a has no videos"),
        ({"a": judged([True]), "b": judged([True], "other")}, "needs one judge"),
        ({"a": judged([True], requests=["9 awe"]), "b": judged([True])}, "request .* has no scene"),
    ],
)
def test_what_cannot_be_ranked_is_refused(wrong: dict[str, Judged], said: str) -> None:
    scenes = {request: scene for request, scene in SCENES.items() if not request.startswith("9 ")}
    with pytest.raises(ValueError, match=said):
        rank_systems(wrong, scenes)


def test_judges_that_disagree_on_the_order_are_named(ranking: Ranking, systems: dict[str, Judged]) -> None:
    from scipy.stats import kendalltau

    same = order_agreement(ranking, ranking)
    assert same.agrees and same.tau == pytest.approx(1) and "agree on the order" in same.in_words()
    turned = dict(zip(("best", "good", "poor", "broken"), (0.1, 0.3, 0.65, 0.8), strict=True))
    shares = {name: judged(by_chance(share, 7, 0.05), "other") for name, share in turned.items()}
    found = order_agreement(ranking, other := rank_systems(shares, SCENES))
    values = [[next(s for s in r.systems if s.name == n).ea.value for n in turned] for r in (ranking, other)]
    assert found.tau == pytest.approx(kendalltau(*values).statistic) and found.tau == pytest.approx(-1)
    assert len(found.swapped) == 6 and ("best", "poor") in found.contradicted
    assert ("best", "good") not in found.contradicted  # the first judge does not tell them apart
    assert "disagree" in found.in_words() and "each the other way" in found.in_words()
    flat = rank_systems({name: systems["good"] for name in turned}, SCENES)
    assert order_agreement(ranking, flat).tau is None
    with pytest.raises(ValueError, match="must be the same"):
        order_agreement(ranking, rank_systems({"a": systems["good"]}, SCENES))


def answering(answers: Sequence[str | None], labels: Sequence[str]) -> Judged:
    rows = [
        Judgement(str(n), label, said, None, None)
        for n, (said, label) in enumerate(zip(answers, labels, strict=True))
    ]
    return Judged("judge", tuple(rows))


@pytest.mark.parametrize(
    ("answers", "labels", "unfit", "said"),
    [
        (EMOTIONS * 4, EMOTIONS * 4, False, "100.0%"),
        (("awe",) * 17 + EMOTIONS + EMOTIONS[:7], EMOTIONS * 4, True, "answers “awe” to 59%"),
        (("awe",) * 12 + EMOTIONS[2:] + EMOTIONS + EMOTIONS[2:], EMOTIONS * 4, False, "On 32 real clips"),
        (("awe",) * 20, ("awe",) * 18 + ("fear",) * 2, True, "answers “awe” to 100%"),
        (("awe",) * 18 + ("fear",) * 2, ("awe",) * 18 + ("fear",) * 2, False, "100.0%"),
        (EMOTIONS[1:] + EMOTIONS[:1], EMOTIONS, False, "not shown to do better than chance"),
        ((None,) * 4, EMOTIONS[:4], False, "0.0%"),
        ((), (), False, "not known"),
    ],
)
def test_a_judge_that_collapses_on_real_clips_is_unfit(
    answers: Sequence[str | None], labels: Sequence[str], unfit: bool, said: str
) -> None:
    found = judge_fitness(answering(answers, labels))
    assert found.is_unfit is unfit and said in found.in_words()
    assert ("Unfit" in found.in_words()) is unfit
