"""Barriers between a test and the workers that it starts: named pipes, so that nobody waits by the clock."""

from __future__ import annotations

import os
import select
from pathlib import Path


class Gate:
    """The test's end of a gate."""

    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        # open for both, so that neither side ever waits for the other to open it
        self._file = os.open(path, os.O_RDWR)

    def wait(self, count: int = 1) -> None:
        """Wait until workers have knocked `count` times."""
        for _ in range(count):
            ready, _, _ = select.select([self._file], [], [], 600)
            assert ready, "no worker came"
            os.read(self._file, 1)

    def open(self, count: int = 1) -> None:
        """Let `count` workers pass."""
        os.write(self._file, b"." * count)


def knock(path: Path) -> None:
    """Tell the test that a worker is here."""
    file = os.open(path, os.O_WRONLY)
    os.write(file, b".")
    os.close(file)


def pass_through(path: Path) -> None:
    """Wait until the test opens the gate."""
    file = os.open(path, os.O_RDONLY)
    os.read(file, 1)
    os.close(file)
