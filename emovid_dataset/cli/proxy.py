"""The command `emovid proxy`."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer

from emovid_dataset.cli.arguments import Engine, RayAddress, chosen_executor, even, new_folder, share, whole
from emovid_dataset.schema.proxies import HIGHEST_CRF, MOST_KEYFRAMES_APART, SHORT_SIDES, ProxySettings
from emovid_dataset.store import without_credentials
from emovid_dataset.terminal import print_table

_USUAL = ProxySettings()


def register(app: typer.Typer) -> None:
    """Add the command.

    Args:
        app: gets ``proxy``.
    """
    app.command("proxy", epilog="Example: emovid proxy emovid/ --short-side 256 --keyframe-every 8")(proxy)


def proxy(
    folder: Annotated[str, typer.Argument(help="A build: its folder or URL.", callback=new_folder)],
    short_side: Annotated[
        int,
        typer.Option(
            metavar="PIXELS",
            help="The shorter side is reduced to so many pixels; smaller clips keep their size.",
            callback=even(*SHORT_SIDES),
        ),
    ] = _USUAL.short_side,
    keyframe_every: Annotated[
        int | None,
        typer.Option(
            metavar="FRAMES",
            help=f"Frames from one key frame to the next; by default {_USUAL.keyframe_every}, or what the "
            "proxies of this size have that are there. --crf and --byte-share likewise.",
            callback=whole(1, MOST_KEYFRAMES_APART),
        ),
    ] = None,
    crf: Annotated[
        int | None,
        typer.Option(
            help=f"x264's constant rate factor, by default {_USUAL.crf}.", callback=whole(0, HIGHEST_CRF)
        ),
    ] = None,
    byte_share: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE",
            help="Share of a clip's bytes that its proxy takes at most, by default "
            f"{_USUAL.byte_share}; not of clips that keep more than half of their pixels.",
            callback=share,
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Make proxies of this size anew that have other settings.")
    ] = False,
    workers: Annotated[
        int | None, typer.Option(help="Processes; by default one per core.", callback=whole(1))
    ] = None,
    engine: Engine = None,
    ray_address: RayAddress = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Make training copies beside the clips: smaller, with many key frames, several times as fast to decode.

    stream(DIR, proxy=True) reads them. What is there and of the clips as they are now is kept; what is
    missing, damaged or stale is made.
    """
    runner = chosen_executor(engine, workers, ray_address, default="processes")
    from emovid_dataset.builder.proxy import make_proxy

    report = make_proxy(
        folder,
        short_side=short_side,
        keyframe_every=keyframe_every,
        crf=crf,
        byte_share=byte_share,
        overwrite=overwrite,
        engine=runner,
        progress=not as_json,
    )
    place = without_credentials(folder)
    if as_json:
        body = {"folder": place, **asdict(report.settings)}
        body |= {
            "made": list(report.made),
            "kept": list(report.kept),
            "clips": report.clips,
            "copied": report.copied,
            "bytes": report.size,
            "original_bytes": report.original_size,
            "psnr": report.psnr,
            "least_psnr": report.least_psnr,
            "seconds": round(report.seconds, 3),
            "limit": None if report.limit is None else asdict(report.limit),
        }
        typer.echo(json.dumps(body, allow_nan=False))
        return
    rows: list[tuple[str, object]] = [
        ("clips", report.clips),
        ("shards made", len(report.made)),
        ("shards that were there", len(report.kept)),
        ("clips taken as they are", report.copied),
        ("bytes", report.size),
        ("of the originals' bytes", f"{report.size / report.original_size:.3f} x"),
        ("PSNR, mean over the clips", _decibels(report.psnr)),
        ("PSNR, lowest of a clip", _decibels(report.least_psnr)),
    ]
    if report.limit is not None:
        rows.append(("of decoding and encoding alone", round(report.limit.ratio, 2)))
    print_table(f"Proxies of {short_side} in {place}", ("", "value"), rows)


def _decibels(value: float | None) -> str | None:
    return None if value is None else f"{value:.1f} dB"
