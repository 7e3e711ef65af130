"""Find the file that a row of a label sheet names, and the files that no row names."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

from emovid_dataset.builder.sheet.rows import printable
from emovid_dataset.media.source import SUFFIXES
from emovid_dataset.store import Store


def is_video_name(name: str) -> bool:
    """Whether a file has the ending of a video."""
    return PurePosixPath(name).suffix.lower() in SUFFIXES


def unlabelled(raw: Store, knows: Callable[[str], bool]) -> Iterator[str]:
    """Video files of the raw store that no row of the sheet names, sorted; hidden folders are left out.

    Args:
        raw: where the source files are.
        knows: whether a row names a file.
    """
    for name in raw.list():
        hidden = any(part.startswith(".") for part in name.split("/")[:-1])
        if is_video_name(name) and not hidden and not knows(name):
            yield printable(name)


def find_inside(root: Path, path: str) -> str:
    """The file's path below the root with slashes; refuses whatever leads outside, links too."""
    # the dots go first, so that what is checked is what is opened, whatever links do
    joined = Path(os.path.normpath(root / path.replace("\\", "/")))
    try:
        resolved = joined.resolve()
        relative = joined.relative_to(root)
        resolved.relative_to(root)
    except (ValueError, OSError, RuntimeError):
        raise ValueError("lies outside the raw folder") from None
    try:
        if resolved.is_dir():
            raise ValueError("is a folder")
        if not resolved.exists():
            raise ValueError("does not exist")
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from None
    if not resolved.is_file():
        raise ValueError("is not a regular file")
    _check_suffix(relative.as_posix())
    return relative.as_posix()


def find_below(raw: Store, path: str) -> str:
    """The file's name in a remote store."""
    name = os.path.normpath(path.replace("\\", "/")).replace(os.sep, "/")
    if name.startswith(("/", "../")) or name == "..":
        raise ValueError("lies outside the raw folder")
    _check_suffix(name)
    if not raw.exists(name):
        raise ValueError("does not exist")
    return name


def _check_suffix(name: str) -> None:
    if not is_video_name(name):
        ending = PurePosixPath(name).suffix
        raise ValueError(f"has the ending {ending!r}; allowed: {', '.join(sorted(SUFFIXES))}")
