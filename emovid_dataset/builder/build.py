"""Build a dataset: labels -> prepared clips -> splits -> shards -> index, resumable at any moment.

::

    raw folder, label sheet
        | corpus.read_labels            rows, refusals
        | prepare.prepare               one unit a source file, by processes; journalled
        | splits.split_groups
        | shards.plan_shards            everything is known before a byte is written
        | shards.write_shard            one shard a process; recorded in manifest.json
        v
    metadata/, rejected.jsonl, _info.json, README.md, manifest.json with complete = true

What is under way stands in `.build/` inside the output folder, and goes when the build is done.
"""

from __future__ import annotations

import errno
import hashlib
import json
import multiprocessing
import os
import shutil
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar

from emovid_dataset import __version__
from emovid_dataset.builder.prepare import Outcome, Prepared, Refused, Unit, plan_units, prepare
from emovid_dataset.builder.shards import (
    PlannedClip,
    ShardPlan,
    plan_shards,
    verify_index,
    verify_shard,
    write_metadata,
    write_shard,
)
from emovid_dataset.builder.sheet import Label, Rejection, printable, read_labels, unlabelled
from emovid_dataset.builder.splits import DEFAULT_RATIOS, split_groups
from emovid_dataset.locks import hold
from emovid_dataset.schema.clip import Clip
from emovid_dataset.schema.emotions import EMOTIONS
from emovid_dataset.schema.manifest import (
    CARD_NAME,
    DATA_FOLDER,
    INFO_NAME,
    MANIFEST_NAME,
    METADATA_FOLDER,
    REJECTED_NAME,
    Manifest,
    ShardRecord,
    write_atomic,
)
from emovid_dataset.terminal import Progress

WORK_FOLDER = ".build"
_OWN_NAMES = {DATA_FOLDER, METADATA_FOLDER, MANIFEST_NAME, INFO_NAME, CARD_NAME, REJECTED_NAME, WORK_FOLDER}
_IN_FLIGHT = 4  # tasks given out per process: enough to keep it busy, few enough to hold in memory

Task = TypeVar("Task")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class BuildReport:
    """What a build did.

    Attributes:
        manifest: of the finished build.
        rejections: refused rows, in the sheet's order.
        unlabelled: video files below the raw folder that the sheet does not name.
        counts: clips by (content type, emotion, split).
        reused: whether the folder held this finished build already.
        seconds: wall time.
    """

    manifest: Manifest
    rejections: tuple[Rejection, ...]
    unlabelled: tuple[str, ...]
    counts: Counter[tuple[str, str, str]]
    reused: bool
    seconds: float


