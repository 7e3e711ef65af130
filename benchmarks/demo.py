"""How long the demo's page takes on loopback until its clips are seen: `python -m benchmarks.demo DIR`."""

from __future__ import annotations

import argparse
import os
import socket
import statistics
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from playwright.sync_api import sync_playwright

from emovid_dataset.terminal import print_table

DEMO = Path(__file__).parents[1] / "cards" / "demo"
REMOTE = Path(__file__).parents[1] / "emovid_models" / "remote"
"""Holds the folder `sticker`, which a Space carries beside its page."""


def main() -> None:
    """Serve the page, open it in new browsers, print the times."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset", help="folder of a build")
    parser.add_argument("--chromium", default="/usr/bin/chromium")
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    url = f"http://127.0.0.1:{port}/"
    variables = {
        "EMOVID_DATASET": os.path.abspath(options.dataset),
        "GRADIO_ANALYTICS_ENABLED": "False",
        "GRADIO_SERVER_NAME": "127.0.0.1",
        "GRADIO_SERVER_PORT": port,
        # The models would be looked for on the Hub: the page must not wait for them.
        "HF_HUB_OFFLINE": "1",
        "PYTHONPATH": str(REMOTE),
    }
    start = time.perf_counter()
    server = subprocess.Popen(
        [sys.executable, "app.py"], cwd=DEMO, env=os.environ | variables, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        answer(url, server)
        rows: list[list[object]] = [["server starts", f"{time.perf_counter() - start:.2f}"]]
        times = [open_page(url, options.chromium) for _ in range(options.runs)]
    finally:
        server.terminate()
        server.wait(20)
    rows += [
        ["first visit, clips seen", f"{times[0]:.2f}"],
        [f"median of {len(times)} visits, each with an empty cache", f"{statistics.median(times):.2f}"],
        ["slowest", f"{max(times):.2f}"],
    ]
    print_table("Demo", ["", "seconds"], rows)


def answer(url: str, server: subprocess.Popen[bytes]) -> None:
    """Wait until the server answers."""
    while True:
        if server.poll() is not None:
            raise OSError("the demo's server ended")
        try:
            urllib.request.urlopen(url, timeout=5).close()
            return
        except (urllib.error.URLError, TimeoutError):
            time.sleep(0.05)


def open_page(url: str, chromium: str) -> float:
    """Seconds from the request until twelve clips show a picture."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        start = time.perf_counter()
        page.goto(url)
        page.wait_for_function(
            "performance.getEntriesByType('resource')"
            ".filter((file) => file.name.includes('/poster/') && file.responseEnd > 0).length === 12"
        )
        seconds = time.perf_counter() - start
        browser.close()
    return seconds


if __name__ == "__main__":
    main()
