"""The videos that are to be annotated: of a folder, a build, a list of files or of segments, or one alone."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import posixpath
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import PurePosixPath

from emovid_dataset.builder.sheet.annotations import segment_key
from emovid_dataset.builder.sheet.columns import meaning_of
from emovid_dataset.builder.sheet.parse import read_stretch
from emovid_dataset.media.source import SUFFIXES
from emovid_dataset.read.manifest import read_manifest
from emovid_dataset.read.select import Selection, read_members
from emovid_dataset.read.shard import read_samples
from emovid_dataset.schema.manifest import MANIFEST_NAME
from emovid_dataset.store import Store, store_of, without_credentials
from emovid_models.annotator.segments import FilmFile, SegmentFrames

_SIGNING = re.compile(
    r"(?i)^x-(amz|goog|oss)-|^s(ig|e|t)$|signature|token|secret|passw|credential|auth|expires|policy"
)
_KEY = re.compile(r"(?i)key")


@dataclass(frozen=True, slots=True)
class Item:
    """A video that is to be annotated.

    Attributes:
        key: its path or address as given, see `public_address`, of a segment with its times, see
            `segment_key`; in a build the clip's id.
        version: changes when the file changes, so that its result is not taken for the new one's.
        open: returns a path, an address, bytes, or the frames of a segment; called when it is the video's
            turn. It can be pickled, so that another process can call it.
        start: of a segment of a film, in seconds from its first frame; None for a whole file.
        end: of the segment, exclusive.
    """

    key: str
    version: str
    open: Callable[[], str | bytes | SegmentFrames]
    start: float | None = None
    end: float | None = None


class Items:
    """The videos of an input, listed anew whenever they are asked for; they are not held.

    A key may come twice in a list.

    Args:
        source: as for `find_items`.

    Raises:
        FileNotFoundError: it does not exist.
    """

    def __init__(self, source: str | os.PathLike[str]) -> None:
        self._source = os.fspath(source)
        self._list = _lister(self._source)

    def __iter__(self) -> Iterator[Item]:
        found = False
        for item in self._list():
            found = True
            yield item
        if not found:
            shown = without_credentials(self._source)
            raise ValueError(f"input {shown} holds no video; endings: {' '.join(sorted(SUFFIXES))}")


def find_items(source: str | os.PathLike[str]) -> list[Item]:
    """List the videos of an input.

    Args:
        source: a path or URL: of a build (or a Hub repo as ``hf://datasets/owner/name`` or
            ``hf://owner/name``, either with ``@revision``); of a folder of videos, or of a build's shards,
            searched with its subfolders; of a list (.txt with a path or an address per line, or .csv with a
            column "path", and "start" and "end" where segments of films are meant, as a label sheet has
            them); or of one video. Paths in a list are relative to it.

    Returns:
        The items, each key once; in a build in the order of the shards, else as listed or by name.

    Raises:
        FileNotFoundError: it does not exist.
        ValueError: it holds no video, or a shard is damaged or of another layout.
    """
    items: dict[str, Item] = {}
    for item in Items(source):
        items.setdefault(item.key, item)
    return list(items.values())


def _lister(text: str) -> Callable[[], Iterator[Item]]:
    """What lists the videos of an input."""
    if (build := find_build(text)) is not None:
        return partial(_clips, build)
    if _is_file(text):
        store, name = store_of(text, to_read=True)
        suffix = PurePosixPath(name).suffix.lower()
        if suffix in (".txt", ".csv"):
            return partial(_of_list, store, name)
        return lambda: iter([_file(name, store, name)])
    store = _folder(text)
    return partial(_of_folder, store)


def _of_folder(store: Store) -> Iterator[Item]:
    """The videos of a folder; where there are none, those of its shards."""
    found = False
    for name in store.list():
        if PurePosixPath(name).suffix.lower() in SUFFIXES:
            found = True
            yield _file(name, store, name)
    if not found:
        yield from _shards(store)


def find_build(source: str | os.PathLike[str]) -> str | None:
    """Where the build lies whose clips `find_items` would list; None for other inputs.

    Raises:
        FileNotFoundError: the input does not exist.
    """
    text = os.fspath(source)
    if text.startswith("hf://"):
        return "hf://datasets/" + text.removeprefix("hf://").removeprefix("datasets/")
    return text if not _is_file(text) and _folder(text).exists(MANIFEST_NAME) else None


def _is_file(text: str) -> bool:
    endings = (".txt", ".csv", *SUFFIXES)
    return os.path.isfile(text) or (_is_url(text) and PurePosixPath(text).suffix.lower() in endings)


def _is_url(text: str) -> bool:
    return "://" in text


def _folder(text: str) -> Store:
    if not _is_url(text) and not os.path.isdir(text):
        raise FileNotFoundError(f"input {text} does not exist")
    return Store.find(text)


def _clips(source: str) -> Iterator[Item]:
    """The clips of a build, from its metadata."""
    store = Store.find(source)
    manifest = read_manifest(store)
    for member in read_members(store, manifest, manifest.content_types, manifest.split_names):
        yield _clip(store, member.clip.id, member.clip.sha256, member.shard, member.offset, member.size)


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


def _shards(store: Store) -> Iterator[Item]:
    """The clips of shards without their manifest, as when only some of a build's files were downloaded."""
    for shard in store.list():
        if not shard.endswith(".tar"):
            continue
        try:
            with store.open(shard) as file:
                for _, members, offset in read_samples(file):
                    # Its emotions are nobody's business here, and no manifest says which there are.
                    clip = json.loads(members["json"])
                    key, sha256 = str(clip["id"]), str(clip["sha256"])
                    yield _clip(store, key, sha256, shard, offset, len(members["mp4"]))
        except (ValueError, TypeError, KeyError) as error:
            raise ValueError(f"{store.shown(shard)} is not a shard of a build: {error}") from error


def _clip(store: Store, key: str, sha256: str, shard: str, offset: int, size: int) -> Item:
    return Item(key, sha256, partial(_member, store, shard, offset, size, key, sha256))


def _member(store: Store, shard: str, offset: int, size: int, clip: str, sha256: str) -> bytes:
    data = store.range(shard, offset, offset + size)
    if hashlib.sha256(data).hexdigest() != sha256:
        raise OSError(f"{store.shown(shard)}: clip {clip} differs from its sha256")
    return data


def _itself(place: str) -> str:
    return place


def _file(key: str, store: Store, name: str) -> Item:
    """A file of a store: on a disk its path, which a decoder opens itself, elsewhere its bytes."""
    try:
        version = store.version(name)
    except (OSError, ValueError):
        version = "missing"  # and its error is given in its place
    local = store.folder is not None
    return Item(
        _unicode(key), version, partial(_itself, store.url(name)) if local else partial(store.read, name)
    )


def _unicode(name: str) -> str:
    r"""A file's name as Parquet can hold it: bytes that are no UTF-8 become escapes.

    >>> _unicode("caf\udce9.mp4")
    'caf\\xe9.mp4'
    """
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


@dataclass(frozen=True, slots=True)
class _Entry:
    """What a list says of a video: its path, and the cells of its times."""

    path: str
    times: Mapping[str, str]


def _of_list(store: Store, name: str) -> Iterator[Item]:
    """The videos of a list; a file that several entries in a row name is looked up once."""
    path, whole, film = None, None, None
    for entry in _read_list(store, name):
        if whole is None or film is None or entry.path != path:
            path = entry.path
            whole, film = _listed(path, store)
        yield _segment(whole, film, entry.times) if entry.times else whole


def _listed(path: str, store: Store) -> tuple[Item, FilmFile]:
    """A file that a list names, as a video and as a film of which segments are wanted."""
    if path.startswith(("http://", "https://")):
        key = public_address(path)
        return Item(key, "", partial(_itself, path)), FilmFile(None, path, key, "")
    key = path
    if _is_url(path) or os.path.isabs(path):
        store, name = store_of(path, to_read=True)
    elif store.folder is None:
        name = posixpath.normpath(path)
    else:  # a relative path may lead out of the list's folder
        store, name = store_of(os.path.join(store.root, path), to_read=True)
    item = _file(key, store, name)
    return item, FilmFile(store, name, store.shown(name), item.version)


def _segment(whole: Item, film: FilmFile, times: Mapping[str, str]) -> Item:
    """A segment of a film; one with impossible times is given as an error in its place."""
    try:
        start, end = read_stretch(times)
    except ValueError as error:
        key = segment_key(whole.key, times.get("start", ""), times.get("end", ""))
        return Item(key, whole.version, partial(_refuse, str(error)))
    if start is None or end is None:
        return whole
    key = segment_key(whole.key, start, end)
    return Item(key, whole.version, partial(SegmentFrames, film, start, end), start, end)


def _refuse(reason: str) -> bytes:
    raise ValueError(reason)


def public_address(url: str) -> str:
    """An address as it may be written down: without user, password and signature, else as it is.

    What signs it changes from day to day and names no video; of a key a few digits of its hash stay, as what
    is called so may name one.

    >>> public_address("https://me:pw@host/a.mp4?id=7&X-Amz-Signature=0f3e&token=t")
    'https://host/a.mp4?id=7&X-Amz-Signature=...&token=...'
    """
    rest, mark, fragment = url.partition("#")
    place, question, query = rest.partition("?")
    return without_credentials(place) + question + "&".join(map(_public, query.split("&"))) + mark + fragment


def _public(parameter: str) -> str:
    name, equals, value = parameter.partition("=")
    if _SIGNING.search(name):
        return f"{name}{equals}..."
    if _KEY.search(name):
        return f"{name}{equals}...{hashlib.sha256(value.encode('utf-8', 'replace')).hexdigest()[:6]}"
    return parameter


def _read_list(store: Store, name: str) -> Iterator[_Entry]:
    shown = store.shown(name)
    try:
        text = store.read(name).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{shown} is not UTF-8 text") from error
    if name.lower().endswith(".txt"):
        yield from (_Entry(line.strip(), {}) for line in text.split("\n") if line.strip())
        return
    rows = csv.DictReader(io.StringIO(text))
    headers = rows.fieldnames or ()
    if "path" not in headers:
        raise ValueError(f"{shown} has no column 'path'; it has: {', '.join(headers)}")
    times = {header: meaning for header in headers if (meaning := meaning_of(header)) in ("start", "end")}
    if len(set(times.values())) < len(times):
        raise ValueError(f"{shown} has several columns for one time: {', '.join(times)}")
    for row in rows:
        if path := (row["path"] or "").strip():
            cells = {meaning: row[header] or "" for header, meaning in times.items()}
            yield _Entry(path, {meaning: cell for meaning, cell in cells.items() if cell.strip()})
