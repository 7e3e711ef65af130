"""The page's section on the paper's protocol: its six columns, of which the miniature fills what it can."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tools.reproduction_page.tables import MODELS, TASKS, interval, percent, probability

_COLUMNS = (
    ("fvd", "FVD", 1),
    ("clip_score", "CLIP score", 4),
    ("first_frame_consistency", "first-frame consistency", 4),
    ("temporal_flicker", "temporal flicker", 4),
)
_HEAD = [
    "",
    "videos",
    *(title for _, title, _ in _COLUMNS),
    "EA-2cls",
    "95 % interval",
    "EA-8cls",
    "95 % interval",
]


_COMMANDS = """```bash
MINI=emovid_dataset/mini
emovid build $MINI --labels $MINI/labels.csv --benchmark-ids $MINI/benchmark.txt --out BUILD
python -m tools.reproduce.paper_protocol BUILD
```"""


def paper_protocol_text(found: Mapping[str, Any]) -> str:
    """The section's words and tables.

    Args:
        found: by task, as `tools.reproduce.paper_protocol` writes it.
    """
    of = next(iter(found.values()))
    parts = [
        "This section shows that the code of `emovid evaluate --protocol paper` runs, and nothing else. The "
        f"benchmark is the miniature's own: {of['protocol']['n']} clips that neither judge nor generators "
        "have learnt from, half of them of a content type that none of them has ever seen. They are few, "
        "and the judge is right about few of them. No conclusion follows from any number here, and the "
        "paper's values do not stand beside them."
    ]
    wording = of["protocol"].get("wording", "paper")
    if wording != "paper":
        parts[0] += (
            f" Base and LoRA were asked in the LoRA's wording, `{wording}`, not with the paper's sentence."
        )
    parts += ["These two commands made the numbers:", _COMMANDS]
    for task, title in TASKS.items():
        if task in found:
            parts.append(_table(title, found[task]))
            parts.append(_tests(title, found[task]))
    reasons = sorted({reason for run in found.values() for reason in _reasons(run)})
    parts.append(
        "Not computed: " + "; ".join(reasons) + ". Temporal flicker is lower where a video is steadier. "
        "`docs/evaluation.md` says what each column is."
    )
    return "\n\n".join(parts)


def _table(title: str, run: Mapping[str, Any]) -> str:
    rows = [(f"{title}, {MODELS[name]}", run["measures"][name]) for name in MODELS]
    rows.append(("the benchmark's real clips", run["real"]["measures"]))
    lines = ["| " + " | ".join(_HEAD) + " |", "|" + "---|" * len(_HEAD)]
    for name, row in rows:
        cells = [name, str(row["n"])]
        for key, _, digits in _COLUMNS:
            value = row[key]["value"]
            cells.append("not computed" if value is None else f"{value:.{digits}f}")
        for share in (row["ea_2cls"], row["ea_8cls"]):
            cells += [percent(share["value"]), interval(share)]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _tests(title: str, run: Mapping[str, Any]) -> str:
    said = []
    for name, key in (("EA-2cls", "comparison_2cls"), ("EA-8cls", "comparison")):
        test = run[key]
        said.append(
            f"{name}, {test['lora_only']} videos are right with the LoRA alone and {test['base_only']} with "
            f"the base alone, p = {probability(test['mcnemar_p'])}"
        )
    return f"{title}, exact McNemar test, two-sided: {'; '.join(said)}."


def _reasons(run: Mapping[str, Any]) -> list[str]:
    rows = [*run["measures"].values(), run["real"]["measures"]]
    return [
        f"{title}, {row[key]['reason']}" for row in rows for key, title, _ in _COLUMNS if row[key]["reason"]
    ]
