"""docs/scale.md and its plot, from the record of `benchmarks/scale.py`."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from emovid_dataset.schema.file_names import SHARDS_PER_FOLDER, shard_path, table_path

ROOT = Path(__file__).resolve().parents[1]
RECORD = ROOT / "benchmarks" / "scale.json"
PAGE = ROOT / "docs" / "scale.md"
PLOT = ROOT / "docs" / "images" / "scale.svg"

CLIPS = 10**8
CLIP_BYTES = 500_000
SHARD_BYTES = 256_000_000
REPO_FILES = 100_000
"""Files that the Hub recommends at most for one repo."""

SHARES = {"train": 0.8, "validation": 0.1, "test": 0.1}
OTHER_FILES = 6  # card, manifest, _info.json, loading script, .gitattributes, and the list of refusals

PARENT = ("sheet", "plan", "join", "split", "lay out", "index")
"""Steps that the parent of a build does alone."""

SHUFFLED_BYTES = 40
"""Bytes per clip of a split that `Plan.shuffled` holds: five arrays of eight bytes."""

CORES = 32
"""Of a node of the example."""


def exponent(sizes: Sequence[int], costs: Sequence[float | None]) -> float | None:
    """The growth exponent of a cost: 1 where it is in proportion to the size; None from fewer than two sizes.

    It is the slope of the cost over the size, both as logarithms, between the two largest sizes: the fixed
    costs of small ones would hide what grows.

    >>> exponent([100, 1000, 10000], [1, 2, 20])
    1.0
    """
    known = [(size, cost) for size, cost in zip(sizes, costs, strict=True) if cost]
    if len(known) < 2:
        return None
    (small, low), (large, high) = sorted(known)[-2:]
    return round(float(np.log(high / low) / np.log(large / small)), 3)


def write_page(record: Path = RECORD, page: Path = PAGE, plot: Path = PLOT) -> None:
    """Write the page and its plot.

    Args:
        record: of `benchmarks/scale.py --record`.
        page: the Markdown file.
        plot: the picture that it shows.
    """
    body = json.loads(record.read_bytes())
    draw(body["runs"], plot)
    page.write_text(render_page(body, os.path.relpath(plot, page.parent)), encoding="utf-8")


def render_page(body: Mapping[str, Any], plot: str) -> str:
    """The text of the page.

    Args:
        body: the parsed record.
        plot: the picture's address.
    """
    runs = body["runs"]
    kinds = {
        kind: [run for run in runs if run["kind"] == kind] for kind in ("build", "plan", "select", "stats")
    }
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), undefined=StrictUndefined, keep_trailing_newline=True
    )
    plans = sorted(kinds["plan"], key=lambda run: run["rows"])
    return environment.get_template("scale.md.jinja").render(
        machine=body["machine"],
        plot=plot,
        tables={kind: _table(kinds[kind]) for kind in ("build", "plan")},
        readers=[max(kinds[kind], key=lambda run: run["rows"]) for kind in ("select", "stats")],
        largest=plans[-1],
        per_folder=SHARDS_PER_FOLDER,
        layouts=[
            _layout("shards of 256 MB", 1, 256_000_000),
            _layout("shards of 1 GB: `emovid build --shard-size 1GB`", 1, 10**9),
            _layout("a repo per content type, shards of 512 MB", 3, 512_000_000),
        ],
        full=_full_size(plans),
        nodes=_nodes(kinds["build"][-1]),
    )


def _layout(name: str, repos: int, shard_size: int) -> dict[str, Any]:
    """What 10^8 clips come to: shards, and entries of the fullest folder and files of one of the repos."""
    shards = -(-CLIPS * CLIP_BYTES // shard_size)
    paths = [
        shard_path("sticker", split, number)
        for split, share in SHARES.items()
        for number in range(round(shards / repos * share))
    ]
    tables = {table_path(path, path.rpartition("/")[2].partition("-")[0]) for path in paths}
    folders = Counter(path.rpartition("/")[0] for path in paths)
    files = len(paths) + len(tables) + OTHER_FILES
    return {
        "name": name,
        "shards": shards,
        "folders": len(folders),
        "fullest": max(folders["data/sticker"] + len(folders) - 1, *folders.values()),
        "files": files,
        "fits": files <= REPO_FILES,
    }


def _full_size(plans: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """What the parent of a build of 10^8 clips would need, by what the largest measured size came to."""
    largest = plans[-1]
    rows = largest["rows"]
    shards = -(-CLIPS * CLIP_BYTES // SHARD_BYTES)
    return {
        "hours": sum(largest["steps"][step] for step in PARENT) / rows * CLIPS / 3600,
        "index_gb": largest["index_bytes"] / rows * CLIPS / 1e9,
        "table_mb": largest["index_bytes"] / rows * SHARDS_PER_FOLDER * SHARD_BYTES / CLIP_BYTES / 1e6,
        "manifest_mb": largest["manifest_bytes"] / largest["shards"] * shards / 1e6,
        "memory_gb": CLIPS * SHARES["train"] * SHUFFLED_BYTES / 1e9,
    }


def _nodes(build: Mapping[str, Any]) -> list[list[str]]:
    """Days of preparing 10^8 clips by nodes and seconds of one core per clip, and what a node moves."""
    costs = [build["steps"]["prepare"] / build["rows"], 0.2, 1.0]
    rows = [["nodes", *(f"{cost:.3g} s per clip" for cost in costs), "MB/s per node at 1 s per clip"]]
    for nodes in (1, 10, 100):
        days = [CLIPS * cost / (nodes * CORES) / 86_400 for cost in costs]
        rows.append(
            [
                str(nodes),
                *(f"{day:,.2g} days" for day in days),
                f"{CORES * CLIP_BYTES / 1e6:.0f} in, as many out",
            ]
        )
    return rows


def _table(runs: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    sizes = [run["rows"] for run in runs]
    lines = [["step", *(f"{size:,}" for size in sizes), "exponent"]]
    for step in dict.fromkeys(step for run in runs for step in run["steps"]):
        costs = [run["steps"].get(step) for run in runs]
        each = [1e6 * cost / size for size, cost in zip(sizes, costs, strict=True)]
        lines.append([step, *(f"{cost:,.0f}" for cost in each), _number(exponent(sizes, costs))])
    peaks = [run["peak_mb"] for run in runs]
    return [*lines, ["peak memory, MB", *(f"{peak:,}" for peak in peaks), _number(exponent(sizes, peaks))]]


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def draw(runs: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Draw seconds over clips, a line per step, both as logarithms.

    Args:
        runs: of a record.
        path: an SVG or PNG file.
    """
    import matplotlib
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4.2), layout="constrained")
    kinds = [kind for kind in ("build", "plan") if any(run["kind"] == kind for run in runs)]
    for index, kind in enumerate(kinds):
        axes = figure.add_subplot(1, len(kinds), index + 1)
        some = [run for run in runs if run["kind"] == kind]
        sizes = [run["rows"] for run in some]
        for step in some[-1]["steps"]:
            axes.plot(sizes, [run["steps"].get(step) for run in some], "o-", label=step, markersize=3)
        axes.set(
            xscale="log", yscale="log", xlabel="clips", ylabel="seconds of the processor", title=_TITLES[kind]
        )
        axes.grid(alpha=0.3)
        axes.legend(fontsize=7)
    path.parent.mkdir(parents=True, exist_ok=True)
    with matplotlib.rc_context({"svg.hashsalt": "scale"}):
        figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)


_TITLES = {"build": "real small clips, one worker", "plan": "the parent alone, synthetic rows"}
