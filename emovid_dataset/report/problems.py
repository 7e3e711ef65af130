"""What a build's owner should look at: clips that show or say nothing, are there twice, or stand out.

None of these is an error, and the clips are in the build. What was seen and heard of them while they were
prepared (`media.traits`) is held against the thresholds here; docs/problems.md states them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from emovid_dataset.media.traits import Traits
from emovid_dataset.schema.manifest import PROBLEMS_NAME
from emovid_dataset.store import Store

BLACK_LEVEL = 24
"""Of 255: a clip is black if no part of its frames is lighter."""

STILL_LEVELS = 4
"""A clip is still if no part of its frames changes by more levels of 255: an encoder makes frames that differ
by as much of one and the same picture."""

SILENT_PEAK = 0.001
"""Of full scale: sound is silent if no sample is louder (-60 dBFS)."""

CLIPPED_SHARE = 0.001
"""Sound is clipped if so many of its samples stand in runs at full scale."""

LENGTH_FACTOR = 5.0
"""A clip's length is unusual if it is so many times longer or shorter than the median of its content type."""

LEAST_FOR_LENGTHS = 10
"""Clips of a content type below which no length of it is unusual."""

EMPTY, ONE_FRAME, BLACK, STILL = "empty split", "one frame", "black", "still"
DUPLICATES, CONFLICTS = "near-duplicates across splits", "conflicting labels"
SILENT, CLIPPED, LENGTH = "silent audio", "clipped audio", "unusual length"
KINDS = (EMPTY, ONE_FRAME, BLACK, STILL, DUPLICATES, CONFLICTS, SILENT, CLIPPED, LENGTH)
"""In the order in which they are listed."""

_NAMED = 3


@dataclass(frozen=True, slots=True)
class ProblemClip:
    """A clip that has a problem.

    Attributes:
        id: of the clip.
        row: of the label sheet; 0 for a clip that a growing build holds already.
        path: as the sheet gives it, with the stretch of a film; the source of a clip that is held already.
    """

    id: str
    row: int
    path: str


@dataclass(frozen=True, slots=True)
class Problem:
    """One line of `problems.jsonl`: a clip, a family of clips, or a split.

    Attributes:
        problem: one of `KINDS`.
        detail: in words.
        clips: that have it; none for an empty split.
    """

    problem: str
    detail: str
    clips: tuple[ProblemClip, ...] = ()

    @property
    def name(self) -> str:
        """What a table calls it."""
        return " = ".join(clip.path for clip in self.clips) or self.detail


@dataclass(frozen=True, slots=True)
class Suspect:
    """What is known of a clip that may have problems.

    Attributes:
        clip: what it is called.
        content_type, emotion, split, num_frames, duration: as in the build.
        traits: what was seen and heard of it.
    """

    clip: ProblemClip
    content_type: str
    emotion: str
    split: str
    num_frames: int
    duration: float
    traits: Traits


def problems_of(
    suspects: Iterable[Suspect],
    *,
    families: Iterable[Sequence[int]] = (),
    lengths: Mapping[str, float] | None = None,
    refused: Iterable[tuple[ProblemClip, str]] = (),
    splits: Iterable[str] = (),
    held: Mapping[int, Suspect] | None = None,
) -> list[Problem]:
    """All problems of a build.

    Args:
        suspects: its clips that show an emotion, in the sheet's order; read once.
        families: rows of those that are near-duplicates of each other.
        lengths: the median length by content type, of those with clips enough; seconds.
        refused: clips that were refused because their content has two labels, and why.
        splits: that were asked for.
        held: clips that are in families alone, by numbers that no row has; they were listed earlier.

    Returns:
        In the order of `KINDS`, and of the sheet.
    """
    families = [tuple(family) for family in families]
    doubled = {row for family in families for row in family}
    members: dict[int, Suspect] = dict(held or {})
    filled: set[str] = set()
    found: list[Problem] = []
    for suspect in suspects:
        filled.add(suspect.split)
        if suspect.clip.row in doubled:
            members[suspect.clip.row] = suspect
        for kind, detail in (*_own(suspect), *_length(suspect, lengths or {})):
            found.append(Problem(kind, detail, (suspect.clip,)))
    found += [Problem(EMPTY, split) for split in splits if split not in filled]
    for family in families:
        alike = [members[row] for row in family if row in members]
        for kind, values in (
            (DUPLICATES, dict.fromkeys(member.split for member in alike)),
            (CONFLICTS, dict.fromkeys(member.emotion for member in alike)),
        ):
            if len(values) > 1:
                clips = tuple(member.clip for member in alike)
                found.append(Problem(kind, " and ".join(values), clips))
    found += [Problem(CONFLICTS, reason, (clip,)) for clip, reason in refused]
    return sorted(found, key=lambda problem: KINDS.index(problem.problem))


