"""Reading again where a server failed in passing: a wait for a training run, not its end.

A failure is passing when another try may go well: the connection was lost or too slow, or refused by a server
that had answered before, or the server answered with one of `STATUSES`. This is for plain http; the clients
of the Hub and of buckets try again by themselves.
"""

from __future__ import annotations

import io
import random
import time
from collections.abc import Callable
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import IO, TYPE_CHECKING, Any, TypeVar

from emovid_dataset._credentials import clean_cause, first_line

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

TRIES = 6
"""How often in a row a request may fail; what was read counts as a success from `_PROGRESS` bytes on."""

FIRST_WAIT = 0.5
"""Seconds before the second try; the wait doubles from try to try, so that six tries take 15.5 s."""

LONGEST_WAIT = 60.0
"""Seconds of a Retry-After that are waited; a server that asks for more is not asked again."""

STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})
"""HTTP statuses that may pass."""

_PROGRESS = 1 << 20
# By name: aiohttp may be absent, and Python 3.10 has two classes called TimeoutError.
_PASSING = frozenset({"ClientConnectionError", "ClientPayloadError", "ConnectionError", "TimeoutError"})

T = TypeVar("T")


class UnreadableError(OSError):
    """A file that cannot be read, in one line that names it."""


def is_passing(error: BaseException, *, known: bool = True) -> bool:
    """Whether the same request may go well a little later.

    Args:
        error: what the request raised.
        known: whether the server must have answered before; the address of one that cannot be reached may
            otherwise be wrong, and nobody should wait to be told so.
    """
    status = _status(error)
    if status is not None:
        return status in STATUSES
    kinds = _kinds(_answer(error))
    return bool(kinds & _PASSING) and (known or "ClientConnectorError" not in kinds)


def in_words(error: BaseException, token: str | bool | None) -> str:
    """What went wrong, in words where the exception's own name says little."""
    status = _status(error)
    if status is not None:
        words = f"its server answers {status} {getattr(_answer(error), 'message', '')}".rstrip()
        asked = _retry_after(error)
        long = asked is not None and asked > LONGEST_WAIT
        return f"{words} and asks to wait {asked:.0f} s" if long else words
    kinds = _kinds(_answer(error))
    if kinds & {"ClientPayloadError", "ServerDisconnectedError", "ConnectionResetError"}:
        return "the connection broke off"
    if "TimeoutError" in kinds:
        return "no answer came in time"
    return first_line(error, token)


def retried(request: Callable[[], T], *, known: bool = True) -> T:
    """Make a request, at most `TRIES` times while its failures are passing ones; the last is raised.

    Args:
        request: what is tried.
        known: as for `is_passing`.
    """
    for failures in range(1, TRIES):
        try:
            return request()
        except Exception as error:
            if not is_passing(error, known=known) or not _wait(error, failures):
                raise
    return request()


