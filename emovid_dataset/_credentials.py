"""What may be shown of an address or an error: no password, no key, no signature."""

from __future__ import annotations

import os
import re
import traceback

_USER = re.compile(r"(\w://)[^/?#\s]*@")
_QUERY = re.compile(r"(?i)(\bhttps?://[^\s\"'<>?#]*\?)([^\s\"'<>#]+)")
_VALUE = re.compile(r"=[^&,;()]*")
_HEADER = re.compile(
    r"(?i)(\b(?:authorization\W+(?:\w+\s+)?|bearer\s+|(?:credential|signature|security-token)=))[^,\s\"'<>()]+"
)
_SECRET_NAME = re.compile(r"(SECRET|TOKEN|PASSWORD|KEY|KEY_ID|CONNECTION_STRING)$")
_SHORTEST = 8
"""Below that many characters the value of a variable is a word, no secret."""


def without_credentials(text: str) -> str:
    """Take user and password out of every address in a text, and the values out of an http query.

    >>> without_credentials("https://me:p@ss@host/build is gone")
    'https://host/build is gone'
    >>> without_credentials("https://host/build?X-Amz-Signature=0f3e&part=1")
    'https://host/build?X-Amz-Signature=...&part=...'
    """
    return _QUERY.sub(lambda found: found[1] + _VALUE.sub("=...", found[2]), _USER.sub(r"\1", text))


def first_line(error: BaseException, token: str | bool | None = None) -> str:
    """Type and first line of an error, without credentials and without what the environment holds of them."""
    lines = str(error).strip().splitlines() or [""]
    return _clean(f"{type(error).__name__} {lines[0]}", token).rstrip()


def clean_cause(error: BaseException, token: str | bool | None = None) -> BaseException | None:
    """The error itself, to be raised from; None when its traceback would show a credential."""
    shown = "".join(traceback.format_exception(error))
    return error if _clean(shown, token) == shown else None


def _clean(text: str, token: str | bool | None) -> str:
    secrets = [value for name, value in os.environ.items() if _SECRET_NAME.search(name)]
    for secret in [*secrets, token]:
        if isinstance(secret, str) and len(secret) >= _SHORTEST:
            text = text.replace(secret, "...")
    return _HEADER.sub(r"\1...", without_credentials(text))
