"""The commands `emovid protocol ...`: the paper's protocol at once, or step by step."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from emovid_dataset.cli.arguments import (
    existing_file,
    existing_folder,
    new_folder,
    number,
    one_of,
    share,
    whole,
)
from emovid_dataset.cli.errors import need
from emovid_models.cli.arguments import annotator_source, training_seed

Sheet = Annotated[
    str, typer.Argument(metavar="SHEET", help="The clips: path, start, end.", callback=existing_file)
]
Out = Annotated[Path, typer.Option(help="Folder of the run.", callback=new_folder)]
Raw = Annotated[
    Path | None,
    typer.Option(help="Folder of the files; by default the sheet's.", callback=existing_folder),
]
Base = Annotated[
    str,
    typer.Option(
        help="The annotator to start from: a folder, a Hub repo, or mini, the one that ships.",
        callback=annotator_source,
    ),
]
Share = Annotated[float, typer.Option(help="Share of the clips that people rate.", callback=share)]
AuditShare = Annotated[
    float, typer.Option(help="Share of all clips that people rate beside the annotator.", callback=share)
]
Raters = Annotated[int, typer.Option(help="People who rate each clip.", callback=whole(1))]
Least = Annotated[int, typer.Option(help="Of them must agree.", callback=whole(1))]
Seed = Annotated[int, typer.Option(help="Of draws and training.", callback=training_seed)]
Method = Annotated[str, typer.Option(help="Of training: lora or full.", callback=one_of(("lora", "full")))]
Epochs = Annotated[float, typer.Option(help="Of training, at most.", callback=number(0, open_end=True))]
BatchSize = Annotated[int, typer.Option(help="Of training.", callback=whole(1))]
LearningRate = Annotated[
    float | None,
    typer.Option(help="Of training; 1e-4 for lora, 2e-5 for full.", callback=number(0, open_end=True)),
]
Partial = Annotated[
    bool, typer.Option("--partial", help="Take the answers that there are, even if some are missing.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print what came out as JSON.")]

_MODULES = ("transformers", "peft", "accelerate", "safetensors")
_WAITS = "waiting for people"


def register(app: typer.Typer) -> None:
    """Add the commands.

    Args:
        app: the program, which gets the group ``protocol``.
    """
    group = typer.Typer(
        help="Label a corpus as the paper did: people a part of it, a trained annotator the rest.",
        no_args_is_help=True,
    )
    group.command("paper", epilog="Example: emovid protocol paper clips.csv --base REPO --out run/")(paper)
    group.command("draw", epilog="Example: emovid protocol draw clips.csv --base REPO --out run/")(draw)
    for step, does in (
        ("agree", agree),
        ("train", train),
        ("annotate", annotate),
        ("audit", audit),
        ("report", report),
    ):
        group.command(step, epilog=f"Example: emovid protocol {step} --out run/")(does)
    app.add_typer(group, name="protocol")


def paper(
    sheet: Sheet,
    base: Base,
    out: Out,
    raw: Raw = None,
    share: Share = 0.2,
    audit_share: AuditShare = 0.01,
    raters: Raters = 3,
    least: Least = 2,
    seed: Seed = 0,
    method: Method = "lora",
    epochs: Epochs = 6.0,
    batch_size: BatchSize = 4,
    learning_rate: LearningRate = None,
    partial: Partial = False,
    as_json: AsJson = False,
) -> None:
    """Do every step that can be done; where people must be asked it says how, and goes on when run again."""
    settings = _settings(
        sheet, raw, base, share, audit_share, raters, least, seed, method, epochs, batch_size, learning_rate
    )
    from emovid_models.protocol.record import ProtocolRecord

    record = ProtocolRecord.begin(out, settings)
    need("models", *_MODULES)
    from emovid_models.protocol.rating import NotAnsweredError
    from emovid_models.protocol.run import run_protocol

    waits = None
    try:
        run_protocol(record, partial=partial, progress=not as_json)
    except NotAnsweredError as error:
        waits = str(error)
    _show(record.steps, waits, as_json)


def draw(
    sheet: Sheet,
    base: Base,
    out: Out,
    raw: Raw = None,
    share: Share = 0.2,
    audit_share: AuditShare = 0.01,
    raters: Raters = 3,
    least: Least = 2,
    seed: Seed = 0,
    method: Method = "lora",
    epochs: Epochs = 6.0,
    batch_size: BatchSize = 4,
    learning_rate: LearningRate = None,
    as_json: AsJson = False,
) -> None:
    """Draw the clips that people rate, so many of every film: drawn.csv, for emovid label."""
    settings = _settings(
        sheet, raw, base, share, audit_share, raters, least, seed, method, epochs, batch_size, learning_rate
    )
    from emovid_models.protocol.record import ProtocolRecord

    _step(ProtocolRecord.begin(out, settings), "draw", False, as_json)


def agree(out: Out, partial: Partial = False, as_json: AsJson = False) -> None:
    """Keep the clips on which enough people agree: agreed.csv, agreement.html."""
    _later(out, "agree", partial, as_json)


def train(out: Out, as_json: AsJson = False) -> None:
    """Train the annotator on them: annotator/."""
    _later(out, "train", False, as_json)


def annotate(out: Out, as_json: AsJson = False) -> None:
    """Let it label the rest: labels.csv, for emovid build."""
    _later(out, "annotate", False, as_json)


def audit(out: Out, partial: Partial = False, as_json: AsJson = False) -> None:
    """Draw the clips of the audit, and when people have rated them compare people and annotator."""
    _later(out, "audit", partial, as_json)


def report(out: Out, as_json: AsJson = False) -> None:
    """Write report.html about the steps that are done."""
    _later(out, "report", False, as_json)


def _settings(
    sheet: str,
    raw: Path | None,
    base: str,
    share: float,
    audit_share: float,
    raters: int,
    least: int,
    seed: int,
    method: str,
    epochs: float,
    batch_size: int,
    learning_rate: float | None,
) -> Any:
    from emovid_models.protocol.record import ProtocolSettings

    if least > raters:
        raise ValueError(f"--least is {least}; it must be 1..{raters}, the raters")
    folder = Path(base)
    return ProtocolSettings(
        sheet=str(Path(sheet).resolve()),
        raw=str((raw or Path(sheet).resolve().parent).resolve()),
        base=str(folder.resolve()) if folder.is_dir() else base,
        share=share,
        audit_share=audit_share,
        raters=raters,
        least=least,
        seed=seed,
        training={
            "method": method,
            "epochs": epochs,
            "batch_size": batch_size,
            "learning_rate": learning_rate,
        },
    )


def _later(out: Path, step: str, partial: bool, as_json: bool) -> None:
    from emovid_models.protocol.record import ProtocolRecord

    _step(ProtocolRecord.read(out), step, partial, as_json)


def _step(record: Any, step: str, partial: bool, as_json: bool) -> None:
    need("models", *_MODULES)
    from emovid_models.protocol.rating import NotAnsweredError
    from emovid_models.protocol.run import run_step

    waits, steps = None, {}
    try:
        steps[step] = run_step(record, step, partial=partial, progress=not as_json)
    except NotAnsweredError as error:
        waits = str(error)
    _show(steps, waits, as_json)


def _show(steps: dict[str, Any], waits: str | None, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({**steps, "waits": waits}, ensure_ascii=False, allow_nan=False))
        return
    for step, found in steps.items():
        typer.echo(f"{step}: {_line(step, found)}")
    if waits is not None:
        typer.echo(f"{_WAITS}: {waits}")


def _line(step: str, found: dict[str, Any]) -> str:
    if step == "audit":
        return f"{found['clips']} clips; {found['in_words']}"
    told = {name: value for name, value in found.items() if isinstance(value, (int, float, str, dict))}
    left_out = ("ids", "identity")
    words = [
        f"{name.replace('_', ' ')} {f'{value:.3f}' if isinstance(value, float) else value}"
        for name, value in told.items()
        if name not in left_out
    ]
    if found.get("failed"):
        words.append(f"failed {len(found['failed'])}, the first: {found['failed'][0]['reason']}")
    return ", ".join(words)
