"""What a timeline looks like: a picture of probabilities over time, and a page with one for each film."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from emovid_dataset.report.colours import palette
from emovid_dataset.report.formats import page_environment
from emovid_dataset.schema.no_emotion import NO_EMOTION
from emovid_dataset.store import store_of
from emovid_models.annotator.timeline import FilmTimeline, TimelineReport

MOST_PLOTTED = 20
"""Films on one picture; the page shows all."""

_GREY = "#8a8f96"
_WIDTH, _HEIGHT = 1000, 160


@dataclass(frozen=True, slots=True)
class ShownStretch:
    """A stretch as a page shows it.

    Attributes:
        start: seconds.
        end: seconds.
        emotion: in words.
        score: mean probability, 0..1.
        left: where it begins on the page, 0..`_WIDTH`.
        width: on the page.
    """

    start: float
    end: float
    emotion: str
    score: float
    left: float
    width: float


@dataclass(frozen=True, slots=True)
class ShownFilm:
    """A film as a page shows it.

    Attributes:
        name: its key.
        error: why there is nothing of it; None where there is.
        duration: seconds.
        areas: for each emotion that is there an area of the picture, as the path of an SVG.
        stretches: in order.
        failed: windows that failed.
        ticks: places on the page and what stands there.
    """

    name: str
    error: str | None
    duration: float
    areas: tuple[tuple[str, str], ...]
    stretches: tuple[ShownStretch, ...]
    failed: int
    ticks: tuple[tuple[float, str], ...]


def write_page(report: TimelineReport, path: str | os.PathLike[str]) -> None:
    """Write a page that needs nothing but a browser: for each film probabilities over time and stretches.

    Args:
        report: of the run.
        path: the HTML file, by path or URL.

    Raises:
        OSError: it cannot be written.
    """
    emotions = report.taxonomy.names
    page = (
        page_environment("emovid_models.annotator")
        .get_template("timeline.html.j2")
        .render(
            films=[_shown(timeline, report) for timeline in report.timelines()],
            emotions=emotions,
            palette=palette(emotions),
            window=report.window,
            none=NO_EMOTION,
            WIDTH=_WIDTH,
            HEIGHT=_HEIGHT,
        )
    )
    store, name = store_of(path)
    store.put(name, page.encode("utf-8", "replace"))


def _shown(timeline: FilmTimeline, report: TimelineReport) -> ShownFilm:
    if not timeline.windows:
        return ShownFilm(timeline.film, timeline.error, 0.0, (), (), 0, ())
    duration = max(end for _, end in timeline.windows)
    scale = _WIDTH / duration
    middles, shares = _curve(timeline)
    areas = []
    low = [0.0] * len(middles)
    for place, emotion in enumerate(report.taxonomy.names):
        high = [base + row[place] for base, row in zip(low, shares, strict=True)]
        upper = [f"{x * scale:.1f} {_HEIGHT * (1 - y):.1f}" for x, y in zip(middles, high, strict=True)]
        lower = [f"{x * scale:.1f} {_HEIGHT * (1 - y):.1f}" for x, y in zip(middles, low, strict=True)]
        if upper:
            areas.append((emotion, f"M{'L'.join(upper)}L{'L'.join(reversed(lower))}Z"))
        low = high
    stretches = tuple(
        ShownStretch(
            one.start,
            one.end,
            report.emotion(one),
            one.score,
            round(one.start * scale, 1),
            round((one.end - one.start) * scale, 1),
        )
        for one in timeline.stretches(report.window)
    )
    failed = sum(error is not None for error in timeline.errors)
    ticks = tuple((round(at * scale, 1), clock_time(at)) for at in _ticks(duration) if at < 0.97 * duration)
    return ShownFilm(timeline.film, None, duration, tuple(areas), stretches, failed, ticks)


def _curve(timeline: FilmTimeline) -> tuple[list[float], list[tuple[float, ...]]]:
    """Probabilities at the middles of windows, held to both ends of the film."""
    known = [
        ((start + end) / 2, scores)
        for (start, end), scores in zip(timeline.windows, timeline.scores, strict=True)
        if scores is not None
    ]
    if not known:
        return [], []
    duration = max(end for _, end in timeline.windows)
    known = [(0.0, known[0][1]), *known, (duration, known[-1][1])]
    return [middle for middle, _ in known], [scores for _, scores in known]


def _ticks(duration: float) -> list[float]:
    step = next(
        (step for step in (0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200) if duration / step <= 8), 3600
    )
    return [place * step for place in range(int(duration / step + 1e-9) + 1)]


def clock_time(seconds: float) -> str:
    """Seconds as a player writes them.

    >>> clock_time(2.5), clock_time(75), clock_time(3725)
    ('0:02.5', '1:15', '1:02:05')
    """
    whole, rest = divmod(round(seconds, 3), 60)
    hours, minutes = divmod(int(whole), 60)
    second = f"{rest:04.1f}" if rest % 1 else f"{int(rest):02d}"
    return f"{hours}:{minutes:02d}:{second}" if hours else f"{minutes}:{second}"


def write_plot(report: TimelineReport, path: str | os.PathLike[str]) -> int:
    """Draw the films one below the other, the first `MOST_PLOTTED` of them, as a PNG.

    Args:
        report: of the run.
        path: the file, by path or URL.

    Returns:
        How many films are on it.

    Raises:
        OSError: it cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    films = list(islice(report.timelines(), MOST_PLOTTED))
    emotions = report.taxonomy.names
    colours = {name: light for name, (light, _) in palette(emotions).items()} | {NO_EMOTION: _GREY}
    figure = Figure(figsize=(10, 0.9 + 2.2 * max(1, len(films))), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(max(1, len(films)), 1, squeeze=False)[:, 0]
    for axis, timeline in zip(axes, films, strict=False):
        _draw(axis, timeline, report, colours)
    figure.legend(
        handles=[_patch(colours[name]) for name in emotions],
        labels=list(emotions),
        loc="outside upper center",
        ncols=min(len(emotions), 8),
        frameon=False,
        fontsize=9,
    )
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=100, metadata={"Software": None})
    store, name = store_of(path)
    store.put(name, file.getvalue())
    return len(films)


def _draw(axis: Any, timeline: FilmTimeline, report: TimelineReport, colours: dict[str, str]) -> None:
    emotions: Sequence[str] = report.taxonomy.names
    axis.set_title(timeline.film, loc="left", fontsize=10, parse_math=False)
    axis.set_yticks([])
    if not timeline.windows:
        axis.set_xticks([])
        axis.text(
            0.5,
            0.5,
            timeline.error or "",
            ha="center",
            va="center",
            transform=axis.transAxes,
            parse_math=False,
        )
        return
    duration = max(end for _, end in timeline.windows)
    middles, shares = _curve(timeline)
    if middles:
        by_emotion = list(zip(*shares, strict=True))
        axis.stackplot(middles, by_emotion, colors=[colours[name] for name in emotions], linewidth=0)
    for one in timeline.stretches(report.window):
        axis.broken_barh(
            [(one.start, one.end - one.start)],
            (-0.16, 0.12),
            facecolors=colours[report.emotion(one)],
            edgecolor="white",
            linewidth=0.8,
        )
    ticks = _ticks(duration)
    axis.set_xlim(0, duration)
    axis.set_ylim(-0.18, 1)
    axis.set_xticks(ticks, [clock_time(tick) for tick in ticks], fontsize=8)
    for side in ("top", "right", "left"):
        axis.spines[side].set_visible(False)


def _patch(colour: str) -> Any:
    from matplotlib.patches import Patch

    return Patch(facecolor=colour)
