"""A whole study: build, twenty raters of whom three sit at a browser, a kill in the middle, analysis, pages.

One system's videos are bright, the other's dark. A rater sees no more than the pictures, and prefers the
bright one in three trials of four; so what the analysis says has gone through all that lies between.
"""

from __future__ import annotations

import hashlib
import http.client
import io
import json
import math
import random
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from study_rater import WIDE, Rater, at_page
from study_server import EMOTIONS, StudyClient, StudyServer, until
from typer.testing import CliRunner
from video_files import write_video
from web_pages import needs_chromium

from emovid_dataset.cli import program
from emovid_dataset.schema.emotions import EMOTIONS as EIGHT
from emovid_models.evaluation.result import (
    JudgeAnswer,
    JudgeRecord,
    Result,
    System,
    Video,
    write_result,
)
from emovid_models.study.plan import read_plan
from emovid_models.study.serving import Admission
from emovid_models.study.simulate import Population
from emovid_models.study.votes import read_votes

pytestmark = needs_chromium

BRIGHT, DARK = "bright-lora", "dark-base"
SCENES, TRIALS, BY_HTTP, AT_BROWSER = 8, 6, 17, 3
QUESTIONS = 1 + TRIALS + 1  # practice, trials, a check
PREFERS = Population((math.log(3), 0.0)).true_share((0, 1), 0, draws=1)
BROWSER_LOOKS = """() => [...document.querySelectorAll("#videos video")].map((video) => {
  const canvas = Object.assign(document.createElement("canvas"), { width: 8, height: 8 });
  const pen = canvas.getContext("2d");
  pen.drawImage(video, 0, 0, 8, 8);
  return pen.getImageData(0, 0, 8, 8).data[0];
})"""


def run(*arguments: str) -> str:
    told = CliRunner().invoke(program(), list(arguments))
    assert told.exit_code == 0, (told.output, told.exception)
    return told.stdout


