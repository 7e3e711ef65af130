"""What goes wrong between the Hub and its client: what is worth another try, and what is said of it.

No text that leaves this module holds a token or the signature of an upload address.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timezone
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

from emovid_dataset.store import without_credentials

_API_PATHS = r"^/api/(models|datasets|spaces|repos)/|^/api/validate-yaml$|\.git/info/lfs/objects/"

# What ends a sentence or a bracket behind an address is not part of it.
_ADDRESS_QUERY = re.compile(r"(https?://[^\s?'\"<>]+)\?[^\s'\"<>]*?(?=[;,.:!)\]}]*(?:[\s'\"<>]|$))")

_TRANSPORT = {"TransportError", "ConnectionError", "Timeout", "ChunkedEncodingError", "JSONDecodeError"}


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a request that fails through no fault of ours is retried.

    Attributes:
        tries: of one request.
        first: seconds before the second try; doubled for each further one.
        longest: seconds between two tries, unless the Hub's Retry-After asks for more.
        most: seconds between two tries, whatever the Hub asks for.
    """

    tries: int = 8
    first: float = 1.0
    longest: float = 60.0
    most: float = 900.0

    def waits(self) -> Iterator[float]:
        """Seconds after each failed try but the last."""
        for attempt in range(self.tries - 1):
            yield min(self.longest, self.first * 2**attempt)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def status_of(error: BaseException) -> int | None:
    """The HTTP status that an error of the client is about."""
    for link in _chain(error):
        status = getattr(getattr(link, "response", None), "status_code", None)
        if status is not None:
            return int(status)
    return None


def is_of_storage(error: BaseException) -> bool:
    """Whether an upload address has refused an object.

    It may have expired, or the parts may be joined already by a request whose answer was lost. Asked again,
    the Hub gives another address, or says that the object is there.
    """
    for link in _chain(error):
        response = getattr(link, "response", None)
        if response is not None:
            return re.search(_API_PATHS, urlsplit(str(response.url)).path) is None
    return False


def seconds_to_wait(error: BaseException) -> float | None:
    """How long to wait at least before trying again; None when that is no use.

    The client's HTTP library has changed from version to version, so its exceptions are known by name.
    """
    for link in _chain(error):
        if type(link).__name__ == "OfflineModeIsEnabled":
            return None  # a ConnectionError that stays
        response = getattr(link, "response", None)
        status = getattr(response, "status_code", None)
        if response is not None and status is not None:
            if status < 500 and status not in (408, 425, 429):
                return None
            window = re.search(r";\s*r\s*=\s*0\s*;\s*t\s*=\s*(\d+)", response.headers.get("ratelimit", ""))
            after = _seconds_until(response.headers.get("Retry-After", ""))
            return after if after is not None else float(window[1] if window else 0)
        if any(cls.__name__ in _TRANSPORT for cls in type(link).__mro__):
            return 0.0
    return None


def _seconds_until(after: str) -> float | None:
    """Seconds that a Retry-After header asks for, as a number or as a date; None if it is neither.

    >>> _seconds_until("120"), _seconds_until("Wed, 21 Oct 2015 07:28:00 GMT"), _seconds_until("soon")
    (120.0, 0.0, None)
    """
    if after.strip().isdecimal():
        return float(after)
    try:
        date = parsedate_to_datetime(after)
    except (TypeError, ValueError):
        return None
    return max(0.0, date.replace(tzinfo=date.tzinfo or timezone.utc).timestamp() - time.time())


def redact(text: str, secret: str | None = None) -> str:
    """Take tokens and the signatures of upload addresses out of a text.

    >>> redact("PUT https://user:pw@s3.example/part?X-Amz-Signature=abc with hf_abcdefghijkl")
    'PUT https://s3.example/part with hf_...'
    >>> redact("503 (https://s3.example/part?sig=a;b=c); trying again")
    '503 (https://s3.example/part); trying again'
    """
    if secret:
        text = text.replace(secret, "hf_...")
    text = re.sub(r"hf_[A-Za-z0-9]{8,}", "hf_...", text)
    return without_credentials(_ADDRESS_QUERY.sub(r"\1", text))


@contextmanager
def redacted_logs(secret: str | None) -> Iterator[None]:
    """Keep secrets out of every log record that is made meanwhile, whoever makes it and wherever it goes."""
    make = logging.getLogRecordFactory()

    def make_redacted(*args: Any, **kwargs: Any) -> logging.LogRecord:
        record = make(*args, **kwargs)
        try:
            text = record.getMessage()
        except Exception:  # logging reports a message that does not fit its arguments, and shows both
            text = f"{record.msg} {record.args}"
        record.msg, record.args = redact(text, secret), None
        if record.exc_info:
            record.exc_text = redact(logging.Formatter().formatException(record.exc_info), secret)
            record.exc_info = None
        return record

    logging.setLogRecordFactory(make_redacted)
    try:
        yield
    finally:
        # If another push has begun meanwhile, its factory stands before this one.
        if logging.getLogRecordFactory() is make_redacted:
            logging.setLogRecordFactory(make)


def reason_of(error: BaseException) -> str:
    """What went wrong: the status and what the Hub said, or the error's own words."""
    status = status_of(error)
    said = next((text for link in _chain(error) if (text := getattr(link, "server_message", None))), "")
    return " ".join((f"{status} {said}" if status else f"{type(error).__name__} {error}").split())


@contextmanager
def one_line_errors(repo_id: str, secret: str | None) -> Iterator[None]:
    """Turn the client's errors into an OSError of one line that holds no token."""
    try:
        yield
    except Exception as error:
        status = status_of(error)
        if status is None and not isinstance(error, OSError) and seconds_to_wait(error) is None:
            if isinstance(error, ValueError):
                raise ValueError(redact(" ".join(str(error).split()), secret)) from None
            raise
        why = reason_of(error)
        if status in (401, 403):
            why += "; this needs a token that may write there: run `hf auth login` or set HF_TOKEN"
        # The cause would show addresses and headers in a traceback.
        raise OSError(f"{repo_id}: {redact(why, secret)}") from None
