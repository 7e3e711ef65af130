"""`AppendedLines`: a file that one process appends lines to, each on the disk before anybody hears of it."""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path


class AppendedLines:
    """A file that this process alone appends to, until it is closed.

    A last line without its end is cut off when the file is opened: it was never confirmed, so whoever sent it
    was not told that it is there, and sends it again.

    Args:
        path: of the file; it and its folder are created if missing.
        mode: of a file that is created.

    Attributes:
        path: of the file.

    Raises:
        BlockingIOError: another process appends to it.
        OSError: it cannot be opened, or is a link.
    """

    def __init__(self, path: Path, *, mode: int = 0o666) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        self._file = os.open(path, flags, mode)
        self._torn_at: int | None = None
        try:
            self._lock()
            _sync_folder(path.parent)
            self._cut_torn()
        except BaseException:
            os.close(self._file)
            raise

    def _lock(self) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            said = "another process appends to it; use the page that is open, or end it"
            raise BlockingIOError(error.errno, said, str(self.path)) from error

    def _cut_torn(self) -> None:
        whole, _, torn = self.path.read_bytes().rpartition(b"\n")
        if torn:
            os.ftruncate(self._file, len(whole) + 1 if whole else 0)
            os.fsync(self._file)

    def lines(self) -> list[bytes]:
        """What the file holds, line by line without their ends."""
        return self.path.read_bytes().split(b"\n")[:-1]

    def append(self, line: bytes) -> None:
        """Write a line; when this returns, it is on the disk.

        Args:
            line: without its end.

        Raises:
            OSError: it cannot be written whole; then nothing of it is in the file.
        """
        line += b"\n"
        if self._torn_at is not None:
            os.ftruncate(self._file, self._torn_at)
            self._torn_at = None
        before = os.fstat(self._file).st_size
        try:
            written = os.write(self._file, line)
            while written < len(line):  # a disk that fills up takes a part first
                written += os.write(self._file, line[written:])
            os.fsync(self._file)
        except OSError as error:
            self._torn_at = before
            with suppress(OSError):
                os.ftruncate(self._file, before)
                self._torn_at = None
                os.fsync(self._file)
            raise OSError(error.errno, error.strerror, str(self.path)) from error

    def replace(self, content: bytes) -> None:
        """Put other lines in the place of all of them; whoever reads meanwhile gets the former or the latter.

        Args:
            content: whole lines, with their ends.

        Raises:
            OSError: they cannot be written; then the former ones are there.
        """
        unfinished = self.path.with_name(f".{self.path.name}.part")
        flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        file = os.open(unfinished, flags, os.fstat(self._file).st_mode & 0o777)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            view = memoryview(content)
            while view:
                view = view[os.write(file, view) :]
            os.fsync(file)
            os.replace(unfinished, self.path)
        except BaseException:
            os.close(file)
            unfinished.unlink(missing_ok=True)
            raise
        _sync_folder(self.path.parent)
        os.close(self._file)
        self._file = file

    def close(self) -> None:
        """Let another process append; whoever appends here from now on gets an OSError."""
        file, self._file = self._file, -1  # its number may soon be that of another file
        os.close(file)


def _sync_folder(folder: Path) -> None:
    """A new file's name is on the disk, too."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
