"""What a given address means: which folder, Hub repo or URL a store lies at."""

from __future__ import annotations

import os
import re

from emovid_dataset._credentials import clean_cause, first_line, without_credentials

HUB = "hf://datasets/"
HTTP = ("http", "https")
BUCKETS = {
    "s3": "pip install 'emovid[s3]'",
    "s3a": "pip install 'emovid[s3]'",
    "gs": "pip install gcsfs",
    "gcs": "pip install gcsfs",
    "az": "pip install adlfs",
    "abfs": "pip install adlfs",
    "abfss": "pip install adlfs",
    "memory": "",
}
"""Where one PUT appears whole or not at all, and what brings the code for it."""

_REPO_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://")
_ON_DISK = ("file", "local")


def scheme_of(text: str) -> str:
    """The scheme of a URL in lower case, or "" for a path.

    >>> scheme_of("S3://bucket/x"), scheme_of("a/b")
    ('s3', '')
    """
    found = _SCHEME.match(text)
    return found[1].lower() if found else ""


def joined(place: str | os.PathLike[str], name: str) -> str:
    """The path or URL of what lies in a folder, which may be either.

    >>> joined("s3://bucket/out/", "judged"), joined("out", "judged")
    ('s3://bucket/out/judged', 'out/judged')
    """
    text = os.fspath(place)
    return f"{text.rstrip('/')}/{name}" if "://" in text else os.path.join(text, name)


def root_to_read(source: str | os.PathLike[str], revision: str | None, token: str | bool | None) -> str:
    """The root of `Store.find`."""
    text = os.fspath(source)
    if not os.path.isdir(text):
        if text.startswith(HUB):
            text = text.removeprefix(HUB).rstrip("/")
            if "@" in text and revision is None:
                text, _, revision = text.partition("@")
            return on_hub(text, revision, token)
        if isinstance(source, str) and _REPO_ID.fullmatch(text):
            return on_hub(text, revision, token)
    shown, scheme = without_credentials(text), scheme_of(text)
    if revision is not None:
        raise ValueError(f"revision is {revision!r}, but {shown} is no Hub repo and has no revisions")
    if scheme in _ON_DISK:
        text = text.partition("://")[2]
    if os.path.isdir(text):
        return os.path.abspath(text)
    if scheme in HTTP:
        return text.rstrip("/")
    if scheme not in (*_ON_DISK, "hf") and _is_known(scheme) and "::" not in text:
        _check_url(text, scheme)
        return text.rstrip("/")
    raise FileNotFoundError(f"{shown} is no folder, no Hub repo (owner/name) and no address of a store")


def on_hub(repo: str, revision: str | None, token: str | bool | None) -> str:
    """The root of a dataset repo on the Hub, pinned to the commit that the revision is now."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HFValidationError, RepositoryNotFoundError, RevisionNotFoundError

    try:
        commit = HfApi(token=token).dataset_info(repo, revision=revision).sha
    except RevisionNotFoundError as error:
        raise FileNotFoundError(f"revision {revision!r} of {repo} is not on the Hub") from error
    except (RepositoryNotFoundError, HFValidationError) as error:
        raise FileNotFoundError(
            f"{repo} is no folder here, and no dataset repo on the Hub that this token may read"
        ) from error
    except Exception as error:
        message = f"{repo} cannot be looked up on the Hub: {first_line(error, token)}"
        raise OSError(message) from clean_cause(error, token)
    return f"{HUB}{repo}@{commit}"


def root_to_write(place: str | os.PathLike[str]) -> str:
    """The root of `Store.at`."""
    text = os.fspath(place)
    shown, scheme = without_credentials(text), scheme_of(text)
    if scheme in _ON_DISK:
        text, scheme = text.partition("://")[2], ""
    if scheme in BUCKETS and "::" not in text:
        _check_url(text, scheme)
        return text.rstrip("/")
    if scheme:
        raise ValueError(f"nothing can be written to {shown}; a folder, s3://, gs:// and az:// will do")
    if has_lost_slashes(text):
        raise ValueError(f"{shown} looks like a URL that has lost a slash; write ./{shown} for a folder")
    if not text or "\0" in text:
        raise ValueError(f"{shown!r} is not a folder")
    return os.path.abspath(text)


def has_lost_slashes(path: str) -> bool:
    """Whether a path is what is left of a URL: as pathlib writes it, or without any slash.

    >>> has_lost_slashes("s3:/bucket/x"), has_lost_slashes("s3:bucket"), has_lost_slashes("./s3:/bucket/x")
    (True, True, False)
    """
    scheme = re.match(r"(\w+):(?!//)", path)
    return scheme is not None and _is_known(scheme[1].lower())


def _is_known(scheme: str) -> bool:
    from fsspec import available_protocols

    return scheme in available_protocols()


def _check_url(url: str, scheme: str) -> None:
    from fsspec import get_filesystem_class

    shown, host = without_credentials(url), url.partition("://")[2].partition("/")[0]
    if not host:
        raise ValueError(f"{shown} does not say which bucket or host")
    if scheme in BUCKETS and "@" in host and (":" in host or not scheme.startswith("abfs")):
        raise ValueError(f"{shown} was given with a key in it; keys come from the environment")
    try:
        get_filesystem_class(scheme)
    except ImportError as error:
        hint = BUCKETS.get(scheme) or str(error)
        raise ValueError(f"{shown} needs a package that is not installed: {hint}") from error
