"""Checks that options declare, so that a wrong value is one line before a command begins.

A check is an option's callback in typer. It returns the value, or raises a ValueError that names the option,
the value and what is allowed.
"""

from __future__ import annotations

import errno
import math
import os
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from contextvars import ContextVar
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from emovid_dataset.engine import ENGINES, Executor, executor

Value = TypeVar("Value")
Check = Callable[[typer.CallbackParam, Any], Any]

COMMAND: ContextVar[ExitStack] = ContextVar("COMMAND")
"""What the running command holds until it ends."""


def check_by(refusal: Callable[[Any], str | None]) -> Check:
    """A check of every value that is given; `refusal` says what follows its name in the message."""

    def check(param: typer.CallbackParam, value: Value) -> Value:
        given: Iterable[Any] = value if isinstance(value, (list, tuple)) else (value,)
        for item in given:
            if item is not None and (reason := refusal(item)) is not None:
                raise ValueError(f"{name_of(param)}{reason}")
        return value

    return check


def name_of(param: typer.CallbackParam) -> str:
    """An option's name as it is typed, an argument's as help shows it."""
    if param.param_type_name == "option":
        return max(param.opts, key=len)
    return getattr(param, "metavar", None) or str(param.name).upper()


def whole(least: int, most: int | None = None) -> Check:
    """A whole number from `least` to `most`, both allowed."""
    allowed = f"at least {least}" if most is None else f"{least}..{most}"

    def refusal(value: int) -> str | None:
        inside = value >= least and (most is None or value <= most)
        return None if inside else f" is {value}; it must be {allowed}"

    return check_by(refusal)


def even(least: int, most: int) -> Check:
    """An even number from `least` to `most`, both allowed."""
    return check_by(
        lambda value: (
            None
            if least <= value <= most and value % 2 == 0
            else f" is {value}; it must be an even number {least}..{most}"
        )
    )


def number(least: float, *, open_end: bool = False) -> Check:
    """A finite number from `least` up; with `open_end`, above it."""
    allowed = f"a number above {least:g}" if open_end else f"a number from {least:g} up"

    def refusal(value: float) -> str | None:
        inside = math.isfinite(value) and (value > least if open_end else value >= least)
        return None if inside else f" is {value}; it must be {allowed}"

    return check_by(refusal)


def _share(value: float) -> str | None:
    return None if 0 < value <= 1 else f" is {value}; it must be a number above 0 and at most 1"


def one_of(allowed: Iterable[str]) -> Check:
    """One of some words."""
    words = tuple(allowed)
    return check_by(
        lambda value: None if value in words else f" is {value!r}; allowed: {', '.join(words)}",
    )


def parsed_by(parse: Callable[[str], object]) -> Check:
    """A text that a function can read; the command reads it again when it needs it."""

    def refusal(value: str) -> str | None:
        try:
            parse(value)
        except ValueError as error:
            return f": {error}"
        return None

    return check_by(refusal)


def _is_url(value: object) -> bool:
    """What a store has to look up; the command finds out whether it is there."""
    return "://" in str(value)


def _existing_file(value: str | os.PathLike[str]) -> str | None:
    return None if _is_url(value) or Path(value).is_file() else f" {value} is not a file"


def _existing_folder(value: str | os.PathLike[str]) -> str | None:
    return None if _is_url(value) or Path(value).is_dir() else f" {value} is not a folder"


def _writable(value: str | os.PathLike[str], folder: Path) -> str | None:
    """What keeps a file or folder from being made: the first of its folders that exists says it."""
    path = folder.absolute()
    while not path.exists():
        path = path.parent
    if not path.is_dir():
        return f" {value} cannot be made: {path} is not a folder"
    if os.access(path, os.W_OK | os.X_OK):
        return None
    read_only = hasattr(os, "statvfs") and bool(os.statvfs(path).f_flag & os.ST_RDONLY)
    return f" {value} cannot be made: {path}: {os.strerror(errno.EROFS if read_only else errno.EACCES)}"


def _no_address(value: str | os.PathLike[str]) -> str | None:
    """What keeps a URL, or what is left of one, from being written to."""
    from emovid_dataset._address import has_lost_slashes, root_to_write

    if isinstance(value, Path) and has_lost_slashes(str(value)):
        return f" {value} is a URL; this option takes a place on this machine"
    try:
        root_to_write(value)
    except ValueError as error:
        return f": {error}"
    return None


def _new_file(value: str | os.PathLike[str]) -> str | None:
    if (problem := _no_address(value)) is not None or _is_url(value):
        return problem
    if Path(value).is_dir():
        return f" {value} is a folder; name a file"
    return _writable(value, Path(value).absolute().parent)


_OTHER_TABLES = (".csv", ".tsv", ".txt", ".xlsx", ".json", ".jsonl", ".ndjson")


def _parquet_file(value: str | os.PathLike[str]) -> str | None:
    if str(value).lower().endswith(_OTHER_TABLES):
        return f" {value}: the file is Parquet; give it a name that ends in .parquet"
    return _new_file(value)


def new_place(value: str | os.PathLike[str]) -> str | None:
    """What keeps a folder from being made or written, as it follows the option's name, or None."""
    if (problem := _no_address(value)) is not None or _is_url(value):
        return problem
    if Path(value).exists() and not Path(value).is_dir():
        return f" {value} is a file, not a folder"
    return _writable(value, Path(value))


share: Check = check_by(_share)
"""A part of a whole: above 0, at most 1."""

existing_file: Check = check_by(_existing_file)
"""The path or URL of a file."""

existing_folder: Check = check_by(_existing_folder)
"""The path or URL of a folder."""

new_file: Check = check_by(_new_file)
"""A file that can be written, in a folder that exists or can be made."""

parquet_file: Check = check_by(_parquet_file)
"""A file that can be written, whose name does not say that it holds another kind of table."""

new_folder: Check = check_by(new_place)
"""A folder that exists and can be written, or can be made."""

Engine = Annotated[
    str | None,
    typer.Option(
        help="Who shares out the work: processes, serial (this process) or ray (a cluster).",
        callback=one_of(ENGINES),
    ),
]
RayAddress = Annotated[
    str | None,
    typer.Option(
        metavar="HOST:PORT",
        help="The cluster of --engine ray, or auto for the one on this machine; by default $RAY_ADDRESS, or "
        "else a Ray of its own.",
    ),
]


def chosen_executor(
    engine: str | None, workers: int | None, ray_address: str | None, *, default: str | None = None
) -> Executor:
    """The executor that a command's options name, refused before any work where it cannot be used.

    It is open until the command ends, so that one stage's processes are the next one's.

    Args:
        engine: of `--engine`.
        workers: of `--workers`.
        ray_address: of `--ray-address`.
        default: the engine if none is named; None is this process, or with several workers processes.

    Raises:
        ValueError, OSError: as `executor`.
    """
    if ray_address is not None and engine != "ray":
        raise ValueError(f"--ray-address {ray_address} needs --engine ray")
    engine = engine or default
    if default is None and engine != "ray":
        workers = workers or 1
    return COMMAND.get().enter_context(executor(engine, workers, ray_address))
