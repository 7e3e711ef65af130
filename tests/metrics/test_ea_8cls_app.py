"""The metric's page, started as on a Space and used in a real browser."""

import importlib
import io
import sys

import numpy as np
import pytest
from PIL import Image
from web_pages import needs_chromium, serving

pytest.importorskip("gradio")
sync_api = pytest.importorskip("playwright.sync_api")

pytestmark = [
    pytest.mark.browser,
    needs_chromium,
]


@pytest.fixture(scope="module")
def address(ea_8cls_folder, tmp_path_factory):
    """The page's address, served by ``python app.py`` in its own folder."""
    log = tmp_path_factory.mktemp("app") / "log.txt"
    with serving([sys.executable, "app.py"], ea_8cls_folder, log) as url:
        yield url


@pytest.fixture
def page(browser, address):
    opened = browser.new_page(viewport={"width": 1280, "height": 900})
    opened.set_default_timeout(60_000)
    opened.requested = []
    opened.on("request", lambda request: opened.requested.append(request.url))
    opened.goto(address)
    picture(opened).wait_for()
    yield opened
    opened.close()


def picture(page):
    return page.get_by_alt_text("Confusion matrix")


def fill(page, predictions, references, groups=""):
    page.get_by_label("Predictions").fill("\n".join(predictions))
    page.get_by_label("References").fill("\n".join(references))
    page.get_by_label("Groups, optional").fill("\n".join(groups))
    page.get_by_role("button", name="Score").click()


def tile(page, title):
    return page.locator(".ea-tile").filter(has_text=title).locator("b")


def test_the_confusion_matrix_of_what_was_typed_is_shown_as_a_picture(page):
    before = picture(page).get_attribute("src")
    fill(page, ["awe", "AWE", "7", "-", "anger"], ["awe", "fear", "sadness", "sadness", "disgust"])
    sync_api.expect(tile(page, "EA-8cls")).to_have_text("40.0 %")
    sync_api.expect(tile(page, "EA-2cls")).to_have_text("60.0 %")
    sync_api.expect(tile(page, "videos")).to_have_text("5")
    sync_api.expect(picture(page)).not_to_have_attribute("src", before)

    app = importlib.import_module("emovid_models.metrics.ea_8cls.app")
    matrix = np.zeros((8, 8))
    for row, column in [(1, 1), (6, 1), (7, 7), (5, 4)]:
        matrix[row, column] = 1
    body = page.request.get(picture(page).get_attribute("src")).body()
    shown = np.asarray(Image.open(io.BytesIO(body)).convert("RGB"))
    assert np.array_equal(shown, np.asarray(app.draw_confusion(matrix, app.metric.emotions)))
    assert picture(page).evaluate("image => image.complete && image.naturalWidth > 500")


def test_eight_scores_a_line_and_groups_are_read(page):
    rows = ["0.6 0.4 0 0 0 0 0 0", "[0, 0, 0, 0, 0.25, 0.75, 0, 0]"]
    fill(page, rows, ["amusement", "anger"], ["cartoon", "<i>movie</i>"])
    sync_api.expect(tile(page, "EA-8cls")).to_have_text("50.0 %")
    sync_api.expect(page.locator(".ea-tables")).to_contain_text("<i>movie</i>")
    page.get_by_role("button", name="All values").click()
    sync_api.expect(page.get_by_text("brier_score")).to_be_visible()


def test_wrong_input_is_named_and_clears_the_last_result(page):
    fill(page, ["awe", "joy"], ["awe", "fear"])
    alert = page.get_by_role("alert").filter(has_text="predictions[1] is 'joy'")
    sync_api.expect(alert).to_be_visible()
    sync_api.expect(picture(page)).to_have_count(0)
    fill(page, ["awe"], ["awe"])
    sync_api.expect(tile(page, "EA-8cls")).to_have_text("100.0 %")
    sync_api.expect(alert).to_have_count(0)


def test_it_fits_a_phone_and_asks_no_other_host(page, address):
    page.set_viewport_size({"width": 390, "height": 844})
    page.reload()
    picture(page).wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    for box in (
        picture(page),
        page.get_by_role("button", name="Score"),
        page.locator(".ea-tables table").first,
    ):
        bounds = box.bounding_box()
        assert bounds["x"] >= 0 and bounds["x"] + bounds["width"] <= 390
    assert [url for url in page.requested if not url.startswith((address, "data:", "blob:"))] == []
