"""The page of a result: one HTML file that needs nothing but a browser.

::

    read_result -> Judging per judge (fitness, ranking, soft scores) --+
                   System.measures, Video.scores ----------------------+-> render_page -> page
                   bytes of some videos (failures first) --------------+

Nothing is judged or measured here; the videos that the page plays are copied into it.
"""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

from emovid_dataset.media.playable import playable
from emovid_dataset.media.portable.errors import VideoError
from emovid_dataset.report.colours import palette
from emovid_dataset.report.formats import page_environment
from emovid_dataset.store import write_file
from emovid_models.evaluation.judge_fitness import Fitness, OrderAgreement, judge_fitness, order_agreement
from emovid_models.evaluation.result import REAL, JudgeRecord, Result, Video
from emovid_models.evaluation.score_definitions import DEFINITIONS
from emovid_models.evaluation.soft_scores import SoftScores, soft_scores
from emovid_models.evaluation.system_ranking import Ranking, rank_systems
from emovid_models.evaluation.system_scores import mean_value
from emovid_models.evaluation.value import Value
from emovid_models.evaluation.video_places import VideoPlaces

MOST_BYTES = 40_000_000
"""Of the videos that are copied into a page unless told otherwise."""

_SCRIPT = (Path(__file__).parent / "templates" / "systems.js").read_text(encoding="utf-8")
"""What plays and filters the videos; the page allows this script alone."""


@dataclass(frozen=True, slots=True)
class Judging:
    """One judge and what it says of all systems.

    Attributes:
        record: the judge.
        label: its name on the page, unlike that of any other judge.
        fitness: what it is worth.
        ranking: the systems by its answers.
        soft: by system its probabilities.
    """

    record: JudgeRecord
    label: str
    fitness: Fitness
    ranking: Ranking
    soft: Mapping[str, SoftScores]


@dataclass(frozen=True, slots=True)
class WallCell:
    """One video on the wall.

    Attributes:
        system: its system.
        video: None where the system was not asked.
        source: a data address of its bytes; None where it is not shown.
        reason: why it is not shown.
        answers: by the judge's label its answer, or None, and whether that is what was asked for.
    """

    system: str
    video: Video | None
    source: str | None
    reason: str
    answers: tuple[tuple[str, str | None, bool], ...]


@dataclass(frozen=True, slots=True)
class WallRow:
    """The videos of one request side by side.

    Attributes:
        first: any of its videos, for what was asked for.
        cells: one per system.
        failed: how many of them failed.
        wrong: answers that are not what was asked for, over videos and judges.
    """

    first: Video
    cells: tuple[WallCell, ...]
    failed: int
    wrong: int


@dataclass(frozen=True, slots=True)
class Page:
    """A page that was written.

    Attributes:
        path: path or URL of the file.
        size: bytes.
        shown: videos that it plays.
        videos: that the result has.
    """

    path: str
    size: int
    shown: int
    videos: int


def write_page(
    result: Result,
    html: str | os.PathLike[str],
    *,
    most_bytes: int = MOST_BYTES,
    videos_roots: Sequence[str | os.PathLike[str]] = (),
) -> Page:
    """Write the page of a result.

    Args:
        result: that was read or written, so that its videos can be found.
        html: path or URL of the file to write.
        most_bytes: of videos that are copied into the page; those of failures first.
        videos_roots: folders and addresses whose videos may be read, beside those of `VideoPlaces`.

    Returns:
        `Page`.

    Raises:
        ValueError: the file is a folder, the number is below 0, or a video lies where none may be read.
        OSError: it cannot be written.
    """
    path = os.fspath(html)
    if "://" not in path and os.path.isdir(path):
        raise ValueError(f"html is {path!r}, a folder; it must name a file")
    if most_bytes < 0:
        raise ValueError(f"most_bytes is {most_bytes}; it must be 0 or more")
    places = VideoPlaces(result, videos_roots)
    places.check()
    judgings = judge_all(result)
    wall = build_wall(result, judgings, places, most_bytes=most_bytes)
    page = render_page(result, judgings, wall).encode("utf-8", "replace")
    write_file(html, page)
    shown = sum(cell.source is not None for row in wall for cell in row.cells)
    return Page(path, len(page), shown, len(result.videos))


