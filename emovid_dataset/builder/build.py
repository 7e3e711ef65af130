"""Build a dataset: labels -> prepared clips -> splits -> shards -> index, resumable at any moment.

::

    label sheet, raw store
        | sheet.read.read_sheet            rows, refusals               -> Plan, a database on the disk
        | prepare.PrepareStage        clips, refusals              -> ledger, staging folder
        | Plan.split, layout.lay_out  everything is known before a shard is written
        | shards.WriteStage           shards                       -> ledger, data/
        v
    metadata/, none/, *.jsonl, _info.json, README.md, manifest.json with complete = true

What is under way stands in `.build/` in the build's store, and goes when the build is done. No step holds a
list of all clips: they stand in the plan and in the ledgers, and are read one after the other.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from emovid_dataset import __version__
from emovid_dataset.builder.claim import SETTINGS_NAME, claim, digest_of, only_one, settings_of
from emovid_dataset.builder.index import write_card, write_metadata
from emovid_dataset.builder.join import join_clips
from emovid_dataset.builder.layout import lay_out
from emovid_dataset.builder.listings import line_of, read_list, write_list
from emovid_dataset.builder.plan import Plan
from emovid_dataset.builder.prepare import WORK_FOLDER, PrepareStage, plan_units
from emovid_dataset.builder.problems import duplicates_in, find_problems, group_families
from emovid_dataset.builder.ratings import Ratings
from emovid_dataset.builder.shards import WriteStage
from emovid_dataset.builder.sheet import Rejection, SheetOptions
from emovid_dataset.builder.sheet.paths import raw_files, unlabelled
from emovid_dataset.builder.sheet.read import read_sheet
from emovid_dataset.builder.splits import DEFAULT_RATIOS, shortfalls
from emovid_dataset.engine import Executor, executor, records, run_stage
from emovid_dataset.media.video_settings import VideoSettings
from emovid_dataset.report.decoding_limit import DecodingLimit, decoding_limit
from emovid_dataset.report.problems import PROBLEMS_NAME, Problem, read_problems
from emovid_dataset.schema.benchmark import BENCHMARK, Benchmark, LeftOut
from emovid_dataset.schema.card_info import CardInfo
from emovid_dataset.schema.clip import SPLITS
from emovid_dataset.schema.damage import Damaged
from emovid_dataset.schema.emotions import MIKELS
from emovid_dataset.schema.file_names import DATA_FOLDER, METADATA_FOLDER
from emovid_dataset.schema.manifest import (
    DAMAGED_NAME,
    LEFT_OUT_NAME,
    MANIFEST_NAME,
    NONE_NAME,
    PAPER_CORPUS,
    REJECTED_NAME,
    Manifest,
    tables_of,
)
from emovid_dataset.schema.no_emotion import NONE, NoEmotion
from emovid_dataset.store import Store


@dataclass(frozen=True, slots=True)
class BuildReport:
    """What a build did.

    Attributes:
        manifest: of the finished build.
        rejections: refused rows, in the sheet's order.
        without_emotion: rows that say "no specific emotion", in the sheet's order; they are no refusals.
        left_out: clips in no split, because one of their group is in the benchmark.
        damaged: clips of whose source a part is damaged, in the sheet's order; they are no refusals.
        problems: clips that show or say nothing, are there twice, or stand out; see docs/problems.md.
        unlabelled: video files below the raw folder that the sheet does not name.
        remarks: what a person should know of how the sheet was read, a line each.
        ratings: how far its raters agree, and how many rows have a split of their own.
        counts: clips by (content type, emotion, split).
        reused: whether the folder held this finished build already.
        seconds: wall time.
        steps: seconds of each step of the build, in order.
        limit: how near preparing came to decoding alone; None where that is not known, as after an
            interruption.
    """

    manifest: Manifest
    rejections: tuple[Rejection, ...]
    without_emotion: tuple[NoEmotion, ...]
    left_out: tuple[LeftOut, ...]
    damaged: tuple[Damaged, ...]
    problems: tuple[Problem, ...]
    unlabelled: tuple[str, ...]
    remarks: tuple[str, ...]
    ratings: Ratings
    counts: Counter[tuple[str, str, str]]
    reused: bool
    seconds: float
    steps: Mapping[str, float] = field(default_factory=dict)
    limit: DecodingLimit | None = None

    @property
    def unmet(self) -> list[str]:
        """What of the asked-for shares the splits do not meet, one line each."""
        return [] if self.ratings.given else shortfalls(self.counts, self.manifest.split_ratios)


def build(
    raw: str | os.PathLike[str],
    labels: str | os.PathLike[str] | None,
    out: str | os.PathLike[str],
    *,
    sheet: SheetOptions = SheetOptions(),
    engine: str | Executor = "processes",
    workers: int | None = None,
    shard_size: int = 256_000_000,
    ratios: tuple[float, float, float] = DEFAULT_RATIOS,
    seed: int = 0,
    every: int = 20,
    benchmark: int | None = None,
    benchmark_ids: Sequence[str] | None = None,
    keep_none: bool = False,
    corpus: str | None = None,
    transcode: str = "needed",
    height: int | None = None,
    fps: float | None = None,
    crf: int = 18,
    max_seconds: float | None = None,
    group_duplicates: bool = False,
    info: CardInfo = CardInfo(),
    overwrite: bool = False,
    notes: Sequence[str] = (),
    progress: bool = False,
) -> BuildReport:
    """Build sharded EmoVid from a folder of videos and a label sheet.

    Run again after an interruption, it goes on where it was; the result is the same to the byte as that of
    an undisturbed run, for any engine and any number of workers.

    Args:
        raw: the source files: a folder, or a URL that fsspec reads.
        labels: label sheet, see `sheet.read.read_sheet`; None takes the labels from folders that are named
            after emotions.
        out: folder or bucket to write; new, empty, or an unfinished build of the same input.
        sheet: how the label sheet is read.
        engine: "processes", "serial" (all in this process), "ray", or an `Executor`.
        workers: processes, None for one per core.
        shard_size: bytes aimed at for a shard.
        ratios: shares of train, validation and test.
        seed: of splits and order.
        every: the attributes are computed on frames 0, `every`, 2 x `every` ... of a clip.
        benchmark: set so many clips per emotion and content type aside as the split "benchmark": those that
            at least three people labelled who all agreed. What else is in their groups is in no split.
        benchmark_ids: set these clips aside instead, whoever labelled them.
        keep_none: write the clips that show no specific emotion too, as shards in `none/`.
        corpus: "emovid" if this is the paper's corpus, which is restricted; its card says so.
        transcode: "needed" encodes what a shard cannot take as it is, pictures and sound each for themselves;
            "always" encodes everything; "never" refuses what would have to be encoded, segments too.
        height: reduce pictures of more lines to so many, an even number.
        fps: of clips with more frames per second take so many.
        crf: x264's constant rate factor of what is encoded, 0..51.
        max_seconds: cut longer clips to so many seconds from their beginning; `start` and `end` say so.
        group_duplicates: put near-duplicates into one group, so that they are never on two sides of a split.
        info: what the owner says of the data set, for its card.
        overwrite: remove what an earlier build wrote there, and nothing else.
        notes: sentences about this corpus for the card.
        progress: show progress on stderr.

    Returns:
        `BuildReport`.

    Raises:
        FileNotFoundError: the raw folder or the sheet does not exist.
        ValueError: an argument is out of range, the sheet cannot be read, `out` holds something else, no clip
            could be used, or `benchmark_ids` names one that is not there.
        OSError: `out` cannot be written, or is full.
    """
    started = time.monotonic()
    laps = _Laps()
    _check_arguments(shard_size, every, benchmark, benchmark_ids, corpus)
    video = VideoSettings(transcode, height, fps, crf, max_seconds)
    runner = executor(engine, workers) if isinstance(engine, str) else engine
    source, place = raw_files(raw, sheet.allow_roots), Store.at(out)
    remarks: list[str] = []
    taxonomy = sheet.labels.taxonomy
    if corpus is not None and taxonomy != MIKELS:
        raise ValueError(f"corpus {corpus!r} has Mikels' emotions, not those of {taxonomy.name!r}")
    with Plan(keep_none=keep_none, taxonomy=taxonomy) as plan:
        with plan.writing():
            for row in read_sheet(labels, source, options=sheet, tell=remarks.append, fields=plan.features):
                plan.add(row)
        ratings = plan.settle(sheet.min_agreement)
        if ratings.given and ratings.not_given:
            remarks.append(
                f"{ratings.not_given} rows give no split; they are shared out, or go with their group"
            )
        without_label = tuple(unlabelled(source, plan.knows))
        laps.end("sheet")
        plan_units(plan, source, every, video)
        settings = settings_of(
            plan,
            shard_size=shard_size,
            ratios=ratios,
            seed=seed,
            every=every,
            notes=notes,
            benchmark=benchmark if benchmark_ids is None else benchmark_ids,
            corpus=corpus,
            video=video,
            group_duplicates=group_duplicates,
            info=info,
        )
        finished = claim(place, settings, _newest(source, plan), overwrite=overwrite)
        if finished is not None:
            return BuildReport(
                manifest=finished,
                rejections=tuple(read_list(place, REJECTED_NAME, Rejection)),
                without_emotion=tuple(read_list(place, NONE_NAME, NoEmotion)),
                left_out=tuple(read_list(place, LEFT_OUT_NAME, LeftOut)),
                damaged=tuple(read_list(place, DAMAGED_NAME, Damaged)),
                problems=read_problems(place),
                unlabelled=without_label,
                remarks=tuple(remarks),
                ratings=ratings,
                counts=_counts(place, finished),
                reused=True,
                seconds=time.monotonic() - started,
            )
        laps.end("plan")
        being = f"out {place.folder or place.name} is being built"
        with only_one(place, being) as lease, runner:  # the same workers prepare and write
            place.put(SETTINGS_NAME, settings.encode())
            preparing = PrepareStage(source, plan, every, video)
            rows = run_stage(preparing, place, executor=runner, progress=progress, total=plan.count_kept())
            laps.end("prepare")
            lease.check()
            with plan.writing():
                for record in records(preparing, place):
                    plan.add_prepared(record)
                contested = join_clips(plan)
            families = duplicates_in(plan)
            if group_duplicates and families:
                with plan.writing():
                    remarks += group_families(plan, families)
            laps.end("join")
            with place.create(REJECTED_NAME) as file:
                for rejection in plan.rejections():
                    file.write(line_of(rejection))
            none_clips = write_list(place, NONE_NAME, plan.without_emotion())
            if not plan.count("unplaced") and not plan.count("placed"):
                raise ValueError(f"no clip could be used; {_why_none(plan)}")
            aside = None
            if benchmark is not None or benchmark_ids is not None:
                aside = _set_aside(plan, place, benchmark, benchmark_ids or (), seed)
            write_list(place, LEFT_OUT_NAME, plan.left_out())
            write_list(place, DAMAGED_NAME, plan.damaged())
            plan.split(ratios, seed)
            asked = [split for split, ratio in zip(SPLITS, ratios, strict=True) if ratio > 0]
            problems = find_problems(plan, families, contested, asked)
            write_list(place, PROBLEMS_NAME, problems)
            laps.end("split")
            shards = lay_out(plan, shard_size=shard_size, seed=seed, content_types=sheet.content_types)
            laps.end("lay out")
            manifest = Manifest(
                version=__version__,
                seed=seed,
                every=every,
                split_ratios=ratios,
                shard_size=shard_size,
                source_digest=_source_digest(plan),
                settings_digest=digest_of(settings),
                rejected=plan.count("rejections"),
                complete=False,
                notes=tuple(notes),
                corpus=corpus,
                video=video.changed(),
                info=info,
                benchmark=aside,
                none_clips=none_clips,
                taxonomy=taxonomy,
                content_types=sheet.content_types,
                features=plan.features,
                split_names=SPLITS if aside is None else (*SPLITS, BENCHMARK),
            )
            place.put(MANIFEST_NAME, manifest.to_json().encode())
            writing = WriteStage(source, plan)
            run_stage(writing, place, executor=runner, progress=progress, total=shards)
            laps.end("write")
            lease.check()
            place.clear(METADATA_FOLDER)
            written = write_metadata(place, records(writing, place), plan.features)
            manifest = manifest.with_shards(shard for shard in written if shard.split != NONE)
            manifest = replace(manifest, none_shards=tuple(shard for shard in written if shard.split == NONE))
            _remove_strays(place, manifest)
            write_card(place, manifest, notes)
            manifest = replace(manifest, complete=True)
            lease.check()
            place.put(MANIFEST_NAME, manifest.to_json().encode())
        place.clear(WORK_FOLDER)
        laps.end("index")
        limit = None
        if not rows.reused:
            taken = laps.seconds["prepare"]
            limit = decoding_limit("prepare", place, manifest, runner, seconds=taken)
        return BuildReport(
            manifest=manifest,
            rejections=tuple(plan.rejections()),
            without_emotion=tuple(plan.without_emotion()),
            left_out=tuple(plan.left_out()),
            damaged=tuple(plan.damaged()),
            problems=tuple(problems),
            unlabelled=without_label,
            remarks=tuple(remarks),
            ratings=ratings,
            counts=plan.counts(),
            reused=False,
            seconds=time.monotonic() - started,
            steps=laps.seconds,
            limit=limit,
        )


CLOCK = time.monotonic
"""Tells how long a step took; a benchmark that shares its machine takes the processor's time."""


