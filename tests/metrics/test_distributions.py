"""Agreement with references that are distributions, against scipy and by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon
from scipy.special import rel_entr

from emovid_models.metrics.ea_8cls.ea_8cls import EA8cls
from emovid_models.metrics.ea_8cls.scoring import score

SOFT = ("soft_accuracy", "kl_divergence", "js_divergence")


def drawn(seed: int, n: int = 200) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Shares of three to five raters without ties, probabilities, and weights."""
    rng = np.random.default_rng(seed)
    votes = rng.multinomial(5, np.full(8, 1 / 8), n) + 0.0
    votes[np.arange(n), rng.integers(0, 8, n)] += 3.5
    return votes / votes.sum(1, keepdims=True), rng.dirichlet(np.full(8, 0.4), n), rng.random(n) + 0.1


@pytest.mark.parametrize("weighted", [False, True])
def test_the_measures_are_scipys(weighted: bool) -> None:
    truth, found, weight = drawn(1)
    result = score(found, truth, sample_weight=weight if weighted else None)
    mass = weight / weight.sum() if weighted else np.full(len(truth), 1 / len(truth))
    shares = [row[guess] for row, guess in zip(truth, found.argmax(1), strict=True)]
    assert result["soft_accuracy"] == pytest.approx(mass @ np.array(shares))
    assert result["kl_divergence"] == pytest.approx(mass @ rel_entr(truth, found).sum(1))
    distances = jensenshannon(truth, found, base=2, axis=1)
    assert result["js_divergence"] == pytest.approx(mass @ distances**2)


def test_everything_else_is_that_of_the_likeliest_emotions() -> None:
    truth, found, _ = drawn(2)
    soft, hard = score(found, truth), score(found, truth.argmax(1))
    assert {name: value for name, value in soft.items() if name not in SOFT} == {
        name: value for name, value in hard.items() if name not in SOFT
    }
    assert list(soft) == list(hard) and all(hard[name] is None for name in SOFT)


def test_logits_labels_and_unscored_rows() -> None:
    truth = [[0.75, 0.25, 0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 1, 0, 0, 0], [0, 0.6, 0.4, 0, 0, 0, 0, 0]]
    labels = score(["awe", None, 2], truth)
    assert labels["soft_accuracy"] == pytest.approx((0.25 + 0 + 0.4) / 3) and labels["ea_8cls"] == 0
    assert labels["kl_divergence"] is None and labels["js_divergence"] is None
    logits = np.log(np.array([[0.5, 0.3, 0.02, 0.03, 0.05, 0.05, 0.03, 0.02]])) + 7
    rows = [logits[0], None, [0.1, 0.1, 5, 0, 0, 0, 0, 0]]
    found = score(rows, truth, scores="logits")
    first = 0.75 * np.log(0.75 / 0.5) + 0.25 * np.log(0.25 / 0.3)
    last = np.exp(rows[2]) / np.exp(rows[2]).sum()
    second = 0.6 * np.log(0.6 / last[1]) + 0.4 * np.log(0.4 / last[2])
    assert found["kl_divergence"] == pytest.approx((first + second) / 2)
    assert found["soft_accuracy"] == pytest.approx((0.75 + 0 + 0.4) / 3) and found["unscored"] == 1


def test_a_prediction_that_rules_out_what_people_said_is_finite() -> None:
    truth, found = [[0.5, 0.3, 0.2, 0, 0, 0, 0, 0]], [[1.0, 0, 0, 0, 0, 0, 0, 0]]
    result = score(found, truth)
    assert np.isfinite(result["kl_divergence"]) and result["kl_divergence"] > 10
    assert 0 < result["js_divergence"] < 1


EVEN = [0.5, 0.5, 0, 0, 0, 0, 0, 0]


@pytest.mark.parametrize(
    "references, reason",
    [
        ([EVEN], "references[0] is a tie of amusement and awe at 0.5; ties='first' takes the first"),
        ([[0.5] * 8], "references[0] sums to 4; eight probabilities sum to 1"),
        ([[1.5, -0.5, 0, 0, 0, 0, 0, 0]], "references[0] has a value outside 0..1"),
        ([[1.0, 0.0]], "references[0] has 2 values; a row of scores has 8"),
        ([None], "references[0] is None"),
        ([EVEN, None], "references[1] is missing"),
        ([EVEN, 3], "references[1] is 3, but other rows are eight scores"),
        ([[float("nan")] * 8], "references[0][0] is nan; a score is finite"),
    ],
)
def test_wrong_references_are_named(references: Any, reason: str) -> None:
    with pytest.raises(ValueError) as refused:
        score(["awe"] * len(references), references)
    assert str(refused.value).startswith(reason)


def test_batch_by_batch_is_the_same() -> None:
    truth, found, _ = drawn(3, 20)
    metric = EA8cls()
    buffer = truth[:12].copy()
    metric.add_batch(predictions=found[:12], references=buffer)
    buffer[:] = 0  # the caller may fill it again
    metric.add_batch(predictions=found[12:], references=truth[12:].tolist())
    at_once, in_parts = score(found, truth), metric.compute()
    for name in (*SOFT, "ea_8cls", "ea_2cls_prob"):
        assert in_parts[name] == pytest.approx(at_once[name])
    metric.add_batch(predictions=found, references=truth)
    metric.add_batch(predictions=found, references=truth.argmax(1))
    with pytest.raises(ValueError, match="references are distributions in 1 of 2 batches; all or none"):
        metric.compute()
    assert score(["awe"], [EVEN], ties="first")["soft_accuracy"] == 0.5
