"""The report of a build: one HTML page that needs nothing but a browser.

::

    metadata/*.parquet --stats.measure--> Statistics --+
                                                       +--> render_report --> page
    a few clips' bytes --draw_clips, contact_sheets ---+

Of the shards only the clips on the contact sheets are read, one at a time.
"""

from __future__ import annotations

import base64
import hashlib
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from emovid_dataset.engine import Executor
from emovid_dataset.media.attributes import as_in_paper
from emovid_dataset.report.ambiguity import ambiguity_table
from emovid_dataset.report.colours import palette
from emovid_dataset.report.corpus_table import (
    CorpusRow,
    corpus_rows,
    is_of_the_paper,
    label_columns,
    length_columns,
    paper_notes,
)
from emovid_dataset.report.figures import ridge, rose, ticks
from emovid_dataset.report.formats import axis_labels, page_environment
from emovid_dataset.report.problems import table_of
from emovid_dataset.report.profile import ALL, HUE_SECTORS, Distribution
from emovid_dataset.report.sheets import SheetClip, contact_sheets, draw_clips
from emovid_dataset.report.stats import Statistics, measure
from emovid_dataset.schema.clip import CONTENT_TYPES, Clip
from emovid_dataset.schema.emotions import VALENCES
from emovid_dataset.schema.taxonomy import Taxonomy
from emovid_dataset.store import Store
from emovid_dataset.terminal import column_texts

_SCRIPT = (Path(__file__).parent / "templates" / "report.js").read_text(encoding="utf-8")
"""What folds the page on a phone and searches its clips; the page allows this script alone."""

_MOST_SIZES = 6
_MOST_REFUSED = 300


@dataclass(frozen=True, slots=True)
class Report:
    """A written report.

    Attributes:
        statistics: what it shows.
        path: of the page.
        size: bytes of the page.
        unshown: id and problem of each drawn clip that has no picture.
    """

    statistics: Statistics
    path: Path
    size: int
    unshown: tuple[tuple[str, str], ...]


def write_report(
    source: str | os.PathLike[str],
    html: str | os.PathLike[str],
    *,
    seed: int = 0,
    clips: int = 8,
    frames: int = 4,
    engine: str | Executor = "serial",
    workers: int | None = None,
    progress: bool = False,
    paper: bool | None = None,
    revision: str | None = None,
    token: str | bool | None = None,
) -> Report:
    """Write the report: one page with everything in it, the same to the byte for the same build and seed.

    Args:
        source: a build: its folder, a Hub repo (``owner/name``), or an http(s) address.
        html: file to write.
        seed: draws the clips of the contact sheets.
        clips: clips per emotion on the contact sheets, 0..100.
        frames: frames per clip on the contact sheets, 1..16.
        engine: who reads the metadata, as for `measure`.
        workers: processes, as for `measure`.
        progress: show progress on stderr.
        paper: put the paper's figures beside the build's, as for `corpus_rows`.
        revision: branch, tag or commit of a Hub repo.
        token: for a private Hub repo.

    Returns:
        `Report`.

    Raises:
        FileNotFoundError: the source is not a build.
        ValueError: a number is out of range, or the build is unfinished or at odds with itself.
        OSError: the page cannot be written.
    """
    if not 0 <= clips <= 100:
        raise ValueError(f"clips is {clips}; it must be 0..100")
    if not 1 <= frames <= 16:
        raise ValueError(f"frames is {frames}; it must be 1..16")
    path = Path(html)
    if path.is_dir():
        raise ValueError(f"html is {str(path)!r}, a folder; it must name a file")
    statistics = measure(
        source, revision=revision, token=token, engine=engine, workers=workers, progress=progress
    )
    drawn = draw_clips(statistics, count=clips, seed=seed)
    sheets = contact_sheets(source, drawn, frames=frames, progress=progress, revision=revision, token=token)
    page = render_report(statistics, sheets, seed=seed, paper=paper).encode("utf-8", "replace")
    Store.at(path.parent).put(path.name, page)
    unshown = [
        (item.clip.id, item.problem)
        for sheet in sheets.values()
        for item in sheet
        if item.problem is not None
    ]
    return Report(statistics, path, len(page), tuple(unshown))


