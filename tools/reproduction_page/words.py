"""What the numbers say, in words that follow from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from emovid_dataset.schema.emotions import EMOTIONS
from tools.reproduction_page.tables import (
    CONTROL,
    HEAD,
    MODELS,
    TASKS,
    figures_row,
    interval,
    percent,
    probability,
)

SIGNIFICANCE = 0.05
"""A paired test below this counts as a difference, to match the 95 % intervals."""


def is_above(lora: Mapping[str, Any], base: Mapping[str, Any]) -> bool:
    """Whether one interval of EA-8cls lies above the other."""
    return lora["ea_8cls"]["low"] > base["ea_8cls"]["high"]


def direction(comparison: Mapping[str, Any]) -> str:
    """Which of the two models a judge sees ahead."""
    ahead = comparison["lora"]["ea_8cls"]["value"] - comparison["base"]["ea_8cls"]["value"]
    return "the LoRA" if ahead > 0 else "the base" if ahead < 0 else "neither"


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


def judge_text(result: Mapping[str, Any]) -> str:
    """The judges' own figures, which come before anything that they say."""
    lines = []
    for key, name in (("judge", "The annotator"), ("second_judge", "The second judge")):
        found = result.get(key, {}).get("held_out")
        if found is None:
            continue
        of = result[key].get("held_out_of", "real clips that it has not learnt from")
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
                f". Compared with the base that is not told of the emotion, {direction(control)} is ahead "
                f"(p = {probability(control['mcnemar_p'])}"
                f"{'' if is_above(control['lora'], control['base']) else '; the intervals overlap'})"
            )
        lines.append(f"- {title}: {verdict}.")
    return "\n".join(lines)


def round_trip_text(found: Mapping[str, Any]) -> str:
    """What the VAE alone does to real clips, as `tools.reproduce.vae_round_trip` measured it."""
    before, after, psnr = found["before"], found["after"], found["frame_psnr_db"]
    answers = [sum(column) for column in zip(*after["confusion"], strict=True)]
    most = max(range(len(EMOTIONS)), key=lambda label: answers[label])
    return (
        "Real stickers of the test split went through the VAE and back, without any generator. The first "
        f"frame comes back at {psnr[0]:.1f} dB PSNR, the last at {psnr[-1]:.1f} dB. The judge, which was "
        f"trained on these clips, names the emotion of {percent(before['ea_8cls']['value'])} "
        f"({interval(before['ea_8cls'])}) of {before['n']} as they are and of "
        f"{percent(after['ea_8cls']['value'])} ({interval(after['ea_8cls'])}) after the round trip, where it "
        f"says {EMOTIONS[most]} of {answers[most]}. Whatever is lost here, no LoRA can show to this judge."
    )
