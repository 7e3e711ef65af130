"""`StudyPlan`: everything that is fixed before a study starts, and what each rater is asked; `study.json`.

A rater's way is a list of steps::

    practice ... practice   trial trial check trial ... trial check trial

Each step shows the videos of one scene by some systems and asks its questions one after the other. The way is
a function of the plan and the rater's number, so nothing about it need be kept.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from emovid_models.study.design import Design, spread_checks
from emovid_models.study.power import Need
from emovid_models.study.votes import CHECK, Kind

PLAN_NAME = "study.json"
VIDEOS_FOLDER = "videos"
"""Holds a video per scene and system; its name says nothing of either."""
QUESTIONS = ("emotion", "quality", "overall")
"""Which video shows the emotion best, has the best picture, is the best overall."""

FORMAT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """A prompt with an emotion and a seed, as every system made it.

    Attributes:
        id: such as "s0001"; the `prompt` of a vote.
        prompt: in words, "" if unknown.
        emotion: that was asked for.
        seed: of the noise, None if unknown.
        videos: by system the id of its video.
    """

    id: str
    prompt: str
    emotion: str
    seed: int | None
    videos: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class SceneLeftOut:
    """A scene that is not shown, since a system has no video of it.

    Attributes:
        system: that lacks it.
        prompt, emotion, seed: of the scene.
        reason: in one line.
    """

    system: str
    prompt: str
    emotion: str
    seed: int | None
    reason: str


@dataclass(frozen=True, slots=True)
class Step:
    """What a rater sees at one place.

    Attributes:
        place: on the rater's way, from 0.
        kind: "practice", "trial" or "check".
        scene: whose videos are shown.
        shown: the systems, in the order of their places.
        questions: that are asked, in order.
        expected: in a check, the system that the question names; else None.
    """

    place: int
    kind: Kind
    scene: Scene
    shown: tuple[str, ...]
    questions: tuple[str, ...]
    expected: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyPlan:
    """Everything that is fixed before a study starts.

    Attributes:
        systems: that are compared; raters never see their names.
        scenes: of the trials.
        practice: scenes of the practice round; they are in no trial.
        questions: asked in every trial, in order.
        together: videos that a trial shows.
        per_rater: trials of a rater.
        checks: attention checks of a rater.
        most_failed_checks: a rater who fails more is left out of the analysis, by this rule.
        seconds: until a question is passed over, None without a limit.
        seed: of orders and places.
        inputs: sha256 of all videos with what they were to show.
        need: votes and raters, with what was assumed for it.
        left_out: scenes that not every system has.
    """

    systems: tuple[str, ...]
    scenes: tuple[Scene, ...]
    practice: tuple[Scene, ...]
    questions: tuple[str, ...] = QUESTIONS
    together: int = 2
    per_rater: int
    checks: int = 2
    most_failed_checks: int = 1
    seconds: int | None = None
    seed: int = 0
    inputs: str = ""
    need: Mapping[str, Any] = field(default_factory=dict)
    left_out: tuple[SceneLeftOut, ...] = ()

    @property
    def design(self) -> Design:
        """Of the trials."""
        return Design(len(self.scenes), len(self.systems), self.together, self.per_rater, self.seed)

    @property
    def videos(self) -> frozenset[str]:
        """Ids of all videos."""
        return frozenset(video for scene in (*self.scenes, *self.practice) for video in scene.videos.values())

    def steps(self, number: int) -> tuple[Step, ...]:
        """A rater's way.

        Args:
            number: of the rater, from 0.
        """
        random = np.random.default_rng([self.seed, number, 3])
        steps: list[Step] = []

        def add(
            kind: Kind,
            scene: Scene,
            shown: tuple[str, ...],
            questions: tuple[str, ...],
            expected: str | None = None,
        ) -> None:
            steps.append(Step(len(steps), kind, scene, shown, questions, expected))

        sets = list(combinations(range(len(self.systems)), self.together))
        for turn, scene in enumerate(self.practice):
            drawn = random.permutation(sets[(number + turn) % len(sets)])
            add("practice", scene, self._named(drawn), self.questions)
        trials = self.design.trials(number)
        checks = spread_checks(len(trials), self.checks, self.seed * 1_000_003 + number)
        for index, cell in enumerate(trials):
            scene, shown = self.scenes[cell.prompt], self._named(cell.systems)
            for _ in range(checks.count(index)):
                # videos that are known already, so that a check shows nothing of a trial beforehand
                known = self.practice[len(steps) % len(self.practice)] if self.practice else scene
                expected = shown[int(random.integers(len(shown)))]
                add("check", known, shown, (CHECK,), expected)
            add("trial", scene, shown, self.questions)
        return tuple(steps)

    def _named(self, indices: Any) -> tuple[str, ...]:
        return tuple(self.systems[int(index)] for index in indices)

    def to_json(self) -> str:
        """The text of `study.json`."""
        body = {"format": FORMAT, **asdict(self)}
        return json.dumps(body, ensure_ascii=False, indent=1, allow_nan=False) + "\n"


def need_of(need: Need, **assumed: Any) -> dict[str, Any]:
    """What a study needs, as the plan keeps it, with what was assumed for it."""
    return asdict(need) | {"assumed": assumed}


def read_plan(study: Path) -> StudyPlan:
    """Read the plan of a study.

    Args:
        study: its folder.

    Raises:
        FileNotFoundError: it is not the folder of a study.
        ValueError: `study.json` is not a plan.
    """
    path = study / PLAN_NAME
    if not path.is_file():
        raise FileNotFoundError(f"{study} is not the folder of a study: it has no {PLAN_NAME}")
    try:
        body = json.loads(path.read_bytes())
        if body.pop("format", None) != FORMAT:
            raise ValueError(f"its format is not {FORMAT}")
        for name, kind in (("scenes", Scene), ("practice", Scene), ("left_out", SceneLeftOut)):
            body[name] = tuple(kind(**entry) for entry in body[name])
        for name in ("systems", "questions"):
            body[name] = tuple(body[name])
        plan = StudyPlan(**body)
        _ = plan.design
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"{path} is not the plan of a study: {error}") from error
    return plan
