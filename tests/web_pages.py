"""Pages served on loopback for tests, and the browser that opens them."""

from __future__ import annotations

import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

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
needs_chromium = pytest.mark.skipif(not CHROMIUM.exists(), reason="chromium is not installed")

NAMES_AMISS = """() => [...document.querySelectorAll('.dot')].filter(dot => {
  if (!dot.getClientRects().length) return false;
  const name = dot.nextElementSibling, range = document.createRange(), place = dot.getBoundingClientRect();
  range.selectNodeContents(name);
  const lines = [...range.getClientRects()].filter(line => line.width);
  const tops = new Set(lines.map(line => line.top));
  return lines[0].top > place.bottom || lines.some(line => line.left < place.right)
    || tops.size > name.textContent.split(/(?<=[-_])/).length;
}).map(dot => dot.parentElement.textContent)"""
"""Names that begin below their dot, go on below it, or are broken elsewhere than behind - and _."""


@contextmanager
def serving(command: list[str], folder: Path, log: Path, **variables: str) -> Iterator[str]:
    """Run a Gradio server in a folder, on a free port, until its page answers, and stop it at the end."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    url = f"http://127.0.0.1:{port}/"
    environment = os.environ | {
        "GRADIO_ANALYTICS_ENABLED": "False",
        "GRADIO_SERVER_NAME": "127.0.0.1",
        "GRADIO_SERVER_PORT": port,
        **variables,
    }
    with log.open("w") as output:
        server = subprocess.Popen(
            [*command, "--port", port] if "--serve" in command else command,
            cwd=folder,
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
