"""The file of video features that is made along with annotations: what it keeps, and how it is written."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from emovid_dataset._parquet import parquet_errors
from emovid_dataset.engine import Record
from emovid_dataset.read.features import SETTINGS, features_schema
from emovid_dataset.store import BusyError, Store, store_of

if TYPE_CHECKING:
    import pyarrow

WHAT = "mean over frames and tokens of the projector's output, which the language model reads as video tokens"
"""What a vector is; stands in the file."""

_ROWS_PER_GROUP = 1000


def packed(result: Any) -> str | None:
    """The features in a pipeline's result as a record of a ledger holds them: float32 in base 64.

    Args:
        result: for a video, made with `return_features`; one that failed has none.
    """
    if not isinstance(result, Mapping) or "features" not in result:
        return None
    return base64.b64encode(np.asarray(result["features"], "<f4").tobytes()).decode("ascii")


@dataclass(frozen=True, slots=True)
class FeaturesFile:
    """A Parquet file of features: id, version, features.

    Attributes:
        store: where it is.
        name: of the file.
        settings: what the features are and which model made them, as JSON; stands in the file's schema.
    """

    store: Store
    name: str
    settings: str

    @classmethod
    def at(cls, path: str | os.PathLike[str], identity: str, num_frames: int | None) -> FeaturesFile:
        """The file at a path or URL.

        Args:
            path: of the file, which need not exist.
            identity: names the model.
            num_frames: frames per video; None for the model's own number.
        """
        store, name = store_of(path)
        what = {"model": identity, "num_frames": num_frames, "what": WHAT}
        return cls(store, name, json.dumps(what, sort_keys=True, allow_nan=False))

    @contextmanager
    def lease(self) -> Iterator[None]:
        """Keep other processes from writing it.

        Raises:
            ValueError: another process is writing it.
        """
        with ExitStack() as stack:
            try:
                stack.enter_context(self.store.lease(f".{self.name}.lock", take_over=True))
            except BusyError as error:
                place = self.store.shown(self.name)
                raise ValueError(
                    f"{place} is being written by another process; choose another --features"
                ) from error
            yield

    def versions(self) -> Iterator[tuple[str, str]]:
        """Key and version of every video that it holds features of; none where there is no file.

        Raises:
            ValueError: it is not a file of features, or was made by another model or with other settings.
        """
        if not self.store.exists(self.name):
            return
        from pyarrow import parquet

        shown = self.store.shown(self.name)
        wrong = parquet_errors(f"{shown} is not a file of video features", KeyError)
        with self.store.local(self.name) as path, wrong, parquet.ParquetFile(path) as file:
            found = (file.schema_arrow.metadata or {})[SETTINGS].decode()
            if found != self.settings:
                raise ValueError(
                    f"{shown} holds features with {found}, not {self.settings}; choose another --features"
                )
            for batch in file.iter_batches(columns=["id", "version"]):
                yield from zip(batch["id"].to_pylist(), batch["version"].to_pylist(), strict=True)

    def write(self, records: Iterable[Record], version_of: Callable[[str], str | None]) -> None:
        """Write it anew: what it held, and what was learnt now.

        Args:
            records: "key", "version" and, unless it failed, "features" (`packed`) of each video looked
                at.
            version_of: of a video of this run, else None; what the file held of other versions is dropped.
        """
        import pyarrow
        from pyarrow import parquet

        schema = features_schema(self.settings)
        fresh: set[str] = set()

        def made() -> Iterator[pyarrow.RecordBatch]:
            rows: list[dict[str, Any]] = []
            for record in records:
                if (text := record.get("features")) is not None:
                    vector = np.frombuffer(base64.b64decode(text), "<f4")
                    rows.append({"id": record["key"], "version": record["version"], "features": vector})
                    fresh.add(record["key"])
                if len(rows) == _ROWS_PER_GROUP:
                    yield pyarrow.RecordBatch.from_pylist(rows, schema=schema)
                    rows.clear()
            yield pyarrow.RecordBatch.from_pylist(rows, schema=schema)

        with self.store.create(self.name) as file, parquet.ParquetWriter(file, schema) as writer:
            for batch in made():
                writer.write_batch(batch)
            for batch in self._held():
                ids, their = batch["id"].to_pylist(), batch["version"].to_pylist()
                kept = [
                    key not in fresh and version_of(key) in (None, version)
                    for key, version in zip(ids, their, strict=True)
                ]
                writer.write_batch(batch.filter(pyarrow.array(kept, pyarrow.bool_())))

    def _held(self) -> Iterator[pyarrow.RecordBatch]:
        if not self.store.exists(self.name):
            return
        from pyarrow import parquet

        with self.store.local(self.name) as path, parquet.ParquetFile(path) as file:
            yield from file.iter_batches(batch_size=_ROWS_PER_GROUP)
