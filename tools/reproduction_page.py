#!/usr/bin/env python3
"""Write `docs/reproduction.md`: all numbers from `reproduction.json`, pictures from the generated videos.

::

    python tools/reproduction_page.py sheets out/reproduce/videos   # contact sheets -> docs/images
    python tools/reproduction_page.py page                          # the page

What people learnt stands in `docs/reproduction_notes.md` and is put into the page as it is.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import typer
from PIL import Image, ImageDraw, ImageFont

from emovid_dataset.schema.emotions import EMOTIONS
from emovid_models import MINI_ANNOTATOR
from emovid_models.annotator.annotate import model_identity
from emovid_models.evaluation.protocol import (
    INTENDED_NAME,
    Intended,
    read_intended,
    score_confusion,
    to_record,
)
from emovid_models.nvila import NVILALiteProcessor
from emovid_models.records import FIGURES
from emovid_models.remote.annotator.pipeline import read_frames

ROOT = Path(__file__).resolve().parents[1]
RESULT = ROOT / "emovid_models" / "mini" / "reproduction.json"
PAGE = ROOT / "docs" / "reproduction.md"
NOTES = ROOT / "docs" / "reproduction_notes.md"
IMAGES = ROOT / "docs" / "images"

TASKS = {"t2v": "Text to video", "i2v": "Image to video"}
CONTROL = "base that is not told of the emotion"
MODELS = {"base": "base", "lora": "LoRA"}
SHEET_FRAMES = 4
"""Frames of a video that stand side by side on a sheet."""
SHEET_SCENES = 6
"""Scenes of a sheet: the first of the table, whatever became of them."""
SHEET_COLUMNS = 2
SIGNIFICANCE = 0.05
"""Below it a paired test counts as a difference, as with intervals of 95 %."""
TILE = 64
"""Pixels of a frame's side on a sheet."""


# contact sheets


