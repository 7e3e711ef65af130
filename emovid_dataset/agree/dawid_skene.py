"""Dawid and Skene's estimates: how reliable each rater is, and what a clip most likely shows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from emovid_dataset.agree.coefficient import Array


@dataclass(frozen=True, slots=True)
class DawidSkene:
    """Maximum likelihood estimates of a model in which raters err independently, each in a way of their own.

    Attributes:
        shares: [categories], how frequent each true category is.
        errors: [raters, categories, categories], probability that a rater answers the column where the row is
            true; a row is all 0 where the rater saw no clip that may be of that category.
        posterior: [clips, categories], probability of each true category.
        iterations: of the EM algorithm.
        converged: whether the estimates had stopped changing.
    """

    shares: Array
    errors: Array
    posterior: Array
    iterations: int
    converged: bool

    @property
    def reliabilities(self) -> Array:
        """[raters], probability that a rater's answer is the true category, over all clips."""
        return np.asarray(np.einsum("j,rjj->r", self.shares, self.errors))


def dawid_skene(
    clips: Array,
    raters: Array,
    answers: Array,
    size: int,
    *,
    tolerance: float = 1e-7,
    most: int = 2000,
) -> DawidSkene:
    """Estimate raters' error rates and clips' categories together, by EM.

    Starts from each clip's shares of votes, as the original does. A rater may answer for a clip several
    times.

    Args:
        clips: [answers], the clip of each, as 0, 1, ... without gaps.
        raters: [answers], the rater of each, likewise.
        answers: [answers], the category chosen, 0..size-1.
        size: number of categories.
        tolerance: largest change of an estimate at which it ends.
        most: iterations after which it ends anyway.

    Raises:
        ValueError: there is no answer.

    Source: A. P. Dawid and A. M. Skene, "Maximum likelihood estimation of observer error-rates using the EM
    algorithm", Applied Statistics 28, 1979.

    >>> found = dawid_skene(np.repeat(np.arange(4), 3), np.tile(np.arange(3), 4), np.array(
    ...     [0, 0, 1, 0, 0, 0, 1, 1, 0, 1, 1, 1]), 2)
    >>> found.posterior.round(2).argmax(1).tolist(), found.reliabilities.round(2).tolist()
    ([0, 0, 1, 1], [1.0, 1.0, 0.5])
    """
    clips, raters, answers = (np.asarray(column, np.int64) for column in (clips, raters, answers))
    if not len(clips):
        raise ValueError("there is no answer to estimate from")
    n, people = int(clips.max()) + 1, int(raters.max()) + 1
    posterior = np.zeros((n, size))
    np.add.at(posterior, (clips, answers), 1)
    posterior /= posterior.sum(1, keepdims=True)
    cell = raters * size + answers
    shares, errors = np.zeros(size), np.zeros((people, size, size))
    change, done = np.inf, 0
    while change > tolerance and done < most:
        done += 1
        weights = posterior[clips]
        told = np.stack([np.bincount(cell, weights[:, true], people * size) for true in range(size)])
        table = told.reshape(size, people, size).transpose(1, 0, 2)
        total = table.sum(2, keepdims=True)
        new_errors = np.divide(table, total, out=np.zeros_like(table), where=total > 0)
        new_shares = posterior.mean(0)
        change = max(np.abs(new_errors - errors).max(), np.abs(new_shares - shares).max())
        shares, errors = new_shares, new_errors
        with np.errstate(divide="ignore"):
            evidence, prior = np.log(errors)[raters, :, answers], np.log(shares)
        likely = np.stack([np.bincount(clips, evidence[:, true], n) for true in range(size)], axis=1) + prior
        likely = np.exp(likely - likely.max(1, keepdims=True))
        posterior = likely / likely.sum(1, keepdims=True)
    return DawidSkene(shares, errors, posterior, done, bool(change <= tolerance))
