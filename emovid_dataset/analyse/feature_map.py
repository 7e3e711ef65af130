"""A map of the clips by the annotator's video features: t-SNE, and how alike neighbours are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from emovid_dataset.analyse.clips import ClipTable
from emovid_dataset.analyse.outcomes import NotComputed
from emovid_dataset.read.features import VideoFeatures

PERPLEXITY = 30.0
"""Perplexity where there are clips enough; at most a third of the others."""

NEIGHBOURS = 10
"""Neighbours of a clip that are looked at; fewer where there are fewer."""

FEWEST = 5
"""Clips that a map needs."""

HOW_TO = (
    "no file of features was given; make one with `emovid annotate DIR --model MODEL --out labels.parquet "
    "--features features.parquet`, then give it as `--features features.parquet`"
)
"""What is missing without features, and how to make it."""

_PRINCIPAL = 50


@dataclass(frozen=True, slots=True)
class Alike:
    """How often neighbours agree.

    Attributes:
        observed: mean share of a clip's neighbours (of other groups, nearest by the cosine of the features)
            that agree with it.
        by_chance: that share if neighbours were drawn at random from clips of other groups.
        neighbours: looked at per clip.
    """

    observed: float
    by_chance: float
    neighbours: int


@dataclass(frozen=True, slots=True)
class FeatureMap:
    """Clips on a plane; only nearness means anything, neither axes nor distances between clusters do.

    Attributes:
        model: that made the features.
        what: what the features are.
        clips: on the map.
        missing: clips of the build that the file has no vector for.
        stale: clips whose vector is of other bytes; they are left out.
        perplexity: of t-SNE.
        seed: of t-SNE.
        rows: of the clips in the `ClipTable`, int [clips].
        places: float [clips, 2].
        same_type: how often neighbours are of one content type.
        same_emotion: how often neighbours carry one emotion.
    """

    model: str
    what: str
    clips: int
    missing: int
    stale: int
    perplexity: float
    seed: int
    rows: np.ndarray
    places: np.ndarray
    same_type: Alike | NotComputed
    same_emotion: Alike | NotComputed


def feature_map(
    clips: ClipTable, features: VideoFeatures | None, *, seed: int = 0
) -> FeatureMap | NotComputed:
    """Lay the clips out by t-SNE.

    Vectors are centred, scaled to unit length, and reduced to their first 50 principal components before.

    Args:
        clips: the build's.
        features: of its clips; None says how to make them.
        seed: of t-SNE; the same seed gives the same map on the same machine.

    Returns:
        `FeatureMap`; `NotComputed` where there are no features, or of fewer than 5 clips.

    Source: L. van der Maaten and G. Hinton, "Visualizing data using t-SNE", JMLR 9, 2008.
    """
    if features is None:
        return NotComputed(HOW_TO)
    places = {key: index for index, key in enumerate(features.ids)}
    found = [(row, places[key]) for row, key in enumerate(clips.ids) if key in places]
    fresh = [(row, place) for row, place in found if features.versions[place] == clips.hashes[row]]
    if len(fresh) < FEWEST:
        other = f", {len(found) - len(fresh)} of them of other bytes" if len(fresh) < len(found) else ""
        return NotComputed(
            f"the file has features of {len(found)} of the build's {len(clips)} clips{other}; "
            f"a map needs {FEWEST}"
        )
    rows = np.array([row for row, _ in fresh])
    vectors = features.vectors[[place for _, place in fresh]].astype(np.float64)
    centred = vectors - vectors.mean(0)
    lengths = np.linalg.norm(centred, axis=1, keepdims=True)
    if not lengths.max() > 1e-12:
        return NotComputed("all clips have the same features")
    unit = centred / np.maximum(lengths, 1e-12)
    perplexity = min(PERPLEXITY, (len(rows) - 1) / 3)
    groups = clips.groups[rows]
    same = [_alike(unit, some[rows], groups) for some in (clips.types, clips.labels)]
    return FeatureMap(
        model=features.model,
        what=features.what,
        clips=len(rows),
        missing=len(clips) - len(found),
        stale=len(found) - len(fresh),
        perplexity=perplexity,
        seed=seed,
        rows=rows,
        places=_t_sne(unit, perplexity, seed),
        same_type=same[0],
        same_emotion=same[1],
    )


def _t_sne(unit: np.ndarray, perplexity: float, seed: int) -> np.ndarray:
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE

    components = min(_PRINCIPAL, *unit.shape)
    reduced = PCA(components, svd_solver="full" if len(unit) < 2000 else "randomized", random_state=seed)
    places = TSNE(
        2,
        perplexity=perplexity,
        init="pca" if components > 1 else "random",
        random_state=seed,
    ).fit_transform(reduced.fit_transform(unit).astype(np.float32))
    return places.astype(np.float64)


def _alike(unit: np.ndarray, values: np.ndarray, groups: np.ndarray) -> Alike | NotComputed:
    """Clips of one group look alike for other reasons, so that they are no neighbours here."""
    n, count = len(unit), int(groups.max()) + 1
    others = n - np.bincount(groups, minlength=count)
    wanted = min(NEIGHBOURS, int(others[groups].min()))
    if wanted < 1:
        return NotComputed("all clips are of one group")
    observed = np.empty(n)
    for start in range(0, n, 1024):  # the whole matrix of similarities would take gigabytes
        block = slice(start, start + 1024)
        near = unit[block] @ unit.T
        near[groups[block, None] == groups[None]] = -np.inf
        nearest = np.argpartition(-near, wanted - 1, axis=1)[:, :wanted]
        observed[block] = (values[nearest] == values[block, None]).mean(1)
    alike = np.bincount(values)[values]
    pairs = {(a, b): c for (a, b), c in zip(*_counted(groups, values), strict=True)}
    within = np.array([pairs[pair] for pair in zip(groups.tolist(), values.tolist(), strict=True)])
    return Alike(float(observed.mean()), float(((alike - within) / others[groups]).mean()), wanted)


def _counted(groups: np.ndarray, values: np.ndarray) -> tuple[list[tuple[int, int]], list[int]]:
    """The pairs of group and value that clips have, and the clips of each."""
    found, counts = np.unique(np.stack([groups, values], 1), axis=0, return_counts=True)
    return [(int(a), int(b)) for a, b in found.tolist()], counts.tolist()
