"""What a study says: preferences, agreement of raters, and agreement of judges with people.

Who fails more attention checks than the plan of the study allows is left out, a rule that stood before the
first vote. Everything is also computed with them, so that a reader sees what the rule does.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from emovid_dataset.agree.alpha import krippendorff_alpha
from emovid_dataset.agree.coefficient import Coefficient
from emovid_models.study.judges import JudgeAgreement, agreement_with_judges
from emovid_models.study.plan import StudyPlan, read_plan
from emovid_models.study.preference import Choice, Preference, preference
from emovid_models.study.votes import Vote, failed_checks, read_votes

if TYPE_CHECKING:
    from emovid_models.evaluation.result import Result

DRAWS = 1000
"""Bootstrap samples of agreement."""

EMOTION = "emotion"
"""The question that judges are compared with."""


@dataclass(frozen=True, slots=True)
class ChoiceAgreement:
    """How far raters agree on one question about one set of systems.

    Attributes:
        systems: that were shown together.
        cells: scenes on which at least two raters voted.
        alpha: Krippendorff's alpha of the systems chosen, with an interval over scenes.
    """

    systems: tuple[str, ...]
    cells: int
    alpha: Coefficient


@dataclass(frozen=True, slots=True)
class Answers:
    """What some of the raters said on one question.

    Attributes:
        preference: None where nobody voted.
        agreement: one for each set of systems that were shown together.
        passed_over: how often nothing was chosen: the time was over, or a video could not be played.
    """

    preference: Preference | None
    agreement: tuple[ChoiceAgreement, ...]
    passed_over: int


@dataclass(frozen=True, slots=True)
class QuestionAnalysis:
    """A question of the study.

    Attributes:
        question: such as "emotion".
        kept: without raters who failed the attention checks.
        everyone: with them.
    """

    question: str
    kept: Answers
    everyone: Answers


@dataclass(frozen=True, slots=True)
class StudyAnalysis:
    """A study, analysed.

    Attributes:
        systems: that were compared.
        scenes: how many were to be voted on.
        together: systems that a trial shows.
        raters: who gave a vote that counts.
        most_failed_checks: that a rater may fail, fixed before the study.
        left_out: raters who failed more, and how many.
        planned_raters: that the plan asked for; None if it does not say.
        questions: in the order in which they were asked.
        judges: agreement of each judge of a result with people; empty without a result.
        inputs: sha256 of all that went in: plan, votes, and the result of the evaluation.
    """

    systems: tuple[str, ...]
    scenes: int
    together: int
    raters: int
    most_failed_checks: int
    left_out: Mapping[str, int]
    planned_raters: int | None
    questions: tuple[QuestionAnalysis, ...]
    judges: tuple[JudgeAgreement, ...]
    inputs: str

    @property
    def counted_raters(self) -> int:
        """Raters whose votes count."""
        return self.raters - len(self.left_out)


def analyse_folder(study: Path, result: Result | None = None) -> StudyAnalysis:
    """Analyse the study in a folder.

    Args:
        study: its folder, with `study.json` and the folder of votes.
        result: of an evaluation of the same systems, whose judges are compared with people.

    Raises:
        FileNotFoundError: it is not the folder of a study, or nobody has voted.
        ValueError: plan or votes cannot be read, or do not belong together; the result is of other systems.
    """
    return analyse(read_plan(study), read_votes(study), result)


def analyse(plan: StudyPlan, votes: Sequence[Vote], result: Result | None = None) -> StudyAnalysis:
    """Analyse a study.

    Args:
        plan: of the study.
        votes: as `read_votes` gives them.
        result: of an evaluation of the same systems, whose judges are compared with people.

    Raises:
        ValueError: there are no votes, or votes on systems, scenes or questions that the plan does not have;
            the result is of other systems.
    """
    _check(plan, votes)
    failed = failed_checks(votes)
    left_out = {rater: count for rater, count in failed.items() if count > plan.most_failed_checks}
    trials = [vote for vote in votes if vote.kind == "trial"]
    if not trials:
        raise ValueError("the study has no votes")
    questions = []
    for question in plan.questions:
        asked = [vote for vote in trials if vote.question == question]
        kept = [vote for vote in asked if vote.rater not in left_out]
        questions.append(QuestionAnalysis(question, _answers(kept, plan), _answers(asked, plan)))
    on_emotion = [
        vote.choice
        for vote in trials
        if vote.question == EMOTION and vote.choice is not None and vote.rater not in left_out
    ]
    return StudyAnalysis(
        systems=plan.systems,
        scenes=len(plan.scenes),
        together=plan.together,
        raters=len({vote.rater for vote in trials}),
        most_failed_checks=plan.most_failed_checks,
        left_out={rater: left_out[rater] for rater in sorted(left_out)},
        planned_raters=plan.need.get("raters"),
        questions=tuple(questions),
        judges=() if result is None else agreement_with_judges(plan, on_emotion, result),
        inputs=_inputs(plan, votes, result),
    )


def _check(plan: StudyPlan, votes: Sequence[Vote]) -> None:
    scenes = {scene.id for scene in plan.scenes}
    for vote in votes:
        if unknown := set(vote.shown) - set(plan.systems):
            raise ValueError(
                f"votes of {vote.rater} name the systems {sorted(unknown)}, which the plan lacks"
            )
        if vote.kind != "trial":
            continue
        for name, known in (("question", plan.questions), ("prompt", scenes)):
            if (value := getattr(vote, name)) not in known:
                raise ValueError(f"votes of {vote.rater} name the {name} {value!r}, which the plan lacks")


def _answers(votes: Sequence[Vote], plan: StudyPlan) -> Answers:
    choices = [vote.choice for vote in votes if vote.choice is not None]
    # Scenes of one prompt, with other emotions or seeds, are not independent.
    words = {scene.id: scene.prompt or scene.id for scene in plan.scenes}
    by_prompt = [replace(choice, prompt=words[choice.prompt]) for choice in choices]
    return Answers(
        preference(by_prompt, plan.systems) if choices else None,
        tuple(_agreement(choices)),
        len(votes) - len(choices),
    )


def _agreement(choices: Sequence[Choice]) -> list[ChoiceAgreement]:
    """By set of systems; over several sets at once the sets alone would make raters seem to agree."""
    sets: dict[tuple[str, ...], dict[str, list[str]]] = {}
    for choice in choices:
        sets.setdefault(tuple(sorted(choice.shown)), {}).setdefault(choice.prompt, []).append(choice.chosen)
    found = []
    for systems, cells in sorted(sets.items()):
        counts = np.array([[chosen.count(name) for name in systems] for chosen in cells.values()])
        alpha = krippendorff_alpha(counts, draws=DRAWS)
        found.append(ChoiceAgreement(systems, int((counts.sum(1) > 1).sum()), alpha))
    return found


def _inputs(plan: StudyPlan, votes: Sequence[Vote], result: Result | None) -> str:
    digest = hashlib.sha256(plan.to_json().encode())
    for vote in votes:
        digest.update(f"{vote.to_json()}\n".encode())
    if result is not None:
        digest.update(result.inputs.encode())
    return digest.hexdigest()
