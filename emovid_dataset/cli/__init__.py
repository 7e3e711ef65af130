"""The program `emovid`, one file per command; other packages add theirs by entry points.

The commands are imported when they are asked for: every worker process imports the script that started it,
and needs none of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import typer

__all__ = ["main", "program"]


def main() -> None:
    """Run the program; exit codes are 0 done, 1 found wrong, 2 used wrong, 130 interrupted."""
    from emovid_dataset.cli.app import main

    main()


def program() -> typer.Typer:
    """The program with all its commands, those of other installed packages among them."""
    from emovid_dataset.cli.app import program

    return program()