class HttpFile(io.RawIOBase):
    """A file of an http server, read once from start to end; where it breaks off it goes on from there.

    aiohttp loses what it had received but not yet handed out when a connection breaks off, at most some
    hundred kilobytes, which are asked for again.

    Args:
        files: fsspec's file system for http.
        url: as that file system wants it.
        shown: the same as it may be shown.

    Raises:
        FileNotFoundError: when it is opened: it does not exist.
        Exception: when it is opened: aiohttp's, for any other failure.
    """

    def __init__(self, files: AbstractFileSystem, url: str, shown: str) -> None:
        self._files, self._url, self._shown = files, url, shown
        self._place = self._failures = self._counted_from = 0
        self._version: tuple[str | None, ...] = ()
        self._size: int | None = None
        self._body: Any = retried(self._open)

    def readable(self) -> bool:
        return True

    def close(self) -> None:
        if self._body is not None:
            self._body.close()
            self._body = None
        super().close()

    def readinto(self, buffer: Any) -> int:
        while True:
            try:
                if self._body is None:
                    self._body = self._open()
                data = self._body.read(len(buffer))
            except Exception as error:
                self._drop()
                if self._place == self._size:
                    return 0  # all came, only the end of the connection was not a clean one
                self._count(error)
                continue
            self._place += len(data)
            buffer[: len(data)] = data
            return len(data)

    def _count(self, error: Exception) -> None:
        """Wait for the next try, or raise the error of the last one."""
        if self._place - self._counted_from >= _PROGRESS:
            self._failures = 0
        self._counted_from = self._place
        self._failures += 1
        if isinstance(error, UnreadableError) or not is_passing(error):
            raise error
        if self._failures >= TRIES or not _wait(error, self._failures):
            times = "once" if self._failures == 1 else f"{self._failures} times in a row"
            raise UnreadableError(
                f"{self._shown} cannot be read: {in_words(error, None)} ({times}, at byte {self._place:,})"
            ) from clean_cause(error)

    def _open(self) -> IO[bytes]:
        """Ask for the bytes from the present place on."""
        headers = {"Accept-Encoding": "identity"}
        if self._place:
            headers["Range"] = f"bytes={self._place}-"
        # With any size at all fsspec asks for none beforehand.
        body: Any = self._files.open(self._url, "rb", block_size=0, size=1, headers=headers)
        try:
            self._check(body.r)
            if self._place and body.r.status != 206:  # it takes no range requests
                self._skip(body)
        except BaseException:
            body.close()
            raise
        return body

    def _check(self, answer: Any) -> None:
        """Learn the file's version from the first answer, and compare the others with it."""
        ranged = answer.status == 206
        size = answer.headers.get("Content-Range", "").rpartition("/")[2] if ranged else None
        size = size if ranged else answer.headers.get("Content-Length")
        version = (size, answer.headers.get("ETag"), answer.headers.get("Last-Modified"))
        if not self._version:
            self._version = version
            self._size = int(size) if size and size.isdigit() else None
        same = all(old == new for old, new in zip(self._version, version, strict=True) if old and new)
        first = answer.headers.get("Content-Range", "").removeprefix("bytes ").partition("-")[0]
        if not same:
            raise UnreadableError(f"{self._shown} cannot be read: it changed while it was being read")
        if self._place and ranged and first != str(self._place):
            raise UnreadableError(
                f"{self._shown} cannot be read: its server sent another range than was asked"
            )

    def _skip(self, body: IO[bytes]) -> None:
        left = self._place
        while left:
            data = body.read(min(left, _PROGRESS))
            if not data:
                raise UnreadableError(
                    f"{self._shown} cannot be read: it became shorter while it was being read"
                )
            left -= len(data)

    def _drop(self) -> None:
        body, self._body = self._body, None
        if body is not None:
            body.close()


def _answer(error: BaseException) -> BaseException:
    """The exception that holds the server's answer: fsspec's http calls every failure not found."""
    cause = error.__cause__
    return cause if isinstance(error, FileNotFoundError) and cause is not None else error


def _kinds(error: BaseException) -> set[str]:
    return {kind.__name__ for kind in type(error).__mro__}


def _status(error: BaseException) -> int | None:
    found = _answer(error)
    status = getattr(found, "status", None)
    return status if isinstance(status, int) and status > 0 else None


def _wait(error: BaseException, failures: int) -> bool:
    """Wait before the next try; False where the server asks for too long a wait."""
    asked = _retry_after(error)
    if asked is not None and asked > LONGEST_WAIT:
        return False
    # Not the same for all: the many readers of a training run would come back together.
    seconds = FIRST_WAIT * 2 ** (failures - 1) * random.SystemRandom().uniform(0.8, 1.2)
    time.sleep(seconds if asked is None else asked)
    return True


def _retry_after(error: BaseException) -> float | None:
    """Seconds that the server asks to wait: a number, or a date."""
    headers = getattr(_answer(error), "headers", None) or {}
    text = headers.get("Retry-After")
    if not text:
        return None
    try:
        return max(0.0, float(text))
    except ValueError:
        pass
    try:
        when = parsedate_to_datetime(text)
    except ValueError:
        return None
    return max(0.0, (when - datetime.now(timezone.utc)).total_seconds())
