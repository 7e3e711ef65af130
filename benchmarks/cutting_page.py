"""docs/cutting.md, from the record of `benchmarks/cutting.py`."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.cutting_joins import KINDS

LIMITS = (
    "- Recorded speech: nobody speaks in the miniature's film, nor in anything else that is at hand. That no "
    "clip begins or ends within a word is tried with given probabilities of speech, and that a tone is no "
    "speech with the detector itself.",
    "- Interlaced films are cut by their frames, as `emovid build` encodes them: nothing is deinterlaced. A "
    "frame whose two fields are of two shots is left out as a gradual transition.",
    "- A shot that is shorter than `--min` is left out, not joined to a neighbour: no clip may hold a cut.",
)

ANCHORS = """| detector | BBC | ClipShots | RAI |
|---|---|---|---|
| TransNetV2 | 96.2 | 77.9 | 93.9 |
| PySceneDetect 0.7, adaptive | 91.6 | 55.8 | |"""


def write_page(record: Path, truth: Path, cost: Path, page: Path) -> None:
    """Write the page.

    Args:
        record: what was measured.
        truth: the marked boundaries.
        cost: time and memory; the file may be missing.
        page: to write.
    """
    measured, marked = (json.loads(path.read_text("utf-8")) for path in (record, truth))
    costs = json.loads(cost.read_text("utf-8")) if cost.exists() else {}
    page.write_text(render(measured, marked, costs), "utf-8")


def render(record: Mapping[str, Any], truth: Mapping[str, Any], cost: Mapping[str, Any]) -> str:
    """The page's text."""
    film = record["film"]
    disagreements = "; ".join(f"frame {item['frame']}, {item['what']}" for item in truth["disagreements"])
    lines = [
        "# Cutting films",
        "",
        "<!-- written by `python -m benchmarks.cutting page`; do not edit -->",
        "",
        filled(
            "`emovid cut FILMS... --out sheet.csv` proposes clips. What follows is how well it finds the "
            "boundaries of shots, by TRECVID's convention: a boundary counts if it is found within two "
            "frames, "
            "and counts once."
        ),
        "",
        "## The truth",
        "",
        filled(
            f"The miniature's film, {film['frames']:,} frames: {film['cuts']} cuts and {film['gradual']} "
            f"gradual transitions (`benchmarks/cutting_truth.json`), marked by {truth['marked_by']}."
        ),
        "",
        *(filled(f"- {line}") for line in truth["how"]),
        filled(f"- Boundaries about which the passes disagree: {disagreements}."),
        *(filled(f"- Found later: frame {item['frame']}, {item['what']}.") for item in truth["found_later"]),
        "",
        "## What was chosen on what",
        "",
        filled(
            "- Hard cuts: the thresholds of `auto` (`emovid_dataset/cut/light.py`) were first fixed after "
            "the change values of the whole film had been looked at, so the film's rows are not a blind "
            "test of them. The joins that are measured on then showed that cuts were lost. Why was found on "
            "the first half of the film and on 750 joins of it, drawn by other seeds, and the thresholds "
            "that are used now were chosen there; that nothing is sure within four frames of a film's ends "
            "was learnt from 200 cuts of the second half that are in no table."
        ),
        filled(
            "- A sure cut must stand out in hue, saturation and value as well. The thresholds of that lie "
            "in the middle between the cuts and the movement of the first half of the film and 400 joins of "
            "it, by seeds 101 and 102. What the rule before lost on the joins of the second half had "
            "prompted it, so of the joins below only those that are drawn anew are new to it."
        ),
        filled(
            "- Fades and dissolves: the thresholds (`emovid_dataset/cut/gradual.py`) were chosen on joins of "
            "the first half of the film's shots."
        ),
        filled(
            "- The filters for text and for still pictures were tuned on the film. They leave clips out and "
            "find no boundaries, so no table below depends on them."
        ),
        filled(
            "- The joins of the second half of the shots are the rows that no choice saw; their shots do "
            "belong to the film whose change values had been looked at. The cuts that are drawn anew are by "
            "a seed of which nothing was known when the thresholds were chosen."
        ),
        "",
        "## The film",
        "",
        filled(
            "Names in code style are `--detector`'s; fades and dissolves are found beside their cuts. "
            "All look "
            "at frames of 128x72, and `auto` at 48x27, as TransNetV2 does."
        ),
        "",
        *film_table(film["rows"], film),
        "",
        *network_part(film),
        "## Joins",
        "",
        filled(
            "The film holds few gradual transitions, so these are measured on joins of its own shots, "
            "at 48x27, "
            "each a film of a hundred frames: cuts, dissolves of 4 to 48 frames, fades by way of 1 to "
            "12 frames "
            "of black, and stretches without any transition, where all that is found is wrong."
        ),
        "",
    ]
    for name, half in record["joins"].items():
        heading = f"### {name.capitalize()}: {half['of_each_kind']} of each kind, of {half['shots']} shots"
        kinds = tuple(half.get("kinds", KINDS))
        if kinds != KINDS:
            what = " and ".join(f"{kind}s" for kind in kinds)
            heading = f"### {name.capitalize()}: {half['of_each_kind']} {what}, of {half['shots']} shots"
        note = [filled(half["note"]), ""] if "note" in half else []
        lines += [heading, "", *note, *joins_table(half["rows"], kinds), ""]
    if "network_on_joins" in record:
        some = record["network_on_joins"]
        said = filled(
            "Each is one window of the network. They were drawn before the cut at frame 10999 was found; "
            "joins that hold it are left out."
        )
        counted = " and ".join(f"{count} {kind}s" for kind, count in some["kinds"].items())
        heading = f"### TransNetV2 beside it: {counted} of the second half"
        lines += [heading, "", said, "", *joins_table(some["rows"], ("dissolve", "fade")), ""]
    lines += [*cost_part(cost), "## Limits", "", *map(filled, LIMITS), ""]
    elsewhere = "Published F1 in per cent, of other films, not to be compared with the tables above:"
    lines += ["## Elsewhere", "", elsewhere, "", ANCHORS, ""]
    return "\n".join(lines)


