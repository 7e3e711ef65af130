"""What may be shown of an address or an error: no password, no key, no signature."""

from __future__ import annotations

import os
import re
import traceback
from collections.abc import Iterator, Mapping

_USER = re.compile(r"(\w://)[^/?#\s]*@")
# What ends a sentence or a bracket behind an address is not part of it.
_QUERY = re.compile(r"(?i)(\bhttps?://[^\s\"'<>?#]*\?)([^\s\"'<>#]+?)(?=[;,.:!)\]}]*(?:[\s\"'<>#]|$))")
_HEADER = re.compile(
    r"(?i)(\b(?:authorization\W+(?:\w+\s+)?|bearer\s+|(?:credential|signature|security-token)=))[^,\s\"'<>()]+"
)
_SECRET_NAME = re.compile(r"(SECRET|TOKEN|PASSWORD|KEY|KEY_ID|CONNECTION_STRING)$")
_SECRET_OPTION = re.compile(r"(?i)secret|token|passw|key|credential|connection_string|sas")
_SHORTEST = 8
"""Below that many characters the value of a variable or option is a word, not a secret."""


def without_credentials(text: str) -> str:
    """Take user and password out of every address in a text, and the values out of an http query.

    >>> without_credentials("https://me:p@ss@host/build is gone")
    'https://host/build is gone'
    >>> without_credentials("https://host/build?X-Amz-Signature=0f3e&part=1")
    'https://host/build?X-Amz-Signature=...&part=...'
    """
    return _QUERY.sub(lambda found: found[1] + _hidden(found[2]), _USER.sub(r"\1", text))


def _hidden(query: str) -> str:
    """A query of which the names are left."""
    parts = (part.partition("=") for part in query.split("&"))
    return "&".join(
        f"{name}=..." if equals else "..." if len(name) >= _SHORTEST else name for name, equals, _ in parts
    )


def first_line(error: BaseException, token: str | bool | None = None) -> str:
    """Type and first line of an error, without credentials, and those of environment and configuration."""
    lines = str(error).strip().splitlines() or [""]
    return _clean(f"{type(error).__name__} {lines[0]}", token).rstrip()


def clean_cause(error: BaseException, token: str | bool | None = None) -> BaseException | None:
    """The error itself, to be raised from; None when its traceback would show a credential."""
    shown = "".join(traceback.format_exception(error))
    return error if _clean(shown, token) == shown else None


def _clean(text: str, token: str | bool | None) -> str:
    for secret in {*_configured(), token}:
        if isinstance(secret, str) and len(secret) >= _SHORTEST:
            text = text.replace(secret, "...")
    return _HEADER.sub(r"\1...", without_credentials(text))


def _configured() -> Iterator[str]:
    """Secrets of the environment, and of fsspec's configuration: its files and ``FSSPEC_...`` variables."""
    from fsspec.config import conf

    yield from (value for name, value in os.environ.items() if _SECRET_NAME.search(name))
    yield from _secret_options(conf)


def _secret_options(options: Mapping[str, object]) -> Iterator[str]:
    for name, value in options.items():
        if isinstance(value, Mapping):
            yield from _secret_options(value)
        elif isinstance(value, str) and _SECRET_OPTION.search(name):
            yield value
