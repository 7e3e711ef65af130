"""The films that are to be cut: files, folders of them, or addresses of either."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from emovid_dataset.builder.sheet.paths import is_video
from emovid_dataset.media.source import SUFFIXES
from emovid_dataset.store import Store, store_of, without_credentials


@dataclass(frozen=True, slots=True)
class Film:
    """A film that is to be cut.

    Attributes:
        store: where it is.
        name: in the store.
        path: as the sheet names it.
        version: changes when the file changes.
        size: bytes.
    """

    store: Store
    name: str
    path: str
    version: str
    size: int


def find_films(sources: Iterable[str | os.PathLike[str]], sheet: str | os.PathLike[str]) -> list[Film]:
    """List films, each once.

    Args:
        sources: paths and addresses of films, of folders of films, or of buckets.
        sheet: where the sheet will be; a film below its folder is named relative to it.

    Raises:
        FileNotFoundError: one of them does not exist.
        ValueError: there is no film among them.
    """
    sources = list(sources)
    films: dict[tuple[Store, str], Film] = {}
    for source in (os.fspath(source) for source in sources):
        for store, name in _named(source):
            if (store, name) not in films:
                films[store, name] = _film(store, name, os.fspath(sheet))
    if not films:
        shown = ", ".join(without_credentials(os.fspath(source)) for source in sources)
        raise ValueError(f"there is no film in {shown}; endings: {' '.join(sorted(SUFFIXES))}")
    return list(films.values())


def _named(source: str) -> list[tuple[Store, str]]:
    is_file = os.path.isfile(source)
    if "://" in source:
        is_file = PurePosixPath(source.partition("?")[0]).suffix.lower() in SUFFIXES
    elif not is_file and not os.path.isdir(source):
        raise FileNotFoundError(f"film {source} does not exist")
    if is_file:
        return [store_of(source, to_read=True)]
    store = Store.find(os.path.abspath(source) if "://" not in source else source)
    return [(store, name) for name in store.list() if is_video(store, name)]


def _film(store: Store, name: str, sheet: str) -> Film:
    path = store.shown(name)
    if store.folder is not None:
        place = store.folder / name
        beside = None if "://" in sheet else Path(sheet).absolute().parent
        path = os.fspath(place)
        if beside is not None and place.is_relative_to(beside):
            path = place.relative_to(beside).as_posix()
    try:
        return Film(store, name, path, store.version(name), store.size(name))
    except OSError:
        return Film(store, name, path, "unknown", 0)  # whoever opens it will say why
