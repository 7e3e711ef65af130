"""The command `emovid verify`."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from emovid_dataset.cli.arguments import Engine, RayAddress, chosen_executor, share, whole
from emovid_dataset.cli.counts import print_problems
from emovid_dataset.cli.errors import FOUND_WRONG
from emovid_dataset.store import without_credentials

if TYPE_CHECKING:
    from emovid_dataset.check import CheckReport


def register(app: typer.Typer) -> None:
    """Add the command.

    Args:
        app: gets ``verify``.
    """
    app.command("verify", epilog="Example: emovid verify emovid/ --decode --sample 0.01")(verify)


def verify(
    folder: Annotated[str, typer.Argument(help="A build: its folder or URL.")],
    decode: Annotated[
        bool, typer.Option(help="Decode every clip too: all its frames and all its sound.")
    ] = False,
    sample: Annotated[
        float | None,
        typer.Option(
            help="Decode this share of the clips only, such as 0.01: the same ones each time.",
            callback=share,
        ),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(help="Processes; by default one per core.", callback=whole(1))
    ] = None,
    engine: Engine = None,
    ray_address: RayAddress = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Check hashes, members, types, offsets, counts, splits and card; one line per violation, then exit 1.

    With --decode, sound that ends more than half a second after its pictures is a violation, and less is a
    note; a line says how near the run came to decoding alone. Damage counts as far as decoders report it;
    Opus and PCM, in sources, carry nothing to see it by.
    """
    if sample is not None and not decode:
        raise ValueError(f"--sample {sample} is a share of the clips that are decoded; it needs --decode")
    runner = chosen_executor(engine, workers, ray_address, default="processes")
    from emovid_dataset.check import check_build
    from emovid_dataset.report.problems import to_json as problems_to_json

    report = check_build(
        folder, decode=decode, sample=1.0 if sample is None else sample, engine=runner, progress=not as_json
    )
    if as_json:
        body: dict[str, object] = {
            "folder": without_credentials(folder),
            "decoded": decode,
            "clips": report.clips,
            "clips_decoded": report.decoded,
            "violations": list(report.violations),
            "notes": list(report.notes),
            "problems": problems_to_json(report.problems),
            "limit": None if report.limit is None else asdict(report.limit),
        }
        typer.echo(json.dumps(body, allow_nan=False))
    else:
        for line in report.violations:
            typer.echo(line)
        for line in report.notes:
            typer.echo(f"note: {line}")
        if report.problems and not report.violations:
            print_problems(report.problems)
        if report.limit is not None:
            typer.echo(str(report.limit))
        if report.shards:
            # violations stand alone on stdout
            typer.echo(_closing(folder, report, decode, sample), err=bool(report.violations))
    if report.violations:
        raise typer.Exit(FOUND_WRONG)


def _closing(folder: str, report: CheckReport, decode: bool, sample: float | None) -> str:
    how = "not decoded"
    if decode:
        how = "every clip decoded" if sample is None else f"{report.decoded} of them decoded"
    what = f"{without_credentials(folder)}: {report.clips} clips in {report.shards} shards"
    if report.violations:
        return f"{what}, {how}; {len(report.violations)} violations"
    return f"{what} are sound, {how}"
