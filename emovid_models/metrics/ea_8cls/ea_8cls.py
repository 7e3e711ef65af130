"""EA-8cls: how often a generated video shows the emotion that was asked for.

`score` and `compare` are the maths, on numpy alone; `EA8cls` offers them as an `evaluate` module. The folder
works by itself, so the emotions are spelled out in it; other emotions are an argument.
"""

from __future__ import annotations

from typing import Any

import datasets
import evaluate

# evaluate copies only the files that this one imports, and reads one import per line.
from .batches import Batch
from .batches import own
from .batches import read_batch
from .comparison import compare
from .comparison import mcnemar_p
from .distributions import js_divergence
from .distributions import kl_divergence
from .distributions import soft_accuracy
from .intervals import wilson_interval
from .labels import show
from .scoring import score
from .scoring import summarise
from .taxonomy import EMOTIONS
from .taxonomy import EmotionSet
from .taxonomy import read_taxonomy

__all__ = [
    "EMOTIONS",
    "PUBLISHED_EA_8CLS",
    "PUBLISHED_SOURCE",
    "EA8cls",
    "compare",
    "js_divergence",
    "kl_divergence",
    "mcnemar_p",
    "score",
    "soft_accuracy",
    "wilson_interval",
]

PUBLISHED_EA_8CLS: dict[str, float] = {"t2v": 0.4833, "i2v": 0.7625}
"""EA-8cls as the EmoVid paper reports it, to print beside a computed value; nothing is computed from it."""

PUBLISHED_SOURCE = "Qiu et al., EmoVid, AAAI 2026, arXiv:2511.11002, Wan2.1 fine-tuned on EmoVid"
"""Where the numbers of `PUBLISHED_EA_8CLS` stand."""

_DESCRIPTION = """\
EA-8cls is the share of generated videos whose annotated emotion is the intended one, over Mikels' eight
emotions; EA-2cls is the same for positive and negative valence. Unscored videos count as wrong and are
reported.
"""

_CITATION = """\
@inproceedings{qiu2026emovid,
    title = {EmoVid: A Multimodal Emotion Video Dataset for Emotion-Centric Video Understanding and
        Generation},
    author = {Qiu, Zongyang and Wang, Bingyuan and Chen, Xingbei and He, Yingqing and Wang, Zeyu},
    booktitle = {Proceedings of the AAAI Conference on Artificial Intelligence},
    year = {2026}
}
"""

_INPUTS_DESCRIPTION = """
Args:
    predictions: emotion names, indices 0..7, or rows of eight probabilities or logits; None or "" is
        unscored.
    references: the intended emotions, as names or indices, or rows of eight probabilities: what share of
        people said each.
    emotions, valence: optional, other emotions than the eight and the valence of each; the module may be
        loaded with them too.
    groups, sample_weight: optional, one value per row.
Returns:
    ea_8cls, ea_2cls, intervals, per_emotion, confusion_matrix (rows are references), n, unscored and more,
    as plain Python numbers.
Examples:
    >>> import evaluate
    >>> metric = evaluate.load("emovid/ea_8cls")
    >>> metric.compute(predictions=["awe", None], references=["awe", "fear"])["ea_8cls"]
    0.5
"""


