"""Copy models and results of a finished run into the package, each model with its card."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path

from safetensors.torch import load_file

from emovid_dataset.store import write_file
from emovid_models.records import REPRODUCTION, RUN_CARD, weight_hashes
from emovid_models.remote.wan.lora import FACTS_KEY, WEIGHT_NAME, read_header, write_safetensors
from tools.reproduce.plan import chain, read_records
from tools.reproduce.run import MODELS, SHIPPED, Run

RESULTS = SHIPPED / REPRODUCTION
_CARD = """\
---
license: mit
{base}---

# {title}

{text} Seed {seed}.
`training.json` holds all settings, seconds and peak memory; `python -m tools.reproduce all` trains it again.

Trained on Fluent Emoji, Copyright (c) Microsoft Corporation, MIT; packages, Copyright (c) 2023 LobeHub, MIT.
The full text is in `emovid_dataset/mini/LICENSES.md`.
"""
_TEXTS = {
    "wan-t2v": "Wan2.1's architecture at a small size, trained from scratch on animated emoji with captions "
    "that mention no emotion. It knows faces, people, animals, hands, hearts and the sky, 64x64, 17 frames.",
    "wan-i2v": "The text-to-video miniature, trained further with a first frame; without CLIP.",
    "lora-t2v": "Adds eight emotions to `wan-t2v`; trained on the labelled stickers of the training split.",
    "lora-i2v": "Adds eight emotions to `wan-i2v`; trained on the labelled stickers of the training split.",
}


def model_card(name: str, seed: int) -> str:
    """The README.md of one of `MODELS`."""
    kind, task = name.split("-")
    base = f"base_model: emovid/mini-wan-{task}\n" if kind == "lora" else ""
    title = f"Miniature {'emotion LoRA' if kind == 'lora' else 'Wan2.1'}, {task.upper()}"
    return _CARD.format(base=base, title=title, text=_TEXTS[name], seed=seed)


def ship(run: Run, target: Path = SHIPPED) -> None:
    """Copy models and results into the package, leaving out the names of this machine's folders.

    Args:
        run: a run of the whole chain.
        target: the folder with the miniatures.
    """
    records = read_records(run)
    for name in MODELS:
        kind, task = name.split("-")
        folder = target / name
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(run.model(name), folder)
        for path in folder.rglob("*.json"):
            content = json.loads(path.read_text())
            if isinstance(content, dict):
                named = ("_name_or_path", "name_or_path")
                kept = {key: value for key, value in content.items() if key not in named}
                path.write_text(json.dumps(kept, indent=2, allow_nan=False) + "\n")
        if kind == "lora":
            _rename_base(folder / WEIGHT_NAME, f"emovid/mini-wan-{task}")
        wanted = chain(f"lora-{task}" if kind == "lora" else f"base-{task}")
        card = {
            "task": task,
            "settings": asdict(run.settings),
            "stages": {
                stage: {
                    key: records[stage][key]
                    for key in ("seed", "seconds", "device", "peak_mb")
                    if key in records[stage]
                }
                for stage in wanted
                if stage in records
            },
            "data": "animated Fluent emoji without the reserved and the held-out ones and their variants",
        }
        if kind == "lora":
            card["base"] = f"emovid/mini-wan-{task}"
        (folder / RUN_CARD).write_text(json.dumps(card, indent=1, allow_nan=False) + "\n")
        (folder / "README.md").write_text(model_card(name, run.settings.seed))
    result = run.out / REPRODUCTION
    if result.exists():
        # These tell a card whose results they are.
        weights = {
            name: weight_hashes(target / name, list((target / name).rglob("*.safetensors")))
            for name in MODELS
        }
        found = {**json.loads(result.read_text()), "weights": weights}
        write_file(target / RESULTS.name, (json.dumps(found, indent=1, allow_nan=False) + "\n").encode())
    size = sum(
        path.stat().st_size for name in MODELS for path in (target / name).rglob("*") if path.is_file()
    )
    print(f"{target}: {size / 1e6:.1f} MB of models")


def _rename_base(path: Path, base: str) -> None:
    header = read_header(path)
    facts = {**json.loads(header[FACTS_KEY]), "base": base}
    kept = {key: value for key, value in header.items() if key != "format"}
    write_safetensors(path, load_file(path), {**kept, FACTS_KEY: json.dumps(facts, allow_nan=False)})
