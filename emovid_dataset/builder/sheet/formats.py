"""Open a label sheet, whatever the format of its file."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import ZipFile

from emovid_dataset._parquet import parquet_errors
from emovid_dataset.builder.sheet.delimited import WINDOWS, encoding_of, open_delimited
from emovid_dataset.builder.sheet.rows import printable
from emovid_dataset.builder.sheet.table import Row, Table, is_empty, named, numbered

if TYPE_CHECKING:
    import pyarrow

ENDINGS = (".csv", ".tsv", ".txt", ".xlsx", ".json", ".jsonl", ".ndjson", ".parquet")
"""Endings of the names of label sheets."""

_TEXTS = (".csv", ".tsv", ".txt")
_MARKS = {b"PK\x03\x04": ".xlsx", b"PAR1": ".parquet"}
"""How files begin whose formats have a mark."""

_OBJECTS = re.compile(rb'(?:\xef\xbb\xbf)?\s*(?:\[\s*)?\{\s*"')
"""How JSON begins: an object, alone or as the first of an array."""

_CALLED = {".xlsx": "a workbook", ".parquet": "a Parquet file", ".json": "JSON", ".csv": "a text of cells"}
_UNREAD = {
    b"\x1f\x8b": "is compressed; unpack it first",
    b"BZh": "is compressed; unpack it first",
    b"\xfd7zXZ": "is compressed; unpack it first",
    b"\x28\xb5\x2f\xfd": "is compressed; unpack it first",
    b"\xd0\xcf\x11\xe0": "is a workbook in Excel's old format, or has a password; "
    "save it as .xlsx without one, or as .csv",
}
_FORMULA = re.compile(rb"<(?:\w+:)?f[\s>/]")
_ARRAY = "write it as an array of objects, one per clip"


def open_table(sheet: Path, where: str, is_known: Callable[[str], bool]) -> Table:
    """Open a label sheet.

    Args:
        sheet: the file; its ending says what it is.
        where: names the sheet in messages.
        is_known: whether a header is that of a column with a meaning.

    Raises:
        ValueError: it is of no such format, or cannot be read.
    """
    suffix, remarks = _format_of(sheet, where)
    table = _open(sheet, suffix, where, is_known)
    return replace(table, remarks=(*remarks, *table.remarks))


def _format_of(sheet: Path, where: str) -> tuple[str, tuple[str, ...]]:
    """The ending of a sheet's format, by its name and, where that says something else, by its content.

    Returns:
        The ending, and what a person should know.

    Raises:
        ValueError: it is packed, or of a format that is not read.
    """
    suffix = sheet.suffix.lower()
    if suffix not in ENDINGS:
        hint = "; save it as .xlsx or .csv" if suffix in (".xls", ".ods", ".xlsb", ".numbers") else ""
        raise ValueError(f"{where} must end in {', '.join(ENDINGS[:-1])} or {ENDINGS[-1]}{hint}")
    with sheet.open("rb") as file:
        head = file.read(256)
    for mark, problem in _UNREAD.items():
        if head.startswith(mark):
            raise ValueError(f"{where} {problem}")
    found = next((ending for mark, ending in _MARKS.items() if head.startswith(mark)), None)
    if found is None and suffix in _TEXTS and _OBJECTS.match(head):
        found = ".json"
    elif found is None and suffix in _MARKS.values() and head and not _is_binary_head(head):
        found = ".json" if _OBJECTS.match(head) else ".csv"
    if found in (None, suffix):
        return suffix, ()
    return str(found), (f"{where} is {_CALLED[str(found)]} by its content, and was read as such",)


def _is_binary_head(head: bytes) -> bool:
    return any(byte < 32 and byte not in b"\t\n\r" for byte in head)


def _open(sheet: Path, suffix: str, where: str, is_known: Callable[[str], bool]) -> Table:
    if suffix in _TEXTS:
        return open_delimited(sheet, where, is_known)
    if suffix == ".xlsx":
        return _open_workbook(sheet, where)
    if suffix in (".json", ".jsonl", ".ndjson"):
        return _open_json(sheet, where)
    return _open_parquet(sheet, where)


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
    array = _json_array(sheet, where, encoding) if start == "[" else None

    def read() -> Iterator[Row]:
        rows = _json_lines(sheet, where, encoding) if array is None else iter(array)
        yield from (Row(number, row) for number, row in enumerate(rows, start=1))

    headers: dict[str, None] = {}
    nested = False
    for row in read():
        headers.update(dict.fromkeys(row.cells))
        nested = row.number == 1 and all(isinstance(cell, (dict, list)) for cell in row.cells.values())
    if nested and headers:
        raise ValueError(f"{where} holds columns, not rows; {_ARRAY}")
    return Table(tuple(headers), read)


def _json_array(sheet: Path, where: str, encoding: str) -> list[dict[str, Any]]:
    rows = _parsed_json(sheet.read_text(encoding=encoding), where)
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
                row = _parsed_json(line, f"{where} line {number}")
            except ValueError:
                if number == 1 and _is_one_object(sheet, encoding):
                    raise ValueError(f"{where} is one object; {_ARRAY}") from None
                raise
            if not isinstance(row, dict):
                raise ValueError(f"{where} line {number} is not an object")
            yield row


def _parsed_json(text: str, where: str) -> Any:
    """What a text holds. Of a key that is there twice nobody knows which value is meant."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        cells = dict(pairs)
        if len(cells) < len(pairs):
            keys = [key for key, _ in pairs]
            twice = next(key for key in keys if keys.count(key) > 1)
            raise ValueError(f"an object has the key {twice!r} twice")
        return cells

    try:
        return json.loads(text, object_pairs_hook=once)
    except json.JSONDecodeError as error:
        raise ValueError(f"{where} is not JSON: {error}") from error
    except RecursionError:
        raise ValueError(f"{where} is nested too deeply") from None
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None


