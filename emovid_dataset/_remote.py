"""Remote file systems as `Store` uses them: how one is reached, and errors of one line."""

from __future__ import annotations

import io
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

from emovid_dataset._address import BUCKETS, HTTP, HUB, scheme_of
from emovid_dataset._credentials import clean_cause
from emovid_dataset._lease import BusyError
from emovid_dataset._retry import HttpFile, UnreadableError, in_words

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

_BLOCK = 8 << 20
_NEED_A_FILE = ("read", "deleted", "listed")


def files_at(root: str, token: str | bool | None) -> tuple[AbstractFileSystem, str]:
    """The file system of a URL, and what it calls that place.

    Asked for anew each time and never kept: fsspec's own cache knows threads and forked processes, we do not.
    """
    from fsspec.core import url_to_fs

    scheme = scheme_of(root)
    # Others write there too: what a listing showed a while ago is no answer.
    options: dict[str, Any] = {"use_listings_cache": False} if scheme in BUCKETS else {}
    if scheme == "hf":
        options["token"] = token
    files, place = url_to_fs(root, **options)
    return files, place.rstrip("/")


def opened_to_read(files: AbstractFileSystem, place: str, root: str, shown: str) -> IO[bytes]:
    """Open a remote file to be read once, from its start to its end.

    Args:
        files: the file system.
        place: what it calls the file.
        root: URL of the store.
        shown: the file as it may be shown.
    """
    if scheme_of(root) in HTTP:
        return cast(IO[bytes], HttpFile(files, place, shown))
    if scheme_of(root) == "memory":  # all who open one of its files share one place in it
        return io.BytesIO(files.cat_file(place))
    if root.startswith(HUB):
        return cast(IO[bytes], files.open(place, "rb", block_size=0))
    return cast(IO[bytes], files.open(place, "rb", block_size=_BLOCK, cache_type="readahead"))


def fetch(files: AbstractFileSystem, place: str, copy: Path, root: str) -> None:
    """Copy a remote file to the disk.

    Args:
        files: the file system.
        place: what it calls the file.
        copy: where it goes.
        root: URL of the store.
    """
    if root.startswith(HUB):  # its client asks again for ranges that fail, and not for whole files
        with files.open(place, "rb", block_size=_BLOCK) as source, copy.open("wb") as target:
            shutil.copyfileobj(source, target, _BLOCK)
    else:
        files.get_file(place, str(copy))


def entries_at(files: AbstractFileSystem, folder: str) -> set[str]:
    """What lies in a folder: files, and folders with a slash at their end."""
    found = files.ls(folder, detail=True)
    below = [(entry["name"].removeprefix(f"{folder}/"), entry) for entry in found if entry["name"] != folder]
    # A bucket can hold a key such as "a//b", which no name of ours reaches.
    return {
        f"{name}/" if entry["type"] == "directory" else name
        for name, entry in below
        if name and "/" not in name
    }


@contextmanager
def one_line_errors(shown: str, done: str, token: str | bool | None) -> Iterator[None]:
    """Turn any error of a file system into one line that names the file and shows no credential.

    Args:
        shown: the file as it may be shown.
        done: what was tried: "read", "written", "deleted", "listed", "leased", "reached".
        token: never to be shown.
    """
    try:
        yield
    except (BusyError, UnreadableError):
        raise
    except Exception as error:  # aiohttp, httpx and botocore have exceptions with no common base
        cause = clean_cause(error, token)
        if isinstance(error, FileNotFoundError) and _is_missing(error) and done in _NEED_A_FILE:
            raise FileNotFoundError(f"{shown} does not exist") from cause
        why = in_words(error, token)
        if type(error).__name__ == "GatedRepoError":
            why = "the repo is gated; ask for it on its page, and use your token (`hf auth login`)"
        raise OSError(f"{shown} cannot be {done}: {why}") from cause


def _is_missing(error: FileNotFoundError) -> bool:
    """Whether a file is absent, not only out of reach: fsspec's http calls every failure not found."""
    cause = error.__cause__
    is_http = type(cause).__module__.startswith("aiohttp")
    return not is_http or getattr(cause, "status", None) in (404, 410)


class OneLineReader(io.RawIOBase):
    """A remote file that is read once; its errors are one line each."""

    def __init__(self, file: IO[bytes], shown: str, token: str | bool | None) -> None:
        self._file, self._shown, self._token = file, shown, token

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        with one_line_errors(self._shown, "read", self._token):
            data = self._file.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)