class EA8cls(evaluate.Metric):
    """The evaluate module: `score` and `compare`, and inputs batch by batch.

    Loaded with `emotions` (and `valence`) it is of those, else of Mikels' eight.

    evaluate would type a column by its first row, let labels such as 9 and -3 through and write the rows to
    disk. So the inputs are checked when they are added and kept in memory, labels at one byte each; positions
    in errors count over all batches.

    >>> metric = EA8cls()
    >>> metric.add_batch(predictions=["awe", "fear"], references=["awe", "anger"])
    >>> metric.compute()["ea_8cls"]
    0.5
    """

    def __init__(self, *args: Any, emotions: Any = None, valence: Any = None, **kwargs: Any) -> None:
        self._taxonomy = read_taxonomy(emotions, valence)
        super().__init__(*args, **kwargs)
        if self.num_process != 1:
            raise ValueError(
                f"num_process is {self.num_process}; allowed: 1, so gather the predictions first"
            )
        self.info.module_name = "ea_8cls"
        self._batches: list[Batch] = []

    @property
    def emotions(self) -> tuple[str, ...]:
        """The emotions that it was loaded for: Mikels' eight unless others were named."""
        return self._taxonomy.names

    def __len__(self) -> int:
        return sum(len(batch.references) for batch in self._batches)

    def _info(self) -> evaluate.MetricInfo:
        label, index = datasets.Value("string"), datasets.Value("int64")
        row = datasets.Sequence(datasets.Value("float64"))
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation=_CITATION,
            inputs_description=_INPUTS_DESCRIPTION,
            features=[
                datasets.Features({"predictions": prediction, "references": reference})
                for prediction, reference in (
                    (label, label),
                    (index, index),
                    (row, index),
                    (row, label),
                    (row, row),
                    (label, row),
                    (index, row),
                )
            ],
            homepage="https://huggingface.co/spaces/emovid/ea_8cls",
            license="apache-2.0",
            reference_urls=["https://arxiv.org/abs/2511.11002"],
        )

    def add(self, **row: Any) -> None:
        """Add one video.

        Args:
            prediction: its annotated emotion or row of eight scores; None or "" is unscored.
            reference: its intended emotion.
            group: optional, its group.
            sample_weight: optional, its weight.

        Raises:
            ValueError: an input is wrong; nothing is added then.

        >>> metric = EA8cls()
        >>> metric.add(prediction="awe", reference=1)
        >>> len(metric)
        1
        """
        # evaluate.combine passes the plural names on.
        plural = {"prediction": "predictions", "reference": "references", "group": "groups"}
        batch = {plural.get(name, name): [value] for name, value in row.items()}
        self.add_batch(**batch)

    def add_batch(
        self, *, predictions: Any, references: Any, groups: Any = None, sample_weight: Any = None
    ) -> None:
        """Add a batch of videos, as large or small as they come.

        Args:
            predictions: as in `score`.
            references: as in `score`.
            groups: as in `score`; for all batches or for none.
            sample_weight: as in `score`; for all batches or for none.

        Raises:
            ValueError: an input is wrong; nothing is added then.

        >>> metric = EA8cls()
        >>> metric.add_batch(predictions=["awe", "fear"], references=["awe", "anger"])
        >>> metric.add_batch(predictions=[None], references=["awe"])
        >>> metric.compute()["unscored"]
        1
        """
        batch = read_batch(predictions, references, groups, sample_weight, self._taxonomy, first=len(self))
        if len(batch.references):
            self._batches.append(own(batch))

    def compute(
        self,
        *,
        predictions: Any = None,
        references: Any = None,
        emotions: Any = None,
        valence: Any = None,
        groups: Any = None,
        sample_weight: Any = None,
        confidence_level: float = 0.95,
        average: str | None = "macro",
        ties: str = "error",
        scores: str = "auto",
        resamples: int = 2000,
        seed: int = 0,
    ) -> dict[str, Any]:
        """Score what was added before and what is given here; then start afresh.

        Args:
            predictions: as in `score`, or None when all was added before.
            references: as in `score`, or None when all was added before.
            emotions: as in `score`; by default those that the module was loaded with. What was added before
                was read as these, so that others are refused.
            valence: as in `score`.
            groups: as in `score`.
            sample_weight: as in `score`.
            confidence_level: as in `score`.
            average: as in `score`.
            ties: as in `score`.
            scores: as in `score`.
            resamples: as in `score`.
            seed: as in `score`.

        Returns:
            As `score`.

        Raises:
            ValueError: an input is wrong; what was added before is kept, so that the call can be repeated.

        >>> EA8cls().compute(predictions=[0, 1], references=[0, 2])["ea_8cls"]
        0.5
        """
        taxonomy = self._chosen(emotions, valence)
        if self._batches and taxonomy != self._taxonomy:
            raise ValueError(
                f"emotions is {show(list(taxonomy.names))}, but what was added is of "
                f"{', '.join(self.emotions)}; "
                "load the module with emotions=..."
            )
        batches = list(self._batches)
        if any(column is not None for column in (predictions, references, groups, sample_weight)):
            batches.append(
                read_batch(predictions, references, groups, sample_weight, taxonomy, first=len(self))
            )
        if not batches:
            raise ValueError("predictions is empty; at least one row is needed")
        result = summarise(batches, taxonomy, confidence_level, average, ties, scores, resamples, seed)
        self._batches = []
        return result

    def _chosen(self, emotions: Any, valence: Any) -> EmotionSet:
        if emotions is None and valence is None:
            return self._taxonomy
        return read_taxonomy(self.emotions if emotions is None else emotions, valence)

    def compare(self, a: Any, b: Any, references: Any, **options: Any) -> dict[str, Any]:
        """Test two systems on the same prompts; see the function `compare`.

        Args:
            a: predictions of the first system.
            b: predictions of the second system.
            references: the intended emotions.
            options: emotions, groups, confidence_level, ties, scores, resamples, seed.

        Returns:
            As the function `compare`.

        Raises:
            ValueError: an input is wrong.

        >>> EA8cls().compare([0, 1], [0, 0], [0, 1])["difference"]
        0.5
        """
        options.setdefault("emotions", self.emotions)
        return compare(a, b, references, **options)
