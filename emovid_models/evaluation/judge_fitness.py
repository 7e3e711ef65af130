"""What a judge is worth: its accuracy on real clips that people labelled, and whether two judges agree.

A judge that gives one answer to most real clips has collapsed: what it says of generated videos says nothing
about them. Such a judge is called unfit, whatever its accuracy.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from emovid_models.evaluation.judge import Judged
from emovid_models.evaluation.statistics import Figures, score
from emovid_models.evaluation.system_ranking import Ranking

COLLAPSED = 0.5
"""A judge that gives one answer to more than this share of real clips is unfit."""

_MOST_PAIRS = 6
"""So many pairs of systems are named in a sentence."""


@dataclass(frozen=True, slots=True)
class Fitness:
    """A judge on real clips.

    Attributes:
        judge: its identity.
        figures: its accuracy, where a person's label is what is right; None without real clips.
        commonest: the answer that it gives most often; None where it gave none.
        share: of the clips that it judged for which that is the answer, 0..1.
        labelled: of the same clips the share that carries that label, 0..1.
    """

    judge: str
    figures: Figures | None
    commonest: str | None = None
    share: float = 0.0
    labelled: float = 0.0

    @property
    def is_unfit(self) -> bool:
        """Whether it gives one answer to more than half of the clips, and more often than they carry it.

        Clips of which most carry one label do not make a judge unfit that finds them.
        """
        return self.share > COLLAPSED and self.share > self.labelled

    def in_words(self) -> str:
        """What its figures are worth, in a sentence or two."""
        if self.figures is None:
            return "Its accuracy on real clips is not known: the result has none."
        ea = self.figures.ea_8cls
        count = len(self.figures.confusion)
        said = (
            f"On {self.figures.n} real clips it finds the label of {ea.value:.1%} "
            f"[{ea.low:.1%}, {ea.high:.1%}]; chance is {1 / count:.1%}."
        )
        if self.is_unfit:
            said += f" Unfit: it answers “{self.commonest}” to {self.share:.0%} of them."
        elif ea.low <= 1 / count:
            said += " It is not shown to do better than chance."
        return said


@dataclass(frozen=True, slots=True)
class OrderAgreement:
    """Whether two judges put the systems in one order.

    Attributes:
        first: identity of a judge.
        second: of another one.
        tau: Kendall's tau-b of their shares, -1..1; None where a judge gives all systems the same share, or
            there are fewer than two systems.
        swapped: pairs of systems of which each judge prefers another one: the one that the first judge
            prefers, then the other.
        contradicted: those of them of which both judges' tests tell the systems apart.
    """

    first: str
    second: str
    tau: float | None
    swapped: tuple[tuple[str, str], ...]
    contradicted: tuple[tuple[str, str], ...]

    @property
    def agrees(self) -> bool:
        """Whether no pair of systems is the other way round."""
        return not self.swapped

    def in_words(self) -> str:
        """What came out, in a sentence or two, without the judges' names."""
        if self.tau is None:
            return "The judges' orders cannot be compared: one of them gives all systems the same share."
        if self.agrees:
            return f"The judges agree on the order (Kendall's tau {self.tau:.2f})."
        pairs = _listed(self.swapped)
        said = f"The judges disagree on the order of {pairs} (Kendall's tau {self.tau:.2f})."
        if self.contradicted:
            sure = _listed(self.contradicted)
            return f"{said} By the tests of both, {sure} differ, each the other way."
        return f"{said} In none of these pairs do the tests of both tell the systems apart."


def _listed(pairs: Sequence[tuple[str, str]]) -> str:
    """The first pairs in words, and how many more there are."""
    said = [f"{one} and {other}" for one, other in pairs[:_MOST_PAIRS]]
    if len(pairs) > _MOST_PAIRS:
        said.append(f"and {len(pairs) - _MOST_PAIRS} more pairs")
    return "; ".join(said)


def judge_fitness(real: Judged) -> Fitness:
    """Say what a judge is worth.

    Args:
        real: what it says of real clips, with people's labels as what was intended; may be empty.
    """
    if not real.videos:
        return Fitness(real.judge, None)
    judged = [video for video in real.videos if video.judged is not None]
    figures = score(real)
    if not judged:
        return Fitness(real.judge, figures)
    ((commonest, count),) = Counter(str(video.judged) for video in judged).most_common(1)
    labelled = sum(video.intended == commonest for video in judged)
    return Fitness(real.judge, figures, commonest, count / len(judged), labelled / len(judged))


def order_agreement(first: Ranking, second: Ranking) -> OrderAgreement:
    """Compare the orders of two judges.

    Args:
        first: of one judge.
        second: of the other, of the same systems.

    Returns:
        `OrderAgreement`; systems with equal shares are in no order.

    Raises:
        ValueError: the systems differ.

    Source: M. G. Kendall, "The treatment of ties in ranking problems", Biometrika 33, 1945.
    """
    from scipy.stats import kendalltau

    shares: list[Mapping[str, float]] = [
        {system.name: system.figures.ea_8cls.value for system in ranking.systems}
        for ranking in (first, second)
    ]
    if shares[0].keys() != shares[1].keys():
        raise ValueError(f"the judges ranked {sorted(shares[0])} and {sorted(shares[1])}; must be the same")
    names = list(first.order)
    tau: float | None = None
    if all(len(set(share.values())) > 1 for share in shares):
        tau = float(kendalltau(*([share[name] for name in names] for share in shares)).statistic)
    swapped = tuple(
        (one, other)
        for one, other in combinations(names, 2)
        if shares[0][one] > shares[0][other] and shares[1][one] < shares[1][other]
    )
    sure = tuple(pair for pair in swapped if first.pair(*pair).differs and second.pair(*pair).differs)
    return OrderAgreement(first.judge, second.judge, tau, swapped, sure)
