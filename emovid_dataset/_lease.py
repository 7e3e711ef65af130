"""What `Store.lease` holds: a lock on a file of a disk, or an object that its holder keeps rewriting.

An object's life, with its modified time by the store's own clock::

    absent --created only if absent--> held --rewritten every BEAT seconds--> held --deleted--> absent
                                        `--holder killed, STALE seconds pass--> stale --take over--> held
"""

from __future__ import annotations

import fcntl
import inspect
import json
import os
import secrets
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

BEAT = 10.0
"""Seconds between two writes of an object that is held."""
STALE = 60.0
"""Seconds after which an object that nobody rewrote may be taken over."""

_Files = Callable[[], "tuple[AbstractFileSystem, str]"]


class BusyError(ValueError):
    """Somebody else holds the lease, or has taken it over."""


class Lease:
    """A lease that is held."""

    def __init__(self, shown: str) -> None:
        self._shown, self._lost = shown, threading.Event()

    def check(self) -> None:
        """Raise BusyError if somebody has taken the lease over; it asks no server, so call it often."""
        if self._lost.is_set():
            raise BusyError(f"{self._shown} was taken over by another process, which goes on with the work")


@dataclass(frozen=True, slots=True)
class _Holder:
    host: str
    pid: int
    since: str
    nonce: str

    @classmethod
    def this(cls) -> _Holder:
        now = datetime.now(timezone.utc).isoformat(timespec="seconds")
        return cls(socket.gethostname(), os.getpid(), now, secrets.token_hex(16))

    @classmethod
    def parse(cls, data: bytes) -> _Holder | None:
        try:
            found = json.loads(data)
            return cls(str(found["host"]), int(found["pid"]), str(found["since"]), str(found["nonce"]))
        except (ValueError, KeyError, TypeError):
            return None

    def to_json(self) -> bytes:
        # Another text each time: a store may leave the time of an object alone that is replaced by itself.
        body = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return (json.dumps({**body, "beat": secrets.token_hex(4)}, allow_nan=False) + "\n").encode()


def _busy(shown: str, holder: _Holder | None, more: str = "") -> BusyError:
    who = f"process {holder.pid} on {holder.host} since {holder.since}" if holder else "another process"
    return BusyError(f"{shown} is held by {who}{more}")


# on a disk

_held: set[int] = set()


def _close_inherited() -> None:
    # Else a forked child would hold the lock of a parent that was killed.
    for descriptor in _held:
        with suppress(OSError):
            os.close(descriptor)
    _held.clear()


os.register_at_fork(after_in_child=_close_inherited)


