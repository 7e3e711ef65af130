"""The command `emovid label`."""

from __future__ import annotations

import json
import sys
import webbrowser
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from emovid_dataset.builder.sheet.options import SheetOptions, parse_column, parse_content_type
from emovid_dataset.cli.arguments import (
    check_by,
    existing_file,
    existing_folder,
    new_folder,
    one_of,
    parsed_by,
    whole,
)
from emovid_dataset.cli.errors import need
from emovid_dataset.cli.served import (
    READABLE,
    AsJson,
    Certificate,
    Host,
    HostNames,
    Port,
    PrivateKey,
    rater_names,
)
from emovid_dataset.label.answers import Answer, read_answers
from emovid_dataset.label.order import ORDERS, ordered, with_repeats
from emovid_dataset.label.raters import rater_name
from emovid_dataset.schema.label_set import MIKELS_LABELS, LabelSet, read_label_set
from emovid_dataset.terminal import print_table
from emovid_dataset.web.serve import ServeSettings, listening

if TYPE_CHECKING:
    from emovid_dataset.label.items import RatedClips
    from emovid_dataset.label.serving import RaterProgress

_MOST_REFUSED = 20


def register(app: typer.Typer) -> None:
    """Add the command.

    Args:
        app: gets ``label``.
    """
    app.command("label", epilog="Example: emovid label sheet.csv --rater anna --out answers --open")(label)


def _share(value: float) -> str | None:
    return None if 0 <= value <= 1 else f" is {value}; it must be a number from 0 to 1"


