"""The folder of a study: what is in it, in which order raters see it, and what cannot be built."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from study_server import SYSTEMS

from emovid_models.evaluation.result import JudgeRecord, Result, System, Video, write_result
from emovid_models.study.build import StudySettings, build_study, plan_check
from emovid_models.study.plan import read_plan
from emovid_models.study.power import needed
from emovid_models.study.scenes import read_scenes
from emovid_models.study.wording import read_wordings


def test_the_folder_holds_the_plan_videos_and_words(built: Path) -> None:
    plan = read_plan(built)
    assert plan.systems == SYSTEMS and len(plan.scenes) == 3 and len(plan.practice) == 1
    assert sorted(path.stem for path in (built / "videos").iterdir()) == sorted(plan.videos)
    assert len(plan.videos) == 8 and not {*built.iterdir()} & {built / "votes", built / "private"}
    need = needed(preferred=0.75, systems=2, votes_per_rater=2)
    assert (plan.need["votes"], plan.need["raters"]) == (need.votes, need.raters)
    wordings = read_wordings(built, plan.questions, ["awe"])
    assert list(wordings) == ["en", "de"] and wordings["de"].words["emotions"]["awe"] == "Ehrfurcht"
    assert wordings["en"].blanks == ["[name and institution]", "[minutes]", "[e-mail address]"]
    with pytest.raises(FileExistsError, match="is not empty"):
        build_study(["a", "b"], built)


def test_videos_play_everywhere_and_say_nothing_of_their_system(built: Path, tmp_path: Path) -> None:
    if shutil.which("ffprobe") is None:
        pytest.skip("ffprobe is not installed")
    (video, *_) = sorted((built / "videos").iterdir())
    shown = ["-show_entries", "stream=codec_name,pix_fmt,width:format_tags", "-of", "json"]
    told = json.loads(subprocess.check_output(["ffprobe", "-v", "error", *shown, str(video)]))
    assert told["streams"][0] == {"codec_name": "h264", "width": 64, "pix_fmt": "yuv420p"}
    assert not any(system in json.dumps(told, allow_nan=False) for system in SYSTEMS)


def test_every_rater_goes_through_practice_trials_and_checks(built: Path) -> None:
    plan = read_plan(built)
    places: Counter[tuple[str, int]] = Counter()
    for number in range(6):
        steps = plan.steps(number)
        assert steps == plan.steps(number) and [step.place for step in steps] == list(range(4))
        kinds = [step.kind for step in steps]
        assert kinds[0] == "practice" and sorted(kinds) == ["check", "practice", "trial", "trial"]
        (check,) = (step for step in steps if step.kind == "check")
        assert check.expected in check.shown and check.questions == ("check",)
        trials = [step for step in steps if step.kind == "trial"]
        assert len({step.scene.id for step in trials}) == 2
        assert not {step.scene.id for step in trials} & {scene.id for scene in plan.practice}
        places.update((system, place) for step in trials for place, system in enumerate(step.shown))
    assert set(places.values()) == {6}, "each system is as often on either side"


def test_four_systems_are_compared_at_once_or_in_pairs(built: Path) -> None:
    plan = read_plan(built)
    scenes = tuple(replace(scene, videos=dict.fromkeys("abcd", "v00001")) for scene in plan.scenes)
    whole = replace(plan, systems=tuple("abcd"), scenes=scenes, together=4, per_rater=3)
    for step in whole.steps(3):
        assert sorted(step.shown) == list("abcd")
    pairs = [step for step in replace(whole, together=2, per_rater=18).steps(1) if step.kind == "trial"]
    assert len({(step.scene.id, frozenset(step.shown)) for step in pairs}) == 18


def test_what_one_system_lacks_is_left_out_and_said(results: list[str], tmp_path: Path) -> None:
    folders = [shutil.copytree(result, tmp_path / Path(result).name) for result in results]
    (Path(folders[0]) / f"{SYSTEMS[0]}-1.mp4").unlink()
    broken = Path(folders[1]) / f"{SYSTEMS[1]}-3.mp4"
    broken.write_bytes(broken.read_bytes()[:400])
    plan = build_study([f"one={folders[0]}", str(folders[1])], tmp_path / "study", StudySettings(practice=0))
    assert plan.systems == ("one", SYSTEMS[1]) and [scene.seed for scene in plan.scenes] == [0, 2]
    assert [(one.system, one.seed) for one in plan.left_out] == [("one", 1), (SYSTEMS[1], 3)]
    assert plan.left_out[0].reason == f"{SYSTEMS[0]}-1.mp4 does not exist"
    assert f"{SYSTEMS[1]}-3.mp4" in plan.left_out[1].reason
    assert len(list((tmp_path / "study" / "videos").iterdir())) == 4


def test_a_result_of_an_evaluation_is_read(results: list[str], tmp_path: Path) -> None:
    videos = [
        Video(
            system=Path(folder).name, file=f"{Path(folder).name}-{row}.mp4", place=f"{folder}/x.mp4",
            request=f"q{row}", scene=f"p{row}", prompt=f"prompt {row}", intended="awe", seed=row,
            error="cannot be decoded" if row == 2 and folder == results[1] else None,
        )
        for folder in results for row in range(4)
    ]  # fmt: skip
    systems = tuple(System(name=Path(folder).name, identity="x", place=folder) for folder in results)
    judges = (JudgeRecord(identity="j", source="j"),)
    write_result(Result(systems=systems, judges=judges, videos=tuple(videos)), tmp_path / "scores")
    with pytest.raises(ValueError, match=r"lies at .*, neither in the result's folder nor beside it; --vid"):
        read_scenes([str(tmp_path / "scores")])
    names, scenes = read_scenes([str(tmp_path / "scores")], [Path(results[0]).parent])
    assert names == SYSTEMS and [scene.seed for scene in scenes] == [0, 1, 2, 3]
    assert [scene.missing for scene in scenes] == [{}, {}, {SYSTEMS[1]: "cannot be decoded"}, {}]
    assert scenes[1].videos[SYSTEMS[1]].folder.exists(f"{SYSTEMS[1]}-1.mp4")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"together": 3}, "--together is 3; there are 2 systems"),
        ({"practice": 4}, "--practice 4 leaves no others"),
        ({"per_rater": 4, "practice": 1}, "--trials is 4; there are 3"),
        ({"checks": 5}, "--checks is 5; a rater has 2 trials"),
        ({"preferred": 0.4}, "preferred 0.4 is not between 0.5"),
    ],
)
def test_wrong_settings_are_one_line(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        plan_check(StudySettings(**changes), SYSTEMS, 4)


def test_folders_that_cannot_be_compared_are_refused(results: list[str], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="compares 2 to 26 systems; RESULT has plain-base"):
        build_study(results[:1], tmp_path / "study")
    with pytest.raises(FileNotFoundError, match=r"holds neither intended\.csv nor result\.json"):
        build_study([*results, str(tmp_path)], tmp_path / "study")
    again = shutil.copytree(results[0], tmp_path / "other" / SYSTEMS[0])
    with pytest.raises(ValueError, match="give folders of the same name as NAME=FOLDER"):
        build_study([*results, str(again)], tmp_path / "study")
    assert not (tmp_path / "study").exists() and not list(tmp_path.glob(".study*"))
