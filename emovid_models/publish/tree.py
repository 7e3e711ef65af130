"""The files of one Hub repo, and the hashes by which the Hub knows them."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from emovid_dataset.store import Store

LAST_FILES = ("README.md", "manifest.json")
"""Files that go up in the last commit, because they describe all others."""


_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file of a folder or a bucket.

    Attributes:
        store: where it lies.
        name: of the file there.
    """

    store: Store
    name: str

    @property
    def path(self) -> Path | None:
        """Where it lies on the disk, or None."""
        folder = self.store.folder
        return None if folder is None else folder / self.name

    def read_bytes(self) -> bytes:
        """All of it."""
        return self.store.read(self.name)


Content = Path | bytes | StoredFile
"""A file of the disk, the bytes themselves, or a file of a store."""


@dataclass(frozen=True, slots=True)
class RepoTree:
    """All files of one Hub repo.

    Args:
        repo_type: "dataset", "model" or "space".
        files: Path in the repo, with forward slashes, to what the file holds.
        restricted: why not everybody may read it; None where nothing forbids it.
        sha256: of files that have been hashed already, by path, such as a build's shards; they are not read
            for it again, and `emovid_dataset.verify` says whether it is still true.
    """

    repo_type: Literal["dataset", "model", "space"]
    files: Mapping[str, Content]
    restricted: str | None = None
    sha256: Mapping[str, str] = field(default_factory=dict)

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
        content: what holds it.
        version: of the content when it was hashed, see `version_of`.
        oid: see `git_oid`; None where it was not needed yet.
    """

    path: str
    size: int
    sha256: str
    content: Content = field(repr=False)
    version: str = ""
    oid: str | None = None

    @property
    def git_oid(self) -> str:
        """SHA-1 as git names a blob; the Hub names it for a file that it does not store as LFS."""
        return self.oid or _hashes(self.content, self.size)[1]


def write_tree(tree: RepoTree, out: Path) -> None:
    """Write every file of a tree, as the repo would hold it.

    Args:
        tree: of the repo; `screening.check_tree` has found nothing against its paths.
        out: the folder.

    Raises:
        OSError: it cannot be written.
    """
    for name, content in tree.files.items():
        path = out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, Path):
            shutil.copyfile(content, path)
        elif isinstance(content, StoredFile):
            with content.store.open(content.name) as source, path.open("wb") as file:
                shutil.copyfileobj(source, file, _BLOCK)
        else:
            path.write_bytes(content)


def hash_tree(tree: RepoTree, *, progress: Callable[[int, int], object] | None = None) -> list[HashedFile]:
    """Hash all files that are not yet, in the order in which they go up.

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
        version, size = version_of(content), size_of(content)
        sha256, oid = tree.sha256.get(path), None
        if sha256 is None:
            sha256, oid = _hashes(content, size)
        files.append(HashedFile(path, size, sha256, content, version, oid))
        if progress:
            progress(1, size)
    return files


def _hashes(content: Content, size: int) -> tuple[str, str]:
    sha256, git = hashlib.sha256(), hashlib.sha1(f"blob {size}\0".encode())
    for block in blocks(content):
        sha256.update(block)
        git.update(block)
    return sha256.hexdigest(), git.hexdigest()


def size_of(content: Content) -> int:
    """Bytes of it."""
    if isinstance(content, bytes):
        return len(content)
    return content.stat().st_size if isinstance(content, Path) else content.store.size(content.name)


def version_of(content: Content) -> str:
    """A text that changes when a file changes; "" for bytes."""
    if isinstance(content, bytes):
        return ""
    if isinstance(content, Path):
        content = StoredFile(Store.at(content.parent), content.name)
    return content.store.version(content.name)


def blocks(content: Content) -> Iterator[bytes]:
    """The bytes, block by block."""
    if isinstance(content, bytes):
        yield content
        return
    opened = content.open("rb") if isinstance(content, Path) else content.store.open(content.name)
    with opened as file:
        while block := file.read(_BLOCK):
            yield block


def first_bytes(content: Content, size: int) -> bytes:
    """The first bytes, at most `size`."""
    if isinstance(content, bytes):
        return content[:size]
    if isinstance(content, Path):
        with content.open("rb") as file:
            return file.read(size)
    return content.store.range(content.name, 0, min(size, size_of(content)))
