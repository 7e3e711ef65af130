"""Change a finished build all at once: new files wait in its work folder, then they take their places.

::

    .build/next/...            every file that is new or written again, under the name that it will have
    .build/commit.json         which files come and which go; from now on there is no way back
    manifest.json              complete = false, so that no reader meets half of the change
    data/, metadata/, ...      one file after the other takes its place, manifest.json last
    (no .build)                done

Until `commit.json` is there, the build is what it was. After that, whatever was interrupted is brought to its
end by the next command that changes the build.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace

from emovid_dataset._remote import files_at, one_line_errors
from emovid_dataset.builder.claim import COMMIT_NAME, LEASE_NAME, only_one
from emovid_dataset.builder.prepare import WORK_FOLDER
from emovid_dataset.schema.manifest import MANIFEST_NAME, Manifest
from emovid_dataset.store import BusyError, Lease, Store

NEXT_FOLDER = f"{WORK_FOLDER}/next"
"""Where the files of a change wait."""

_QUICK = (LEASE_NAME, f"{WORK_FOLDER}/hashed/", f"{WORK_FOLDER}/identified/")
"""What need not be kept of a change that was refused."""


def waiting(build: Store) -> Store:
    """The files of a change that wait to take their places, as a store of their own."""
    return Store(build.url(NEXT_FOLDER), build.token)


@dataclass(frozen=True, slots=True)
class Turn:
    """One process's turn at changing a build.

    Attributes:
        lease: to be checked before the change takes its place.
        finished: whether an interrupted change of another run was finished first.
    """

    lease: Lease
    finished: bool


@contextmanager
def changing(build: Store) -> Iterator[Turn]:
    """Be the only one who changes a build, after what another run was interrupted in has been finished.

    What the work folder holds at the clean end of the block goes; after an error what took long stays there.

    Raises:
        FileNotFoundError: there is no build.
        ValueError: another process is changing it.
    """
    if not build.exists(MANIFEST_NAME):  # else the lease would make a folder
        raise FileNotFoundError(f"{build.name} is not an EmoVid build: it has no {MANIFEST_NAME}")
    try:
        with only_one(build, f"{build.folder or build.name} is being changed") as lease:
            try:
                yield Turn(lease, finish(build))
            except BusyError:
                raise  # what is there belongs to whoever took over
            except ValueError:
                if all(name.startswith(_QUICK) for name in build.list(WORK_FOLDER)):
                    _clear(build)
                raise
            _clear(build)
    finally:
        if build.folder is not None:
            _remove_empty(build, WORK_FOLDER)


def _clear(build: Store) -> None:
    """Delete what the work folder holds, but for the lease."""
    for name in list(build.list(WORK_FOLDER)):
        if name != LEASE_NAME:
            build.delete(name)


def commit(build: Store, gone: Iterable[str]) -> None:
    """Let the waiting files take their places.

    Args:
        build: it holds the waiting files, `manifest.json` among them.
        gone: files that the changed build no longer has.
    """
    names = sorted(waiting(build).list())
    assert MANIFEST_NAME in names
    body = {"come": [name for name in names if name != MANIFEST_NAME], "go": sorted(set(gone) - set(names))}
    build.put(COMMIT_NAME, (json.dumps(body, indent=1, allow_nan=False) + "\n").encode())
    finish(build)


def finish(build: Store) -> bool:
    """Bring an interrupted `commit` to its end, if there is one.

    Returns:
        Whether there was one.
    """
    if not build.exists(COMMIT_NAME):
        return False
    body = json.loads(build.read(COMMIT_NAME))
    if build.exists(f"{NEXT_FOLDER}/{MANIFEST_NAME}"):
        manifest = Manifest.from_json(build.read(MANIFEST_NAME).decode())
        if manifest.complete:
            build.put(MANIFEST_NAME, replace(manifest, complete=False).to_json().encode())
        for name in body["come"]:
            if build.exists(f"{NEXT_FOLDER}/{name}"):  # else it has its place already
                take_place(build, f"{NEXT_FOLDER}/{name}", name)
        for name in body["go"]:
            build.delete(name)
            if build.folder is not None:
                _remove_empty(build, os.path.dirname(name))
        take_place(build, f"{NEXT_FOLDER}/{MANIFEST_NAME}", MANIFEST_NAME)
    build.delete(COMMIT_NAME)
    return True


def take_place(build: Store, name: str, to: str) -> None:
    """Give a file another name, in place of what had it: on a disk at once, elsewhere by a copy."""
    if build.folder is not None:
        place = build.folder / to
        place.parent.mkdir(parents=True, exist_ok=True)
        os.replace(build.folder / name, place)
        return
    with one_line_errors(build.shown(to), "written", build.token):
        files, root = files_at(build.root, build.token)
        files.cp_file(f"{root}/{name}", f"{root}/{to}")
    build.delete(name)


def _remove_empty(build: Store, name: str) -> None:
    """Remove a folder of the disk and those within it, as far as they are empty."""
    assert build.folder is not None
    for path, _, _ in os.walk(build.folder / name, topdown=False) if name else ():
        with suppress(OSError):
            os.rmdir(path)
