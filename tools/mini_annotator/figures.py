"""All figures of the card, with their intervals and tests."""

from __future__ import annotations

import hashlib
import math
from importlib.metadata import version
from typing import Any

import torch
from scipy.stats import wilcoxon

from emovid_dataset.schema.emotions import EMOTIONS
from emovid_models.annotator.calibration import calibration_error, macro_recall
from emovid_models.annotator.reliability import reliability
from emovid_models.nvila import NVILALiteForConditionalGeneration
from tools.mini_annotator.baseline import predict_majority
from tools.mini_annotator.calibration import OutOfFold
from tools.mini_annotator.captions import Captioner
from tools.mini_annotator.clips import read_clips
from tools.mini_annotator.folds import score_clips, split_folds
from tools.mini_annotator.settings import (
    CAPTION_STEPS,
    SEED,
    TEACHER_SEEDS,
    TEACHER_STEPS,
    TOWER_STEPS,
    TUNING_STEPS,
)
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


def measure(
    captioner: Captioner, found: OutOfFold, final: NVILALiteForConditionalGeneration
) -> dict[str, Any]:
    """All figures of the card.

    Args:
        captioner: for its processor.
        found: of all stickers.
        final: the annotator that ships, for the cartoon clips.
    """
    stickers = read_clips(captioner.processor)
    labels = stickers.labels
    folds = split_folds(stickers)
    probabilities = found.annotator
    predicted, baseline = found.annotator.argmax(-1), found.baseline.argmax(-1)
    confidence = probabilities.max(-1).values
    curve = []
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
    likelihoods = [
        rows[torch.arange(len(labels)), labels].log().double() for rows in (probabilities, found.baseline)
    ]
    confusion = torch.zeros(len(EMOTIONS), len(EMOTIONS), dtype=torch.long)
    confusion.index_put_((labels, predicted), torch.tensor(1), accumulate=True)
    figures: dict[str, Any] = {
        "stickers": {
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
            "reliability": reliability(probabilities.numpy(), labels.numpy()).to_json(),
            "calibration_curve": curve,
            "confusion": confusion.tolist(),
        }
    }
    cartoon = read_clips(captioner.processor, "cartoon")
    answers = score_clips(final, captioner.processor, cartoon.pixels).argmax(-1)
    commonest = int(cartoon.labels.bincount().argmax())
    always = torch.full_like(cartoon.labels, commonest)
    figures["cartoon"] = {
        "annotator": summarize(answers, cartoon.labels),
        "always_" + EMOTIONS[commonest]: summarize(always, cartoon.labels),
    }
    libraries = ("torch", "transformers", "scikit-learn", "av", "pillow")
    figures["settings"] = {
        "seed": SEED,
        "folds": len(folds),
        "teachers": len(TEACHER_SEEDS),
        "teacher_steps": TEACHER_STEPS,
        "tower_steps": TOWER_STEPS,
        "caption_steps": CAPTION_STEPS,
        "tuning_steps": TUNING_STEPS,
        "corpus": hashlib.sha256((MINI / "SHA256SUMS").read_bytes()).hexdigest(),
        "versions": {name: version(name) for name in libraries},
    }
    return figures
