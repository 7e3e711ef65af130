"""The analyses' numbers on made-up clips with a known answer, and against scipy and statsmodels."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pandas
import pytest
import statsmodels.api
import statsmodels.formula.api
from analyse_clips import clip_table
from scipy import stats
from statsmodels.stats.oneway import confint_noncentrality
from statsmodels.stats.proportion import proportion_confint

from emovid_dataset.analyse.anova import Anova, one_way
from emovid_dataset.analyse.attribute_means import AttributeMeans, attribute_means
from emovid_dataset.analyse.emotion_counts import emotions_by_type
from emovid_dataset.analyse.hue_directions import HueDirections, hue_directions
from emovid_dataset.analyse.intervals import grouped_mean_interval, wilson
from emovid_dataset.analyse.outcomes import Interval, NotComputed, as_json
from emovid_dataset.analyse.positive_share import PositiveShares, positive_share
from emovid_dataset.analyse.transitions import Transitions, transitions
from emovid_dataset.analyse.valence_arousal import valence_arousal
from emovid_dataset.schema.emotions import EMOTIONS
from emovid_dataset.schema.portable.norms import WARRINER

RNG = np.random.default_rng


def test_counts_and_shares_by_content_type() -> None:
    clips = clip_table([0, 0, 4, 7], types=[0, 0, 0, 1], content_types=("cartoon", "movie"))
    everything, cartoon, movie = emotions_by_type(clips)
    assert (everything.content_type, everything.clips, everything.positive) == ("all", 4, 0.5)
    assert (cartoon.counts["amusement"], cartoon.counts["anger"], cartoon.counts["sadness"]) == (2, 1, 0)
    assert cartoon.shares["amusement"] == pytest.approx(2 / 3) and movie.shares["sadness"] == 1
    assert movie.positive == 0


def test_the_map_places_words_by_their_norms() -> None:
    placed = {item.emotion: item for item in valence_arousal(clip_table([3, 3, 6, 7]))}
    assert (placed["excitement"].valence, placed["excitement"].arousal) == (7.62, 6.21)
    assert (placed["excitement"].clips, placed["excitement"].share, placed["awe"].share) == (2, 0.5, 0)
    assert set(WARRINER) == set(EMOTIONS)


def test_another_taxonomy_has_its_own_valences_and_no_norms_for_new_words() -> None:
    clips = replace(clip_table([0, 1, 1]), emotions=("grief", "awe"), valences=(1, 0))
    grief, awe = valence_arousal(clips)
    assert grief.valence == NotComputed("the word's norm is not known here") == grief.arousal
    assert (grief.share, awe.valence) == (pytest.approx(1 / 3), 6.85)
    assert emotions_by_type(clips)[0].positive == pytest.approx(2 / 3)
    means = attribute_means(
        replace(clips, attributes={**clips.attributes, "brightness": np.array([0.1, 0.2, 0.3])}), "brightness"
    )["all"]
    assert isinstance(means, AttributeMeans)
    assert [item.clips for item in (*means.emotions, *means.valences, *means.arousals)] == [1, 2, 2, 1, 0, 2]


@pytest.mark.parametrize(("successes", "n"), [(0, 5), (5, 5), (3, 7), (160, 240), (1, 1)])
def test_wilson_is_statsmodels(successes: int, n: int) -> None:
    found = wilson(successes, n)
    assert isinstance(found, Interval)
    wanted = proportion_confint(successes, n, method="wilson")
    assert (found.low, found.high) == pytest.approx(wanted, abs=1e-9)


def test_shares_by_bin_count_every_clip_once_and_say_which_bins_are_empty() -> None:
    values = [0.0, 0.1, 0.15, 0.3, 0.95, 1.0, math.nan]
    clips = clip_table([0, 4, 0, 4, 0, 1, 0], brightness=values)
    found = positive_share(clips, "brightness")["all"]
    assert isinstance(found, PositiveShares)
    assert (found.clips, found.unknown, len(found.bins)) == (6, 1, 10)
    assert [item.clips for item in found.bins] == [1, 2, 0, 1, 0, 0, 0, 0, 0, 2]
    assert [item.positive for item in found.bins] == [1, 1, 0, 0, 0, 0, 0, 0, 0, 2]
    assert found.bins[1].share == 0.5 and found.bins[1].interval == wilson(1, 2)
    assert found.bins[2].share == NotComputed("no clips") == found.bins[2].interval
    assert positive_share(clips, "colorfulness")["all"] == NotComputed("no clip has a colorfulness")
    # 0.29 belongs to the bin that begins there, although 0.29 * 100 is just below 29
    fine = positive_share(clip_table([0], brightness=[0.29]), "brightness", bins=100)["all"]
    assert isinstance(fine, PositiveShares) and fine.bins[29].clips == 1


def drawn(seed: int, per_group: int = 3) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Values by emotion with an effect of emotion and of group."""
    rng = RNG(seed)
    groups = np.repeat(np.arange(60), per_group)
    labels = rng.integers(4, size=len(groups))
    values = 0.4 + 0.02 * labels + rng.normal(0, 0.1, 60)[groups] + rng.normal(0, 0.1, len(groups))
    return values, labels, groups


