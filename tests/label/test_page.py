"""The rating page in a real browser: by keyboard, by touch, and when the machine fails."""

from __future__ import annotations

import json
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from label_server import LabelProgram, LabelServer
from PIL import Image
from web_pages import needs_chromium

from emovid_dataset.label.answers import Answer, read_answers, read_lines
from emovid_dataset.schema.emotions import EMOTIONS
from emovid_dataset.schema.taxonomy import Taxonomy

pytestmark = needs_chromium

WIDE = {"width": 1280, "height": 800}
PHONE: dict[str, Any] = {
    "viewport": {"width": 390, "height": 844},
    "has_touch": True,
    "is_mobile": True,
    "device_scale_factor": 2,
}


class Rater:
    """A rater at the page."""

    def __init__(self, page: Any, folder: Path, name: str) -> None:
        self.page, self.file = page, folder / "answers" / f"{name}.jsonl"

    def begin(self) -> None:
        self.page.locator("#start").wait_for()
        if self.page.evaluate("navigator.maxTouchPoints"):
            self.page.tap("#start")
        else:
            self.page.keyboard.press("Enter")
        self.seen()

    def seen(self) -> None:
        """Wait until the clip plays, and as long as an answer must take at least."""
        for _ in range(800):
            if self.page.evaluate(
                "(() => { const v = document.querySelector('video:not([hidden])');"
                "return v.readyState >= 2 && v.currentTime > 0 && !v.paused })()"
            ):
                break
            self.page.wait_for_timeout(25)
        else:
            raise AssertionError(self.page.locator("body").inner_text())
        self.page.wait_for_timeout(260)

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def wait(self, answered: int) -> None:
        self.page.locator("#answered", has_text=str(answered)).wait_for(timeout=10_000)

    def chosen(self) -> dict[str, str]:
        """What is marked on the page, by emotion."""
        marked: dict[str, str] = self.page.evaluate(
            "Object.fromEntries([...document.querySelectorAll('[data-emotion]')].flatMap((b) =>"
            "['first', 'second'].filter((c) => b.classList.contains(c)).map((c) => [b.dataset.emotion, c])))"
        )
        return marked

    def lines(self) -> list[Answer]:
        return read_lines(self.file)


@contextmanager
def at_page(browser: Any, server: LabelServer, name: str, **options: Any) -> Iterator[Rater]:
    """Open a rater's page; it asks no other host for anything, and logs no error."""
    context = browser.new_context(**({"viewport": WIDE} | options))
    page = context.new_page()
    said: list[str] = []
    asked: set[str] = set()
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
    page.on("request", lambda request: asked.add(request.url.split("/")[2]))
    page.goto(server.address(name))
    page.locator("#start").wait_for()
    assert "token" not in page.url
    yield Rater(page, server.out.parent, name)
    context.close()
    assert asked == {f"127.0.0.1:{server.port}"}
    assert [text for text in said if "Failed to load resource" not in text] == []


def started(program: LabelProgram, clips: Path, folder: Path, *more: str) -> LabelServer:
    raters = more if "--rater" in more else ("--rater", "anna", *more)
    own = ["--content-type", "sticker", "--out", "answers", "--repeats", "0"]
    return program.start(folder, str(clips / "sheet.csv"), *own, *raters)


def test_a_picture_is_answered_anew(browser: Any, label_program: LabelProgram, tmp_path: Path) -> None:
    """A clip of one frame loops within a tenth of a second: the browser seeks in it all the time."""
    for name, colour in (("one", "red"), ("two", "blue")):
        Image.new("RGB", (64, 48), colour).save(tmp_path / f"{name}.webp", lossless=True)
    (tmp_path / "sheet.csv").write_text("path\none.webp\ntwo.webp\n", encoding="utf-8")
    server = started(label_program, tmp_path, tmp_path)
    with at_page(browser, server, "anna") as anna:
        anna.page.keyboard.press("Enter")
        anna.page.locator("#loading").wait_for(state="hidden")
        for count, key in enumerate(("Digit1", "Digit2"), 1):
            anna.page.wait_for_timeout(600)
            anna.press(key)
            anna.wait(count)
        anna.press("ArrowLeft")
        anna.page.locator("#done").wait_for(state="hidden")
        anna.page.wait_for_timeout(600)
        anna.press("Digit3")
        for _ in range(100):
            if len(anna.lines()) == 3:
                break
            anna.page.wait_for_timeout(25)
        last = anna.lines()[-1]
        assert (last.emotion, last.version) == (EMOTIONS[2], 2)


