"""The files of one Hub repo, and the hashes by which the Hub knows them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

LAST_FILES = ("README.md", "manifest.json")
"""Files that go up in the last commit, because they describe all others."""


_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class RepoTree:
    """All files of one Hub repo.

    Args:
        repo_type: "dataset", "model" or "space".
        files: Path in the repo, with forward slashes, to the local file or to the content itself.
        restricted: why not everybody may read it; None where nothing forbids it.
    """

    repo_type: Literal["dataset", "model", "space"]
    files: Mapping[str, Path | bytes]
    restricted: str | None = None

    @property
    def first(self) -> list[str]:
        """The files that may go up in any commit, sorted by path."""
        return sorted(name for name in self.files if name not in LAST_FILES)

    @property
    def last(self) -> list[str]:
        """README.md and manifest.json, as far as the repo has them: they belong in the last commit."""
        return sorted(name for name in self.files if name in LAST_FILES)


def check_access(tree: RepoTree, *, private: bool, gated: str | None) -> None:
    """Keep what is restricted from being published openly.

    Args:
        tree: of the repo.
        private: whether the repo will be private.
        gated: "auto", "manual" or None, as the Hub names it.

    Raises:
        ValueError: the tree is restricted, and anybody could read the repo, or whoever asks gets in at once.
    """
    if tree.restricted is not None and not private and gated != "manual":
        raise ValueError(f"{tree.restricted}; push it with --private or --gated manual")


@dataclass(frozen=True, slots=True)
class HashedFile:
    """A file of a tree.

    Attributes:
        path: in the repo.
        size: bytes.
        sha256: of its bytes; the Hub names it for a file that it stores as LFS.
        oid: SHA-1 as git names a blob; the Hub names it for any other file.
        content: the local file, or the bytes.
    """

    path: str
    size: int
    sha256: str
    oid: str
    content: Path | bytes = field(repr=False)


def hash_tree(tree: RepoTree, *, progress: Callable[[int, int], object] | None = None) -> list[HashedFile]:
    """Hash all files, in the order in which they go up.

    Args:
        tree: of the repo.
        progress: called with (1, bytes) after each file.

    Raises:
        OSError: a file cannot be read.

    >>> [file.oid for file in hash_tree(RepoTree("model", {"a.txt": b"a"}))]
    ['2e65efe2a145dda7ee51d1741299f848e5bf752e']
    """
    files = []
    for path in (*tree.first, *tree.last):
        content = tree.files[path]
        size = len(content) if isinstance(content, bytes) else content.stat().st_size
        sha256, git = hashlib.sha256(), hashlib.sha1(f"blob {size}\0".encode())
        for block in blocks(content):
            sha256.update(block)
            git.update(block)
        files.append(HashedFile(path, size, sha256.hexdigest(), git.hexdigest(), content))
        if progress:
            progress(1, size)
    return files


def blocks(content: Path | bytes) -> Iterator[bytes]:
    if isinstance(content, bytes):
        yield content
        return
    with content.open("rb") as file:
        while block := file.read(_BLOCK):
            yield block


def first_bytes(content: Path | bytes, size: int) -> bytes:
    if isinstance(content, bytes):
        return content[:size]
    with content.open("rb") as file:
        return file.read(size)
