"""The tables of a result: what stands above and below them, and the files that they become."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from huggingface_hub import ModelCard
from typer.testing import CliRunner

from emovid_dataset.cli import program
from emovid_dataset.schema.emotions import EMOTIONS
from emovid_models.evaluation.model_index import eval_results
from emovid_models.evaluation.result import (
    REAL,
    JudgeAnswer,
    JudgeRecord,
    PromptSet,
    RealClips,
    Result,
    System,
    Video,
    write_result,
)
from emovid_models.evaluation.result_tables import ResultTable, result_csv, result_tables
from emovid_models.evaluation.value import Value

SEES, AWED = "sees@1", "awed@2"
"""A judge that finds most labels, and one that answers awe to whatever it sees."""


def answer(emotion: str) -> JudgeAnswer:
    return JudgeAnswer(emotion, tuple(float(name == emotion) for name in EMOTIONS))


def video(system: str, scene: int, intended: str, seen: str | None) -> Video:
    failed = JudgeAnswer(None, None, "cannot be decoded")
    return Video(
        system=system,
        file=f"{scene}-{intended}.mp4",
        place=f"{system}/{scene}-{intended}.mp4",
        request=f"{scene}-{intended}",
        scene=str(scene),
        prompt=f"scene {scene}",
        intended=intended,
        seed=scene,
        error="cannot be decoded" if seen is None else None,
        answers={
            SEES: failed if seen is None else answer(seen),
            AWED: failed if seen is None else answer("awe"),
        },
    )


@pytest.fixture(scope="module")
def result() -> Result:
    """Twelve scenes, awe and fear: "good" shows both, "half" awe alone, and "broken" lacks half of them.

    Of the real clips, eight of each emotion, one judge finds three quarters.
    """
    shown = {
        "good": lambda scene, asked: asked,
        "half": lambda scene, asked: "awe",
        "broken": lambda scene, asked: asked if scene % 2 else None,
    }
    videos = tuple(
        video(name, scene, asked, see(scene, asked))
        for name, see in shown.items()
        for scene in range(12)
        for asked in ("awe", "fear")
    )
    real = tuple(
        video(REAL, index, emotion, emotion if index % 4 else "anger")
        for emotion in EMOTIONS
        for index in range(8)
    )
    return Result(
        systems=tuple(System(name=name, identity=f"{name}@0", place=name) for name in shown),
        judges=(
            JudgeRecord(identity=SEES, source="a"),
            JudgeRecord(identity=AWED, source="b", miniature=True),
        ),
        videos=videos,
        real=real,
        clips=RealClips(source="build", split="test", identity="0", count=64),
        prompts=PromptSet(name="own.jsonl", version=None, sha256="f" * 64, count=24, unbalanced=12),
    )


@pytest.fixture(scope="module")
def tables(result: Result) -> dict[str, ResultTable]:
    return {table.name: table for table in result_tables(result)}


def test_every_table_says_first_what_its_judges_are_worth(tables: dict[str, ResultTable]) -> None:
    kinds = ("ranking", "pairs", "recall", "probabilities")
    assert list(tables) == [f"{kind}-{judge}" for judge in (1, 2) for kind in kinds]
    for table in tables.values():
        sees, awed, order = table.above
        # anger is among the answers, so of its eight clips all are right: (7 * 6 + 8) / 64
        assert sees.startswith(f"Judge {SEES}: On 64 real clips it finds the label of 78.1%")
        assert "Unfit" not in sees and "(build, test)" in sees and "miniature" not in sees
        assert "Unfit: it answers “awe” to 100% of them" in awed and "miniature annotator" in awed
        assert order.startswith(f"{SEES} and {AWED}: The judges")


def test_failed_videos_stay_in_n_and_that_is_said(tables: dict[str, ResultTable]) -> None:
    for name, shares in (
        ("ranking-1", {"good": (0, "100.0%"), "half": (0, "50.0%"), "broken": (12, "50.0%")}),
        ("ranking-2", {"good": (0, "50.0%"), "half": (0, "50.0%"), "broken": (12, "25.0%")}),
    ):
        rows = {row[1]: row for row in tables[name].rows}
        assert {key: (row[2], row[3], row[4]) for key, row in rows.items()} == {
            key: (24, *cells) for key, cells in shares.items()
        }
        assert "never dropped" in tables[name].below[0]
    assert [row[0] for row in tables["ranking-1"].rows] == [1, 2, 2]
    assert any(
        "12 scenes of own.jsonl are not asked for every emotion" in text for text in tables["ranking-1"].below
    )


def test_two_judges_that_disagree_are_named(result: Result) -> None:
    other = {"good": "anger", "half": "awe", "broken": "fear"}
    videos = tuple(
        one if one.error else replace(one, answers={**one.answers, AWED: answer(other[one.system])})
        for one in result.videos
    )
    above = result_tables(replace(result, videos=videos))[0].above
    assert "disagree on the order of good and half" in above[-1]


def test_the_papers_rows_stand_only_beside_their_task(result: Result, tables: dict[str, ResultTable]) -> None:
    def papers(table: ResultTable) -> list[object]:
        return [row[4] for row in table.rows if str(row[1]).startswith("the paper's: ")]

    assert papers(tables["ranking-1"]) == []
    for task, shares in (("t2v", ["44.16%", "48.33%"]), ("i2v", ["71.30%", "76.25%"])):
        ranking, pairs, recall, *_ = result_tables(replace(result, task=task))
        assert papers(ranking)[-2:] == shares and len(papers(ranking)) == 5
        assert f"The paper's rows ({task.upper()})" in ranking.below[-1]
        assert "the paper's" not in str(pairs.rows) + str(recall.rows)


def test_a_score_is_a_number_or_says_why_there_is_none(result: Result) -> None:
    measured = replace(
        result,
        systems=tuple(
            replace(one, measures={"fvd": Value(None, reason="24 videos"), "flicker": Value(0.25, 24)})
            for one in result.systems
        ),
        videos=tuple(
            replace(
                one,
                scores={"flicker": 9.0, "motion": None, "light": 0.5 if one.scene == "0" else None},
                not_computed={"motion": "no OpenCV"},
            )
            for one in result.videos
            if one.error is None
        ),
    )
    table = result_tables(measured)[-1]
    assert (
        table.columns == ("score", "better", "good", "half", "broken", "real clips") and len(table.above) == 3
    )
    assert table.rows[0] == ("temporal flicker", "lower", *["0.2500"] * 3, None)
    light, reason = ("0.5000 (n = 2)",) * 2, "not computed: it was not measured"
    assert table.rows[1:] == (("light", None, *light, reason, None),)
    # for one reason in all systems
    assert table.below[1:] == ("motion: not computed: no OpenCV", "FVD: not computed: 24 videos")


def test_probabilities_are_scored(result: Result, tables: dict[str, ResultTable]) -> None:
    rows = {row[0]: row for row in tables["probabilities-2"].rows}
    # sure of awe, which half of the videos were to show; the failed ones have no probabilities
    assert rows["good"] == ("good", 24, "0.500", "0.000") and rows["broken"][1:] == (12, "0.500", "0.000")
    assert "0..3 bits" in tables["probabilities-2"].below[1]


def test_csv_has_the_numbers_and_the_judges_worth(result: Result) -> None:
    rows = list(csv.DictReader(io.StringIO(result_csv(result))))
    found = {(row["judge"], row["system"]): row for row in rows}
    assert len(rows) == 6
    assert float(found[SEES, "broken"]["ea_8cls"]) == 0.5 and found[SEES, "broken"]["failed"] == "12"
    assert float(found[SEES, "half"]["recall_awe"]) == 1 and found[SEES, "half"]["recall_anger"] == ""
    assert float(found[AWED, "good"]["judge_accuracy"]) == 0.125
    assert {key: row["judge_unfit"] for key, row in found.items() if key[1] == "good"} == {
        (SEES, "good"): "False",
        (AWED, "good"): "True",
    }


def test_a_model_card_takes_the_figures(result: Result) -> None:
    found = eval_results(result, "good")
    assert [(one.metric_type, one.metric_value) for one in found] == [
        ("ea_8cls", value) for value in (1, 1, 0.5, 0.5)
    ]
    assert found[2].metric_args["judge_unfit"] is True and found[0].metric_args["inputs"] == result.inputs
    with pytest.raises(ValueError, match="it has: good, half, broken"):
        eval_results(result, "best")


def test_a_report_is_made_of_the_folder_alone(result: Result, tmp_path: Path) -> None:
    write_result(result, tmp_path / "scores")
    names = {"markdown": "t.md", "latex": "t.tex", "csv": "t.csv", "model-index": "card.yaml"}
    options = [part for name, file in names.items() for part in (f"--{name}", str(tmp_path / "made" / file))]
    command = ["report", str(tmp_path / "scores" / "result.json"), *options, "--system", "good", "--json"]
    found = CliRunner().invoke(program(), command)
    assert found.exit_code == 0, found.output
    printed = json.loads(found.stdout)
    assert printed["inputs"] == result.inputs and len(printed["systems"]) == 6
    text = {name: (tmp_path / "made" / file).read_text(encoding="utf-8") for name, file in names.items()}
    assert text["csv"] == result_csv(result)
    heading, _, rest = text["markdown"].partition(f"\n\nJudge {SEES}: ")
    assert heading == f"## Systems, judged by {SEES}" and rest.index("Unfit") < rest.index(
        "| 1 | good | 24 |"
    )
    assert r"1 & good & 24 & 0 & 100.0\% &" in text["latex"] and "%\n" not in text["latex"].replace(r"\%", "")
    card = ModelCard(f"---\n{text['model-index']}---\n# good\n", ignore_metadata_errors=False)
    assert card.data.model_name == "good" and len(card.data.eval_results) == 4
    assert yaml.safe_load(text["model-index"])["model-index"][0]["name"] == "good"

    with pytest.raises(ValueError, match="go together"):
        CliRunner().invoke(program(), [*command[:2], "--system", "good"], catch_exceptions=False)
