"""Measures of reliability against scikit-learn and torchmetrics."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score
from torchmetrics.classification import MulticlassCalibrationError

from emovid_models.annotator.reliability import reliability


def answers(
    seed: int, clips: int = 200, emotions: int = 8, *, steps: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities that know something of the labels; with `steps` they are rounded, so that some tie."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(emotions, size=clips)
    scores = generator.normal(size=(clips, emotions)) + 1.2 * np.eye(emotions)[labels]
    probabilities = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    if steps:
        probabilities = np.round(probabilities * steps) + 1e-9
        probabilities /= probabilities.sum(1, keepdims=True)
    return probabilities, labels


@pytest.mark.parametrize(("seed", "steps"), [(0, 0), (1, 0), (2, 4)])
def test_measures_are_those_of_other_libraries(seed: int, steps: int) -> None:
    probabilities, labels = answers(seed, steps=steps)
    found = reliability(probabilities, labels)
    right = probabilities.argmax(1) == labels
    confidence = probabilities.max(1)
    assert found.auroc == pytest.approx(roc_auc_score(right, confidence))
    error = MulticlassCalibrationError(num_classes=8, n_bins=10)
    error.update(torch.from_numpy(probabilities), torch.from_numpy(labels))
    assert found.calibration_error == pytest.approx(float(error.compute()), abs=1e-6)
    assert found.brier == pytest.approx(
        sum(((row - np.eye(8)[label]) ** 2).sum() for row, label in zip(probabilities, labels, strict=True))
        / 200
    )
    assert found.risk_coverage[-1].coverage == 1
    assert found.risk_coverage[-1].risk == pytest.approx(1 - right.mean())
    assert len(found.risk_coverage) == len(set(confidence))
    area = 0.0
    for point in found.risk_coverage:
        given = confidence >= point.confidence
        assert point.coverage == pytest.approx(given.mean())
        assert point.risk == pytest.approx(1 - right[given].mean())
        area += (confidence == point.confidence).mean() * point.risk
    assert found.aurc == pytest.approx(area)
    left = found.abstaining(0.4)
    assert left is not None and left.coverage == pytest.approx((confidence >= 0.4).mean())
    assert found.abstaining(1.01) is None
    told = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert len(told["risk_coverage"]) <= 20 and told["risk_coverage"][-1]["coverage"] == 1
    assert told["abstain"] == {"below": 0.4, "coverage": round(left.coverage, 4), "risk": round(left.risk, 4)}


def test_what_cannot_be_ranked_has_no_auroc() -> None:
    for labels in ([0, 0], [1, 1]):
        assert reliability([[0.9, 0.1], [0.6, 0.4]], labels).auroc is None
    with pytest.raises(ValueError, match=r"probabilities have shape \[0\] and labels \[0\]"):
        reliability([], [])