def cost_part(cost: Mapping[str, Any]) -> list[str]:
    """Time beside that of decoding, and memory at two lengths, as far as they were measured."""
    said = []
    if "time" in cost:
        time = cost["time"]
        said += [
            filled(
                f"Cutting a film of {time['frames']:,} frames by `auto` without a GPU takes "
                f"{time['ratio']:.2f} times the processor time of decoding it ({time['cut_s']:.1f} s and "
                f"{time['decode_s']:.1f} s, measured in one run; the network was shown {time['asked']:,} "
                "frames)."
            ),
            "",
        ]
    if "memory" in cost:
        peaks = ", ".join(
            f"{one['seconds'] // 60} minutes at most {one['peak_mb']:,} MB" for one in cost["memory"]
        )
        said += [
            filled(
                "Resident memory of the process that cuts a film with sound at 24 frames per second, the "
                f"network loaded or not as it needs: {peaks}."
            ),
            "",
        ]
    return ["## What it costs", "", *said] if said else []


def network_part(film: Mapping[str, Any]) -> list[str]:
    """What TransNetV2 said, of as much of the film as it was shown."""
    seen = film["network_frames"]
    if not seen:
        return []
    if seen >= film["frames"]:
        return ["TransNetV2 was shown the whole film.", ""]
    said = filled(
        f"TransNetV2 takes over a second per fifty frames on one core, and was shown the first "
        f"{seen:,} frames "
        "only. On these:"
    )
    return [said, "", *film_table(film["rows_where_the_network_looked"], None), ""]


def filled(text: str) -> str:
    """A paragraph or an item in lines of bounded length."""
    indent = "  " if text.startswith("- ") else ""
    return textwrap.fill(text, 110, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def film_table(rows: Mapping[str, Any], film: Mapping[str, Any] | None) -> list[str]:
    """Detectors on the film."""
    of_cuts = "cuts found" if film is None else f"cuts found, of {film['cuts']}"
    of_gradual = "gradual found" if film is None else f"gradual found, of {film['gradual']}"
    lines = [
        f"| detector | F1 | precision | recall | {of_cuts} | {of_gradual} | wrong |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, row in sorted(rows.items(), key=lambda item: -item[1]["f1"]):
        numbers = " | ".join(f"{100 * row[key]:.1f}" for key in ("f1", "precision", "recall"))
        lines.append(
            f"| {named(name)} | {numbers} | {row['cuts_found']} | {row['gradual_found']} | {row['wrong']} |"
        )
    return lines


def joins_table(rows: Mapping[str, Any], kinds: tuple[str, ...] = KINDS) -> list[str]:
    """Detectors on joins: F1 of each kind, and what is found where nothing is."""
    heads = [f"wrong in {kind}" if kind == "none" else f"F1, {kind}" for kind in kinds]
    lines = ["| detector | " + " | ".join(heads) + " |", "|" + "---|" * (len(heads) + 1)]
    for name, found in rows.items():
        cells = [
            str(found[kind]["wrong"]) if kind == "none" else f"{100 * found[kind]['f1']:.1f}"
            for kind in kinds
        ]
        lines.append(f"| {named(name)} | " + " | ".join(cells) + " |")
    return lines


def named(name: str) -> str:
    """A detector as the page names it."""
    first, comma, rest = name.partition(",")
    return name if first.startswith(("PySceneDetect", "TransNetV2")) else f"`{first}`{comma}{rest}"
