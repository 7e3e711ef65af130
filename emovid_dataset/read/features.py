"""The file of video features that `emovid annotate --features` writes: its columns, and how it is read."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pyarrow

SETTINGS = b"emovid_features"
"""Key of the schema's metadata that says, as JSON, what the features are and how they were made."""


@dataclass(frozen=True, slots=True)
class VideoFeatures:
    """One vector per video.

    Attributes:
        ids: of the clips, or paths of videos that are not of a build.
        versions: of the videos that were looked at; in a build the sha256 of the MP4.
        vectors: float32 [videos, width].
        model: the model that made them.
        what: what a vector is, in words.
    """

    ids: tuple[str, ...]
    versions: tuple[str, ...]
    vectors: np.ndarray
    model: str
    what: str


def features_schema(settings: str) -> pyarrow.Schema:
    """The columns: id, version, features (a list of float32, as long in every row).

    Args:
        settings: JSON with at least "model" and "what".
    """
    import pyarrow

    columns = [
        ("id", pyarrow.string()),
        ("version", pyarrow.string()),
        ("features", pyarrow.list_(pyarrow.float32())),
    ]
    return pyarrow.schema(columns, metadata={SETTINGS: settings.encode()})


def read_features(path: str | os.PathLike[str]) -> VideoFeatures:
    """Read a file of features.

    Args:
        path: a Parquet file that `emovid annotate --features` wrote.

    Returns:
        `VideoFeatures`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not such a file, or its vectors differ in length.
    """
    import pyarrow
    from pyarrow import parquet

    try:
        table = parquet.read_table(path, columns=["id", "version", "features"], partitioning=None)
        settings = json.loads((table.schema.metadata or {})[SETTINGS])
        model, what = settings["model"], settings["what"]
    except FileNotFoundError:
        raise
    except (pyarrow.ArrowInvalid, OSError, KeyError, ValueError) as error:
        raise ValueError(f"{os.fspath(path)} is not a file of video features") from error
    ids = table["id"].to_pylist()
    vectors = _matrix(table["features"].combine_chunks(), len(ids))
    if vectors is None or not np.isfinite(vectors).all():
        raise ValueError(f"{os.fspath(path)}: its vectors differ in length, or are not finite numbers")
    return VideoFeatures(tuple(ids), tuple(table["version"].to_pylist()), vectors, model, what)


def _matrix(column: pyarrow.ListArray, rows: int) -> np.ndarray | None:
    """A column of lists as [rows, width]; None where they differ in length."""
    if column.null_count:
        return None
    lengths: Sequence[int] = np.diff(column.offsets.to_numpy()).tolist()
    if len(set(lengths)) > 1:
        return None
    return column.flatten().to_numpy(zero_copy_only=False).reshape(rows, lengths[0] if rows else 0)