def build(
    raw: str | os.PathLike[str],
    labels: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    workers: int | None = None,
    shard_size: int = 256_000_000,
    ratios: tuple[float, float, float] = DEFAULT_RATIOS,
    seed: int = 0,
    frames: int = 16,
    overwrite: bool = False,
    notes: Sequence[str] = (),
    progress: bool = False,
) -> BuildReport:
    """Build sharded EmoVid from a folder of videos and a label sheet.

    Run again after an interruption, it goes on where it was; the result is the same to the byte as that of
    an undisturbed run, for any number of processes.

    Args:
        raw: folder of the source files.
        labels: label sheet, see `corpus.read_labels`.
        out: folder to write; new, empty, or an unfinished build of the same input.
        workers: processes, None for one per core.
        shard_size: bytes aimed at for a shard.
        ratios: shares of train, validation and test.
        seed: of splits and order.
        frames: frames a clip that the attributes are computed on.
        overwrite: remove what an earlier build wrote there, and nothing else.
        notes: sentences about this corpus for the card.
        progress: show progress on stderr.

    Returns:
        `BuildReport`.

    Raises:
        FileNotFoundError: the raw folder or the sheet does not exist.
        ValueError: an argument is out of range, the sheet cannot be read, `out` holds something else, or
            no clip could be used.
        OSError: `out` cannot be written, or is full.
    """
    started = time.monotonic()
    raw, sheet, out = Path(raw), Path(labels), Path(out)
    _check_arguments(workers, shard_size, frames)
    accepted, rejections = read_labels(sheet, raw)
    without_label = unlabelled(raw, accepted, rejections)
    units = list(plan_units(raw, accepted, frames))
    settings = _settings(units, accepted, rejections, shard_size, ratios, seed, frames, notes)
    newest = max((unit.mtime_ns for unit in units), default=0)
    if _claim(out, settings, newest, overwrite):
        manifest = Manifest.read(out)
        counts = _counts(out, manifest)
        seconds = time.monotonic() - started
        return BuildReport(
            manifest, tuple(_read_rejections(out)), tuple(without_label), counts, True, seconds
        )
    work = out / WORK_FOLDER
    with _lock(work), _workers(workers) as pool:
        write_atomic(work / "settings.json", settings.encode())
        staging = work / "clips"
        staging.mkdir(exist_ok=True)
        outcomes = _prepare_all(pool, units, raw, staging, work / "prepared.jsonl", progress)
        planned, refused = _join(accepted, outcomes, raw, staging)
        rejections = sorted([*rejections, *refused])
        write_atomic(out / REJECTED_NAME, "".join(_line(rejection) for rejection in rejections).encode())
        if not planned:
            reason = (
                f"row {rejections[0].row}: {rejections[0].reason}" if rejections else "the sheet is empty"
            )
            raise ValueError(f"no clip could be used; {reason}")
        splits = split_groups(
            [item.clip.group for item in planned],
            [(item.clip.content_type, item.clip.emotion) for item in planned],
            ratios=ratios,
            seed=seed,
        )
        plans = plan_shards(planned, splits, shard_size=shard_size, seed=seed)
        manifest = Manifest(
            version=__version__,
            seed=seed,
            frames=frames,
            split_ratios=ratios,
            shard_size=shard_size,
            source_digest=_source_digest(planned, rejections),
            settings_digest=_settings_digest(settings),
            rejected=len(rejections),
            complete=False,
        )
        manifest = _write_all(pool, plans, out, manifest, progress)
        shutil.rmtree(out / METADATA_FOLDER, ignore_errors=True)
        write_metadata(plans, out)
        _finish(out, manifest, notes)
        manifest = replace(manifest, complete=True)
        manifest.write(out)
        counts = Counter(
            (item.clip.content_type, item.clip.emotion, plan.split) for plan in plans for item in plan.clips
        )
    shutil.rmtree(work)
    return BuildReport(
        manifest, tuple(rejections), tuple(without_label), counts, False, time.monotonic() - started
    )


def verify(
    folder: str | os.PathLike[str],
    *,
    decode: bool = False,
    workers: int | None = None,
    progress: bool = False,
) -> list[str]:
    """Check a build: manifest, hashes, members, JSON types, offsets, counts, splits, card.

    Args:
        folder: a build.
        decode: decode every clip too and compare frames, size and sound with what it claims.
        workers: processes, None for one per core.
        progress: show progress on stderr.

    Returns:
        Violations, one line each; empty when all is well.
    """
    folder = Path(folder)
    try:
        manifest = Manifest.read(folder)
    except (ValueError, OSError) as error:
        return [" ".join(str(error).split())]
    found: dict[str, list[str]] = {}
    samples: dict[str, list[Any]] = {}
    with _workers(workers) as pool, Progress(len(manifest.shards), unit="shards", title="verify") as bar:
        bar.enabled = progress
        tasks = [(shard, folder, decode) for shard in manifest.shards]
        for (shard, _, _), result in pool.map(_verify_one, tasks):
            if isinstance(result, BaseException):
                found[shard.path] = [f"{shard.path}: {result}"]
            else:
                found[shard.path], samples[shard.path] = result
            bar.update(1, shard.size)
    ordered = {shard.path: samples.get(shard.path, []) for shard in manifest.shards}
    lines = [line for shard in manifest.shards for line in found[shard.path]]
    return lines + verify_index(folder, manifest, ordered)


def _check_arguments(workers: int | None, shard_size: int, frames: int) -> None:
    if workers is not None and workers < 1:
        raise ValueError(f"workers is {workers}; it must be at least 1")
    if shard_size < 1:
        raise ValueError(f"shard_size is {shard_size}; it must be at least 1 byte")
    if not 1 <= frames <= 1024:
        raise ValueError(f"frames is {frames}; it must be 1..1024")


# the output folder


def _settings(
    units: Sequence[Unit],
    labels: Sequence[Label],
    rejections: Sequence[Rejection],
    shard_size: int,
    ratios: tuple[float, float, float],
    seed: int,
    frames: int,
    notes: Sequence[str],
) -> str:
    """What must be equal for an interrupted build to go on: the input and every setting."""
    digest = hashlib.sha256()
    for item in (*(replace(unit, mtime_ns=0) for unit in units), *labels, *rejections):
        digest.update(repr(item).encode())
    settings = {
        "version": __version__,
        "input": digest.hexdigest(),
        "shard_size": shard_size,
        "split": ratios,
        "seed": seed,
        "frames": frames,
        "notes": list(notes),
    }
    return json.dumps(settings, indent=1) + "\n"


