"""How far the raters of a sheet agree: Krippendorff's alpha, over all emotions and for each alone."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import chain
from typing import Any

from emovid_dataset.schema.taxonomy import Taxonomy


@dataclass(frozen=True, slots=True)
class RaterAgreement:
    """How far raters agree.

    Attributes:
        clips: that two or more people rated.
        ties: of them, clips that are refused because no emotion has most votes.
        alpha: Krippendorff's, nominal, over the emotions and none; None where all votes are the same, or
            without the package krippendorff.
        emotions: alpha of "this emotion or not" for each emotion that has a vote; None as above.
    """

    clips: int
    ties: int
    alpha: float | None
    emotions: dict[str, float | None]

    def in_words(self) -> str:
        """One line."""
        known = [f"{name} {value:.2f}" for name, value in self.emotions.items() if value is not None]
        alpha = "is not defined" if self.alpha is None else f"{self.alpha:.2f} ({', '.join(known)})"
        if self.alpha is None and find_spec("krippendorff") is None:
            alpha = "needs the package krippendorff: pip install 'emovid[analyse]'"
        ties = f", {self.ties} of them in a tie" if self.ties else ""
        return f"agreement: {self.clips} clips with several raters{ties}; Krippendorff's alpha {alpha}"


def measure_agreement(
    counts: Iterable[tuple[int, ...]], ties: int, taxonomy: Taxonomy
) -> RaterAgreement | None:
    """Measure the agreement of raters.

    Args:
        counts: of every clip that two or more people rated, votes for each emotion, then those for none.
        ties: how many of them are in a tie.
        taxonomy: of the build.

    Returns:
        None where no clip has two raters.

    Source: Krippendorff, Content Analysis, 4th edition, 2019, chapter 12.

    >>> from emovid_dataset.schema.emotions import MIKELS
    >>> found = measure_agreement([(3, 0, 0, 0, 0, 0, 0, 0, 0), (0, 2, 1, 0, 0, 0, 0, 0, 0)], 0, MIKELS)
    >>> found.clips, found.alpha is None or round(found.alpha, 3)
    (2, 0.545)
    """
    import numpy as np

    table = np.fromiter(chain.from_iterable(counts), dtype=np.int64).reshape(-1, len(taxonomy) + 1)
    if not len(table):
        return None
    voted = [place for place in range(len(taxonomy)) if table[:, place].any()]
    one_by_one = {
        taxonomy.names[place]: _alpha(np.stack([table[:, place], table.sum(1) - table[:, place]], axis=1))
        for place in voted
    }
    return RaterAgreement(len(table), ties, _alpha(table), one_by_one)


def _alpha(counts: Any) -> float | None:
    try:
        from krippendorff import alpha
    except ModuleNotFoundError:
        return None
    if (counts.sum(0) > 0).sum() < 2:
        return None
    return float(alpha(value_counts=counts, level_of_measurement="nominal"))
