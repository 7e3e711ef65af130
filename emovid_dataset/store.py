"""`Store`: the one place where bytes are read or written, in a folder or below a URL.

What is written is whole or absent: on a disk it is written under a temporary name beside its own, fsynced and
renamed; elsewhere it is one PUT. No message, repr or traceback shows a password, a key or a signature.
"""

from __future__ import annotations

import errno
import io
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import quote

from emovid_dataset._address import BUCKETS, HTTP, HUB, joined, root_to_read, root_to_write, scheme_of
from emovid_dataset._credentials import without_credentials
from emovid_dataset._disk import disk_entries, is_being_written, is_temporary, placed_whole, written_whole
from emovid_dataset._lease import BusyError, Lease, hold_object, hold_on_disk
from emovid_dataset._remote import OneLineReader, entries_at, fetch, files_at, one_line_errors, opened_to_read
from emovid_dataset._retry import retried

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

__all__ = ["BusyError", "Lease", "Store", "is_temporary", "joined", "read_file", "store_of"]
__all__ += ["without_credentials", "write_file"]

# What no listing in XML can hold, what is no UTF-8, and what s3fs would cut off.
_UNFIT = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff\ufffe\uffff]|\?versionId=")


@dataclass(frozen=True, slots=True)
class Store:
    """Files below one root; their names are relative, with slashes, and never lead out of it.

    A name that is empty, absolute, or holds a backslash, a NUL or a part that is empty, "." or ".." is a
    ValueError. On a disk a linked folder can be read through; nothing is written or deleted through one that
    leads out of the root. A store can be pickled and hashed; it holds no connection.

    Attributes:
        root: an absolute folder, or a URL without a slash at its end; ``hf://datasets/<repo>@<commit>`` for a
            repo on the Hub. It may hold a user and a password.
        token: for a private Hub repo.
    """

    root: str
    token: str | bool | None = field(default=None, repr=False)

    def __repr__(self) -> str:
        return f"Store({self.name!r})"

    @property
    def name(self) -> str:
        """The root as it may be shown: without credentials."""
        return without_credentials(self.root)

    def shown(self, name: str) -> str:
        """The address of a file as it may be shown, see `name`."""
        return without_credentials(self.url(name))

    def url(self, name: str) -> str:
        """Full name of a file, as `datasets` and fsspec understand it."""
        return f"{self.root}/{name}"

    @property
    def has_listings(self) -> bool:
        """Whether `list` works: http has no listings."""
        return scheme_of(self.root) not in HTTP

    @property
    def folder(self) -> Path | None:
        """The folder, or None when the store is remote."""
        return None if "://" in self.root else Path(self.root)

    @classmethod
    def find(
        cls,
        source: str | os.PathLike[str],
        *,
        revision: str | None = None,
        token: str | bool | None = None,
    ) -> Store:
        """Find a store to read from: a folder, a Hub repo, or a URL.

        Args:
            source: a folder, ``owner/name`` or ``hf://datasets/owner/name``, ``http(s)://...``, or another
                URL that fsspec knows (``s3://...``).
            revision: branch, tag or commit of a Hub repo; it is pinned to its commit now, so that a push
                in between cannot mix two builds.
            token: for a private Hub repo.

        Raises:
            FileNotFoundError: there is no such folder, or no such repo that may be read.
            ValueError: `revision` with something that has none, or a package is missing for such a URL.
            OSError: the Hub or the server cannot be reached.
        """
        root = root_to_read(source, revision, token)
        found = cls(root, token if root.startswith(HUB) else None)
        if found.folder is None:
            with one_line_errors(found.name, "reached", token):
                found._files()
        return found

    @classmethod
    def at(cls, place: str | os.PathLike[str]) -> Store:
        """Name a store to write to; it need not exist yet, and nothing is created.

        Args:
            place: a folder, or a URL of a bucket: ``s3://...``, ``gs://...``, ``az://...``.

        Raises:
            ValueError: nothing can be written there, or a package is missing for such a URL.
        """
        return cls(root_to_write(place))

    # reading

    def read(self, name: str) -> bytes:
        """Read a whole file.

        Raises:
            FileNotFoundError: there is no such file.
            OSError: it could not be read.
        """
        return self._read(name)

    def range(self, name: str, start: int, end: int) -> bytes:
        """Read the bytes of a file from `start` to `end` (exclusive), and no others.

        Raises:
            FileNotFoundError: there is no such file; an empty range need not notice.
            OSError: it could not be read, or fewer or more bytes came than were asked for.
        """
        if not 0 <= start <= end:
            raise ValueError(f"{self.shown(name)} has no bytes {start} to {end}")
        data = self._read(name, start, end)
        if len(data) != end - start:
            raise OSError(
                f"{self.shown(name)}: {len(data)} bytes came instead of {end - start}; "
                "the file is too short, or its server takes no range requests"
            )
        return data

    def _read(self, name: str, start: int | None = None, end: int | None = None) -> bytes:
        path = self._on_disk(name)
        if path is not None:
            with path.open("rb") as file:
                file.seek(start or 0)
                return file.read() if end is None else file.read(end - (start or 0))
        if start is not None and start == end:
            return b""  # no range request can ask for nothing
        # Without this a block of megabytes is read ahead for every range of a repo.
        options = {"cache_type": "none"} if self.root.startswith(HUB) else {}
        with self._remote(name, "read") as (files, remote):
            request = partial(files.cat_file, remote, start=start, end=end, **options)
            return bytes(self._asked(request, known=start is not None))

    @contextmanager
    def open(self, name: str) -> Iterator[IO[bytes]]:
        """Open a file to be read once, start to end; over http it is taken up again where it breaks off."""
        path = self._on_disk(name)
        if path is not None:
            with path.open("rb") as file:
                yield file
            return
        with self._remote(name, "read") as (files, remote):
            opened = opened_to_read(files, remote, self.root, self.shown(name))
        with (
            opened,
            io.BufferedReader(OneLineReader(opened, self.shown(name), self.token), 1 << 20) as reader,
        ):
            yield reader

    @contextmanager
    def local(self, name: str) -> Iterator[Path]:
        """A file of the disk with these bytes and this suffix, for libraries that insist on one.

        On a disk it is the file itself and must not be changed; elsewhere a copy for as long as the block.
        """
        path = self._on_disk(name)
        if path is not None:
            if not path.exists():
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
            yield path
            return
        with tempfile.TemporaryDirectory(prefix="emovid-") as folder:
            copy = Path(folder, "copy" + PurePosixPath(name).suffix)
            if scheme_of(self.root) in HTTP:
                with self.open(name) as source, copy.open("wb") as target:
                    shutil.copyfileobj(source, target, 1 << 20)
            else:
                with self._remote(name, "read") as (files, remote):
                    fetch(files, remote, copy, self.root)
            yield copy

    def list(self, prefix: str = "") -> Iterator[str]:
        """Names of the files below a folder, all levels, in the order of their code points.

        One folder at a time is held in memory. Temporary names are left out, and so is what is no regular
        file. A folder that does not exist has no files.
        """
        return (name for name in self._walk(self._prefix(prefix)) if not is_temporary(name))

    def exists(self, name: str) -> bool:
        """Whether there is such a file; a folder is none."""
        path = self._on_disk(name)
        if path is not None:
            return path.is_file()
        try:
            return bool(self._info(name)["type"] == "file")
        except FileNotFoundError:
            return False

    def size(self, name: str) -> int:
        """Bytes of a file."""
        path = self._on_disk(name)
        size = self._info(name)["size"] if path is None else path.stat().st_size
        if size is None:
            raise OSError(f"{self.shown(name)}: its server does not tell its size")
        return int(size)

    def version(self, name: str) -> str:
        """A text that changes when the file changes, for comparison only.

        On a disk its size and time of change, elsewhere its size and ETag or the like, where there is one.
        """
        path = self._on_disk(name)
        if path is not None:
            found = path.stat()
            return f"{found.st_size}-{found.st_mtime_ns}"
        info = self._info(name)
        tags = ("ETag", "etag", "blob_id", "md5Hash", "LastModified", "Last-Modified", "mtime", "created")
        return f"{info['size']}-{next((info[tag] for tag in tags if info.get(tag)), '')}"

    # writing

    def put(self, name: str, data: bytes | Path) -> None:
        """Write a file, whole or not at all; one that is there is replaced.

        Args:
            name: of the file; folders are created.
            data: its bytes, or a file of the disk to copy.
        """
        if self.folder is not None:
            with self.create(name) as file:
                if isinstance(data, bytes):
                    file.write(data)
                else:
                    with data.open("rb") as source:
                        shutil.copyfileobj(source, file, 1 << 20)
            return
        with self._remote(name, "written") as (files, remote):
            if isinstance(data, bytes):
                files.pipe_file(remote, data)
            else:
                # adlfs alone would refuse to replace a file
                options = {"overwrite": True} if scheme_of(self.root) in ("az", "abfs", "abfss") else {}
                files.put_file(os.fspath(data), remote, **options)

    @contextmanager
    def create(self, name: str) -> Iterator[IO[bytes]]:
        """Write a file piece by piece: whole at the clean end of the block, absent after an exception.

        The file can be read back and seeked in. On a disk it lies beside its final place under a temporary
        name; elsewhere in the folder for temporary files, to be sent at the end.
        """
        self._check(name, write=True, new=True)
        if self.folder is None:
            with tempfile.TemporaryDirectory(prefix="emovid-") as folder:
                copy = Path(folder, "new" + PurePosixPath(name).suffix)
                with copy.open("w+b") as file:
                    yield file
                self.put(name, copy)
            return
        with written_whole(self._to_write(name)) as file:
            yield file

    @contextmanager
    def create_local(self, name: str) -> Iterator[Path]:
        """As `create`, for libraries that insist on a path: an empty file of the disk to be written to."""
        self._check(name, write=True, new=True)
        if self.folder is not None:
            with placed_whole(self._to_write(name)) as (path, _):
                yield path
            return
        with tempfile.TemporaryDirectory(prefix="emovid-") as folder:
            path = Path(folder, "new" + PurePosixPath(name).suffix)
            path.touch()
            yield path
            self.put(name, path)

    def delete(self, name: str) -> None:
        """Delete a file; one that is missing is no error."""
        if self.folder is not None:
            self._to_write(name).unlink(missing_ok=True)
            return
        with suppress(FileNotFoundError), self._remote(name, "deleted") as (files, remote):
            files.rm_file(remote)

    def clear(self, prefix: str) -> None:
        """Delete a folder and all that is below it; a missing one is no error."""
        prefix = self._prefix(prefix, or_root=False)
        if self.folder is None:
            for name in self._walk(prefix):
                self.delete(name)
            return
        path = self._to_write(prefix)
        if path.is_symlink():
            path.unlink()
        elif path.is_dir():
            shutil.rmtree(path)

    def sweep(self, prefix: str = "") -> None:
        """Delete the temporary files below a folder that killed writers left; those still written stay."""
        for name in self._walk(self._prefix(prefix), follow=False):
            if is_temporary(name) and not (self.folder and is_being_written(self.folder / name)):
                self.delete(name)

    def lease(self, name: str, *, take_over: bool = False) -> AbstractContextManager[Lease]:
        """A lock that goes with its holder: whoever else asks for it meanwhile is refused.

        On a disk it is a lock on that file, gone when its process ends in whatever way; the file goes at the
        end of the block. Where the file system has no locks, none is held.

        Elsewhere it is an object that is created only if it is absent and then rewritten every 10 seconds.
        It is stale when 60 seconds have passed since, by the store's own clock. A stale one is refused too
        unless `take_over` is true. Only s3 can also tell two apart that take over a stale one in the same
        moment; elsewhere the one that wrote first notices with its next beat.

        A holder whose lease was taken over meets a BusyError from `Lease.check`, and at the end of the block.

        Args:
            name: of the file that is the lock.
            take_over: take a stale lease from its holder.

        Raises:
            BusyError: somebody else holds it; one line that names the holder.
            OSError: it could not be created.
        """
        self._check(name, write=True, new=True)
        if self.folder is not None:
            return hold_on_disk(self._to_write(name), self.shown(name))
        return hold_object(
            lambda: self._place(name),
            self.shown(name),
            take_over=take_over,
            errors=lambda: one_line_errors(self.shown(name), "leased", self.token),
        )

    # names and places

    def _check(self, name: str, *, write: bool = False, new: bool = False) -> None:
        bad = any(part in ("", ".", "..") for part in name.split("/"))
        if bad or "\\" in name or "\0" in name:
            raise ValueError(f"{name!r} is not the name of a file: relative, with slashes, without '..'")
        if self.folder is None and _UNFIT.search(name):
            raise ValueError(f"{name!r} cannot be the name of a file in {self.name}")
        if new and is_temporary(name):
            raise ValueError(f"{name!r} is a temporary name; a file under it would be swept away")
        if write and self.folder is None and scheme_of(self.root) not in BUCKETS:
            raise OSError(f"{self.shown(name)} cannot be written: only folders and buckets can")

    def _prefix(self, prefix: str, *, or_root: bool = True) -> str:
        prefix = prefix.removesuffix("/")
        if prefix or not or_root:
            self._check(prefix)
        return prefix

    def _on_disk(self, name: str) -> Path | None:
        """Where a file lies that is to be read, or None when the store is remote."""
        self._check(name)
        return None if self.folder is None else self.folder / name

    def _to_write(self, name: str) -> Path:
        """Where a file of the disk lies that is to be written or deleted."""
        self._check(name)
        path, root = Path(self.root, name), os.path.realpath(self.root)
        if os.path.commonpath([os.path.realpath(path.parent), root]) != root:
            raise ValueError(f"{path} lies behind a link that leads out of {self.root}")
        return path

    @contextmanager
    def _remote(self, name: str, done: str) -> Iterator[tuple[AbstractFileSystem, str]]:
        """The file system and what it calls a file, for a block in which something is done to it."""
        self._check(name, write=done in ("written", "deleted"), new=done == "written")
        with one_line_errors(self.shown(name), done, self.token):
            yield self._place(name)

    def _place(self, name: str) -> tuple[AbstractFileSystem, str]:
        files, root = self._files()
        return files, f"{root}/{quote(name) if scheme_of(self.root) in HTTP else name}"

    def _files(self) -> tuple[AbstractFileSystem, str]:
        return files_at(self.root, self.token)

    def _info(self, name: str) -> dict[str, Any]:
        with self._remote(name, "read") as (files, remote):
            return dict(self._asked(partial(files.info, remote), known=False))

    def _asked(self, request: Callable[[], Any], *, known: bool) -> Any:
        """What a request gives; over http it is made again after a passing failure, see `retried`."""
        return retried(request, known=known) if scheme_of(self.root) in HTTP else request()

    def _walk(self, prefix: str, *, follow: bool = True, above: tuple[str, ...] = ()) -> Iterator[str]:
        """Names below a folder, temporary ones too, sorted; no folder is entered from within itself."""
        if self.folder is None:
            entries = self._remote_entries(prefix)
        else:
            real = os.path.realpath(self.folder / prefix)
            entries = set() if real in above else disk_entries(self.folder / prefix, follow)
            above = (*above, real)
        for entry in sorted(entries):
            name = f"{prefix}/{entry}" if prefix else entry
            if entry.endswith("/"):
                yield from self._walk(name[:-1], follow=follow, above=above)
            else:
                yield name

    def _remote_entries(self, prefix: str) -> set[str]:
        if not self.has_listings:
            raise OSError(f"{self.name} cannot be listed: http has no listings")
        shown = self.shown(prefix) if prefix else self.name
        with suppress(FileNotFoundError), one_line_errors(shown, "listed", self.token):
            return entries_at(*(self._place(prefix) if prefix else self._files()))
        return set()


def store_of(place: str | os.PathLike[str], *, to_read: bool = False) -> tuple[Store, str]:
    """The store and the name of one file, given by its path or URL, to write it or `to_read` it.

    Raises:
        ValueError: nothing can be written there.
        FileNotFoundError: its folder does not exist, and it is to be read.
    """
    text = os.fspath(place)
    folder, name = text.rpartition("/")[::2] if "://" in text else os.path.split(text)
    if to_read:
        return Store.find(folder if "://" in text else os.path.abspath(folder)), name
    return Store.at(folder or os.curdir), name


def read_file(place: str | os.PathLike[str]) -> bytes:
    """Read one file of a path or URL; it raises what `store_of` and `Store.read` do."""
    store, name = store_of(place, to_read=True)
    return store.read(name)


def write_file(place: str | os.PathLike[str], data: bytes) -> None:
    """Write one file of a path or URL, whole or not at all; it raises what `store_of` and `Store.put` do."""
    store, name = store_of(place)
    store.put(name, data)
