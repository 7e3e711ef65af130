"""The demo's page, served as its users serve it, and a browser."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

TESTS = Path(__file__).parents[1]
DEMO = TESTS.parent / "cards" / "demo"
CHROMIUM = Path("/usr/bin/chromium")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--autoplay-policy=no-user-gesture-required",
]
for folder in (TESTS / "wan", DEMO):
    sys.path.append(str(folder))


@contextmanager
def serving(command: list[str], log: Path, **variables: str) -> Iterator[str]:
    """Run a server on a free port until its page answers, and stop it at the end."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    url = f"http://127.0.0.1:{port}/"
    environment = os.environ | {
        "OMP_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
        "GRADIO_ANALYTICS_ENABLED": "False",
        "GRADIO_SERVER_NAME": "127.0.0.1",
        "GRADIO_SERVER_PORT": port,
        "GRADIO_TEMP_DIR": str(log.parent / "uploads"),
        "TMPDIR": str(log.parent),
        **variables,
    }
    with log.open("w") as output:
        server = subprocess.Popen(
            [*command, "--port", port] if "--serve" in command else command,
            cwd=DEMO,
            env=environment,
            stdout=output,
            stderr=output,
        )
    try:
        for _ in range(600):
            assert server.poll() is None, log.read_text()
            try:
                urllib.request.urlopen(url, timeout=5).close()
                break
            except (urllib.error.URLError, TimeoutError):
                time.sleep(0.2)
        else:
            pytest.fail(f"no page at {url}: {log.read_text()}")
        yield url
    finally:
        server.terminate()
        server.wait(20)


@pytest.fixture(scope="session")
def bases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Wan at tiny size with random weights, for both tasks."""
    pytest.importorskip("diffusers")
    import torch
    from diffusers import WanImageToVideoPipeline, WanPipeline
    from wan_tiny import i2v_components, t2v_components

    folder = tmp_path_factory.mktemp("bases")
    kinds: dict[str, Any] = {
        "t2v": WanPipeline(**t2v_components()),
        "i2v": WanImageToVideoPipeline(**i2v_components()),
    }
    for task, pipe in kinds.items():
        # A random text hardly shows in random pictures; here it does.
        with torch.no_grad():
            for block in pipe.transformer.blocks:
                block.attn2.to_out[0].weight.mul_(200)
        pipe.save_pretrained(folder / task)
    return {task: folder / task for task in ("t2v", "i2v")}


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Debian's chromium."""
    sync_api = pytest.importorskip("playwright.sync_api")
    if not CHROMIUM.exists():
        pytest.skip("chromium is not installed")
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=str(CHROMIUM), args=ARGUMENTS)
        yield chromium
        chromium.close()


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
