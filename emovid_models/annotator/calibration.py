"""How good scores are: recall, calibration, and the temperature that calibrates them."""

from __future__ import annotations

import math

import torch


def macro_recall(predicted: torch.Tensor, labels: torch.Tensor) -> float:
    """Mean of the recalls of the emotions that occur.

    >>> macro_recall(torch.tensor([0, 0, 1]), torch.tensor([0, 1, 1]))
    0.75
    """
    recalls = [(predicted[labels == label] == label).float().mean() for label in labels.unique()]
    return float(torch.stack(recalls).mean())


def fit_temperature(scores: torch.Tensor, labels: torch.Tensor) -> float:
    """The temperature with the least negative log-likelihood.

    Args:
        scores: [n, classes].
        labels: [n], or [n, classes], the share of each.

    Returns:
        A number 0.001..100, to divide the scores by.

    Source:
        Guo et al., On calibration of modern neural networks, ICML 2017.

    >>> sharp = torch.tensor([[2.0, 0.0], [2.0, 0.0], [2.0, 0.0], [2.0, 0.0]])
    >>> round(fit_temperature(sharp, torch.tensor([0, 0, 0, 1])), 2)  # 2 / ln 3
    1.82
    """
    # The loss is convex in the inverse of the temperature, so that halving the interval finds it.
    low, high = math.log(1e-2), math.log(1e3)
    scores = scores.double()
    shares = labels.double() if labels.ndim == 2 else None
    if shares is None:
        right = scores.gather(-1, labels.unsqueeze(-1)).mean()
    else:
        right = (scores * shares).sum(-1).mean()
    for _ in range(80):
        middle = (low + high) / 2
        expected = ((scores * math.exp(middle)).softmax(-1) * scores).sum(-1).mean()
        # The slope of the loss: how far the expected score is above that of the right label.
        low, high = (low, middle) if expected > right else (middle, high)
    return math.exp(-(low + high) / 2)


def calibration_error(probabilities: torch.Tensor, labels: torch.Tensor, bins: int = 10) -> float:
    """Expected calibration error of the likeliest label, over bins of equal width.

    Args:
        probabilities: [n, classes].
        labels: [n].
        bins: number of bins.

    Returns:
        0..1; the mean distance of confidence and accuracy, each bin by its share of clips.

    Source:
        Guo et al., ICML 2017.

    >>> calibration_error(torch.tensor([[0.75, 0.25]] * 4), torch.tensor([0, 0, 0, 1]))
    0.0
    """
    confidence, predicted = probabilities.max(-1)
    right = (predicted == labels).double()
    place = (confidence * bins).ceil().long().clamp(1, bins) - 1
    error = 0.0
    for number in place.unique():
        inside = place == number
        gap = right[inside].mean() - confidence[inside].double().mean()
        error += float(inside.double().mean() * gap.abs())
    return error
