"""Write the folder of the annotator: weights, code, card, figures, and the answers out of fold."""

from __future__ import annotations

import json
from pathlib import Path

from transformers import SiglipVisionModel

from emovid_dataset.schema.emotions import EMOTIONS
from emovid_dataset.terminal import print_table
from emovid_models.annotator.calibration import fit_temperature
from emovid_models.annotator.loading import assemble_repo
from emovid_models.records import FIGURES, OUT_OF_FOLD
from tools.mini_annotator.architecture import build_model
from tools.mini_annotator.calibration import predict_out_of_fold
from tools.mini_annotator.card import card
from tools.mini_annotator.clips import read_stickers
from tools.mini_annotator.figures import measure
from tools.mini_annotator.language import read_processor
from tools.mini_annotator.learning import Learnt
from tools.mini_annotator.settings import ANSWER_UNITS
from tools.mini_annotator.split import training_rows
from tools.mini_annotator.tower import TOWER


def write(learnt: Learnt, out: Path) -> None:
    """Write the folder of the annotator with its figures, and print the main ones.

    Its temperature is fitted on the scores that other models gave the stickers that it was trained on.
    """
    stickers, processor = read_stickers(), read_processor()
    seen = training_rows(stickers)
    model = build_model(processor, SiglipVisionModel(TOWER), answer_units=ANSWER_UNITS).eval()
    model.load_state_dict({name: value.float() for name, value in learnt.state.items()})
    model.config.emotion_temperature = fit_temperature(learnt.scores[seen], stickers.labels[seen])
    found = predict_out_of_fold(stickers, learnt.scores)
    measured = measure(processor, found, model, learnt.record)
    parameters = sum(value.numel() for value in model.parameters())
    # Those that it writes of the stickers are wrong.
    model.config.captions = False
    text = card(measured, parameters)
    assemble_repo(out, model=model, processor=processor, card=text, code=False)
    (out / FIGURES).write_text(json.dumps(measured, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    rows = [
        {
            "path": path,
            "emotion": EMOTIONS[label],
            "emotion_source": source,
            "annotator": [round(value, 4) for value in annotator],
            "gradients_colours_svm": [round(value, 4) for value in baseline],
        }
        for path, label, source, annotator, baseline in zip(
            stickers.paths,
            stickers.labels.tolist(),
            stickers.sources,
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
        f"{len(learnt.scores)} stickers, out of fold; p = {entries['p_value_annotator_against_svm']}, "
        f"calibration error {entries['calibration_error']}",
        ["", "accuracy", "macro recall"],
        table,
    )