class _Laps:
    """How long each step took."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._begun = CLOCK()

    def end(self, step: str) -> None:
        """End a step; the next one begins."""
        now = CLOCK()
        self.seconds[step], self._begun = now - self._begun, now


def _check_arguments(
    shard_size: int,
    every: int,
    benchmark: int | None,
    benchmark_ids: Sequence[str] | None,
    corpus: str | None,
) -> None:
    if shard_size < 1:
        raise ValueError(f"shard_size is {shard_size}; it must be at least 1 byte")
    if every < 1:
        raise ValueError(f"every is {every}; it must be 1 or more")
    if benchmark is not None and benchmark < 1:
        raise ValueError(f"benchmark is {benchmark}; it must be 1 or more, or None")
    if benchmark is not None and benchmark_ids is not None:
        raise ValueError("benchmark and benchmark_ids exclude each other")
    if benchmark_ids is not None:
        twice = [key for key, count in Counter(benchmark_ids).items() if count > 1]
        if twice:
            raise ValueError(f"benchmark_ids names {twice[0]!r} twice")
        if not benchmark_ids:
            raise ValueError("benchmark_ids is empty; leave it out, or name a clip")
    if corpus not in (None, PAPER_CORPUS):
        raise ValueError(f"corpus is {corpus!r}; allowed: {PAPER_CORPUS!r} or None")


def _newest(raw: Store, plan: Plan) -> int:
    """When the newest source file changed, in nanoseconds; elsewhere than on a disk nobody can say."""
    if raw.folder is None:
        return 0
    newest, now = 0, time.time_ns()
    for name, _ in plan.files():
        with raw.local(name) as path:
            found = path.stat()
        # a file of the future was dated by another clock; when it came here, this one's knows
        newest = max(newest, next((t for t in (found.st_mtime_ns, found.st_ctime_ns) if t <= now), 0))
    return newest


def _why_none(plan: Plan) -> str:
    """Why a sheet gives no clip that shows an emotion."""
    first = next(plan.rejections(), None)
    if first is not None:
        return f"row {first.row}: {first.reason}"
    return "every row says no specific emotion" if plan.count("labels") else "the sheet is empty"


def _set_aside(plan: Plan, place: Store, per_cell: int | None, ids: Sequence[str], seed: int) -> Benchmark:
    try:
        return plan.set_aside(per_cell, ids, seed)
    except ValueError:
        place.delete(SETTINGS_NAME)  # so that a better list goes on with what was prepared
        raise


def _source_digest(plan: Plan) -> str:
    digest = hashlib.sha256()
    for line in plan.clip_lines():
        digest.update(line.encode())
    for rejection in plan.rejections():
        digest.update(line_of(rejection))
    for row in plan.without_emotion():
        digest.update(line_of(row))
    return digest.hexdigest()


def _remove_strays(out: Store, manifest: Manifest) -> None:
    """Delete shards of an earlier plan of this unfinished build, or of a process that outlived it."""
    known = {shard.path for shard in manifest.all_shards}
    known |= set(tables_of(manifest.none_shards))
    for folder in (DATA_FOLDER, NONE):
        for name in list(out.list(folder)):
            if name not in known:
                out.delete(name)


def _counts(out: Store, manifest: Manifest) -> Counter[tuple[str, str, str]]:
    from pyarrow import parquet

    counts: Counter[tuple[str, str, str]] = Counter()
    for name, (first, *_) in manifest.tables().items():
        content_type, split = first.content_type, first.split
        with out.local(name) as path:
            for batch in parquet.ParquetFile(path).iter_batches(columns=["emotion"]):
                counts.update((content_type, emotion, split) for emotion in batch["emotion"].to_pylist())
    return counts
