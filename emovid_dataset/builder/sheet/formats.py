"""Open a label sheet, whatever the format of its file."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emovid_dataset._parquet import parquet_errors
from emovid_dataset.builder.sheet.delimited import WINDOWS, encoding_of, open_delimited
from emovid_dataset.builder.sheet.rows import printable
from emovid_dataset.builder.sheet.table import Row, Table, is_empty, named, numbered

if TYPE_CHECKING:
    import pyarrow

ENDINGS = (".csv", ".tsv", ".txt", ".xlsx", ".json", ".jsonl", ".ndjson", ".parquet")
"""Endings of the names of label sheets."""


def open_table(sheet: Path, where: str, is_known: Callable[[str], bool]) -> Table:
    """Open a label sheet.

    Args:
        sheet: the file; its ending says what it is.
        where: names the sheet in messages.
        is_known: whether a header is that of a column with a meaning.

    Raises:
        ValueError: it is of no such format, or cannot be read.
    """
    suffix = sheet.suffix.lower()
    if suffix in (".csv", ".tsv", ".txt"):
        return open_delimited(sheet, where, is_known)
    if suffix == ".xlsx":
        return _open_workbook(sheet, where)
    if suffix in (".json", ".jsonl", ".ndjson"):
        return _open_json(sheet, where)
    if suffix == ".parquet":
        return _open_parquet(sheet, where, is_known)
    hint = "; save it as .xlsx or .csv" if suffix in (".xls", ".ods", ".xlsb", ".numbers") else ""
    raise ValueError(f"{where} must end in {', '.join(ENDINGS[:-1])} or {ENDINGS[-1]}{hint}")


def _open_json(sheet: Path, where: str) -> Table:
    encoding = encoding_of(sheet)
    if encoding in (WINDOWS, "latin-1"):
        raise ValueError(f"{where} is not UTF-8")
    encoding = "utf-8-sig" if encoding == "utf-8" else encoding
    with sheet.open(encoding=encoding) as file:
        start = file.read(1)
        while start.isspace():
            start = file.read(1)
    if not start:
        raise ValueError(f"{where} is empty")
    array = _json_array(sheet, where, encoding) if start == "[" and sheet.suffix.lower() == ".json" else None

    def read() -> Iterator[Row]:
        rows = _json_lines(sheet, where, encoding) if array is None else iter(array)
        yield from (Row(number, row) for number, row in enumerate(rows, start=1))

    headers: dict[str, None] = {}
    nested = False
    for row in read():
        headers.update(dict.fromkeys(row.cells))
        nested = row.number == 1 and all(isinstance(cell, (dict, list)) for cell in row.cells.values())
    if nested and headers:
        raise ValueError(f"{where} holds columns, not rows; write it as an array of objects, one per clip")
    return Table(tuple(headers), read)


def _json_array(sheet: Path, where: str, encoding: str) -> list[dict[str, Any]]:
    try:
        rows = json.loads(sheet.read_text(encoding=encoding))
    except ValueError as error:
        raise ValueError(f"{where} is not JSON: {error}") from error
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, dict):
            raise ValueError(f"{where} row {number} is not an object")
    if not rows:
        raise ValueError(f"{where} is empty")
    return list(rows)


def _json_lines(sheet: Path, where: str, encoding: str) -> Iterator[dict[str, Any]]:
    with sheet.open(encoding=encoding) as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except ValueError as error:
                raise ValueError(f"{where} line {number} is not JSON: {error}") from error
            if not isinstance(row, dict):
                raise ValueError(f"{where} line {number} is not an object")
            yield row


def _open_parquet(sheet: Path, where: str, is_known: Callable[[str], bool]) -> Table:
    from pyarrow import parquet

    wrong = f"{where} is not a Parquet file"
    with parquet_errors(wrong), parquet.ParquetFile(sheet) as file:
        schema = file.schema_arrow
    wanted, left_out = [], []
    for field in schema:
        if _has_path(field.type):  # a column of `datasets` that holds videos: {bytes, path}
            wanted.append(f"{field.name}.path")
        elif _is_binary(field.type):  # JSON, which keeps the columns without a meaning, knows no bytes
            left_out.append(printable(field.name))
        else:
            wanted.append(field.name)
    told = f"{where}: bytes cannot be kept, the columns {left_out} are left out"

    def read() -> Iterator[Row]:
        number = 0
        with parquet_errors(wrong), parquet.ParquetFile(sheet) as file:
            for batch in file.iter_batches(batch_size=1024, columns=wanted):
                for row in batch.to_pylist():
                    number += 1
                    if not all(is_empty(cell) for cell in row.values()):
                        yield Row(number, row)

    names = [field.name for field in schema if not (_is_binary(field.type) and not _has_path(field.type))]
    return Table(named(where, names), read, (told,) if left_out else ())


def _has_path(kind: pyarrow.DataType) -> bool:
    from pyarrow import types

    return types.is_struct(kind) and {field.name for field in kind} == {"bytes", "path"}


def _is_binary(kind: pyarrow.DataType) -> bool:
    """Whether bytes are in it, at any depth."""
    from pyarrow import types

    if types.is_binary(kind) or types.is_large_binary(kind) or types.is_fixed_size_binary(kind):
        return True
    return any(_is_binary(kind.field(index).type) for index in range(kind.num_fields))


def _open_workbook(sheet: Path, where: str) -> Table:
    try:
        from openpyxl import load_workbook
    except ModuleNotFoundError as error:
        raise ValueError(
            f"{where} is a workbook, which needs openpyxl: pip install 'emovid[xlsx]'"
        ) from error

    @contextmanager
    def reading() -> Iterator[None]:
        try:
            yield
        except MemoryError:
            raise
        except Exception as error:  # openpyxl lets through whatever zip, zlib, XML and its own types raise
            said = printable(str(error)) or type(error).__name__
            raise ValueError(f"{where} is not an XLSX workbook: {said}") from error

    def lines() -> Iterator[tuple[Any, ...]]:
        with reading():
            book = load_workbook(sheet, read_only=True, data_only=True)
            try:
                page = book.active if book.active is not None else book.worksheets[0]
                page.reset_dimensions()  # what some programs write there is wrong
                yield from page.iter_rows(values_only=True)
            finally:
                book.close()

    with reading():
        book = load_workbook(sheet, read_only=True)
        pages = [page.title for page in book.worksheets]
        shown = book.active.title if book.active is not None else pages[0]
        book.close()
    first = list(next((line for line in lines() if not all(map(is_empty, line))), ()))
    while first and is_empty(first[-1]):
        first.pop()
    headers = named(where, first)

    def read() -> Iterator[Row]:
        found = lines()
        for line in found:
            if not all(map(is_empty, line)):
                break
        yield from numbered(headers, found)

    others = f"{where} has the pages {', '.join(pages)}; {shown} was read"
    return Table(headers, read, (others,) if len(pages) > 1 else ())


def cells_of(row: Row, meanings: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """A row's cells by meaning, and those without one by header.

    Args:
        row: of a table.
        meanings: by meaning the header of its column.
    """
    known = {meaning: row.cells.get(header) for meaning, header in meanings.items()}
    taken = set(meanings.values())
    return known, {header: cell for header, cell in row.cells.items() if header not in taken}
