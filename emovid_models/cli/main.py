"""The program `emovid`: the dataset's commands, and the models' commands added to them.

A command body imports what it needs when it runs, so that `emovid --help` is quick and works without the
`models` extra. Errors of the user's making are ValueError or OSError and become one line on stderr.
"""

from __future__ import annotations

import importlib
import sys

import typer

from emovid_dataset.cli.dataset import app
from emovid_models.cli import annotate as annotator_cli
from emovid_models.cli import demo as demo_cli
from emovid_models.cli import evaluate as evaluation_cli
from emovid_models.cli import push as hub_cli
from emovid_models.cli import wan as wan_cli

train_app = typer.Typer(help="Train the annotator or a LoRA.", no_args_is_help=True)
app.add_typer(train_app, name="train")
annotator_cli.register(app, train_app)
wan_cli.register(app, train_app)
hub_cli.register(app)
evaluation_cli.register(app)
demo_cli.register(app)


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
            raise ValueError(
                f"{name} is not installed; run in a checkout: pip install -e '.[{extra}]'"
            ) from error


def main() -> None:
    """Run the program; exit codes are 0 done, 1 found wrong, 2 used wrong."""
    try:
        app()
    except (ValueError, OSError) as error:
        print(f"emovid: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("emovid: interrupted; run the same command again to go on", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