@contextmanager
def hold_on_disk(path: Path, shown: str) -> Iterator[Lease]:
    """Hold a file by flock; see `Store.lease`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, owner = _locked(path, shown), os.getpid()
    try:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, _Holder.this().to_json(), 0)
        yield Lease(shown)
    finally:
        if os.getpid() == owner:  # a forked child that unwinds this block holds nothing
            # Deleted while it is locked: whoever opened it meanwhile sees that it is no longer the one at its
            # path, and whoever comes later makes another.
            with suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(descriptor), path.stat()):
                    path.unlink()
            _held.discard(descriptor)
            os.close(descriptor)


def _locked(path: Path, shown: str) -> int:
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        _held.add(descriptor)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise _busy(shown, _Holder.parse(os.pread(descriptor, 4096, 0))) from None
            except OSError:
                # ENOSYS, ENOLCK or EOPNOTSUPP: whoever starts two runs there must keep them apart.
                return descriptor
            if os.path.samestat(os.fstat(descriptor), path.stat()):
                return descriptor
        except FileNotFoundError:
            pass
        except BaseException:
            _held.discard(descriptor)
            os.close(descriptor)
            raise
        # Its holder has finished meanwhile and taken it away.
        _held.discard(descriptor)
        os.close(descriptor)


# elsewhere


@contextmanager
def hold_object(
    files: _Files,
    shown: str,
    *,
    take_over: bool,
    errors: Callable[[], AbstractContextManager[None]],
) -> Iterator[Lease]:
    """Hold an object by writing it again and again; see `Store.lease`.

    Args:
        files: gives the file system and the object's name on it; asked anew in each thread.
        shown: how messages name the object.
        take_over: take it from a holder that is stale.
        errors: a context that gives errors of the file system one line.
    """
    me, lease = _Holder.this(), Lease(shown)
    with errors():
        _acquire(*files(), me, shown, take_over)
    stop, owner = threading.Event(), os.getpid()

    def beat() -> None:
        while not stop.wait(BEAT) and not lease._lost.is_set():
            # The store may be out of reach for a while; then the next beat tells.
            with suppress(Exception):
                if not _rewrite(*files(), me):
                    lease._lost.set()

    thread = threading.Thread(target=beat, name=f"lease {shown}", daemon=True)
    thread.start()
    failed = True
    try:
        yield lease
        failed = False
    finally:
        if os.getpid() == owner:
            stop.set()
            thread.join()
            with suppress(Exception) if failed else errors():
                _release(*files(), me, lease)
    lease.check()


def _acquire(files: AbstractFileSystem, path: str, me: _Holder, shown: str, take_over: bool) -> None:
    while not _create(files, path, me):
        tag, holder = _look(files, path)
        if tag is None:
            continue  # deleted meanwhile
        age = _seconds_since(files, path)
        if age is None:
            continue
        if age < STALE:
            raise _busy(shown, holder)
        if not take_over:
            raise _busy(shown, holder, f", which was last heard of {age:.0f} s ago")
        if _is_s3(files):
            # Only if it is still the stale one: of two that take it over, one gets it.
            try:
                files.pipe_file(path, me.to_json(), IfMatch=tag)
                return
            except OSError:
                found = _look(files, path)
                if _is_mine(found, me):
                    return
                if found[0] == tag:
                    raise
        elif _look(files, path)[0] == tag:
            with suppress(FileNotFoundError):
                files.rm_file(path)


def _create(files: AbstractFileSystem, path: str, me: _Holder) -> bool:
    """Write the object if it is absent; whether it is ours now."""
    try:
        if "mode" in inspect.signature(getattr(files, "_pipe_file", files.pipe_file)).parameters:
            files.pipe_file(path, me.to_json(), mode="create")
            return True
        if not files.exists(path):
            files.pipe_file(path, me.to_json())
    except FileExistsError:
        pass
    # It may be our own: a PUT that was stored, not answered, and tried again.
    return _is_mine(_look(files, path), me)


def _rewrite(files: AbstractFileSystem, path: str, me: _Holder) -> bool:
    """Write the object again; False when it is no longer ours."""
    tag, holder = _look(files, path)
    if not _is_mine((tag, holder), me):
        return False
    files.pipe_file(path, me.to_json(), **({"IfMatch": tag} if _is_s3(files) else {}))
    return True


def _release(files: AbstractFileSystem, path: str, me: _Holder, lease: Lease) -> None:
    if _is_mine(_look(files, path), me):
        files.rm_file(path)
    else:
        lease._lost.set()


def _look(files: AbstractFileSystem, path: str) -> tuple[str | None, _Holder | None]:
    """The object's version, then its holder; (None, None) when it is absent."""
    try:
        info = files.info(path)
        return str(info.get("ETag") or files.modified(path)), _Holder.parse(files.cat_file(path))
    except FileNotFoundError:
        return None, None


def _is_mine(found: tuple[str | None, _Holder | None], me: _Holder) -> bool:
    return found[1] is not None and found[1].nonce == me.nonce


def _seconds_since(files: AbstractFileSystem, path: str) -> float | None:
    """Seconds since the object was written, by the store's clock; None when it is absent."""
    folder, _, leaf = path.rpartition("/")
    probe = f"{folder}/.{leaf}.{secrets.token_hex(6)}.tmp"
    files.pipe_file(probe, b"now")
    try:
        now: Any = files.modified(probe)
        return float((now - files.modified(path)).total_seconds())
    except FileNotFoundError:
        return None
    finally:
        files.rm_file(probe)


def _is_s3(files: AbstractFileSystem) -> bool:
    protocol = files.protocol
    return "s3" in ((protocol,) if isinstance(protocol, str) else protocol)
