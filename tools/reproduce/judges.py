"""The judges of the reproduction: the annotator, and two that are trained here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from emovid_dataset.schema.emotions import EMOTIONS
from emovid_models import evaluation
from emovid_models.evaluation import Judge
from tools.reproduce.round_trip import read_table
from tools.reproduce.run import Run
from tools.reproduce.second_judge import train_second_judge
from tools.reproduce.third_judge import train_third_judge


@dataclass(frozen=True, slots=True)
class NamedJudge:
    """A judge, and what the records and pages call it.

    Attributes:
        key: of its figures in the records.
        title: in words.
        judge: who judges.
    """

    key: str
    title: str
    judge: Judge


TITLES = {
    "judge": "the miniature annotator that ships",
    "second_judge": "a support vector machine on gradients and colours",
    "third_judge": "a logistic probe on ImageNet features",
}
"""Key of each judge in the records -> its title."""
_TRAINED: dict[str, Callable[[Sequence[str | bytes | Path], Sequence[int], Sequence[str]], Judge]] = {
    "second_judge": train_second_judge,
    "third_judge": train_third_judge,
}


def load_judges(run: Run) -> list[NamedJudge]:
    """The annotator as it ships, and the judges that learn the labelled stickers of the training side.

    The latter see them after the VAE, as all that they judge has come through it.
    """
    rows = read_table(run.videos("train"))
    paths = [run.videos("train") / row["path"] for row in rows]
    labels = [EMOTIONS.index(row["emotion"]) for row in rows]
    groups = [row["group"] for row in rows]
    first = NamedJudge("judge", TITLES["judge"], evaluation.load_judge())
    return [
        first,
        *(NamedJudge(key, TITLES[key], train(paths, labels, groups)) for key, train in _TRAINED.items()),
    ]
