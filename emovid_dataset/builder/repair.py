"""Mend a build: a damaged or missing shard is written again, or fetched from the build's Hub repo.

What is sound of a damaged shard is taken from it; what is not, from the source files. Whatever is put in its
place has the sha256 that the manifest names, or is not put there. Tables, `_info.json` and card follow from
the shards.
"""

from __future__ import annotations

import json
import os
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from emovid_dataset.builder.commit import changing
from emovid_dataset.builder.held import clips_of, damaged_shards, record_of
from emovid_dataset.builder.index import write_card, write_metadata
from emovid_dataset.builder.mend import MendPart, MendStage
from emovid_dataset.builder.sheet import Label, SheetOptions
from emovid_dataset.builder.sheet.paths import raw_files
from emovid_dataset.builder.sheet.read import read_sheet
from emovid_dataset.engine import Executor, Record, executor, records, run_stage
from emovid_dataset.media.video_settings import VideoSettings
from emovid_dataset.read.manifest import read_manifest
from emovid_dataset.read.shard import read_samples
from emovid_dataset.report.card import info_json
from emovid_dataset.schema.manifest import CARD_NAME, INFO_NAME, Manifest, ShardRecord, tables_of
from emovid_dataset.store import Store


@dataclass(frozen=True, slots=True)
class Mended:
    """A damaged file of a build.

    Attributes:
        path: of the file.
        wrong: what was wrong with it.
        reason: why it could not be mended; None where it was.
    """

    path: str
    wrong: str
    reason: str | None


@dataclass(frozen=True, slots=True)
class RepairReport:
    """What was found damaged, and what became of it.

    Attributes:
        files: that were damaged.
        shards: that were looked at.
        seconds: wall time.
    """

    files: tuple[Mended, ...]
    shards: int
    seconds: float

    @property
    def left(self) -> tuple[Mended, ...]:
        """Files that are still damaged."""
        return tuple(file for file in self.files if file.reason is not None)


def repair(
    build: str | os.PathLike[str],
    *,
    raw: str | os.PathLike[str] | None = None,
    labels: str | os.PathLike[str] | None = None,
    sheet: SheetOptions = SheetOptions(),
    repo: str | os.PathLike[str] | None = None,
    revision: str | None = None,
    token: str | bool | None = None,
    engine: str | Executor = "processes",
    workers: int | None = None,
    progress: bool = False,
) -> RepairReport:
    """Mend the damaged and missing files of a build.

    Args:
        build: its folder or URL.
        raw: the source files, for videos that are damaged themselves.
        labels: the label sheet that says which file a clip's `source` is; None takes `source` for the path.
        sheet: how the label sheet is read.
        repo: a Hub repo (``owner/name``) or another place that holds the same build.
        revision: branch, tag or commit of the repo.
        token: for a private repo.
        engine: "processes", "serial" (all in this process), "ray", or an `Executor`.
        workers: processes, None for one per core.
        progress: show progress on stderr.

    Returns:
        `RepairReport`.

    Raises:
        ValueError: `raw` and `repo` are both given, the build is unfinished, or another process is changing
            it.
        FileNotFoundError: there is no such build, raw folder, sheet or repo.
        OSError: the build cannot be written.
    """
    started = time.monotonic()
    if raw is not None and repo is not None:
        raise ValueError("raw and repo exclude each other: a shard is rebuilt or fetched")
    if raw is None and labels is not None:
        raise ValueError("labels need raw, the folder of the source files")
    runner = executor(engine, workers) if isinstance(engine, str) else engine
    place = Store.at(build)
    source = None if raw is None else raw_files(raw, sheet.allow_roots)
    other = None if repo is None else Store.find(repo, revision=revision, token=token)
    with changing(place), runner:
        manifest = read_manifest(place)
        found = damaged_shards(place, manifest.all_shards, executor=runner, progress=progress)
        damaged = [shard for shard in manifest.all_shards if shard.path in found]
        files = []
        if other is None:  # a shard is rebuilt of what its table says
            files += _mend_tables(place, manifest, found)
            lost = {file.path for file in files if file.reason is not None}
            parts = _parts(place, [shard for shard in damaged if shard.table not in lost])
            if source is not None:
                most = VideoSettings(**manifest.video).max_seconds
                parts = _with_sources(parts, labels, source, sheet, most)
        else:
            parts = [MendPart.of(shard) for shard in damaged]
        stage = MendStage(place, manifest, parts, raw=source, repo=other)
        run_stage(stage, place, executor=runner, progress=progress, total=len(parts))
        reasons = {record["path"]: record["wrong"] for record in records(stage, place)}
        for shard in damaged:
            reason = reasons.get(shard.path, f"{shard.table} is lost too; give --repo NAME")
            files.append(Mended(shard.path, found[shard.path], reason))
        if other is not None:
            still = {file.path: file.wrong for file in files if file.reason is not None}
            files += _mend_tables(place, manifest, still)
        files += _mend_card(place, manifest, [file for file in files if file.reason is not None])
    return RepairReport(tuple(files), len(manifest.all_shards), time.monotonic() - started)


