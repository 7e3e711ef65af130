"""The page of a study in a real browser: by keyboard, by touch, and when the server is killed meanwhile."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from study_rater import PHONE, WIDE, at_page
from study_server import SYSTEMS, StudyServer
from web_pages import needs_chromium

from emovid_models.study.plan import PLAN_NAME, read_plan
from emovid_models.study.serving import Admission
from emovid_models.study.votes import failed_checks, read_votes

pytestmark = needs_chromium


def test_by_keyboard_through_a_kill_to_the_code(browser: Any, study: Path) -> None:
    server = StudyServer(study, Admission(names=["anna"]))
    with at_page(browser, server, "anna", **WIDE) as anna:
        page = anna.page
        anna.page.locator("#begin").wait_for()
        anna.picture("consent-1280")
        page.select_option("#language", "de")
        assert (
            page.inner_text("#begin") == "Anfangen" and page.evaluate("document.documentElement.lang") == "de"
        )
        page.select_option("#language", "en")
        page.keyboard.press("Digit1")  # before consent it answers nothing
        page.click("#begin")  # not without the tick
        assert not (study / "votes").exists() and page.locator("#cover").is_visible()
        anna.consent()
        page.locator(".choice").first.wait_for()
        page.keyboard.press("Digit1")  # nor before the videos were watched
        anna.ready()
        assert read_votes(study) == [] and anna.fits() and page.locator("#practice").is_visible()
        apart = page.evaluate(
            "(() => { const v = [...document.querySelectorAll('#videos video')];"
            "return v.length === 2 && Math.abs(v[0].currentTime - v[1].currentTime) })()"
        )
        assert apart is not False and apart < 0.15, "they play together"
        anna.picture("trial-1280")
        anna.choose(1, answered=1)
        server.kill()
        anna.ready()
        page.keyboard.press("Digit2")
        page.locator("#notice").wait_for()
        assert "is sent again" in page.inner_text("#notice")
        server = StudyServer(study, Admission(names=["anna"]), server.port)
        anna.answered(2)
        page.keyboard.press("Backspace")
        page.locator(".choice[aria-pressed=true]").wait_for()
        anna.choose(0, answered=2)
        page.reload()  # and the page goes on where it was
        for count in range(3, 8):
            anna.ready()
            anna.choose(anna.expected(), answered=count) if count < 7 else page.keyboard.press(
                f"Digit{anna.expected() + 1}"
            )
        page.locator("#code").wait_for()
        assert len(page.inner_text("#code")) == 8
        anna.picture("end-1280")
    server.kill()
    votes = read_votes(study)
    assert [vote.version for vote in votes] == [1, 2, *[1] * 5] and failed_checks(votes) == {"r0001": 0}
    chosen = [vote.shown.index(vote.chosen) for vote in votes if vote.chosen and vote.kind != "check"]
    assert chosen == [1, 0, 0, 0, 0, 0] and all(0 < vote.ms < 60_000 for vote in votes)
    assert {vote.chosen for vote in votes} <= set(SYSTEMS)


def test_by_touch_on_a_phone_and_by_a_time_limit(browser: Any, study: Path) -> None:
    server = StudyServer(study, Admission(is_open=True))
    with at_page(browser, server, ".open", **PHONE) as rater:
        rater.page.locator("#begin").wait_for()
        rater.picture("consent-390")
        rater.consent()
        rater.ready()
        rater.picture("trial-390")
        assert rater.fits() and not rater.page.inner_text("#left")
        rater.choose(1, answered=1)
        server.kill()
        (study / PLAN_NAME).write_text(replace(read_plan(study), seconds=2).to_json())
        server = StudyServer(study, Admission(is_open=True), server.port)
        rater.page.reload()
        rater.page.locator("#left", has_text=" s left").wait_for()
        rater.answered(2)  # nobody chose: the time is over
    server.kill()
    found = [(vote.question, vote.chosen and vote.shown.index(vote.chosen)) for vote in read_votes(study)]
    assert found[:2] == [("emotion", 1), ("overall", None)]
