"""The result of an evaluation of many systems: written once; every table and page is made from it.

A result is a folder (or an address) with three files:

``videos.jsonl``
    One `Video` per line: one for every system and every request, whether or not its video could be read.
``real.jsonl``
    The same for real clips that a person labelled, which show what a judge is worth; empty without them.
    Their system is `REAL`, their request is the clip's id, and they have no place.
``result.json``
    Everything else, see `Result`, with the digests of the other two. It is written last, so that a folder
    that has it is whole.

A request is a prompt with its emotion and seed. Every system was given the same requests, so the videos of
one `Video.request` are compared side by side and in paired tests. A scene is a prompt whatever the emotion;
the videos of one `Video.scene` are not independent, so a bootstrap draws whole scenes.

A video that is missing or cannot be read has a line like any other, with `Video.error`; a video on which one
judge failed has that judge's `JudgeAnswer.error`. Both stay in every denominator, as wrong.

From here on nothing is judged again::

    result = read_result("scores")
    for system in result.systems:
        judged = result.judged(system.name, result.judges[0].identity)
        score(judged).ea_8cls

Scores of a single video that come from its frames are in `Video.scores`, by the name of the score; where a
video cannot have one, the value is None and `Video.not_computed` has the reason by the same name. Measures of
a system as a whole are in `System.measures`. Whoever adds scores replaces the videos and systems of a result
(`dataclasses.replace`) and writes it again with `write_result`: `Result.inputs`, the digest of all that went
in, stays the same.
"""

from __future__ import annotations

import hashlib
import json
import os
import posixpath
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from emovid_dataset.schema.emotions import MIKELS
from emovid_dataset.schema.taxonomy import Taxonomy
from emovid_dataset.store import Store, joined
from emovid_models.evaluation.value import Value

if TYPE_CHECKING:
    from emovid_models.evaluation.judge import Judged

FORMAT = 1
"""Changes when a reader of today would misread a new result."""

RESULT_NAME = "result.json"
VIDEOS_NAME = "videos.jsonl"
REAL_NAME = "real.jsonl"

REAL = "real clips"
"""The system of real clips; a generator cannot have this name."""


