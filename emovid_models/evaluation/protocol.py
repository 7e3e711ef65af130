"""The protocol of EA-8cls: prompts -> videos -> annotator -> table.

Every prompt names a scene and, apart from it, the emotion that its video shall show. A generator makes the
videos, an annotator says what each one shows, and the share of agreement is EA-8cls::

    judge = load_judge("emovid/annotator")
    base = judge_videos("out/base", "out/base/intended.csv", judge)
    lora = judge_videos("out/lora", "out/lora/intended.csv", judge)
    compare(base, lora).mcnemar_p

The videos may come from anywhere: what was asked for stands in a table beside them (`read_intended`). A video
that cannot be judged counts as wrong and is never dropped. The maths is the metric's
(`emovid_models.metrics.ea_8cls`).
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from emovid_dataset.schema.clip import CONTENT_TYPES
from emovid_dataset.schema.emotions import EMOTIONS, parse_emotion
from emovid_dataset.schema.manifest import write_atomic
from emovid_dataset.terminal import Progress
from emovid_models import MINI_ANNOTATOR
from emovid_models.annotator.annotate import Annotation, Item, annotate, find_items, model_identity
from emovid_models.records import folder_identity

if TYPE_CHECKING:
    from emovid_models.wan.generate import Prompt as Order

PROMPTS = Path(__file__).parents[1] / "prompts"
"""Folder of the prompts that ship, one JSON Lines file a content type."""

INTENDED_NAME = "intended.csv"
"""The table beside generated videos that says what each was to show."""

GENERATION_NAME = "generation.json"
"""What the videos of a folder were generated with."""

INTENDED_COLUMNS = ("file", "emotion", "prompt", "seed")
"""Columns of `intended.csv`; the last two may be missing."""

PROMPT_FIELDS = ("id", "emotion", "content_type", "prompt", "image")
"""Fields of a line of prompts; the last may be missing."""


# what is asked for


@dataclass(frozen=True, slots=True)
class Prompt:
    """One video to ask for.

    Attributes:
        id: unique in its file; the video is called after it.
        emotion: one of the eight, which the scene itself does not name.
        content_type: "cartoon", "movie" or "sticker".
        prompt: the scene.
        image: path of the first image, for image-to-video; else None.
    """

    id: str
    emotion: str
    content_type: str
    prompt: str
    image: str | None = None


@dataclass(frozen=True, slots=True)
class Intended:
    """What a video was asked to show.

    Attributes:
        file: its path in the folder, with slashes.
        emotion: one of the eight.
        prompt: the scene, "" if unknown.
        seed: of the noise, None if unknown.
    """

    file: str
    emotion: str
    prompt: str = ""
    seed: int | None = None


def load_prompts(content_type: str) -> list[Prompt]:
    """The prompts that ship for a content type: the same scenes for all eight emotions.

    So no scene can give its emotion away, and emotions and models are compared on equal scenes.
    Their order is such that the first few are a fair choice of all.

    Args:
        content_type: "cartoon", "movie" or "sticker".

    Raises:
        ValueError: there is no such content type.

    >>> prompts = load_prompts("sticker")
    >>> len(prompts), prompts[0].emotion, prompts[0].prompt == prompts[len(prompts) // 8].prompt
    (320, 'amusement', True)
    """
    if content_type not in CONTENT_TYPES:
        raise ValueError(f"content_type {content_type!r} is unknown; allowed: {', '.join(CONTENT_TYPES)}")
    return read_prompts(PROMPTS / f"{content_type}.jsonl")


def read_prompts(path: str | os.PathLike[str]) -> list[Prompt]:
    """Read prompts, one JSON object a line, with the fields of `Prompt`.

    Args:
        path: the file; images are given relative to it.

    Raises:
        FileNotFoundError: it does not exist.
        ValueError: a line is no such object, an emotion is unknown, an id comes twice, an image is missing,
            or only some lines have one.
    """
    path = Path(path)
    prompts: list[Prompt] = []
    seen: dict[str, int] = {}
    for number, line in enumerate(_read_text(path).splitlines(), 1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        try:
            row = json.loads(line)
        except ValueError as error:
            raise ValueError(f"{where} is no JSON: {error}") from error
        if not isinstance(row, dict):
            raise ValueError(f"{where} is no object with the fields {', '.join(PROMPT_FIELDS)}")
        unknown = sorted(row.keys() - set(PROMPT_FIELDS))
        if unknown:
            raise ValueError(f"{where} has unknown fields {unknown}; allowed: {', '.join(PROMPT_FIELDS)}")
        for field in PROMPT_FIELDS[:4]:
            if not isinstance(row.get(field), str) or not row[field].strip():
                raise ValueError(f"{where}: {field} is {row.get(field)!r}, not a text")
        if not re.fullmatch(r"[\w-]+", row["id"]):
            raise ValueError(f"{where}: id {row['id']!r} may hold letters, digits, - and _ only")
        if row["id"] in seen:
            raise ValueError(f"{where}: id {row['id']!r} stands in line {seen[row['id']]} too")
        if row["content_type"] not in CONTENT_TYPES:
            allowed = ", ".join(CONTENT_TYPES)
            raise ValueError(f"{where}: content_type {row['content_type']!r} is unknown; allowed: {allowed}")
        image = row.get("image")
        if image is not None:
            if not isinstance(image, str) or not (path.parent / image).is_file():
                raise ValueError(f"{where}: image {image!r} is not there")
            image = str(path.parent / image)
        seen[row["id"]] = number
        emotion = _emotion(row["emotion"], where)
        prompts.append(Prompt(row["id"], emotion, row["content_type"], row["prompt"].strip(), image))
    if not prompts:
        raise ValueError(f"{path} holds no prompts")
    if len({prompt.image is None for prompt in prompts}) > 1:
        raise ValueError(f"{path}: either all lines have an image or none has")
    return prompts


def take_per_emotion(prompts: Sequence[Prompt], count: int) -> list[Prompt]:
    """The first prompts of each emotion.

    Args:
        prompts: in any order.
        count: of each emotion, at least 1.

    Raises:
        ValueError: the count is below 1.
    """
    if count < 1:
        raise ValueError(f"prompts an emotion: {count}; allowed: at least 1")
    left = dict.fromkeys(EMOTIONS, count)
    kept = []
    for prompt in prompts:
        left[prompt.emotion] -= 1
        if left[prompt.emotion] >= 0:
            kept.append(prompt)
    return kept


def read_intended(path: str | os.PathLike[str]) -> list[Intended]:
    """Read what the videos of a folder were asked to show.

    Args:
        path: a CSV file in UTF-8 with the columns ``file`` (relative to the folder) and ``emotion`` (a name
            or 0..7), and perhaps ``prompt`` and ``seed``.

    Raises:
        FileNotFoundError: it does not exist.
        ValueError: a column is missing or unknown, a row is too long or too short, an emotion is unknown, a
            file stands there twice, or there is no row.
    """
    path = Path(path)
    reader = csv.DictReader(io.StringIO(_read_text(path)), strict=True)
    try:
        columns = list(reader.fieldnames or ())
        numbered = [(reader.line_num, row) for row in reader]
    except csv.Error as error:
        raise ValueError(f"{path}, line {reader.line_num} is no CSV: {error}") from error
    allowed = ", ".join(INTENDED_COLUMNS)
    for column in INTENDED_COLUMNS[:2]:
        if column not in columns:
            raise ValueError(f"{path} has no column {column!r}; it has: {', '.join(columns) or 'none'}")
    unknown = [column for column in columns if column not in INTENDED_COLUMNS]
    if unknown:
        raise ValueError(f"{path} has unknown columns {unknown}; allowed: {allowed}")
    if len(set(columns)) < len(columns):
        raise ValueError(f"{path} has a column twice: {', '.join(columns)}")
    rows: list[Intended] = []
    seen: dict[str, int] = {}
    for number, row in numbered:
        where = f"{path}, line {number}"
        if None in row or None in row.values():
            raise ValueError(f"{where} has not {len(columns)} cells, as the first line has")
        if not row["file"].strip():
            raise ValueError(f"{where}: file is empty")
        file = PurePosixPath(row["file"].strip()).as_posix()
        if file in seen:
            raise ValueError(f"{where}: file {file} stands in line {seen[file]} too")
        seen[file] = number
        seed = (row.get("seed") or "").strip()
        try:
            value = int(seed) if seed else None
        except ValueError:
            raise ValueError(f"{where}: seed {seed!r} is no whole number") from None
        rows.append(Intended(file, _emotion(row["emotion"], where), (row.get("prompt") or "").strip(), value))
    if not rows:
        raise ValueError(f"{path} holds no rows")
    return rows


def write_intended(path: str | os.PathLike[str], rows: Sequence[Intended]) -> None:
    """Write what `read_intended` reads.

    Args:
        path: the CSV file.
        rows: one a video.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(INTENDED_COLUMNS)
    for row in rows:
        writer.writerow([row.file, row.emotion, row.prompt, "" if row.seed is None else row.seed])
    write_atomic(Path(path), text.getvalue().encode())


def _read_text(path: Path) -> str:
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not a file")
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 text") from error


def _emotion(value: str, where: str) -> str:
    try:
        return EMOTIONS[parse_emotion(value)]
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error


# prompts -> videos


def generate_videos(
    pipe: Any,
    prompts: Sequence[Prompt],
    folder: str | os.PathLike[str],
    *,
    model: str,
    seed: int = 0,
    intensity: float = 1.0,
    progress: bool = False,
    **options: Any,
) -> Path:
    """Generate the video of every prompt, and write beside them what each was to show.

    A scene has the same noise for every emotion and every model, so that only these differ.

    Args:
        pipe: from `emovid_models.wan.generate.load_pipeline`.
        prompts: unique ids; the video is called ``{id}.mp4``.
        folder: the videos of one model; those that are there are not made again.
        model: names base and LoRA so that others are told apart, such as `generator_identity` does.
        seed: of the first scene; the next distinct scene has the next seed.
        intensity: of the emotion; 0 is the base model.
        progress: show progress on stderr.
        **options: arguments of every call, such as `height`, `num_frames`, `num_inference_steps`.

    Returns:
        Path of the table of what was asked for.

    Raises:
        ValueError: the folder holds videos of another model or other settings, or an option does not work.
    """
    from emovid_models.wan.generate import generate

    folder = Path(folder)
    orders = plan_orders(prompts, folder, seed=seed, intensity=intensity)
    settings = json.dumps(
        {"model": model, "seed": seed, "intensity": intensity, **options}, indent=1, sort_keys=True
    )
    folder.mkdir(parents=True, exist_ok=True)
    record = folder / GENERATION_NAME
    if record.exists() and record.read_text(encoding="utf-8") != settings + "\n":
        raise ValueError(
            f"{folder} holds videos with other settings ({GENERATION_NAME}); choose another folder"
        )
    if not record.exists() and any(Path(order.out).exists() for order in orders):
        raise ValueError(f"{folder} holds videos without {GENERATION_NAME}; choose another folder")
    table = folder / INTENDED_NAME
    wanted = [
        Intended(f"{prompt.id}.mp4", prompt.emotion, prompt.prompt, order.seed)
        for prompt, order in zip(prompts, orders, strict=True)
    ]
    earlier = {row.file: row for row in read_intended(table)} if table.exists() else {}
    for row in wanted:
        if (folder / row.file).exists() and earlier.get(row.file, row) != row:
            raise ValueError(
                f"{folder / row.file} was made for another prompt or seed; choose another folder"
            )
    write_atomic(record, (settings + "\n").encode())
    write_intended(table, wanted)
    with Progress(len(orders), unit="videos", title="Generating", enabled=progress) as bar:
        for _ in generate(pipe, orders, **options):
            bar.update()
    return table


def plan_orders(
    prompts: Sequence[Prompt], folder: Path, *, seed: int = 0, intensity: float = 1.0
) -> list[Order]:
    """What the generator is asked for, prompt by prompt.

    Args:
        prompts: unique ids.
        folder: of the videos.
        seed: of the first scene; a scene is a text with its image.
        intensity: of the emotion.

    Returns:
        As long as `prompts`; the same scene has the same seed.
    """
    from emovid_models.wan.generate import Prompt as Order

    scenes: dict[tuple[str, str | None], int] = {}
    return [
        Order(
            prompt=prompt.prompt,
            emotion=prompt.emotion,
            intensity=intensity,
            content_type=prompt.content_type,
            image=prompt.image,
            seed=seed + scenes.setdefault((prompt.prompt, prompt.image), len(scenes)),
            out=str(folder / f"{prompt.id}.mp4"),
        )
        for prompt in prompts
    ]


def generator_identity(base: str | os.PathLike[str], pipe: Any, lora: str | os.PathLike[str] | None) -> str:
    """Names a base, and a LoRA on it, by their content.

    Args:
        base: a folder or a Hub repo.
        pipe: the loaded pipeline.
        lora: what was loaded on the base, or None.
    """
    folder = Path(base)
    if folder.is_dir():
        name = folder_identity(folder, [*folder.rglob("*.json"), *folder.rglob("*.safetensors")])
    else:
        name = f"{base}@{getattr(pipe.text_encoder.config, '_commit_hash', None)}"
    if lora is None:
        return name
    adapter = hashlib.sha256()
    for key, value in sorted(pipe.transformer.named_parameters()):
        if "lora_" in key:
            adapter.update(key.encode() + value.detach().cpu().float().numpy().tobytes())
    return f"{name}+{Path(lora).name}@{adapter.hexdigest()[:16]}"


# videos -> judgements


@dataclass(frozen=True, slots=True)
class Judge:
    """Who says which emotion a video shows.

    Attributes:
        identity: names it by its content, so that another one's judgements are told apart.
        annotator: called like `VideoEmotionPipeline`: an iterator of functions that return a path or bytes,
            with `batch_size`, gives for every video a list of ``{"label", "score"}``, the likeliest first, or
            ``{"error"}``.
    """

    identity: str
    annotator: Callable[..., Iterator[Any]]


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a video was asked to show, and what it shows.

    Attributes:
        file: the video's path in its folder, or the clip's id.
        intended: the emotion asked for; for a real clip its label.
        judged: the judge's emotion; None where it failed.
        scores: eight probabilities in the order of `EMOTIONS`; None where it failed.
        error: why it failed; None where it did not.
        prompt: the scene, "" if unknown.
        seed: of the noise, None if unknown.
    """

    file: str
    intended: str
    judged: str | None
    scores: tuple[float, ...] | None
    error: str | None
    prompt: str = ""
    seed: int | None = None


@dataclass(frozen=True, slots=True)
class Judged:
    """All judgements of one judge on one set of videos.

    Attributes:
        judge: identity of the judge.
        videos: one judgement a video, in the order of the table.
        reused: how many were there from an earlier run.
    """

    judge: str
    videos: tuple[Judgement, ...]
    reused: int = 0

    @property
    def failed(self) -> tuple[Judgement, ...]:
        """Those that could not be judged; they count as wrong."""
        return tuple(video for video in self.videos if video.error is not None)


def load_judge(model: str | os.PathLike[str] = MINI_ANNOTATOR, *, device: str | None = None) -> Judge:
    """Load an annotator as a judge.

    Args:
        model: a folder or a Hub repo; by default the miniature annotator, which is for trying things out.
        device: by default cuda if there is one, else cpu.

    Raises:
        OSError: it cannot be loaded.
    """
    from emovid_models.annotator.loading import load_annotator

    pipeline = load_annotator(model, device=device)
    return Judge(model_identity(model, pipeline), pipeline)


def judge_videos(
    videos: str | os.PathLike[str],
    intended: str | os.PathLike[str],
    judge: Judge,
    *,
    out: str | os.PathLike[str] | None = None,
    batch_size: int = 8,
    allow_missing: bool = False,
    progress: bool = False,
) -> Judged:
    """Judge the videos of a folder.

    Args:
        videos: the folder, searched with its subfolders.
        intended: the table of what they were asked for; a video that it does not name is left out.
        judge: who judges.
        out: folder of what was judged, one Parquet file a judge, by default ``judged`` in the videos' folder.
            A video that stands there and has not changed is not judged again.
        batch_size: videos that the judge sees at once.
        allow_missing: count a video of the table that is not there as wrong, instead of refusing the table.
        progress: show progress on stderr.

    Returns:
        A judgement for every row of the table.

    Raises:
        OSError: the folder or the table is not there, or `out` cannot be written.
        ValueError: the table is wrong, or names videos that are not there.
    """
    folder = Path(videos)
    if not folder.is_dir():
        raise FileNotFoundError(f"videos {folder} is not a folder")
    rows = read_intended(intended)
    found = {item.key: item for item in find_items(folder)}
    missing = [row.file for row in rows if row.file not in found]
    if missing and not allow_missing:
        raise ValueError(
            f"{len(missing)} of {len(rows)} videos of {intended} are not in {folder}, first {missing[0]}; "
            "--allow-rejected counts them as wrong"
        )
    items = [found[row.file] for row in rows if row.file in found]
    answers, reused = _annotate(
        items, judge, folder / "judged" if out is None else Path(out), batch_size, progress
    )
    return Judged(
        judge.identity,
        tuple(_judgement(row, answers.get(row.file)) for row in rows),
        reused,
    )


def judge_clips(
    build: str | os.PathLike[str],
    judge: Judge,
    *,
    split: str = "test",
    content_type: str | None = None,
    out: str | os.PathLike[str],
    batch_size: int = 8,
    progress: bool = False,
) -> Judged:
    """Judge real clips: what the judge itself can reach, since here the label is a person's.

    Args:
        build: its folder or a Hub repo.
        judge: who judges; it must not have learnt from these clips.
        split: of the build.
        content_type: one of the three, or None for all.
        out: folder of what was judged.
        batch_size: clips that the judge sees at once.
        progress: show progress on stderr.

    Returns:
        A judgement for every clip that a person labelled.

    Raises:
        ValueError: there is no such clip.
    """
    from emovid_dataset.read.loading import select

    selection = select(build, split=split, content_type=content_type)
    chosen = [place for place, clip in enumerate(selection.clips) if clip.emotion_source == "human"]
    if not chosen:
        raise ValueError(f"{build} holds no clip of split {split!r} that a person labelled")

    def opener(place: int) -> Callable[[], bytes]:
        return lambda: selection[place].video

    clips = [selection.clips[place] for place in chosen]
    items = [Item(clip.id, clip.sha256, opener(place)) for place, clip in zip(chosen, clips, strict=True)]
    answers, reused = _annotate(items, judge, Path(out), batch_size, progress)
    rows = [Intended(clip.id, clip.emotion, clip.caption) for clip in clips]
    return Judged(judge.identity, tuple(_judgement(row, answers[row.file]) for row in rows), reused)


def _annotate(
    items: Sequence[Item], judge: Judge, out: Path, batch_size: int, progress: bool
) -> tuple[dict[str, Annotation], int]:
    name = re.sub(r"[^\w.@-]+", "_", judge.identity) + ".parquet"
    report = annotate(
        items,
        judge.annotator,  # type: ignore[arg-type]
        out / name,
        identity=judge.identity,
        batch_size=batch_size,
        progress=progress,
    )
    return {item.key: item for item in report.annotations}, report.reused


def _judgement(row: Intended, answer: Annotation | None) -> Judgement:
    if answer is None:
        return Judgement(row.file, row.emotion, None, None, "the video is missing", row.prompt, row.seed)
    return Judgement(row.file, row.emotion, answer.emotion, answer.scores, answer.error, row.prompt, row.seed)


# judgements -> table


@dataclass(frozen=True, slots=True)
class Share:
    """A share, 0..1, or a difference of two, -1..1, with its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Figures:
    """How often the intended emotion is shown.

    Attributes:
        n: videos.
        unscored: those that could not be judged; they count as wrong.
        ea_8cls: share whose emotion is the intended one, with Wilson's interval.
        ea_2cls: share whose valence is the intended one, with Wilson's interval.
        recall: of each emotion; None where none was intended.
        macro_recall: mean over the emotions that were intended.
        confusion: 8 x 8 counts, rows are intended, columns judged, in the order of `EMOTIONS`.
    """

    n: int
    unscored: int
    ea_8cls: Share
    ea_2cls: Share
    recall: Mapping[str, float | None]
    macro_recall: float
    confusion: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two models on the same prompts with the same seeds.

    Attributes:
        base: figures of the first.
        lora: figures of the second.
        difference: EA-8cls of the second less that of the first; the interval is a bootstrap of whole scenes,
            since videos of one scene share their noise. None with a single scene.
        mcnemar_p: exact two-sided p-value that both are right equally often.
        both: videos where both are right.
        base_only: where only the first is.
        lora_only: where only the second is.
        neither: where none is.
    """

    base: Figures
    lora: Figures
    difference: Share | None
    mcnemar_p: float
    both: int
    base_only: int
    lora_only: int
    neither: int


def score(judged: Judged) -> Figures:
    """The figures of one set of videos.

    Args:
        judged: at least one judgement.

    >>> shown = [("awe", "awe"), ("awe", "fear"), ("fear", None)]
    >>> rows = [Judgement("x", asked, found, None, None) for asked, found in shown]
    >>> figures = score(Judged("judge", tuple(rows)))
    >>> round(figures.ea_8cls.value, 3), figures.unscored, figures.recall["awe"]
    (0.333, 1, 0.5)
    """
    from emovid_models.metrics.ea_8cls import ea_8cls

    result = ea_8cls.score(
        [video.judged for video in judged.videos], [video.intended for video in judged.videos]
    )
    return Figures(
        n=result["n"],
        unscored=result["unscored"],
        ea_8cls=Share(result["ea_8cls"], *result["ea_8cls_wilson"]),
        ea_2cls=Share(result["ea_2cls"], *result["ea_2cls_wilson"]),
        recall={name: entry["recall"] for name, entry in result["per_emotion"].items()},
        macro_recall=result["macro_recall"],
        confusion=tuple(tuple(row) for row in result["confusion_matrix"]),
    )


def score_confusion(confusion: Sequence[Sequence[int]]) -> Figures:
    """The figures of counts, such as those of an annotator's cross-validation.

    Args:
        confusion: 8 x 8, rows are the labels, columns the answers, in the order of `EMOTIONS`.

    >>> counts = [[0] * 8 for _ in range(8)]
    >>> counts[1][1], counts[1][6] = 3, 1
    >>> score_confusion(counts).ea_8cls.value, score_confusion(counts).n
    (0.75, 4)
    """
    rows = [
        Judgement("", EMOTIONS[label], EMOTIONS[answer], None, None)
        for label, counts in enumerate(confusion)
        for answer, count in enumerate(counts)
        for _ in range(count)
    ]
    return score(Judged("", tuple(rows)))


def compare(base: Judged, lora: Judged) -> Comparison:
    """Compare two models, video by video.

    Args:
        base: of the first model.
        lora: of the second, on the same prompts with the same seeds, by the same judge.

    Raises:
        ValueError: they are not the same prompts, seeds or judge.
    """
    from emovid_models.metrics.ea_8cls import ea_8cls

    if base.judge != lora.judge:
        raise ValueError(f"judged by {base.judge} and by {lora.judge}; a comparison needs one judge")
    other = {video.file: video for video in lora.videos}
    if len(base.videos) != len(lora.videos) or any(video.file not in other for video in base.videos):
        alone = sorted({video.file for video in base.videos} ^ other.keys())
        raise ValueError(f"{len(alone)} videos are of one model only, first {alone[0]}")
    pairs = [(video, other[video.file]) for video in base.videos]
    for first, second in pairs:
        for name in ("intended", "prompt", "seed"):
            values = getattr(first, name), getattr(second, name)
            if values[0] != values[1]:
                raise ValueError(
                    f"{first.file}: {name} is {values[0]!r} and {values[1]!r}; it must be the same"
                )
    scenes = [f"{first.seed} {first.prompt}" if first.prompt else first.file for first, _ in pairs]
    result = ea_8cls.compare(
        [second.judged for _, second in pairs],
        [first.judged for first, _ in pairs],
        [first.intended for first, _ in pairs],
        groups=scenes,
    )
    interval = result["difference_bootstrap"]
    return Comparison(
        base=score(base),
        lora=score(lora),
        difference=None if interval is None else Share(result["difference"], *interval),
        mcnemar_p=result["mcnemar_p"],
        both=result["both"],
        base_only=result["b_only"],
        lora_only=result["a_only"],
        neither=result["neither"],
    )


TABLE_COLUMNS = ("", "n", "EA-8cls", "95 % interval", "EA-2cls", "95 % interval")
"""Headings of `table_row`."""


def table_row(name: str, figures: Figures) -> list[object]:
    """A row of the table, in percent.

    Args:
        name: of the model.
        figures: of its videos.
    """

    def cells(share: Share) -> tuple[str, str]:
        return f"{share.value:.2%}", f"{share.low:.2%} to {share.high:.2%}"

    return [name, figures.n, *cells(figures.ea_8cls), *cells(figures.ea_2cls)]


def paper_row(task: str) -> list[object]:
    """The paper's row for a task, marked as the paper's: another model, other data, another judge.

    Args:
        task: "t2v" or "i2v".
    """
    from emovid_models.metrics.ea_8cls import ea_8cls

    return [f"the paper's, {task.upper()}", None, f"{ea_8cls.PUBLISHED_EA_8CLS[task]:.2%}", None, None, None]


def paper_record() -> dict[str, Any]:
    """What the paper reports, to stand beside measured values: its own model, data and judge."""
    from emovid_models.metrics.ea_8cls import ea_8cls

    published = {task: {"ea_8cls": value} for task, value in ea_8cls.PUBLISHED_EA_8CLS.items()}
    return {**published, "source": ea_8cls.PUBLISHED_SOURCE}


def to_record(result: Figures | Comparison | Judged) -> dict[str, Any]:
    """A result as plain JSON values, the numbers unrounded."""
    return json.loads(json.dumps(asdict(result)))
