"""What the processes that talk to the Hub on loopback are given."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hub_server import HubServer

Client = Callable[..., Any]
"""Runs code in a process of its own; see the fixture `client`."""

WRITE = "hf_" + "writeTOKEN" * 3 + "abcd"
READ = "hf_" + "readsTOKEN" * 3 + "abcd"


def client_environment(hub: HubServer, home: Path) -> dict[str, str]:
    """Variables of a process whose Hub is this one, and whose home and caches are a folder of the test."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "HF_HOME": str(home / "hf"),
        "HF_ENDPOINT": hub.url,
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_UPDATE_DOWNLOAD_COUNTS": "0",
        "OMP_NUM_THREADS": "1",
    }