@dataclass(frozen=True, slots=True)
class JudgeAnswer:
    """What one judge says of one video.

    Attributes:
        emotion: the judge's; None where it failed.
        scores: a probability of each emotion of the result's taxonomy, in order; None where it failed.
        error: why it failed, in one line; None where it did not.
    """

    emotion: str | None
    scores: tuple[float, ...] | None
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Video:
    """One video of one system, or one real clip.

    Attributes:
        system: name of the system, or `REAL`.
        file: its path in the system's folder, with slashes; of a real clip the clip's id.
        place: where it lies: an address, or a path relative to the result's folder, see `Result.locate`;
            "" for a real clip.
        request: names what was asked for; the same for all systems, and unique within one.
        scene: names the prompt, whatever the emotion.
        prompt: the scene in words, "" if unknown; of a real clip its caption.
        intended: the emotion asked for; of a real clip its label.
        seed: of the noise, None if unknown.
        content_type: "cartoon", "movie" or "sticker"; None if unknown.
        sha256: of the file's bytes; None where it is missing.
        error: why it is missing or cannot be read, in one line; None where it can.
        answers: by the identity of the judge; every judge of the result has one.
        scores: measured on the frames, by the name of the score; None where it was not computed.
        not_computed: why a score is None, by its name.
    """

    system: str
    file: str
    place: str
    request: str
    scene: str
    prompt: str
    intended: str
    seed: int | None = None
    content_type: str | None = None
    sha256: str | None = None
    error: str | None = None
    answers: Mapping[str, JudgeAnswer] = field(default_factory=dict)
    scores: Mapping[str, float | None] = field(default_factory=dict)
    not_computed: Mapping[str, str] = field(default_factory=dict)

    @property
    def failure(self) -> str | None:
        """Why it counts as wrong for at least one judge; None where all could judge it."""
        return self.error or next((one.error for one in self.answers.values() if one.error), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeRecord:
    """A judge, by what it answers with.

    Attributes:
        identity: of its weights and settings; the key of `Video.answers`.
        source: the folder's name, or the Hub repo.
        miniature: whether it is the miniature annotator, whose figures say nothing of a generator.
    """

    identity: str
    source: str
    miniature: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """A generator, by its videos.

    Attributes:
        name: unique in the result.
        identity: of the model that made the videos, or a digest of the videos that were given.
        place: of its folder, as `Video.place`.
        base: what it was generated with: a folder's name or a Hub repo; None for videos that were given.
        loras: on the base, each perhaps with its weight.
        settings: of the generation, such as "size", "intensity" and "seed"; empty for given videos.
        measures: of all its videos together, such as FVD, by name.
    """

    name: str
    identity: str
    place: str
    base: str | None = None
    loras: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    measures: Mapping[str, Value] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptSet:
    """The prompts that were asked for.

    Attributes:
        name: of the set that ships, or of the file.
        version: of the set; None for a file that has none.
        sha256: of the file's bytes.
        count: of the prompts that were used.
        unbalanced: scenes among them that were not asked for every emotion equally often.
    """

    name: str
    version: str | None
    sha256: str
    count: int
    unbalanced: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RealClips:
    """Where the real clips come from.

    Attributes:
        source: the build, without credentials.
        split: of the build.
        identity: a digest of the clips' ids, videos and labels.
        count: of the clips.
    """

    source: str
    split: str
    identity: str
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What was evaluated, with what, and what came out.

    Attributes:
        systems: in the order of the command.
        judges: in the order of the command.
        videos: of all systems, system by system, in one order of the requests.
        real: real clips, for the judges' own accuracy; empty without them.
        taxonomy: the emotions of all judges.
        task: "t2v" or "i2v"; None where it is not known, as for videos that were given.
        prompts: the set; None for videos that were given.
        clips: where `real` comes from; None without it.
        settings: of the evaluation as a whole, such as whether missing videos were allowed.
        versions: of this package and of the libraries that the numbers depend on, by name.
        place: the folder or address that it was read from; None before it is written.
    """

    systems: tuple[System, ...]
    judges: tuple[JudgeRecord, ...]
    videos: tuple[Video, ...]
    real: tuple[Video, ...] = ()
    taxonomy: Taxonomy = MIKELS
    task: str | None = None
    prompts: PromptSet | None = None
    clips: RealClips | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    place: str | None = None

    def __post_init__(self) -> None:
        names = [system.name for system in self.systems]
        if not names or len(set(names)) < len(names) or REAL in names:
            raise ValueError(f"systems {names}: each needs a name of its own, other than {REAL!r}")
        for name in names:
            requests = [video.request for video in self.videos if video.system == name]
            if len(set(requests)) < len(requests):
                raise ValueError(f"system {name}: a request comes twice")
        if strange := {video.system for video in self.videos} - set(names):
            raise ValueError(f"videos of systems that the result does not have: {sorted(strange)}")

    @property
    def inputs(self) -> str:
        """A sha256 of everything that went in; neither places nor versions nor anything that came out.

        The same on another machine, so that two results with the same `inputs` and `versions` must agree.
        """
        names = ("system", "request", "scene", "prompt", "intended", "seed", "content_type", "sha256")
        went_in = {
            "taxonomy": self.taxonomy.to_mapping(),
            "task": self.task,
            "judges": [judge.identity for judge in self.judges],
            "systems": [[one.name, one.identity, one.settings] for one in self.systems],
            "prompts": self.prompts and [self.prompts.sha256, self.prompts.count],
            "settings": self.settings,
            "videos": [[getattr(one, name) for name in names] for one in (*self.videos, *self.real)],
        }
        return hashlib.sha256(_json(went_in, sort_keys=True).encode()).hexdigest()

    @property
    def seeds(self) -> tuple[int, ...]:
        """Every seed that is known, in order."""
        return tuple(sorted({video.seed for video in self.videos if video.seed is not None}))

    def of(self, system: str) -> tuple[Video, ...]:
        """The videos of a system, or with `REAL` the real clips, in the order of the requests.

        Raises:
            ValueError: there is no such system.
        """
        if system == REAL:
            return self.real
        if all(one.name != system for one in self.systems):
            known = ", ".join(one.name for one in self.systems)
            raise ValueError(f"system {system!r} is not in the result; it has: {known}")
        return tuple(video for video in self.videos if video.system == system)

    def judged(self, system: str, judge: str) -> Judged:
        """What a judge says of a system or of `REAL`, for `score`, `compare` and whatever takes judgements.

        Args:
            system: its name.
            judge: its identity.

        Returns:
            One judgement per request, called after the request; a failed video is among them, unjudged.

        Raises:
            ValueError: the result does not have them.
        """
        from emovid_models.evaluation.judge import Judged, Judgement

        if all(one.identity != judge for one in self.judges):
            known = ", ".join(one.identity for one in self.judges)
            raise ValueError(f"judge {judge!r} is not in the result; it has: {known}")
        rows = []
        for video in self.of(system):
            answer = video.answers.get(judge, JudgeAnswer(None, None, video.error or "was not judged"))
            rows.append(
                Judgement(
                    video.request,
                    video.intended,
                    answer.emotion,
                    answer.scores,
                    answer.error,
                    video.prompt,
                    video.seed,
                )
            )
        return Judged(judge, tuple(rows), taxonomy=self.taxonomy)

    def locate(self, place: str) -> str:
        """Path or address of a video or a system's folder, from its `place`.

        Raises:
            ValueError: it has none, or it is relative and the result was neither read nor written.
        """
        if "://" in place or os.path.isabs(place):
            return place
        if self.place is None or not place:
            raise ValueError(f"place {place!r} cannot be found from a result that lies nowhere")
        if "://" in self.place:
            return joined(self.place, posixpath.normpath(place))
        return os.path.normpath(os.path.join(self.place, place))


def write_result(result: Result, out: str | os.PathLike[str]) -> Result:
    """Write a result.

    Args:
        result: all of it.
        out: path or URL of the folder; an earlier result there is replaced.

    Returns:
        The result with its place.

    Raises:
        OSError: it cannot be written.
    """
    store = Store.at(out)
    lines = {VIDEOS_NAME: _lines(result.videos), REAL_NAME: _lines(result.real)}
    for name, data in lines.items():
        store.put(name, data)
    record = {
        "format": FORMAT,
        "inputs": result.inputs,
        "files": {name: hashlib.sha256(data).hexdigest() for name, data in lines.items()},
        "task": result.task,
        "taxonomy": result.taxonomy.to_mapping(),
        "judges": [asdict(judge) for judge in result.judges],
        "systems": [asdict(system) for system in result.systems],
        "prompts": None if result.prompts is None else asdict(result.prompts),
        "clips": None if result.clips is None else asdict(result.clips),
        "seeds": list(result.seeds),
        "settings": dict(result.settings),
        "versions": dict(result.versions),
    }
    store.put(RESULT_NAME, (_json(record, indent=1) + "\n").encode())
    return replace(result, place=os.fspath(out))


def read_result(place: str | os.PathLike[str]) -> Result:
    """Read what `write_result` wrote.

    Args:
        place: path or URL of the folder, or of its ``result.json``.

    Raises:
        FileNotFoundError: there is no result.
        ValueError: it is not a result, of a format that this version does not know, or its files are not of
            one run.
    """
    folder = os.fspath(place).removesuffix(f"/{RESULT_NAME}")
    if folder == RESULT_NAME:
        folder = os.curdir
    store = Store.find(folder if "://" in folder else os.path.abspath(folder))
    shown = store.shown(RESULT_NAME)
    if not store.exists(RESULT_NAME):
        raise FileNotFoundError(f"{shown} does not exist; emovid evaluate SYSTEM... --out FOLDER writes one")
    try:
        record = json.loads(store.read(RESULT_NAME))
        if record["format"] != FORMAT:
            raise ValueError(f"its format is {record['format']}, and this version reads {FORMAT}")
        files = {name: store.read(name) for name in (VIDEOS_NAME, REAL_NAME)}
        for name, data in files.items():
            if hashlib.sha256(data).hexdigest() != record["files"][name]:
                raise ValueError(f"{name} beside it is of another run")
        result = Result(
            systems=tuple(_system(one) for one in record["systems"]),
            judges=tuple(JudgeRecord(**one) for one in record["judges"]),
            videos=_videos(files[VIDEOS_NAME]),
            real=_videos(files[REAL_NAME]),
            taxonomy=Taxonomy.from_mapping(record["taxonomy"]),
            task=record["task"],
            prompts=None if record["prompts"] is None else PromptSet(**record["prompts"]),
            clips=None if record["clips"] is None else RealClips(**record["clips"]),
            settings=record["settings"],
            versions=record["versions"],
            place=folder,
        )
        if result.inputs != record["inputs"]:
            raise ValueError("its digest of what went in is not that of its videos and settings")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{shown} is not a result: {error}") from error
    return result


def _lines(videos: Iterable[Video]) -> bytes:
    return "".join(_json(asdict(video)) + "\n" for video in videos).encode()


def _json(value: Any, **options: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, **options)


def _videos(data: bytes) -> tuple[Video, ...]:
    return tuple(_video(json.loads(line)) for line in data.decode().split("\n") if line)


def _video(record: dict[str, Any]) -> Video:
    answers = {
        judge: JudgeAnswer(
            one["emotion"], None if one["scores"] is None else tuple(one["scores"]), one["error"]
        )
        for judge, one in record.pop("answers").items()
    }
    return Video(**record, answers=answers)


def _system(record: dict[str, Any]) -> System:
    measures = {name: Value(**one) for name, one in record.pop("measures").items()}
    return System(**{**record, "loras": tuple(record["loras"])}, measures=measures)