def test_the_anova_is_scipys_and_statsmodels() -> None:
    values, labels, groups = drawn(1)
    found = one_way(values, labels, groups)
    assert isinstance(found, Anova)
    f, p = stats.f_oneway(*(values[labels == label] for label in range(4)))
    assert (found.f, found.p) == pytest.approx((f, p))
    frame = pandas.DataFrame({"y": values, "x": labels, "g": groups})
    fitted = statsmodels.formula.api.ols("y ~ C(x)", frame).fit()
    table = statsmodels.api.stats.anova_lm(fitted)
    assert found.eta_squared == pytest.approx(table["sum_sq"].iloc[0] / table["sum_sq"].sum())
    assert (found.between, found.within) == (3, len(values) - 4)
    robust = fitted.get_robustcov_results("cluster", groups=groups, use_t=True)
    wald = robust.wald_test(np.eye(4)[1:], use_f=True, scalar=True)
    assert found.p_by_groups == pytest.approx(float(wald.pvalue))


@pytest.mark.parametrize("effect", [0.0, 0.02, 0.3])
def test_the_interval_of_eta_squared_is_that_of_the_noncentrality(effect: float) -> None:
    rng = RNG(2)
    labels = np.repeat(np.arange(5), 30)
    values = effect * labels + rng.normal(0, 0.1, len(labels))
    found = one_way(values, labels, np.arange(len(labels)))
    assert isinstance(found, Anova)
    low, high = confint_noncentrality(found.f, (found.between, found.within), alpha=0.05)
    wanted = [value / (value + len(values)) for value in (max(low, 0), high)]
    assert (found.eta_interval.low, found.eta_interval.high) == pytest.approx(
        wanted, abs=5e-4
    )  # they stop early


def test_the_interval_of_eta_squared_covers_it() -> None:
    truth, inside, rng = 0.05, 0, RNG(3)
    labels = np.repeat(np.arange(4), 25)
    means = np.array([-1.5, -0.5, 0.5, 1.5])
    means *= math.sqrt(truth / (1 - truth) / (means**2).mean())
    for _ in range(400):
        found = one_way(means[labels] + rng.normal(size=len(labels)), labels, np.arange(len(labels)))
        assert isinstance(found, Anova)
        inside += found.eta_interval.low <= truth <= found.eta_interval.high
    assert 0.92 <= inside / 400 <= 0.98


def test_a_mean_of_independent_clips_has_students_interval() -> None:
    values = RNG(4).normal(size=20)
    found = grouped_mean_interval(values, np.arange(20))
    assert isinstance(found, Interval)
    low, high = stats.t.interval(0.95, 19, loc=values.mean(), scale=stats.sem(values))
    assert (found.low, found.high) == pytest.approx((low, high))


