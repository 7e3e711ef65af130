"""From the videos of many systems to one result: every judge judges every system and the real clips.

Judging goes through `judge_videos`, so what an earlier run has judged is not judged again.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from emovid_dataset.engine import Executor
from emovid_dataset.schema.taxonomy import Taxonomy
from emovid_dataset.store import joined, without_credentials
from emovid_models.annotator.items import Item, find_items
from emovid_models.evaluation.intended import Intended, read_intended
from emovid_models.evaluation.judge import Judge, Judged, judge_clips, judge_videos
from emovid_models.evaluation.result import (
    REAL,
    JudgeAnswer,
    JudgeRecord,
    PromptSet,
    RealClips,
    Result,
    System,
    Video,
)

MISSING = "the video is missing"
NOT_ASKED = "the system was not asked for it"

_BLOCK = 1 << 20
_LIBRARIES = (
    "emovid",
    "av",
    "numpy",
    "scipy",
    "opencv-python-headless",
    "torch",
    "torchvision",
    "torchmetrics",
    "transformers",
    "diffusers",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SystemVideos:
    """The videos of a system, ready to be judged.

    Attributes:
        name: of the system.
        folder: path or URL of its videos.
        intended: path or URL of the table of what they were asked for.
        identity: of the model that made them; None for videos that were given.
        base, loras, settings: as in `System`.
    """

    name: str
    folder: str
    intended: str
    identity: str | None = None
    base: str | None = None
    loras: tuple[str, ...] = ()
    settings: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class JudgeSource:
    """A judge that is loaded when it is its turn, so that one at a time is in memory.

    Attributes:
        source: what a table calls it: a folder's name or a Hub repo.
        load: loads it.
        is_miniature: says, once it is loaded, whether it is the miniature annotator.
    """

    source: str
    load: Callable[[], Judge]
    is_miniature: Callable[[], bool] = bool


@dataclass(frozen=True, slots=True)
class RealSource:
    """Real clips that no judge has seen.

    Attributes:
        build: its folder, URL or Hub repo.
        split: of the build.
    """

    build: str
    split: str = "test"


def judge_systems(
    systems: Sequence[SystemVideos],
    judges: Sequence[JudgeSource],
    out: str | os.PathLike[str],
    *,
    taxonomy: Taxonomy,
    real: RealSource | None = None,
    task: str | None = None,
    prompts: PromptSet | None = None,
    content_types: Mapping[str, str] | None = None,
    settings: Mapping[str, Any] | None = None,
    batch_size: int = 8,
    allow_missing: bool = False,
    engine: Executor | None = None,
    progress: bool = False,
) -> Result:
    """Judge the videos of many systems.

    Args:
        systems: at least one; all of them were asked for the same.
        judges: at least one.
        out: path or URL of the folder of the result; what was judged is kept there in ``judged``.
        taxonomy: the emotions of every judge.
        real: for the judges' own accuracy.
        task: "t2v" or "i2v", if known.
        prompts: that were asked for, if generated here.
        content_types: of the prompts, by the name of the generated file.
        settings: what else went in, such as the networks of its measures.
        batch_size: videos that a judge sees at once.
        allow_missing: count videos that are missing, or that a system was not asked for, as wrong, instead of
            refusing the system.
        engine: who judges, by default this process.
        progress: show progress on stderr.

    Returns:
        The result, not yet written.

    Raises:
        OSError: a folder, a table or a judge cannot be read.
        ValueError: a table is wrong, videos are missing, the systems were not asked for the same, or the
            judges do not have these emotions, or two of them are one.
    """
    tables = {one.name: read_intended(one.intended, taxonomy) for one in systems}
    requests = _requests(tables)
    _check_same(requests, allow_missing=allow_missing)
    items = {one.name: {item.key: item for item in find_items(one.folder)} for one in systems}
    digests = {
        one.name: {row.file: _sha256(items[one.name].get(row.file)) for row in tables[one.name]}
        for one in systems
    }
    # The content type of a generated video is known, and what was asked of the others is the same request.
    known = {
        request: (content_types or {})[row.file]
        for one in systems
        if one.base is not None
        for request, row in requests[one.name].items()
        if row.file in (content_types or {})
    }
    every = list(dict.fromkeys(request for rows in requests.values() for request in rows))
    asked = {request: rows[request] for rows in reversed(requests.values()) for request in rows}
    videos = [
        _video(one, request, requests[one.name].get(request), asked[request], digests[one.name], known, out)
        for one in systems
        for request in every
    ]
    judged, records, clips, shown = _judged(
        systems, judges, os.fspath(out), taxonomy, real, batch_size, allow_missing, engine, progress
    )
    return Result(
        systems=tuple(_system(one, digests[one.name], out) for one in systems),
        judges=tuple(records),
        videos=tuple(_answered(video, judged) for video in videos),
        real=tuple(_answered(video, judged) for video in clips),
        taxonomy=taxonomy,
        task=task,
        prompts=prompts,
        clips=shown,
        settings={"allow_missing": allow_missing, **(settings or {})},
        versions=library_versions(),
    )


def library_versions() -> dict[str, str]:
    """The versions of this package and of the libraries that the numbers depend on, by name."""
    found = {}
    for name in _LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


Answers = dict[tuple[str, str], dict[str, JudgeAnswer]]
"""By system and file, then by judge."""


def _judged(
    systems: Sequence[SystemVideos],
    judges: Sequence[JudgeSource],
    out: str,
    taxonomy: Taxonomy,
    real: RealSource | None,
    batch_size: int,
    allow_missing: bool,
    engine: Executor | None,
    progress: bool,
) -> tuple[Answers, list[JudgeRecord], list[Video], RealClips | None]:
    answers: Answers = {}
    records: list[JudgeRecord] = []
    clips: list[Video] = []
    shown = None
    options: dict[str, Any] = {"batch_size": batch_size, "engine": engine, "progress": progress}
    for source in judges:
        judge = source.load()
        if judge.taxonomy.names != taxonomy.names:
            raise ValueError(f"judge {judge.identity} tells apart {', '.join(judge.taxonomy.names)}")
        if any(one.identity == judge.identity for one in records):
            raise ValueError(f"judge {judge.identity} is given twice")
        records.append(
            JudgeRecord(identity=judge.identity, source=source.source, miniature=source.is_miniature())
        )
        for one in systems:
            place = joined(joined(out, "judged"), one.name)
            found = judge_videos(
                one.folder, one.intended, judge, out=place, allow_missing=allow_missing, **options
            )
            _keep(answers, one.name, found, one.folder)
        if real is not None:
            place = joined(joined(out, "judged"), REAL.replace(" ", "-"))
            found = judge_clips(real.build, judge, split=real.split, out=place, **options)
            _keep(answers, REAL, found, real.build)
            if shown is None:
                clips, shown = _real(real, found)
    return answers, records, clips, shown


def _keep(answers: Answers, system: str, found: Judged, folder: str) -> None:
    for one in found.videos:
        error = None if one.error is None else _without_folder(one.error, folder)
        answer = JudgeAnswer(one.judged, one.scores, error)
        answers.setdefault((system, one.file), {})[found.judge] = answer


def _without_folder(error: str, folder: str) -> str:
    """An error that names a file by its place in the folder: a result may be published, and other
    machines must find the same."""
    plain = without_credentials(folder)
    places = [plain] if "://" in plain else [os.path.realpath(plain), os.path.abspath(plain)]
    for place in places:
        error = error.replace(place.rstrip("/") + "/", "")
    return error


def _real(real: RealSource, found: Judged) -> tuple[list[Video], RealClips]:
    from emovid_dataset.read.select import select

    chosen = {one.file for one in found.videos}
    clips = [clip for clip in select(real.build, split=real.split).clips if clip.id in chosen]
    videos = [
        Video(
            system=REAL,
            file=clip.id,
            place="",
            request=clip.id,
            scene=clip.group or clip.id,
            prompt=clip.caption,
            intended=clip.emotion,
            content_type=clip.content_type,
            sha256=clip.sha256,
        )
        for clip in clips
    ]
    digest = _digest(sorted([one.file, one.sha256, one.intended] for one in videos))
    source = without_credentials(real.build)
    if "://" not in source and os.path.isdir(source):
        source = os.path.basename(os.path.abspath(source))
    return videos, RealClips(source=source, split=real.split, identity=digest, count=len(videos))


def _requests(tables: Mapping[str, Sequence[Intended]]) -> dict[str, dict[str, Intended]]:
    """The rows of every system by what names their request, see `Video.request`.

    Where every row says its prompt and seed, these and the emotion are the request, so that systems may call
    their files as they like; else the file's name is.
    """

    def named(rows: Sequence[Intended]) -> dict[str, Intended]:
        return {_digest([row.prompt, row.seed, row.emotion]): row for row in rows}

    told = all(row.prompt and row.seed is not None for rows in tables.values() for row in rows)
    if told and all(len(named(rows)) == len(rows) for rows in tables.values()):
        return {name: named(rows) for name, rows in tables.items()}
    return {name: {row.file: row for row in rows} for name, rows in tables.items()}


def _check_same(requests: Mapping[str, Mapping[str, Intended]], *, allow_missing: bool) -> None:
    names = list(requests)
    for one in names[1:]:
        for first, second in ((names[0], one), (one, names[0])):
            rows = requests[first]
            alone = [row for request, row in rows.items() if request not in requests[second]]
            if alone and not allow_missing:
                raise ValueError(
                    f"system {second} was not asked for {len(alone)} of the {len(rows)} videos of {first}, "
                    f"first {alone[0].file} (prompt, seed and emotion must be the same); "
                    "--allow-rejected counts them as wrong"
                )
            for request in (request for request in rows if request in requests[second]):
                theirs = rows[request].emotion, requests[second][request].emotion
                if theirs[0] != theirs[1]:
                    raise ValueError(
                        f"{rows[request].file}: {first} was asked for {theirs[0]}, {second} for {theirs[1]}"
                    )


def _video(
    system: SystemVideos,
    request: str,
    row: Intended | None,
    asked: Intended,
    digests: Mapping[str, str | None],
    content_types: Mapping[str, str],
    out: str | os.PathLike[str],
) -> Video:
    sha256 = None if row is None else digests[row.file]
    return Video(
        system=system.name,
        file="" if row is None else row.file,
        place="" if sha256 is None or row is None else place_from(out, joined(system.folder, row.file)),
        request=request,
        scene=_digest([asked.prompt]) if asked.prompt else request,
        prompt=asked.prompt,
        intended=asked.emotion,
        seed=asked.seed,
        content_type=content_types.get(request),
        sha256=sha256,
        error=NOT_ASKED if row is None else MISSING if sha256 is None else None,
    )


def _answered(video: Video, answers: Answers) -> Video:
    """A video with what every judge says; where none could say anything, that is the video's error."""
    theirs = answers.get((video.system, video.file), {})
    if video.error is not None:
        judges = {judge for found in answers.values() for judge in found}
        theirs = {judge: JudgeAnswer(None, None, video.error) for judge in sorted(judges)}
    errors = [one.error for one in theirs.values()]
    error = video.error or (errors[0] if errors and all(errors) else None)
    return replace(video, answers=theirs, error=error)


