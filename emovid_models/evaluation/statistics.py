"""From judgements to figures and comparisons; the maths is the metric's (`emovid_models.metrics.ea_8cls`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from emovid_dataset.schema.emotions import EMOTIONS
from emovid_dataset.schema.taxonomy import Taxonomy
from emovid_models.evaluation.judge import Judged, Judgement


@dataclass(frozen=True, slots=True)
class Share:
    """A share, 0..1, or a difference of two, -1..1, with its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Figures:
    """How often the intended emotion is shown.

    Attributes:
        n: videos.
        unscored: those that could not be judged; they count as wrong.
        ea_8cls: share whose emotion is the intended one, with Wilson's interval; for another taxonomy of N
            emotions it is EA-Ncls.
        ea_2cls: share whose valence is the intended one, with Wilson's interval; None for a taxonomy without
            valences.
        recall: of each emotion; None where none was intended.
        macro_recall: mean over the emotions that were intended.
        confusion: 8 x 8 counts, rows are intended, columns judged, in the order of the emotions.
    """

    n: int
    unscored: int
    ea_8cls: Share
    ea_2cls: Share | None
    recall: Mapping[str, float | None]
    macro_recall: float
    confusion: tuple[tuple[int, ...], ...]

    @property
    def ea_name(self) -> str:
        """What the share of right emotions is called: EA-8cls, or EA-Ncls for N emotions."""
        return f"EA-{len(self.confusion)}cls"


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two models on the same prompts with the same seeds.

    Attributes:
        base: figures of the first.
        lora: figures of the second.
        difference: EA-8cls of the second less that of the first; the interval is a bootstrap of whole scenes,
            since videos of one scene share their noise. None with a single scene.
        mcnemar_p: exact two-sided p-value that both are right equally often.
        both: videos where both are right.
        base_only: where only the first is.
        lora_only: where only the second is.
        neither: where none is.
    """

    base: Figures
    lora: Figures
    difference: Share | None
    mcnemar_p: float
    both: int
    base_only: int
    lora_only: int
    neither: int


@dataclass(frozen=True, slots=True)
class ValenceComparison:
    """Two models on the same prompts with the same seeds, by whether the valence is the intended one.

    Attributes:
        difference: EA-2cls of the second less that of the first, as `Comparison.difference`.
        mcnemar_p: exact two-sided p-value that both are right equally often.
        both: videos where both are right.
        base_only: where only the first is.
        lora_only: where only the second is.
        neither: where none is.
    """

    difference: Share | None
    mcnemar_p: float
    both: int
    base_only: int
    lora_only: int
    neither: int


def score(judged: Judged) -> Figures:
    """The figures of one set of videos.

    Args:
        judged: at least one judgement.

    Returns:
        Shares of 0..1 with their intervals, and counts.

    >>> shown = [("awe", "awe"), ("awe", "fear"), ("fear", None)]
    >>> rows = [Judgement("x", asked, found, None, None) for asked, found in shown]
    >>> figures = score(Judged("judge", tuple(rows)))
    >>> round(figures.ea_8cls.value, 3), figures.unscored, figures.recall["awe"]
    (0.333, 1, 0.5)
    """
    from emovid_models.metrics.ea_8cls import ea_8cls

    emotions, valence = metric_emotions(judged.taxonomy)
    result = ea_8cls.score(
        [video.judged for video in judged.videos],
        [video.intended for video in judged.videos],
        emotions=emotions,
        valence=valence,
    )
    key = f"ea_{len(emotions)}cls"
    has_valence = result["ea_2cls"] is not None
    return Figures(
        n=result["n"],
        unscored=result["unscored"],
        ea_8cls=Share(result[key], *result[f"{key}_wilson"]),
        ea_2cls=Share(result["ea_2cls"], *result["ea_2cls_wilson"]) if has_valence else None,
        recall={name: entry["recall"] for name, entry in result["per_emotion"].items()},
        macro_recall=result["macro_recall"],
        confusion=tuple(tuple(row) for row in result["confusion_matrix"]),
    )


def metric_emotions(taxonomy: Taxonomy) -> tuple[tuple[str, ...], tuple[int, ...] | None]:
    """The emotions and their valences as the metric takes them."""
    valences = tuple(valence for valence in taxonomy.valences if valence is not None)
    return taxonomy.names, valences if taxonomy.has_valence else None


def score_confusion(confusion: Sequence[Sequence[int]]) -> Figures:
    """The figures of counts, such as those of an annotator's cross-validation.

    Args:
        confusion: 8 x 8, rows are the labels, columns the answers, in the order of `EMOTIONS`.

    >>> counts = [[0] * 8 for _ in range(8)]
    >>> counts[1][1], counts[1][6] = 3, 1
    >>> score_confusion(counts).ea_8cls.value, score_confusion(counts).n
    (0.75, 4)
    """
    rows = [
        Judgement("", EMOTIONS[label], EMOTIONS[answer], None, None)
        for label, counts in enumerate(confusion)
        for answer, count in enumerate(counts)
        for _ in range(count)
    ]
    return score(Judged("", tuple(rows)))


def compare(base: Judged, lora: Judged) -> Comparison:
    """Compare two models, video by video.

    Args:
        base: of the first model.
        lora: of the second, on the same prompts with the same seeds, by the same judge.

    Returns:
        Both models' figures, and the paired comparison.

    Raises:
        ValueError: they are not the same prompts, seeds or judge.
    """
    from emovid_models.metrics.ea_8cls import ea_8cls

    if base.judge != lora.judge:
        raise ValueError(f"judged by {base.judge} and by {lora.judge}; a comparison needs one judge")
    other = {video.file: video for video in lora.videos}
    if len(base.videos) != len(lora.videos) or any(video.file not in other for video in base.videos):
        alone = sorted({video.file for video in base.videos} ^ other.keys())
        raise ValueError(f"{len(alone)} videos are of one model only, first {alone[0]}")
    pairs = [(video, other[video.file]) for video in base.videos]
    for first, second in pairs:
        for name in ("intended", "prompt", "seed"):
            values = getattr(first, name), getattr(second, name)
            if values[0] != values[1]:
                raise ValueError(
                    f"{first.file}: {name} is {values[0]!r} and {values[1]!r}; it must be the same"
                )
    scenes = [f"{first.seed} {first.prompt}" if first.prompt else first.file for first, _ in pairs]
    result = ea_8cls.compare(
        [second.judged for _, second in pairs],
        [first.judged for first, _ in pairs],
        [first.intended for first, _ in pairs],
        groups=scenes,
        emotions=metric_emotions(base.taxonomy)[0],
    )
    interval = result["difference_bootstrap"]
    return Comparison(
        base=score(base),
        lora=score(lora),
        difference=None if interval is None else Share(result["difference"], *interval),
        mcnemar_p=result["mcnemar_p"],
        both=result["both"],
        base_only=result["b_only"],
        lora_only=result["a_only"],
        neither=result["neither"],
    )


def compare_valence(base: Judged, lora: Judged) -> ValenceComparison:
    """Compare the valences that two models show, video by video, as `compare` compares their emotions.

    Args:
        base: of the first model.
        lora: of the second, on the same prompts with the same seeds, by the same judge.

    Raises:
        ValueError: they are not the same prompts, seeds or judge, or the taxonomy has no valence.
    """
    if not base.taxonomy.has_valence:
        raise ValueError("the taxonomy has no valence, so there is none to compare")
    # An emotion that stands for its valence leaves the paired test as it is.
    found = compare(*(_by_valence(judged) for judged in (base, lora)))
    return ValenceComparison(
        found.difference, found.mcnemar_p, found.both, found.base_only, found.lora_only, found.neither
    )


def _by_valence(judged: Judged) -> Judged:
    names, valences = judged.taxonomy.names, judged.taxonomy.valences
    first = {name: names[valences.index(valence)] for name, valence in zip(names, valences, strict=True)}
    return replace(
        judged,
        videos=tuple(
            replace(
                video,
                intended=first[video.intended],
                judged=None if video.judged is None else first[video.judged],
            )
            for video in judged.videos
        ),
    )
