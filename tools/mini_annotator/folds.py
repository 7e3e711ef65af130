"""Cross-validation: the folds, an annotator trained for each, and its scores."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
import torch
from sklearn.model_selection import StratifiedGroupKFold

from emovid_models.nvila import NVILALiteForConditionalGeneration, NVILALiteProcessor
from tools.mini_annotator.clips import Clips, Labels, read_stickers
from tools.mini_annotator.emotions import train_annotator
from tools.mini_annotator.language import Base, read_base
from tools.mini_annotator.prompts import Prompts
from tools.mini_annotator.settings import FOLDS, SEED
from tools.mini_annotator.split import training_rows
from tools.mini_annotator.views import read_labelled_views


def split_folds(stickers: Labels, seed: int = SEED) -> list[tuple[list[int], list[int]]]:
    """Rows of train and test for the folds: emotions spread evenly, all variants of an emoji on one side."""
    splitter = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed)
    folds = splitter.split(np.zeros(len(stickers.groups)), stickers.labels.numpy(), stickers.groups)
    return [(train.tolist(), test.tolist()) for train, test in folds]


def cross_validate(
    base: Base, stickers: Clips, *, seed: int = SEED
) -> tuple[torch.Tensor, dict[str, torch.Tensor], list[dict[str, float]]]:
    """Train on each fold's training side and once on the train split, one process a core.

    Everything that is chosen for a fold is chosen on its training side: the cross-validation is nested.

    Returns:
        Scores of every sticker by a model that saw neither it nor a variant of it, [n, 8]; the weights of the
        model that was trained on the train split; and what was chosen for each fold and for that model.
    """
    folds = split_folds(stickers, seed)
    tests = [*(test for _, test in folds), []]
    sides = [*(train for train, _ in folds), training_rows(stickers)]
    scores = torch.zeros(len(stickers.labels), 8)
    chosen = []
    state: dict[str, torch.Tensor] = {}
    workers = len(sides) if base.device.type == "cuda" else os.cpu_count()
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        jobs = [(rows, test, str(base.device)) for rows, test in zip(sides, tests, strict=True)]
        for (rows, test, _), (weights, found, chose) in zip(
            jobs, pool.map(_train_annotator, jobs), strict=True
        ):
            state = weights
            scores[test] = found
            chosen.append(chose)
            print(f"trained on {len(rows)} stickers: {chose}", flush=True)
    return scores, state, chosen


def _train_annotator(
    job: tuple[Sequence[int], Sequence[int], str],
) -> tuple[dict[str, torch.Tensor], torch.Tensor, dict[str, float]]:
    rows, test, device = job
    torch.set_num_threads(1)
    base, stickers = read_base(torch.device(device)), read_stickers()
    model, head, recall = train_annotator(base, stickers, rows)
    chosen = {"strength": head.strength, "inner_macro_recall": round(recall, 4)}
    state = {name: value.detach().half().cpu().contiguous() for name, value in model.state_dict().items()}
    model.half().float()  # measured as it is stored
    scores = torch.zeros(0, 8)
    if test:
        scores = score_clips(model, base.processor, stickers.pixels[list(test)]).cpu()
        labelled = read_labelled_views(base.device)
        taught = head.logits(labelled.clips()[list(test)]).cpu()
        chosen["agrees_with_head"] = round(float((taught.argmax(-1) == scores.argmax(-1)).float().mean()), 4)
        pair = torch.stack([taught.flatten(), (scores - scores.mean(-1, keepdim=True)).flatten()])
        chosen["correlation_with_head"] = round(float(torch.corrcoef(pair)[0, 1]), 4)
    return state, scores, chosen


@torch.inference_mode()
def score_clips(
    model: NVILALiteForConditionalGeneration, processor: NVILALiteProcessor, pixels: torch.Tensor
) -> torch.Tensor:
    """Scores as the pipeline computes them, before the temperature; [n, 8]."""
    prompts = Prompts(processor)
    device = next(model.parameters()).device
    rows = []
    for part in pixels.split(32):
        tokens = model.get_video_features(part.flatten(0, 1).to(device))
        rows.append(prompts.score(model, tokens.unflatten(0, part.shape[:2])))
    return torch.cat(rows)
