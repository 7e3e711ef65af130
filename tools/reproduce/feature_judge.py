"""A judge that is a fitted scikit-learn classifier on numbers that describe a video."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from sklearn.model_selection import GridSearchCV, StratifiedGroupKFold
from sklearn.pipeline import Pipeline

from emovid_dataset.schema.emotions import EMOTIONS
from emovid_models.evaluation import Judge
from emovid_models.nvila import NVILALiteProcessor
from emovid_models.remote.annotator.pipeline import read_frames
from tools.mini_annotator.settings import NUM_FRAMES

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


def train_feature_judge(
    name: str,
    machine: Pipeline,
    choices: Mapping[str, Sequence[float]],
    describe: Callable[[str | bytes | Path], np.ndarray],
    videos: Sequence[str | bytes | Path],
    labels: Sequence[int],
    groups: Sequence[str],
) -> Judge:
    """Fit a classifier to labelled videos; its settings are chosen by cross-validation.

    Args:
        name: of the kind of judge.
        machine: not yet fitted.
        choices: settings of the machine, each with the values to choose from.
        describe: from a video to a row.
        videos: paths or bytes of the training side; nothing held out.
        labels: indices of emotions, of at least three.
        groups: videos of one group stay on one side of the cross-validation.

    Returns:
        The judge; its identity is a digest of the machine and of what it learnt from.
    """
    rows = np.stack([describe(video) for video in videos])
    folds = StratifiedGroupKFold(FOLDS)
    search = GridSearchCV(machine, dict(choices), scoring="balanced_accuracy", cv=folds)
    search.fit(rows, np.asarray(labels), groups=list(groups))
    fitted = search.best_estimator_
    digest = hashlib.sha256(repr(fitted).encode() + rows.tobytes() + np.asarray(labels, np.int64).tobytes())
    return Judge(f"{name}@{digest.hexdigest()[:16]}", FeatureAnnotator(fitted, describe))


def read_pictures(video: str | bytes | Path, size: int) -> torch.Tensor:
    """The frames that the judges look at, on white, uint8 [NUM_FRAMES, size, size, 3].

    Raises:
        ValueError: the video cannot be decoded.
        OSError: it cannot be read.
    """
    frames = read_frames(video, lambda total: NVILALiteProcessor.sample_indices(total, NUM_FRAMES))
    return torch.from_numpy(np.stack([np.asarray(_as_picture(frame, size)) for frame in frames]))


def _as_picture(frame: Any, size: int) -> Image.Image:
    """A frame as RGB on white, `size` pixels square."""
    image = frame if isinstance(frame, Image.Image) else Image.fromarray(frame)
    if image.mode == "RGBA":
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB").resize((size, size), Image.Resampling.BICUBIC)
