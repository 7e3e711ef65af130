"""The demo's page, served as its users serve it, and a browser."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
import web_pages

from emovid_dataset.media import portable
from emovid_models.remote import sticker

TESTS = Path(__file__).parents[1]
DEMO = TESTS.parent / "cards" / "demo"
BESIDE = os.pathsep.join(
    str(TESTS.parent / room) for room in ("emovid_models/remote", "emovid_dataset/media")
)
"""Where the folders `sticker` and `portable` lie, which a Space carries beside its page."""

sys.path.append(str(DEMO))
# A Space carries these folders beside its page.
sys.modules.update(sticker=sticker, portable=portable)


def serving(command: list[str], log: Path, **variables: str) -> AbstractContextManager[str]:
    """Run the demo's server offline, with its uploads and temporary files beside its log."""
    return web_pages.serving(
        command,
        DEMO,
        log,
        **{
            "OMP_NUM_THREADS": "1",
            "HF_HUB_OFFLINE": "1",
            "PYTHONPATH": BESIDE,
            "GRADIO_TEMP_DIR": str(log.parent / "uploads"),
            "TMPDIR": str(log.parent),
            **variables,
        },
    )


@pytest.fixture
def opened(browser: Any) -> Iterator[Callable[..., Any]]:
    """Opens pages; each keeps the addresses that it asked for in `requested`."""
    pages = []

    def open_page(address: str, width: int = 1280, height: int = 900) -> Any:
        page = browser.new_page(viewport={"width": width, "height": height})
        page.set_default_timeout(120_000)
        page.requested = []
        page.on("request", lambda request: page.requested.append(request.url))
        page.goto(address)
        pages.append(page)
        return page

    yield open_page
    for page in pages:
        page.close()
