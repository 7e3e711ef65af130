"""What is written about a training run: the record of it, and the README of the annotator that came out."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from emovid_models.miniature import is_miniature
from emovid_models.records import RUN_CARD


def run_card(
    sources: Mapping[str, Any],
    clips: Mapping[str, int],
    config: Mapping[str, Any],
    validation: Mapping[str, Any],
    history: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """The record of a run: what it was trained on and how, what came out, and on which machine.

    Args:
        sources: names and identities of data and base.
        clips: number of clips by split.
        config: the settings of the training.
        validation: what was measured on the validation split.
        history: the Trainer's log; losses and recalls are kept.

    Returns:
        JSON values by name.
    """
    libraries = ("torch", "transformers", "peft", "accelerate", "datasets", "av", "numpy")
    return {
        **sources,
        "clips": dict(clips),
        "config": dict(config),
        "processes": int(os.environ.get("WORLD_SIZE", "1")),
        "validation": dict(validation),
        "history": [entry for entry in history if "loss" in entry or "eval_macro_recall" in entry],
        "versions": {name: version(name) for name in libraries},
        "python": platform.python_version(),
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
        "commit": _commit(),
    }


def _commit() -> str | None:
    """The commit of the code, where it runs from a checkout."""
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def readme(run: Mapping[str, Any]) -> str:
    """The README of an annotator that was trained as its run card says."""
    measured, clips = run["validation"], run["clips"]
    return f"""---
library_name: transformers
pipeline_tag: video-classification
tags:
- video-emotion
- emovid
---

# Annotator of video emotions

Fine-tuned from {_base(run["base"])} on {clips["train"]} clips: the split train of the config
`{run["data_config"]}` of `{run["data_location"]}`. `{RUN_CARD}` says how, with seeds and versions.

```python
from transformers import pipeline

annotate = pipeline("video-emotion", model="<this repo>", trust_remote_code=True)
annotate("clip.mp4")  # {len(run["emotions"])} emotions with probabilities
```

It tells apart {", ".join(run["emotions"])}.

On {clips["validation"]} clips of the split validation, on which the temperature was fitted and the best epoch
chosen:

| measure | value |
|---|---|
| macro recall | {measured["macro_recall"]:.3f} |
| accuracy | {measured["accuracy"]:.3f} |
| expected calibration error | {measured["calibration_error"]:.3f} |
{_people_rows(measured)}{_reliability_rows(measured.get("reliability"))}"""


def _base(name: str) -> str:
    """What a base is called where others may read it: a repo's name, or the last part of a folder's path."""
    folder = Path(name)
    if not folder.is_dir():
        return f"`{name}`"
    return "the annotator that ships with emovid" if is_miniature(folder) else f"`{folder.name}`"


def _people_rows(measured: Mapping[str, Any]) -> str:
    if measured.get("soft_accuracy") is None:
        return ""
    return (
        f"| share of the raters who agree, where there are several | {measured['soft_accuracy']:.3f} |\n"
        f"| Jensen-Shannon divergence from theirs, bits | {measured['js_divergence']:.3f} |\n"
    )


def _reliability_rows(found: Mapping[str, Any] | None) -> str:
    if found is None:
        return ""
    left = found["abstain"]
    auroc = "" if found["auroc"] is None else f"{found['auroc']:.3f}"
    wrong = "" if left["risk"] is None else f", of which {left['risk']:.0%} are wrong"
    return (
        f"| Brier score | {found['brier']:.3f} |\n"
        f"| AUROC of the confidence | {auroc} |\n"
        f"| area under the risk-coverage curve | {found['aurc']:.3f} |\n"
        f"| answers left where it abstains below {left['below']:g} | {left['coverage']:.0%}{wrong} |\n"
    )
