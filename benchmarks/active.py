"""How many labels random and least-certain-first need for the same macro recall, on the miniature's stickers.

Run ``python -m benchmarks.active --write``. The annotator's features are frozen; a logistic regression on
them is trained on ever more labels of one half of the stickers and judged on the other half. Both ways of
choosing start from the same labels; everything is repeated over random halves. The record is
`benchmarks/active.json`.

The features are those of the annotator that ships, which was trained on the labels of most of these stickers.
The recall says nothing about clips that it has not seen; only the comparison of the two ways means something.
"""

from __future__ import annotations

import json
import tempfile
import warnings
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

import emovid_dataset
from emovid_dataset.schema.emotions import EMOTIONS
from emovid_dataset.terminal import print_table

RECORD = Path(__file__).with_suffix(".json")
WAYS = ("random", "least certain first")
START, STEP = 8, 4
"""Labels before anything is chosen, and labels chosen at once."""

TARGETS = (0.7, 0.8, 0.9, 0.95)
"""Shares of the macro recall that all labels of the half give."""


def features_of_stickers(model: Path) -> tuple[np.ndarray, np.ndarray]:
    """Frozen features, [stickers, size], and labels, [stickers], of the embedded stickers."""
    import csv

    from pyarrow import parquet

    from emovid_models.annotator.annotate import LoadedByName, annotate
    from emovid_models.annotator.items import find_items

    mini = Path(emovid_dataset.__file__).parent / "mini"
    with (mini / "labels.csv").open(newline="", encoding="utf-8") as file:
        labels = {
            row["path"]: row["emotion"] for row in csv.DictReader(file) if row["content_type"] == "sticker"
        }
    annotator = LoadedByName.pinned(model)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "features.parquet")
        annotate(
            find_items(mini / "sticker"),
            annotator,
            Path(folder, "annotations.parquet"),
            identity=annotator.identity(),
            features=out,
        )
        table = parquet.read_table(out)
    found = {
        f"sticker/{name}": row
        for name, row in zip(*(table[n].to_pylist() for n in ("id", "features")), strict=True)
    }
    kept = sorted(set(found) & set(labels))
    return np.array([found[name] for name in kept]), np.array([EMOTIONS.index(labels[name]) for name in kept])


def curve(
    features: np.ndarray, labels: np.ndarray, pool: np.ndarray, test: np.ndarray, way: str, seed: int
) -> list[float]:
    """Macro recall on the test half with ever more labels of the pool, from `START` on in steps of `STEP`."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import recall_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    rng = np.random.default_rng(seed)
    order = rng.permutation(pool)
    chosen, left = order[:START].tolist(), order[START:].tolist()
    found = []
    while True:
        model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=200))
        if len(set(labels[chosen])) > 1:
            model.fit(features[chosen], labels[chosen])
            said = model.predict(features[test])
        else:
            said = np.full(len(test), labels[chosen[0]])
        found.append(float(recall_score(labels[test], said, average="macro", zero_division=0)))
        if not left:
            return found
        if way == WAYS[1] and len(set(labels[chosen])) > 1:
            surest = model.predict_proba(features[left]).max(1)
            left = [left[place] for place in np.argsort(surest, kind="stable")]
        chosen, left = chosen + left[:STEP], left[STEP:]


def needed(curves: np.ndarray, share: float, sizes: np.ndarray) -> np.ndarray:
    """Labels at which the mean curve first reaches a share of the mean macro recall of all labels.

    Args:
        curves: [..., repeats, sizes].
        share: 0..1.
        sizes: labels at each place.

    Returns:
        [...].
    """
    mean = curves.mean(-2)
    reached = mean >= share * mean[..., -1:]
    return np.asarray(sizes[reached.argmax(-1)], float)


def compare(features: np.ndarray, labels: np.ndarray, repeats: int, draws: int = 1000) -> dict[str, Any]:
    """Both ways over random halves, with bootstrap intervals over the halves.

    Args:
        features: [n, size].
        labels: [n].
        repeats: random halves.
        draws: bootstrap samples.
    """
    from sklearn.model_selection import StratifiedShuffleSplit

    halves = StratifiedShuffleSplit(repeats, test_size=0.5, random_state=0)
    curves: dict[str, list[list[float]]] = {way: [] for way in WAYS}
    for seed, (pool, test) in enumerate(halves.split(features, labels)):
        for way in WAYS:
            curves[way].append(curve(features, labels, pool, test, way, seed))
    size = len(labels) - (len(labels) + 1) // 2
    sizes = np.array([min(START + STEP * place, size) for place in range(len(curves[WAYS[0]][0]))])
    both = np.array([curves[way] for way in WAYS])
    rng = np.random.default_rng(0)
    drawn = rng.integers(0, repeats, (draws, repeats))
    rows = []
    for share in TARGETS:
        counts = needed(both, share, sizes)
        samples = np.stack([needed(both[:, places], share, sizes) for places in drawn])
        saved = samples[:, 0] - samples[:, 1]
        row: dict[str, Any] = {"share": share, "saved": float(counts[0] - counts[1])}
        row["saved_interval"] = np.quantile(saved, [0.025, 0.975]).tolist()
        for place, way in enumerate(WAYS):
            row[way] = float(counts[place])
            row[f"{way} interval"] = np.quantile(samples[:, place], [0.025, 0.975]).tolist()
        rows.append(row)
    mean = {way: [round(float(value), 4) for value in both[place].mean(0)] for place, way in enumerate(WAYS)}
    return {
        "stickers": len(labels),
        "pool": int(size),
        "repeats": repeats,
        "sizes": sizes.tolist(),
        "macro_recall": mean,
        "needed": rows,
    }


def main(
    repeats: Annotated[int, typer.Option(help="Random halves.")] = 40,
    write: Annotated[bool, typer.Option("--write", help="Write the record.")] = False,
) -> None:
    """Compare random and least-certain-first labelling on the miniature's stickers."""
    from emovid_models import MINI_ANNOTATOR

    warnings.filterwarnings("ignore")
    features, labels = features_of_stickers(MINI_ANNOTATOR)
    found = compare(features, labels, repeats)
    rows: list[list[object]] = [
        [
            f"{row['share']:.0%}",
            *(
                f"{row[way]:.0f} [{row[f'{way} interval'][0]:.0f}, {row[f'{way} interval'][1]:.0f}]"
                for way in WAYS
            ),
            f"{row['saved']:.0f} [{row['saved_interval'][0]:.0f}, {row['saved_interval'][1]:.0f}]",
        ]
        for row in found["needed"]
    ]
    title = f"Labels needed, of {found['pool']}, means over {repeats} halves with 95 % intervals"
    print_table(title, ["of all labels' macro recall", *WAYS, "saved"], rows)
    if write:
        RECORD.write_text(json.dumps(found, indent=1, allow_nan=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
