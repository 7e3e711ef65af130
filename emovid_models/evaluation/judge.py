"""From videos to judgements: an annotator says which emotion each video shows."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import emovid_models
from emovid_dataset.engine import Executor
from emovid_dataset.schema.emotions import MIKELS
from emovid_dataset.schema.taxonomy import Taxonomy
from emovid_dataset.store import joined, without_credentials
from emovid_models.annotator.annotate import LoadedByName, annotate
from emovid_models.annotator.annotations import Annotation
from emovid_models.annotator.items import Item, clip_item, find_items
from emovid_models.annotator.taxonomy import check_same_emotions
from emovid_models.evaluation.intended import Intended, read_intended


@dataclass(frozen=True, slots=True)
class Judge:
    """Who says which emotion a video shows.

    Attributes:
        identity: names it by its content, so that another one's judgements are told apart.
        taxonomy: the emotions that it tells apart.
        annotator: called like `VideoEmotionPipeline`: an iterator of functions that return a path or bytes,
            with the keywords `batch_size`, `num_frames` and `return_caption`, gives for every video a list of
            ``{"label", "score"}`` with all emotions, the likeliest first, or ``{"error"}``; or, for engines
            with workers of their own, how each loads one.
    """

    identity: str
    annotator: Callable[..., Iterator[Any]] | LoadedByName
    taxonomy: Taxonomy = MIKELS


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a video was asked to show, and what it shows.

    Attributes:
        file: the video's path in its folder, or the clip's id.
        intended: the emotion asked for; for a real clip its label.
        judged: the judge's emotion; None where it failed.
        scores: a probability of each of the judge's emotions, in order; None where it failed.
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
        videos: one judgement per video, in the order of the table.
        reused: how many were there from an earlier run.
        taxonomy: the judge's.
    """

    judge: str
    videos: tuple[Judgement, ...]
    reused: int = 0
    taxonomy: Taxonomy = MIKELS

    @property
    def failed(self) -> tuple[Judgement, ...]:
        """Those that could not be judged; they count as wrong."""
        return tuple(video for video in self.videos if video.error is not None)


def load_judge(
    model: str | os.PathLike[str] | None = None, *, device: str | None = None, by_workers: bool = False
) -> Judge:
    """Load an annotator as a judge.

    Args:
        model: a folder or a Hub repo; by default the miniature annotator, which is for trying things out.
        device: by default cuda if there is one, else cpu.
        by_workers: let every worker load it for itself, as an engine with several of them needs it.

    Returns:
        The judge, named by the content of its model.

    Raises:
        OSError: it cannot be loaded.
    """
    named = LoadedByName.pinned(emovid_models.MINI_ANNOTATOR if model is None else model, device)
    return Judge(named.identity(), named if by_workers else named.load(), named.taxonomy())


def judge_videos(
    videos: str | os.PathLike[str],
    intended: str | os.PathLike[str],
    judge: Judge,
    *,
    out: str | os.PathLike[str] | None = None,
    batch_size: int = 8,
    allow_missing: bool = False,
    engine: Executor | None = None,
    progress: bool = False,
) -> Judged:
    """Judge the videos of a folder.

    Args:
        videos: path or URL of the folder, searched with its subfolders.
        intended: path or URL of the table of what they were asked for; a video that it does not name is left
            out.
        judge: who judges.
        out: path or URL of a folder of what was judged, one Parquet file per judge, by default ``judged`` in
            the videos' folder. A video that is in it and has not changed is not judged again.
        batch_size: videos that the judge sees at once.
        allow_missing: count a video of the table that is not there as wrong, instead of refusing the table.
        engine: who judges them, by default this process.
        progress: show progress on stderr.

    Returns:
        A judgement for every row of the table.

    Raises:
        OSError: the folder or the table is not there, or `out` cannot be written.
        ValueError: the table is wrong, or names videos that are not there.
    """
    folder = without_credentials(os.fspath(videos))
    if "://" not in folder and not os.path.isdir(videos):
        raise FileNotFoundError(f"videos {folder} is not a folder")
    rows = read_intended(intended, judge.taxonomy)
    found = {item.key: item for item in find_items(videos)}
    missing = [row.file for row in rows if row.file not in found]
    if missing and not allow_missing:
        shown = without_credentials(os.fspath(intended))
        raise ValueError(
            f"{len(missing)} of {len(rows)} videos of {shown} are not in {folder}, first {missing[0]}; "
            "--allow-rejected counts them as wrong"
        )
    items = [found[row.file] for row in rows if row.file in found]
    place = joined(videos, "judged") if out is None else os.fspath(out)
    answers, reused = _annotate(items, judge, place, batch_size, engine, progress)
    return Judged(
        judge.identity,
        tuple(_judgement(row, answers.get(row.file)) for row in rows),
        reused,
        judge.taxonomy,
    )


def judge_clips(
    build: str | os.PathLike[str],
    judge: Judge,
    *,
    split: str = "test",
    content_type: str | None = None,
    out: str | os.PathLike[str],
    batch_size: int = 8,
    engine: Executor | None = None,
    progress: bool = False,
) -> Judged:
    """Judge real clips: what the judge itself can reach, since here the label is a person's.

    Args:
        build: its folder or a Hub repo.
        judge: who judges; it must not have learnt from these clips.
        split: of the build.
        content_type: one of the three, or None for all.
        out: path or URL of a folder of what was judged.
        batch_size: clips that the judge sees at once.
        engine: who judges them, by default this process.
        progress: show progress on stderr.

    Returns:
        A judgement for every clip that a person labelled.

    Raises:
        ValueError: there is no such clip, or the build has other emotions than the judge.
    """
    from emovid_dataset.read.select import select

    selection = select(build, split=split, content_type=content_type)
    if selection.clips:
        theirs = selection.clips[0].taxonomy
        check_same_emotions(f"the judge {judge.identity}", judge.taxonomy, str(build), theirs)
    chosen = [place for place, clip in enumerate(selection.clips) if clip.emotion_source == "human"]
    if not chosen:
        raise ValueError(f"{build} holds no clip of split {split!r} that a person labelled")

    clips = [selection.clips[place] for place in chosen]
    items = [clip_item(selection, place) for place in chosen]
    answers, reused = _annotate(items, judge, os.fspath(out), batch_size, engine, progress)
    rows = [Intended(clip.id, clip.emotion, clip.caption) for clip in clips]
    videos = tuple(_judgement(row, answers[row.file]) for row in rows)
    return Judged(judge.identity, videos, reused, judge.taxonomy)


def _annotate(
    items: Sequence[Item],
    judge: Judge,
    out: str,
    batch_size: int,
    engine: Executor | None,
    progress: bool,
) -> tuple[dict[str, Annotation], int]:
    name = re.sub(r"[^\w.@-]+", "_", judge.identity) + ".parquet"
    report = annotate(
        items,
        judge.annotator,  # type: ignore[arg-type]
        joined(out, name),
        identity=judge.identity,
        batch_size=batch_size,
        engine=engine,
        progress=progress,
    )
    return {item.key: item for item in report.annotations}, report.reused


def _judgement(row: Intended, answer: Annotation | None) -> Judgement:
    if answer is None:
        return Judgement(row.file, row.emotion, None, None, "the video is missing", row.prompt, row.seed)
    return Judgement(row.file, row.emotion, answer.emotion, answer.scores, answer.error, row.prompt, row.seed)
