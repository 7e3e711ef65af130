"""Write the folder of the annotator: weights, code, card, figures, and the answers out of fold."""

from __future__ import annotations

import json
from pathlib import Path

import torch

from emovid_dataset.schema.emotions import EMOTIONS
from emovid_dataset.terminal import print_table
from emovid_models.annotator.loading import assemble_repo
from emovid_models.nvila import NVILALiteForConditionalGeneration
from emovid_models.records import FIGURES, OUT_OF_FOLD
from tools.mini_annotator.calibration import predict_out_of_fold
from tools.mini_annotator.captions import Captioner
from tools.mini_annotator.card import card
from tools.mini_annotator.clips import read_clips
from tools.mini_annotator.figures import measure


def write(
    captioner: Captioner, model: NVILALiteForConditionalGeneration, scores: torch.Tensor, out: Path
) -> None:
    """Write the folder of the annotator with its figures, and print the main ones."""
    stickers = read_clips(captioner.processor)
    found = predict_out_of_fold(stickers, scores)
    measured = measure(captioner, found, model)
    parameters = sum(value.numel() for value in model.parameters())
    # Those that it writes of the stickers are wrong.
    model.config.captions = False
    text = card(measured, parameters)
    assemble_repo(out, model=model, processor=captioner.processor, card=text, code=False)
    (out / FIGURES).write_text(json.dumps(measured, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    rows = [
        {
            "path": path,
            "emotion": EMOTIONS[label],
            "annotator": [round(value, 4) for value in annotator],
            "gradients_colours_svm": [round(value, 4) for value in baseline],
        }
        for path, label, annotator, baseline in zip(
            stickers.paths,
            stickers.labels.tolist(),
            found.annotator.tolist(),
            found.baseline.tolist(),
            strict=True,
        )
    ]
    lines = "".join(json.dumps(row, allow_nan=False) + "\n" for row in rows)
    (out / OUT_OF_FOLD).write_text(lines, encoding="utf-8")
    entries = measured["stickers"]
    names = ("annotator", "gradients_colours_svm", "majority")
    table: list[list[object]] = [
        [name, entries[name]["accuracy"], entries[name]["macro_recall"]] for name in names
    ]
    print_table(
        f"{len(scores)} stickers, out of fold; p = {entries['p_value_annotator_against_svm']}, "
        f"calibration error {entries['calibration_error']}",
        ["", "accuracy", "macro recall"],
        table,
    )
