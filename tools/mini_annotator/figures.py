"""All figures of the card, with their intervals and tests."""

from __future__ import annotations

import hashlib
import math
from typing import Any

import torch
from scipy.stats import wilcoxon

from emovid_dataset.schema.emotions import EMOTIONS
from emovid_models.annotator.calibration import calibration_error, macro_recall
from emovid_models.annotator.reliability import reliability
from emovid_models.nvila import NVILALiteForConditionalGeneration, NVILALiteProcessor
from tools.mini_annotator.baseline import predict_majority
from tools.mini_annotator.calibration import OutOfFold
from tools.mini_annotator.clips import read_cartoon, read_stickers
from tools.mini_annotator.folds import score_clips, split_folds
from tools.mini_annotator.provenance import NESTED, TEACHERS
from tools.mini_annotator.settings import (
    HEAD_STRENGTHS,
    INNER_FOLDS,
    INNER_REPEATS,
    LANGUAGE_STEPS,
    SEED,
    TOWER_STEPS,
    TUNING_STEPS,
    VIEWS,
)
from tools.mini_annotator.sheets import SHEETS
from tools.mini_annotator.split import training_rows
from tools.mini_corpus import MINI

OTHER_RUN = "annotator_run_"
"""Names of other runs in the figures begin with this; the first run's is "annotator"."""


def wilson(right: int, count: int) -> tuple[float, float]:
    """The 95 % interval of a share.

    >>> [round(end, 3) for end in wilson(61, 153)]
    [0.325, 0.478]
    """
    z = 1.959964
    centre = (right + z * z / 2) / (count + z * z)
    half = z / (count + z * z) * math.sqrt(right * (count - right) / count + z * z / 4)
    return centre - half, centre + half


def mcnemar(first: torch.Tensor, second: torch.Tensor) -> float:
    """Exact two-sided p-value that two classifiers are right equally often on the same clips.

    Args:
        first: bool [n], where one is right.
        second: bool [n], where the other is.
    """
    only_first, only_second = int((first & ~second).sum()), int((second & ~first).sum())
    differ = only_first + only_second
    tail = sum(math.comb(differ, k) for k in range(min(only_first, only_second) + 1)) / 2**differ
    return min(1.0, 2 * tail)


def summarize(predicted: torch.Tensor, labels: torch.Tensor) -> dict[str, Any]:
    """Accuracy with its interval, macro recall, recall of each emotion, and the share of correct valences."""
    right = int((predicted == labels).sum())
    recalls = {
        name: round(float((predicted[labels == index] == index).float().mean()), 4)
        for index, name in enumerate(EMOTIONS)
        if (labels == index).any()
    }
    return {
        "clips": len(labels),
        "accuracy": round(right / len(labels), 4),
        "interval_95": [round(end, 4) for end in wilson(right, len(labels))],
        "macro_recall": round(macro_recall(predicted, labels), 4),
        "valence_accuracy": round(float((predicted // 4 == labels // 4).float().mean()), 4),
        "recall": recalls,
    }


def confidence_curve(probabilities: torch.Tensor, labels: torch.Tensor) -> list[dict[str, float | int]]:
    """Mean confidence, accuracy and number of clips in each of ten bins of confidence."""
    confidence, predicted = probabilities.max(-1)
    curve: list[dict[str, float | int]] = []
    for low in range(10):
        inside = (confidence > low / 10) & (confidence <= (low + 1) / 10)
        if inside.any():
            curve.append(
                {
                    "confidence": round(float(confidence[inside].mean()), 4),
                    "accuracy": round(float((predicted == labels)[inside].float().mean()), 4),
                    "clips": int(inside.sum()),
                }
            )
    return curve


def measure(
    processor: NVILALiteProcessor,
    found: OutOfFold,
    final: NVILALiteForConditionalGeneration,
    record: dict[str, Any],
) -> dict[str, Any]:
    """All figures of the card.

    Args:
        processor: of the annotators.
        found: of all stickers.
        final: the annotator that ships, with its temperature; for the stickers that it has not seen, and the
            cartoon clips.
        record: how it was trained.
    """
    stickers = read_stickers()
    labels = stickers.labels
    folds = split_folds(stickers)
    probabilities = found.annotator
    predicted, baseline = found.annotator.argmax(-1), found.baseline.argmax(-1)
    likelihoods = [
        rows[torch.arange(len(labels)), labels].log().double() for rows in (probabilities, found.baseline)
    ]
    confusion = torch.zeros(len(EMOTIONS), len(EMOTIONS), dtype=torch.long)
    confusion.index_put_((labels, predicted), torch.tensor(1), accumulate=True)
    figures: dict[str, Any] = {
        "stickers": {
            "protocol": NESTED.format(folds=len(folds), clips=len(labels)),
            "annotator": summarize(predicted, labels),
            "gradients_colours_svm": summarize(baseline, labels),
            "majority": summarize(predict_majority(stickers, folds), labels),
            "chance": {"accuracy": 1 / len(EMOTIONS)},
            "p_value_annotator_against_svm": round(mcnemar(predicted == labels, baseline == labels), 4),
            "log_likelihood": {
                "annotator": round(float(likelihoods[0].mean()), 4),
                "gradients_colours_svm": round(float(likelihoods[1].mean()), 4),
                "p_value": float(f"{wilcoxon(*(row.numpy() for row in likelihoods)).pvalue:.2g}"),
            },
            "calibration_error": round(calibration_error(probabilities, labels), 4),
            # Of the probabilities as `OUT_OF_FOLD` has them: rounding makes ties, which move the curve.
            "reliability": reliability(probabilities.numpy().round(4), labels.numpy()).to_json(),
            "calibration_curve": confidence_curve(probabilities, labels),
            "confusion": confusion.tolist(),
        }
    }
    seen = set(training_rows(stickers))
    unseen = [row for row in range(len(labels)) if row not in seen]
    answers = score_clips(final, processor, stickers.pixels[unseen]) / final.config.emotion_temperature
    figures["held_out_stickers"] = {
        "found": summarize(answers.argmax(-1), labels[unseen]),
        "calibration_error": round(calibration_error(answers.softmax(-1), labels[unseen]), 4),
        "trained_on": len(seen),
    }
    sources = sorted(set(stickers.sources))
    if len(sources) > 1:
        rows_of = {
            name: [row for row, source in enumerate(stickers.sources) if source == name] for name in sources
        }
        figures["stickers"]["by_emotion_source"] = {
            name: summarize(predicted[rows], labels[rows]) for name, rows in rows_of.items()
        }
    cartoon = read_cartoon()
    answers = score_clips(final, processor, cartoon.pixels).argmax(-1)
    commonest = int(cartoon.labels.bincount().argmax())
    always = torch.full_like(cartoon.labels, commonest)
    figures["cartoon"] = {
        "annotator": summarize(answers, cartoon.labels),
        "always_" + EMOTIONS[commonest]: summarize(always, cartoon.labels),
    }
    figures["settings"] = {
        "seed": SEED,
        "folds": len(folds),
        "inner_folds": INNER_FOLDS,
        "inner_repeats": INNER_REPEATS,
        "strengths": list(HEAD_STRENGTHS),
        "views": VIEWS,
        "tower_steps": TOWER_STEPS,
        "language_steps": LANGUAGE_STEPS,
        "tuning_steps": TUNING_STEPS,
        "sheets": [sheet.name for sheet in SHEETS],
        "corpus": hashlib.sha256((MINI / "SHA256SUMS").read_bytes()).hexdigest(),
    }
    figures["training"] = {**record, "teacher": TEACHERS}
    return figures
