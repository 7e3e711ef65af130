"""Prompt match and FVD of systems are the paper's protocol's, or a reason."""

from __future__ import annotations

import hashlib
import statistics
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from tiny_networks import save_clip, save_videomae

from emovid_dataset.media.frames import decode
from emovid_models.evaluation.measures.clip_model import ClipModel
from emovid_models.evaluation.measures.clip_score import clip_score
from emovid_models.evaluation.measuring import Networks
from emovid_models.evaluation.paper_measures import add_paper_measures
from emovid_models.evaluation.result import REAL, JudgeAnswer, JudgeRecord, Result, System, Video
from emovid_models.wan.frames import write_video

PROMPTS = ("a cat", "a dog on a roof")


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> Networks:
    folder = tmp_path_factory.mktemp("networks")
    return Networks(str(save_clip(folder / "clip")), str(save_videomae(folder / "videomae")), "cpu")


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> Result:
    """A system of two videos and a third that is missing, and one real clip."""
    folder = tmp_path_factory.mktemp("result")
    answer = JudgeAnswer("awe", (0.0, 1.0, *[0.0] * 6))
    videos = []
    for number, prompt in enumerate(PROMPTS):
        path = folder / f"{number}.mp4"
        shades = np.linspace(0, 1, 48)[None, None, :, None] * np.array([1, 0.5, number])
        write_video(path, np.broadcast_to(shades, (5, 32, 48, 3)))
        videos.append(
            Video(
                system="one",
                file=path.name,
                place=path.name,
                request=str(number),
                scene=prompt,
                prompt=prompt,
                intended="awe",
                sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
                answers={"judge@1": answer},
            )
        )
    gone = Video(
        system="one",
        file="2.mp4",
        place="",
        request="2",
        scene="c",
        prompt="a car",
        intended="awe",
        error="the video is missing",
    )
    real = Video(
        system=REAL,
        file="clip",
        place="",
        request="clip",
        scene="clip",
        prompt="",
        intended="awe",
        sha256="0" * 64,
        answers={"judge@1": answer},
    )
    return Result(
        systems=(System(name="one", identity="one@1", place=""),),
        judges=(JudgeRecord(identity="judge@1", source="judge"),),
        videos=(*videos, gone),
        real=(real,),
        place=str(folder),
    )


def test_prompt_match_is_the_clip_score_of_the_scene(
    result: Result, networks: Networks, tmp_path: Path
) -> None:
    place = Path(str(result.place))
    real = {"clip": partial(str, place / "0.mp4")}
    found = add_paper_measures(result, tmp_path, networks=networks, real=real).systems[0].measures
    clip = ClipModel(str(networks.clip))
    expected = [
        clip_score(clip.frames(decode(str(place / f"{number}.mp4"))), clip.text(prompt).feature)
        for number, prompt in enumerate(PROMPTS)
    ]
    match = found["prompt_match"]
    assert match.value == pytest.approx(statistics.fmean(expected), abs=1e-6) and match.n == 2
    # One video against one real clip: far too few for a distance between distributions.
    assert found["fvd"].value is None and "100" in str(found["fvd"].reason)


def test_what_is_not_computed_says_why(result: Result, networks: Networks, tmp_path: Path) -> None:
    def reasons(result: Result, networks: Networks) -> list[str | None]:
        found = add_paper_measures(result, tmp_path, networks=networks).systems[0].measures
        assert [one.value for one in found.values()] == [None, None]
        return [found[name].reason for name in ("prompt_match", "fvd")]

    assert reasons(result, Networks()) == ["no --clip MODEL", "no --videomae MODEL"]
    untold = replace(result, real=(), videos=tuple(replace(one, prompt="") for one in result.videos))
    assert reasons(untold, networks) == ["the prompts are not known", "the result has no real clips"]
