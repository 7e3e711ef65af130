"""The command `emovid agree`."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from emovid_dataset.cli.arguments import (
    check_by,
    existing_file,
    existing_folder,
    new_file,
    one_of,
    parsed_by,
    whole,
)
from emovid_dataset.terminal import print_table

if TYPE_CHECKING:
    from emovid_dataset.agree.measure import InterRaterAgreement

_SHOWN = 20


def register(app: typer.Typer) -> None:
    """Add the command.

    Args:
        app: gets ``agree``.
    """
    app.command("agree", epilog="Example: emovid agree answers/*.jsonl --out labels.csv")(agree)


def _out(value: Any) -> str | None:
    from emovid_dataset.agree.sheet import check_ending

    try:
        check_ending(value)
    except ValueError as error:
        return f" {error}"
    return None


def _written(param: typer.CallbackParam, value: Any) -> Any:
    return check_by(_out)(param, new_file(param, value))


def _is_there(value: str) -> str | None:
    return None if "://" in value or os.path.exists(value) else f" {value} is not a file or folder"


def _is_source(value: str) -> str | None:
    """A sheet or a build; a repo of the Hub has no ending and is looked up."""
    from emovid_dataset.builder.sheet.formats import ENDINGS

    return _is_there(value) if value.lower().endswith(ENDINGS) else None


def _named(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(","))
    if not all(names):
        raise ValueError(f"raters {text!r} must be names of columns with commas between them")
    return names


def agree(
    answers: Annotated[
        list[str],
        typer.Argument(
            metavar="ANSWERS...",
            help="Files or folders of answers (.jsonl), sheets of ratings (.csv, .xlsx, ...), or exports of "
            "Label Studio (.json).",
            callback=check_by(_is_there),
        ),
    ],
    out: Annotated[
        str | None,
        typer.Option(help="Label sheet to write (.csv or .jsonl), for emovid build.", callback=_written),
    ] = None,
    look: Annotated[
        str | None,
        typer.Option(
            help="Sheet to write of the clips that need another look, for emovid label.", callback=_written
        ),
    ] = None,
    html: Annotated[str | None, typer.Option(help="Page to write.", callback=new_file)] = None,
    sheet: Annotated[
        str | None,
        typer.Option(
            metavar="SHEET_OR_BUILD",
            help="What was rated: says path, start and end of each clip.",
            callback=check_by(_is_source),
        ),
    ] = None,
    raw: Annotated[
        Path | None,
        typer.Option(
            help="Folder of the sheet's files, where the answers name clips by a build's ids.",
            callback=existing_folder,
        ),
    ] = None,
    least: Annotated[
        int, typer.Option(help="Raters that must agree on a clip's emotion.", callback=whole(1))
    ] = 1,
    raters: Annotated[
        str | None,
        typer.Option(
            help="Columns of a sheet that are raters, with commas between them.", callback=parsed_by(_named)
        ),
    ] = None,
    taxonomy: Annotated[
        Path | None,
        typer.Option(help="Emotions other than Mikels' eight, as for build.", callback=existing_file),
    ] = None,
    source: Annotated[
        str, typer.Option(help="Who the raters are: human or model.", callback=one_of(("human", "model")))
    ] = "human",
    draws: Annotated[
        int, typer.Option(help="Bootstrap samples for the intervals; 0 makes none.", callback=whole(0))
    ] = 1000,
    seed: Annotated[int, typer.Option(help="Of the samples.", callback=whole(0, 2**32 - 1))] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
) -> None:
    """Measure how far raters agree, and make a label sheet of what their votes come to."""
    if out is not None and out == look:
        raise ValueError(f"--look {look} is also --out; name another file")
    if raw is not None and sheet is None:
        raise ValueError(f"--raw {raw} needs --sheet")
    from emovid_dataset.agree.agreement_json import agreement_json
    from emovid_dataset.agree.measure import measure_raters
    from emovid_dataset.agree.page import write_agreement_page
    from emovid_dataset.agree.places import read_places
    from emovid_dataset.agree.rating import Vocabulary
    from emovid_dataset.agree.sheet import label_rows, write_sheet
    from emovid_dataset.agree.sources import read_ratings
    from emovid_dataset.label.items import is_build
    from emovid_dataset.schema.label_set import MIKELS_LABELS, read_label_set

    def tell(remark: str) -> None:
        typer.echo(f"note: {remark}", err=True)

    labels = MIKELS_LABELS if taxonomy is None else read_label_set(taxonomy)
    ratings = read_ratings(
        answers, words=Vocabulary(labels), raters=_named(raters) if raters else (), tell=tell
    )
    places = {} if sheet is None else read_places(sheet, tell, raw=raw)
    found = measure_raters(ratings, taxonomy=labels.taxonomy, least=least, draws=draws, seed=seed)
    decided = [one for one in found.verdicts if one.emotion is not None]
    if out is not None:
        rows = label_rows(found.table, decided, places, source=source)
        write_sheet(out, rows)
        if unknown := sum("path" not in row for row in rows):
            hint = "; --sheet says what was rated" if sheet is None else ""
            if sheet is not None and raw is None and not is_build(sheet):
                hint = "; --raw says where the sheet's files are, from which ids follow"
            tell(f"of {unknown} clips the path is not known, which emovid build needs{hint}")
    if look is not None:
        write_sheet(look, label_rows(found.table, found.look, places, source=source))
    size = None if html is None else write_agreement_page(found, html)
    if as_json:
        typer.echo(json.dumps(agreement_json(found), ensure_ascii=False, allow_nan=False))
        return
    _print(found)
    for name, rows_written in ((out, len(decided)), (look, len(found.look))):
        if name is not None:
            typer.echo(f"{name}: {rows_written} clips")
    if size is not None:
        typer.echo(f"{html}: {size / 1e6:.1f} MB")


def _print(found: InterRaterAgreement) -> None:
    table = found.table
    summary: list[list[object]] = [
        ["clips", len(table.clips)],
        ["of them rated by two or more", found.compared],
        ["with an agreed answer", sum(one.emotion is not None for one in found.verdicts)],
        ["Krippendorff's alpha", found.alpha],
        ["the same, by Mikels' wheel", found.alpha_wheel],
        ["Fleiss' kappa", found.fleiss],
        ["mean of Cohen's kappa", found.mean_kappa],
        ["same answer", _share(found.same)],
        ["same, second emotions counted", _share(found.same_with_second)],
    ]
    print_table("Agreement, with 95 % intervals", ["measure", "value"], summary)
    emotions: list[list[object]] = [
        [one.name, one.votes, str(one.alpha), _share(one.specific)] for one in found.emotions
    ]
    print_table("Emotions", ["emotion", "votes", "alpha", "chosen by both"], emotions)
    columns = ["rater", "answers", "unclear", "s", "with majority", "reliability", "kappa", "asked again"]
    people: list[list[object]] = [
        [
            one.name,
            one.answers,
            one.unclear,
            None if one.median_ms is None else f"{one.median_ms / 1000:.1f}",
            _share(one.with_majority),
            _share(one.reliability),
            str(one.mean_kappa),
            None if one.same_again is None else f"{one.same_again:.0%} of {one.retest.n} the same",
        ]
        for one in found.raters
    ]
    print_table("Raters", columns, people)
    pairs: list[list[object]] = [
        [" and ".join(one.raters), one.clips, _share(one.same), str(one.kappa)] for one in found.pairs
    ]
    print_table("Pairs of raters", ["raters", "clips", "same", "Cohen's kappa"], pairs[:_SHOWN])
    looks: list[list[object]] = [[one.id, one.emotion, "; ".join(one.reasons)] for one in found.look]
    if looks:
        print_table("Clips that need another look", ["clip", "emotion", "why"], looks[:_SHOWN])
    if len(looks) > _SHOWN:
        typer.echo(f"... and {len(looks) - _SHOWN} more")


def _share(value: float | None) -> str | None:
    return None if value is None else f"{value:.1%}"