def judge_all(result: Result) -> tuple[Judging, ...]:
    """Every judge with its fitness and its ranking of the systems."""
    scenes = {video.request: video.scene for video in result.videos}
    labels = _labels(result.judges)
    found = []
    for record in result.judges:
        judged = {system.name: result.judged(system.name, record.identity) for system in result.systems}
        found.append(
            Judging(
                record,
                labels[record.identity],
                judge_fitness(result.judged(REAL, record.identity)),
                rank_systems(judged, scenes),
                {name: soft_scores(one) for name, one in judged.items()},
            )
        )
    return tuple(found)


def agreements(judgings: Sequence[Judging]) -> list[tuple[str, str, OrderAgreement]]:
    """Every two judges by their labels, and whether they agree on the order of the systems."""
    return [
        (one.label, other.label, order_agreement(one.ranking, other.ranking))
        for one, other in combinations(judgings, 2)
    ]


def build_wall(
    result: Result, judgings: Sequence[Judging], places: VideoPlaces, *, most_bytes: int
) -> list[WallRow]:
    """The videos side by side, requests with failures first, then those with the most wrong answers.

    Args:
        result: whose videos are read.
        judgings: of `judge_all`.
        places: where the videos are read.
        most_bytes: of all videos that are shown; once they are spent the other rows have words alone.

    Returns:
        A row per request.
    """
    labels = {one.record.identity: one.label for one in judgings}
    requests: dict[str, dict[str, Video]] = {}
    for video in result.videos:
        requests.setdefault(video.request, {})[video.system] = video

    def answers(video: Video) -> tuple[tuple[str, str | None, bool], ...]:
        given = [(label, video.answers.get(identity)) for identity, label in labels.items()]
        said = [(label, None if answer is None else answer.emotion) for label, answer in given]
        return tuple((label, emotion, emotion == video.intended) for label, emotion in said)

    def trouble(videos: Mapping[str, Video]) -> tuple[int, int]:
        failed = sum(video.failure is not None for video in videos.values())
        return failed, sum(not right for video in videos.values() for _, _, right in answers(video))

    ordered = sorted(requests.values(), key=trouble, reverse=True)
    left = most_bytes
    rows = []
    for videos in ordered:
        cells = []
        for system in result.systems:
            asked = videos.get(system.name)
            source, reason = None, "was not asked for"
            if asked is not None:
                data, reason = _bytes(places, asked, left)
                if data is not None:
                    left -= len(data)
                    source = "data:video/mp4;base64," + base64.b64encode(data).decode()
            cells.append(WallCell(system.name, asked, source, reason, answers(asked) if asked else ()))
        failed, wrong = trouble(videos)
        rows.append(WallRow(next(iter(videos.values())), tuple(cells), failed, wrong))
    return rows


