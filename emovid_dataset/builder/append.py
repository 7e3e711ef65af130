"""Add what is new in a larger label sheet to a finished build: its shards stay, new ones come beside them.

::

    label sheet, raw store
        | sheet.read.read_sheet             rows, refusals               -> GrowingPlan
        | identify.IdentifyStage            the clip that each row is about
        |   held already, same labels       left alone
        |   held already, other labels      refused; with `update` its shard is written again
        |   removed earlier                 left out, unless `restore`
        | prepare.PrepareStage              new clips only
        | GrowingPlan.split, layout.lay_out groups stay whole, on the side where they are
        | AppendStage, RewriteStage         shards that wait
        v
    conclude.conclude                       index, manifest, card; all takes its place at once
"""

from __future__ import annotations

import json
import os
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from emovid_dataset.builder.append_settings import AppendSettings
from emovid_dataset.builder.commit import changing, waiting
from emovid_dataset.builder.conclude import conclude, shard_number
from emovid_dataset.builder.growing_plan import REMOVED, GrowingPlan
from emovid_dataset.builder.held import clips_of, refuse_damaged
from emovid_dataset.builder.held_looks import held_duplicates
from emovid_dataset.builder.identify import IdentifyStage
from emovid_dataset.builder.join import join_clips
from emovid_dataset.builder.label_changes import LabelChange, change_of
from emovid_dataset.builder.layout import lay_out
from emovid_dataset.builder.listings import line_of
from emovid_dataset.builder.plan import Laid
from emovid_dataset.builder.prepare import STAGING_FOLDER, PrepareStage, plan_units
from emovid_dataset.builder.problems import find_problems
from emovid_dataset.builder.rewrite import RewriteStage, ShardChange, clip_of
from emovid_dataset.builder.set_aside import LEFT_OUT
from emovid_dataset.builder.shards import WritePart, WriteStage
from emovid_dataset.builder.sheet import Rejection, SheetOptions, printable
from emovid_dataset.builder.sheet.paths import raw_files, unlabelled
from emovid_dataset.builder.sheet.read import read_sheet
from emovid_dataset.engine import Executor, Ledger, Record, executor, records, run_stage
from emovid_dataset.media.video_settings import VideoSettings
from emovid_dataset.read.manifest import read_manifest
from emovid_dataset.read.removed import read_removed
from emovid_dataset.report.problems import EMPTY, PROBLEMS_NAME, Problem, ProblemClip, Suspect
from emovid_dataset.schema.benchmark import LeftOut
from emovid_dataset.schema.damage import Damaged
from emovid_dataset.schema.manifest import (
    DAMAGED_NAME,
    LEFT_OUT_NAME,
    LISTS,
    NONE_NAME,
    REJECTED_NAME,
    REMOVED_NAME,
    Manifest,
    ShardRecord,
)
from emovid_dataset.schema.no_emotion import NoEmotion
from emovid_dataset.schema.removed import removed_lines
from emovid_dataset.store import Lease, Store


@dataclass(frozen=True, slots=True)
class AppendReport:
    """What an append did.

    Attributes:
        manifest: of the build as it is now.
        added: clips by (content type, emotion, split) that are new.
        updated: ids of clips that have other fields now, or stand in another shard.
        held: rows whose clips were there already, as they are.
        removed_before: ids of clips that the sheet names and that were removed earlier; they were left out.
        rejections: refused rows of this sheet, in its order.
        damaged: new clips of whose source a part is damaged.
        problems: of the new clips, those that resemble clips of the build among them; see docs/problems.md.
        unlabelled: video files below the raw folder that the sheet does not name.
        remarks: what a person should know of how the sheet was read, a line each.
        shards: new ones.
        rewritten: shards that were written again.
        seconds: wall time.
    """

    manifest: Manifest
    added: Counter[tuple[str, str, str]]
    updated: tuple[str, ...]
    held: int
    removed_before: tuple[str, ...]
    rejections: tuple[Rejection, ...]
    damaged: tuple[Damaged, ...]
    problems: tuple[Problem, ...]
    unlabelled: tuple[str, ...]
    remarks: tuple[str, ...]
    shards: tuple[str, ...]
    rewritten: tuple[str, ...]
    seconds: float


