"""The annotator that ships, on real clips: half precision and cuda change its probabilities by little."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from precision import WAYS, dtype_of

from emovid_dataset.schema.emotions import EMOTIONS
from emovid_models import MINI_ANNOTATOR
from emovid_models.annotator.loading import load_annotator

CLIPS = sorted((Path(__file__).parents[2] / "emovid_dataset" / "mini" / "sticker").glob("*.mp4"))[:8]
ALLOWED = {"float32": 0.002, "float16": 0.01, "bfloat16": 0.05}
"""By how much a probability may change."""


def probabilities(device: str, way: str) -> np.ndarray:
    annotate = load_annotator(MINI_ANNOTATOR, device=device, dtype=dtype_of(way))
    with torch.inference_mode():
        found = annotate([str(clip) for clip in CLIPS], batch_size=4)
    # An answer lists the emotions from the likeliest on.
    by_name = [{part["label"]: part["score"] for part in answer} for answer in found]
    return np.array([[scores[emotion] for emotion in EMOTIONS] for scores in by_name])


@pytest.fixture(scope="module")
def expected() -> np.ndarray:
    return probabilities("cpu", "float32")


@pytest.mark.parametrize(("device", "way"), [way for way in WAYS if "compiled" not in str(way.id)])
def test_probabilities(expected: np.ndarray, device: str, way: str) -> None:
    found = probabilities(device, way)
    assert found.shape == expected.shape == (len(CLIPS), 8)
    assert np.abs(found.sum(1) - 1).max() < 1e-3
    assert np.abs(found - expected).max() <= ALLOWED[way]