def _claim(out: Path, settings: str, newest: int, overwrite: bool) -> bool:
    """Make the folder ready; True when it holds this very build, finished after the newest source file."""
    if out.exists() and not out.is_dir():
        raise ValueError(f"out {out} is a file, not a folder")
    held = sorted(path.name for path in out.iterdir()) if out.exists() else []
    work = out / WORK_FOLDER
    is_ours = work.is_dir() or (out / MANIFEST_NAME).is_file()
    # a kill can leave a file that was about to be renamed
    ours = _OWN_NAMES | {f".{name}.tmp" for name in _OWN_NAMES}
    foreign = [name for name in held if name not in ours]
    if foreign or (held and not is_ours):
        raise ValueError(
            f"out {out} holds something else ({(foreign or held)[0]}); name a new or empty folder"
        )
    if is_ours and overwrite:
        if work.is_dir():
            with _lock(work):
                pass  # not while another process builds it
        for name in held:
            path = out / name
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    elif is_ours:
        finished = _finished(out)
        recorded = work / "settings.json"
        if finished is not None:
            same = finished.settings_digest == _settings_digest(settings)
            if not same or (out / MANIFEST_NAME).stat().st_mtime_ns < newest:
                raise ValueError(f"out {out} holds a build of other input or settings; give --overwrite")
            if work.is_dir():
                shutil.rmtree(work)
            return True
        if recorded.is_file() and recorded.read_text(encoding="utf-8") != settings:
            raise ValueError(
                f"out {out} holds an unfinished build of other input or settings; "
                "finish that one first, or give --overwrite"
            )
    out.mkdir(parents=True, exist_ok=True)
    work.mkdir(exist_ok=True)
    return False


def _settings_digest(settings: str) -> str:
    return hashlib.sha256(settings.encode()).hexdigest()


def _finished(out: Path) -> Manifest | None:
    try:
        return Manifest.read(out)
    except (ValueError, OSError):
        return None


@contextmanager
def _lock(work: Path) -> Iterator[None]:
    """Only one build at a time writes a folder; the lock goes with the process."""
    with (work / "lock").open("w") as file:
        try:
            hold(file)
        except BlockingIOError as error:
            raise ValueError(f"out {work.parent} is being built by another process") from error
        for stale in work.parent.rglob(".*.tmp"):
            stale.unlink(missing_ok=True)
        yield


# the processes


class _Pool:
    """Runs a function over tasks in processes, a few ahead; a crash costs its task, not the run."""

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self._executor = self._start(workers)

    @staticmethod
    def _start(workers: int) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(
            workers,
            mp_context=multiprocessing.get_context("spawn"),
            initializer=_watch,
            initargs=(os.getpid(),),
        )

    def map(
        self, function: Callable[[Task], Result], tasks: Iterable[Task]
    ) -> Iterator[tuple[Task, Result | BaseException]]:
        """Yield (task, result) as they are done; a BrokenProcessPool in place of a crashed task's result."""
        waiting = iter(tasks)
        running: dict[Future[Result], Task] = {}
        while True:
            try:
                while len(running) < self.workers * _IN_FLIGHT:
                    task = next(waiting)
                    running[_submit(self._executor, function, task)] = task
            except StopIteration:
                pass
            except BrokenProcessPool:
                waiting = chain([task], waiting)
                if not running:
                    self._restart()
                    continue
            if not running:
                return
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            lost: list[Task] = []
            for future in done:
                task = running.pop(future)
                try:
                    result = future.result()
                except BrokenProcessPool:
                    lost.append(task)
                    continue
                yield task, result
            if lost:
                lost += running.values()
                running.clear()
                self._restart()
                yield from self._one_by_one(function, lost)

    def _one_by_one(
        self, function: Callable[[Task], Result], tasks: Sequence[Task]
    ) -> Iterator[tuple[Task, Result | BaseException]]:
        executor = self._start(1)
        try:
            for task in tasks:
                try:
                    yield task, _submit(executor, function, task).result()
                except BrokenProcessPool as error:
                    executor.shutdown(wait=False)
                    executor = self._start(1)
                    yield task, error
        finally:
            executor.shutdown(wait=False, cancel_futures=True)

    def _restart(self) -> None:
        self._executor.shutdown(wait=False)
        self._executor = self._start(self.workers)

    def check(self) -> None:
        """Fail with the reason when processes cannot start at all, rather than blame the first files.

        Raises:
            RuntimeError: the calling script runs its build anew in every process that it starts.
        """
        try:
            _submit(self._executor, os.getpid).result()
        except BrokenProcessPool as error:
            raise RuntimeError(
                'processes do not start; a script must call this under `if __name__ == "__main__":`'
            ) from error

    def close(self) -> None:
        self._executor.shutdown(wait=False, cancel_futures=True)