def first_blocks(rows: Sequence[Intended], count: int) -> list[tuple[str, list[Intended]]]:
    """The first blocks of a sheet: a heading, and one video of each emotion.

    Where scenes are shared by the emotions, a block is a scene (a prompt with its seed). Where they are not,
    as with first images that have their own emotion, the nth block holds the nth video of each emotion.

    Args:
        rows: the table of the videos.
        count: at most so many blocks.

    Raises:
        ValueError: an emotion has no video.
    """
    scenes: dict[tuple[str, int | None], dict[str, Intended]] = {}
    for row in rows:
        scenes.setdefault((row.prompt, row.seed), {})[row.emotion] = row
    whole = [
        (prompt, [scene[emotion] for emotion in EMOTIONS])
        for (prompt, _), scene in scenes.items()
        if len(scene) == len(EMOTIONS)
    ]
    if whole:
        return whole[:count]
    columns = [[row for row in rows if row.emotion == emotion] for emotion in EMOTIONS]
    if not all(columns):
        raise ValueError("the sheet needs a video of each of the eight emotions")
    # Several videos of one first image follow one another; spread over them, a sheet shows more images.
    length = min(map(len, columns))
    count = min(count, length)
    return [
        (
            f"video {place * length // count + 1} of each emotion",
            [c[place * len(c) // count] for c in columns],
        )
        for place in range(count)
    ]


def read_strip(path: Path) -> Image.Image:
    """Frames of a video side by side, [TILE, SHEET_FRAMES * TILE]."""
    frames = read_frames(str(path), lambda total: NVILALiteProcessor.sample_indices(total, SHEET_FRAMES))
    strip = Image.new("RGB", (SHEET_FRAMES * TILE, TILE), "white")
    for place, frame in enumerate(frames):
        picture = Image.fromarray(np.asarray(frame)).convert("RGB")
        strip.paste(picture.resize((TILE, TILE), Image.Resampling.BICUBIC), (place * TILE, 0))
    return strip


def draw_sheet(folders: Mapping[str, Path], count: int = SHEET_SCENES) -> Image.Image:
    """All emotions of the first scenes: a block a scene, a row an emotion, models beside each other.

    Args:
        folders: heading -> folder of videos with its table; all have the same files.
        count: scenes.

    Raises:
        ValueError: an emotion has no video.
    """
    blocks = first_blocks(read_intended(next(iter(folders.values())) / INTENDED_NAME), count)
    label, title, gap = 86, 40, 12
    strip = SHEET_FRAMES * TILE
    width = label + len(folders) * (strip + gap)
    height = title + len(EMOTIONS) * (TILE + 2) + gap
    columns = min(SHEET_COLUMNS, len(blocks))
    sheet = Image.new("RGB", (columns * width, -(-len(blocks) // columns) * height), "white")
    draw = ImageDraw.Draw(sheet)
    large, small = ImageFont.load_default(14), ImageFont.load_default(12)
    for place, (prompt, rows) in enumerate(blocks):
        left, top = place % columns * width, place // columns * height
        draw.text((left + label, top + 2), prompt, "black", large)
        for column, (heading, folder) in enumerate(folders.items()):
            x = left + label + column * (strip + gap)
            draw.text((x, top + 21), heading, "black", small)
            for line, row in enumerate(rows):
                y = top + title + line * (TILE + 2)
                if column == 0:
                    draw.text((left + 4, y + TILE // 2 - 7), row.emotion, "black", small)
                sheet.paste(read_strip(folder / row.file), (x, y))
    return sheet


# the page


def percent(value: float, digits: int = 1) -> str:
    """As all shares of the page; the paper gives two digits.

    >>> percent(0.4833)
    '48.3 %'
    """
    return f"{100 * value:.{digits}f} %"


def interval(share: Mapping[str, float]) -> str:
    """From low to high."""
    return f"{percent(share['low'])} to {percent(share['high'])}"


def probability(value: float) -> str:
    """A p-value; two digits that count."""
    return f"{value:.2g}"


def figures_row(name: str, figures: Mapping[str, Any]) -> str:
    """A row of the table."""
    eight, two = figures["ea_8cls"], figures["ea_2cls"]
    cells = [
        name,
        str(figures["n"]),
        percent(eight["value"]),
        interval(eight),
        percent(two["value"]),
        interval(two),
    ]
    return "| " + " | ".join(cells) + " |"


HEAD = "| | videos | EA-8cls | 95 % interval | EA-2cls | 95 % interval |\n|---|---|---|---|---|---|"


def is_above(lora: Mapping[str, Any], base: Mapping[str, Any]) -> bool:
    """Whether one interval of EA-8cls lies above the other."""
    return lora["ea_8cls"]["low"] > base["ea_8cls"]["high"]


def direction(comparison: Mapping[str, Any]) -> str:
    """Which of the two models a judge sees ahead."""
    ahead = comparison["lora"]["ea_8cls"]["value"] - comparison["base"]["ea_8cls"]["value"]
    return "the LoRA" if ahead > 0 else "the base" if ahead < 0 else "neither"


def main_table(result: Mapping[str, Any]) -> str:
    """Base and LoRA of both tasks, the judge on real clips, and the paper's values."""
    rows = []
    for task, title in TASKS.items():
        if task in result:
            rows += [figures_row(f"{title}, {MODELS[model]}", result[task][model]) for model in MODELS]
            if "control" in result[task]:
                rows.append(figures_row(f"{title}, {CONTROL}", result[task]["control"]["base"]))
    if "held_out" in result.get("judge", {}):
        rows.append(figures_row("real clips, what the judge reaches", result["judge"]["held_out"]))
    for task, title in TASKS.items():
        if task in result.get("paper", {}):
            value = percent(result["paper"][task]["ea_8cls"], 2)
            rows.append(
                f"| *the paper's, {title.lower()}: other model, data and judge* | | *{value}* | | | |"
            )
    return "\n".join([HEAD, *rows])


def comparison_text(title: str, comparison: Mapping[str, Any]) -> str:
    """The paired test in words."""
    text = (
        f"{title}: on the same prompts with the same seeds, {comparison['lora_only']} videos are right with "
        f"the LoRA alone and {comparison['base_only']} with the base alone; exact McNemar test, two-sided, "
        f"p = {probability(comparison['mcnemar_p'])}."
    )
    difference = comparison.get("difference")
    if difference is not None:
        text += (
            f" The difference in EA-8cls is {percent(difference['value'])} (bootstrap over scenes: "
            f"{interval(difference)})."
        )
    above = is_above(comparison["lora"], comparison["base"])
    overlap = is_above(comparison["base"], comparison["lora"])
    text += (
        " The LoRA's interval lies above the base's."
        if above
        else " The base's interval lies above the LoRA's."
        if overlap
        else " The two intervals overlap."
    )
    return text


def recall_table(comparison: Mapping[str, Any]) -> str:
    """Recall of each emotion."""

    def cell(value: float | None) -> str:
        return "" if value is None else percent(value)

    base, lora = comparison["base"]["recall"], comparison["lora"]["recall"]
    rows = [f"| {name} | {cell(base[name])} | {cell(lora[name])} |" for name in EMOTIONS]
    return "\n".join(["| emotion | base | LoRA |", "|---|---|---|", *rows])


def judge_text(result: Mapping[str, Any]) -> str:
    """The judges' own figures, before anything that they say."""
    lines = []
    for key, name in (("judge", "The annotator"), ("second_judge", "The second judge")):
        found = result.get(key, {}).get("held_out")
        if found is None:
            continue
        of = result[key].get("held_out_of", "real clips that it never learnt from")
        chance = 1 / len(EMOTIONS)
        standing = "above" if found["ea_8cls"]["low"] > chance else "not clearly above"
        lines.append(
            f"{name} (`{result[key]['identity']}`) names the emotion of {percent(found['ea_8cls']['value'])} "
            f"({interval(found['ea_8cls'])}) and the valence of {percent(found['ea_2cls']['value'])} "
            f"({interval(found['ea_2cls'])}) of {found['n']} videos: {of}. Its interval lies {standing} "
            "chance, one in eight."
        )
    return "\n\n".join(lines) or "No figures of the judge on real clips are recorded."


def second_text(result: Mapping[str, Any]) -> str:
    """What the second judge sees, and whether it agrees."""
    blocks = []
    for task, title in TASKS.items():
        second = result.get(task, {}).get("second_judge")
        if second is None:
            continue
        rows = "\n".join(figures_row(f"{title}, {MODELS[model]}", second[model]) for model in MODELS)
        if "control" in second:
            rows += "\n" + figures_row(f"{title}, {CONTROL}", second["control"]["base"])
        first, other = direction(result[task]), direction(second)
        agree = "Both judges see" if first == other else f"The annotator sees {first} ahead, the second judge"
        blocks.append(f"{HEAD}\n{rows}\n\n{comparison_text(title, second)} {agree} {other} ahead.")
        if "control" in second:
            blocks.append(comparison_text(f"{title}, {CONTROL}", second["control"]))
    return "\n\n".join(blocks) or "No second judge's figures are recorded."


def ablation_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Emotion guidance and intensity."""
    lines = [
        "| emotion guidance | intensity | videos | EA-8cls | 95 % interval | EA-2cls |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        found = row["figures"]
        guidance = row.get("emotion_guidance")
        shown = "base" if row.get("base") else "off" if not guidance else f"{guidance:g}"
        lines.append(
            f"| {shown} | {row['intensity']:g} | {found['n']} | {percent(found['ea_8cls']['value'])} "
            f"| {interval(found['ea_8cls'])} | {percent(found['ea_2cls']['value'])} |"
        )
    return "\n".join(lines)


def ablation_text(rows: Sequence[Mapping[str, Any]]) -> str:
    """Whether intensity 0 is the base."""
    base = next((row["figures"]["ea_8cls"]["value"] for row in rows if row.get("base")), None)
    zero = [
        row["figures"]["ea_8cls"]["value"] for row in rows if row["intensity"] == 0 and not row.get("base")
    ]
    if base is None or not zero:
        return ""
    same = all(value == base for value in zero)
    text = "\n\nAt intensity 0 the LoRA's score is " + ("the base's." if same else "not the base's.")
    if any(row.get("emotion_guidance") == 0 and not row.get("base") for row in rows):
        text += (
            " Without emotion guidance the emotion's text is left out, and the LoRA sees the plain prompt."
        )
    return text


def stages_table(stages: Mapping[str, Mapping[str, Any]]) -> str:
    """What each stage took."""
    lines = ["| stage | seed | minutes | peak memory, MB |", "|---|---|---|---|"]
    for name, stage in stages.items():
        seed, peak = stage.get("seed"), stage.get("peak_mb")
        lines.append(
            f"| {name} | {'' if seed is None else seed} | {stage['seconds'] / 60:.1f} "
            f"| {'' if peak is None else round(peak)} |"
        )
    total = sum(stage["seconds"] for stage in stages.values()) / 60
    return "\n".join([*lines, f"| all of these | | {total:.1f} | |"])


def learned(result: Mapping[str, Any]) -> str:
    """What the numbers say, in words that follow from them."""
    lines = []
    for task, title in TASKS.items():
        if task not in result:
            continue
        comparison = result[task]
        base, lora = comparison["base"], comparison["lora"]
        p = probability(comparison["mcnemar_p"])
        if is_above(lora, base):
            verdict = (
                "fine-tuning on the emotions raises EA-8cls, as the paper reports; the intervals are apart"
            )
        elif direction(comparison) == "the LoRA" and comparison["mcnemar_p"] < SIGNIFICANCE:
            verdict = f"the LoRA is ahead by the paired test (p = {p}), though the intervals overlap"
        else:
            verdict = f"the LoRA is not shown to be ahead (p = {p}): the paper's claim is not reproduced here"
        second = comparison.get("second_judge")
        if second is not None:
            verdict += (
                f"; the annotator sees {direction(comparison)} ahead, the second judge {direction(second)} "
                f"(p = {probability(second['mcnemar_p'])})"
            )
        if "control" in comparison:
            control = comparison["control"]
            verdict += (
                f". Beside the base that is not told of the emotion, {direction(control)} is ahead "
                f"(p = {probability(control['mcnemar_p'])}"
                f"{'' if is_above(control['lora'], control['base']) else '; the intervals overlap'})"
            )
        lines.append(f"- {title}: {verdict}.")
    return "\n".join(lines)


def round_trip_text(found: Mapping[str, Any]) -> str:
    """What the VAE alone does to real clips, as `tools/vae_round_trip.py` measured it."""
    before, after, psnr = found["before"], found["after"], found["frame_psnr_db"]
    answers = [sum(column) for column in zip(*after["confusion"], strict=True)]
    most = max(range(len(EMOTIONS)), key=lambda label: answers[label])
    return (
        "Real stickers of the test split went through the VAE and back, without any generator. The first "
        f"frame comes back at {psnr[0]:.1f} dB PSNR, the last at {psnr[-1]:.1f} dB. The judge, which has "
        f"learnt these clips, names the emotion of {percent(before['ea_8cls']['value'])} "
        f"({interval(before['ea_8cls'])}) of {before['n']} as they are and of "
        f"{percent(after['ea_8cls']['value'])} ({interval(after['ea_8cls'])}) after the round trip, where it "
        f"says {EMOTIONS[most]} of {answers[most]}. What is lost here, no LoRA can show to this judge."
    )


def add_judge_figures(result: Mapping[str, Any], annotator: Path = MINI_ANNOTATOR) -> dict[str, Any]:
    """Put the annotator's own cross-validated figures beside its identity, where the result has none.

    Args:
        result: as `reproduction.json` holds it.
        annotator: its folder; its figures count only if it is the one that judged.

    Returns:
        The result, with the figures if they are this judge's.
    """
    judge = dict(result.get("judge", {}))
    own = annotator / FIGURES
    if "held_out" in judge or not own.is_file() or judge.get("identity") != model_identity(annotator, None):
        return dict(result)
    counts = json.loads(own.read_text(encoding="utf-8"))["stickers"]["confusion"]
    judge["held_out"] = to_record(score_confusion(counts))
    judge["held_out_of"] = (
        "labelled stickers, each judged by a model of the cross-validation that saw neither it nor a variant"
    )
    return {**result, "judge": judge}


def read_result(path: Path = RESULT) -> dict[str, Any]:
    """The result file, with what was measured beside it: the judge's own figures, the VAE's round trip."""
    found = add_judge_figures(json.loads(path.read_text(encoding="utf-8")))
    round_trip = path.with_name("vae_round_trip.json")
    if round_trip.is_file():
        found["vae_round_trip"] = json.loads(round_trip.read_text(encoding="utf-8"))
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
        "`emovid_models/mini/reproduction.json`, by `tools/reproduction_page.py`.",
        "The protocol: for text to video the same scenes for all eight emotions, none of which names or "
        "implies one; for image to video the first frames of held-out clips, each with its clip's "
        "emotion. Base and LoRA get the same prompt, emotion, noise and settings; an annotator says which "
        "emotion each video shows. EA-8cls is the share of videos that show the emotion asked for, "
        "EA-2cls the share that show its valence; a video that cannot be judged counts as wrong. `emovid "
        "evaluate` is the same code for any generator. A third row is a control: the base once more with the "
        "plain prompt, since words for moods that it has never seen spoil what a base makes.",
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
    parts += [
        "## The second judge",
        "Gradients, colours and a support vector machine, learnt from the same labels.",
    ]
    parts.append(second_text(result))
    if result.get("ablation"):
        parts += ["## Emotion guidance and intensity", ablation_table(result["ablation"])]
        parts[-1] += ablation_text(result["ablation"])
    if images:
        parts += [
            "## What the videos look like",
            "Not chosen by their result; each row an emotion, frames of a video side by side, base left and "
            "LoRA right.",
        ]
        for task, path in images.items():
            parts += [f"{TASKS[task]}:", f"![{TASKS[task]}, base and LoRA]({path})"]
    parts += ["## What was learnt", learned(result)]
    if "vae_round_trip" in result:
        parts += ["### What the VAE lets through", round_trip_text(result["vae_round_trip"])]
    if notes.strip():
        parts.append(notes.strip())
    parts += [
        "## What this does not show",
        "It is not the paper's model, data or judge. The videos are tiny and of one kind, the labels are "
        "one rater's reading of emoji, and the judge has learnt emoji too, among them the clips that the "
        "LoRA was trained on and the first frames of image to video. So a high share means that the "
        "videos look like the emoji of that emotion, not that people would feel it; and with image to "
        "video the first frame alone tells the judge a part, for base and LoRA alike. Videos of one scene "
        "share their noise, so they are less independent than the plain intervals assume; the bootstrap "
        "over scenes takes that into account. The sizes of the shares cannot be compared with the "
        "paper's; the direction can.",
    ]
    if result.get("settings"):
        rows = [f"| {name.replace('_', ' ')} | {value} |" for name, value in result["settings"].items()]
        parts += ["## Settings", "\n".join(["| setting | value |", "|---|---|", *rows])]
    if result.get("stages"):
        parts += ["## Stages", stages_table(result["stages"])]
    return "\n\n".join(parts) + "\n"


app = typer.Typer(add_completion=False, no_args_is_help=True, help="Write docs/reproduction.md.")


@app.command()
def sheets(
    videos: Path = typer.Argument(help="Folder with t2v/base, t2v/lora, i2v/base, i2v/lora."),
    out: Path = typer.Option(IMAGES, help="Folder of the images."),
) -> None:
    """Draw the contact sheets."""
    out.mkdir(parents=True, exist_ok=True)
    for task in TASKS:
        folders = {heading: videos / task / model for model, heading in MODELS.items()}
        if all((folder / INTENDED_NAME).is_file() for folder in folders.values()):
            path = out / f"reproduction-{task}.jpg"
            draw_sheet(folders).save(path, quality=85)
            print(f"{path}: {path.stat().st_size / 1e3:.0f} kB")


@app.command()
def page(
    result: Path = typer.Option(RESULT, help="The result file."),
    notes: Path = typer.Option(NOTES, help="What people wrote."),
    images: Path = typer.Option(IMAGES, help="Folder of the contact sheets."),
    out: Path = typer.Option(PAGE, help="The page."),
) -> None:
    """Write the page."""
    found = read_result(result)
    written = notes.read_text(encoding="utf-8") if notes.is_file() else ""
    shown = {task: images / f"reproduction-{task}.jpg" for task in TASKS}
    relative = {
        task: path.relative_to(out.parent).as_posix() for task, path in shown.items() if path.is_file()
    }
    out.write_text(render(found, written, relative), encoding="utf-8")
    print(out)


if __name__ == "__main__":
    app()
