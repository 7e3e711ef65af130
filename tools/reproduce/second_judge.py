"""A second judge, which shares nothing with the annotator but the labels.

Histograms of oriented gradients of the middle frame, colour histograms of all frames, and a support vector
machine: no network, no captions, no other emoji. Where both judges see the same model ahead, that model does
not merely please one network.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from sklearn.model_selection import GridSearchCV, StratifiedGroupKFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from emovid_dataset.schema.emotions import EMOTIONS
from emovid_models.evaluation import Judge
from emovid_models.nvila import NVILALiteProcessor
from emovid_models.remote.annotator.pipeline import read_frames
from tools.mini_annotator.pictures import gradients_and_colours
from tools.mini_annotator.settings import NUM_FRAMES, PICTURE_SIZE

FOLDS = 4
COLOURS = 64
"""Bins of the colour histogram, the last columns of `gradients_and_colours`."""


def describe(video: str | bytes | Path) -> np.ndarray:
    """What the machine sees of a video: float32 [gradients of the middle frame, mean colours].

    Raises:
        ValueError: it cannot be decoded.
        OSError: it cannot be read.
    """
    frames = read_frames(video, lambda total: NVILALiteProcessor.sample_indices(total, NUM_FRAMES))
    pictures = [np.asarray(_small(frame)) for frame in frames]
    rows = gradients_and_colours(torch.from_numpy(np.stack(pictures)))
    return torch.cat([rows[NUM_FRAMES // 2, :-COLOURS], rows[:, -COLOURS:].mean(0)]).numpy()


def _small(frame: Any) -> Image.Image:
    image = frame if isinstance(frame, Image.Image) else Image.fromarray(frame)
    if image.mode == "RGBA":
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB").resize((PICTURE_SIZE,) * 2, Image.Resampling.BICUBIC)


@dataclass(frozen=True, slots=True)
class GradientColourAnnotator:
    """Called like the annotator's pipeline.

    Attributes:
        machine: fitted on `describe`'s rows; its classes are indices of emotions.
    """

    machine: Pipeline

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
            raise ValueError(f"the second judge has no options {sorted(wanted)}")
        for open_video in videos:
            try:
                row = describe(open_video())
            except (ValueError, OSError) as error:
                yield {"error": " ".join(str(error).split())}
                continue
            margins = torch.full((len(EMOTIONS),), -torch.inf, dtype=torch.float64)
            margins[self.machine.classes_] = torch.from_numpy(self.machine.decision_function(row[None])[0])
            scores = margins.softmax(-1).tolist()
            order = sorted(range(len(EMOTIONS)), key=lambda label: -scores[label])
            yield [{"label": EMOTIONS[label], "score": scores[label]} for label in order]


def train_second_judge(
    videos: Sequence[str | bytes | Path], labels: Sequence[int], groups: Sequence[str]
) -> Judge:
    """Fit the machine.

    Args:
        videos: paths or bytes of the training side; nothing held out.
        labels: indices of emotions, of at least three.
        groups: videos of one group stay on one side when the machine's penalty is chosen.

    Returns:
        The judge; its identity is a digest of what it learnt from.
    """
    rows = np.stack([describe(video) for video in videos])
    # With ties broken by the margins, the largest margin is the machine's answer.
    machine = make_pipeline(StandardScaler(), SVC(break_ties=True))
    search = GridSearchCV(machine, {"svc__C": [1, 3, 10, 30]}, cv=StratifiedGroupKFold(FOLDS))
    search.fit(rows, np.asarray(labels), groups=list(groups))
    digest = hashlib.sha256(rows.tobytes() + np.asarray(labels, np.int64).tobytes()).hexdigest()
    return Judge(f"gradients-colours-svm@{digest[:16]}", GradientColourAnnotator(search.best_estimator_))
