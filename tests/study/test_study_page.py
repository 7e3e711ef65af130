"""The page of a study in a real browser: by keyboard, by touch, and when the server is killed meanwhile."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from study_server import SYSTEMS, StudyServer
from web_pages import needs_chromium

from emovid_models.study.plan import PLAN_NAME, read_plan
from emovid_models.study.serving import Admission
from emovid_models.study.votes import failed_checks, read_votes

pytestmark = needs_chromium

WIDE: dict[str, Any] = {"viewport": {"width": 1280, "height": 800}}
PHONE: dict[str, Any] = {
    "viewport": {"width": 390, "height": 844},
    "has_touch": True,
    "is_mobile": True,
    "device_scale_factor": 2,
}
PICTURES = os.environ.get("EMOVID_STUDY_PICTURES")
"""A folder for pictures of the page, to be looked at."""


class Rater:
    """A rater at the page."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self.touches = bool(page.evaluate("navigator.maxTouchPoints"))

    def consent(self) -> None:
        self.page.locator("#begin").wait_for()
        if self.touches:
            self.page.tap("#agree")
            self.page.tap("#begin")
        else:
            self.page.focus("#agree")
            self.page.keyboard.press("Space")
            self.page.keyboard.press("Enter")

    def ready(self) -> None:
        """Wait until the videos were watched and the question can be answered."""
        self.page.locator(".choice:enabled").first.wait_for(timeout=60_000)
        self.page.wait_for_timeout(170)

    def choose(self, index: int, *, answered: int) -> None:
        """Choose, and wait until so many questions are answered."""
        self.ready()
        if self.touches:
            self.page.locator(".choice").nth(index).tap()
        else:
            self.page.keyboard.press(f"Digit{index + 1}")
        self.answered(answered)

    def answered(self, count: int) -> None:
        self.page.locator(f"#track[aria-valuenow='{count}']").wait_for(timeout=60_000)

    def expected(self) -> int:
        """What the question asks for, if it is a check; else 0."""
        text = self.page.inner_text("#question")
        return "AB".index(text.partition("choose video ")[2][0]) if "choose video" in text else 0

    def picture(self, name: str) -> None:
        if PICTURES:
            self.page.screenshot(path=str(Path(PICTURES) / f"{name}.png"))

    def fits(self) -> bool:
        """Whether nothing of the page is beside or below what is seen."""
        return bool(
            self.page.evaluate(
                "document.documentElement.scrollWidth <= innerWidth &&"
                "[...document.querySelectorAll('.choice')].every((button) => {"
                "const r = button.getBoundingClientRect(); "
                "return r.height >= 44 && r.bottom <= innerHeight && r.right <= innerWidth; })"
            )
        )


@contextmanager
def at_page(browser: Any, server: StudyServer, name: str, **options: Any) -> Iterator[Rater]:
    """Open a rater's page; it asks no other host for anything, and logs no error."""
    context = browser.new_context(**options)
    page = context.new_page()
    said: list[str] = []
    asked: set[str] = set()
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
    page.on("request", lambda request: asked.add(request.url.split("/")[2]))
    page.goto(server.addresses[name])
    page.locator("#settings").wait_for(state="attached")
    page.wait_for_function("!location.search.includes('token')")
    yield Rater(page)
    context.close()
    assert asked == {f"127.0.0.1:{server.port}"}
    assert [text for text in said if "Failed to load resource" not in text] == []


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
