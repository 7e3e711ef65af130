"""`emovid study analyse`: what counts, who is left out, how judges compare with people, what is written."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from benchmarks.study_intervals import RECORD, STUDIES
from emovid_dataset.cli import program
from emovid_models.evaluation.result import JudgeAnswer, JudgeRecord, Result, System, Video, write_result
from emovid_models.study.analyse import StudyAnalysis, analyse
from emovid_models.study.analysis_report import analysis_latex, render_analysis_page
from emovid_models.study.plan import PLAN_NAME, Scene, StudyPlan
from emovid_models.study.preference import preference
from emovid_models.study.votes import VOTES_FOLDER, Vote

EMOTIONS = ("awe", "fear")


def plan_of(systems: Sequence[str], prompts: int, together: int = 2) -> StudyPlan:
    scenes = tuple(
        Scene(id=f"s{index:04d}", prompt=f"prompt {index}", emotion=EMOTIONS[index % 2], seed=7, videos={})
        for index in range(prompts)
    )
    return StudyPlan(
        systems=tuple(systems),
        scenes=scenes,
        practice=(),
        questions=("emotion", "overall"),
        together=together,
        per_rater=prompts,
        most_failed_checks=1,
        need={"raters": 30},
    )


def vote(rater: int, place: int, chosen: str | None, shown: Sequence[str] = "ab", **changes: object) -> Vote:
    row = {
        "rater": f"r{rater:04d}",
        "place": place,
        "kind": "trial",
        "question": "emotion",
        "prompt": f"s{place:04d}",
        "shown": list(shown),
        "chosen": chosen,
        "ms": 900,
        "version": 1,
    }
    return Vote.from_mapping({**row, **changes})


def check(rater: int, place: int, chosen: str) -> Vote:
    return vote(rater, place, chosen, kind="check", question="check", expected="a")


def votes_of_ten() -> list[Vote]:
    """Ten raters on ten prompts. Of each ten votes of 0 to 7 six are for a, of 8 and 9 none.

    Rater 8 fails two attention checks, 9 one; 0 does not answer in time at one place, and misses its overall.
    """
    votes = []
    for rater in range(10):
        for place in range(10):
            for_a = (rater + place) % 10 < 6 and rater < 8
            chosen = None if (rater, place) == (0, 0) else "a" if for_a else "b"
            votes.append(vote(rater, place, chosen))
            votes.append(vote(rater, place, chosen and "a", question="overall"))
        votes += [check(rater, 20, "b" if rater >= 8 else "a"), check(rater, 21, "b" if rater == 8 else "a")]
    votes.append(vote(1, 30, "b", kind="practice"))
    return votes


@pytest.fixture(scope="module")
def found() -> StudyAnalysis:
    return analyse(plan_of("ab", 10), votes_of_ten())


def test_who_fails_more_checks_than_the_plan_allows_is_left_out(found: StudyAnalysis) -> None:
    assert (found.raters, found.counted_raters, found.left_out) == (10, 9, {"r0008": 2})
    kept, everyone = found.questions[0].kept, found.questions[0].everyone
    assert kept.preference is not None and everyone.preference is not None
    assert (kept.preference.votes, everyone.preference.votes) == (89, 99)
    # eight raters with six of ten, less the one vote that came too late, which was for a
    assert kept.preference.top1["a"].value == pytest.approx(47 / 89)
    assert everyone.preference.top1["a"].value == pytest.approx(47 / 99)
    assert kept.passed_over == everyone.passed_over == 1
    assert found.questions[1].question == "overall"
    overall = found.questions[1].kept.preference
    assert overall is not None and overall.top1["a"].value == 1 and overall.worths is None


def test_figures_are_those_of_preference_with_votes_on_one_prompt_held_together() -> None:
    plan, votes = plan_of("ab", 10), votes_of_ten()
    choices = [one.choice for one in votes if one.kind == "trial" and one.question == "emotion"]
    whole = [choice for choice in choices if choice is not None and choice.rater != "r0008"]
    assert analyse(plan, votes).questions[0].kept.preference == preference(whole, "ab")
    same = tuple(replace(scene, prompt=f"prompt {index // 2}") for index, scene in enumerate(plan.scenes))
    together = [replace(choice, prompt=str(int(choice.prompt[1:]) // 2)) for choice in whole]
    paired = analyse(replace(plan, scenes=same), votes).questions[0].kept.preference
    assert paired is not None and paired.prompts == 5
    assert paired.top1 == preference(together, "ab").top1


def test_agreement_is_of_each_set_of_systems() -> None:
    plan = plan_of("abc", 2)
    votes = []
    for rater in range(3):
        votes.append(vote(rater, 0, "a", "ab"))
        votes.append(vote(rater, 1, "b" if rater else "c", "bc"))
    found = analyse(plan, votes).questions[0].kept.agreement
    assert [(one.systems, one.cells) for one in found] == [(("a", "b"), 1), (("b", "c"), 1)]
    assert found[0].alpha.value is None and found[0].alpha.reason == "all answers are the same"
    # observed disagreement 2/3, expected 2/3 of three answers, 2 and 1
    assert found[1].alpha.value == pytest.approx(0.0)


def result_of(right: Mapping[str, Sequence[bool]], prompts: int) -> Result:
    videos = tuple(
        Video(
            system=system,
            file=f"{index}.mp4",
            place="",
            request=str(index),
            scene=str(index),
            prompt=f"prompt {index}",
            intended=EMOTIONS[index % 2],
            seed=7,
            answers={"j": JudgeAnswer(EMOTIONS[index % 2] if seen else "anger", None)},
        )
        for system, answers in right.items()
        for index, seen in zip(range(prompts), answers, strict=True)
    )
    systems = tuple(System(name=name, identity=name, place="") for name in right)
    return Result(systems=systems, judges=(JudgeRecord(identity="j", source="judge"),), videos=videos)


def test_a_judge_is_compared_with_people_over_systems_and_videos() -> None:
    systems, prompts = "abcdef", 12
    plan = plan_of(systems, prompts, together=6)
    random = np.random.default_rng(0)
    # people prefer on each prompt one system, the same for all raters
    best = random.choice(list(systems), prompts, p=[0.4, 0.3, 0.15, 0.05, 0.05, 0.05])
    votes = [vote(rater, place, best[place], systems) for rater in range(4) for place in range(prompts)]
    seen = {name: [bool(best[place] == name) for place in range(prompts)] for name in systems}
    agreeing = analyse(plan, votes, result_of(seen, prompts)).judges[0]
    assert agreeing.over_videos.value == pytest.approx(1) and agreeing.over_videos.n == 72
    assert agreeing.over_systems.value == pytest.approx(1) and agreeing.over_systems.n == 6
    guess = {name: list(random.random(prompts) < 0.5) for name in systems}
    guessing = analyse(plan, votes, result_of(guess, prompts)).judges[0]
    rights = np.array([[guess[name][place] for name in systems] for place in range(prompts)], float)
    shares = np.array([[best[place] == name for name in systems] for place in range(prompts)], float)
    over = guessing.over_videos
    assert over.value == pytest.approx(np.corrcoef(rights.ravel(), shares.ravel())[0, 1])
    assert over.low is not None and over.high is not None and over.low < 0 < over.high
    by_system = np.corrcoef(rights.mean(0), shares.mean(0))[0, 1]
    assert guessing.over_systems.value == pytest.approx(by_system)
    assert guessing.over_systems.high == pytest.approx(np.tanh(np.arctanh(by_system) + 1.959964 / 3**0.5))
    assert guessing.missing == 0


def test_too_few_is_said_and_other_systems_are_refused() -> None:
    votes = [vote(rater, place, "a") for rater in range(3) for place in range(9)]
    seen = {"a": [True] * 9, "b": [False] * 9}
    (judge,) = analyse(plan_of("ab", 9), votes, result_of(seen, 9)).judges
    assert judge.over_systems.reason == "too few: 2 systems, and 5 are needed"
    assert judge.over_videos.reason == "too few: 9 prompts, and 10 are needed"
    with pytest.raises(ValueError, match=r"lacks the systems \['b'\]"):
        analyse(plan_of("ab", 9), votes, result_of({"a": [True] * 9}, 9))


@pytest.mark.parametrize(
    ("votes", "message"),
    [
        ([check(0, 3, "a")], "the study has no votes"),
        ([vote(0, 0, "c", "ac")], r"votes of r0000 name the systems \['c'\]"),
        ([vote(0, 0, "a", question="colour")], "name the question 'colour'"),
        ([vote(0, 70, "a")], "name the prompt 's0070'"),
    ],
)
def test_votes_of_another_study_are_refused(votes: list[Vote], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        analyse(plan_of("ab", 10), votes)


def test_the_same_input_has_the_same_digest_and_other_input_another(found: StudyAnalysis) -> None:
    votes = votes_of_ten()
    assert analyse(plan_of("ab", 10), votes).inputs == found.inputs
    assert analyse(plan_of("ab", 10), votes[1:]).inputs != found.inputs
    assert analyse(replace(plan_of("ab", 10), seed=1), votes).inputs != found.inputs


def test_names_do_no_harm_on_the_page_and_in_latex() -> None:
    systems = ("<b>x</b>", "a_b & 50%")
    votes = [
        vote(rater, place, systems[(rater + place) % 2], systems) for rater in range(4) for place in range(4)
    ]
    found = analyse(plan_of(systems, 4), votes)
    page = render_analysis_page(found)
    assert "<b>x</b>" not in page and "&lt;b&gt;x&lt;/b&gt;" in page
    assert "<script" not in page and "http://" not in page and "https://" not in page
    latex = analysis_latex(found)
    assert r"a\_b \& 50\% & 50.0 [" in latex and latex.count(r"\\") == 3
    assert "so nobody is left out" in page and r"& -- \\" in latex, "nobody answered the second question"


def test_the_command_prints_tables_and_writes_page_latex_and_json(tmp_path: Path) -> None:
    study = tmp_path / "study"
    (study / VOTES_FOLDER).mkdir(parents=True)
    (study / PLAN_NAME).write_text(plan_of("ab", 10).to_json())
    for one in votes_of_ten():
        with (study / VOTES_FOLDER / f"{one.rater}.jsonl").open("a") as file:
            file.write(one.to_json() + "\n")
    seen = {"a": [True, False] * 5, "b": [False, False, True, True, True] * 2}
    write_result(result_of(seen, 10), tmp_path / "scores")
    ask = ["study", "analyse", str(study), "--result", str(tmp_path / "scores")]
    files = ["--html", str(tmp_path / "page.html"), "--latex", str(tmp_path / "table.tex")]
    told = CliRunner().invoke(program(), [*ask, *files])
    assert told.exit_code == 0, told.output
    assert "9 of 10 raters count" in told.stdout and "r0008 (2)" in told.stdout
    assert "over systems: too few: 2 systems, and 5 are needed" in told.stdout
    page = (tmp_path / "page.html").read_text()
    assert "52.8 %" in page and "47.5 %" in page, "47 of 89, and with all raters of 99"
    assert (tmp_path / "table.tex").read_text().count("52.8 [") == 1
    made = CliRunner().invoke(program(), [*ask, "--json"])
    assert made.exit_code == 0, made.output
    body = json.loads(made.stdout)
    assert body["questions"][0]["kept"]["preference"]["top1"]["a"]["value"] == pytest.approx(47 / 89)
    assert body["left_out"] == {"r0008": 2} and body["counted_raters"] == 9
    empty = CliRunner().invoke(program(), ["study", "analyse", str(tmp_path / "scores")])
    assert isinstance(empty.exception, FileNotFoundError) and "is not the folder of a study" in str(
        empty.exception
    )


def test_intervals_covered_what_is_true_in_93_to_97_of_100_studies() -> None:
    record = json.loads(RECORD.read_text())
    assert record["studies"] == STUDIES == 500
    shares = {
        (shape, name, system): count / STUDIES
        for shape, row in record["shapes"].items()
        for name, counts in row["covered"].items()
        for system, count in counts.items()
    }
    assert len(shares) == 12
    assert {key: share for key, share in shares.items() if not 0.93 <= share <= 0.97} == {}
