"""Make the folder of a study: the plan, videos under names that say nothing, and the words of the page."""

from __future__ import annotations

import hashlib
import math
import os
import secrets
import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from emovid_dataset.media.encoding import Encoding
from emovid_dataset.media.playable import PREVIEW, write_playable
from emovid_dataset.media.portable.errors import VideoError
from emovid_dataset.media.source import Reader
from emovid_dataset.terminal import Progress
from emovid_models.study.plan import (
    PLAN_NAME,
    QUESTIONS,
    VIDEOS_FOLDER,
    Scene,
    SceneLeftOut,
    StudyPlan,
    need_of,
)
from emovid_models.study.power import Need, needed
from emovid_models.study.scenes import Footage, Footages, check_names, read_scenes
from emovid_models.study.wording import copy_wordings


@dataclass(frozen=True, slots=True, kw_only=True)
class StudySettings:
    """What a study asks, and of whom.

    Attributes:
        questions: of `QUESTIONS`, in the order in which they are asked.
        together: videos that a trial shows; 2 are pairs.
        per_rater: trials of a rater, None for 20 or as many as there are.
        checks: attention checks of a rater.
        most_failed_checks: of a rater whose votes count.
        practice: scenes of the practice round.
        seconds: until a question is passed over, None without a limit.
        seed: of orders and places.
        preferred: share of first choices that is to be told from chance; None for a half more than chance.
        power: to find it.
        alpha: level of the test, of which each system gets its part.
        correlation: of two votes of one rater.
    """

    questions: tuple[str, ...] = QUESTIONS
    together: int = 2
    per_rater: int | None = None
    checks: int = 2
    most_failed_checks: int = 1
    practice: int = 2
    seconds: int | None = None
    seed: int = 0
    preferred: float | None = None
    power: float = 0.8
    alpha: float = 0.05
    correlation: float = 0.05


