"""`emovid annotate --timeline`: films window by window, and what is made of it."""

from __future__ import annotations

import json
import os
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import typer

from emovid_dataset.cli.errors import FOUND_WRONG, need
from emovid_dataset.terminal import print_table

if TYPE_CHECKING:
    from collections.abc import Iterable

    from emovid_dataset.engine import Executor
    from emovid_models.annotator.annotate import LoadedByName
    from emovid_models.annotator.items import Item


@dataclass(frozen=True, slots=True)
class TimelineOptions:
    """What the command was told of a timeline.

    Attributes:
        window: seconds of each window; None is 4.
        stride: seconds from one window to the next; None is 1.
        segments: CSV of the stretches; None writes none.
        plot: PNG; None draws none.
        html: page; None writes none.
    """

    window: float | None = None
    stride: float | None = None
    segments: str | None = None
    plot: str | None = None
    html: str | None = None

    def check(self, timeline: bool, out: str, **others: object) -> None:
        """Refuse options that do not go together, before anything is read.

        Args:
            timeline: whether a timeline is asked for.
            out: the table.
            **others: options that a timeline knows nothing of, and their values.

        Raises:
            ValueError: one line that names the option.
        """
        own = {name: getattr(self, name) for name in ("window", "stride", "segments", "plot", "html")}
        if not timeline:
            for name, value in own.items():
                if value is not None:
                    raise ValueError(f"--{name} {value} needs --timeline")
            return
        for name, value in others.items():
            if value:
                shown = f"--{name.replace('_', '-')}" + ("" if value is True else f" {value}")
                raise ValueError(f"{shown} is not for --timeline")
        places = [("out", out), *((name, own[name]) for name in ("segments", "plot", "html") if own[name])]
        seen: dict[str, str] = {}
        for name, place in places:
            if (first := seen.setdefault(os.path.abspath(place), name)) != name:
                raise ValueError(f"--{name} {place} is also --{first}; name another file")
        if self.plot is not None:
            need("models", "matplotlib")


def annotate_films(
    options: TimelineOptions,
    items: Iterable[Item],
    named: LoadedByName,
    out: str,
    *,
    batch_size: int,
    num_frames: int | None,
    abstain: float | None,
    runner: Executor,
    allow_rejected: bool,
    as_json: bool,
) -> None:
    """Annotate films window by window, write what was asked for, and say what came out.

    Args:
        options: of the command.
        items: the films.
        named: the annotator.
        out: the table.
        batch_size: windows that the model sees at once.
        num_frames: frames to look at in each window.
        abstain: see `annotate_timeline`.
        runner: who does it.
        allow_rejected: whether films may fail.
        as_json: print JSON.

    Raises:
        ValueError, OSError: as `annotate_timeline`.
        typer.Exit: a film failed.
    """
    from emovid_dataset.builder.sheet import printable
    from emovid_dataset.schema.no_emotion import NO_EMOTION
    from emovid_models.annotator.timeline import annotate_timeline, write_sheet
    from emovid_models.annotator.timeline_charts import write_page, write_plot
    from emovid_models.remote.annotator.timeline import STRIDE, WINDOW

    report = annotate_timeline(
        items,
        named.load(progress=not as_json) if runner.is_this_process else named,
        out,
        identity=named.identity(),
        window=WINDOW if options.window is None else options.window,
        stride=STRIDE if options.stride is None else options.stride,
        batch_size=batch_size,
        num_frames=num_frames,
        abstain=abstain,
        engine=runner,
        progress=not as_json,
    )
    if options.segments is not None:
        write_sheet(report, options.segments)
    if options.plot is not None:
        write_plot(report, options.plot)
    if options.html is not None:
        write_page(report, options.html)
    seconds: defaultdict[str, float] = defaultdict(float)
    windows, counted, failed = 0, 0, []
    for timeline in report.timelines():
        windows += len(timeline.windows)
        if not timeline.windows:
            failed.append((timeline.film, timeline.error))
        errors = [error for error in timeline.errors if error is not None]
        if errors:
            failed.append((timeline.film, f"{len(errors)} of {len(timeline.windows)} windows: {errors[0]}"))
        for one in timeline.stretches(report.window):
            seconds[report.emotion(one)] += one.end - one.start
            counted += 1
    emotions = (*report.taxonomy.names, *((NO_EMOTION,) if abstain is not None else ()))
    if as_json:
        outcome = {
            "out": out,
            **{name: getattr(options, name) for name in ("segments", "plot", "html")},
            "films": len(report.films),
            "reused": report.reused,
            "windows": windows,
            "stretches": counted,
            "failed": [{"key": key, "error": error} for key, error in failed],
            "seconds": {name: round(seconds[name], 3) for name in emotions},
        }
        print(json.dumps(outcome, allow_nan=False))
    else:
        for key, error in failed:
            print(f"{printable(key)}: {error}")
        rows: list[list[object]] = [[name, f"{seconds[name]:.1f}"] for name in emotions]
        rows.append(["all", f"{sum(seconds.values()):.1f}"])
        title = f"{out}, {report.reused} of {len(report.films)} films from an earlier run"
        print_table(title, ["emotion", "seconds"], rows)
    if failed and not allow_rejected:
        raise typer.Exit(FOUND_WRONG)
