"""The command `emovid report`."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from emovid_dataset.cli.arguments import existing_folder, new_file
from emovid_dataset.cli.errors import need
from emovid_dataset.store import write_file
from emovid_dataset.terminal import print_table

if TYPE_CHECKING:
    from emovid_models.evaluation.result import Result


def register(app: typer.Typer) -> None:
    """Add the command.

    Args:
        app: gets ``report``.
    """
    app.command(
        "report",
        epilog="Examples: emovid report scores/ --html page.html --markdown table.md; "
        "emovid report scores/ --model-index card.yaml --system ours",
    )(report)


def report(
    source: Annotated[
        str,
        typer.Argument(
            metavar="RESULT", help="What emovid evaluate SYSTEM... wrote: its folder, address or result.json."
        ),
    ],
    html: Annotated[
        str | None,
        typer.Option(help="File for a page with everything, the videos too.", callback=new_file),
    ] = None,
    markdown: Annotated[
        str | None, typer.Option(help="File for the tables as Markdown.", callback=new_file)
    ] = None,
    latex: Annotated[
        str | None,
        typer.Option(help="File for the tables as LaTeX; they need the package booktabs.", callback=new_file),
    ] = None,
    csv: Annotated[
        str | None,
        typer.Option(
            "--csv", help="File for a row per judge and system, the numbers unrounded.", callback=new_file
        ),
    ] = None,
    model_index: Annotated[
        str | None,
        typer.Option(
            "--model-index", help="File for the YAML of a model card; needs --system.", callback=new_file
        ),
    ] = None,
    system: Annotated[str | None, typer.Option(help="Whose figures --model-index holds.")] = None,
    videos_root: Annotated[
        list[str] | None,
        typer.Option(
            metavar="DIR",
            help="Read the videos that RESULT names below this folder or address too; may be repeated.",
            callback=existing_folder,
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
) -> None:
    """Make tables of an evaluation's result; nothing is judged again."""
    if (model_index is None) != (system is None):
        raise ValueError("--model-index FILE and --system NAME go together")
    from emovid_models.evaluation.result import read_result

    result = read_result(source)
    need("models", "evaluate")
    need("scores", "scipy")
    from emovid_models.evaluation import model_index as card
    from emovid_models.evaluation.result_tables import result_csv, result_rows, result_tables

    made: dict[str, tuple[str | None, Callable[[Result], str]]] = {
        "markdown": (markdown, _markdown),
        "latex": (latex, _latex),
        "csv": (csv, result_csv),
        "model_index": (model_index, lambda found: card.model_index(found, str(system))),
    }
    written = {}
    if html is not None:
        from emovid_models.evaluation.page import write_page

        write_page(result, html, videos_roots=videos_root or ())
        written["html"] = html
    for name, (place, make) in made.items():
        if place is not None:
            write_file(place, make(result).encode())
            written[name] = place
    if as_json:
        record = {"inputs": result.inputs, "written": written, "systems": result_rows(result)}
        print(json.dumps(record, allow_nan=False))
        return
    if not written:
        for table in result_tables(result):
            print("\n".join(table.above))
            print_table(table.title, table.columns, table.rows)
            print("\n".join(table.below))
    for place in written.values():
        print(place)


def _markdown(result: Result) -> str:
    from emovid_models.evaluation.result_tables import result_tables
    from emovid_models.evaluation.table_formats import markdown

    return "\n".join(
        markdown(one.title, one.columns, one.rows, one.below, above=one.above, level=2)
        for one in result_tables(result)
    )


def _latex(result: Result) -> str:
    from emovid_models.evaluation.result_tables import result_tables
    from emovid_models.evaluation.table_formats import latex

    return "\n".join(
        latex(one.title, one.columns, one.rows, one.below, above=one.above) for one in result_tables(result)
    )
