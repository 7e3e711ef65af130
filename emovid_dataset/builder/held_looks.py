"""Find new clips that show nearly the same as ones which the growing build holds.

A build keeps no fingerprints. Of the clips that it holds, those about as light and as colourful as a new one
are decoded again, eight frames each: the others are near-duplicates of none. Their MP4s are what the first
build has fingerprinted, so the fingerprints are the same.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from emovid_dataset.builder.duplicates import COLOURFULNESS_OFF, LUMA_OFF, Looks, near_duplicates
from emovid_dataset.builder.growing_plan import GrowingPlan
from emovid_dataset.builder.prepare import WORK_FOLDER
from emovid_dataset.engine import Executor, Part, Record, Stage, records, run_stage
from emovid_dataset.media.portable.errors import VideoError
from emovid_dataset.media.source import Reader
from emovid_dataset.media.traits import Traits, Watch
from emovid_dataset.report.problems import ProblemClip, Suspect
from emovid_dataset.store import Store


@dataclass(frozen=True, slots=True)
class LooksPart(Part):
    """Clips of one shard to be looked at: id, first byte and bytes of each MP4."""

    shard: str
    clips: tuple[tuple[str, int, int], ...]

    @classmethod
    def of(cls, shard: str, clips: Sequence[tuple[str, int, int]]) -> LooksPart:
        """The part of these clips."""
        digest = hashlib.sha256(repr((shard, clips)).encode()).hexdigest()[:32]
        return cls(digest, len(clips), float(sum(size for _, _, size in clips)), shard, tuple(clips))


class LooksStage(Stage[LooksPart, None]):
    """Fingerprints clips of a build. Its records are the `id` of each and its `fingerprint`, perhaps None.

    Args:
        build: holds the shards.
        looked_at: the parts.
    """

    name, unit, ledger = "look", "clips", f"{WORK_FOLDER}/looks"

    def __init__(self, build: Store, looked_at: Sequence[LooksPart]) -> None:
        self.build, self.looked_at = build, looked_at

    def parts(self, store: Store) -> Iterator[LooksPart]:
        """The parts, shard by shard."""
        yield from self.looked_at

    def run(self, state: None, part: LooksPart, store: Store) -> Iterator[Record]:
        """Look at the clips of one."""
        for key, start, size in part.clips:
            yield {
                "id": key,
                "fingerprint": fingerprint_of(self.build.range(part.shard, start, start + size)),
            }


def fingerprint_of(video: bytes) -> str | None:
    """The fingerprint of a clip as it stands in a shard; None where it has none, or cannot be decoded."""
    watch = Watch()
    try:
        with Reader(video, quick=True) as reader, watch.seeing(reader):
            for _ in reader.frames(watch.wanted):
                pass
    except VideoError:
        return None
    return watch.traits().fingerprint


def held_duplicates(
    plan: GrowingPlan, build: Store, *, executor: Executor, progress: bool
) -> tuple[list[tuple[int, ...]], dict[int, Suspect]]:
    """Families of near-duplicates with at least one new clip.

    Args:
        plan: holds the new clips, and those of the build.
        build: what was found of each is noted in its work folder.
        executor: who decodes.
        progress: show progress on stderr.

    Returns:
        Families, each the rows of its clips; and the clips of the build among them, which have numbers below
        0 in the place of a row.
    """
    rows: list[int] = []
    looks: list[Looks] = []
    for label, clip, _, made in plan.prepared_clips():
        rows.append(label.row)
        fingerprint = (made["traits"] or {}).get("fingerprint")
        looks.append(Looks(fingerprint, clip["luma"], clip["colorfulness_m3"]))
    new = len(looks)
    if not any(look.fingerprint for look in looks):
        return [], {}
    shades = _Shades(looks)
    wanted: dict[str, list[tuple[str, int, int]]] = defaultdict(list)
    for place in plan.held_shades():
        if shades.has_near(place.luma, place.colorfulness):
            wanted[place.shard].append((place.id, place.start, place.size))
    stage = LooksStage(build, [LooksPart.of(shard, clips) for shard, clips in wanted.items()])
    count = sum(part.rows for part in stage.looked_at)
    if count:
        run_stage(stage, build, executor=executor, progress=progress, total=count)
    known: dict[int, Suspect] = {}
    for record in records(stage, build):
        if record["fingerprint"] is None:
            continue
        held = plan.held_clip(record["id"])
        row = held.row
        rows.append(-1 - len(known))
        looks.append(Looks(record["fingerprint"], row["luma"], row["colorfulness_m3"]))
        known[rows[-1]] = Suspect(
            ProblemClip(held.id, 0, row["source"] or ""),
            row["content_type"],
            row["emotion"],
            held.split,
            row["num_frames"],
            row["duration"],
            Traits(),
        )
    families = [family for family in near_duplicates(looks) if family[0] < new]
    named = [tuple(rows[number] for number in family) for family in families]
    return named, {row: known[row] for family in named for row in family if row in known}


class _Shades:
    """How light and colourful some clips are; quick to ask for one that is about as light and colourful."""

    def __init__(self, looks: Sequence[Looks]) -> None:
        self._cells: Mapping[tuple[int, int], list[Looks]] = defaultdict(list)
        for look in looks:
            if look.fingerprint is not None:
                self._cells[_cell(look.luma, look.colorfulness)].append(look)

    def has_near(self, luma: float, colorfulness: float) -> bool:
        column, line = _cell(luma, colorfulness)
        return any(
            abs(look.luma - luma) <= LUMA_OFF and abs(look.colorfulness - colorfulness) <= COLOURFULNESS_OFF
            for x in (column - 1, column, column + 1)
            for y in (line - 1, line, line + 1)
            for look in self._cells.get((x, y), ())
        )


def _cell(luma: float, colorfulness: float) -> tuple[int, int]:
    return int(luma // LUMA_OFF), int(colorfulness // COLOURFULNESS_OFF)
