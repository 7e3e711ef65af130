"""The videos that are to be annotated: of a folder, a build, a list, or one alone."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from emovid_dataset.media.source import SUFFIXES
from emovid_dataset.read.select import Selection, select
from emovid_dataset.read.shard import read_samples
from emovid_dataset.schema.clip import Clip
from emovid_dataset.schema.manifest import MANIFEST_NAME


@dataclass(frozen=True, slots=True)
class Item:
    """A video that is to be annotated.

    Attributes:
        key: its path or address as given; in a build the clip's id.
        version: changes when the file changes, so that its result is not taken for the new one's.
        open: returns a path, an address or bytes; called when it is the video's turn. It can be pickled, so
            that another process can call it.
    """

    key: str
    version: str
    open: Callable[[], str | bytes]


def find_items(source: str | os.PathLike[str]) -> list[Item]:
    """List the videos of an input.

    Args:
        source: a build (its folder, or a Hub repo as ``hf://datasets/owner/name`` or ``hf://owner/name``,
            either with ``@revision``); a folder of videos, or of a build's shards, searched with its
            subfolders; a list (.txt with a path or an address a line, or .csv with a column "path"); or one
            video file. Paths in a list are relative to it.

    Returns:
        The items, each key once; in a build in the order of the shards, else as listed or by name.

    Raises:
        FileNotFoundError: it does not exist.
        ValueError: it holds no video, or a shard is damaged or of another layout.
    """
    text = str(source)
    if text.startswith("hf://"):
        return _clips("hf://datasets/" + text.removeprefix("hf://").removeprefix("datasets/"))
    path = Path(source)
    if not path.exists():
        raise FileNotFoundError(f"input {text} does not exist")
    if path.is_dir():
        if (path / MANIFEST_NAME).is_file():
            return _clips(path)
        files = sorted(file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES and file.is_file())
        items = [_file(file.relative_to(path).as_posix(), file) for file in files]
        if not items:
            items = _shards(path)
    elif path.suffix.lower() in (".txt", ".csv"):
        items = [_listed(entry, path.parent) for entry in dict.fromkeys(_read_list(path))]
    else:
        items = [_file(path.name, path)]
    if not items:
        raise ValueError(f"input {text} holds no video; endings: {' '.join(sorted(SUFFIXES))}")
    return items


def _clips(source: str | os.PathLike[str]) -> list[Item]:
    selection = select(source)
    return [clip_item(selection, index) for index in range(len(selection))]


def clip_item(selection: Selection, index: int) -> Item:
    """A clip of a selection as a video that is to be annotated.

    Args:
        selection: of `emovid_dataset.select`.
        index: of the clip in it.
    """
    clip = selection.clips[index]
    return Item(clip.id, clip.sha256, partial(_clip_video, selection[index : index + 1]))


def _clip_video(one: Selection) -> bytes:
    return one[0].video


def _shards(folder: Path) -> list[Item]:
    """The clips of shards without their manifest, as when only some of a build's files were downloaded."""
    items: dict[str, Item] = {}
    for shard in sorted(folder.rglob("*.tar")):
        try:
            with shard.open("rb") as file:
                for _, members, offset in read_samples(file):
                    clip = Clip.from_mapping(json.loads(members["json"]))
                    read = partial(_member, shard, offset, len(members["mp4"]), clip)
                    items.setdefault(clip.id, Item(clip.id, clip.sha256, read))
        except (ValueError, TypeError, KeyError) as error:
            raise ValueError(f"{shard} is no shard of a build: {error}") from error
    return list(items.values())


def _member(shard: Path, offset: int, size: int, clip: Clip) -> bytes:
    with shard.open("rb") as file:
        file.seek(offset)
        data = file.read(size)
    if hashlib.sha256(data).hexdigest() != clip.sha256:
        raise OSError(f"{shard}: clip {clip.id} differs from its sha256")
    return data


def _itself(place: str) -> str:
    return place


def _file(key: str, path: Path) -> Item:
    try:
        status = path.stat()
        version = f"{status.st_size}-{status.st_mtime_ns}"
    except OSError:
        version = "missing"  # and its error is given in its place
    return Item(_unicode(key), version, partial(_itself, str(path)))


def _unicode(name: str) -> str:
    r"""A file's name as Parquet can hold it: bytes that are no UTF-8 become escapes.

    >>> _unicode("caf\udce9.mp4")
    'caf\\xe9.mp4'
    """
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _listed(entry: str, folder: Path) -> Item:
    if entry.startswith(("http://", "https://")):
        return Item(entry, "", partial(_itself, entry))
    return _file(entry, folder / entry)


def _read_list(path: Path) -> Iterator[str]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 text") from error
    if path.suffix.lower() == ".txt":
        yield from (line.strip() for line in text.split("\n") if line.strip())
        return
    rows = csv.DictReader(io.StringIO(text))
    if "path" not in (rows.fieldnames or ()):
        raise ValueError(f"{path} has no column 'path'; it has: {', '.join(rows.fieldnames or ())}")
    yield from (row["path"].strip() for row in rows if (row["path"] or "").strip())
