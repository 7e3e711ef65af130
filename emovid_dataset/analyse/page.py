"""The page of the analyses: one HTML file that needs nothing but a browser."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from emovid_dataset.analyse import paper
from emovid_dataset.analyse.analyses import Analyses
from emovid_dataset.analyse.charts import SIDE, bubbles, common_axis, point_paths, stalks
from emovid_dataset.analyse.clips import ALL
from emovid_dataset.analyse.outcomes import Interval, NotComputed
from emovid_dataset.analyse.phrases import PRIOR
from emovid_dataset.report.formats import page_environment
from emovid_dataset.report.page import palette
from emovid_dataset.schema.portable.norms import MIDDLE
from emovid_dataset.store import Store


@dataclass(frozen=True, slots=True)
class AnalysesPage:
    """A written page.

    Attributes:
        path: of the page.
        size: bytes of the page.
    """

    path: Path
    size: int


def write_page(analyses: Analyses, html: str | os.PathLike[str]) -> AnalysesPage:
    """Write the page, the same to the byte for the same analyses.

    Args:
        analyses: from `analyse_build`.
        html: file to write.

    Returns:
        `AnalysesPage`.

    Raises:
        ValueError: `html` is a folder.
        OSError: the page cannot be written.
    """
    path = Path(html)
    if path.is_dir():
        raise ValueError(f"html is {str(path)!r}, a folder; it must name a file")
    page = render_page(analyses).encode("utf-8", "replace")
    Store.at(path.parent).put(path.name, page)
    return AnalysesPage(path, len(page))


def render_page(analyses: Analyses) -> str:
    """The page's HTML; it allows no script and loads nothing.

    Args:
        analyses: from `analyse_build`.
    """
    environment = page_environment("emovid_dataset.analyse", "emovid_dataset.report")
    environment.tests["missing"] = lambda value: isinstance(value, NotComputed)
    environment.filters.update(p=_p, interval=_interval, share=_share)
    clips = analyses.clips
    return environment.get_template("analyses.html.j2").render(
        ALL=ALL,
        MIDDLE=MIDDLE,
        PRIOR=PRIOR,
        SIDE=SIDE,
        palette=palette(clips.emotions),
        paper=paper,
        analyses=analyses,
        clips=clips,
        scopes=[name for name, _ in clips.scopes()],
        bubbles=bubbles(analyses.places),
        point_paths=lambda by: point_paths(analyses.features, clips, by),  # type: ignore[arg-type]
        stalks=stalks,
        common_axis=common_axis,
    )


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _interval(value: Interval | NotComputed, digits: int = 3, factor: float = 1.0) -> str:
    if isinstance(value, NotComputed):
        return str(value)
    return f"{factor * value.low:.{digits}f} to {factor * value.high:.{digits}f}"


def _share(value: float) -> str:
    return f"{100 * value:.1f} %"
