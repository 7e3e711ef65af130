"""What a result from somebody else may make a page and a study publish: no file that it does not own."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner
from video_files import write_video

from emovid_dataset.cli import program
from emovid_models.evaluation.result import JudgeAnswer, JudgeRecord, Result, System, Video, write_result
from emovid_models.evaluation.video_places import VideoPlaces

SYSTEMS = ("one", "two")


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    frames = [np.full((48, 64, 3), 60 + 15 * time, np.uint8) for time in range(4)]
    return write_video(tmp_path_factory.mktemp("video") / "a.mp4", frames, rate=12).read_bytes()


def result_in(folder: Path, place: str, sha256: str | None) -> Path:
    """A result whose systems lie at a place, with the two videos that a study needs."""
    videos = tuple(
        Video(
            system=name, file=f"{row}.mp4", place=f"{place}/{name}/{row}.mp4", request=f"{row}", scene="a",
            prompt=f"a cat, {row}", intended="awe", seed=row, sha256=sha256,
            answers={"j": JudgeAnswer("awe", None)},
        )
        for name in SYSTEMS for row in range(2)
    )  # fmt: skip
    systems = tuple(System(name=name, identity=name, place=f"{place}/{name}") for name in SYSTEMS)
    write_result(
        Result(systems=systems, judges=(JudgeRecord(identity="j", source="j"),), videos=videos), folder
    )
    return folder


def lay(folder: Path, video: bytes) -> None:
    for name in SYSTEMS:
        (folder / name).mkdir(parents=True)
        for row in range(2):
            (folder / name / f"{row}.mp4").write_bytes(video)


def linked(home: Path) -> str:
    (home / "given" / "scores").mkdir(parents=True)
    (home / "given" / "scores" / "videos").symlink_to(home / "private")
    return "videos"


PLACES: dict[str, tuple[Callable[[Path], str], str, bool | None]] = {
    "inside": (lambda home: "videos", "given/scores/videos", True),
    "beside": (lambda home: "../videos", "given/videos", True),
    "beside, by its whole path": (lambda home: f"{home}/given/videos", "given/videos", True),
    "beside, but not what was judged": (lambda home: "../videos", "given/videos", None),
    "elsewhere": (lambda home: "../../private", "private", False),
    "elsewhere, by its whole path": (lambda home: f"{home}/private", "private", False),
    "elsewhere, by an address": (lambda home: f"file://{home}/private", "private", False),
    "elsewhere, by a name that begins alike": (lambda home: "../../given-not", "given-not", False),
    "elsewhere, by a link": (linked, "private", False),
}
"""By case the place that the result names, where the videos lie, and whether they are read: None for a result
of another digest, which is made, without them."""


@pytest.mark.parametrize("case", PLACES)
def test_pages_and_studies_hold_no_video_from_elsewhere(case: str, video: bytes, tmp_path: Path) -> None:
    named, at, reads = PLACES[case]
    lay(tmp_path / at, video)
    sha256 = hashlib.sha256(video if reads is not None else b"").hexdigest()
    place = named(tmp_path)
    scores = result_in(tmp_path / "given" / "scores", place, sha256)
    page, study = tmp_path / "page.html", tmp_path / "study"
    commands = (
        ["report", str(scores), "--html", str(page)],
        ["study", "build", str(scores), "--out", str(study), "--practice", "0", "--checks", "0"],
    )
    told = [CliRunner().invoke(program(), command) for command in commands]
    if reads is False:
        for one in told:
            assert isinstance(one.exception, ValueError), one.output
            assert "neither in the result's folder nor beside it; --videos-root DIR" in str(one.exception)
        assert not page.exists() and not study.exists()
        if "://" in place:
            return
        told = [
            CliRunner().invoke(program(), [*command, "--videos-root", str(tmp_path / at)])
            for command in commands
        ]
    assert told[0].exit_code == 0, told[0].output
    assert page.read_text().count("<video") == (0 if reads is None else 4)
    if reads is None:
        assert "the systems have 0 scenes" in str(told[1].exception) and not study.exists()
    else:
        assert told[1].exit_code == 0, told[1].output
        plan = json.loads((study / "study.json").read_text())
        assert len(plan["scenes"]) == 2 and len(list((study / "videos").iterdir())) == 4


def test_without_a_digest_nothing_beside_a_result_is_read(video: bytes, tmp_path: Path) -> None:
    from emovid_models.evaluation.result import read_result

    lay(tmp_path / "videos", video)
    result = read_result(result_in(tmp_path / "scores", "../videos", None))
    with pytest.raises(ValueError, match="neither in the result's folder nor beside it"):
        VideoPlaces(result).read(result.videos[0])
    assert VideoPlaces(result, [tmp_path / "videos"]).read(result.videos[0]) == video


@pytest.mark.parametrize(
    ("place", "roots", "allowed"),
    [
        ("s3://bucket/run/videos/a.mp4", [], True),
        ("s3://bucket/run/scores/videos/a.mp4", [], True),
        ("s3://bucket/other/a.mp4", [], False),
        ("s3://bucket/run/scores/../../other/a.mp4", [], False),
        ("s3://bucket/run/scores/%2e%2e/%2e%2e/other/a.mp4", [], False),
        ("s3://bucket/other/a.mp4", ["s3://bucket/other"], True),
        ("http://169.254.169.254/latest/meta-data", [], False),
        ("/etc/passwd", [], False),
    ],
)
def test_addresses_are_held_to_the_same(place: str, roots: list[str], allowed: bool) -> None:
    video = Video(
        system="a",
        file="a.mp4",
        place=place,
        request="r",
        scene="s",
        prompt="",
        intended="awe",
        sha256="0" * 64,
    )
    systems = (System(name="a", identity="a", place=""),)
    result = Result(systems=systems, judges=(), videos=(video,), place="s3://bucket/run/scores")
    if allowed:
        VideoPlaces(result, roots).check()
    else:
        with pytest.raises(ValueError, match="--videos-root"):
            VideoPlaces(result, roots).check()
