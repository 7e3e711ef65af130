"""What an annotator said about videos: the record, and the Parquet file that holds many."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from typing import Any, overload

from emovid_dataset._parquet import parquet_errors
from emovid_dataset.schema.no_emotion import ABSTAINED
from emovid_dataset.schema.portable.norms import expected_norms
from emovid_dataset.store import Store, store_of, without_credentials

_SETTINGS = b"emovid_annotation"
_FIELDS = ("key", "version", "start", "end", "emotion", "caption", "error")
_NORMS = ("valence", "arousal")
_ROWS_PER_GROUP = 10_000


@dataclass(frozen=True, slots=True)
class Annotation:
    """What the annotator says about a video.

    Attributes:
        key: of the `Item`.
        version: of the `Item`.
        emotion: the likeliest, or "no specific emotion" where it was to abstain; None where it failed.
        scores: a probability of each emotion, in the order of the model's; None where it failed.
        caption: None unless captions were asked for.
        error: why it failed, in one line; None where it did not.
        start: of the segment, see `Item`.
        end: likewise.
    """

    key: str
    version: str
    emotion: str | None
    scores: tuple[float, ...] | None
    caption: str | None
    error: str | None
    start: float | None = None
    end: float | None = None

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Annotation:
        """The annotation of a record or row with these fields."""
        scores = row["scores"]
        return cls(
            row["key"],
            row["version"],
            row["emotion"],
            None if scores is None else tuple(scores),
            row["caption"],
            row["error"],
            # files and ledgers of before know no segments
            row.get("start"),
            row.get("end"),
        )


def check_settings(place: str, found: str, wanted: str) -> None:
    """Refuse what was made by another model or with other settings.

    Raises:
        ValueError: `found` is not `wanted`.
    """
    if found != wanted:
        raise ValueError(f"{place} holds annotations with {found}, not {wanted}; choose another --out")


def write_annotations(
    store: Store, name: str, annotations: Iterable[Annotation], settings: str, emotions: Sequence[str]
) -> None:
    """Write a Parquet file: key, version, start and end of a segment, emotion, a column of probability per
    emotion, valence and arousal where the norms of the emotions' words are known, caption, error, and whether
    the annotator abstained.

    Args:
        store: where it goes.
        name: of the file.
        annotations: one a row; they are not held.
        settings: what they were made with; stands in the file's schema.
        emotions: those of the model, in order.
    """
    import pyarrow
    from pyarrow import parquet

    kinds: list[tuple[str, Any]] = [(name, pyarrow.string()) for name in ("key", "version")]
    kinds += [("start", pyarrow.float64()), ("end", pyarrow.float64()), ("emotion", pyarrow.string())]
    known = expected_norms(dict.fromkeys(emotions, 0.0)) is not None
    norms = _NORMS if known else ()
    kinds += [(name, pyarrow.float64()) for name in (*emotions, *norms)]
    kinds += [(name, pyarrow.string()) for name in ("caption", "error")]
    kinds.append((ABSTAINED, pyarrow.bool_()))
    schema = pyarrow.schema(kinds, metadata={_SETTINGS: settings.encode()})
    with store.create(name) as file, parquet.ParquetWriter(file, schema) as writer:
        held: list[dict[str, Any]] = []
        for item in annotations:
            row = {field: getattr(item, field) for field in _FIELDS}
            row[ABSTAINED] = item.scores is not None and item.emotion not in emotions
            scores = (None,) * len(emotions) if item.scores is None else item.scores
            shares = dict(zip(emotions, scores, strict=True))
            expected = None
            if item.scores is not None and known:
                expected = expected_norms(dict(zip(emotions, item.scores, strict=True)))
            held.append({**row, **shares, **dict(zip(norms, expected or (None, None), strict=False))})
            if len(held) == _ROWS_PER_GROUP:
                writer.write_table(pyarrow.Table.from_pylist(held, schema=schema))
                held.clear()
        writer.write_table(pyarrow.Table.from_pylist(held, schema=schema))


def read_annotations(path: str | os.PathLike[str], settings: str | None = None) -> list[Annotation]:
    """Read what `annotate` wrote.

    Args:
        path: the Parquet file, by path or URL.
        settings: if given, what it must have been written with.

    Returns:
        The annotations, in the order of the rows.

    Raises:
        ValueError: it is no such file, or was written with other settings.
    """
    return list(stream_annotations(path, settings))


def stream_annotations(
    path: str | os.PathLike[str], settings: str | None = None, *, start: int = 0
) -> Generator[Annotation, None, None]:
    """Read what `annotate` wrote, row by row; a few thousand are held.

    Args:
        path, settings: as for `read_annotations`.
        start: how many rows are left out.

    Raises:
        ValueError: as for `read_annotations`.
    """
    from pyarrow import parquet

    shown = without_credentials(os.fspath(path))
    store, name = store_of(path, to_read=True)
    wrong = parquet_errors(f"{shown} is not a file of annotations", KeyError)
    with store.local(name) as local, wrong, parquet.ParquetFile(local) as file:
        found = (file.schema_arrow.metadata or {})[_SETTINGS].decode()
        if settings is not None:
            check_settings(shown, found, settings)
        known = (*_FIELDS, *_NORMS, ABSTAINED)
        emotions = [name for name in file.schema_arrow.names if name not in known]
        for group in range(file.num_row_groups):
            rows = file.metadata.row_group(group).num_rows
            if start >= rows:
                start -= rows
                continue
            for row in file.read_row_group(group).slice(start).to_pylist():
                scores = None if row["emotion"] is None else tuple(row[name] for name in emotions)
                yield Annotation.from_row({**row, "scores": scores})
            start = 0


class Annotations(Sequence[Annotation]):
    """Rows of a file of annotations, read anew whenever they are asked for; they are not held.

    Args:
        path: of the file.
        start: the first row.
        count: how many.
    """

    def __init__(self, path: str, start: int, count: int) -> None:
        self._path, self._start, self._count = path, start, count

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Annotation]:
        return islice(stream_annotations(self._path, start=self._start), self._count)

    @overload
    def __getitem__(self, index: int) -> Annotation: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Annotation]: ...

    def __getitem__(self, index: int | slice) -> Annotation | Sequence[Annotation]:
        if isinstance(index, slice):
            return tuple(self)[index]
        place = range(self._count)[index]
        with closing(stream_annotations(self._path, start=self._start + place)) as rows:
            return next(rows)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence) or len(other) != len(self):
            return NotImplemented if not isinstance(other, Sequence) else False
        return all(mine == theirs for mine, theirs in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Annotations({without_credentials(self._path)!r}, {self._count} rows)"
