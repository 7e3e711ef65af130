"""The text of the annotator's README.md, all numbers from its figures."""

from __future__ import annotations

import math
from typing import Any

from emovid_dataset.schema.emotions import EMOTIONS
from tools.mini_annotator.figures import OTHER_RUN
from tools.mini_annotator.provenance import (
    held_out_text,
    protocol_text,
    sources_text,
    training_text,
)
from tools.mini_annotator.settings import IMAGE_SIZE, NUM_FRAMES


def card(figures: dict[str, Any], parameters: int) -> str:
    """The text of README.md, all numbers from `figures`."""
    stickers, cartoon = figures["stickers"], figures["cartoon"]

    def row(name: str, entry: dict[str, Any]) -> str:
        low, high = entry["interval_95"]
        return (
            f"| {name} | {entry['accuracy']:.3f} | {low:.3f} to {high:.3f} | {entry['macro_recall']:.3f} "
            f"| {entry['valence_accuracy']:.3f} |"
        )

    annotator, svm = stickers["annotator"], stickers["gradients_colours_svm"]
    runs = {name: entry for name, entry in stickers.items() if name.startswith(OTHER_RUN)}
    others = "".join(row("another run", entry) + "\n" for entry in runs.values())
    spread = ""
    if runs:
        against = " and ".join(f"{entry['p_value_against_svm']:.3f}" for entry in runs.values())
        spread = (
            "\nAnother run is the whole command once more, from scratch, with the same settings and seeds\n"
            "on another machine; it shows how far apart two annotators of this recipe are. The weights here\n"
            f"are the first run's. Against the SVM, another run gets p = {against}.\n"
        )
    head = "| | accuracy | 95 % interval | macro recall | valence |\n|---|---|---|---|---|"
    recalls = "\n".join(
        f"| {name} | {annotator['recall'][name]:.2f} | {svm['recall'][name]:.2f} |" for name in EMOTIONS
    )
    confusion = "\n".join(
        f"| **{name}** | " + " | ".join(map(str, counts)) + " |"
        for name, counts in zip(EMOTIONS, stickers["confusion"], strict=True)
    )
    curve = "\n".join(
        f"| {point['confidence']:.2f} | {point['accuracy']:.2f} | {point['clips']} |"
        for point in stickers["calibration_curve"]
    )
    reliable = stickers["reliability"]
    left = reliable["abstain"]
    wrong = "" if left["risk"] is None else f" and is wrong for {left['risk']:.0%} of those"
    whose = {"human": "one rater", "model": "a model"}
    by_source = "".join(
        row(f"annotator, the {entry['clips']} that {whose[name]} labelled", entry) + "\n"
        for name, entry in stickers.get("by_emotion_source", {}).items()
    )
    likelihood = stickers["log_likelihood"]
    (always,) = (name for name in cartoon if name != "annotator")
    ahead = annotator["accuracy"] - svm["accuracy"]
    chance = stickers["p_value_annotator_against_svm"]
    if chance < 0.05:
        standing = f"The annotator is {'better' if ahead > 0 else 'worse'} than the SVM on the same clips"
    elif ahead == 0:
        standing = "The annotator and the SVM are right equally often on the same clips"
    else:
        side = "above" if ahead > 0 else "below"
        standing = (
            f"The annotator is {abs(ahead):.3f} {side} the SVM, which so few clips cannot tell from chance"
        )
    measured = row("annotator", figures["held_out_stickers"]["found"])
    return f"""---
license: mit
library_name: transformers
pipeline_tag: video-classification
tags:
- video-emotion
- emovid
---

# Miniature annotator of video emotions

NVILA-Lite's architecture at {parameters / 1e6:.1f} million parameters, so that every step of EmoVid runs
out of the box. It is meant for tests and demonstrations. It looks at {NUM_FRAMES} frames of
{IMAGE_SIZE}x{IMAGE_SIZE} pixels and has seen nothing but animated emoji. It offers no captions: those that
its language model was trained to write are wrong for the stickers.

```python
from emovid_models import MINI_ANNOTATOR
from transformers import pipeline

annotate = pipeline("video-emotion", model=str(MINI_ANNOTATOR), trust_remote_code=True)
annotate("sticker.mp4", top_k=3)
```

`figures.json` holds all numbers below.

## What it was trained on

{training_text(figures)}

## Stickers

{protocol_text(figures)}

{head}
{row("annotator", annotator)}
{others}{by_source}{row("gradients, colours, SVM", svm)}
{row("most common emotion", stickers["majority"])}
| chance | {stickers["chance"]["accuracy"]:.3f} | | | |

{standing}: p = {chance:.3f}
(exact McNemar test, two-sided). With both calibrated in the same way, the mean logarithm of the
probability of the label is {likelihood["annotator"]:.3f} for the annotator and
{likelihood["gradients_colours_svm"]:.3f} for the SVM (chance: {-math.log(len(EMOTIONS)):.3f}); Wilcoxon
signed-rank test, two-sided, p = {likelihood["p_value"]:.2g}. `out_of_fold.jsonl` holds the probabilities of
every sticker.
{spread}
| emotion | recall | SVM's |
|---|---|---|
{recalls}

Confusion: rows are the labels, columns the annotator's answers, both in the same order.

| | {" | ".join(EMOTIONS)} |
|---|{"---|" * len(EMOTIONS)}
{confusion}

Calibration: each fold's temperature was fitted on the other folds. Expected calibration error
{stickers["calibration_error"]:.3f} (10 bins), Brier score {reliable["brier"]:.3f} (0 to 2), AUROC of the
confidence {reliable["auroc"]:.3f}, area under the risk-coverage curve {reliable["aurc"]:.3f}. Where it
abstains below a confidence of {left["below"]:g}, it answers for
{left["coverage"]:.0%} of the stickers{wrong}.

| confidence | accuracy | clips |
|---|---|---|
{curve}

## Stickers that it has not seen

{held_out_text(figures)}

{head}
{measured}

## Cartoon clips

{cartoon["annotator"]["clips"]} segments of one film, which no training has seen; they are not part of the
figures above.

{head}
{row("annotator", cartoon["annotator"])}
{row(always.replace("_", " "), cartoon[always])}

## Sources

{sources_text()}
"""
