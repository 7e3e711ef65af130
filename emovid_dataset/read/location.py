"""`Location`: where a build lies (a folder, a Hub repo, an http address), and how its bytes are read."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote

from emovid_dataset.schema.manifest import MANIFEST_NAME, Manifest

_REPO_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_HUB = "hf://datasets/"


@dataclass(frozen=True, slots=True)
class Location:
    """A build that can be read; paths are those of the manifest, below its root.

    Attributes:
        root: an absolute folder, ``hf://datasets/<repo>@<commit>``, or an http(s) address without a slash at
            its end; it may hold a user and a password.
        token: for a private Hub repo.
    """

    root: str
    token: str | bool | None = field(default=None, repr=False)

    def __repr__(self) -> str:
        return f"Location({self.name!r})"

    @property
    def name(self) -> str:
        """The root as it may be shown: without user and password."""
        return without_credentials(self.root)

    def shown(self, path: str) -> str:
        """The address of a file below the root as it may be shown, see `name`."""
        return without_credentials(self.url(path))

    @classmethod
    def find(
        cls,
        source: str | os.PathLike[str],
        *,
        revision: str | None = None,
        token: str | bool | None = None,
    ) -> Location:
        """Tell a folder, a Hub repo and an http address apart.

        Args:
            source: a folder, ``owner/name`` or ``hf://datasets/owner/name``, or ``http(s)://...``.
            revision: branch, tag or commit of a Hub repo; it is pinned to its commit now, so that a push
                in between cannot mix two builds.
            token: for a private Hub repo.

        Raises:
            FileNotFoundError: there is no such folder, or no such repo that may be read.
            ValueError: `revision` with something that has none.
        """
        text = os.fspath(source)
        if not os.path.isdir(text):
            if text.startswith(_HUB):
                text = text.removeprefix(_HUB).rstrip("/")
                if "@" in text and revision is None:
                    text, _, revision = text.partition("@")
                return cls._on_hub(text, revision, token)
            if isinstance(source, str) and _REPO_ID.fullmatch(text):
                return cls._on_hub(text, revision, token)
        if revision is not None:
            text = without_credentials(text)
            raise ValueError(f"revision is {revision!r}, but {text} is no Hub repo and has no revisions")
        if text.startswith(("http://", "https://")):
            return cls(text.rstrip("/"))
        if os.path.isdir(text):
            return cls(os.path.abspath(text))
        text = without_credentials(text)
        raise FileNotFoundError(f"{text} is no folder, no Hub repo (owner/name) and no http(s) address")

    @classmethod
    def _on_hub(cls, repo: str, revision: str | None, token: str | bool | None) -> Location:
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
            raise OSError(f"{repo} cannot be looked up on the Hub: {_first_line(error)}") from error
        return cls(f"{_HUB}{repo}@{commit}", token)

    @property
    def local(self) -> Path | None:
        """The folder, or None when the build is remote."""
        return None if "://" in self.root else Path(self.root)

    def url(self, path: str) -> str:
        """Full name of a file, as `datasets` and fsspec understand it."""
        return f"{self.root}/{path}"

    def manifest(self) -> Manifest:
        """Read the manifest.

        Raises:
            FileNotFoundError: there is none.
            ValueError: it is not a manifest, or the build is unfinished.
        """
        if self.local is not None:
            return Manifest.read(self.local)
        try:
            text = self.read(MANIFEST_NAME).decode()
        except FileNotFoundError as error:
            raise FileNotFoundError(
                f"{self.name} is not an EmoVid build: it has no {MANIFEST_NAME}"
            ) from self._cause(error)
        manifest = Manifest.from_json(text)
        if not manifest.complete:
            raise ValueError(f"{self.name} is an unfinished build")
        return manifest

    def read(self, path: str, start: int | None = None, end: int | None = None) -> bytes:
        """Read a file, or its bytes from `start` to `end` (exclusive) and no others.

        Raises:
            FileNotFoundError: there is no such file.
            OSError: it could not be read, or fewer or more bytes came than were asked for.
        """
        # Without this a block of megabytes is read ahead for every range of a repo.
        options = {"cache_type": "none"} if self.root.startswith(_HUB) else {}
        with self._one_line_errors(path):
            data: bytes = self._files().cat_file(self._name(path), start=start, end=end, **options)
        if start is not None and end is not None and len(data) != end - start:
            raise OSError(
                f"{self.name}/{path}: {len(data)} bytes came instead of {end - start}; "
                "the file is too short, or its server takes no range requests"
            )
        return data

    @contextmanager
    def open(self, path: str) -> Iterator[IO[bytes]]:
        """Open a file to be read once, from its start to its end."""
        if self.local is not None:
            with open(self.local / path, "rb") as file:
                yield file
            return
        with self._one_line_errors(path):
            opened = self._files().open(self._name(path), "rb", block_size=0)
        with opened as file:
            yield file

    def _files(self) -> Any:
        # Made anew and never kept: fsspec's own cache knows threads and forked processes, we do not.
        import fsspec

        if self.root.startswith(_HUB):
            from huggingface_hub import HfFileSystem

            return HfFileSystem(token=self.token)
        return fsspec.filesystem("file" if self.local is not None else self.root.partition("://")[0])

    def _name(self, path: str) -> str:
        if self.root.startswith(_HUB):
            return self.url(path)
        return self.url(quote(path)) if self.local is None else str(self.local / path)

    @contextmanager
    def _one_line_errors(self, path: str) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError as error:
            if self.name == self.root:
                raise
            raise FileNotFoundError(without_credentials(str(error))) from None
        except Exception as error:  # aiohttp and httpx raise exceptions of their own, with no common base
            if self.local is not None:
                raise
            why = _first_line(error)
            if type(error).__name__ == "GatedRepoError":
                why = "the repo is gated; ask for it on its page, and use your token (`hf auth login`)"
            message = f"{self.name}/{path} cannot be read: {why}"
            raise OSError(message) from self._cause(error)

    def _cause(self, error: Exception) -> Exception | None:
        """The error itself, unless a traceback of it may show the password."""
        return error if self.name == self.root else None


def without_credentials(text: str) -> str:
    """Take user and password out of every address in a text.

    >>> without_credentials("https://me:p@ss@host/build is gone")
    'https://host/build is gone'
    """
    return re.sub(r"(\w://)[^/?#\s]*@", r"\1", text)


def _first_line(error: Exception) -> str:
    text = str(error).partition(chr(10))[0]
    return without_credentials(f"{type(error).__name__} {text}").rstrip()
