"""Which labelled stickers the annotator that ships may be trained on."""

from __future__ import annotations

import csv
import hashlib

from emovid_dataset.builder.splits import split_groups
from emovid_dataset.schema.clip import clip_id
from tools.mini_annotator.clips import Labels
from tools.mini_corpus import MINI
from tools.mini_corpus.benchmark import NAME as BENCHMARK

RATIOS = (0.7, 0.1, 0.2)
"""Shares of train, validation and test in the reproduction's build."""


def held_out_groups() -> frozenset[str]:
    """Groups of the stickers in the reproduction's build that are not in its train split.

    The reproduction makes videos from first frames of such clips, and the annotator judges them.
    """
    with (MINI / "labels.csv").open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["content_type"] == "sticker"]
    listed = set((MINI / BENCHMARK).read_text(encoding="utf-8").split())
    aside = {
        row["group"]
        for row in rows
        if clip_id("sticker", hashlib.sha256((MINI / row["path"]).read_bytes())) in listed
    }
    rest = [row for row in rows if row["group"] not in aside]
    splits = split_groups([row["group"] for row in rest], [row["emotion"] for row in rest], ratios=RATIOS)
    return frozenset(
        aside | {row["group"] for row, split in zip(rest, splits, strict=True) if split != "train"}
    )


def training_rows(stickers: Labels) -> list[int]:
    """Rows of the stickers that are not held out, nor a variant of one that is."""
    held = held_out_groups()
    return [row for row, group in enumerate(stickers.groups) if group not in held]
