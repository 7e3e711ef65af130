"""Read a label sheet of lines and separators: which encoding, which separator, which header."""

from __future__ import annotations

import codecs
import csv
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from emovid_dataset.builder.sheet.table import Row, Table, named, numbered

SEPARATORS = (",", ";", "\t", "|")
_LONGEST = 1 << 24
"""Characters of a cell; the library's own limit refuses 128 KiB, and with it the whole sheet."""

_NAMED = 5
"""So many rows of a kind are named."""

WINDOWS = "cp1252"
"""What programs that know no UTF-8 write in the West: Latin-1 with typographic quotes and the euro."""


def encoding_of(sheet: Path) -> str:
    """The encoding of a text file: by its mark, by its zero bytes, else UTF-8 if all of it is.

    Returns:
        A name that `open` takes; `WINDOWS`, or "latin-1" where that has no letter for a byte, where the file
        is not Unicode.
    """
    with sheet.open("rb") as file:
        head = file.read(256)
        for mark, name in (
            (codecs.BOM_UTF8, "utf-8-sig"),
            (codecs.BOM_UTF32_LE, "utf-32"),
            (codecs.BOM_UTF32_BE, "utf-32"),
            (codecs.BOM_UTF16_LE, "utf-16"),
            (codecs.BOM_UTF16_BE, "utf-16"),
        ):
            if head.startswith(mark):
                return name
        names = ["utf-8", WINDOWS]
        if head[1:2] == b"\0" and head[:1] != b"\0":
            names.insert(0, "utf-16-le")
        elif head[:1] == b"\0" and head[1:2] != b"\0":
            names.insert(0, "utf-16-be")
        for name in names:
            file.seek(0)
            if _decodes(file, name):
                return name
    return "latin-1"


def _decodes(file: IO[bytes], name: str) -> bool:
    decoder = codecs.getincrementaldecoder(name)()
    try:
        while block := file.read(1 << 20):
            decoder.decode(block)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def open_delimited(sheet: Path, where: str, is_known: Callable[[str], bool]) -> Table:
    """Open a sheet of separated values.

    The separator is the one by which the header names most known columns, or else has most cells: what
    stands in captions has no say.

    Args:
        sheet: the file; a first line such as "sep=;", as Excel writes it, names the separator.
        where: names the sheet in messages.
        is_known: whether a header is that of a column with a meaning.

    Raises:
        ValueError: it cannot be read.
    """
    encoding = encoding_of(sheet)
    remarks: tuple[str, ...] = ()
    if encoding in (WINDOWS, "latin-1"):
        remarks = (f"{where} is not UTF-8 and was read as Latin-1; save it as UTF-8 if letters look wrong",)

    @contextmanager
    def lines(separator: str, spaced: bool = False) -> Iterator[Iterator[list[str]]]:
        begins = 1

        def records() -> Iterator[list[str]]:
            nonlocal begins
            for record in reader:
                begins = reader.line_num + 1
                if record:
                    yield record

        with sheet.open(encoding=encoding, newline="") as file:
            csv.field_size_limit(max(_LONGEST, csv.field_size_limit()))  # one for the whole process
            reader = csv.reader(file, delimiter=separator, strict=True, skipinitialspace=spaced)
            try:
                yield records()
            except (csv.Error, UnicodeDecodeError) as error:
                place = f"in the row that begins in line {begins}"
                raise ValueError(f"{where} is not a CSV file: {place}: {error}") from error

    def header(separator: str) -> list[str]:
        with lines(separator) as found:
            return next((line for line in found if any(cell.strip() for cell in line)), [])

    given = _named_separator(sheet, encoding)
    order = SEPARATORS if sheet.suffix.lower() == ".csv" else ("\t", *SEPARATORS)

    def fitness(separator: str) -> tuple[int, int]:
        try:
            cells = header(separator)
        except ValueError:
            return (-1, 0)
        return (sum(is_known(cell) for cell in cells), len(cells))

    separator = given or max(order, key=fitness)
    # a quotation mark behind "path, " opens a cell only where the header is written with blanks too
    spaced = any(cell.startswith(" ") for cell in header(separator)[1:])

    def skipping(found: Iterator[list[Any]]) -> Iterator[list[Any]]:
        """The lines after the header."""
        if given is not None:
            next(found, None)
        for line in found:
            if any(cell.strip() for cell in line):
                break
        yield from found

    if given is not None:
        with lines(separator, spaced) as found:
            next(found, None)
            first: list[str] = next(found, [])
    else:
        with lines(separator, spaced) as found:
            first = next((line for line in found if any(cell.strip() for cell in line)), [])
    while first and not first[-1].strip():  # as spreadsheets leave them behind
        first.pop()
    if not first:
        raise ValueError(f"{where} is empty")
    headers = named(where, first)

    def read() -> Iterator[Row]:
        with lines(separator, spaced) as found:
            yield from numbered(headers, skipping(found))

    swallowing = [row.number for row in read() if _holds_rows(row, separator, len(headers))]
    return Table(headers, read, (*remarks, *_swallowed(where, swallowing)))


def _holds_rows(row: Row, separator: str, columns: int) -> bool:
    """Whether a cell holds a line with a row's separators: perhaps its quotation mark was never closed."""
    texts = (cell for cell in row.cells.values() if isinstance(cell, str) and ("\n" in cell or "\r" in cell))
    return any(line.count(separator) == columns - 1 for text in texts for line in text.splitlines()[1:])


def _swallowed(where: str, rows: list[int]) -> Iterator[str]:
    if rows:
        named = ", ".join(map(str, rows[:_NAMED])) + (" and others" if len(rows) > _NAMED else "")
        yield (
            f"{where}: a cell between quotation marks holds lines that look like rows, in row {named}; "
            'where a text itself begins with a quotation mark, write it as three: """'
        )


def _named_separator(sheet: Path, encoding: str) -> str | None:
    with sheet.open(encoding=encoding) as file:
        first = file.readline(16).strip().strip('"').lower()
        rest = first.removeprefix("sep=")
    return (rest or "\t") if first.startswith("sep=") and len(rest) <= 1 else None
