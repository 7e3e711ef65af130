"""The command `emovid train annotator`."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from emovid_dataset.terminal import print_table


def register(app: typer.Typer) -> None:
    """Add the command.

    Args:
        app: the group ``train``, which gets ``annotator``.
    """
    app.command(
        "annotator", epilog="Example: emovid train annotator --data emovid/ --base REPO --out annotator/"
    )(annotator)


def annotator(
    data: Annotated[Path, typer.Option(help="A build with train and validation splits.")],
    base: Annotated[str, typer.Option(help="The annotator to start from: a folder or a Hub repo.")],
    out: Annotated[Path, typer.Option(help="Folder of the new annotator, and of its checkpoints.")],
    method: Annotated[str, typer.Option(help="lora or full.")] = "lora",
    epochs: Annotated[float, typer.Option(help="At most so many.")] = 6.0,
    batch_size: Annotated[int, typer.Option(help="Conversations a device and step.")] = 4,
    accumulate: Annotated[int, typer.Option(help="Steps whose gradients are added up.")] = 1,
    learning_rate: Annotated[float | None, typer.Option(help="Peak; 1e-4 for lora, 2e-5 for full.")] = None,
    rank: Annotated[int, typer.Option(help="Rank of the LoRA.")] = 16,
    patience: Annotated[int, typer.Option(help="Epochs without a better macro recall before it stops.")] = 2,
    seed: Annotated[int, typer.Option(help="Seed of weights, order and augmentation.")] = 0,
    gradient_checkpointing: Annotated[
        bool, typer.Option("--gradient-checkpointing", help="Less memory, more time.")
    ] = False,
    train_tower: Annotated[bool, typer.Option("--train-tower", help="With full: the tower too.")] = False,
    caption: Annotated[bool, typer.Option("--caption/--no-caption", help="Teach captions too.")] = True,
    content_type: Annotated[str | None, typer.Option(help="cartoon, movie or sticker alone.")] = None,
    resume: Annotated[
        bool, typer.Option("--resume/--anew", help="Go on from the last checkpoint in OUT, if any.")
    ] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print the outcome as JSON.")] = False,
) -> None:
    """Fine-tune an annotator. On several GPUs: accelerate launch -m emovid_models.cli train annotator ..."""
    from emovid_dataset.cli.errors import need

    need("models", "transformers", "peft", "accelerate", "safetensors")
    from emovid_models.annotator.train import TrainingConfig, train_annotator

    config = TrainingConfig(
        method=method,
        epochs=epochs,
        batch_size=batch_size,
        accumulate=accumulate,
        learning_rate=learning_rate,
        rank=rank,
        seed=seed,
        patience=patience,
        gradient_checkpointing=gradient_checkpointing,
        train_tower=train_tower,
        caption=caption,
    )
    result = train_annotator(
        data, base, out, config, content_type=content_type, resume=resume, progress=not as_json
    )
    if os.environ.get("RANK", "0") != "0":
        return  # of several processes one prints
    measured = {**asdict(result), "out": str(result.out)}
    if as_json:
        print(json.dumps(measured))
        return
    rows: list[list[object]] = [
        [name.replace("_", " "), f"{value:.3f}" if isinstance(value, float) else value]
        for name, value in measured.items()
        if name != "out"
    ]
    print_table(f"{out}, on the validation split", ["measure", "value"], rows)
