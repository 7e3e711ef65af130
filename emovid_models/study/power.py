"""How many votes and raters a study needs before it starts, for a preference that it is to find.

The test is the exact binomial one of a system's share of first choices against chance, one over the number of
systems shown. Votes of one rater resemble each other: the design effect of Kish, 1 + (m - 1) rho with m votes
a rater, says how many votes it takes to be worth one independent vote.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

_MOST = 100_000


@dataclass(frozen=True, slots=True)
class Need:
    """What a study needs.

    Attributes:
        independent_votes: were no two of them from one rater.
        votes: with the design effect.
        raters: to give them.
        power: that the exact test has with `independent_votes`, at least what was asked for.
        design_effect: at least 1.
    """

    independent_votes: int
    votes: int
    raters: int
    power: float
    design_effect: float


def power_of(votes: int, *, preferred: float, chance: float, alpha: float = 0.05) -> float:
    """Power of the exact two-sided binomial test.

    Args:
        votes: independent votes.
        preferred: true share of first choices, above chance, below 1.
        chance: share that a system has if nobody prefers any.
        alpha: level of the test.

    Returns:
        Probability, 0..1, that the test finds a share above chance.

    >>> round(power_of(199, preferred=0.6, chance=0.5), 3)
    0.804
    """
    from scipy.stats import binom

    counts = np.arange(votes + 1)
    # The smallest count from which on the upper tail is at most alpha / 2.
    rejected = counts[binom.sf(counts - 1, votes, chance) <= alpha / 2]
    return float(binom.sf(rejected[0] - 1, votes, preferred)) if len(rejected) else 0.0


def needed(
    *,
    preferred: float,
    systems: int,
    votes_per_rater: int,
    power: float = 0.8,
    alpha: float = 0.05,
    correlation: float = 0.05,
) -> Need:
    """Votes and raters for a share of first choices to be told from chance.

    Args:
        preferred: share of first choices that is to be found, above 1 / `systems`, below 1.
        systems: that are shown together, at least 2.
        votes_per_rater: on one question, at least 1.
        power: to find it, above 0, below 1. From the returned number of votes on, every larger number has it.
        alpha: level of the two-sided test; divide it by the number of tests for a careful plan.
        correlation: of two votes of one rater (rho), 0..1.

    Returns:
        `Need`.

    Raises:
        ValueError: an argument is out of its range, or more than 100,000 votes are needed.

    Source: L. Kish, "Survey Sampling", 1965, section 5.4 (the design effect).

    >>> needed(preferred=0.662, systems=2, votes_per_rater=20, correlation=0.0).votes
    100
    """
    chance = 1 / systems if systems >= 2 else math.nan
    for name, value, low, high in (
        ("preferred", preferred, chance, 1.0),
        ("power", power, 0.0, 1.0),
        ("alpha", alpha, 0.0, 1.0),
    ):
        if not low < value < high:
            raise ValueError(f"{name} {value} is not between {low:g} and {high:g}, both excluded")
    if not 0 <= correlation <= 1:
        raise ValueError(f"correlation {correlation} is not within 0 and 1")
    if votes_per_rater < 1:
        raise ValueError(f"votes_per_rater {votes_per_rater} is below 1")
    votes = _independent(preferred, chance, power, alpha)
    effect = 1 + (votes_per_rater - 1) * correlation
    raters = math.ceil(votes * effect / votes_per_rater)
    found = power_of(votes, preferred=preferred, chance=chance, alpha=alpha)
    return Need(votes, raters * votes_per_rater, raters, found, effect)


def _independent(preferred: float, chance: float, power: float, alpha: float) -> int:
    """The number from which on the power is reached; the power saws up and down as the number grows."""
    from scipy.stats import norm

    spread = norm.isf(alpha / 2) * math.sqrt(chance * (1 - chance))
    spread += norm.isf(1 - power) * math.sqrt(preferred * (1 - preferred))
    guess = max(1, math.ceil((spread / (preferred - chance)) ** 2))
    if guess > _MOST:
        raise ValueError(f"a share of {preferred:g} against {chance:g} needs more than {_MOST:,} votes")
    highest = 2 * guess + 50
    enough = highest
    for votes in range(highest, 0, -1):
        if power_of(votes, preferred=preferred, chance=chance, alpha=alpha) < power:
            break
        enough = votes
    return enough
