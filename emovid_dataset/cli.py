"""The dataset's commands of the program `emovid`: build, verify, stats."""

from __future__ import annotations

import typer

app = typer.Typer(
    name="emovid",
    help="EmoVid: build, verify, annotate, train, generate and judge emotion-labelled video.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
