"""The table of clips that `emovid build` and `emovid stats` close with."""

from __future__ import annotations

from collections import Counter

from emovid_dataset.schema.clip import CONTENT_TYPES, SPLITS
from emovid_dataset.schema.emotions import EMOTIONS
from emovid_dataset.terminal import print_table


def print_counts(counts: Counter[tuple[str, str, str]]) -> None:
    held = [name for name in CONTENT_TYPES if any(key[0] == name for key in counts)]
    rows: list[list[object]] = []
    for content_type in held:
        for emotion in EMOTIONS:
            cells = [counts[content_type, emotion, split] for split in SPLITS]
            if any(cells):
                rows.append([content_type, emotion, *cells, sum(cells)])
    sums = [sum(count for key, count in counts.items() if key[2] == split) for split in SPLITS]
    rows.append(["all", "all", *sums, sum(sums)])
    print_table("Clips", ["content type", "emotion", *SPLITS, "all"], rows)