def render_report(
    statistics: Statistics,
    sheets: Mapping[str, Sequence[SheetClip]],
    *,
    seed: int,
    paper: bool | None = None,
) -> str:
    """Write the page's HTML.

    Words that come from the label sheet or from file names are escaped; beyond that the page allows no
    script but its own and loads nothing.

    Args:
        statistics: from `measure`.
        sheets: from `contact_sheets`; may be empty.
        seed: named on the page.
        paper: put the paper's figures beside the build's, as for `corpus_rows`.

    Returns:
        The page.
    """
    manifest = statistics.manifest
    emotions, held = manifest.taxonomy.names, statistics.content_types
    scopes = (ALL, *held) if len(held) > 1 else held
    profiles = statistics.profiles
    rows = corpus_rows(statistics, paper=paper)

    def clips_of(emotion: str, content_type: str = ALL) -> int:
        profile = profiles.get((content_type, emotion))
        return 0 if profile is None else profile.clips

    def spreads(content_type: str, name: str) -> list[tuple[str, Distribution | None, str]]:
        """Rows of a ridge plot: an emotion, its distribution, the variable of its colour."""
        return [
            (emotion, getattr(profiles.get((content_type, emotion)), name, None), f"emotion-{emotion}")
            for emotion in emotions
        ]

    def type_spreads(name: str) -> list[tuple[str, Distribution | None, str]]:
        return [
            (content_type, getattr(profiles[content_type, ALL], name), "neutral") for content_type in held
        ]

    return (
        page_environment("emovid_dataset.report")
        .get_template("report.html.j2")
        .render(
            ALL=ALL,
            CONTENT_TYPES=CONTENT_TYPES,
            EMOTIONS=emotions,
            SPLITS=manifest.split_names,
            VALENCES=_by_valence(manifest.taxonomy),
            palette=palette(emotions),
            title=statistics.name if manifest.info.title is None else manifest.info.title,
            statistics=statistics,
            manifest=manifest,
            profiles=profiles,
            total=statistics.total,
            scopes=scopes,
            missing=_missing(manifest.content_types, held),
            tables=[(scope, _count_rows(statistics, scope)) for scope in scopes],
            most_common=max(clips_of(emotion) for emotion in emotions),
            mixtures=list(_mixtures(statistics)),
            frame_sizes=_frame_sizes(statistics.frame_sizes),
            licenses=sorted(statistics.licenses.items(), key=lambda item: (-item[1], item[0] or "")),
            refusals=statistics.refusals[:_MOST_REFUSED],
            sheets=sheets,
            of_the_paper=is_of_the_paper(statistics) if paper is None else paper,
            corpus_tables=list(_corpus_tables(rows, statistics)),
            corpus_notes=list(paper_notes(rows)),
            problems=table_of(statistics.problems),
            without_emotion=statistics.without_emotion[:_MOST_REFUSED],
            seed=seed,
            sectors=HUE_SECTORS,
            clips_of=clips_of,
            spreads=spreads,
            type_spreads=type_spreads,
            ridge=ridge,
            ticks=ticks,
            rose=rose,
            axis_labels=axis_labels,
            exact_and_rounded=exact_and_rounded,
            script=_SCRIPT,
            script_hash="sha256-" + base64.b64encode(hashlib.sha256(_SCRIPT.encode()).digest()).decode(),
        )
    )


def exact_and_rounded(clip: Clip) -> str:
    """The paper's attributes of a clip, each with the paper's rounding beside it; "" where it has none."""
    if clip.brightness is None or clip.colorfulness is None:
        return ""
    brightness, colorfulness, hue = as_in_paper(clip.brightness, clip.colorfulness, clip.hue)
    words = [
        f"brightness {clip.brightness:.3f} ({brightness})",
        f"colorfulness {clip.colorfulness:.3f} ({colorfulness})",
        *([] if clip.hue is None else [f"hue {clip.hue:.2f}° ({hue}°)"]),
    ]
    return ", ".join(words)


def _corpus_tables(
    rows: Sequence[CorpusRow], statistics: Statistics
) -> Iterator[tuple[str, list[str], list[list[str]]]]:
    """Id, columns and rows of Table 2, of the label counts, and of how divided raters were, where that is
    known; a number that is not known is empty."""
    tables = [("table-2", length_columns(rows)), ("label-counts", label_columns(rows))]
    tables += [("ambiguity", ambiguity_table(statistics.ambiguity))] if statistics.ambiguity else []
    for name, (columns, table) in tables:
        texts = [column_texts(column, thousands=True) for column in zip(*table, strict=True)]
        yield name, columns, [[text or "" for text in row] for row in zip(*texts, strict=True)]


def _missing(content_types: Sequence[str], held: Sequence[str]) -> list[str]:
    """Content types without clips; EmoVid's own are missed only where no clip is of another type."""
    own = any(name not in CONTENT_TYPES for name in held)
    return [name for name in content_types if name not in held and not (own and name in CONTENT_TYPES)]


def _by_valence(taxonomy: Taxonomy) -> list[tuple[str, tuple[str, ...]]]:
    """Emotions under what they are called together, for the legend."""
    named = [(name, taxonomy.of_valence(index)) for index, name in enumerate(VALENCES)]
    named.append(
        ("neither" if any(emotions for _, emotions in named) else "emotions", taxonomy.of_valence(None))
    )
    return [(name, emotions) for name, emotions in named if emotions]


def _count_rows(statistics: Statistics, content_type: str) -> list[tuple[str, tuple[int, ...]]]:
    def cell(emotion: str, split: str) -> int:
        return sum(
            clips
            for (its_type, its_emotion, its_split), clips in statistics.counts.items()
            if content_type in (ALL, its_type) and emotion in (ALL, its_emotion) and split == its_split
        )

    splits, emotions = statistics.manifest.split_names, statistics.manifest.taxonomy.names
    rows = [(emotion, tuple(cell(emotion, split) for split in splits)) for emotion in (*emotions, ALL)]
    return [(emotion, (*cells, sum(cells))) for emotion, cells in rows]


def _mixtures(statistics: Statistics) -> Iterator[tuple[str, str, int, list[tuple[str, int]]]]:
    """Of every content type and split that has clips: their number, and the number of each emotion."""
    for content_type in statistics.content_types:
        for split in statistics.manifest.split_names:
            emotions = statistics.manifest.taxonomy.names
            parts = [(emotion, statistics.counts[content_type, emotion, split]) for emotion in emotions]
            clips = sum(count for _, count in parts)
            if clips:
                yield content_type, split, clips, [part for part in parts if part[1]]


def _frame_sizes(sizes: Counter[tuple[int, int]]) -> list[tuple[str, int]]:
    ordered = sorted(sizes.items(), key=lambda item: (-item[1], item[0]))
    rows = [(f"{width} × {height}", count) for (width, height), count in ordered[:_MOST_SIZES]]
    rest = ordered[_MOST_SIZES:]
    if not rest:
        return rows
    name = "1 other" if len(rest) == 1 else f"{len(rest)} others"
    return [*rows, (name, sum(count for _, count in rest))]