def test_a_mean_of_grouped_clips_has_the_cluster_robust_interval() -> None:
    values, _, groups = drawn(5)
    found = grouped_mean_interval(values, groups + 100)
    assert isinstance(found, Interval)
    fitted = statsmodels.api.OLS(values, np.ones(len(values))).fit(
        cov_type="cluster", cov_kwds={"groups": groups}, use_t=True
    )
    assert (found.low, found.high) == pytest.approx(tuple(fitted.conf_int()[0]))
    alone = grouped_mean_interval(values, np.arange(len(values)))
    assert isinstance(alone, Interval) and found.high - found.low > alone.high - alone.low


def test_means_are_of_each_emotion_valence_and_arousal() -> None:
    clips = clip_table([0, 0, 4, 3], brightness=[0.2, 0.4, 0.8, 0.6])
    found = attribute_means(clips, "brightness")["all"]
    assert isinstance(found, AttributeMeans)
    by_name = {item.name: item for item in (*found.emotions, *found.valences, *found.arousals)}
    assert by_name["amusement"].mean == pytest.approx(0.3)
    assert by_name["amusement"].deviation == pytest.approx(np.std([0.2, 0.4], ddof=1))
    assert by_name["positive"].mean == pytest.approx(0.4) and by_name["negative"].clips == 1
    assert by_name["negative"].interval == NotComputed("one clip only")
    assert by_name["awe"].mean == NotComputed("no clips")
    assert by_name["high arousal"].mean == pytest.approx(0.7)  # anger and excitement
    assert by_name["low arousal"].mean == pytest.approx(0.3)


def test_mixing_content_types_makes_an_effect_that_is_in_none_of_them() -> None:
    rng = RNG(6)
    types = np.repeat([0, 1], 300)
    # stickers are brighter and merrier; within a type emotion and brightness are independent
    labels = np.where(rng.random(600) < np.where(types == 0, 0.2, 0.8), 0, 4)
    values = np.where(types == 0, 0.3, 0.8) + rng.normal(0, 0.05, 600)
    clips = clip_table(labels, types=types, content_types=("movie", "sticker"), brightness=values)
    found = attribute_means(clips, "brightness")
    assert list(found) == ["all", "movie", "sticker"]
    anovas = [item.anova for item in found.values() if isinstance(item, AttributeMeans)]
    assert all(isinstance(anova, Anova) for anova in anovas)
    mixed, movie, sticker = (anova for anova in anovas if isinstance(anova, Anova))
    assert mixed.p < 1e-10 and mixed.eta_squared > 0.2
    assert movie.p > 0.01 and sticker.p > 0.01 and max(movie.eta_squared, sticker.eta_squared) < 0.03


def test_hues_on_both_sides_of_red_have_red_as_their_mean() -> None:
    hues = [350.0, 10.0, 355.0, 5.0, 90.0, 100.0, 110.0]
    found = hue_directions(clip_table([0, 0, 0, 0, 4, 4, 4], hue=hues), draws=199)["all"]
    assert isinstance(found, HueDirections)
    red, _, _, _, green, *_ = found.emotions
    assert isinstance(red.mean, float) and min(red.mean, 360 - red.mean) < 1e-6
    assert green.mean == pytest.approx(100) and green.clips == 3
    radians = np.radians(hues[4:])
    assert green.deviation == pytest.approx(np.degrees(stats.circstd(radians)))
    assert (
        isinstance(green.interval, Interval) and 90 <= green.interval.low < 100 < green.interval.high <= 110
    )
    assert found.p == pytest.approx(0.05, abs=0.05)  # 35 ways to part seven clips