def render_page(result: Result, judgings: Sequence[Judging], wall: Sequence[WallRow]) -> str:
    """The page's HTML. Words of others are escaped; the page allows no script but its own and loads nothing.

    Args:
        result: what it shows.
        judgings: of `judge_all`.
        wall: of `build_wall`.
    """
    from emovid_models.metrics.ea_8cls import ea_8cls

    emotions = result.taxonomy.names
    published = ea_8cls.PUBLISHED_EA_8CLS.get(result.task or "") if len(emotions) == 8 else None
    return (
        page_environment("emovid_models.evaluation", "emovid_dataset.report")
        .get_template("systems.html.j2")
        .render(
            result=result,
            emotions=emotions,
            short=_short(emotions),
            palette=palette(emotions),
            scopes=(),
            judgings=judgings,
            agreements=agreements(judgings),
            unfit=[one for one in judgings if one.fitness.is_unfit],
            failures=[(video, video.failure) for video in result.videos if video.failure is not None],
            failed_of=lambda name: sum(video.failure is not None for video in result.of(name)),
            scenes=len({video.scene for video in result.videos}),
            requests=len({video.request for video in result.videos}),
            score_lines=_score_lines(result),
            recall_dots=recall_dots,
            real_value=lambda name: _real(result, name),
            wall=wall,
            shown=sum(cell.source is not None for row in wall for cell in row.cells),
            prompts=sorted({video.prompt or video.scene for video in result.videos}),
            published=published,
            published_source=ea_8cls.PUBLISHED_SOURCE,
            script=_SCRIPT,
            script_hash="sha256-" + base64.b64encode(hashlib.sha256(_SCRIPT.encode()).digest()).decode(),
        )
    )


def recall_dots(ranking: Ranking, emotion: str) -> list[tuple[float, str, str]]:
    """The dots of an emotion's line: systems whose recalls lie within two points share one.

    Args:
        ranking: whose systems are numbered in its order.
        emotion: of the line.

    Returns:
        Of each dot its mean recall, 0..1, the systems' numbers, and their names with their own recalls.
    """
    known = [
        (recall, number, system.name)
        for number, system in enumerate(ranking.systems, 1)
        if (recall := system.figures.recall[emotion]) is not None
    ]
    groups: list[list[tuple[float, int, str]]] = []
    for one in sorted(known):
        if groups and one[0] - groups[-1][0][0] < 0.02:
            groups[-1].append(one)
        else:
            groups.append([one])
    return [
        (
            sum(recall for recall, _, _ in group) / len(group),
            " ".join(str(number) for _, number, _ in sorted(group, key=lambda one: one[1])),
            ", ".join(f"{name}: {recall:.1%}" for recall, _, name in group),
        )
        for group in groups
    ]


def _score_lines(result: Result) -> list[tuple[str, str, str, int]]:
    """Of each line of the scores its name, its label, how to read it, and digits after the point."""
    ways = {"lower": "lower is better", "higher": "higher is better", "neither": "neither way is better"}
    lines = [(one.name, one.label, f"{one.span}; {ways[one.better]}", one.digits) for one in DEFINITIONS]
    known = {one.name for one in DEFINITIONS}
    others = dict.fromkeys(name for system in result.systems for name in system.measures if name not in known)
    return lines + [(name, name.replace("_", " "), "", 4) for name in others]


def _real(result: Result, name: str) -> Value | None:
    """A score of the real clips, where it can be compared with that of a system."""
    if name not in ("flicker", "motion", "frozen_share") or not result.real:
        return None
    value = mean_value(result.real, name)
    return None if value.value is None else value


def _labels(judges: Sequence[JudgeRecord]) -> dict[str, str]:
    """By identity a name that no two judges share."""
    sources = [judge.source for judge in judges]
    return {
        judge.identity: judge.source if sources.count(judge.source) == 1 else judge.identity
        for judge in judges
    }


def _short(emotions: Sequence[str]) -> dict[str, str]:
    """Names short enough for the head of a narrow column: the fewest letters, three or more, that differ."""
    length = next(
        length for length in range(3, 64) if len({name[:length] for name in emotions}) == len(emotions)
    )
    return {name: name[:length] for name in emotions}


def _bytes(places: VideoPlaces, video: Video, left: int) -> tuple[bytes | None, str]:
    """A video's bytes, or why they are not shown."""
    if video.error is not None:
        return None, video.error
    try:
        data = places.read(video)
    except (OSError, ValueError):
        # the message would tell readers of the page where the videos lie
        return None, "is not where the result says"
    with suppress(VideoError):  # what was judged is shown as it is, whether or not a browser plays it
        data = playable(data)
    if len(data) > left:
        return None, "left out to keep the page small"
    return data, ""