def test_a_session_by_keyboard(
    browser: Any, label_program: LabelProgram, clips: Path, tmp_path: Path
) -> None:
    server = started(label_program, clips, tmp_path, "--limit", "6")
    with at_page(browser, server, "anna") as anna:
        page = anna.page
        anna.press("Digit1", "KeyU")  # before the start they answer nothing
        anna.begin()
        assert page.evaluate("document.querySelector('video:not([hidden])').muted") is False
        anna.press("Space")
        page.locator("#paused").wait_for(state="visible")
        anna.press("Space", "Shift+Digit2", "Shift+Digit7", "ArrowUp", "ArrowUp", "ArrowUp")
        assert anna.chosen() == {"fear": "second"} and page.inner_text("#intensity-text") == "70 %"
        anna.press("Digit1")
        anna.wait(1)
        anna.seen()
        anna.press("KeyH")
        assert page.locator("#meanings").is_visible()
        assert all(name in page.inner_text("#meanings") for name in (*EMOTIONS, "Mikels", "none of these"))
        anna.press("Digit3", "Escape")  # who reads does not answer
        assert not page.locator("#meanings").is_visible() and anna.chosen() == {}
        page.keyboard.down("Digit8")
        anna.wait(2)
        anna.seen()
        page.keyboard.down("Digit8")  # it is held still, and answers once
        page.keyboard.up("Digit8")
        anna.press("Digit0")
        anna.wait(3)
        anna.seen()
        anna.press("KeyU")
        anna.wait(4)
        anna.seen()
        anna.press("KeyZ")
        anna.wait(3)
        anna.seen()
        anna.press("ArrowLeft")
        page.locator("[data-emotion=none].first").wait_for()
        anna.seen()
        anna.press("Digit5")  # another answer to what was answered
        anna.seen()
        page.locator("#confirm").check()
        anna.press("Digit6", "Shift+Digit5", "Digit4")
        assert anna.chosen() == {"excitement": "first", "anger": "second"}
        anna.press("Enter")
        anna.wait(4)
        page.locator("#confirm").uncheck()
        for number in (5, 6):
            anna.seen()
            anna.press(f"Numpad{number}")
            if number == 5:
                anna.wait(number)
        page.locator("#done").wait_for()
        assert "All 6 answers are saved" in page.inner_text("#done-text")
        anna.press("ArrowLeft")
        page.locator("[data-emotion=disgust].first").wait_for()
        versions = [(one.emotion, one.second, one.intensity, one.version) for one in anna.lines()]
    server.kill()
    assert versions == [
        ("amusement", "fear", 0.7, 1),
        ("sadness", None, None, 1),
        ("none", None, None, 1),
        ("unclear", None, None, 1),
        (None, None, None, 2),
        ("anger", None, None, 2),
        ("excitement", "anger", None, 3),
        ("anger", None, None, 1),
        ("disgust", None, None, 1),
    ]
    assert all(200 < one.ms < 30_000 for one in read_answers(tmp_path / "answers"))
    assert len({one.id for one in read_answers(tmp_path / "answers")}) == 6


def test_a_session_by_touch_at_phone_width(
    browser: Any, label_program: LabelProgram, clips: Path, tmp_path: Path
) -> None:
    server = started(label_program, clips, tmp_path)
    with at_page(browser, server, "anna", **PHONE) as anna:
        page = anna.page
        anna.begin()
        assert page.evaluate(
            "[document.documentElement.scrollWidth, document.documentElement.scrollHeight]"
        ) == [390, 844]
        small = page.evaluate(
            "[...document.querySelectorAll('main button, footer button')].filter((b) => b.offsetParent)"
            ".map((b) => [b.innerText, b.getBoundingClientRect()]).filter(([, r]) => r.height < 44 ||"
            "r.width < 44 || r.right > 390 || r.bottom > 844).map(([text]) => text)"
        )
        assert small == []
        assert (
            page.evaluate("document.querySelector('video:not([hidden])').getBoundingClientRect().width") > 250
        )
        page.tap("#also")
        page.tap("[data-emotion=awe]")
        page.tap("#intensity")
        page.tap("[data-emotion=contentment]")
        anna.wait(1)
        anna.seen()
        page.tap("[data-emotion=unclear]")
        anna.wait(2)
        anna.seen()
        page.tap("#undo")
        anna.wait(1)
        page.tap("#next")
        page.tap("#help")
        page.locator("#meanings").wait_for()
        assert page.evaluate("document.getElementById('meanings').getBoundingClientRect().right") <= 390
        page.tap("#close")
        first, second, third = anna.lines()
    server.kill()
    assert (first.emotion, first.second, first.intensity) == ("contentment", "awe", 0.5)
    assert (second.emotion, third.emotion, third.id) == ("unclear", None, second.id)


