"""Files of a disk that appear whole or not at all."""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def is_temporary(name: str) -> bool:
    """Whether a name is one of those under which files are written before they are renamed.

    >>> is_temporary("data/.train.tar.0a1b2c.tmp"), is_temporary("data/train.tmp")
    (True, False)
    """
    leaf = name.rpartition("/")[2]
    return leaf.startswith(".") and leaf.endswith(".tmp")


@contextmanager
def written_whole(path: Path) -> Iterator[IO[bytes]]:
    """A new file under a temporary name beside `path`, renamed to it at the clean end of the block.

    Raises:
        OSError: it cannot be written; the error names `path`.
    """
    # A copy of the descriptor, for the block may close its file.
    with placed_whole(path) as (_, descriptor), os.fdopen(os.dup(descriptor), "w+b") as file:
        yield file


@contextmanager
def placed_whole(path: Path) -> Iterator[tuple[Path, int]]:
    """The temporary file of `written_whole` by its name and its descriptor."""
    temporary = path.with_name(f".{path.name[:40]}.{secrets.token_hex(6)}.tmp")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        descriptor = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        try:
            with suppress(OSError):  # tells a sweep that somebody is writing it
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield temporary, descriptor
            os.fsync(descriptor)
            os.replace(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.filename == str(temporary) or (error.filename is None and error.errno in _FULL):
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise
    _sync_folder(path.parent)


def is_being_written(path: Path) -> bool:
    """Whether somebody is writing this temporary file now, as far as the file system can tell."""
    with suppress(FileNotFoundError), path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            return False
    return False


def disk_entries(folder: Path, follow: bool) -> set[str]:
    """What lies in a folder: regular files, and folders with a slash at their end; links too if `follow`."""
    entries = set()
    with suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder) as found:
        for entry in found:
            with suppress(OSError):  # a link in a circle is like one to nothing
                if entry.is_dir(follow_symlinks=follow):
                    entries.add(entry.name + "/")
                elif entry.is_file(follow_symlinks=follow):
                    entries.add(entry.name)
    return entries


def _sync_folder(folder: Path) -> None:
    with suppress(OSError):  # some file systems cannot
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
