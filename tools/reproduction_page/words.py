"""What the numbers say, in words that follow from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from emovid_dataset.schema.emotions import EMOTIONS
from tools.reproduction_page.tables import (
    CONTROL,
    HEAD,
    JUDGES,
    MODELS,
    TASKS,
    figures_row,
    interval,
    judge_name,
    judges_table,
    percent,
    probability,
    wordings_table,
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
    """What every judge is worth, which comes before anything that they say."""
    lines = []
    chance = 1 / len(EMOTIONS)
    for key, name in JUDGES.items():
        found = result.get(key, {})
        if "held_out" not in found:
            continue
        above = found["held_out"]["ea_8cls"]["low"] > chance
        line = (
            f"- {name}, {found['title']} (`{found['identity']}`): its interval after the VAE "
            f"{'lies' if above else 'does not lie'} above chance, one in eight."
        )
        if found["unfit"]:
            line += (
                f" It is unfit: it answers {found['commonest']} to {percent(found['commonest_share'])} of "
                "the real clips, so that what it says of generated videos says nothing about them."
            )
        lines.append(line)
    if not lines:
        return "No figures of the judges on real clips are recorded."
    return "\n\n".join([judges_table(result), "\n".join(lines)])


def other_judge_text(result: Mapping[str, Any], key: str) -> str:
    """What another judge than the annotator sees, and whether it agrees."""
    blocks = []
    for task, title in TASKS.items():
        other = result.get(task, {}).get(key)
        if other is None:
            continue
        rows = "\n".join(figures_row(f"{title}, {MODELS[model]}", other[model]) for model in MODELS)
        if "control" in other:
            rows += "\n" + figures_row(f"{title}, {CONTROL}", other["control"]["base"])
        mine, theirs = direction(result[task]), direction(other)
        agree = (
            f"Both the annotator and {judge_name(key)} see {mine} ahead."
            if mine == theirs
            else f"The annotator sees {mine} ahead, {judge_name(key)} {theirs}."
        )
        blocks.append(f"{HEAD}\n{rows}\n\n{comparison_text(title, other)} {agree}")
        if "control" in other:
            blocks.append(comparison_text(f"{title}, {CONTROL}", other["control"]))
    return "\n\n".join(blocks) or f"No figures of {judge_name(key)} are recorded."


def wordings_text(result: Mapping[str, Any]) -> str:
    """Which of the two wordings raises EA-8cls more, by each judge."""
    blocks = []
    found = result["wordings"]
    for key, name in JUDGES.items():
        if key not in found:
            continue
        unfit = ", which is unfit" if result.get(key, {}).get("unfit") else ""
        paired = found[key]["paired"]
        p = paired["mcnemar_p"]
        ahead = "paper" if paired["lora_only"] > paired["base_only"] else "mood"
        verdict = (
            f"with `{ahead}` more videos are right"
            if p < SIGNIFICANCE
            else "which wording makes more videos right cannot be told"
        )
        blocks.append(
            f"{name}{unfit}:\n\n{wordings_table(found[key])}\n\nOn the same prompts with the same seeds, "
            f"{paired['lora_only']} videos are right with the LoRA of `paper` alone and "
            f"{paired['base_only']} with that of `mood` alone; exact McNemar test, two-sided, "
            f"p = {probability(p)}: {verdict}."
        )
    return "\n\n".join(blocks)


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
        others = {key: comparison[key] for key in JUDGES if key in comparison}
        for key, other in others.items():
            verdict += f"; {judge_name(key)} {_seen(other)}"
            verdict += ", but it is unfit" if result.get(key, {}).get("unfit") else ""
        if "control" in comparison:
            verdict += f". Compared with the {CONTROL}, " + "; ".join(
                f"{judge_name(key)} {_seen(found['control'])}"
                for key, found in {"judge": comparison, **others}.items()
            )
        lines.append(f"- {title}: {verdict}.")
    return "\n".join(lines)


def _seen(comparison: Mapping[str, Any]) -> str:
    """Which of the two a judge sees ahead, if it can tell them apart."""
    p = comparison["mcnemar_p"]
    if p >= SIGNIFICANCE:
        return f"cannot tell them apart (p = {probability(p)})"
    overlap = "" if is_above(comparison["lora"], comparison["base"]) else ", though the intervals overlap"
    return f"sees {direction(comparison)} ahead (p = {probability(p)}{overlap})"


def round_trip_text(result: Mapping[str, Any]) -> str:
    """What the VAE alone does to real clips."""
    psnr = result["vae"]["frame_psnr_db"]
    seen = "; ".join(
        f"{judge_name(key)} names the emotion of {percent(found['as_they_are']['ea_8cls']['value'])} as they "
        f"are and of {percent(found['held_out']['ea_8cls']['value'])} after it"
        for key in JUDGES
        if "held_out" in (found := result.get(key, {}))
    )
    return (
        "Real stickers that are held out went through the VAE and back, without any generator. The first "
        f"frame comes back at {psnr[0]:.1f} dB PSNR, the last at {psnr[-1]:.1f} dB. "
        + (f"{seen[0].upper()}{seen[1:]}. " if seen else "")
        + "Whatever is lost here, no LoRA can show."
    )