def label(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SHEET_OR_BUILD",
            help="A sheet with at least the column path, start and end for segments, such as `emovid cut` "
            "writes; or the folder of a build.",
        ),
    ],
    rater: Annotated[
        list[str],
        typer.Option(
            help="Who rates; may be repeated, and each gets an address of their own.",
            callback=parsed_by(rater_name),
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(help="Folder of the answers, a file per rater.", callback=new_folder),
    ] = Path("answers"),
    raw: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Where a sheet's files are; by default the sheet's own folder.",
            callback=existing_folder,
        ),
    ] = None,
    allow_root: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="DIR",
            help="Take files of this folder too, which lies outside --raw; may be repeated.",
            callback=existing_folder,
        ),
    ] = None,
    column: Annotated[
        list[str] | None,
        typer.Option(
            metavar="MEANING=HEADER",
            help="Which column of the sheet has a meaning, such as path=clip; may be repeated.",
            callback=parsed_by(parse_column),
        ),
    ] = None,
    content_type: Annotated[
        str | None,
        typer.Option(
            metavar="TYPE",
            help="Content type of clips for which neither a column nor their top folder gives one.",
            callback=parsed_by(parse_content_type),
        ),
    ] = None,
    taxonomy: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="JSON with other emotions than Mikels' eight, as for build; a label may have a definition "
            "and examples.",
            callback=existing_file,
        ),
    ] = None,
    order: Annotated[
        str | None,
        typer.Option(
            help="uncertain: the annotator's least certain first; random: a fair sample; disagreement: only "
            "clips that raters in --out answered differently. By default uncertain with --scores, else "
            "random.",
            callback=one_of((*ORDERS,)),
        ),
    ] = None,
    scores: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="The annotator's probabilities: what `emovid annotate` wrote, or a sheet with "
            "emotion_scores.",
            callback=existing_file,
        ),
    ] = None,
    repeats: Annotated[
        float,
        typer.Option(
            help="Share of the clips that come a second time, to measure raters against themselves.",
            callback=check_by(_share),
        ),
    ] = 0.05,
    seed: Annotated[int, typer.Option(help="Seed of the random order and of the repeats.")] = 0,
    limit: Annotated[
        int | None,
        typer.Option(help="Ask about so many clips only, the first of the order.", callback=whole(1)),
    ] = None,
    host: Host = "127.0.0.1",
    port: Port = 0,
    host_name: HostNames = None,
    tls_cert: Certificate = None,
    tls_key: PrivateKey = None,
    open_browser: Annotated[
        bool, typer.Option("--open", help="Open the first rater's page in the browser.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Open a page on which people say which emotion each clip shows; Ctrl-C ends it."""
    names = rater_names(rater)
    settings = ServeSettings(
        host=host, port=port, certificate=tls_cert, key=tls_key, names=tuple(host_name or ())
    )
    need("label", "fastapi", "uvicorn")
    from emovid_dataset.label.definitions import definitions_of
    from emovid_dataset.label.server import check_taxonomy
    from emovid_dataset.label.serving import serve_rating

    labels = MIKELS_LABELS if taxonomy is None else read_label_set(taxonomy)
    check_taxonomy(labels.taxonomy)
    definitions = definitions_of(labels.taxonomy, taxonomy)
    options = SheetOptions(
        labels=labels,
        columns=dict(parse_column(text) for text in column or []),
        allow_roots=tuple(allow_root or ()),
        content_type=content_type,
    )
    with listening(settings) as listener:  # what is wrong with it shows before the files are read
        rated = _clips(source, raw, options, progress=not as_json)
        if rated.taxonomy != labels.taxonomy:
            if taxonomy is not None:
                raise ValueError(f"--taxonomy {taxonomy} is not that of the build {source}")
            options = replace(options, labels=LabelSet(rated.taxonomy))
            definitions = definitions_of(rated.taxonomy)
        check_taxonomy(rated.taxonomy)
        if scores is not None:
            from emovid_dataset.label.scores import read_clip_scores

            found = read_clip_scores(scores, rated, options)
            clips = tuple(replace(clip, scores=found.get(clip.id, clip.scores)) for clip in rated.clips)
            rated = replace(rated, clips=clips)
        chosen = order or ("random" if scores is None else "uncertain")
        answers = _answers_of_all(out, rated) if chosen == "disagreement" else []
        questions = {
            name: with_repeats(
                ordered(rated.clips, chosen, seed=seed, rater=name, answers=answers)[:limit],
                repeats,
                seed=seed,
                rater=name,
            )
            for name in names
        }

        def tell(addresses: dict[str, str], raters: list[RaterProgress]) -> None:
            if as_json:
                left_out = [asdict(one) for one in rated.refused]
                body = {"clips": len(rated.clips), "left_out": left_out, "pages": addresses}
                print(json.dumps(body, allow_nan=False), flush=True)
            else:
                _print_pages(addresses, raters, out)
            if not settings.is_loopback and not settings.is_secure:
                print(READABLE.format(host=host), file=sys.stderr, flush=True)
            if open_browser:
                webbrowser.open(addresses[names[0]])

        done = serve_rating(rated, questions, out, definitions, settings, listener, tell=tell)
    _print_progress(done, as_json=as_json)


def _clips(source: str, raw: Path | None, options: SheetOptions, *, progress: bool) -> RatedClips:
    from emovid_dataset.builder.sheet.paths import raw_files
    from emovid_dataset.label.items import is_build, read_build_clips, read_sheet_clips

    if is_build(source):
        if raw is not None:
            raise ValueError(f"--raw {raw} is for a sheet; {source} is a build")
        rated = read_build_clips(source)
    else:
        if not Path(source).is_file():
            raise FileNotFoundError(f"SHEET_OR_BUILD {source} does not exist")
        store = raw_files(raw or Path(source).resolve().parent, options.allow_roots)
        rated = read_sheet_clips(source, store, options=options, progress=progress)
    if not rated.clips:
        first = "".join(f": row {one.row} {one.path}: {one.reason}" for one in rated.refused[:1])
        raise ValueError(f"{source} has no clip that can be rated{first}")
    for rejection in rated.refused[:_MOST_REFUSED]:
        print(f"left out: row {rejection.row} {rejection.path}: {rejection.reason}", file=sys.stderr)
    if len(rated.refused) > _MOST_REFUSED:
        print(f"left out: {len(rated.refused) - _MOST_REFUSED} more rows", file=sys.stderr)
    return rated


def _answers_of_all(folder: Path, rated: RatedClips) -> list[Answer]:
    try:
        return read_answers(folder, rated.taxonomy)
    except FileNotFoundError as error:
        raise ValueError(f"--order disagreement goes by the answers in --out {folder}: {error}") from error


def _print_pages(addresses: dict[str, str], raters: list[RaterProgress], out: Path) -> None:
    for one in raters:
        print(f"{one.rater}: {one.answered} of {one.questions} answered; open {addresses[one.rater]}")
    print(f"The answers go to {out}; Ctrl-C ends.", flush=True)


def _print_progress(raters: list[RaterProgress], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps([{**asdict(one), "file": str(one.file)} for one in raters], allow_nan=False))
        return
    rows = [
        (
            one.rater,
            one.answered,
            one.questions - one.answered,
            len(one.unplayable),
            None if one.milliseconds is None else round(one.milliseconds / 1000, 1),
            one.file,
        )
        for one in raters
    ]
    for clip, reason in sorted({pair for one in raters for pair in one.unplayable.items()}):
        print(f"not shown: {clip}: {reason}", file=sys.stderr)
    print_table("Answers", ("rater", "answered", "open", "not shown", "s per clip", "file"), rows)