def _own(suspect: Suspect) -> Iterator[tuple[str, str]]:
    """What a clip's own frames and sound show; one that is black is not still as well."""
    traits = suspect.traits
    if suspect.num_frames == 1:
        yield ONE_FRAME, f"{suspect.duration:g} s"
    elif traits.lightest <= BLACK_LEVEL:
        yield BLACK, f"no part is lighter than {traits.lightest} of 255"
    elif traits.change <= STILL_LEVELS:
        yield STILL, f"no part changes by more than {traits.change} of 255"
    if traits.peak is not None and traits.peak <= SILENT_PEAK:
        yield SILENT, f"no sample is louder than {traits.peak:g} of full scale"
    if traits.clipped is not None and traits.clipped >= CLIPPED_SHARE:
        yield CLIPPED, f"{100 * traits.clipped:.1f} % of the samples are at full scale"


def _length(suspect: Suspect, lengths: Mapping[str, float]) -> Iterator[tuple[str, str]]:
    usual = lengths.get(suspect.content_type)
    if usual is not None and not usual / LENGTH_FACTOR <= suspect.duration <= usual * LENGTH_FACTOR:
        yield LENGTH, f"{suspect.duration:g} s; the median of {suspect.content_type} is {usual:g} s"


def counted(problems: Iterable[Problem]) -> dict[str, list[Problem]]:
    """The problems of each kind that there are."""
    by_kind: dict[str, list[Problem]] = {kind: [] for kind in KINDS}
    for problem in problems:
        by_kind[problem.problem].append(problem)
    return {kind: found for kind, found in by_kind.items() if found}


def table_of(problems: Iterable[Problem]) -> list[list[object]]:
    """Rows of the table "Problems": the kind, how many, and the first few by name."""
    rows: list[list[object]] = []
    for kind, found in counted(problems).items():
        names = ", ".join(problem.name for problem in found[:_NAMED])
        more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
        rows.append([kind, len(found), names + more])
    return rows


def to_json(problems: Iterable[Problem]) -> list[dict[str, Any]]:
    """All of them, kind by kind."""
    return [
        {"problem": kind, "count": len(found), "which": [asdict(problem) for problem in found]}
        for kind, found in counted(problems).items()
    ]


def read_problems(build: Store) -> tuple[Problem, ...]:
    """The problems that a build lists; none where it lists none, as on the Hub.

    Raises:
        ValueError: the list is damaged.
        OSError: it cannot be read.
    """
    if not build.exists(PROBLEMS_NAME):
        return ()
    return tuple(_parsed(build.read(PROBLEMS_NAME).decode("utf-8", "replace")))


def _parsed(text: str) -> Iterator[Problem]:
    for number, line in enumerate(text.splitlines(), 1):
        try:
            body = json.loads(line)
            clips = tuple(ProblemClip(**clip) for clip in body["clips"])
            problem = Problem(body["problem"], body["detail"], clips)
            if problem.problem not in KINDS:
                raise ValueError(problem.problem)
            yield problem
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{PROBLEMS_NAME}, line {number}, is not a problem: {line}") from error
