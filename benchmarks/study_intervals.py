"""How often the intervals of a study's analysis cover what is true, on simulated raters of known preference.

Run ``python -m benchmarks.study_intervals --write``; the record is `benchmarks/study_intervals.json`. Raters
have likings of their own, and systems do better on some prompts than on others, so that votes of one rater,
or on one prompt, resemble each other. What is true is the share of all raters and prompts, not of those
drawn. For worths it is where Luce's model ends up with a vote of everyone on everything.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from emovid_models.study.preference import preference
from emovid_models.study.simulate import Population, simulate

RECORD = Path(__file__).with_suffix(".json")
STUDIES = 500

POPULATION = Population((0.6, 0.0, -0.3), by_rater=0.5, by_prompt=0.4)
"""Three systems; the first is chosen of a pair with the second in about 64 % of the trials."""


@dataclass(frozen=True, slots=True)
class Shape:
    """Of the simulated studies.

    Attributes:
        together: systems that a trial shows.
        raters, prompts: how many.
        per_rater: trials of a rater.
    """

    together: int
    raters: int
    prompts: int
    per_rater: int


SHAPES: Mapping[str, Shape] = {
    "pairs": Shape(2, 30, 24, 16),
    "triples": Shape(3, 30, 24, 16),
}


def true_shares(together: int) -> dict[str, float]:
    """By system the share of first choices of the trials that show it."""
    return {
        str(index): float(
            np.mean([POPULATION.true_share(s, index) for s in combinations(range(3), together) if index in s])
        )
        for index in range(3)
    }


def true_worths(together: int) -> dict[str, float]:
    """By system the worth where the likelihood of Luce's model is the greatest, with mean 0."""
    from scipy.optimize import root

    sets = list(combinations(range(3), together))
    shares = [[POPULATION.true_share(shown, index) for index in shown] for shown in sets]

    def score(worths: np.ndarray) -> np.ndarray:
        found = np.zeros(3)
        for shown, true in zip(sets, shares, strict=True):
            weights = np.exp(worths[list(shown)])
            found[list(shown)] += np.asarray(true) - weights / weights.sum()
        return found + worths.mean()

    solved = root(score, np.zeros(3)).x
    return {str(index): float(value) for index, value in enumerate(solved - solved.mean())}


def covered(shape: Shape, studies: int) -> dict[str, dict[str, int]]:
    """In how many studies an interval covers what is true.

    Args:
        shape: of the studies.
        studies: how many; the seeds are 0, 1, ...

    Returns:
        For "top1" and "worths" the number by system.
    """
    truths = {"top1": true_shares(shape.together), "worths": true_worths(shape.together)}
    counts = {name: dict.fromkeys(truth, 0) for name, truth in truths.items()}
    for seed in range(studies):
        votes = simulate(POPULATION, seed=seed, **asdict(shape))
        found = preference(votes, "012")
        intervals: dict[str, Mapping[str, Any]] = {"top1": found.top1, "worths": found.worths or {}}
        for name, truth in truths.items():
            for system, interval in intervals[name].items():
                counts[name][system] += interval.low <= truth[system] <= interval.high
    return counts


def main(
    studies: Annotated[int, typer.Option(help="How many of each shape.")] = STUDIES,
    write: Annotated[bool, typer.Option(help=f"Write {RECORD.name}.")] = False,
) -> None:
    """Simulate the studies and print how many of the intervals cover what is true."""
    record = {
        "studies": studies,
        "population": asdict(POPULATION),
        "shapes": {
            name: {**asdict(shape), "covered": covered(shape, studies)} for name, shape in SHAPES.items()
        },
    }
    text = json.dumps(record, indent=1, allow_nan=False)
    print(text)
    if write:
        RECORD.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
