"""Emotions and a content type of one's own, with long names: the card, the report and the analyses."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFont
from web_pages import NAMES_AMISS, needs_chromium

from emovid_dataset.analyse.analyses import analyse_build
from emovid_dataset.analyse.page import write_page
from emovid_dataset.builder.build import build
from emovid_dataset.builder.sheet.options import SheetOptions
from emovid_dataset.report.card_pictures import TILE
from emovid_dataset.report.page import write_report
from emovid_dataset.schema.card_info import CardInfo
from emovid_dataset.schema.file_names import CONTACT_SHEET, EMOTION_CHART
from emovid_dataset.schema.label_set import read_label_set

MINI = Path(__file__).parents[2] / "emovid_dataset" / "mini"
NAMES = ("quiet_contentment", "overwhelming_awe_of_nature", "dread-of-what-comes-next", "schadenfreude")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A build of eight stickers without captions, and its report and analyses."""
    folder = tmp_path_factory.mktemp("long")
    with (MINI / "labels.csv").open(newline="", encoding="utf-8") as file:
        paths = [row["path"] for row in csv.DictReader(file) if row["content_type"] == "sticker"][:8]
    rows = [f"{path},{NAMES[place % 4]},game_capture" for place, path in enumerate(paths)]
    (folder / "labels.csv").write_text("\n".join(["path,emotion,content_type", *rows]))
    labels = [{"name": name, "valence": place // 2} for place, name in enumerate(NAMES)]
    taxonomy = {"name": "moods", "content_types": ["game_capture"], "labels": labels}
    (folder / "moods.json").write_text(json.dumps(taxonomy))
    build(
        MINI,
        folder / "labels.csv",
        folder / "out",
        sheet=SheetOptions(labels=read_label_set(folder / "moods.json")),
        engine="serial",
        info=CardInfo(title="Games that feel", language=("de", "en")),
    )
    write_report(folder / "out", folder / "report.html")
    write_page(analyse_build(folder / "out", sound=False), folder / "analyses.html")
    return folder


@pytest.mark.browser
@needs_chromium
@pytest.mark.parametrize("page", ["report", "analyses"])
def test_names_stand_whole_beside_their_dots(browser: Any, made: Path, page: str) -> None:
    for width in (390, 1280):
        tab = browser.new_page(viewport={"width": width, "height": 900})
        tab.goto((made / f"{page}.html").as_uri())
        tab.evaluate("document.querySelectorAll('details').forEach(part => { part.open = true; })")
        assert tab.evaluate("document.documentElement.scrollWidth") == width
        assert tab.evaluate(NAMES_AMISS) == []
        shown = tab.evaluate("[...document.querySelectorAll('.named')].map(name => name.textContent)")
        assert set(shown) - {"game_capture"} == set(NAMES)
        assert tab.inner_text("h1") == "Games that feel"
        tab.close()


@pytest.mark.browser
@needs_chromium
def test_what_is_folded_on_the_analyses_opens_on_a_wide_screen(browser: Any, made: Path) -> None:
    tab = browser.new_page(viewport={"width": 1280, "height": 900})
    tab.goto((made / "analyses.html").as_uri())
    numbers = tab.locator(".panel details table").first
    assert not numbers.is_visible()
    tab.locator(".panel details summary").first.click()
    assert numbers.is_visible()
    tab.close()


def test_the_report_and_the_card_say_what_was_found(made: Path) -> None:
    report = (made / "report.html").read_text(encoding="utf-8")
    assert "of all 4 emotions" in report
    assert "<caption>game_capture</caption>" in report
    card = (made / "out" / "README.md").read_text(encoding="utf-8")
    said = " ".join(card.split())
    assert "each with one of 4 emotions and visual attributes" in said
    assert "No clip has a caption." in said
    assert "By the label file all are from people." in said
    assert "not spread evenly" not in said  # each emotion has two clips
    assert 'load_dataset("OWNER/NAME", "game_capture"' in card
    assert "transparent pixels" in said
    card = card.replace("sticker/", "")  # the files' folder
    for text in (report.replace("sticker/", ""), card):
        for name in ("EmoVid ", "emovid/EmoVid", "paper", "sticker"):
            assert name not in text, name


def ink_columns(picture: np.ndarray) -> int:
    """The last column from the left that has any ink."""
    return int(np.flatnonzero((picture < 128).any(axis=0))[-1]) + 1


def test_the_cards_pictures_show_whole_names(made: Path) -> None:
    sheet = np.asarray(Image.open(made / "out" / CONTACT_SHEET).convert("L"))
    font = ImageFont.load_default(14)
    parts = [["quiet_", "contentment"], ["overwhelming_", "awe_of_nature"], ["dread-of-what-", "comes-next"]]
    for place, lines in enumerate([*parts, ["schadenfreude"]]):
        left = 8 + place * (TILE + 8)
        for number, line in enumerate(lines):
            top = 8 + TILE + 4 + 17 * number
            its = sheet[top : top + 15, left : left + TILE]
            assert ink_columns(its) == pytest.approx(font.getlength(line), abs=3), line
    chart = np.asarray(Image.open(made / "out" / EMOTION_CHART).convert("L"))
    font = ImageFont.load_default(15)
    for place, name in enumerate(NAMES):
        top = 8 + 30 * place + 7
        assert ink_columns(chart[top : top + 16, : round(font.getlength(name)) + 12]) == pytest.approx(
            8 + font.getlength(name), abs=3
        )
