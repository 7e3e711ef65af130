"""Read what raters said from files of any address: answers, sheets, exports."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath

from emovid_dataset.agree.answer_lines import rating_of, read_answer_lines
from emovid_dataset.agree.label_studio import is_export, read_export
from emovid_dataset.agree.rating import Rating, Vocabulary, in_force
from emovid_dataset.agree.rating_sheets import read_rating_sheet
from emovid_dataset.store import Store, store_of, without_credentials

_LINES = (".jsonl", ".ndjson")


def read_ratings(
    places: Iterable[str | os.PathLike[str]],
    *,
    words: Vocabulary = Vocabulary(),
    raters: Sequence[str] = (),
    tell: Callable[[str], None] = lambda remark: None,
) -> list[Rating]:
    """Read what counts of what raters said.

    Args:
        places: paths or URLs of files, or of folders with `.jsonl` files: answers of `emovid label` or in
            its format, sheets of ratings (see `read_rating_sheet`), exports of Label Studio in JSON.
        words: in which answers are given.
        raters: columns of the raters in a sheet with one for each.
        tell: gets what a person should know of how the files were read, a line each.

    Returns:
        The ratings in force; see `in_force`.

    Raises:
        FileNotFoundError: there is no such file, or a folder without answers.
        ValueError: a file cannot be read, or says what is not an answer; the message names the line.
    """

    def all_of_them() -> Iterator[Rating]:
        for place in places:
            for store, name in _files(place):
                with store.local(name) as path:
                    yield from _read(path, store.shown(name), words, raters, tell)

    return in_force(all_of_them())


def _files(place: str | os.PathLike[str]) -> Iterator[tuple[Store, str]]:
    """The files of a path or URL: itself, or the answers in a folder."""
    text = os.fspath(place)
    is_file = PurePosixPath(text).suffix if "://" in text else not os.path.isdir(text)
    if is_file:
        yield store_of(text, to_read=True)
        return
    store = Store.find(text)
    found = [name for name in store.list() if name.endswith(_LINES)]
    if not found:
        raise FileNotFoundError(f"{without_credentials(text)} has no file of answers ({', '.join(_LINES)})")
    yield from ((store, name) for name in found)


def _read(
    path: Path, where: str, words: Vocabulary, raters: Sequence[str], tell: Callable[[str], None]
) -> Iterator[Rating]:
    suffix = PurePosixPath(where).suffix.lower()
    if suffix in _LINES:
        yield from read_answer_lines(path, where, words, tell)
        return
    if suffix != ".json":
        yield from read_rating_sheet(path, where, words, raters, tell)
        return
    try:
        body = json.loads(path.read_text(encoding="utf-8-sig"))
    except ValueError as error:
        raise ValueError(f"{where} is not JSON: {error}") from None
    if is_export(body):
        yield from read_export(body, where, words)
        return
    if not isinstance(body, list):
        raise ValueError(f"{where} is neither an array of answers nor an export of Label Studio")
    for number, row in enumerate(body, start=1):
        try:
            yield rating_of(row, words)
        except ValueError as error:
            raise ValueError(f"{where} answer {number}: {error}") from None
