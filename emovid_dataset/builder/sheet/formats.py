"""Read a label sheet's rows, whatever the format of its file."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow


def read_rows(sheet: Path) -> Iterator[Mapping[str, Any]]:
    suffix = sheet.suffix.lower()
    if suffix == ".csv":
        yield from _csv_rows(sheet)
    elif suffix in (".jsonl", ".ndjson"):
        yield from _json_rows(sheet)
    elif suffix == ".parquet":
        yield from _parquet_rows(sheet)
    else:
        raise ValueError(f"labels {str(sheet)!r} must end in .csv, .jsonl, .ndjson or .parquet")


def _check_columns(sheet: Path, columns: list[str]) -> None:
    missing = [name for name in ("path", "emotion") if name not in columns]
    if missing:
        raise ValueError(f"label sheet {sheet} has no column {' and '.join(missing)}; it has: {columns}")


def _csv_rows(sheet: Path) -> Iterator[Mapping[str, Any]]:
    with sheet.open(encoding="utf-8-sig", newline="") as file:
        try:
            reader = csv.DictReader(file, strict=True)
            columns = [name.strip() for name in reader.fieldnames or []]
            reader.fieldnames = columns
            _check_columns(sheet, columns)
            for row in reader:
                extra = row.pop(None, None)
                yield {**row, "_extra": extra} if extra else row
        except (csv.Error, UnicodeDecodeError) as error:
            raise ValueError(f"label sheet {sheet} is not a UTF-8 CSV file: {error}") from error


def _json_rows(sheet: Path) -> Iterator[Mapping[str, Any]]:
    with sheet.open(encoding="utf-8-sig") as file:
        first = True
        try:
            for number, line in enumerate(file, start=1):
                if not line.strip():
                    continue
                row = json.loads(line)
                if not isinstance(row, dict):
                    raise ValueError(f"label sheet {sheet} line {number} is not an object")
                if first:
                    _check_columns(sheet, list(row))
                    first = False
                yield row
        except UnicodeDecodeError as error:
            raise ValueError(f"label sheet {sheet} is not UTF-8: {error}") from error
        except json.JSONDecodeError as error:
            raise ValueError(f"label sheet {sheet} line {number} is not JSON: {error}") from error
    if first:
        raise ValueError(f"label sheet {sheet} is empty")


def _parquet_rows(sheet: Path) -> Iterator[Mapping[str, Any]]:
    import pyarrow
    from pyarrow import parquet

    try:
        file = parquet.ParquetFile(sheet)
    except (pyarrow.ArrowInvalid, OSError) as error:
        raise ValueError(f"label sheet {sheet} is not a Parquet file: {error}") from error
    with file:
        columns = file.schema_arrow.names
        _check_columns(sheet, columns)
        # JSON, which keeps the columns that have no meaning here, knows no bytes
        fields = [field.name for field in file.schema_arrow if not _is_binary(field.type)]
        for batch in file.iter_batches(batch_size=1024, columns=fields):
            yield from batch.to_pylist()


def _is_binary(kind: pyarrow.DataType) -> bool:
    from pyarrow import types

    return types.is_binary(kind) or types.is_large_binary(kind) or types.is_fixed_size_binary(kind)
