"""The page's tables, and how a number is written on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from emovid_dataset.schema.emotions import EMOTIONS

TASKS = {"t2v": "Text to video", "i2v": "Image to video"}
CONTROL = "base that is not told of the emotion"
MODELS = {"base": "base", "lora": "LoRA"}
HEAD = "| | videos | EA-8cls | 95 % interval | EA-2cls | 95 % interval |\n|---|---|---|---|---|---|"


def percent(value: float, digits: int = 1) -> str:
    """A share as the page writes it; the paper gives two digits.

    >>> percent(0.4833)
    '48.3 %'
    """
    return f"{100 * value:.{digits}f} %"


def interval(share: Mapping[str, float]) -> str:
    """An interval, from low to high."""
    return f"{percent(share['low'])} to {percent(share['high'])}"


def probability(value: float) -> str:
    """A p-value with two significant digits."""
    return f"{value:.2g}"


def figures_row(name: str, figures: Mapping[str, Any]) -> str:
    """A row of the main table."""
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


def recall_table(comparison: Mapping[str, Any]) -> str:
    """Recall of each emotion."""

    def cell(value: float | None) -> str:
        return "" if value is None else percent(value)

    base, lora = comparison["base"]["recall"], comparison["lora"]["recall"]
    rows = [f"| {name} | {cell(base[name])} | {cell(lora[name])} |" for name in EMOTIONS]
    return "\n".join(["| emotion | base | LoRA |", "|---|---|---|", *rows])


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