def _is_one_object(sheet: Path, encoding: str) -> bool:
    """Whether a file is a single object over several lines, which is not JSON Lines."""
    try:
        return isinstance(json.loads(sheet.read_text(encoding=encoding)), dict)
    except (ValueError, RecursionError):
        return False


def _open_parquet(sheet: Path, where: str) -> Table:
    from pyarrow import parquet

    wrong = f"{where} is not a Parquet file"
    with parquet_errors(wrong), parquet.ParquetFile(sheet) as file:
        schema = file.schema_arrow
    classes = _class_names(schema)
    wanted, left_out = [], []
    for field in schema:
        if _has_path(field.type):  # a column of `datasets` that holds videos: {bytes, path}
            wanted.append(f"{field.name}.path")
        elif _is_binary(field.type):  # JSON, which keeps the columns without a meaning, knows no bytes
            left_out.append(printable(field.name))
        else:
            wanted.append(field.name)
    told = f"{where}: bytes cannot be kept, the columns {left_out} are left out"

    names = [field.name for field in schema if not (_is_binary(field.type) and not _has_path(field.type))]
    headers = named(where, names)

    def read() -> Iterator[Row]:
        number = 0
        with parquet_errors(wrong), parquet.ParquetFile(sheet) as file:
            for batch in file.iter_batches(batch_size=1024, columns=wanted):
                for cells in batch.to_pylist():
                    number += 1
                    for name, labels in classes.items():
                        cells[name] = _class_name(labels, cells[name])
                    row = {header: cells[name] for name, header in zip(names, headers, strict=True)}
                    if not all(is_empty(cell) for cell in row.values()):
                        yield Row(number, row)

    return Table(headers, read, (told,) if left_out else ())


def _class_names(schema: pyarrow.Schema) -> dict[str, list[str]]:
    """By column of class labels their names, as the library `datasets` writes them into the schema.

    Its numbers count these names, not the emotions.
    """
    from pyarrow import types

    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        found = {name: kind["names"] for name, kind in features.items() if kind.get("_type") == "ClassLabel"}
    except (KeyError, TypeError, AttributeError, ValueError):
        return {}
    return {
        name: [str(entry) for entry in names]
        for name, names in found.items()
        if names and name in schema.names and types.is_integer(schema.field(name).type)
    }


def _class_name(names: list[str], number: int | None) -> str | None:
    """The name of a class, None for -1, which `datasets` writes where there is no label."""
    if number is None or number == -1:
        return None
    return names[number] if 0 <= number < len(names) else f"class {number}, which has no name"


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

    @contextmanager
    def opened(values: bool) -> Iterator[tuple[Any, Any]]:
        with sheet.open("rb") as file:  # by its name openpyxl would refuse what ends in .csv
            book = load_workbook(file, read_only=True, data_only=values)
            try:
                page = book.active if book.active in book.worksheets else book.worksheets[0]  # or a chart
                page.reset_dimensions()  # what some programs write there is wrong
                yield book, page
            finally:
                book.close()

    def lines() -> Iterator[tuple[Any, ...]]:
        with reading(), ExitStack() as stack:
            _, page = stack.enter_context(opened(True))
            if not calculates:
                yield from page.iter_rows(values_only=True)
                return
            _, formulas = stack.enter_context(opened(False))
            for values, written in zip(page.iter_rows(), formulas.iter_rows(), strict=True):
                yield tuple(map(_calculated, values, written))

    with reading():
        calculates = _has_formulas(sheet)
        with opened(True) as (book, page):
            pages, shown = [found.title for found in book.worksheets], page.title
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

    remarks = [f"{where} has the pages {', '.join(pages)}; {shown} was read"] if len(pages) > 1 else []
    unsaved = sum(isinstance(cell, _Formula) for line in lines() for cell in line) if calculates else 0
    if unsaved:
        remarks.append(
            f"{where}: {unsaved} cells are formulas whose results were not saved, and are read as they are "
            "written; open the workbook in a spreadsheet program and save it, or write the values"
        )
    return Table(headers, read, tuple(remarks))


class _Formula(str):
    """A formula of which the workbook holds no result."""


def _has_formulas(sheet: Path) -> bool:
    with ZipFile(sheet) as archive:
        names = [name for name in archive.namelist() if name.startswith("xl/worksheets/")]
        return any(_FORMULA.search(archive.read(name)) for name in names)


def _calculated(cell: Any, written: Any) -> Any:
    """A cell's value; its formula where the program that wrote the workbook did not calculate it.

    Args:
        cell: of the workbook with values.
        written: the same cell of the workbook with formulas.
    """
    if cell.value is not None or written.data_type != "f" or cell.data_type == "str":  # an empty text
        return cell.value
    return _Formula(getattr(written.value, "text", None) or written.value)


def cells_of(row: Row, meanings: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """A row's cells by meaning, and those without one by header.

    Args:
        row: of a table.
        meanings: by meaning the header of its column.
    """
    known = {meaning: row.cells.get(header) for meaning, header in meanings.items()}
    taken = set(meanings.values())
    return known, {header: cell for header, cell in row.cells.items() if header not in taken}
