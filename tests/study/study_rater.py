"""The page of a study as a rater in a browser uses it: consent, keys or touch, and nothing from elsewhere."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from study_server import StudyServer

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
    said = [text for text in said if "Failed to load resource" not in text]
    assert said == [], said
