"""Write what films were cut into: a sheet of clips, and beside it a sheet of what was left out and why."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import PurePosixPath

from emovid_dataset.cut.likeness import first_alike
from emovid_dataset.cut.records import FilmCut, ProposedClip
from emovid_dataset.schema.clip import CONTENT_TYPES
from emovid_dataset.store import Store

COLUMNS = (
    *("path", "start", "end", "emotion", "content_type"),
    *("shot", "first_frame", "frames", "motion", "text_share", "bars"),
)
"""Columns of the sheet of clips; `emotion` is empty, for whoever labels it."""

CROP = "crop_bars"
"""One more, which `emovid build` obeys, where bars are to be cropped."""

DROPPED_COLUMNS = ("path", "start", "end", "reason", "shot", "first_frame", "frames")
"""Columns of the sheet of what was left out; a film that cannot be read has a reason and no times."""


def dropped_name(name: str) -> str:
    """The name of the sheet of what was left out, beside a sheet of clips.

    >>> dropped_name("sheet.csv"), dropped_name("clips/sheet")
    ('sheet.dropped.csv', 'clips/sheet.dropped')
    """
    path = PurePosixPath(name)
    return str(path.with_name(f"{path.stem}.dropped{path.suffix}"))


def content_type_of(path: str) -> str:
    """The content type of a film's clips: the nearest folder that is named after one, else "movie".

    Args:
        path: of the film, or its address.

    >>> content_type_of("films/Cartoon/1940/a.mp4"), content_type_of("films/a.mp4")
    ('cartoon', 'movie')
    """
    folders = (name.lower() for name in reversed(PurePosixPath(path).parts[:-1]))
    return next((name for name in folders if name in CONTENT_TYPES), "movie")


def without_lookalikes(films: Sequence[FilmCut]) -> list[FilmCut]:
    """Leave out clips that look like an earlier one, of the same film or of another.

    Args:
        films: in the order of the sheet.
    """
    places = [
        (number, place)
        for number, film in enumerate(films)
        for place, clip in enumerate(film.clips)
        if clip.reason is None
    ]
    alike = first_alike([films[number].clips[place].likeness for number, place in places])
    reasons: dict[tuple[int, int], str] = {}
    for here, other in zip(places, alike, strict=True):
        if other is not None:
            number, place = places[other]
            clip = films[number].clips[place]
            named = "" if number == here[0] else f"{films[number].path} "
            reasons[here] = f"looks like {named}{clip.start:.2f}-{clip.end:.2f} s"
    return [
        replace(
            film,
            clips=tuple(
                replace(clip, reason=reasons.get((number, place), clip.reason))
                for place, clip in enumerate(film.clips)
            ),
        )
        for number, film in enumerate(films)
    ]


def write_sheets(
    store: Store,
    name: str,
    films: Iterable[FilmCut],
    content_type: str | None = None,
    *,
    crop_bars: bool = False,
) -> None:
    """Write both sheets.

    Args:
        store: where they go.
        name: of the sheet of clips.
        films: what they were cut into.
        content_type: of all clips; None for that of each film's folder, see `content_type_of`.
        crop_bars: tell `emovid build` to crop the bars.
    """
    films = list(films)
    kept = (row for film in films for row in _kept(film, content_type or content_type_of(film.path)))
    columns: tuple[str, ...] = COLUMNS
    if crop_bars:
        # of the bars that were measured: the last column
        columns, kept = (*COLUMNS, CROP), ((*row, row[-1]) for row in kept)
    store.put(name, _as_csv(columns, kept))
    store.put(dropped_name(name), _as_csv(DROPPED_COLUMNS, (row for film in films for row in _dropped(film))))


def _as_csv(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return text.getvalue().encode("utf-8", "surrogateescape")


def _kept(film: FilmCut, content_type: str) -> Iterator[Sequence[object]]:
    for clip in film.clips:
        if clip.reason is None:
            bars = (
                f"{clip.bars.top} {clip.bars.bottom} {clip.bars.left} {clip.bars.right}" if clip.bars else ""
            )
            yield (
                *(film.path, *_times(clip), "", content_type, clip.shot, clip.first, clip.stop - clip.first),
                *(round(clip.motion, 3), round(clip.text, 4), bars),
            )


def _dropped(film: FilmCut) -> Iterator[Sequence[object]]:
    if film.error is not None:
        yield (film.path, "", "", film.error, "", "", "")
    for clip in film.clips:
        if clip.reason is not None:
            shot = clip.shot if clip.shot >= 0 else ""
            yield (film.path, *_times(clip), clip.reason, shot, clip.first, clip.stop - clip.first)


def _times(clip: ProposedClip) -> tuple[float, float]:
    """Start and end as a sheet says them; a millionth of a second is less than any reader looks at."""
    return round(clip.start, 6), round(clip.end, 6)