class AppendStage(WriteStage):
    """Writes new shards, to wait beside the build until they take their places."""

    def run(self, state: None, part: WritePart, store: Store) -> Iterator[Record]:
        """Write one."""
        yield from self.write(part, store, waiting(store))

    def is_whole(self, part: WritePart, records: Iterable[Record], store: Store) -> bool:
        """Whether the shard still waits."""
        return super().is_whole(part, records, waiting(store))


def append(
    raw: str | os.PathLike[str],
    labels: str | os.PathLike[str] | None,
    build: str | os.PathLike[str],
    *,
    sheet: SheetOptions = SheetOptions(),
    settings: AppendSettings = AppendSettings(),
    update: bool = False,
    restore: bool = False,
    engine: str | Executor = "processes",
    workers: int | None = None,
    progress: bool = False,
) -> AppendReport:
    """Add the clips of a label sheet that a build does not hold yet.

    Interrupted before it is done, the build is what it was, and the same call goes on from there.

    Args:
        raw: the source files: a folder, or a URL that fsspec reads.
        labels: label sheet with new rows, beside those of the build or alone.
        build: its folder or URL.
        sheet: how the label sheet is read.
        settings: those that the build must have; None of them is taken from the build.
        update: write clips again whose row says something else than the build, with their shards only.
        restore: take clips in again that were removed.
        engine: "processes", "serial" (all in this process), "ray", or an `Executor`.
        workers: processes, None for one per core.
        progress: show progress on stderr.

    Returns:
        `AppendReport`.

    Raises:
        ValueError: the build has other settings, is damaged or is being changed by another process; or a row
            says something else of a clip than the build, and `update` is false.
        FileNotFoundError: there is no such build, raw folder or sheet.
        OSError: the build cannot be written.
    """
    started = time.monotonic()
    runner = executor(engine, workers) if isinstance(engine, str) else engine
    source, place = raw_files(raw, sheet.allow_roots), Store.at(build)
    remarks: list[str] = []
    with changing(place) as turn, runner:
        manifest = read_manifest(place)
        sheet = settings.check(manifest, sheet, place.name)
        with GrowingPlan(manifest, keep_none=settings.keeps_none(manifest)) as plan:
            with plan.writing():
                for row in read_sheet(
                    labels, source, options=sheet, tell=remarks.append, fields=plan.features
                ):
                    plan.add(row)
            settings.check_features(manifest, plan.features, place.name)
            plan.features = dict(manifest.features)
            plan.settle(sheet.min_agreement)
            without_label = tuple(unlabelled(source, plan.knows))
            refuse_damaged(place, manifest, manifest.all_shards, executor=runner, progress=progress)
            grown = _Growth(source, place, turn.lease, manifest, plan, runner, progress)
            grown.identify()
            settings.check_benchmark(manifest, plan, place.name)
            changes = grown.meet(restore=restore)
            if changes and not update:
                raise ValueError(_refusal(changes))
            manifest, new, rewritten = grown.write(changes, restore=restore)
            return AppendReport(
                manifest=manifest,
                added=_counted(new, plan, grown.moved),
                updated=tuple(sorted(change.row["id"] for change in changes)),
                held=grown.held,
                removed_before=tuple(grown.removed_before),
                rejections=tuple(plan.rejections()),
                damaged=tuple(plan.damaged()),
                problems=tuple(grown.problems),
                unlabelled=without_label,
                remarks=tuple(remarks),
                shards=tuple(new),
                rewritten=tuple(rewritten),
                seconds=time.monotonic() - started,
            )


def _refusal(changes: Sequence[LabelChange]) -> str:
    more = f"; and {len(changes) - 1} more clips differ" if len(changes) > 1 else ""
    return f"{changes[0]}{more}; --update writes them again, with their shards only"


def _counted(
    new: Iterable[str], plan: GrowingPlan, moved: Iterable[LabelChange]
) -> Counter[tuple[str, str, str]]:
    """New clips by content type, emotion and split, without those that came from another shard."""
    counts = plan.counts()
    for change in moved:
        split = plan.split_of(change.row["id"])
        if split is not None:
            counts[change.row["content_type"], change.row["emotion"], split] -= 1
    return +counts


