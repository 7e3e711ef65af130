"""Raters of known preference: what an analysis has to find can be told beforehand.

A rater chooses what has the highest utility: the system's, plus the rater's own liking for it, plus what the
system made of the prompt, plus Gumbel noise. Without the second and third it is Luce's model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from emovid_models.study.preference import Choice


@dataclass(frozen=True, slots=True)
class Population:
    """Raters and prompts that a study draws from.

    Attributes:
        utilities: of the systems, natural logarithms of their worths.
        by_rater: standard deviation of a rater's own liking for a system.
        by_prompt: standard deviation of what a system made of a prompt.
    """

    utilities: tuple[float, ...]
    by_rater: float = 0.0
    by_prompt: float = 0.0

    def true_share(self, shown: Sequence[int], chosen: int, draws: int = 200_000) -> float:
        """Share of all raters and prompts in which a system is chosen of those shown.

        Args:
            shown: indices of systems.
            chosen: one of them.
            draws: of raters and prompts together; the noise is integrated exactly.
        """
        random = np.random.default_rng(0)
        spread = np.hypot(self.by_rater, self.by_prompt)
        utilities = np.asarray(self.utilities)[list(shown)]
        weights = np.exp(utilities + spread * random.standard_normal((draws, len(shown))))
        return float((weights[:, list(shown).index(chosen)] / weights.sum(1)).mean())


def simulate(
    population: Population, *, raters: int, prompts: int, per_rater: int, together: int, seed: int
) -> list[Choice]:
    """The votes of one study.

    Args:
        population: where raters and prompts come from.
        raters: how many.
        prompts: how many.
        per_rater: prompts that a rater sees, drawn without repetition.
        together: systems shown in one trial, at least 2; which ones is drawn.
        seed: of everything that is drawn.

    Returns:
        `raters` times `per_rater` choices; the systems are called "0", "1", ...
    """
    random = np.random.default_rng(seed)
    count = len(population.utilities)
    likings = population.by_rater * random.standard_normal((raters, count))
    outcomes = population.by_prompt * random.standard_normal((prompts, count))
    choices = []
    for rater in range(raters):
        for prompt in random.permutation(prompts)[:per_rater]:
            shown = random.permutation(count)[:together]
            utilities = np.asarray(population.utilities) + likings[rater] + outcomes[prompt]
            noisy = utilities[shown] + random.gumbel(size=together)
            choices.append(
                Choice(
                    f"r{rater}",
                    f"p{prompt}",
                    tuple(str(system) for system in shown),
                    str(shown[int(noisy.argmax())]),
                )
            )
    return choices
