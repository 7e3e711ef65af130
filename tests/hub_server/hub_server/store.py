"""Repos as chains of commits, and who may see or change them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatch
from http import HTTPStatus
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml

KINDS = ("models", "datasets", "spaces")

GATES = (False, "auto", "manual")
"""Whether a reader must ask for the files, and who says yes: the Hub at once, or the owner."""

MAX_INLINE = 10 << 20
"""Bytes of the largest file that is not stored as LFS."""

_LFS_SUFFIXES = (".arrow", ".bin", ".mp4", ".npz", ".parquet", ".png", ".pt", ".safetensors", ".tar", ".zip")
_DATE = "2025-01-01T00:00:00.000Z"
_BLOCK = 1 << 20

ATTRIBUTES = "".join(f"*{suffix} filter=lfs diff=lfs merge=lfs -text\n" for suffix in _LFS_SUFFIXES).encode()
"""The .gitattributes that a new repo begins with."""


class HubError(Exception):
    """A refusal, with the code by which clients choose their exception."""

    def __init__(self, status: HTTPStatus, code: str, message: str, commit: str | None = None) -> None:
        super().__init__(message)
        self.status, self.code, self.commit = status, code, commit


@dataclass(frozen=True, slots=True)
class Account:
    """Whom a token belongs to.

    Attributes:
        name: of the user.
        orgs: organisations of the user.
        write: False for a token that only reads.
    """

    name: str
    orgs: tuple[str, ...] = ()
    write: bool = True

    def owns(self, repo_id: str) -> bool:
        """Whether a repo lies under the user's or an organisation's name."""
        return repo_id.partition("/")[0] in (self.name, *self.orgs)


@dataclass(frozen=True, slots=True)
class Blob:
    """A file of a commit.

    Attributes:
        file: where its bytes lie; they must not change.
        size: bytes.
        oid: SHA-1 as git names a blob; of the pointer when it is stored as LFS.
        sha256: of its bytes when it is stored as LFS, else None.
    """

    file: Path
    size: int
    oid: str
    sha256: str | None

    @classmethod
    def of(cls, file: Path, *, lfs: bool) -> Blob:
        """Hash a file."""
        size = file.stat().st_size
        git, sha256 = hashlib.sha1(f"blob {size}\0".encode()), hashlib.sha256()
        with file.open("rb") as data:
            while block := data.read(_BLOCK):
                git.update(block)
                sha256.update(block)
        if not lfs:
            return cls(file, size, git.hexdigest(), None)
        pointer = (
            f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256.hexdigest()}\nsize {size}\n"
        )
        oid = hashlib.sha1(f"blob {len(pointer)}\0{pointer}".encode()).hexdigest()
        return cls(file, size, oid, sha256.hexdigest())

    @property
    def etag(self) -> str:
        """What the Hub says as ETag: the SHA-256 of an LFS file, else git's own hash."""
        return self.sha256 or self.oid


