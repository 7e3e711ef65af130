"""A result of many systems is written once, read back whole, and known by what went in."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from emovid_models.evaluation import score
from emovid_models.evaluation.result import (
    REAL,
    RESULT_NAME,
    VIDEOS_NAME,
    JudgeAnswer,
    JudgeRecord,
    Result,
    System,
    Video,
    read_result,
    write_result,
)
from emovid_models.evaluation.value import Value

SURE = (0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)


def video(system: str, intended: str, answer: JudgeAnswer | None, **fields: Any) -> Video:
    return Video(
        system=system,
        file=f"{intended}.mp4",
        place=f"../{system}/{intended}.mp4",
        request=f"cat-{intended}",
        scene="cat",
        prompt="a cat",
        intended=intended,
        seed=3,
        sha256=None if answer is None else "0" * 64,
        error="the video is missing" if answer is None else None,
        answers={} if answer is None else {"judge@1": answer},
        **fields,
    )


@pytest.fixture
def result() -> Result:
    """Two systems; one video is missing, and one could not be judged."""
    awe = JudgeAnswer("awe", SURE)
    return Result(
        systems=(
            System(name="one", identity="a", place="../one", measures={"fvd": Value(None, reason="too few")}),
            System(name="two", identity="b", place="../two", base="mini", loras=("style:0.5",)),
        ),
        judges=(JudgeRecord(identity="judge@1", source="judge"),),
        videos=(
            video("one", "awe", awe, scores={"flicker": 0.5, "motion": None}, not_computed={"motion": "1"}),
            video("one", "fear", None),
            video("two", "awe", awe),
            video("two", "fear", JudgeAnswer(None, None, "too dark")),
        ),
        real=(video(REAL, "awe", awe),),
        settings={"allow_missing": True},
        versions={"emovid": "0.1.0"},
    )


def test_what_is_written_is_read_back(result: Result, tmp_path: Path) -> None:
    written = write_result(result, tmp_path / "scores")
    assert read_result(tmp_path / "scores") == written
    assert read_result(tmp_path / "scores" / RESULT_NAME) == written
    assert replace(written, place=None) == result
    assert written.locate("../one/awe.mp4") == str(tmp_path / "one" / "awe.mp4")
    lines = (tmp_path / "scores" / VIDEOS_NAME).read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["request"] for line in lines] == ["cat-awe", "cat-fear"] * 2


def test_a_failed_video_counts_as_wrong(result: Result) -> None:
    for system, error in (("one", "the video is missing"), ("two", "too dark")):
        figures = score(result.judged(system, "judge@1"))
        assert (figures.n, figures.unscored, figures.ea_8cls.value) == (2, 1, 0.5)
        assert [one.failure for one in result.of(system)] == [None, error]
    assert score(result.judged(REAL, "judge@1")).ea_8cls.value == 1


def test_inputs_are_known_by_content_not_by_place_or_outcome(result: Result) -> None:
    first = result.videos[0]

    def changed(**fields: Any) -> str:
        return replace(result, videos=(replace(first, **fields), *result.videos[1:])).inputs

    assert changed(place="s3://bucket/awe.mp4", scores={"flicker": 0.1}, answers={}) == result.inputs
    assert replace(result, versions={"emovid": "9"}, place="/elsewhere").inputs == result.inputs
    others = {changed(sha256="1" * 64), changed(seed=4), changed(intended="anger"), changed(prompt="a dog")}
    others |= {replace(result, real=()).inputs, replace(result, settings={}).inputs}
    assert len(others | {result.inputs}) == 7


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        (RESULT_NAME, lambda text: text.replace('"format": 1', '"format": 2'), "format is 2"),
        (RESULT_NAME, lambda text: text.replace('"allow_missing": true', '"allow_missing": false'), "digest"),
        (RESULT_NAME, lambda text: text[:-9], "is not a result"),
        (RESULT_NAME, lambda text: "[]", "is not a result"),
        (VIDEOS_NAME, lambda text: text + text, "videos.jsonl beside it is of another run"),
    ],
)
def test_what_is_not_whole_is_refused(
    result: Result, tmp_path: Path, name: str, change: Any, message: str
) -> None:
    write_result(result, tmp_path)
    path = tmp_path / name
    path.write_text(change(path.read_text(encoding="utf-8")), encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        read_result(tmp_path)


def test_wrong_use_is_said(result: Result, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="does not exist"):
        read_result(tmp_path)
    with pytest.raises(ValueError, match="it has: one, two"):
        result.of("three")
    with pytest.raises(ValueError, match="it has: judge@1"):
        result.judged("one", "judge@2")
    with pytest.raises(ValueError, match="a request comes twice"):
        replace(result, videos=(*result.videos, result.videos[0]))
    with pytest.raises(ValueError, match="each needs a name of its own"):
        replace(result, systems=(result.systems[0], replace(result.systems[1], name=REAL)))
    with pytest.raises(ValueError, match="lies nowhere"):
        result.locate("../one/awe.mp4")
