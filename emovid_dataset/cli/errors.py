"""What the program says when it cannot do what it was asked to: exit codes and one-line errors.

Errors of the user's making are ValueError or OSError and become one line on stderr.
"""

from __future__ import annotations

import importlib
import sys

from emovid_dataset.store import without_credentials

FOUND_WRONG = 1
"""Exit code: the work is done, and something in it is wrong."""

USED_WRONG = 2
"""Exit code: an argument or an environment that does not work."""

INTERRUPTED = 130
"""Exit code: Ctrl-C; the same command goes on from there."""


def print_error(message: object) -> None:
    """Print one line on stderr, under the program's name; the lines of a library's message become one.

    No address in it shows a password or a signature.
    """
    lines = [line.strip() for line in str(message).splitlines() if line.strip()]
    print(f"emovid: {without_credentials(' '.join(lines))}", file=sys.stderr)


def need(extra: str, *modules: str) -> None:
    """Check that the modules of an extra are installed.

    Args:
        extra: the name of the extra, such as "models".
        modules: import names that the command needs.

    Raises:
        ValueError: one of them is missing; the message says what to install.
    """
    for name in modules:
        try:
            importlib.import_module(name)
        except ImportError as error:
            raise ValueError(f"{name} is not installed; pip install 'emovid[{extra}]'") from error
