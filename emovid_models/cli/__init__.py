"""The models' commands of the program `emovid`, one file each."""

from __future__ import annotations

import typer


def register(app: typer.Typer) -> None:
    """Add the commands; the entry point `emovid.commands` names this function.

    Args:
        app: the program.
    """
    from emovid_models.cli import (
        annotate,
        demo,
        evaluate,
        generate,
        protocol,
        push,
        report,
        sticker,
        study,
        train_annotator,
        train_lora,
    )

    for command in (annotate, generate, sticker, evaluate, report, push, demo, protocol, study):
        command.register(app)
    train = typer.Typer(help="Train the annotator or a LoRA.", no_args_is_help=True)
    for command in (train_annotator, train_lora):
        command.register(train)
    app.add_typer(train, name="train")
