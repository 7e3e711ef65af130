"""What every video of a folder was asked to show: the table beside the videos, `intended.csv`."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from emovid_dataset.schema.emotions import MIKELS
from emovid_dataset.schema.taxonomy import Taxonomy
from emovid_dataset.store import read_file, without_credentials, write_file

INTENDED_NAME = "intended.csv"
"""The table beside generated videos that says what each was to show."""

INTENDED_COLUMNS = ("file", "emotion", "prompt", "seed")
"""Columns of `intended.csv`; the last two may be missing."""


@dataclass(frozen=True, slots=True)
class Intended:
    """What a video was asked to show.

    Attributes:
        file: its path in the folder, with slashes.
        emotion: one of the taxonomy.
        prompt: the scene, "" if unknown.
        seed: of the noise, None if unknown.
    """

    file: str
    emotion: str
    prompt: str = ""
    seed: int | None = None


def read_intended(path: str | os.PathLike[str], taxonomy: Taxonomy = MIKELS) -> list[Intended]:
    """Read what the videos of a folder were asked to show.

    Args:
        path: path or URL of a CSV file in UTF-8 with the columns ``file`` (relative to the folder) and
            ``emotion`` (a name or an index), and perhaps ``prompt`` and ``seed``.
        taxonomy: the emotions that may be asked for.

    Raises:
        FileNotFoundError: it does not exist.
        ValueError: a column is missing or unknown, a row is too long or too short, an emotion is unknown, a
            file is named twice, or there is no row.
    """
    text, path = _read_text(path), without_credentials(os.fspath(path))
    reader = csv.DictReader(io.StringIO(text), strict=True)
    try:
        columns = list(reader.fieldnames or ())
        numbered = [(reader.line_num, row) for row in reader]
    except csv.Error as error:
        raise ValueError(f"{path}, line {reader.line_num} is not CSV: {error}") from error
    allowed = ", ".join(INTENDED_COLUMNS)
    for column in INTENDED_COLUMNS[:2]:
        if column not in columns:
            raise ValueError(f"{path} has no column {column!r}; it has: {', '.join(columns) or 'none'}")
    unknown = [column for column in columns if column not in INTENDED_COLUMNS]
    if unknown:
        raise ValueError(f"{path} has unknown columns {unknown}; allowed: {allowed}")
    if len(set(columns)) < len(columns):
        raise ValueError(f"{path} has a column twice: {', '.join(columns)}")
    rows: list[Intended] = []
    seen: dict[str, int] = {}
    for number, row in numbered:
        where = f"{path}, line {number}"
        if None in row or None in row.values():
            raise ValueError(f"{where} does not have {len(columns)} cells, as the first line has")
        if not row["file"].strip():
            raise ValueError(f"{where}: file is empty")
        file = PurePosixPath(row["file"].strip()).as_posix()
        if file in seen:
            raise ValueError(f"{where}: file {file} is also in line {seen[file]}")
        seen[file] = number
        seed = (row.get("seed") or "").strip()
        try:
            value = int(seed) if seed else None
        except ValueError:
            raise ValueError(f"{where}: seed {seed!r} is not a whole number") from None
        rows.append(
            Intended(
                file, _emotion(row["emotion"], where, taxonomy), (row.get("prompt") or "").strip(), value
            )
        )
    if not rows:
        raise ValueError(f"{path} holds no rows")
    return rows


def write_intended(path: str | os.PathLike[str], rows: Sequence[Intended]) -> None:
    """Write what `read_intended` reads.

    Args:
        path: path or URL of the CSV file.
        rows: one per video.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(INTENDED_COLUMNS)
    for row in rows:
        writer.writerow([row.file, row.emotion, row.prompt, "" if row.seed is None else row.seed])
    write_file(path, text.getvalue().encode())


def _read_text(path: str | os.PathLike[str]) -> str:
    shown = without_credentials(os.fspath(path))
    if "://" not in shown and not os.path.isfile(path):
        raise FileNotFoundError(f"{shown} is not a file")
    try:
        return read_file(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{shown} is not UTF-8 text") from error


def _emotion(value: str, where: str, taxonomy: Taxonomy) -> str:
    try:
        return taxonomy.names[taxonomy.parse(value)]
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error
