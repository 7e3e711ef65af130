"""Rows of the metadata tables: one row group at a time, so that memory does not grow with the clips.

Conditions are pushed down: row groups whose statistics rule them out are not read, and of the others only the
columns that are asked for.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from emovid_dataset._parquet import parquet_errors
from emovid_dataset.schema.features import FORMAT_1_NAMES
from emovid_dataset.schema.manifest import Manifest
from emovid_dataset.store import Store

if TYPE_CHECKING:
    from pyarrow.dataset import Expression, ParquetFileFragment


@contextmanager
def row_groups(
    store: Store, name: str, wanted: Expression | None = None
) -> Iterator[list[ParquetFileFragment]]:
    """Open a metadata table; one that is not on this disk is copied to it meanwhile.

    Args:
        store: where the build lies.
        name: of the table.
        wanted: a condition; row groups in which no row can meet it are left out.

    Yields:
        Its row groups, in order. `to_table` of one reads columns and filters rows.

    Raises:
        FileNotFoundError: there is no such table.
        OSError: it cannot be read.
        ValueError: it is not a Parquet file.
    """
    from pyarrow import dataset, fs

    with store.local(name) as path, parquet_errors(f"{store.shown(name)} is not a Parquet file"):
        table = dataset.ParquetFileFormat().make_fragment(os.fspath(path), fs.LocalFileSystem())
        yield table.split_by_row_group(wanted)


def condition(
    manifest: Manifest,
    *,
    labels: Collection[int] | None = None,
    ranges: Mapping[str, tuple[float, float]] | None = None,
    arcs: Mapping[str, tuple[float, float]] | None = None,
) -> Expression | None:
    """A condition on the rows of a build's tables; None where every row meets it.

    Args:
        manifest: of the build.
        labels: only clips with these labels; None takes all.
        ranges: by field the least and greatest value, both inclusive.
        arcs: by field of angles, in degrees, where the arc begins and ends, both inclusive; it runs through 0
            where it begins at the greater angle. An unknown angle lies on no arc.
    """
    from pyarrow import dataset

    stored = {new: old for old, new in FORMAT_1_NAMES.items()} if manifest.format == 1 else {}
    terms = []
    if labels is not None:
        names = [manifest.taxonomy.names[label] for label in sorted(labels)]
        terms.append(dataset.field("emotion").isin(names))
    for name, (low, high) in (ranges or {}).items():
        field = dataset.field(stored.get(name, name))
        terms.append((field >= low) & (field <= high))
    for name, (start, end) in (arcs or {}).items():
        field = dataset.field(stored.get(name, name))
        above, below = field >= start, field <= end
        terms.append(above & below if start <= end else above | below)
    whole = None
    for term in terms:
        whole = term if whole is None else whole & term
    return whole
