"""A raw folder and its label sheet: which clips there are, and what was refused and why."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from emovid_dataset.builder.sheet.columns import COLUMNS
from emovid_dataset.builder.sheet.formats import read_rows
from emovid_dataset.builder.sheet.parse import parse_row
from emovid_dataset.builder.sheet.paths import find_below, find_inside, unlabelled
from emovid_dataset.builder.sheet.rows import Label, Rejection, printable
from emovid_dataset.schema.emotions import MIKELS
from emovid_dataset.schema.taxonomy import Taxonomy
from emovid_dataset.store import Store

__all__ = ["COLUMNS", "Label", "Rejection", "printable", "read_sheet", "unlabelled"]


def read_sheet(
    sheet: str | os.PathLike[str], raw: Store, *, taxonomy: Taxonomy = MIKELS
) -> Iterator[Label | Rejection]:
    """Read a label sheet, row by row, and look every file up.

    Args:
        sheet: CSV, JSON Lines (.jsonl, .ndjson) or Parquet, by its suffix: a path or a URL. UTF-8, with or
            without a byte-order mark, any line ends.
        raw: where the source files are; the sheet's paths are relative to its root.
        taxonomy: the emotions that the sheet may name.

    Yields:
        The accepted rows and the refused ones, in the sheet's order. Two rows may name the same stretch of
        one file; `Plan.add` refuses the second.

    Raises:
        FileNotFoundError: there is no such sheet or folder.
        ValueError: the sheet cannot be read, or has no column `path` or `emotion`.
    """
    if raw.folder is not None and not raw.folder.is_dir():
        raise FileNotFoundError(f"raw folder {raw.folder} does not exist")
    root = None if raw.folder is None else raw.folder.resolve()

    def find(name: str) -> str:
        return find_inside(root, name) if root else find_below(raw, name)

    with _fetched(sheet) as path:
        for number, values in enumerate(read_rows(path), start=1):
            try:
                yield parse_row(number, values, find, taxonomy)
            except ValueError as error:
                named = printable(str(values.get("path") or ""))
                yield Rejection(number, named, printable(str(error)))


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