def _parts(build: Store, shards: Sequence[ShardRecord]) -> list[MendPart]:
    return [MendPart.of(shard, clips) for shard, clips in clips_of(build, shards)]


def _with_sources(
    parts: Sequence[MendPart],
    labels: str | os.PathLike[str] | None,
    raw: Store,
    sheet: SheetOptions,
    most: float | None,
) -> list[MendPart]:
    """The same with the files that each clip may be made of.

    Args:
        parts: shards with their clips.
        labels, raw, sheet: as in `repair`.
        most: seconds to which longer stretches were cut; None where none were.
    """
    wanted: dict[tuple[str, float | None, float | None], list[str]] = defaultdict(list)
    for part in parts:
        for record in part.clips:
            row = record["clip"]
            wanted[row["source"], row["start"], row["end"]].append(row["id"])
    sources: dict[str, list[str]] = defaultdict(list)
    if labels is None:
        for (path, _, _), keys in wanted.items():
            for key in keys:
                sources[key].append(path)
    else:
        for row in read_sheet(labels, raw, options=sheet):
            if not isinstance(row, Label):
                continue
            begin = row.start or 0.0
            stretches = [(row.start, row.end)] + ([] if most is None else [(begin, begin + most)])
            for start, end in stretches:
                for key in wanted.get((row.source or row.path, start, end), ()):
                    sources[key].append(row.path)
    return [
        MendPart.of(
            part.shard,
            part.clips,
            {record["clip"]["id"]: tuple(sources.get(record["clip"]["id"], ())) for record in part.clips},
        )
        for part in parts
    ]


def _mend_tables(build: Store, manifest: Manifest, damaged: Iterable[str]) -> list[Mended]:
    """Write tables again that are missing or list other clips than their shards hold."""
    damaged, files = set(damaged), []
    for table, shards in tables_of(manifest.all_shards).items():
        try:
            for _ in clips_of(build, shards):
                pass
            continue
        except ValueError as error:
            wrong = (
                str(error)
                .partition(" is damaged: ")[2]
                .partition("; see ")[0]
                .removeprefix(table)
                .lstrip(": ")
            )
        lost = [shard.path for shard in shards if shard.path in damaged]
        reason = None
        if lost:
            reason = f"{lost[0]} is damaged too"
        else:
            write_metadata(build, _read(build, shards), manifest.features)
        files.append(Mended(table, wrong, reason))
    return files


def _read(build: Store, shards: Iterable[ShardRecord]) -> Iterator[Record]:
    """The clips of shards, as the shards themselves hold them."""
    for shard in shards:
        yield record_of(shard)
        with build.open(shard.path) as file:
            for _, members, offset in read_samples(file):
                yield {"clip": json.loads(members["json"]), "offset": offset, "size": len(members["mp4"])}


def _mend_card(build: Store, manifest: Manifest, left: Sequence[Mended]) -> list[Mended]:
    """Write `_info.json` again where it is not the manifest's, and the card where it is missing."""
    wrong = []
    if not build.exists(INFO_NAME) or build.read(INFO_NAME) != info_json(manifest).encode():
        wrong.append((INFO_NAME, "is missing or does not agree with the manifest"))
    if not build.exists(CARD_NAME):
        wrong.append((CARD_NAME, "is missing"))
    reason = f"{left[0].path} is damaged too" if left else None
    if any(name == CARD_NAME for name, _ in wrong) and not left:
        write_card(build, manifest, manifest.notes)
    elif wrong and not left:
        build.put(INFO_NAME, info_json(manifest).encode())
    return [Mended(name, what, reason) for name, what in wrong]
