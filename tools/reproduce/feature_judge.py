"""A judge that is a fitted scikit-learn classifier on numbers that describe a video."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from sklearn.pipeline import Pipeline

from emovid_dataset.schema.emotions import EMOTIONS
from emovid_models.evaluation import Judge

FOLDS = 4
"""Of the cross-validation within the training side by which a judge's settings are chosen."""


@dataclass(frozen=True, slots=True)
class FeatureAnnotator:
    """Called like the annotator's pipeline.

    Attributes:
        machine: fitted on rows of `describe`; its classes are indices of emotions.
        describe: from a video's path or bytes to a row, float32 [features]; raises ValueError or OSError for
            one that cannot be read.
    """

    machine: Pipeline
    describe: Callable[[str | bytes | Path], np.ndarray]

    def __call__(
        self, videos: Iterable[Callable[[], str | bytes]], *, batch_size: int = 8, **options: Any
    ) -> Iterator[Any]:
        """Judge videos one at a time.

        Args:
            videos: functions that return a path or bytes.
            batch_size: has no effect here.
            **options: of the annotator; a caption or a number of frames is refused.

        Yields:
            ``[{"label", "score"}, ...]``, the likeliest first, or ``{"error": reason}``.
        """
        wanted = {name: value for name, value in options.items() if value}
        if wanted:
            raise ValueError(f"a judge by features has no options {sorted(wanted)}")
        for open_video in videos:
            try:
                row = self.describe(open_video())
            except (ValueError, OSError) as error:
                yield {"error": " ".join(str(error).split())}
                continue
            margins = torch.full((len(EMOTIONS),), -torch.inf, dtype=torch.float64)
            margins[self.machine.classes_] = torch.from_numpy(
                self.machine.decision_function(row[None].astype(np.float64))[0]
            )
            scores = margins.softmax(-1).tolist()
            order = sorted(range(len(EMOTIONS)), key=lambda label: -scores[label])
            yield [{"label": EMOTIONS[label], "score": scores[label]} for label in order]


def feature_judge(
    name: str,
    machine: Pipeline,
    describe: Callable[[str | bytes | Path], np.ndarray],
    rows: np.ndarray,
    labels: Sequence[int],
) -> Judge:
    """A fitted classifier as a judge, named by what it is and what it learnt from.

    Args:
        name: of the kind of judge.
        machine: fitted.
        describe: from a video to a row.
        rows: that it was fitted on, float32 [n, features].
        labels: of the rows.
    """
    digest = hashlib.sha256(repr(machine).encode() + rows.tobytes() + np.asarray(labels, np.int64).tobytes())
    return Judge(f"{name}@{digest.hexdigest()[:16]}", FeatureAnnotator(machine, describe))


def as_picture(frame: Any, size: int) -> Image.Image:
    """A frame as RGB on white, `size` pixels square."""
    image = frame if isinstance(frame, Image.Image) else Image.fromarray(frame)
    if image.mode == "RGBA":
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB").resize((size, size), Image.Resampling.BICUBIC)
