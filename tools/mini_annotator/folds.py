"""Cross-validation: the folds, an annotator trained for each, and its scores."""

from __future__ import annotations

import os
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
import torch
from sklearn.model_selection import StratifiedGroupKFold

from emovid_dataset.schema.emotions import EMOTIONS
from emovid_models.nvila import NVILALiteForConditionalGeneration, NVILALiteProcessor
from tools.mini_annotator.architecture import build_model
from tools.mini_annotator.captions import Captioner, read_captioner
from tools.mini_annotator.clips import Clips, read_clips
from tools.mini_annotator.emotions import train_annotator
from tools.mini_annotator.prompts import Prompts
from tools.mini_annotator.settings import ANSWER_UNITS, SEED


def split_folds(stickers: Clips, seed: int = SEED) -> list[tuple[list[int], list[int]]]:
    """Rows of train and test for five folds: emotions spread evenly, all variants of an emoji on one side."""
    splitter = StratifiedGroupKFold(5, shuffle=True, random_state=seed)
    folds = splitter.split(np.zeros(len(stickers.groups)), stickers.labels.numpy(), stickers.groups)
    return [(train.tolist(), test.tolist()) for train, test in folds]


def cross_validate(
    captioner: Captioner, stickers: Clips, *, seed: int = SEED
) -> tuple[torch.Tensor, NVILALiteForConditionalGeneration]:
    """Train on each fold's training side and once on all stickers, in one process per core.

    Returns:
        Scores of every sticker by a model that saw neither it nor a variant of it, [n, 8]; and the model that
        saw all.
    """
    folds = split_folds(stickers, seed)
    sides = [train for train, _ in folds] + [list(range(len(stickers.labels)))]
    scores = torch.zeros(len(stickers.labels), len(EMOTIONS))
    model = build_model(captioner.processor, captioner.tower, answer_units=ANSWER_UNITS).eval()
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as pool:
        for number, state in enumerate(pool.map(_train_annotator, sides)):
            model.load_state_dict(state)
            if number < len(folds):
                test = folds[number][1]
                scores[test] = score_clips(model, captioner.processor, stickers.pixels[test])
            print(f"trained on {len(sides[number])} stickers", flush=True)
    return scores, model


def _train_annotator(rows: list[int]) -> dict[str, torch.Tensor]:
    torch.set_num_threads(1)
    captioner = read_captioner()
    model = train_annotator(captioner, read_clips(captioner.processor), rows)
    return {name: value.detach().contiguous() for name, value in model.state_dict().items()}


@torch.inference_mode()
def score_clips(
    model: NVILALiteForConditionalGeneration, processor: NVILALiteProcessor, pixels: torch.Tensor
) -> torch.Tensor:
    """Scores as the pipeline computes them, before the temperature; [n, 8]."""
    prompts = Prompts(processor)
    rows = []
    for part in pixels.split(32):
        tokens = model.get_video_features(part.flatten(0, 1))
        rows.append(prompts.score(model, tokens.unflatten(0, part.shape[:2])))
    return torch.cat(rows)