@dataclass(frozen=True, slots=True)
class Commit:
    """A state of a repo.

    Attributes:
        sha: 40 hex digits.
        blobs: by path, sorted.
        changed: paths that it added, changed or removed.
        title: first line of its message.
        message: the rest.
        author: user name.
        parent: sha, None for the first one.
    """

    sha: str
    blobs: Mapping[str, Blob]
    changed: frozenset[str]
    title: str = "Publish"
    message: str = ""
    author: str = "system"
    parent: str | None = None

    @classmethod
    def of(cls, blobs: Mapping[str, Blob], parent: Commit | None = None, **facts: str) -> Commit:
        """Name a state by its contents and, if it has one, its parent.

        Args:
            blobs: all files.
            parent: the state before.
            facts: `title`, `message` and `author`.
        """
        blobs = dict(sorted(blobs.items()))
        before = parent.blobs if parent else {}
        changed = {path for path in {*blobs, *before} if blobs.get(path) != before.get(path)}
        lines = "".join(f"{blob.etag} {path}\n" for path, blob in blobs.items())
        if parent:
            lines += f"{parent.sha} {sorted(facts.items())}"
        sha = hashlib.sha1(lines.encode()).hexdigest()
        return cls(
            sha, MappingProxyType(blobs), frozenset(changed), parent=parent.sha if parent else None, **facts
        )

    @classmethod
    def of_folder(cls, folder: Path) -> Commit:
        """Take every regular file of a folder; links are left out, as they may lead outside."""
        files = (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
        return cls.of(
            {
                path.relative_to(folder).as_posix(): Blob.of(path, lfs=path.suffix in _LFS_SUFFIXES)
                for path in files
            }
        )

    def entries(self, folder: str, recursive: bool) -> Iterator[dict[str, Any]]:
        """What lies below a folder ("" is the root), files and folders, as the Hub lists them."""
        start = f"{folder}/" if folder else ""
        seen = set()
        for path in self.blobs:
            if not path.startswith(start):
                continue
            parts = path[len(start) :].split("/")
            for depth in range(1, len(parts) + 1 if recursive else 2):
                name = start + "/".join(parts[:depth])
                if name not in seen:
                    seen.add(name)
                    yield self.entry(name)

    def entry(self, path: str) -> dict[str, Any]:
        """One file or folder as the Hub lists it."""
        blob = self.blobs.get(path)
        if blob is None:
            below = {name: blob for name, blob in self.blobs.items() if name.startswith(f"{path}/")}
            return {"type": "directory", "path": path, "size": 0, "oid": Commit.of(below).sha}
        entry: dict[str, Any] = {"type": "file", "path": path, "size": blob.size, "oid": blob.oid}
        if blob.sha256:
            entry["lfs"] = {"oid": blob.sha256, "size": blob.size, "pointerSize": 130}
        return entry

    def is_folder(self, path: str) -> bool:
        """Whether any file lies below."""
        return path == "" or any(name.startswith(f"{path}/") for name in self.blobs)

    def wants_lfs(self, path: str, size: int, sample: bytes) -> bool:
        """Whether a file that is to be added is stored as LFS."""
        attributes = self.blobs.get(".gitattributes")
        lines = attributes.file.read_text().splitlines() if attributes else []
        patterns = [line.split()[0] for line in lines if "filter=lfs" in line]
        tracked = any(fnmatch(path, pattern) for pattern in patterns)
        return size > 0 and (tracked or size > MAX_INLINE or b"\0" in sample)

    def card(self) -> dict[str, Any]:
        """The YAML at the head of the README."""
        readme = self.blobs.get("README.md")
        return card_data(readme.file.read_text(encoding="utf-8")) if readme else {}


def card_data(text: str) -> dict[str, Any]:
    """The YAML at the head of a README.

    Raises:
        yaml.YAMLError: it is none, or holds more than plain values.
    """
    found = re.match(r"---\r?\n(.*?)\r?\n---", text, re.DOTALL)
    data = yaml.safe_load(found[1]) if found else None
    return data if isinstance(data, dict) else {}


@dataclass(slots=True)
class Repo:
    """A repo: its commits, what its branches and tags point at, and who may read it.

    Attributes:
        kind: one of `KINDS`.
        id: ``owner/name``.
        private: without a token of `readers` or of its owner it looks as if it did not exist.
        gated: one of `GATES`; anyone sees it, but only such a token gets its files.
        readers: tokens.
        commits: by sha.
        branches: sha by name.
        tags: sha by name.
        objects: path and size of every file that was ever pushed as LFS and not deleted, by sha256.
    """

    kind: str
    id: str
    private: bool = False
    gated: str | bool = False
    readers: frozenset[str] = frozenset()
    commits: dict[str, Commit] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    objects: dict[str, tuple[str, int]] = field(default_factory=dict)

    def add(self, commit: Commit, branch: str = "main") -> None:
        """Make a commit the head of a branch."""
        self.commits[commit.sha] = commit
        self.branches[branch] = commit.sha
        for path, blob in commit.blobs.items():
            if blob.sha256:
                self.objects.setdefault(blob.sha256, (path, blob.size))

    def forget(self, objects: set[str]) -> None:
        """Take the files with these hashes out of every commit that has one; such commits get other names."""
        renamed: dict[str, str] = {}
        for sha in [commit.sha for name in self.branches for commit in reversed(list(self.log(name)))]:
            commit = self.commits.get(sha)
            if commit is None:
                continue
            blobs = {path: blob for path, blob in commit.blobs.items() if blob.sha256 not in objects}
            parent = renamed.get(commit.parent or "", commit.parent or "")
            if len(blobs) == len(commit.blobs) and parent == (commit.parent or ""):
                continue
            facts = {"title": commit.title, "message": commit.message, "author": commit.author}
            made = Commit.of(blobs, self.commits.get(parent), **facts)
            renamed[sha] = made.sha
            del self.commits[sha]
            self.commits[made.sha] = made
        for names in (self.branches, self.tags):
            names |= {name: renamed.get(sha, sha) for name, sha in names.items()}

    def commit(self, revision: str) -> Commit | None:
        """The commit that a branch, tag, full ref or sha means, or None."""
        name = revision.removeprefix("refs/heads/").removeprefix("refs/tags/")
        return self.commits.get(self.branches.get(name) or self.tags.get(name) or revision)

    def log(self, revision: str = "main") -> Iterator[Commit]:
        """A commit and those before it, newest first."""
        commit = self.commit(revision)
        while commit is not None:
            yield commit
            commit = self.commits.get(commit.parent or "")

    def expanded(self, entries: Iterable[dict[str, Any]], revision: str) -> list[dict[str, Any]]:
        """Entries of a listing, each with the commit that changed it last."""
        log = list(self.log(revision))

        def last(path: str) -> Commit:
            below = f"{path}/"
            return next(
                (c for c in log if any(name == path or name.startswith(below) for name in c.changed)), log[-1]
            )

        return [
            {**entry, "lastCommit": {"id": commit.sha, "title": commit.title, "date": _DATE}}
            for entry in entries
            for commit in [last(entry["path"])]
        ]