def test_three_raters_at_once(browser: Any, label_program: LabelProgram, clips: Path, tmp_path: Path) -> None:
    names = ("anna", "ben", "cleo")
    server = started(
        label_program,
        clips,
        tmp_path,
        "--limit",
        "2",
        *(word for name in names for word in ("--rater", name)),
    )
    with (
        at_page(browser, server, names[0]) as anna,
        at_page(browser, server, names[1]) as ben,
        at_page(browser, server, names[2], **PHONE) as cleo,
    ):
        raters = (anna, ben, cleo)
        for rater in raters:
            rater.begin()
        for turn in (1, 2):
            for place, rater in enumerate(raters):
                assert rater.chosen() == {}  # whatever the others said
                rater.press(f"Digit{place + 1}")
            for rater in raters:
                if turn < 2:
                    rater.wait(turn)
                    rater.seen()
        for rater in raters:
            rater.page.locator("#done").wait_for()
    server.kill()
    found = read_answers(tmp_path / "answers")
    assert [(one.rater, one.emotion) for one in found] == [
        (name, emotion) for name, emotion in zip(names, EMOTIONS, strict=False) for _ in range(2)
    ]
    assert sorted(path.name for path in (tmp_path / "answers").iterdir()) == [f"{n}.jsonl" for n in names]


def test_an_answer_stays_on_the_page_while_the_disk_is_full_or_the_server_is_killed_and_started_again(
    browser: Any, label_program: LabelProgram, clips: Path, tmp_path: Path
) -> None:
    server = started(label_program, clips, tmp_path)
    with at_page(browser, server, "anna") as anna:
        page = anna.page
        anna.begin()
        limits = resource.prlimit(server.process, resource.RLIMIT_FSIZE)
        resource.prlimit(server.process, resource.RLIMIT_FSIZE, (50, limits[1]))
        anna.press("Shift+Digit1", "ArrowUp", "Digit2")
        stays = "Not saved: File too large. Your answer stays on this page"
        page.locator("#notice", has_text=stays).wait_for()
        assert anna.chosen() == {"awe": "first", "amusement": "second"}
        assert page.inner_text("#answered") == "0" and anna.lines() == []
        resource.prlimit(server.process, resource.RLIMIT_FSIZE, limits)
        page.locator("#retry").click()
        anna.wait(1)
        anna.seen()
        server.kill()
        anna.press("Digit3")
        stays = "Not saved: the server cannot be reached. Your answer stays"
        page.locator("#notice", has_text=stays).wait_for()
        assert anna.chosen() == {"contentment": "first"} and len(anna.lines()) == 1
        anna.press("Digit4")  # nothing overtakes it
        server = started(label_program, clips, tmp_path, "--port", str(server.port))
        anna.wait(2)
        assert not anna.page.locator("#notice").is_visible()
        anna.seen()
        anna.press("Digit5")
        anna.wait(3)
        lines = [(one.emotion, one.second, one.intensity, one.version) for one in anna.lines()]
    server.kill()
    alone = (None, None, 1)
    assert lines == [("awe", "amusement", 0.5, 1), ("contentment", *alone), ("anger", *alone)]


