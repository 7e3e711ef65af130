"""EA-8cls against scikit-learn, torchmetrics, statsmodels and scipy on random inputs."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emovid_models.metrics.ea_8cls.ea_8cls import EMOTIONS, EA8cls, compare, mcnemar_p, score, wilson_interval

sklearn = pytest.importorskip("sklearn.metrics")
scipy_stats = pytest.importorskip("scipy.stats")
torch = pytest.importorskip("torch")
torchmetrics = pytest.importorskip("torchmetrics.functional.classification")
proportion = pytest.importorskip("statsmodels.stats.proportion")
contingency = pytest.importorskip("statsmodels.stats.contingency_tables")

rows = st.lists(st.tuples(st.integers(0, 7), st.integers(-1, 7)), min_size=1, max_size=80)
weights = st.lists(st.floats(1e-3, 1e3), min_size=80, max_size=80)
# scikit-learn and torchmetrics know no unscored row: a ninth class that is never a reference stands for it.
NINTH = 8


def split(pairs):
    truth = np.array([pair[0] for pair in pairs])
    guesses = np.array([pair[1] for pair in pairs])
    return (
        truth,
        [None if guess < 0 else int(guess) for guess in guesses],
        np.where(guesses < 0, NINTH, guesses),
    )


def close(value):
    return pytest.approx(value, rel=1e-9, abs=1e-12)


@given(rows, weights, st.booleans())
@settings(deadline=None, max_examples=150)
def test_shares_matrix_and_per_emotion_values_are_scikit_learns(pairs, all_weights, weighted):
    truth, predictions, guesses = split(pairs)
    weight = np.array(all_weights[: len(truth)]) if weighted else None
    result = score(predictions, truth, sample_weight=weight)

    assert result["ea_8cls"] == close(sklearn.accuracy_score(truth, guesses, sample_weight=weight))
    valence = np.where(guesses == NINTH, 2, guesses // 4)
    assert result["ea_2cls"] == close(sklearn.accuracy_score(truth // 4, valence, sample_weight=weight))
    matrix = sklearn.confusion_matrix(truth, guesses, labels=range(9), sample_weight=weight)
    assert np.array(result["confusion_matrix"]) == close(matrix[:8, :8])
    assert [row["unscored"] for row in result["per_emotion"].values()] == close(matrix[:8, 8].tolist())
    assert list(result["per_emotion"]) == list(EMOTIONS)

    expected = sklearn.precision_recall_fscore_support(
        truth, guesses, labels=range(8), sample_weight=weight, zero_division=np.nan
    )
    for name, values in zip(("precision", "recall", "f1", "support"), expected, strict=True):
        found = [row[name] for row in result["per_emotion"].values()]
        assert [np.nan if value is None else value for value in found] == pytest.approx(
            values.tolist(), rel=1e-9, abs=1e-12, nan_ok=True
        )


@given(rows, weights, st.booleans(), st.sampled_from(["macro", "weighted", "micro"]))
@settings(deadline=None, max_examples=150)
def test_averages_are_scikit_learns_over_the_emotions_that_occur(pairs, all_weights, weighted, average):
    truth, predictions, guesses = split(pairs)
    weight = np.array(all_weights[: len(truth)]) if weighted else None
    result = score(predictions, truth, sample_weight=weight, average=average)
    labels = range(8) if average == "micro" else np.unique(truth)
    expected = sklearn.precision_recall_fscore_support(
        truth, guesses, labels=labels, average=average, sample_weight=weight, zero_division=0
    )
    assert [result[name] for name in ("precision", "recall", "f1")] == close(list(expected[:3]))
    if average == "macro":
        assert [result[f"macro_{name}"] for name in ("precision", "recall", "f1")] == close(
            list(expected[:3])
        )
    assert result["macro_recall"] == close(score(predictions, truth, sample_weight=weight)["macro_recall"])


@given(st.integers(1, 300), st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=100)
def test_rows_of_probabilities_agree_with_torchmetrics_and_scikit_learn(n, seed):
    generator = np.random.default_rng(seed)
    probabilities = generator.dirichlet(np.full(8, 0.3), n)
    truth = generator.integers(0, 8, n)
    result = score(probabilities, truth)
    preds, target = torch.from_numpy(probabilities), torch.from_numpy(truth)

    assert result["scores"] == "probabilities"
    expected = torchmetrics.multiclass_accuracy(preds, target, num_classes=8, average="micro")
    assert result["ea_8cls"] == pytest.approx(expected.item(), abs=1e-6)
    expected = torchmetrics.multiclass_confusion_matrix(preds, target, num_classes=8)
    assert result["confusion_matrix"] == expected.tolist()
    expected = torchmetrics.multiclass_f1_score(preds, target, num_classes=8, average="none")
    found = [row["f1"] or 0.0 for row in result["per_emotion"].values()]
    assert found == pytest.approx(expected.tolist(), abs=1e-6)
    expected = torchmetrics.multiclass_calibration_error(preds, target, num_classes=8, n_bins=15, norm="l1")
    assert result["expected_calibration_error"] == pytest.approx(expected.item(), abs=1e-6)
    expected = sklearn.brier_score_loss(truth, probabilities, labels=range(8), scale_by_half=False)
    assert result["brier_score"] == close(expected)
    negative = probabilities[:, 4:].sum(axis=1) > 0.5
    assert result["ea_2cls_prob"] == close(sklearn.accuracy_score(truth // 4, negative))


@given(st.integers(1, 60), st.integers(0, 2**32 - 1), st.floats(0.1, 30))
@settings(deadline=None, max_examples=60)
def test_logits_agree_with_torchs_softmax_and_weights_with_repeated_rows(n, seed, scale):
    generator = np.random.default_rng(seed)
    logits = generator.normal(0, scale, (n, 8))
    truth = generator.integers(0, 8, n)
    times = generator.integers(1, 4, n)
    soft = torch.from_numpy(logits).softmax(1).numpy()
    by_logit = score(logits, truth, scores="logits", sample_weight=times, ties="first")
    repeated = score(np.repeat(soft, times, axis=0), np.repeat(truth, times), ties="first")
    for key in ("ea_8cls", "ea_2cls_prob", "brier_score", "expected_calibration_error", "macro_f1"):
        assert by_logit[key] == pytest.approx(repeated[key], abs=1e-9)


@given(st.integers(1, 10**7), st.floats(0, 1), st.floats(0.5, 0.9999))
@settings(deadline=None, max_examples=200)
def test_the_wilson_interval_is_statsmodels(n, share, level):
    count = round(share * n)
    expected = proportion.proportion_confint(count, n, alpha=1 - level, method="wilson")
    assert wilson_interval(count, n, level) == pytest.approx(expected, rel=1e-9, abs=1e-12)


@given(st.integers(0, 1500), st.integers(0, 1500))
@settings(deadline=None, max_examples=100)
def test_mcnemar_is_statsmodels(a_only, b_only):
    expected = contingency.mcnemar([[7, a_only], [b_only, 7]], exact=True).pvalue
    # statsmodels rounds values below about 1e-290 to 0.
    assert mcnemar_p(a_only, b_only) == pytest.approx(expected, rel=1e-9, abs=1e-280)


@given(st.integers(0, 400), st.integers(0, 1000))
@settings(deadline=None, max_examples=60)
def test_mcnemar_is_the_nearest_float_to_the_exact_sum(fewer, more):
    n = 2 * fewer + more
    exact = Fraction(2 * sum(math.comb(n, k) for k in range(fewer + 1)), 2**n)
    assert mcnemar_p(fewer, fewer + more) == min(1.0, float(exact))


@pytest.mark.parametrize(
    ("a_only", "b_only"),
    [(5_001, 5_000), (4_800, 5_201), (0, 10_500), (499_000, 501_000), (4_998_000, 5_001_000), (9, 40_000)],
)
def test_mcnemar_of_many_pairs_is_the_binomial_test(a_only, b_only):
    expected = scipy_stats.binomtest(a_only, a_only + b_only, 0.5).pvalue
    assert mcnemar_p(a_only, b_only) == pytest.approx(expected, rel=1e-8, abs=1e-300)
    assert mcnemar_p(a_only, b_only) == mcnemar_p(b_only, a_only)


def test_mcnemar_is_continuous_where_the_integers_end():
    # n = 10,000 is summed in integers, 10,001 in floats. Below the middle
    # p(m, n + 1) = (p(m, n) + p(m - 1, n)) / 2.
    joined = (mcnemar_p(4_900, 5_100) + mcnemar_p(4_899, 5_101)) / 2
    assert mcnemar_p(4_900, 5_101) == pytest.approx(joined, rel=1e-12)


@given(rows, st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=60)
def test_compare_counts_what_statsmodels_tests(pairs, seed):
    truth, a, guesses = split(pairs)
    b = np.random.default_rng(seed).integers(0, 8, len(truth))
    result = compare(a, b, truth, resamples=50)
    table = np.array([[result["both"], result["a_only"]], [result["b_only"], result["neither"]]])
    expected = sklearn.confusion_matrix(guesses != truth, b != truth, labels=[False, True])
    assert table.tolist() == expected.tolist()
    assert result["mcnemar_p"] == pytest.approx(contingency.mcnemar(table, exact=True).pvalue, rel=1e-9)
    assert result["difference"] == close(result["a_ea_8cls"] - result["b_ea_8cls"])
    assert result["a_ea_8cls"] == score(a, truth)["ea_8cls"]


@given(rows, st.data())
@settings(deadline=None, max_examples=60)
def test_batches_of_any_size_give_what_one_call_gives(pairs, data):
    truth, predictions, _ = split(pairs)
    n = len(truth)
    groups = data.draw(st.lists(st.sampled_from(["a", "b", 3]), min_size=n, max_size=n))
    weight = data.draw(st.lists(st.integers(1, 4), min_size=n, max_size=n))
    cuts = sorted(data.draw(st.lists(st.integers(0, n), max_size=4)))
    metric = EA8cls()
    for low, high in zip([0, *cuts], [*cuts, n], strict=True):
        metric.add_batch(
            predictions=predictions[low:high],
            references=truth[low:high],
            groups=groups[low:high],
            sample_weight=weight[low:high],
        )
    assert len(metric) == n
    assert metric.compute() == score(predictions, truth, groups=groups, sample_weight=weight)
    assert len(metric) == 0


def test_the_cluster_bootstrap_is_that_of_resampled_groups():
    generator = np.random.default_rng(3)
    groups = generator.integers(0, 25, 400)
    quality = generator.random(25)
    truth = generator.integers(0, 8, 400)
    guesses = np.where(generator.random(400) < quality[groups], truth, (truth + 1) % 8)
    weight = generator.integers(1, 4, 400)
    draws = []
    members = [np.flatnonzero(groups == group) for group in range(25)]
    for _ in range(4000):
        drawn = np.concatenate([members[group] for group in generator.integers(0, 25, 25)])
        draws.append(np.average(guesses[drawn] == truth[drawn], weights=weight[drawn]))
    result = score(guesses, truth, groups=groups, sample_weight=weight, resamples=4000)
    assert result["ea_8cls_bootstrap"] == pytest.approx(np.quantile(draws, [0.025, 0.975]), abs=0.012)
    low, high = result["ea_8cls_wilson"]
    assert result["ea_8cls_bootstrap"][1] - result["ea_8cls_bootstrap"][0] > high - low


def test_a_bootstrap_of_single_rows_is_binomial():
    guesses = np.r_[np.zeros(600, int), np.ones(400, int)]
    result = score(guesses, np.zeros(1000, int), groups=np.arange(1000), resamples=20_000)
    expected = scipy_stats.binom.ppf([0.025, 0.975], 1000, 0.6) / 1000
    assert result["ea_8cls_bootstrap"] == pytest.approx(expected, abs=0.0021)


@pytest.mark.parametrize("by_groups", [False, True])
def test_the_paired_bootstrap_is_that_of_resampled_pairs(by_groups):
    generator = np.random.default_rng(8)
    truth = generator.integers(0, 8, 300)
    groups = np.arange(300) // 10
    a = np.where(generator.random(300) < 0.6, truth, 0)
    b = np.where(generator.random(300) < 0.5, truth, 0)
    gain = (a == truth).astype(int) - (b == truth)
    unit = gain.reshape(30, 10).mean(axis=1) if by_groups else gain
    draws = unit[generator.integers(0, len(unit), (6000, len(unit)))].mean(axis=1)
    result = compare(a, b, truth, groups=groups if by_groups else None, resamples=6000)
    assert result["difference_bootstrap"] == pytest.approx(np.quantile(draws, [0.025, 0.975]), abs=0.012)
