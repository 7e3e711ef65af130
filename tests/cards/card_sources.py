"""What the tests of the cards share: names of repos, result files, and a card's code blocks."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from emovid_models.records import weight_hashes

TESTS = Path(__file__).parents[1]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Card:
    """A rendered card: the repo that shows it, and its text."""

    kind: str
    repo_id: str
    text: str

    def blocks(self, language: str) -> list[str]:
        return [block for found, block in FENCE.findall(self.text) if found == language]


def share(value: float) -> dict[str, float]:
    return {"value": value, "low": value - 0.0312, "high": value + 0.0427}


def figures(value: float, n: int) -> dict[str, Any]:
    return {"n": n, "unscored": 0, "ea_8cls": share(value), "ea_2cls": share(value + 0.2113)}


RESULTS: dict[str, Any] = {
    **{
        task: {
            "base": figures(0.1327 + shift, 311),
            "lora": figures(0.2941 + shift, 311),
            "mcnemar_p": 0.0061,
            "second_judge": {"base": figures(0.1513 + shift, 311), "lora": figures(0.2217 + shift, 311)},
        }
        for task, shift in (("t2v", 0.0), ("i2v", 0.0534))
    },
    "ablation": [
        {"emotion_guidance": 0.0, "intensity": 0.0, "figures": figures(0.1419, 83), "base": True},
        {"emotion_guidance": 6.5, "intensity": 1.5, "figures": figures(0.3113, 83)},
    ],
    "judge": {"identity": "annotator@0", "held_out": figures(0.4119, 37)},
    "second_judge": {"identity": "svm@0", "held_out": figures(0.3671, 37)},
    "paper": {"t2v": {"ea_8cls": 0.4833}, "i2v": {"ea_8cls": 0.7625}, "source": "the paper"},
    "settings": {"size": "48x32", "num_frames": 5, "steps": 2, "guidance_scale": 3.0, "prompts": 40},
}
"""A result file as `tools.reproduce` writes it, with numbers that stand nowhere else."""


def write_results(root: Path, results: dict[str, Any]) -> None:
    """Put a result file beside models, that holds the digests of their weights."""
    folders = [folder for folder in sorted(root.iterdir()) if folder.is_dir()]
    weights = {folder.name: weight_hashes(folder, list(folder.rglob("*.safetensors"))) for folder in folders}
    (root / "reproduction.json").write_text(json.dumps({**results, "weights": weights}))


TRAINING: dict[str, Any] = {
    "data": "/home/somebody/build",
    "base": "Efficient-Large-Model/NVILA-Lite-2B-hf",
    "clips": {"train": 18213, "validation": 2277},
    "validation": {
        "macro_recall": 0.6137,
        "accuracy": 0.6423,
        "calibration_error": 0.0719,
        "temperature": 1.3,
        "steps": 13659,
    },
}
"""A run card as `emovid train annotator` writes it."""

KINDS = {
    "emovid/EmoVid": "dataset",
    "emovid/annotator": "annotator",
    "emovid/ea_8cls": "metric",
    "emovid/demo": "demo",
    "emovid/mini-wan-t2v": "base",
    "emovid/mini-wan-i2v": "base",
    "emovid/mini-lora-t2v": "lora",
    "emovid/mini-lora-i2v": "lora",
}
"""What each repo of these tests is."""
