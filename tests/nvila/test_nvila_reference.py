"""Our classes compute what the original code computes.

`fixtures/` holds numbers only: what NVlabs/VILA at b760c34 computed on the CPU in single precision on the
tiny checkpoints of `published_layout.py` (transformers 4.46.0, torch 2.14.1, a Pillow before 13, which
resizes tall pictures in another order): logits at `places_of` a sequence, greedy tokens, frames.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from converted_checkpoint import Converted
from published_layout import CASES, GREEDY_TOKENS, Case, frames

TOLERANCE = 1e-4


def places_of(length: int) -> list[int]:
    """The places of a sequence whose logits are kept: every ninth, and the last four."""
    return sorted({*range(0, length, 9), *range(length - 4, length)})


def recorded(shape: str) -> Any:
    return np.load(Path(__file__).parent / "fixtures" / f"{shape}.npz")


def batch(converted: Converted, case: Case, padding_side: str) -> Any:
    processor = converted.processor
    prompts = [
        processor.build_prompt(question, num_videos=len(videos))
        for question, videos in zip(case.questions, case.videos, strict=True)
    ]
    videos = [frames(*video) for row in case.videos for video in row]
    return processor(text=prompts, videos=videos or None, do_sample_frames=False, padding_side=padding_side)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
@pytest.mark.parametrize("padding_side", ["left", "right"])
def test_logits_agree(each: Converted, case: Case, padding_side: str) -> None:
    reference = recorded(each.shape.name)
    inputs = batch(each, case, padding_side)
    with torch.inference_mode():
        logits = each.model(**inputs).logits
    for row in range(len(case.questions)):
        ours = logits[row][inputs["attention_mask"][row].bool()].numpy()
        assert len(ours) == reference[f"{case.name}/{row}/length"]
        theirs = reference[f"{case.name}/{row}/logits"]
        assert ours.shape[1] == theirs.shape[1]
        assert np.abs(ours[places_of(len(ours))] - theirs).max() < TOLERANCE


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_greedy_answers_agree(each: Converted, case: Case) -> None:
    reference = recorded(each.shape.name)
    inputs = batch(each, case, "left")
    answers = each.model.generate(
        **inputs, do_sample=False, max_new_tokens=GREEDY_TOKENS, min_new_tokens=GREEDY_TOKENS
    )[:, inputs["input_ids"].shape[1] :]
    for row, answer in enumerate(answers.tolist()):
        assert answer == reference[f"{case.name}/{row}/greedy"].tolist()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_frames_are_prepared_alike(each: Converted, case: Case) -> None:
    reference = recorded(each.shape.name)
    videos = [video for row in case.videos for video in row]
    for number, video in enumerate(videos):
        ours = each.processor.preprocess_frames(frames(*video), do_sample_frames=False).numpy()
        theirs = reference[f"{case.name}/frames {number}"].astype(np.float32) / 255 * 2 - 1
        assert np.abs(ours - theirs).max() < 1e-6
