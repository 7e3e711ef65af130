"""A raw folder and its label sheet: which clips there are, and what was refused and why."""

from __future__ import annotations

from emovid_dataset.builder.sheet.columns import COLUMNS
from emovid_dataset.builder.sheet.options import SheetOptions
from emovid_dataset.builder.sheet.rows import Label, Rejection, printable

__all__ = ["COLUMNS", "Label", "Rejection", "SheetOptions", "printable"]
