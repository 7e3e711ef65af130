"""The command `emovid train annotator`."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from emovid_dataset.cli.arguments import new_folder, number, one_of, whole
from emovid_dataset.cli.errors import need
from emovid_dataset.schema.clip import CONTENT_TYPES
from emovid_dataset.terminal import print_table
from emovid_models.cli.arguments import annotator_source, build_source, check_build, training_seed


def register(app: typer.Typer) -> None:
    """Add the command.

    Args:
        app: the group ``train``, which gets ``annotator``.
    """
    app.command(
        "annotator", epilog="Example: emovid train annotator --data emovid/ --base REPO --out annotator/"
    )(annotator)


def annotator(
    data: Annotated[
        str,
        typer.Option(
            help="A build with train and validation splits: its folder or a Hub repo.", callback=build_source
        ),
    ],
    base: Annotated[
        str,
        typer.Option(
            help="The annotator to start from: a folder, a Hub repo, or mini, the one that ships.",
            callback=annotator_source,
        ),
    ],
    out: Annotated[
        Path, typer.Option(help="Folder of the new annotator, and of its checkpoints.", callback=new_folder)
    ],
    method: Annotated[str, typer.Option(help="lora or full.", callback=one_of(("lora", "full")))] = "lora",
    epochs: Annotated[
        float, typer.Option(help="At most this many.", callback=number(0, open_end=True))
    ] = 6.0,
    batch_size: Annotated[
        int, typer.Option(help="Conversations per device and step.", callback=whole(1))
    ] = 4,
    accumulate: Annotated[
        int, typer.Option(help="Steps whose gradients are added up.", callback=whole(1))
    ] = 1,
    learning_rate: Annotated[
        float | None,
        typer.Option(help="Peak; 1e-4 for lora, 2e-5 for full.", callback=number(0, open_end=True)),
    ] = None,
    rank: Annotated[int, typer.Option(help="Rank of the LoRA.", callback=whole(1))] = 16,
    patience: Annotated[
        int,
        typer.Option(help="Epochs without a better macro recall before it stops.", callback=whole(1)),
    ] = 2,
    seed: Annotated[
        int, typer.Option(help="Seed of weights, order and augmentation.", callback=training_seed)
    ] = 0,
    gradient_checkpointing: Annotated[
        bool, typer.Option("--gradient-checkpointing", help="Less memory, more time.")
    ] = False,
    train_tower: Annotated[bool, typer.Option("--train-tower", help="With full: the tower too.")] = False,
    caption: Annotated[bool, typer.Option("--caption/--no-caption", help="Teach captions too.")] = True,
    targets: Annotated[
        str,
        typer.Option(
            help="Teach the clip's emotion (hard), its emotion_scores (soft), or these where several people "
            "rated the clip (auto).",
            callback=one_of(("auto", "hard", "soft")),
        ),
    ] = "auto",
    content_type: Annotated[
        str | None, typer.Option(help="cartoon, movie or sticker alone.", callback=one_of(CONTENT_TYPES))
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume/--anew", help="Go on from the last checkpoint in OUT, if any.")
    ] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print the outcome as JSON.")] = False,
) -> None:
    """Fine-tune an annotator for the build's emotions.

    On several GPUs: accelerate launch -m emovid_models.cli train annotator ...
    """
    from emovid_models.annotator.training_config import TrainingConfig

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
        targets=targets,
    )
    check_build("--data", data, ("train", "validation"), content_type, taxonomy=None)
    need("models", "transformers", "peft", "accelerate", "safetensors")
    from emovid_models.annotator.train import train_annotator

    result = train_annotator(
        data, base, out, config, content_type=content_type, resume=resume, progress=not as_json
    )
    if os.environ.get("RANK", "0") != "0":
        return  # of several processes one prints
    measured = {**asdict(result), "out": str(result.out)}
    if as_json:
        print(json.dumps(measured, allow_nan=False))
        return
    rows: list[list[object]] = [
        [name.replace("_", " "), f"{value:.3f}" if isinstance(value, float) else value]
        for name, value in measured.items()
        if name != "out"
    ]
    print_table(f"{out}, on the validation split", ["measure", "value"], rows)