def _system(one: SystemVideos, digests: Mapping[str, str | None], out: str | os.PathLike[str]) -> System:
    identity = one.identity or f"{one.name}@{_digest(sorted([file, sha] for file, sha in digests.items()))}"
    return System(
        name=one.name,
        identity=identity,
        place=place_from(out, one.folder),
        base=one.base,
        loras=one.loras,
        settings=one.settings or {},
    )


def place_from(out: str | os.PathLike[str], place: str) -> str:
    """Where something lies, as a result at `out` holds it, see `Result.locate`.

    Args:
        out: path or URL of the result's folder.
        place: path or URL.
    """
    folder = os.fspath(out)
    if "://" in place:
        below = place.removeprefix(folder.rstrip("/") + "/")
        return without_credentials(place) if below == place else below
    if "://" in folder:
        return os.path.abspath(place)
    return os.path.relpath(place, folder).replace(os.sep, "/")


def _sha256(item: Item | None) -> str | None:
    """Of a video's bytes; None where it is missing."""
    if item is None:
        return None
    source = item.open()
    if isinstance(source, bytes):
        return hashlib.sha256(source).hexdigest()
    digest = hashlib.sha256()
    try:
        with open(str(source), "rb") as file:
            while block := file.read(_BLOCK):
                digest.update(block)
    except FileNotFoundError:
        return None
    return digest.hexdigest()


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, allow_nan=False).encode()).hexdigest()[:16]
