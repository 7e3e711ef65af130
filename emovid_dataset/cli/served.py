"""Options of the commands that serve a page to raters, and what these commands say alike."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from emovid_dataset.cli.arguments import existing_file, parsed_by, whole
from emovid_dataset.label.raters import rater_name
from emovid_dataset.web.serve import parse_name

READABLE = (
    "emovid: --host {host} is within reach of others, and without --tls-cert and --tls-key all that raters "
    "send and see can be read on the way"
)
"""Said of an address beyond this machine without TLS, for `format`."""

Host = Annotated[
    str, typer.Option(help="Address to listen at; by default only this machine reaches the page.")
]
Port = Annotated[int, typer.Option(help="Port to listen at; 0 takes a free one.", callback=whole(0, 65535))]
HostNames = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME",
        help="A name of this machine by which browsers ask for the page; may be repeated.",
        callback=parsed_by(parse_name),
    ),
]
Certificate = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="PEM certificate, with --tls-key.", callback=existing_file),
]
PrivateKey = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="PEM private key of --tls-cert.", callback=existing_file),
]
AsJson = Annotated[
    bool, typer.Option("--json", help="Print the addresses, and at the end the counts, as JSON.")
]


def rater_names(given: Sequence[str]) -> list[str]:
    """The names of `--rater`, each once.

    Raises:
        ValueError: a name cannot be one, or is given twice.
    """
    names = [rater_name(name) for name in given]
    if len(set(names)) < len(names):
        raise ValueError(f"--rater {max(names, key=names.count)} is given twice")
    return names
