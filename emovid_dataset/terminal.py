"""What the commands show: a progress bar on a terminal, plain lines elsewhere, and tables."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tqdm import tqdm


class Progress:
    """Counts finished units and bytes on stderr.

    On a terminal this is a tqdm bar with units/s and MB/s; elsewhere a plain line at most every `every`
    seconds and one at the end, so that a log file stays readable.

    Args:
        total: number of units expected, or None when unknown.
        unit: the plural name of a unit, such as "clips".
        title: what is being done.
        every: seconds between plain lines.
        enabled: False prints nothing, from the first moment to the last.
    """

    def __init__(
        self, total: int | None, *, unit: str, title: str, every: float = 10.0, enabled: bool = True
    ) -> None:
        self.total, self.unit, self.title, self.every, self._enabled = total, unit, title, every, enabled
        self.count = 0
        self.size = 0
        self._start = self._last = time.monotonic()
        self._bar: tqdm | None = None
        if enabled and sys.stderr.isatty():
            # only here, as in `print_table`: a job whose progress nobody sees needs neither tqdm nor rich
            from tqdm import tqdm

            self._bar = tqdm(total=total, unit=f" {unit}", desc=title, dynamic_ncols=True)

    def update(self, count: int = 1, size: int = 0) -> None:
        """Add `count` finished units and `size` bytes."""
        self.count += count
        self.size += size
        if self._bar is not None:
            self._bar.update(count)
            if self.size:
                elapsed = max(time.monotonic() - self._start, 1e-9)
                self._bar.set_postfix_str(f"{self.size / elapsed / 1e6:.1f} MB/s", refresh=False)
        elif self._enabled and time.monotonic() - self._last >= self.every:
            self._last = time.monotonic()
            print(self._line(), file=sys.stderr, flush=True)

    def _line(self) -> str:
        elapsed = max(time.monotonic() - self._start, 1e-9)
        of = f"/{self.total}" if self.total is not None else ""
        line = f"{self.title}: {self.count}{of} {self.unit}, {self.count / elapsed:.1f} {self.unit}/s"
        return line + (f", {self.size / elapsed / 1e6:.1f} MB/s" if self.size else "")

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()
        elif self._enabled:
            print(self._line(), file=sys.stderr, flush=True)


def column_texts(cells: Sequence[object], *, thousands: bool = False) -> list[str | None]:
    """A table's column as texts; numbers that have decimals all have as many. None stays None.

    Args:
        cells: the column, from top to bottom.
        thousands: put a comma between thousands.

    >>> column_texts([0.5, 12, None, 0.125]), column_texts([1234.5, 2], thousands=True)
    (['0.500', '12', None, '0.125'], ['1,234.5', '2'])
    """
    comma = "," if thousands else ""
    floats = [cell for cell in cells if isinstance(cell, float)]
    written = [re.fullmatch(r"-?\d+\.(\d+)", str(cell)) for cell in floats]
    # not of numbers such as 1e-07 or nan
    decimals = max((len(one[1]) for one in written if one), default=0) if all(written) else None
    texts: list[str | None] = []
    for cell in cells:
        if isinstance(cell, float):
            texts.append(f"{cell:{comma}}" if decimals is None else f"{cell:{comma}.{decimals}f}")
        elif isinstance(cell, int) and not isinstance(cell, bool):
            texts.append(f"{cell:{comma}}")
        else:
            texts.append(None if cell is None else str(cell))
    return texts


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table on stdout; numbers are right-aligned, None is a dash.

    Args:
        title: the caption above the table.
        columns: column headings.
        rows: one sequence of cells per row, as long as `columns`.
    """
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table()
    for index, name in enumerate(columns):
        numeric = bool(rows) and all(isinstance(row[index], (int, float, type(None))) for row in rows)
        table.add_column(name, justify="right" if numeric else "left", no_wrap=numeric)
    columns_of_texts = [column_texts([row[index] for row in rows]) for index in range(len(columns))]
    for texts in zip(*columns_of_texts, strict=True):
        table.add_row(*("-" if text is None else escape(text) for text in texts))
    console = Console(width=None if sys.stdout.isatty() else 160, highlight=False)
    # not the table's own title, which is broken to the table's width
    console.print(f"[italic]{escape(title)}[/italic]", soft_wrap=True)
    console.print(table)