def test_the_permutation_test_of_hues_agrees_with_watson_and_williams() -> None:
    """For concentrated hues their F holds."""
    rng = RNG(7)
    labels = np.repeat([0, 4, 6], 40)
    hues = np.degrees(rng.vonmises(0, 12, 120) + np.array([0.0, 0.07, 0.0])[np.repeat([0, 1, 2], 40)]) % 360
    found = hue_directions(clip_table(labels, hue=hues), draws=1999)["all"]
    assert isinstance(found, HueDirections)
    vectors = np.exp(1j * np.radians(hues))
    sums = sum(abs(vectors[labels == label].sum()) for label in (0, 4, 6))
    whole, n = abs(vectors.sum()), len(hues)
    kappa = 1 / (2 * (1 - sums / n))
    f = (1 + 3 / (8 * kappa)) * (n - 3) * (sums - whole) / (2 * (n - sums))
    assert found.explained == pytest.approx((sums - whole) / (n - whole))
    assert isinstance(found.p, float)
    assert found.p == pytest.approx(float(stats.f.sf(f, 2, n - 3)), abs=0.03)


def chain(matrix: np.ndarray, films: int, length: int, seed: int) -> tuple[list[int], list[int], list[float]]:
    """Emotions, films and start times of clips whose emotions follow a Markov chain, in no order."""
    rng = RNG(seed)
    rows = []
    for film in range(films):
        state = int(rng.integers(len(matrix)))
        for place in range(length):
            rows.append((state, film, 10.0 * place))
            state = int(rng.choice(len(matrix), p=matrix[state]))
    rng.shuffle(rows)
    return [row[0] for row in rows], [row[1] for row in rows], [row[2] for row in rows]


def sticky(staying: float) -> np.ndarray:
    return np.full((8, 8), (1 - staying) / 7) + np.eye(8) * (staying - (1 - staying) / 7)


def test_the_matrix_of_a_simulated_chain_is_found_again() -> None:
    rng = RNG(8)
    matrix = rng.dirichlet(np.ones(8), size=8)
    labels, films, starts = chain(matrix, films=80, length=60, seed=9)
    clips = clip_table(labels, sources=films, starts=starts, ends=[s + 5 for s in starts])
    found = transitions(clips, draws=299)
    assert isinstance(found, Transitions)
    assert (found.films, found.pairs, found.timed) == (80, 80 * 59, 4800)
    inside = 0
    for a in range(8):
        for b in range(8):
            cell = found.matrix[a][b]
            assert isinstance(cell.value, float)
            assert cell.value == pytest.approx(matrix[a, b], abs=0.08)
            if isinstance(cell.interval, Interval):
                inside += cell.interval.low <= matrix[a, b] <= cell.interval.high
            else:
                assert cell.value == 0 and matrix[a, b] < 0.01
    assert inside >= 56
    assert [cell.value for cell in found.staying] == [found.matrix[a][a].value for a in range(8)]
    assert not isinstance(found.independence, NotComputed) and found.independence.p == pytest.approx(1 / 300)


def test_independent_clips_are_not_taken_for_dependent_where_films_differ() -> None:
    """Sad films and merry ones: across films emotions cluster, within a film they follow no order."""
    rng = RNG(10)
    labels, films, starts = [], [], []
    for film in range(40):
        mood = rng.dirichlet(np.full(8, 0.5))
        labels += rng.choice(8, size=20, p=mood).tolist()
        films += [film] * 20
        starts += [float(second) for second in range(20)]
    found = transitions(
        clip_table(labels, sources=films, starts=starts, ends=[s + 1 for s in starts]), draws=299
    )
    assert isinstance(found, Transitions) and not isinstance(found.independence, NotComputed)
    assert found.independence.p > 0.05 and found.independence.staying_p > 0.05
    assert found.independence.staying == pytest.approx(found.independence.staying_expected, abs=0.03)
    assert found.independence.staying > 0.2  # far above 1/8: the films' own mixtures


