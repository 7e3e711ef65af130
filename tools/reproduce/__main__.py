"""The command line of `python -m tools.reproduce`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import typer

from emovid_dataset.terminal import print_table
from emovid_models.records import REPRODUCTION
from tools.reproduce.plan import STAGES
from tools.reproduce.run import TINY, Run, Settings
from tools.reproduce.ship import ship
from tools.reproduce.stages import reproduce, run_stage
from tools.reproduce.table import TABLE_COLUMNS, table_rows


def main(
    stage: str = typer.Argument("all", help=f"all, ship, or one of {', '.join(STAGES)}."),
    out: Path = typer.Option(Path("out/reproduce"), help="Everything is written below."),
    tiny: bool = typer.Option(False, help="Next to nothing of everything: shows that the chain runs."),
    jobs: int = typer.Option(1, min=1, help="Stages at a time; each uses one core and up to 2 GB."),
    inside: bool = typer.Option(False, hidden=True),
) -> None:
    """Reproduce the paper's claim in miniature. Example: python -m tools.reproduce all

    "ship" copies models and results of a finished run into the package.
    """
    if stage not in ("all", "ship", *STAGES):
        raise typer.BadParameter(f"stage {stage!r} is unknown; allowed: all, ship, {', '.join(STAGES)}")
    run = Run(TINY if tiny else Settings(), out.resolve())
    if stage == "ship":
        ship(run)
        return
    if inside:
        run_stage(run, stage)
        return
    try:
        reproduce(run, stage, tiny=tiny, jobs=jobs)
    except RuntimeError as error:
        print(f"error: {error}", file=sys.stderr)
        raise typer.Exit(1) from None
    if stage in ("all", "table"):
        result = json.loads((run.out / REPRODUCTION).read_text())
        print_table("EA-8cls and EA-2cls", TABLE_COLUMNS, table_rows(result))


if __name__ == "__main__":
    typer.run(main)