def build_study(
    results: Sequence[str],
    out: Path,
    settings: StudySettings = StudySettings(),
    *,
    videos_roots: Sequence[str | os.PathLike[str]] = (),
    progress: bool = False,
) -> StudyPlan:
    """Make the folder of a study, whole or not at all.

    Args:
        results: as `read_scenes`.
        out: the folder; it must not exist, or be empty.
        settings: what is asked, and of whom.
        videos_roots: as `read_scenes`.
        progress: show progress on stderr.

    Returns:
        The plan.

    Raises:
        FileExistsError: `out` holds something.
        ValueError, OSError: the results cannot be compared, or a setting does not fit them.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise FileExistsError(f"--out {out} is not empty; a study that has begun is not built over")
    systems, found = read_scenes(results, videos_roots)
    check_names(systems, results)
    plan_check(settings, systems, sum(not scene.missing for scene in found))
    out.parent.mkdir(parents=True, exist_ok=True)
    unfinished = out.with_name(f".{out.name}.{secrets.token_hex(4)}.part")
    try:
        (unfinished / VIDEOS_FOLDER).mkdir(parents=True)
        scenes, left_out, inputs = _make_videos(found, systems, settings, unfinished, progress)
        plan = _plan(settings, systems, scenes, left_out, inputs)
        copy_wordings(unfinished)
        (unfinished / PLAN_NAME).write_text(plan.to_json(), encoding="utf-8")
        if out.exists():
            out.rmdir()
        os.replace(unfinished, out)
    except BaseException:
        with suppress(OSError):
            shutil.rmtree(unfinished)
        raise
    return plan


def plan_check(settings: StudySettings, systems: Sequence[str], scenes: int) -> Need:
    """Check that a study can be made, and say what it needs.

    Args:
        settings: what is asked, and of whom.
        systems: that are compared.
        scenes: that every system has, practice among them.

    Raises:
        ValueError: a setting does not fit.
    """
    if settings.together > len(systems):
        raise ValueError(f"--together is {settings.together}; there are {len(systems)} systems")
    left = scenes - settings.practice
    if left < 1:
        raise ValueError(
            f"the systems have {scenes} scenes in common; --practice {settings.practice} leaves no others"
        )
    trials = _trials(settings, systems, left)
    if settings.checks > trials:
        raise ValueError(f"--checks is {settings.checks}; a rater has {trials} trials")
    # a system is in this share of the trials that a rater sees
    own = max(1, math.floor(trials * settings.together / len(systems)))
    tests = 1 if len(systems) == 2 else len(systems)
    found = needed(
        preferred=_preferred(settings),
        systems=settings.together,
        votes_per_rater=own,
        power=settings.power,
        alpha=settings.alpha / tests,
        correlation=settings.correlation,
    )
    return found


def _preferred(settings: StudySettings) -> float:
    return 1.5 / settings.together if settings.preferred is None else settings.preferred


def _trials(settings: StudySettings, systems: Sequence[str], scenes: int) -> int:
    cells = scenes * math.comb(len(systems), settings.together)
    if settings.per_rater is None:
        return min(20, cells)
    if settings.per_rater > cells:
        raise ValueError(f"--trials is {settings.per_rater}; there are {cells} different ones")
    return settings.per_rater


def _make_videos(
    found: Sequence[Footages], systems: Sequence[str], settings: StudySettings, out: Path, progress: bool
) -> tuple[list[Scene], list[SceneLeftOut], str]:
    """Every scene that all systems have, with its videos; what is left out; and the digest of all."""
    total = sum(not scene.missing for scene in found) * len(systems)
    names = np.random.default_rng([settings.seed, 2]).permutation(total)
    scenes: list[Scene] = []
    left_out: list[SceneLeftOut] = []
    digest = hashlib.sha256()
    given = 0
    with Progress(total, unit="videos", title="Videos", enabled=progress) as bar:
        for scene in found:
            missing = dict(scene.missing)
            videos: dict[str, str] = {}
            for system in systems if not missing else ():
                name = f"v{names[given] + 1:05d}"
                given += 1
                try:
                    content = _make_video(scene.videos[system], out / VIDEOS_FOLDER / f"{name}.mp4")
                except VideoError as error:
                    missing[system] = f"{scene.videos[system].file} {error}"
                else:
                    asked = (system, scene.prompt, scene.emotion, scene.seed, content)
                    digest.update(repr(asked).encode())
                    videos[system] = name
                bar.update()
            for system, reason in missing.items():
                left_out.append(SceneLeftOut(system, scene.prompt, scene.emotion, scene.seed, reason))
            if missing:
                for name in videos.values():
                    (out / VIDEOS_FOLDER / f"{name}.mp4").unlink()
                continue
            scenes.append(
                Scene(
                    id=f"s{len(scenes) + 1:04d}",
                    prompt=scene.prompt,
                    emotion=scene.emotion,
                    seed=scene.seed,
                    videos=videos,
                )
            )
    return scenes, left_out, digest.hexdigest()


def _make_video(footage: Footage, out: Path) -> str:
    """Write a video as every browser plays it, without what its file says of where it comes from.

    Returns:
        The sha256 of the system's own file.
    """
    with footage.folder.local(footage.file) as source:
        content = hashlib.sha256(source.read_bytes()).hexdigest()
        if footage.sha256 not in (None, content):
            raise VideoError("is not the file that was judged")
        reader = Reader(source)
        try:
            write_playable(reader, Encoding.of(reader, PREVIEW, is_whole=True), out)
        finally:
            reader.close()
    return content


def _plan(
    settings: StudySettings,
    systems: tuple[str, ...],
    scenes: Sequence[Scene],
    left_out: Sequence[SceneLeftOut],
    inputs: str,
) -> StudyPlan:
    need = plan_check(settings, systems, len(scenes))
    order = np.random.default_rng([settings.seed, 4]).permutation(len(scenes))
    practice = {int(index) for index in order[: settings.practice]}
    kept = [scene for index, scene in enumerate(scenes) if index not in practice]
    return StudyPlan(
        systems=systems,
        scenes=tuple(kept),
        practice=tuple(scenes[index] for index in sorted(practice)),
        questions=settings.questions,
        together=settings.together,
        per_rater=_trials(settings, systems, len(kept)),
        checks=settings.checks,
        most_failed_checks=settings.most_failed_checks,
        seconds=settings.seconds,
        seed=settings.seed,
        inputs=inputs,
        need=need_of(
            need,
            preferred=_preferred(settings),
            power=settings.power,
            alpha=settings.alpha,
            correlation=settings.correlation,
        ),
        left_out=tuple(left_out),
    )
