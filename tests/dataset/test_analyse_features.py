"""The map by video features: clusters are found again, stale vectors left out, and small numbers bear up."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow
import pytest
from analyse_clips import clip_table
from pyarrow import parquet

from emovid_dataset.analyse.clips import ClipTable
from emovid_dataset.analyse.feature_map import HOW_TO, Alike, FeatureMap, feature_map
from emovid_dataset.analyse.outcomes import NotComputed
from emovid_dataset.read.features import VideoFeatures, features_schema, read_features


def features_of(clips: ClipTable, vectors: np.ndarray) -> VideoFeatures:
    return VideoFeatures(clips.ids, clips.hashes, vectors.astype(np.float32), "m@1", "pooled")


def clusters(n: int = 60) -> tuple[ClipTable, np.ndarray]:
    rng = np.random.default_rng(0)
    types = np.arange(n) % 2
    centres = rng.normal(size=(2, 16)) * 4
    clips = clip_table(rng.integers(8, size=n), types=types, content_types=("cartoon", "movie"))
    return clips, centres[types] + rng.normal(size=(n, 16))


def test_clusters_in_the_features_are_clusters_on_the_map() -> None:
    clips, vectors = clusters()
    found = feature_map(clips, features_of(clips, vectors), seed=3)
    assert isinstance(found, FeatureMap) and found.places.shape == (60, 2)
    assert found.perplexity == pytest.approx(59 / 3) and found.rows.tolist() == list(range(60))
    near = np.linalg.norm(found.places[:, None] - found.places[None], axis=-1) + np.eye(60) * 1e9
    assert (clips.types[near.argmin(1)] == clips.types).mean() > 0.95
    assert isinstance(found.same_type, Alike) and found.same_type.observed > 0.95
    assert found.same_type.by_chance == pytest.approx(29 / 59)
    assert isinstance(found.same_emotion, Alike)
    assert found.same_emotion.observed == pytest.approx(found.same_emotion.by_chance, abs=0.06)
    again = feature_map(clips, features_of(clips, vectors), seed=3)
    assert isinstance(again, FeatureMap) and np.array_equal(found.places, again.places)


def test_clips_of_one_group_are_no_neighbours() -> None:
    """Each film looks like itself and carries one emotion, which says nothing of emotions."""
    rng = np.random.default_rng(1)
    films = np.repeat(np.arange(12), 5)
    labels = rng.integers(2, size=12)[films] * 4
    clips = clip_table(labels, groups=films)
    vectors = rng.normal(size=(12, 16))[films] * 5 + rng.normal(size=(60, 16))
    found = feature_map(clips, features_of(clips, vectors))
    assert isinstance(found, FeatureMap) and isinstance(found.same_emotion, Alike)
    assert abs(found.same_emotion.observed - found.same_emotion.by_chance) < 0.25
    alone = clip_table([0, 0, 4, 4, 6], groups=[0] * 5)
    found = feature_map(alone, features_of(alone, rng.normal(size=(5, 4))))
    assert isinstance(found, FeatureMap) and found.same_type == NotComputed("all clips are of one group")


def test_a_vector_of_other_bytes_is_left_out_and_counted() -> None:
    clips, vectors = clusters(12)
    features = features_of(clips, vectors)
    versions = ("0" * 63 + "f", *features.versions[1:11])
    some = VideoFeatures(clips.ids[:11], versions, vectors[:11], "m", "w")
    found = feature_map(clips, some)
    assert isinstance(found, FeatureMap)
    assert (found.clips, found.missing, found.stale) == (10, 1, 1) and 0 not in found.rows
    few = VideoFeatures(clips.ids[:3], features.versions[:3], vectors[:3], "m", "w")
    assert feature_map(clips, few) == NotComputed(
        "the file has features of 3 of the build's 12 clips; a map needs 5"
    )
    assert feature_map(clips, None) == NotComputed(HOW_TO) and "emovid annotate" in HOW_TO
    same = features_of(clips, np.ones((12, 4)))
    assert feature_map(clips, same) == NotComputed("all clips have the same features")


def write(path: Path, lists: list[list[float]]) -> Path:
    schema = features_schema(json.dumps({"model": "m@1", "what": "pooled"}))
    rows = [{"id": f"clip-{i}", "version": "v", "features": some} for i, some in enumerate(lists)]
    parquet.write_table(pyarrow.Table.from_pylist(rows, schema=schema), path)
    return path


def test_a_file_of_features_is_read_or_refused_in_one_line(tmp_path: Path) -> None:
    found = read_features(write(tmp_path / "good", [[1.0, 2.0], [3.0, 4.0]]))
    assert (found.ids, found.model, found.what) == (("clip-0", "clip-1"), "m@1", "pooled")
    assert found.vectors.dtype == np.float32 and found.vectors.tolist() == [[1, 2], [3, 4]]
    for lists in ([[1.0], [2.0, 3.0]], [[float("nan")]]):
        with pytest.raises(ValueError, match="differ in length, or are not finite"):
            read_features(write(tmp_path / "bad", lists))
    (tmp_path / "text").write_text("no parquet")
    parquet.write_table(pyarrow.table({"id": ["a"]}), tmp_path / "other")
    for name in ("text", "other"):
        with pytest.raises(ValueError, match=f"{name} is not a file of video features"):
            read_features(tmp_path / name)
    with pytest.raises(FileNotFoundError):
        read_features(tmp_path / "none")
