"""benchmarks/RESULTS.md: what `benchmarks.peers` measured, as tables and a plot."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

ROOT = Path(__file__).resolve().parents[1]
RECORD = ROOT / "benchmarks" / "peers.json"
PAGE = ROOT / "benchmarks" / "RESULTS.md"
PLOT = ROOT / "docs" / "images" / "peers.svg"

EMOVID = "emovid"
PLACES = {"disk": "from the disk", "bucket": "from the bucket"}


def write_page(record: Path = RECORD, page: Path = PAGE, plot: Path = PLOT) -> None:
    """Write the page and its plot.

    Args:
        record: of `benchmarks.peers --record`.
        page: the Markdown file.
        plot: the picture that it shows.
    """
    body = json.loads(record.read_bytes())
    draw(body["peers"], plot)
    page.write_text(render_page(body), encoding="utf-8")


def render_page(body: Mapping[str, Any]) -> str:
    """The text of the page.

    Args:
        body: the parsed record.
    """
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), undefined=StrictUndefined, keep_trailing_newline=True
    )
    versions = {name: version for peer in body["peers"] for name, version in peer["versions"].items()}
    return environment.get_template("peers.md.jinja").render(
        body=body,
        tables={place: _loading(body, place) for place in PLACES},
        picks=_picks(body),
        resumptions=_resumptions(body),
        wins=wins(body["peers"]),
        failed=[peer for peer in body["peers"] if peer["error"]],
        versions=", ".join(f"{name} {version}" for name, version in sorted(versions.items())),
    )


def wins(peers: Sequence[Mapping[str, Any]]) -> list[str]:
    """Where another library is better than this package, one sentence each."""
    ours = next(peer for peer in peers if peer["name"] == EMOVID)
    found = []
    for peer in peers:
        if peer is ours or peer["error"]:
            continue
        for place, words in PLACES.items():
            for name, sign, what in (
                ("clips_per_second", 1, "loads {:.2f} x as many clips per second"),
                ("first_seconds", -1, "has the first sample in {:.2f} of the time"),
                ("peak_mb", -1, "takes {:.2f} of the memory"),
                ("bytes", -1, "moves {:.2f} of the bytes"),
            ):
                found += _win(peer, ours, place, name, sign, f"{words} {what}")
            found += _win(
                peer,
                ours,
                f"pick_{place}",
                "clip_ms",
                -1,
                f"{words} takes {{:.2f}} of the time per picked clip",
            )
    return found


def _win(
    peer: Mapping[str, Any], ours: Mapping[str, Any], place: str, name: str, sign: int, sentence: str
) -> list[str]:
    theirs, own = peer.get(place, {}).get(name), ours.get(place, {}).get(name)
    if not theirs or not own or sign * (theirs - own) <= 0:
        return []
    return [f"{peer['name']} {sentence.format(theirs / own)}"]


def _loading(body: Mapping[str, Any], place: str) -> list[list[str]]:
    rows = []
    for peer in body["peers"]:
        found = peer.get(place, {})
        if "ratio" not in found:
            if not peer["error"] and "error" in found:
                rows.append([peer["name"], f"fails: {found['error']}", *[""] * 6])
            continue
        spread = f"{min(found['ratios']):.2f} to {max(found['ratios']):.2f}" if found["ratios"] else ""
        moved = peer["stored"] if place == "disk" else found["bytes"]
        rows.append(
            [
                peer["name"],
                f"{found['ratio']:.2f} x" if found["ratio"] else "",
                spread,
                f"{found['cpu_ms']:.0f}",
                f"{found['first_seconds']:.2f}",
                f"{moved / body['clip_bytes']:.2f}",
                f"{found['peak_mb']:,}",
                "yes" if found["exact"] else "no",
            ]
        )
    return rows


def _picks(body: Mapping[str, Any]) -> list[list[str]]:
    rows = []
    for peer in body["peers"]:
        if peer["error"]:
            continue
        row = [peer["name"]]
        for place in PLACES:
            found = peer.get(f"pick_{place}")
            if found is None:
                row += ["none", "", ""]
            elif "error" in found:
                row += [f"fails: {found['error']}", "", ""]
            else:
                moved = f"{found['bytes'] / body['clip_bytes']:.2f}" if place == "bucket" else ""
                row += [f"{found['open_seconds']:.2f}", f"{found['clip_ms']:.0f}", moved]
        rows.append([*row[:3], *row[4:]])  # the disk sends no bytes
    return rows


def _resumptions(body: Mapping[str, Any]) -> list[list[str]]:
    rows = []
    for peer in body["peers"]:
        if peer["error"]:
            continue
        found = peer.get("resume")
        if found is None:
            rows.append([peer["name"], "has no state that can be saved"])
        elif found["error"]:
            rows.append([peer["name"], f"fails: {found['error']}"])
        elif found["twice"] or found["missing"]:
            rows.append([peer["name"], f"no: {found['twice']} clips twice, {found['missing']} missing"])
        else:
            rows.append([peer["name"], "yes"])
    return rows


def draw(peers: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Draw the ratios of the speeds, a bar per library and place.

    Args:
        peers: of a record.
        path: an SVG or PNG file.
    """
    import matplotlib
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.4), layout="constrained")
    for number, (place, words) in enumerate(PLACES.items(), 1):
        axes = figure.add_subplot(1, len(PLACES), number)
        shown = [peer for peer in peers if peer.get(place, {}).get("ratio")][::-1]
        colours = ["#0072b2" if peer["name"] == EMOVID else "#999999" for peer in shown]
        axes.barh([peer["name"] for peer in shown], [peer[place]["ratio"] for peer in shown], color=colours)
        axes.axvline(1, color="black", linewidth=0.8)
        axes.set(title=words, xlabel="clips per second, datasets + torchcodec = 1")
    path.parent.mkdir(parents=True, exist_ok=True)
    with matplotlib.rc_context({"svg.hashsalt": "peers"}):
        figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
