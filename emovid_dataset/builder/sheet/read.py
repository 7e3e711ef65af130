"""Read a label sheet: every row is accepted or refused, and every file is looked up."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from emovid_dataset.builder.sheet.annotations import (
    KEY,
    are_annotations,
    as_row,
    as_sheet,
    refuse_other_emotions,
)
from emovid_dataset.builder.sheet.columns import meaning_of, name_columns
from emovid_dataset.builder.sheet.folders import open_folders
from emovid_dataset.builder.sheet.formats import open_table
from emovid_dataset.builder.sheet.kept import keep_columns
from emovid_dataset.builder.sheet.near_misses import NothingWords, near_columns
from emovid_dataset.builder.sheet.options import SheetOptions
from emovid_dataset.builder.sheet.parse import parse_row, read_path
from emovid_dataset.builder.sheet.paths import Finder
from emovid_dataset.builder.sheet.rows import Label, Rejection, printable
from emovid_dataset.builder.sheet.words import EmotionWords
from emovid_dataset.schema.features import FeatureType
from emovid_dataset.store import Store


def read_sheet(
    sheet: str | os.PathLike[str] | None,
    raw: Store,
    *,
    options: SheetOptions = SheetOptions(),
    tell: Callable[[str], None] = lambda remark: None,
    fields: dict[str, FeatureType] | None = None,
) -> Iterator[Label | Rejection]:
    """Read a label sheet, row by row, and look every file up.

    Args:
        sheet: a path or URL; its ending says whether it is separated values (.csv, .tsv, .txt), a workbook
            (.xlsx), JSON, JSON Lines (.jsonl, .ndjson) or Parquet, which may be what `emovid annotate` wrote.
            None takes the labels from folders that are named after emotions.
        raw: where the source files are.
        options: how it is read.
        tell: gets what a person should know of how the sheet was read, a line each.
        fields: gets the names and types of the columns that become fields, before the first row comes.

    Yields:
        The accepted rows and the refused ones, in the sheet's order. Two rows may name the same stretch of
        one file; `Plan.add` refuses the second.

    Raises:
        FileNotFoundError: there is no such sheet or folder.
        ValueError: the sheet cannot be read, or it is not sure which of its columns mean what.
    """
    if raw.folder is not None and not raw.folder.is_dir():
        raise FileNotFoundError(f"raw folder {raw.folder} does not exist")
    words = EmotionWords.of(options.labels, options.words)
    with ExitStack() as stack:
        if sheet is None:
            where, place = f"raw folder {raw.folder or raw.name}", None
            table = open_folders(raw, words.knows)
        else:
            where, place = f"label sheet {sheet}", stack.enter_context(_fetched(sheet))
            table = open_table(place, where, partial(_is_known, options))
        headers, chosen = table.headers, {} if sheet is None else dict(options.columns)
        refuse_other_emotions(where, headers, options.labels.taxonomy)
        annotated = are_annotations(headers, options.labels.taxonomy)
        if annotated:
            headers = as_sheet(headers, options.labels.taxonomy)
            chosen = ({"path": KEY} if KEY in headers else {}) | chosen
        try:
            meanings = name_columns(where, headers, chosen)
        except ValueError as error:
            raise ValueError("; ".join([str(error), *table.remarks])) from None
        for remark in table.remarks:
            tell(remark)
        header = meanings["emotion"]
        cells = ((row.number, row.cells.get(header)) for row in table.read())
        if doubt := words.check_numbers(where, header, cells):
            tell(doubt)
        others = {name.lower(): name for name in headers if name not in meanings.values()}
        kept = keep_columns(where, options.keep_columns, others, table.read()) if options.keep_columns else ()
        left = [name for name in others.values() if name not in {column.header for column in kept}]
        for remark in near_columns(where, left, meanings):
            tell(remark)
        if fields is not None:
            fields.update({column.name: column.kind for column in kept})
        finder = Finder(raw, None if "://" in os.fspath(sheet or "://") else place)
        nothing = NothingWords()
        for row in table.read():
            try:
                plain = as_row(row, words) if annotated else row
                label = parse_row(plain, meanings, finder.find, words, options, kept)
            except ValueError as error:
                yield Rejection(row.number, _named(row.cells.get(meanings["path"])), printable(str(error)))
                continue
            nothing.look(label)
            yield label
        for remark in (*finder.remarks(), *nothing.remarks(where)):
            tell(remark)


def _named(cell: Any) -> str:
    """What a refused row's path is called."""
    try:
        return printable(read_path({"path": cell}) or "")
    except ValueError:
        return printable(str(cell))


def _is_known(options: SheetOptions, header: str) -> bool:
    """Whether a header is that of a column with a meaning."""
    chosen = (name.strip().lower() for name in options.columns.values())
    return meaning_of(header) is not None or header.strip().lower() in chosen


@contextmanager
def _fetched(sheet: str | os.PathLike[str]) -> Iterator[Path]:
    """The sheet as a file of the disk."""
    text = os.fspath(sheet)
    if "://" in text:
        folder, _, name = text.rpartition("/")
        with Store.find(folder).local(name) as path:
            yield path
        return
    if not os.path.isfile(text):
        raise FileNotFoundError(f"label sheet {text} does not exist")
    yield Path(text)
