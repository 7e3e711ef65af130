"""What the benchmark of active learning counts, and that its record and docs/agreement.md say the same."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from benchmarks.active import RECORD, WAYS, curve, needed

DOCS = Path(__file__).parents[2] / "docs" / "agreement.md"


def test_labels_needed_are_where_the_mean_first_reaches_the_share() -> None:
    curves = np.array([[[0.2, 0.5, 0.9, 0.8, 1.0], [0.4, 0.5, 0.7, 1.0, 1.0]]])
    sizes = np.array([8, 12, 16, 20, 24])
    assert [needed(curves, share, sizes).tolist() for share in (0.3, 0.5, 0.8, 0.85, 1.0)] == [
        [8],
        [12],
        [16],
        [20],
        [24],
    ]


def test_both_ways_end_with_all_labels_and_the_uncertain_come_first() -> None:
    rng = np.random.default_rng(1)
    labels = np.repeat([0, 1], 40)
    features = rng.normal(size=(80, 3)) + 3 * labels[:, None]
    pool, test = np.arange(0, 80, 2), np.arange(1, 80, 2)
    curves = [curve(features, labels, pool, test, way, 0) for way in WAYS]
    assert curves[0][0] == curves[1][0] and curves[0][-1] == curves[1][-1]
    assert len(curves[0]) == len(curves[1]) == 9


def test_the_record_and_the_page_agree() -> None:
    found = json.loads(RECORD.read_text(encoding="utf-8"))
    curves = np.array([[found["macro_recall"][way]] for way in WAYS])
    text = DOCS.read_text(encoding="utf-8")
    for row in found["needed"]:
        counts = needed(curves, row["share"], np.array(found["sizes"]))
        assert counts.tolist() == [row[way] for way in WAYS]
        low, high = row["saved_interval"]
        random, certain = (f"{row[way]:.0f}" for way in WAYS)
        saved = f"{row['saved']:.0f} [{low:.0f}, {high:.0f}]"
        assert f"| {100 * row['share']:.0f} % | {random} | {certain} | {saved} |" in text
