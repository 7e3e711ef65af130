"""A table as Markdown and as LaTeX, with what must stand above and below it."""

from __future__ import annotations

from collections.abc import Sequence

_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "“": "``",
    "”": "''",
    "±": r"$\pm$",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    **{mark: f"\\{mark}" for mark in "&%$#_{}"},
}


def markdown(
    title: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[object]],
    below: Sequence[str],
    *,
    above: Sequence[str] = (),
    level: int = 1,
) -> str:
    """A table with its notes as Markdown.

    Args:
        title: becomes a heading.
        columns: headings.
        rows: cells; None is a dash.
        below: one paragraph each.
        above: the same, between heading and table.
        level: of the heading, from 1.
    """

    def line(cells: Sequence[object]) -> str:
        shown = ("-" if cell is None else str(cell) for cell in cells)
        return "| " + " | ".join(cell.replace("|", "\\|").replace("*", "\\*") for cell in shown) + " |"

    table = "\n".join([line(columns), "|" + "---|" * len(columns), *map(line, rows)])
    return "\n\n".join([f"{'#' * level} {title}", *above, table, *below]) + "\n"


def latex(
    title: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[object]],
    below: Sequence[str],
    *,
    above: Sequence[str] = (),
) -> str:
    """A table with its notes as LaTeX that needs the package booktabs.

    Args:
        title: becomes the caption.
        columns: headings.
        rows: cells; None is a dash.
        below: one paragraph each, under the table.
        above: the same, between caption and table.

    >>> print(latex("50 %", ["a_b"], [[None]], []))
    \\begin{table}
    \\centering
    \\caption{50 \\%}
    \\begin{tabular}{l}
    \\toprule
    a\\_b \\\\
    \\midrule
    -- \\\\
    \\bottomrule
    \\end{tabular}
    \\end{table}
    <BLANKLINE>
    """

    def line(cells: Sequence[object]) -> str:
        return " & ".join("--" if cell is None else _escaped(str(cell)) for cell in cells) + r" \\"

    def note(text: str) -> str:
        return r"\par\noindent\footnotesize " + _escaped(text) + r"\par"

    kinds = "".join("r" if _is_numeric(column, rows) else "l" for column in range(len(columns)))
    parts = [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{_escaped(title)}}}",
        *map(note, above),
        rf"\begin{{tabular}}{{{kinds}}}",
        r"\toprule",
        line(columns),
        r"\midrule",
        *map(line, rows),
        r"\bottomrule",
        r"\end{tabular}",
        *map(note, below),
        r"\end{table}",
    ]
    return "\n".join(parts) + "\n"


def _is_numeric(column: int, rows: Sequence[Sequence[object]]) -> bool:
    cells = [row[column] for row in rows]
    return any(cell is not None for cell in cells) and all(
        cell is None or isinstance(cell, (int, float)) for cell in cells
    )


def _escaped(text: str) -> str:
    return "".join(_LATEX.get(letter, letter) for letter in text)
