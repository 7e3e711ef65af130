"""Fixtures that several test folders share."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest
from web_pages import ARGUMENTS, CHROMIUM

from emovid_dataset.builder.build import build

if not entry_points(group="emovid.commands"):
    pytest.exit("emovid was installed before its entry points changed; run: pip install --no-deps -e .", 2)
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell lets its background jobs ignore Ctrl-C, and what they start would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)

TESTS = Path(__file__).parent
LONGEST = tuple((TESTS / "longest.txt").read_text(encoding="utf-8").split())
"""The files that take longest, longest first: begun last, one would run while every other worker is idle."""
MINI = Path(__file__).parents[1] / "emovid_dataset" / "mini"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the files that take longest first."""
    rank = {TESTS / name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: rank.get(item.path, len(rank)))


@pytest.fixture(scope="session")
def mini_build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A build of the whole embedded miniature corpus: 153 stickers, 116 cartoon and 2 movie clips."""
    out = tmp_path_factory.mktemp("mini") / "EmoVid"
    build(MINI, MINI / "labels.csv", out)
    return out


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Debian's chromium. A module's own: Playwright takes the event loop for as long as it runs."""
    sync_api = pytest.importorskip("playwright.sync_api")
    if not CHROMIUM.exists():
        pytest.skip("chromium is not installed")
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=str(CHROMIUM), args=ARGUMENTS)
        yield chromium
        chromium.close()
