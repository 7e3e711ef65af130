"""The program itself: its commands, its version, its exit codes.

A command imports what it needs when it runs, so that `emovid --help` is quick and works without any extra. A
package adds commands by an entry point of the group `emovid.commands`: a function that takes the program's
Typer. A package that cannot be imported costs its own commands and no others.
"""

from __future__ import annotations

import platform
import sys
from contextlib import ExitStack
from functools import cache
from importlib.metadata import EntryPoint, PackageNotFoundError, entry_points, version
from typing import Annotated, cast

import typer

from emovid_dataset import __version__
from emovid_dataset.cli import agree, analyse, build, cut, label, proxy, remove, repair, stats, verify
from emovid_dataset.cli.arguments import COMMAND
from emovid_dataset.cli.errors import INTERRUPTED, USED_WRONG, print_error

COMMANDS = "emovid.commands"
"""Group of the entry points by which packages add commands."""

_VERSIONED = ("av", "datasets", "torch", "transformers", "diffusers")
_UsageError = cast(
    type[typer.BadParameter],
    next(kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "UsageError"),
)
"""Of click, or of the copy of click that later versions of typer carry."""


def _print_version(asked: bool) -> None:
    if not asked:
        return
    found = [f"python {platform.python_version()}"]
    for name in _VERSIONED:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            found.append(f"no {name}")
    typer.echo(f"emovid {__version__} ({', '.join(found)})")
    raise typer.Exit


def _options(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option(
            "--version", is_eager=True, callback=_print_version, help="Print the version, and the libraries'."
        ),
    ] = False,
) -> None:
    """EmoVid: build, verify, annotate, train, generate and judge emotion-labelled video."""
    COMMAND.set(context.with_resource(ExitStack()))


@cache
def program() -> typer.Typer:
    """The program with all its commands, those of other installed packages among them."""
    app = typer.Typer(
        name="emovid", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False
    )
    app.callback()(_options)
    for command in (build, verify, proxy, remove, repair, stats, analyse, cut, label, agree):
        command.register(app)
    left_out = [reason for entry in entry_points(group=COMMANDS) if (reason := _add(app, entry)) is not None]
    if left_out:
        app.info.epilog = " ".join(left_out)
    return app


def _add(app: typer.Typer, entry: EntryPoint) -> str | None:
    """Add a package's commands: all of them, or none and the reason."""
    commands, groups = list(app.registered_commands), list(app.registered_groups)
    try:
        entry.load()(app)
    except (Exception, SystemExit) as error:  # whatever a broken package raises, the others work
        app.registered_commands, app.registered_groups = commands, groups
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        return f"Left out, since they cannot be imported: the commands of {entry.value} ({reason})."
    return None


def main() -> None:
    """Run the program; exit codes are 0 done, 1 found wrong, 2 used wrong, 130 interrupted."""
    app = program()
    try:
        code = app(standalone_mode=False) or 0
    except _UsageError as error:
        if type(error).__name__ == "NoArgsIsHelpError":
            error.show()
        else:
            print_error(_one_line(error, app))
        sys.exit(USED_WRONG)
    except (ValueError, OSError) as error:
        print_error(error)
        sys.exit(USED_WRONG)
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    if code == INTERRUPTED:
        print_error("interrupted; run the same command again to go on")
    sys.exit(code)


def _one_line(error: typer.BadParameter, app: typer.Typer) -> str:
    """What a usage error says, with the commands left out where the command itself is unknown."""
    context = error.ctx
    said = " ".join(error.format_message().split())
    if isinstance(error.__cause__, ValueError) and hasattr(error.__cause__, "errors"):
        # typer's converters are pydantic's, which say what they want but not what they got
        said += f"; given {error.__cause__.errors()[0]['input']!r}"
    at_top = context is not None and context.parent is None
    return f"{said} {app.info.epilog}" if at_top and isinstance(app.info.epilog, str) else said