def test_clips_that_a_browser_cannot_play_are_previewed_and_broken_ones_say_so(
    browser: Any, label_program: LabelProgram, clips: Path, tmp_path: Path
) -> None:
    order = [("broken.mp4", ","), ("hevc.mp4", ","), ("hevc.mp4", "0.25,0.75")]  # then the sticker
    rows = [
        f'{path},{part},"{json.dumps([1 - 7 * (0.12 - 0.01 * at)] + [0.12 - 0.01 * at] * 7)}"\n'
        for at, (path, part) in enumerate(order)
    ]
    (tmp_path / "scores.csv").write_text("path,start,end,emotion_scores\n" + "".join(rows))
    arguments = ["--rater", "anna", "--content-type", "sticker", "--repeats", "0", "--out", "answers"]
    server = label_program.start(tmp_path, str(clips / "odd.csv"), *arguments, "--scores", "scores.csv")
    assert server.told["clips"] == 4 and [one["row"] for one in server.told["left_out"]] == [4]
    with at_page(browser, server, "anna") as anna:
        page, video = anna.page, "document.querySelector('video:not([hidden])')"
        page.locator("#broken", has_text="This clip cannot be shown.").wait_for(state="attached")
        anna.press("Enter")
        page.locator("#broken", has_text="This clip cannot be shown.").wait_for()
        assert page.inner_text("#why").startswith("The video is ")
        page.locator("#skip").click()
        anna.seen()
        assert page.evaluate(f"[{video}.videoWidth, {video}.videoHeight, {video}.duration]") == [64, 48, 1]
        anna.press("Digit1")
        anna.wait(1)
        anna.seen()
        assert page.evaluate(f"{video}.duration") == 0.5
        anna.press("Digit2")
        anna.wait(2)
        anna.seen()
        anna.press("Digit3")
        page.locator("#done").wait_for()
        assert "3 clips are answered; 1 clip cannot be shown" in page.inner_text("#done-text")
    (told,) = server.end()
    assert told["answered"] == 3 and next(iter(told["unplayable"].values())).startswith("the video is ")


def test_other_emotions_have_keys_too(
    browser: Any, label_program: LabelProgram, clips: Path, tmp_path: Path
) -> None:
    names = [f"mood-{letter}" for letter in "abcdefghijk"]
    labels = [{"name": name, "valence": 0, "definition": f"<i>{name}</i>"} for name in names]
    (tmp_path / "moods.json").write_text(json.dumps({"name": "moods", "labels": labels}))
    server = started(label_program, clips, tmp_path, "--taxonomy", "moods.json")
    with at_page(browser, server, "anna") as anna:
        anna.begin()
        anna.press("Digit9")
        anna.wait(1)
        anna.seen()
        anna.page.click(f"[data-emotion={names[10]}]")
        anna.wait(2)
        anna.press("KeyH")
        assert f"<i>{names[0]}</i>" in anna.page.inner_text("#meanings")
    server.kill()
    found = read_answers(tmp_path / "answers", Taxonomy("moods", tuple(names), (0,) * len(names)))
    assert [one.emotion for one in found] == [names[8], names[10]]


def test_two_raters_in_one_browser_are_not_taken_for_each_other(
    browser: Any, label_program: LabelProgram, clips: Path, tmp_path: Path
) -> None:
    server = started(label_program, clips, tmp_path, "--rater", "anna", "--rater", "ben")
    with at_page(browser, server, "anna") as anna:
        anna.begin()
        other = anna.page.context.new_page()
        other.goto(server.address("ben"))
        other.locator("#start").wait_for()
        anna.press("Digit2")
        stays = "Not saved: this browser opened the page of ben meanwhile; open the address of anna again."
        anna.page.locator("#notice", has_text=stays).wait_for()
        assert anna.chosen() == {"awe": "first"}
        other.goto(server.address("anna"))
        anna.wait(1)
        other.close()
    server.kill()
    assert [(one.rater, one.emotion) for one in read_answers(tmp_path / "answers")] == [("anna", "awe")]


def test_a_foreign_name_for_this_machine_reads_nothing(
    browser: Any, label_program: LabelProgram, clips: Path, tmp_path: Path
) -> None:
    server = started(label_program, clips, tmp_path)
    foreign = f"http://evil.localhost:{server.port}/"  # browsers take it for this machine
    context = browser.new_context()
    page = context.new_page()
    page.goto(server.address("anna"))
    page.locator("#start").wait_for()
    (cookie,) = context.cookies()
    assert (cookie["httpOnly"], cookie["sameSite"], cookie["expires"]) == (True, "Strict", -1)
    assert page.evaluate("document.cookie") == ""
    for address in (foreign, server.address("anna").replace("127.0.0.1", "evil.localhost")):
        page.goto(address)
        assert page.inner_text("body").strip() == "this server goes by another name"
    page.goto("about:blank")  # another site's page, whose own policy forbids nothing
    given = json.dumps({"place": 0, "emotion": "awe", "ms": 5, "version": 1})
    own = f"http://127.0.0.1:{server.port}/api/"
    for path, options in (("now", {}), ("answer", {"method": "POST", "mode": "no-cors", "body": given})):
        asked = json.dumps([own + path, {"credentials": "include", **options}])
        seen = page.evaluate(f"fetch(...{asked}).then((reply) => reply.type, () => 'refused')")
        assert seen == "refused"
    context.close()
    assert read_lines(tmp_path / "answers" / "anna.jsonl") == []
    server.kill()