@pytest.fixture(scope="module")
def scores(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A result of an evaluation, beside the videos of both systems; to its judge the bright are right."""
    folder = tmp_path_factory.mktemp("evaluated")
    videos = []
    for system, level in ((BRIGHT, 200), (DARK, 50)):
        (folder / system).mkdir()
        frames = [np.full((48, 64, 3), level + 2 * time, np.uint8) for time in range(4)]
        data = write_video(folder / "one.mp4", frames, rate=12).read_bytes()
        for scene in range(SCENES):
            emotion = EMOTIONS[scene % 4]
            (folder / system / f"{scene}.mp4").write_bytes(data)
            said = emotion if system == BRIGHT else "contentment"
            videos.append(
                Video(
                    system=system, file=f"{scene}.mp4", place=f"../{system}/{scene}.mp4", request=f"q{scene}",
                    scene=f"p{scene}", prompt=f"prompt {scene}", intended=emotion, seed=scene,
                    sha256=hashlib.sha256(data).hexdigest(),
                    answers={"j": JudgeAnswer(said, tuple(float(name == said) for name in EIGHT))},
                )
            )  # fmt: skip
    systems = tuple(System(name=name, identity=name, place=f"../{name}") for name in (BRIGHT, DARK))
    judges = (JudgeRecord(identity="j", source="judge"),)
    write_result(Result(systems=systems, judges=judges, videos=tuple(videos)), folder / "scores")
    return folder / "scores"


@dataclass
class Given:
    """What the raters gave: of each trial whether the bright video was chosen, by rater."""

    by_rater: dict[int, list[bool]] = field(default_factory=dict)

    def choice(self, rater: int, levels: list[float], question: dict[str, Any]) -> int:
        """Where the rater finds what it prefers, or what a check asks for; one rater reads no check."""
        careless = rater == BY_HTTP - 1
        bright = levels.index(max(levels))
        if question["expected"] is not None:
            return int(question["expected"]) ^ careless
        before = self.by_rater.setdefault(rater, [])
        likes = not careless and random.Random(f"9 {rater} {len(before)}").random() < PREFERS
        if question["kind"] == "trial":
            before.append(likes)
        return bright if likes else 1 - bright


class Away:
    """Raters whose server is away wait here, and go on when it is back."""

    def __init__(self) -> None:
        self.back = threading.Event()
        self.back.set()
        self.waiting = 0
        self._lock = threading.Lock()

    def wait(self) -> None:
        with self._lock:
            self.waiting += 1
        assert self.back.wait(60)
        with self._lock:
            self.waiting -= 1


def rate_by_http(number: int, address: str, given: Given, away: Away, levels: dict[str, float]) -> str:
    """Go through the study as the page does it: what got no answer is sent again as it was.

    Returns:
        The completion code.
    """

    def again(ask: Any) -> Any:
        while True:
            try:
                return ask()
            except (OSError, http.client.HTTPException):
                away.wait()

    client: StudyClient = again(lambda: StudyClient(address))
    cookie = client.cookie

    def asked(*what: Any) -> dict[str, Any]:
        def once() -> dict[str, Any]:
            nonlocal client
            try:
                return client.json(*what)
            except (OSError, http.client.HTTPException):
                away.wait()
                client = StudyClient(address, cookie)
                raise

        return dict(again(once))

    def level(media: str) -> float:
        if media not in levels:
            with av.open(
                io.BytesIO(again(lambda: StudyClient(address, cookie).ask("GET", media)[2]))
            ) as video:
                levels[media] = float(next(video.decode(video=0)).to_ndarray(format="gray").mean())
        return levels[media]

    state = asked("POST", "/api/consent", {"language": "en"})
    while state["number"] is not None:
        choice = given.choice(number, [level(media) for media in state["media"]], state)
        sent = {"number": state["number"], "choice": choice, "ms": 7, "version": state["version"]}
        state = asked("POST", "/api/vote", sent)
    return str(state["code"])


def answer(rater: Rater, number: int, done: int, given: Given) -> str:
    """The key for the question that the page shows; `done` questions are answered."""
    rater.ready()
    text = rater.page.inner_text("#question")
    expected = rater.expected() if "choose video" in text else None
    kind = "check" if expected is not None else "practice" if done == 0 else "trial"
    asked = {"number": done, "kind": kind, "expected": expected}
    return f"Digit{given.choice(number, rater.page.evaluate(BROWSER_LOOKS), asked) + 1}"


def rate_by_keyboard(rater: Rater, number: int, given: Given, done: int = 0) -> None:
    for count in range(done, QUESTIONS):
        rater.page.keyboard.press(answer(rater, number, count, given))
        rater.answered(count + 1) if count + 1 < QUESTIONS else rater.page.locator("#code").wait_for()


@contextmanager
def looking_at(browser: Any, path: Path) -> Iterator[Any]:
    """A page that a file holds, without an error on its console."""
    context = browser.new_context(**WIDE)
    page = context.new_page()
    said: list[str] = []
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
    page.goto(path.as_uri())
    yield page
    context.close()
    assert said == []


def test_what_the_raters_prefer_comes_out_of_a_study_that_was_killed(
    browser: Any, scores: Path, tmp_path: Path
) -> None:
    study = tmp_path / "study"
    run(
        *("study", "build", str(scores), "--out", str(study), "--question", "emotion", "--practice", "1"),
        *("--trials", str(TRIALS), "--checks", "1", "--most-failed-checks", "0"),
    )
    assert read_plan(study).systems == (BRIGHT, DARK)
    server, given, away = StudyServer(study, Admission(is_open=True)), Given(), Away()
    address, levels = server.addresses[".open"], dict[str, float]()
    with ThreadPoolExecutor(4) as pool, at_page(browser, server, ".open", **WIDE) as anna:
        anna.consent()
        anna.page.keyboard.press(answer(anna, BY_HTTP, 0, given))
        anna.answered(1)
        key = answer(anna, BY_HTTP, 1, given)
        away.back.clear()
        others = [
            pool.submit(rate_by_http, number, address, given, away, levels) for number in range(BY_HTTP)
        ]
        until(lambda: (study / "votes").is_dir() and len(read_votes(study)) > 40)
        server.kill()
        until(lambda: away.waiting == 4)  # in a thread that holds nothing when the next server is forked
        anna.page.keyboard.press(key)
        anna.page.locator("#notice").wait_for()
        server = StudyServer(study, Admission(is_open=True), server.port)
        away.back.set()
        codes = {one.result() for one in others}
        anna.answered(2)
        anna.page.reload()  # and is where she was
        rate_by_keyboard(anna, BY_HTTP, given, 2)
    for number in range(BY_HTTP + 1, BY_HTTP + AT_BROWSER):
        with at_page(browser, server, ".open", **WIDE) as rater:
            rater.consent()
            rate_by_keyboard(rater, number, given)
            codes.add(rater.page.inner_text("#code"))
    server.kill()
    raters = BY_HTTP + AT_BROWSER
    assert raters == 20 and len(codes) == raters - 1, "each has a code of its own, and hers was not read"

    # each vote once, each as it was given
    votes = read_votes(study)
    lines = sum(len(path.read_text().splitlines()) for path in (study / "votes").iterdir())
    assert len(votes) == lines == raters * QUESTIONS and {vote.version for vote in votes} == {1}
    found: dict[str, list[bool]] = {}
    for vote in votes:
        if vote.kind == "trial":
            found.setdefault(vote.rater, []).append(vote.chosen == BRIGHT)
    assert sorted(found.values()) == sorted(given.by_rater.values())

    page, told = tmp_path / "analysis.html", tmp_path / "report.html"
    told_of = json.loads(run("study", "analyse", str(study), "--result", str(scores), "--json"))
    (question,) = told_of["questions"]
    preferred = question["kept"]["preference"]["top1"][BRIGHT]
    kept = [likes for rater, all_of in given.by_rater.items() if rater != BY_HTTP - 1 for likes in all_of]
    assert told_of["counted_raters"] == raters - 1 and len(told_of["left_out"]) == 1
    assert preferred["value"] == pytest.approx(np.mean(kept)) and len(kept) == 19 * TRIALS
    assert preferred["low"] <= PREFERS <= preferred["high"] and preferred["low"] > 0.5
    assert question["kept"]["preference"]["p_chance"][BRIGHT] < 0.05
    everyone = question["everyone"]["preference"]["top1"][BRIGHT]["value"]
    assert everyone == pytest.approx(np.mean([*kept, *[False] * TRIALS]))

    run("study", "analyse", str(study), "--result", str(scores), "--html", str(page))
    run("report", str(scores), "--html", str(told))
    with looking_at(browser, page) as shown:
        text = shown.inner_text("body")
        assert f"{100 * preferred['value']:.1f} %" in text and BRIGHT in text
    with looking_at(browser, told) as shown:
        assert shown.locator("video").count() == 2 * SCENES
