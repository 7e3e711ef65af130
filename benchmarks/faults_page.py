"""docs/faults.md: each section's table is written from the record of the benchmark that is named in it."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "faults.md"


def write_section(name: str, body: Mapping[str, Any], page: Path = PAGE) -> None:
    """Write the part of the page between the marks of a name.

    Args:
        name: "kills", "soak" or "fuzz".
        body: the record.
        page: the Markdown file, in which the marks are.

    Raises:
        ValueError: the page has no such marks.
    """
    text = page.read_text(encoding="utf-8")
    begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
    if begin not in text or end not in text:
        raise ValueError(f"{page} has no section {name}")
    made = f"{begin}\n{_SECTIONS[name](body)}\n{end}"
    page.write_text(re.sub(f"{begin}.*?{end}", lambda _: made, text, flags=re.DOTALL), encoding="utf-8")


def _kills(body: Mapping[str, Any]) -> str:
    held = defaultdict(list)
    for run in body["runs"]:
        held[run["command"], run["place"]].append(run)
    lines = [
        "| command | place | kills | moments, share of the run | the same afterwards | greatest difference |",
        "|---|---|---:|---|---:|---:|",
    ]
    for (command, place), runs in held.items():
        moments = ", ".join(f"{run['moment']:.2f}" for run in sorted(runs, key=lambda run: run["moment"]))
        same, most = sum(run["same"] for run in runs), max(run["difference"] for run in runs)
        gap = "none" if not most else f"{most:.1g}"
        lines.append(f"| `{command}` | {place} | {len(runs)} | {moments} | {same} | {gap} |")
    total, same = len(body["runs"]), sum(run["same"] for run in body["runs"])
    return "\n".join([*lines, "", f"{same} of {total} have the outcome of an undisturbed run.", ""])


def _fuzz(body: Mapping[str, Any]) -> str:
    lines = [
        "| reader | seconds | inputs | branches reached by sound files, and in the end | found |",
        "|---|---:|---:|---:|---:|",
    ]
    for run in body["runs"]:
        reached = " to ".join(f"{count:,}" for count in run["branches"])
        lines.append(
            f"| {run['reader']} | {run['seconds']} | {run['inputs']:,} | {reached} | {run['found']} |"
        )
    return "\n".join([*lines, ""])


def _soak(body: Mapping[str, Any]) -> str:
    first, last = body["samples"][0], body["samples"][-1]
    lines = [
        "| | after the first epoch | at the end |",
        "|---|---:|---:|",
        f"| anonymous memory of all processes, MB | {first['mb']:,} | {last['mb']:,} |",
        f"| open files of all processes | {first['files']:,} | {last['files']:,} |",
        "",
        f"{body['epochs']:,} epochs of {body['clips']:,} clips in {body['minutes']:.1f} minutes, of which "
        f"{body['wrong']} had other clips than there are; memory grows by "
        f"{body['mb_per_hour']:+.1f} MB per hour.",
        "",
    ]
    return "\n".join(lines)


_SECTIONS = {"kills": _kills, "fuzz": _fuzz, "soak": _soak}