@contextmanager
def _without_ctrl_c() -> Iterator[None]:
    """Processes started in here never see Ctrl-C, not even while they import; this one sees it after."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _submit(
    executor: ProcessPoolExecutor, function: Callable[..., Result], *arguments: Any
) -> Future[Result]:
    """Submit; a process that this starts never sees Ctrl-C."""
    with _without_ctrl_c():
        return executor.submit(function, *arguments)


@contextmanager
def _workers(count: int | None) -> Iterator[_Pool]:
    pool = _Pool(count or len(os.sched_getaffinity(0)))
    try:
        pool.check()
        yield pool
    finally:
        pool.close()


def _watch(parent: int) -> None:
    """End this process when its parent is gone, even killed."""

    def wait_for_parent() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=wait_for_parent, daemon=True).start()


def _prepare_one(task: tuple[Unit, Path, Path]) -> Outcome:
    return prepare(*task)


def _write_one(task: tuple[ShardPlan, Path]) -> ShardRecord:
    return write_shard(*task)


def _verify_one(task: tuple[ShardRecord, Path, bool]) -> tuple[list[str], list[Any]]:
    shard, folder, decode = task
    return verify_shard(shard, folder, decode=decode)


# the steps


def _prepare_all(
    pool: _Pool, units: Sequence[Unit], raw: Path, staging: Path, journal: Path, progress: bool
) -> list[Outcome]:
    done = _read_journal(journal, staging)
    outcomes = [done[unit.key()] for unit in units if unit.key() in done]
    total = sum(len(unit.segments) for unit in units)
    with journal.open("a", encoding="utf-8") as file, Progress(total, unit="clips", title="prepare") as bar:
        bar.enabled = progress
        bar.update(sum(len(outcome.clips) + len(outcome.refused) for outcome in outcomes))
        tasks = ((unit, raw, staging) for unit in units if unit.key() not in done)
        for (unit, _, _), result in pool.map(_prepare_one, tasks):
            if isinstance(result, BaseException):
                reason = "makes the decoder crash"
                refused = tuple(Refused(segment.row, reason) for segment in unit.segments)
                result = Outcome(unit.key(), (), refused)
            file.write(json.dumps(result.to_record()) + "\n")
            file.flush()
            outcomes.append(result)
            bar.update(len(unit.segments), unit.size)
        os.fsync(file.fileno())
    return outcomes


def _read_journal(journal: Path, staging: Path) -> dict[str, Outcome]:
    """The units that are done: whole lines whose staged clips are there."""
    done: dict[str, Outcome] = {}
    if not journal.exists():
        return done
    data = journal.read_bytes()
    whole = data[: data.rfind(b"\n") + 1]
    if len(whole) < len(data):
        with journal.open("r+b") as file:
            file.truncate(len(whole))
    for line in whole.splitlines():
        outcome = Outcome.from_record(json.loads(line))
        if all(_is_staged(clip, staging) for clip in outcome.clips):
            done[outcome.key] = outcome
    return done


def _is_staged(clip: Prepared, staging: Path) -> bool:
    path = staging / clip.staged_name()
    return clip.verbatim or (path.is_file() and path.stat().st_size == clip.size)


def _join(
    labels: Sequence[Label], outcomes: Sequence[Outcome], raw: Path, staging: Path
) -> tuple[list[PlannedClip], list[Rejection]]:
    """Put labels and prepared clips together; the same source twice is one clip."""
    prepared = {clip.row: clip for outcome in outcomes for clip in outcome.clips}
    reasons = {refused.row: refused.reason for outcome in outcomes for refused in outcome.refused}
    planned: list[PlannedClip] = []
    rejections: list[Rejection] = []
    first_row: dict[str, int] = {}
    for label in labels:
        clip = prepared.get(label.row)
        if clip is None:
            rejections.append(Rejection(label.row, printable(label.path), printable(reasons[label.row])))
            continue
        content = clip.id.partition("-")[2]
        if content in first_row:
            reason = f"has the same content as row {first_row[content]}"
            rejections.append(Rejection(label.row, printable(label.path), reason))
            continue
        record = _clip(label, clip)
        try:
            Clip.from_mapping(asdict(record))
        except ValueError as error:  # such as a frame rate beyond all sense
            rejections.append(Rejection(label.row, printable(label.path), printable(str(error))))
            continue
        first_row[content] = label.row
        video = raw / label.path if clip.verbatim else staging / clip.staged_name()
        planned.append(PlannedClip(record, video, clip.size))
    return planned, rejections


def _clip(label: Label, prepared: Prepared) -> Clip:
    whole = label.start is None
    return Clip(
        id=prepared.id,
        content_type=label.content_type,
        emotion=EMOTIONS[label.emotion],
        valence=label.emotion // 4,
        emotion_source=label.emotion_source,
        emotion_scores=label.emotion_scores,
        caption=label.caption,
        brightness=prepared.brightness,
        colorfulness=prepared.colorfulness,
        hue=prepared.hue,
        width=prepared.width,
        height=prepared.height,
        fps=prepared.fps,
        num_frames=prepared.num_frames,
        duration=prepared.duration,
        has_audio=prepared.has_audio,
        source=label.source or label.path,
        # segments of one film stay together unless the sheet says which of them belong together
        group=label.group or (prepared.id if whole else label.path),
        license=label.license,
        start=label.start,
        end=label.end,
        sha256=prepared.sha256,
    )


def _source_digest(planned: Sequence[PlannedClip], rejections: Sequence[Rejection]) -> str:
    digest = hashlib.sha256()
    for line in sorted(item.clip.to_json() for item in planned):
        digest.update(line.encode())
    for rejection in rejections:
        digest.update(_line(rejection).encode())
    return digest.hexdigest()


def _write_all(
    pool: _Pool, plans: Sequence[ShardPlan], out: Path, manifest: Manifest, progress: bool
) -> Manifest:
    digests = {plan.path: plan.digest() for plan in plans}
    done = _finished_shards(out, manifest, digests)
    records_file = out / WORK_FOLDER / "shards.json"
    with Progress(len(plans), unit="shards", title="write") as bar:
        bar.enabled = progress
        bar.update(len(done))

        def record() -> Manifest:
            write_atomic(records_file, json.dumps({path: digests[path] for path in done}).encode())
            shards = tuple(done[plan.path] for plan in plans if plan.path in done)
            current = replace(manifest, shards=shards)
            current.write(out)
            return current

        manifest = record()
        tasks = [(plan, out) for plan in plans if plan.path not in done]
        for (plan, _), result in pool.map(_write_one, tasks):
            if isinstance(result, BaseException):
                raise OSError(
                    errno.EIO, f"a process that wrote {plan.path} ended; run the same command again"
                )
            done[plan.path] = result
            manifest = record()
            bar.update(1, result.size)
    for path in sorted((out / DATA_FOLDER).rglob("*")):
        if path.is_file() and path.relative_to(out).as_posix() not in digests:
            path.unlink()  # of an earlier plan of this unfinished build, or of a process that outlived it
    return manifest


def _finished_shards(out: Path, manifest: Manifest, digests: dict[str, str]) -> dict[str, ShardRecord]:
    """Shards that an interrupted run of this very plan wrote and recorded."""
    records_file = out / WORK_FOLDER / "shards.json"
    try:
        recorded = json.loads(records_file.read_text(encoding="utf-8"))
        earlier = Manifest.from_json((out / MANIFEST_NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {
        shard.path: shard
        for shard in earlier.shards
        if shard.path in digests
        and recorded.get(shard.path) == digests[shard.path]
        and (out / shard.path).is_file()
        and (out / shard.path).stat().st_size == shard.size
    }


def _finish(out: Path, manifest: Manifest, notes: Sequence[str]) -> None:
    from emovid_dataset.report.card import info_json, render_card

    write_atomic(out / INFO_NAME, info_json(manifest).encode())
    write_atomic(out / CARD_NAME, render_card(manifest, out, notes=notes).encode())


def _line(rejection: Rejection) -> str:
    return json.dumps(asdict(rejection), ensure_ascii=False) + "\n"


def _read_rejections(out: Path) -> list[Rejection]:
    lines = (out / REJECTED_NAME).read_text(encoding="utf-8").splitlines()
    return [Rejection(**json.loads(line)) for line in lines]


def _counts(out: Path, manifest: Manifest) -> Counter[tuple[str, str, str]]:
    from pyarrow import parquet

    from emovid_dataset.schema.manifest import metadata_path

    counts: Counter[tuple[str, str, str]] = Counter()
    for content_type, split in {(shard.content_type, shard.split) for shard in manifest.shards}:
        path = out / metadata_path(content_type, split)
        for emotion in parquet.read_table(path, columns=["emotion"], partitioning=None)[
            "emotion"
        ].to_pylist():
            counts[content_type, emotion, split] += 1
    return counts
