"""The command line of `python -m tools.mini_annotator`."""

from __future__ import annotations

import json
import time
from pathlib import Path

import torch
import typer
from safetensors.torch import load_file

from emovid_models.miniature import ANNOTATOR_WEIGHTS
from emovid_models.records import FIGURES
from tools.mini_annotator.card import card
from tools.mini_annotator.emoji import work_folder
from tools.mini_annotator.figures import OTHER_RUN
from tools.mini_annotator.folder import write
from tools.mini_annotator.learning import Learnt, learn

LEARNT = "learnt.safetensors"
"""File of the work folder that keeps what `train` has trained."""

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Train the miniature annotator.")


@app.command()
def train(
    out: Path = typer.Option(ANNOTATOR_WEIGHTS, help="Folder to write."),
    device: str = typer.Option("cpu", help="Device to train on: cpu, cuda."),
) -> None:
    """Train tower, language and emotions, measure, and write the folder with its card."""
    start = time.monotonic()
    learnt = learn(torch.device(device))
    learnt.save(work_folder() / LEARNT)
    write(learnt, out)
    print(f"{time.monotonic() - start:.0f} s in all", flush=True)


@app.command()
def figures(
    learnt: Path = typer.Option(
        None, exists=True, dir_okay=False, help="What was trained, by default what `train` has kept."
    ),
    out: Path = typer.Option(ANNOTATOR_WEIGHTS, help="Folder to write."),
) -> None:
    """Write the folder again, with its figures and card, from what was trained."""
    write(Learnt.load(learnt or work_folder() / LEARNT), out)


@app.command()
def add_run(
    run: Path = typer.Argument(
        exists=True, file_okay=False, help="Folder that `train --out` wrote, with the same settings."
    ),
    out: Path = typer.Option(ANNOTATOR_WEIGHTS, help="Folder of the trained annotator."),
) -> None:
    """Add the sticker figures of another whole run to this one's; weights and answers stay.

    Refuses a run with other settings, and this run itself.
    """
    ours, theirs = (json.loads((folder / FIGURES).read_text(encoding="utf-8")) for folder in (out, run))
    if ours["settings"] != theirs["settings"]:
        raise typer.BadParameter(f"{run} was trained with settings that differ from those of {out}")
    weights = [load_file(folder / "model.safetensors") for folder in (out, run)]
    if all(value.equal(weights[1][name]) for name, value in weights[0].items()):
        raise typer.BadParameter(f"{run} holds the weights of {out}: no other run")
    stickers = ours["stickers"]
    number = 2 + sum(name.startswith(OTHER_RUN) for name in stickers)
    entry = theirs["stickers"]
    stickers[f"{OTHER_RUN}{number}"] = {
        **entry["annotator"],
        "p_value_against_svm": entry["p_value_annotator_against_svm"],
    }
    parameters = sum(value.numel() for value in weights[0].values())
    (out / "README.md").write_text(card(ours, parameters), encoding="utf-8")
    (out / FIGURES).write_text(json.dumps(ours, indent=1, allow_nan=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    app()
