"""The command `emovid study analyse`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from emovid_dataset.cli.arguments import check_by, existing_folder, new_file
from emovid_dataset.cli.errors import need
from emovid_dataset.terminal import print_table

if TYPE_CHECKING:
    from emovid_models.study.analyse import StudyAnalysis


def register(app: typer.Typer) -> None:
    """Add the command.

    Args:
        app: the group ``study``, which gets ``analyse``.
    """
    app.command("analyse", epilog="Example: emovid study analyse study/ --result scores/ --html study.html")(
        analyse_study
    )


def _no_result(value: str) -> str | None:
    """What keeps a folder from being a result; an address is looked up when it is needed."""
    if "://" in value or (Path(value) / "result.json").is_file() or Path(value).name == "result.json":
        return None
    return f" {value} has no result.json, which emovid evaluate SYSTEM... --out FOLDER writes"


def analyse_study(
    study: Annotated[
        Path, typer.Argument(metavar="STUDY", help="Folder of the study.", callback=existing_folder)
    ],
    result: Annotated[
        str | None,
        typer.Option(
            metavar="RESULT",
            help="Result of an evaluation of the same systems, whose judges are compared with people.",
            callback=check_by(_no_result),
        ),
    ] = None,
    html: Annotated[str | None, typer.Option(help="Page to write.", callback=new_file)] = None,
    latex: Annotated[
        str | None, typer.Option(help="File of a LaTeX table to write.", callback=new_file)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
) -> None:
    """Say what the raters of a study prefer, with intervals and tests, with and without those who failed.

    Raters who failed more attention checks than the plan of the study allows are left out of the first table.
    """
    need("study", "scipy")
    from emovid_dataset.store import write_file
    from emovid_models.evaluation.result import read_result
    from emovid_models.study.analyse import analyse_folder
    from emovid_models.study.analysis_report import analysis_json, analysis_latex, write_analysis_page

    found = analyse_folder(study, None if result is None else read_result(result))
    if html is not None:
        write_analysis_page(found, html)
    if latex is not None:
        write_file(latex, analysis_latex(found).encode())
    if as_json:
        print(json.dumps(analysis_json(found), ensure_ascii=False, allow_nan=False))
        return
    _show(found)
    for written in (html, latex):
        if written is not None:
            print(f"written: {written}")


def _show(found: StudyAnalysis) -> None:
    from emovid_models.study.analysis_report import analysis_rows, correlation_in_words, p_in_words

    columns = ("system", "first choices, 95 %", "p against chance", "worth, 95 %", "rank")
    for question in found.questions:
        print_table(question.question, columns, analysis_rows(question.kept))
        said = question.kept.preference
        if said is not None and said.note:
            print(said.note)
        for pair in () if said is None else said.contrasts:
            print(f"{pair.first} against {pair.second}: p {p_in_words(pair.p_holm)} by Holm")
        for one in question.kept.agreement:
            print(f"raters agree on {', '.join(one.systems)}: Krippendorff's alpha {one.alpha}")
        if found.left_out:
            print_table(f"{question.question}, with all raters", columns, analysis_rows(question.everyone))
    for judge in found.judges:
        print(
            f"{judge.source} and people, over systems: {correlation_in_words(judge.over_systems)}; "
            f"over videos: {correlation_in_words(judge.over_videos)}"
        )
    left_out = ", ".join(f"{rater} ({count})" for rater, count in found.left_out.items()) or "none"
    print(
        f"{found.counted_raters} of {found.raters} raters count; left out for failing more than "
        f"{found.most_failed_checks} attention checks: {left_out}"
    )
