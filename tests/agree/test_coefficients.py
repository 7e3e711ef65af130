"""Coefficients of agreement against other libraries, published tables, and what is not defined."""

from __future__ import annotations

import krippendorff
import numpy as np
import pytest
from published import (
    DAWID_SKENE_1979,
    DAWID_SKENE_FIRST,
    DAWID_SKENE_SHARES,
    FLEISS_1971,
    KRIPPENDORFF_2011,
)
from statsmodels.stats import inter_rater

from emovid_dataset.agree.alpha import coincidences, krippendorff_alpha
from emovid_dataset.agree.dawid_skene import dawid_skene
from emovid_dataset.agree.kappa import cohen_kappa, confusion_of, fleiss_kappa, mean_kappas, pairs_of
from emovid_dataset.agree.rating_table import counts_of
from emovid_dataset.agree.wheel import wheel_distances
from emovid_dataset.schema.emotions import EMOTIONS

SIZE = 9


def ratings(seed: int, clips: int = 60, raters: int = 4, missing: float = 0.25) -> np.ndarray:
    """Answers that agree more than by chance, with gaps."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, SIZE, (clips, 1))
    codes = np.where(rng.random((clips, raters)) < 0.6, truth, rng.integers(0, SIZE, (clips, raters)))
    codes[rng.random(codes.shape) < missing] = -1
    return codes


def test_krippendorffs_own_example() -> None:
    counts = counts_of(np.where(KRIPPENDORFF_2011 > 0, KRIPPENDORFF_2011 - 1, -1).T, 5)
    assert krippendorff_alpha(counts).value == pytest.approx(0.743, abs=5e-4)
    apart = np.subtract.outer(np.arange(5), np.arange(5)) ** 2
    assert krippendorff_alpha(counts, apart).value == pytest.approx(0.849, abs=5e-4)
    found = coincidences(counts)  # the paper's table of coincidences, and its sum
    assert found.sum() == pytest.approx(40) and np.diag(found) == pytest.approx([7, 10, 8, 4, 3], abs=1e-9)


def test_the_wheel_is_a_metric_with_neighbours_and_opposites() -> None:
    squared = wheel_distances(EMOTIONS)
    assert squared is not None and (squared == squared.T).all() and (np.diag(squared) == 0).all()
    apart = np.sqrt(squared)
    around = (apart[:, :, None] <= apart[:, None, :] + apart.T[None] + 1e-9).all()
    assert around and (np.sort(apart[:8, :8]) == [0, 1, 1, 2, 2, 3, 3, 4]).all()
    assert apart[EMOTIONS.index("amusement"), EMOTIONS.index("fear")] == 4
    assert apart[EMOTIONS.index("excitement"), EMOTIONS.index("fear")] == 1
    assert (apart[8, :8] == 2).all()
    assert wheel_distances(("joy", "grief")) is None


@pytest.mark.parametrize("seed", range(4))
def test_alpha_is_the_librarys(seed: int) -> None:
    counts = counts_of(ratings(seed), SIZE)
    counts = counts[counts.sum(1) > 0]
    known = krippendorff.alpha(value_counts=counts, level_of_measurement="nominal")
    assert krippendorff_alpha(counts).value == pytest.approx(known)
    squared = wheel_distances(EMOTIONS)
    assert squared is not None

    def distance(first: np.ndarray, second: np.ndarray, *_: object, **__: object) -> np.ndarray:
        return squared[first.astype(int), second.astype(int)]

    wheel = krippendorff.alpha(
        value_counts=counts, value_domain=np.arange(SIZE), level_of_measurement=distance
    )
    assert krippendorff_alpha(counts, squared).value == pytest.approx(wheel)
    assert wheel != pytest.approx(known)


@pytest.mark.parametrize("seed", range(4))
def test_kappas_are_statsmodels(seed: int) -> None:
    codes = ratings(seed, missing=0)
    assert fleiss_kappa(counts_of(codes, SIZE)).value == pytest.approx(
        inter_rater.fleiss_kappa(counts_of(codes, SIZE), method="fleiss")
    )
    gaps = ratings(seed)
    confusion = confusion_of(gaps[:, 0], gaps[:, 1], SIZE)
    known = inter_rater.cohens_kappa(confusion, return_results=False)
    assert cohen_kappa(confusion).value == pytest.approx(known)
    means, _ = mean_kappas(gaps, {"all": pairs_of(4)}, SIZE)
    each = [
        inter_rater.cohens_kappa(confusion_of(gaps[:, one], gaps[:, other], SIZE), return_results=False)
        for one, other in pairs_of(4)
    ]
    assert means["all"].value == pytest.approx(np.mean(each))


def test_fleiss_table_of_1971() -> None:
    assert FLEISS_1971.sum(0).tolist() == [26, 26, 30, 55, 43]  # the table's own sums
    assert fleiss_kappa(FLEISS_1971).value == pytest.approx(0.430, abs=5e-4)


def test_dawid_and_skenes_anaesthetists() -> None:
    rows = [
        (patient, observer, int(answer) - 1)
        for patient, line in enumerate(DAWID_SKENE_1979.split("|"))
        for observer, answers in enumerate(line.split())
        for answer in answers
    ]
    clips, raters, answers = np.array(rows).T
    assert len(rows) == 45 * 7
    found = dawid_skene(clips, raters, answers, 4)
    assert found.converged and found.shares == pytest.approx(DAWID_SKENE_SHARES, abs=5.1e-3)
    assert found.errors[0] == pytest.approx(np.array(DAWID_SKENE_FIRST), abs=5.1e-3)
    assert found.posterior.sum(1) == pytest.approx(1) and (found.errors.sum(2) == pytest.approx(1))


def test_estimates_find_the_rater_who_guesses_and_outvote_two_of_them() -> None:
    rng = np.random.default_rng(5)
    truth = rng.integers(0, 3, 400)
    chances = (0.95, 0.9, 0.4, 0.34, 0.34)
    codes = np.stack(
        [np.where(rng.random(400) < chance, truth, rng.integers(0, 3, 400)) for chance in chances], axis=1
    )
    rows, columns = np.nonzero(codes >= 0)
    found = dawid_skene(rows, columns, codes[rows, columns], 3)
    right = [(codes[:, rater] == truth).mean() for rater in range(5)]
    assert found.reliabilities == pytest.approx(right, abs=0.04)
    majority = counts_of(codes, 3).argmax(1)
    assert (found.posterior.argmax(1) == truth).mean() > (majority == truth).mean() + 0.03


ONE_WAY = np.array([[3, 0], [3, 0]])
NOBODY = np.array([[1, 0], [0, 1]])


@pytest.mark.parametrize(
    "found, reason",
    [
        (krippendorff_alpha(ONE_WAY, draws=50), "all answers are the same"),
        (krippendorff_alpha(NOBODY, draws=50), "no clip has two raters"),
        (krippendorff_alpha(np.zeros((0, 2))), "no clip has two raters"),
        (fleiss_kappa(ONE_WAY, draws=50), "all answers are the same"),
        (fleiss_kappa(NOBODY), "no clip has two raters"),
        (cohen_kappa(np.array([[4, 0], [0, 0]]), draws=50), "both gave one and the same answer throughout"),
        (cohen_kappa(np.zeros((2, 2), int)), "no clip was rated by both"),
        (mean_kappas(np.zeros((3, 1), int), {"all": []}, 2, draws=50)[0]["all"], "no pair of raters has a"),
    ],
)
def test_what_is_not_defined_says_why(found: object, reason: str) -> None:
    assert str(found).startswith(f"not defined: {reason}")
    assert found.value is None and found.low is None  # type: ignore[attr-defined]


def test_intervals_are_those_of_drawing_clips() -> None:
    codes = ratings(7, clips=80)
    counts = counts_of(codes, SIZE)
    counts = counts[counts.sum(1) > 1]
    found = krippendorff_alpha(counts, draws=2000, seed=1)
    rng = np.random.default_rng(2)
    drawn = [
        krippendorff.alpha(
            value_counts=counts[rng.integers(0, len(counts), len(counts))], level_of_measurement="nominal"
        )
        for _ in range(300)
    ]
    low, high = np.quantile(drawn, [0.025, 0.975])
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.03)
    assert krippendorff_alpha(counts, draws=2000, seed=1) == found
    kappa = cohen_kappa(confusion_of(codes[:, 0], codes[:, 1], SIZE), draws=2000)
    assert kappa.low is not None and kappa.high is not None and kappa.value is not None
    assert 0.1 < kappa.high - kappa.low < 0.6 and kappa.low < kappa.value < kappa.high
