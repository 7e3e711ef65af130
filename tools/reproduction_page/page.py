"""The page as a whole, from the result file and what was measured beside it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tools.reproduction_page.paper_protocol import paper_protocol_text
from tools.reproduction_page.tables import (
    CONTROL,
    JUDGES,
    TASKS,
    ablation_table,
    main_table,
    recall_table,
    stages_table,
)
from tools.reproduction_page.words import (
    ablation_text,
    comparison_text,
    judge_text,
    learned,
    other_judge_text,
    round_trip_text,
    wordings_text,
)

ROOT = Path(__file__).resolve().parents[2]
RESULT = ROOT / "emovid_models" / "mini" / "reproduction.json"
PAGE = ROOT / "docs" / "reproduction.md"
NOTES = ROOT / "docs" / "reproduction_notes.md"
IMAGES = ROOT / "docs" / "images"


def read_result(path: Path = RESULT) -> dict[str, Any]:
    """The result file, with the run of the paper's protocol beside it."""
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    beside = path.with_name("paper_protocol.json")
    if beside.is_file():
        found["paper_protocol"] = json.loads(beside.read_text(encoding="utf-8"))
    return found


def render(result: Mapping[str, Any], notes: str, images: Mapping[str, str]) -> str:
    """The page.

    Args:
        result: as `reproduction.json` holds it; what is missing there is left out here.
        notes: Markdown that people wrote.
        images: task -> path of its contact sheet, relative to the page.
    """
    parts = [
        "# The paper's claim in miniature",
        "Everything here is real and small: clips of animated emoji, an annotator, a text-to-video and an "
        "image-to-video model of Wan's architecture, trained from scratch, and a LoRA for the emotions on "
        "each. `make reproduce` runs all stages; this page is written from its result file, "
        "`emovid_models/mini/reproduction.json`, by `tools.reproduction_page`. Its last stage leaves a page "
        "on which the videos of base, LoRA and control play side by side, "
        "`out/reproduce/report/t2v/page.html` and `out/reproduce/report/i2v/page.html`, and in "
        "`out/reproduce/study/` a [user study](study.md) of the same videos for each task.",
        "The protocol: for text to video the same scenes for all eight emotions, none of which names or "
        "implies one; for image to video the first frames of held-out clips, each with its clip's "
        "emotion. Base and LoRA get the same prompt, emotion, noise and settings; an annotator says which "
        "emotion each video shows. EA-8cls is the share of videos that show the emotion asked for, "
        "EA-2cls the share that show its valence; a video that cannot be judged counts as wrong. `emovid "
        "evaluate` runs the same code for any generator. A third row is a control: the base once more with "
        "the plain prompt, since words for moods, which it has never seen, spoil what a base makes.",
        "## The judges",
        judge_text(result),
        "## The table",
        main_table(result),
    ]
    for task, title in TASKS.items():
        if task in result:
            parts.append(comparison_text(title, result[task]))
            if "control" in result[task]:
                parts.append(comparison_text(f"{title}, {CONTROL}", result[task]["control"]))
    if "source" in result.get("paper", {}):
        parts.append(f"The paper's rows: {result['paper']['source']}. They are not comparable in size.")
    for task, title in TASKS.items():
        if task in result:
            parts += [f"Recall of each emotion, {title.lower()}:", recall_table(result[task])]
    for key, name in JUDGES.items():
        if key != "judge":
            parts += [f"## {name}", other_judge_text(result, key)]
    if "wordings" in result:
        parts += [
            "## The two wordings",
            "The table's LoRAs are trained and asked with the paper's sentence, `paper`. Another LoRA for "
            "text to video differs in the wording alone: it is trained and asked in this project's own, "
            "`mood`, which adds a sentence for the style and explains the emotion. Base, tokenizer and text "
            "encoder are the same, and know the words of both.",
            wordings_text(result),
        ]
    if result.get("ablation"):
        parts += ["## Emotion guidance and intensity", ablation_table(result["ablation"])]
        parts[-1] += ablation_text(result["ablation"])
    if images:
        parts += [
            "## What the videos look like",
            "They were not chosen by their result. Each row is an emotion, with frames of a video side by "
            "side, base left and LoRA right.",
        ]
        for task, path in images.items():
            parts += [f"{TASKS[task]}:", f"![{TASKS[task]}, base and LoRA]({path})"]
    parts += ["## What was learnt", learned(result)]
    if "vae" in result:
        parts += ["### What the VAE lets through", round_trip_text(result)]
    if notes.strip():
        parts.append(notes.strip())
    if "paper_protocol" in result:
        parts += [
            "## The paper's protocol: here the code runs",
            paper_protocol_text(result["paper_protocol"]),
        ]
    parts += [
        "## What this does not show",
        "It is not the paper's model, data or judge. The videos are tiny and of one kind, and the labels "
        "are one rater's reading of emoji. The judges have learnt from the labelled stickers that the LoRAs "
        "learnt from too, though from none whose first frame image to video starts from. So a high share "
        "means that the videos look like the emoji of that emotion, not that people would feel it; and with "
        "image to video the first frame alone tells a judge something, for base and LoRA alike. Videos of "
        "one scene share their noise, so they are less independent than the plain intervals assume; the "
        "bootstrap over scenes takes that into account. The sizes of the shares cannot be compared with the "
        "paper's; the direction can.",
    ]
    if result.get("settings"):
        rows = [f"| {name.replace('_', ' ')} | {value} |" for name, value in result["settings"].items()]
        parts += ["## Settings", "\n".join(["| setting | value |", "|---|---|", *rows])]
    if result.get("stages"):
        parts += ["## Stages", stages_table(result["stages"])]
    return "\n\n".join(parts) + "\n"