class _Growth:
    """One append, step by step."""

    def __init__(
        self,
        raw: Store,
        build: Store,
        lease: Lease,
        manifest: Manifest,
        plan: GrowingPlan,
        runner: Executor,
        progress: bool,
    ) -> None:
        self.raw, self.build, self.lease, self.manifest, self.plan = raw, build, lease, manifest, plan
        self.runner, self.progress = runner, progress
        self.removed = read_removed(build)
        self.lists = {name: build.read(name) if build.exists(name) else b"" for name in LISTS}
        self.removed_before: list[str] = []
        self.restored: set[str] = set()
        self.moved: list[LabelChange] = []
        self.families: list[tuple[int, ...]] = []
        self.alike: dict[int, Suspect] = {}
        self.contested: list[tuple[ProblemClip, str]] = []
        self.problems: list[Problem] = []
        self.held = 0
        self.every, self.video = manifest.every or 0, VideoSettings(**manifest.video)

    def identify(self) -> None:
        """Find out which clip each row is about."""
        plan = self.plan
        with plan.writing():
            plan.note_names()
            for shard, clips in clips_of(self.build, self.manifest.all_shards):
                plan.hold(shard, clips)
            for line in self.lists[LEFT_OUT_NAME].splitlines():
                entry = json.loads(line)
                plan.know(entry["id"], LEFT_OUT, entry["group"])
            for key in self.removed:
                plan.know(key, REMOVED)
        plan_units(plan, self.raw, self.every)
        stage = IdentifyStage(self.raw, plan, self.every, self.video.max_seconds)
        total = plan.count("labels")
        run_stage(stage, self.build, executor=self.runner, progress=self.progress, total=total)
        with plan.writing():
            for record in records(stage, self.build):
                plan.identify(record)

    def meet(self, *, restore: bool) -> list[LabelChange]:
        """Settle the rows whose clips are known; the others are new.

        Returns:
            How rows differ from the clips that the build holds.
        """
        plan, changes = self.plan, []
        settled: list[int] = []
        with plan.writing():
            for label, key, why in list(plan.known()):
                if why == REMOVED and restore:
                    self.restored.add(key)
                    continue
                settled.append(label.row)
                if why == REMOVED:
                    self.removed_before.append(key)
            for rows, clip in plan.met():
                chosen = next((row for row in rows if clip.row["source"] in (row.source, row.path)), rows[0])
                for row in rows:
                    settled.append(row.row)
                    if row is not chosen:
                        reason = f"has the same content as row {chosen.row}"
                        plan.reject(Rejection(row.row, printable(row.path), reason))
                change = change_of(chosen, clip, self.manifest)
                if change is None:
                    self.held += 1
                else:
                    changes.append(change)
            plan.start_afresh(settled)
            plan.refuse_torn()
        return sorted(changes, key=lambda change: change.label.row)

    def write(
        self, changes: Sequence[LabelChange], *, restore: bool
    ) -> tuple[Manifest, list[str], list[str]]:
        """Prepare what is new, write it and what has changed, and bring the index in line.

        Returns:
            The new manifest, and the paths of new and of changed shards.
        """
        plan, build, manifest = self.plan, self.build, self.manifest
        plan_units(plan, self.raw, self.every, self.video)
        preparing = PrepareStage(self.raw, plan, self.every, self.video)
        run_stage(preparing, build, executor=self.runner, progress=self.progress, total=plan.count_kept())
        with plan.writing():
            for record in records(preparing, build):
                plan.add_prepared(record)
            self.contested = join_clips(plan)
            plan.check_new()
        self.families, self.alike = held_duplicates(plan, build, executor=self.runner, progress=self.progress)
        with plan.writing():
            of_shards = self._update(changes)
        plan.split(manifest.split_ratios, manifest.seed)
        lay_out(
            plan,
            shard_size=manifest.shard_size,
            seed=manifest.seed,
            content_types=manifest.content_types,
            after=_next_numbers(manifest),
        )
        lists = self._lists(changes)
        if not plan.count("shards") and not of_shards and lists == self.lists:
            return manifest, [], []
        writing = AppendStage(self.raw, plan)
        run_stage(writing, build, executor=self.runner, progress=self.progress, total=plan.count("shards"))
        kept = [change for change in of_shards if not change.is_empty]
        rewriting = RewriteStage(build, manifest, kept)
        if kept:
            run_stage(rewriting, build, executor=self.runner, progress=self.progress, total=len(kept))
        added = list(_written(writing, build))
        done = conclude(
            build,
            manifest,
            lease=self.lease,
            rewriting=rewriting,
            emptied=[change.shard for change in of_shards if change.is_empty],
            added=added,
            lists=lists,
        )
        return done, [shard.path for shard, _ in added], [change.shard.path for change in kept]

    def _update(self, changes: Sequence[LabelChange]) -> list[ShardChange]:
        """Let clips stay in their shards with other fields, or go into new ones.

        Returns:
            What changes in each shard.
        """
        dropped: dict[str, set[str]] = defaultdict(set)
        replaced: dict[str, dict[str, str]] = defaultdict(dict)
        for change in changes:
            clip, plan = change.clip, self.plan
            try:
                changed = clip_of(change.row, self.manifest)
            except ValueError as error:
                raise ValueError(f"{clip.id} ({change.label.path}): {error}") from error
            if not change.moves:
                replaced[clip.shard][clip.id] = changed.to_json(self.manifest.features)
                plan.change_held(clip, change.row)
                continue
            dropped[clip.shard].add(clip.id)
            plan.change_held(clip, None)
            plan.put_back(change.label)
            self.moved.append(change)
            if change.row["emotion"] is not None or plan.keep_none:
                staged = f"{STAGING_FOLDER}/{change.row['id']}.mp4"
                self.build.put(staged, self.build.range(clip.shard, clip.start, clip.start + clip.size))
                plan.add_clip(change.label.row, Laid(changed, clip.size, staged, False), change.split)
        return [
            ShardChange(shard, frozenset(dropped[shard.path]), replaced[shard.path])
            for shard in self.manifest.all_shards
            if shard.path in dropped or shard.path in replaced
        ]

    def _lists(self, changes: Sequence[LabelChange]) -> dict[str, bytes]:
        """The lists beside the shards: of earlier sheets what this one does not speak of, then its own."""
        plan, moved = self.plan, {change.clip.id for change in self.moved}

        def is_old(name: str, line: bytes) -> bool:
            entry = json.loads(line)
            if name == REJECTED_NAME:
                return not plan.is_named(entry["path"])
            if name == NONE_NAME and entry["id"] is None:
                start = -1 if entry["start"] is None else entry["start"]
                return not plan.is_named(entry["path"], start, -1 if entry["end"] is None else entry["end"])
            return entry["id"] not in moved

        new: dict[str, Iterable[Rejection | NoEmotion | LeftOut | Damaged]] = {
            REJECTED_NAME: plan.rejections(),
            NONE_NAME: plan.without_emotion(),
            LEFT_OUT_NAME: plan.left_out(),
            DAMAGED_NAME: plan.damaged(),
        }
        lists = {
            name: b"".join(
                [
                    *(line for line in self.lists[name].splitlines(keepends=True) if is_old(name, line)),
                    *map(line_of, entries),
                ]
            )
            for name, entries in new.items()
        }
        left = (entry for key, entry in sorted(self.removed.items()) if key not in self.restored)
        self.problems = find_problems(plan, self.families, self.contested, (), self.alike)
        return {
            **lists,
            REMOVED_NAME: removed_lines(left),
            PROBLEMS_NAME: b"".join([*self._earlier_problems(), *map(line_of, self.problems)]),
        }

    def _earlier_problems(self) -> Iterator[bytes]:
        """What was listed before, but for splits that are no longer empty."""
        filled = {split for _, _, split in self.plan.counts()}
        for line in self.lists[PROBLEMS_NAME].splitlines(keepends=True):
            entry = json.loads(line)
            if entry["problem"] != EMPTY or entry["detail"] not in filled:
                yield line


def _next_numbers(manifest: Manifest) -> Mapping[tuple[str, str], int]:
    """By content type and split the number of the next shard."""
    numbers: dict[tuple[str, str], int] = {}
    for shard in manifest.all_shards:
        part = shard.content_type, shard.split
        numbers[part] = max(numbers.get(part, 0), shard_number(shard.path) + 1)
    return numbers


def _written(stage: AppendStage, build: Store) -> Iterator[tuple[ShardRecord, Iterator[Record]]]:
    """The new shards, each with its clips, which are read when they are asked for."""
    ledger = Ledger(build, stage.ledger)
    for part in stage.parts(build):
        shard = ShardRecord(**next(iter(ledger.read(part.key)))["shard"])
        yield shard, (record for record in ledger.read(part.key) if "clip" in record)
