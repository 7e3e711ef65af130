"""The page's tables, and how a number is written on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from emovid_dataset.schema.emotions import EMOTIONS
from emovid_models.wan import WORDINGS

TASKS = {"t2v": "Text to video", "i2v": "Image to video"}
CONTROL = "base that is not told of the emotion"
MODELS = {"base": "base", "lora": "LoRA"}
JUDGES = {"judge": "The annotator", "second_judge": "The second judge", "third_judge": "The third judge"}
"""Key of a judge in the result -> its name on the page."""
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
    """Base, LoRA and control of both tasks by the annotator, and the paper's values."""
    rows = []
    for task, title in TASKS.items():
        if task in result:
            rows += [figures_row(f"{title}, {MODELS[model]}", result[task][model]) for model in MODELS]
            if "control" in result[task]:
                rows.append(figures_row(f"{title}, {CONTROL}", result[task]["control"]["base"]))
    for task, title in TASKS.items():
        if task in result.get("paper", {}):
            value = percent(result["paper"][task]["ea_8cls"], 2)
            rows.append(
                f"| *the paper's, {title.lower()}: other model, data and judge* | | *{value}* | | | |"
            )
    return "\n".join([HEAD, *rows])


def judge_name(key: str) -> str:
    """A judge's name within a sentence.

    >>> judge_name("second_judge")
    'the second judge'
    """
    return f"{JUDGES[key][0].lower()}{JUDGES[key][1:]}"


def judges_table(result: Mapping[str, Any]) -> str:
    """What each judge is worth on real clips, as they are and after the VAE."""
    lines = [
        "| judge | real clips | EA-8cls as they are | 95 % interval | EA-8cls after the VAE | 95 % interval "
        "| EA-2cls after the VAE | commonest answer |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for key in JUDGES:
        found = result.get(key, {})
        if "held_out" not in found:
            continue
        before, after = found["as_they_are"]["ea_8cls"], found["held_out"]["ea_8cls"]
        cells = [
            judge_name(key).removeprefix("the "),
            str(found["held_out"]["n"]),
            percent(before["value"]),
            interval(before),
            percent(after["value"]),
            interval(after),
            percent(found["held_out"]["ea_2cls"]["value"]),
            f"{found['commonest']}, {percent(found['commonest_share'])}",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def wordings_table(found: Mapping[str, Any]) -> str:
    """Base and LoRA in both wordings, by one judge."""
    rows = [
        figures_row(f"`{wording}`, {MODELS[model]}", found[wording][model])
        for wording in WORDINGS
        for model in MODELS
    ]
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
    lines = ["| stage | seed | device | minutes | peak memory, MB |", "|---|---|---|---|---|"]
    for name, stage in stages.items():
        seed, peak = stage.get("seed"), stage.get("peak_mb")
        cells = [
            name,
            "" if seed is None else str(seed),
            stage.get("device", ""),
            f"{stage['seconds'] / 60:.1f}",
            "" if peak is None else str(round(peak)),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    total = sum(stage["seconds"] for stage in stages.values()) / 60
    return "\n".join([*lines, f"| all of these | | | {total:.1f} | |"])