def test_the_average_within_and_across_valence_leaves_staying_out() -> None:
    labels, films, starts = [], [], []
    for film, sequence in enumerate([[0, 0, 1, 4], [0, 1, 0, 5]]):
        labels += sequence
        films += [film] * 4
        starts += [0.0, 1.0, 2.0, 3.0]
    found = transitions(clip_table(labels, sources=films, starts=starts, ends=[s + 1 for s in starts]))
    assert isinstance(found, Transitions)
    # 0 -> 0, 1, 1, 5; 1 -> 4, 0; no other emotion begins a pair
    assert found.counts[0] == (1, 2, 0, 0, 0, 1, 0, 0) and found.counts[1] == (1, 0, 0, 0, 1, 0, 0, 0)
    assert found.within.value == pytest.approx((0.5 + 0 + 0 + 0.5 + 0 + 0) / 6)
    assert found.across.value == pytest.approx((0 + 0.25 + 0 + 0 + 0.5 + 0 + 0 + 0) / 8)
    assert found.matrix[2][3].value == NotComputed("no pair begins with this emotion")
    assert found.staying[0].value == 0.25
    # no film goes from 0 to 2, and drawing films again cannot show whether one might
    assert found.matrix[0][2].value == 0
    assert found.matrix[0][2].interval == NotComputed("the films do not differ in it")


def test_consecutive_is_what_the_arguments_say() -> None:
    clips = clip_table(
        [0, 1, 2, 3, 4],
        sources=[0, 0, 0, 1, 1],
        groups=[0, 0, 0, 0, 0],
        starts=[20.0, 0.0, 9.5, 0.0, math.nan],
        ends=[25.0, 9.0, 15.0, 5.0, math.nan],
    )

    def pairs(**options: object) -> set[tuple[int, int]]:
        found = transitions(clips, **options)  # type: ignore[arg-type]
        if isinstance(found, NotComputed):
            return set()
        return {(a, b) for a, row in enumerate(found.counts) for b, count in enumerate(row) if count}

    assert pairs() == {(1, 2), (2, 0)}
    assert pairs(gap=0.5) == {(1, 2)}
    assert pairs(gap=0.4) == set()
    assert pairs(film="group") == {
        (3, 1),
        (1, 2),
        (2, 0),
    }  # the shorter of two that begin at once comes first
    with pytest.raises(ValueError, match="film is 'title'; allowed: source, group"):
        pairs(film="title")


def test_few_clips_and_missing_columns_are_said_and_do_not_crash() -> None:
    for labels in ([0], [0, 0], [0, 4]):
        clips = clip_table(
            labels,
            brightness=[0.5] * len(labels),
            colorfulness=[0.5] * len(labels),
            hue=[20.0] * len(labels),
            sources=[0] * len(labels),
            starts=[float(place) for place in range(len(labels))],
            ends=[place + 1.0 for place in range(len(labels))],
        )
        found = attribute_means(clips, "brightness")["all"]
        assert isinstance(found, AttributeMeans) and isinstance(found.anova, NotComputed)
        hues = hue_directions(clips)["all"]
        assert isinstance(hues, HueDirections) and isinstance(hues.p, NotComputed)
        matrix = transitions(clips)
        if len(labels) == 1:
            assert matrix == NotComputed("no two clips with start times are consecutive in one source")
        else:
            assert isinstance(matrix, Transitions)
            assert matrix.matrix[0][0].interval == NotComputed("one film only")
            assert isinstance(matrix.independence, NotComputed) == (labels == [0, 0])
        assert as_json(matrix) and as_json(hues) and as_json(found)
    empty = clip_table([0, 4])
    assert attribute_means(empty, "colorfulness")["all"] == NotComputed("no clip has a colorfulness")
    assert hue_directions(empty)["all"] == NotComputed("no clip has a hue")
    assert isinstance(transitions(empty), NotComputed)
    old = replace(empty, format=1)
    reason = "a build of format 1 has no {} as the paper defines it; build it again"
    assert attribute_means(old, "brightness")["all"] == NotComputed(reason.format("brightness"))
    assert positive_share(old, "colorfulness")["all"] == NotComputed(reason.format("colorfulness"))
    assert hue_directions(old)["all"] == NotComputed(reason.format("hue"))
    one = one_way(np.array([0.5, 0.5, 0.7, 0.7]), np.array([0, 0, 1, 1]), np.arange(4))
    assert one == NotComputed("all clips of an emotion have the same value")
