"""A page of what films were cut into: a strip of shots, the sound, what is kept, what is left out and why."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from emovid_dataset.cut.records import FilmCut
from emovid_dataset.report.formats import page_environment
from emovid_dataset.store import write_file


@dataclass(frozen=True, slots=True)
class ReasonCount:
    """How much was left out for one kind of reason.

    Attributes:
        name: the reason up to its details.
        count: stretches.
        seconds: of all of them together.
    """

    name: str
    count: int
    seconds: float


def count_reasons(films: Sequence[FilmCut]) -> list[ReasonCount]:
    """What was left out, by kind of reason, the most frequent first."""
    found: dict[str, list[float]] = {}
    for film in films:
        for clip in film.clips:
            if clip.reason is not None:
                name = "looks like another" if clip.reason.startswith("looks like") else clip.reason
                found.setdefault(name.partition(":")[0], []).append(clip.end - clip.start)
    counts = [ReasonCount(name, len(seconds), sum(seconds)) for name, seconds in found.items()]
    return sorted(counts, key=lambda item: (-item.count, item.name))


def write_page(films: Sequence[FilmCut], page: str | os.PathLike[str]) -> int:
    """Write the page.

    Args:
        films: cut with `CutSettings.pictures`.
        page: path or address of the file to write.

    Returns:
        Its size in bytes.

    Raises:
        OSError: it cannot be written.
    """
    data = render_page(films).encode("utf-8", "replace")
    write_file(page, data)
    return len(data)


def render_page(films: Sequence[FilmCut]) -> str:
    """The page's HTML; it allows no script and loads nothing."""
    environment = page_environment("emovid_dataset.cut")
    environment.filters["clock"] = _clock
    return environment.get_template("cut.html.j2").render(
        films=films,
        kept=sum(clip.reason is None for film in films for clip in film.clips),
        dropped=sum(clip.reason is not None for film in films for clip in film.clips),
        reasons=count_reasons(films),
        waves=[_wave(film.facts.waveform if film.facts else ()) for film in films],
    )


def _clock(seconds: float) -> str:
    """A moment of a film.

    >>> _clock(3725.25)
    '1:02:05.25'
    """
    minutes, rest = divmod(round(100 * seconds), 6000)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest // 100:02}.{rest % 100:02}"


def _wave(loudness: Sequence[float]) -> str:
    """The outline of a film's sound in a box of 1000 by 50."""
    if not loudness:
        return ""
    high = max(*loudness, 1e-6) if len(loudness) > 1 else max(loudness[0], 1e-6)
    step = 1000 / len(loudness)
    above = [(step * (place + 0.5), 25 - 24 * value / high) for place, value in enumerate(loudness)]
    below = [(x, 50 - y) for x, y in reversed(above)]
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in [*above, *below]) + "Z"
