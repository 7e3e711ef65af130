"""A data set of the library `datasets` with a video column, as a raw folder and a label sheet.

What goes in: a repo of the Hub (``hf://datasets/owner/name``), a folder that `save_to_disk` wrote, and one of
Parquet files. The videos are written out as files once, below the Hub client's cache; a sheet beside them has
every other column, class labels by their names.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from emovid_dataset.schema.clip import SPLITS

_HUB = "hf://datasets/"
_SAVED = ("dataset_info.json", "dataset_dict.json")
_SHEET, _FILES = "labels.jsonl", "clips"
_SPLIT_NAMES = {"val": "validation", "valid": "validation", "dev": "validation"}


@dataclass(frozen=True, slots=True)
class Unpacked:
    """A data set as files.

    Attributes:
        raw: the folder of the videos.
        sheet: says what each one is.
    """

    raw: Path
    sheet: Path


def is_dataset(raw: str) -> bool:
    """Whether a raw folder's name is that of a data set: of the Hub, saved to disk, or Parquet files alone.

    Args:
        raw: as the command gets it.
    """
    if raw.startswith(_HUB):
        return True
    folder = Path(raw)
    if "://" in raw or not folder.is_dir():
        return False
    if any((folder / name).is_file() for name in _SAVED):
        return True
    from emovid_dataset.media.source import SUFFIXES  # PyAV, which the commands' help can do without

    names = {path.suffix.lower() for path in folder.rglob("*") if path.is_file()}
    return ".parquet" in names and not names & SUFFIXES


def unpack(raw: str, into: Path | None = None) -> Unpacked:
    """Write a data set's videos and a label sheet.

    Args:
        raw: see `is_dataset`.
        into: a folder; by default one below the Hub client's cache, named after the data set's content.

    Returns:
        The folder and the sheet; of the same data set always the same bytes.

    Raises:
        ValueError: it has no video column or several, or a row has no video.
        OSError: it is not there, or cannot be read or written.
    """
    parts = _load(raw)
    column = _video_column(raw, next(iter(parts.values())).features)
    if into is None:
        from huggingface_hub import cached_assets_path

        prints = sorted(f"{name} {part._fingerprint}" for name, part in parts.items())
        digest = hashlib.sha256("\n".join([raw, *prints]).encode()).hexdigest()[:16]
        into = Path(cached_assets_path("emovid", namespace="datasets", subfolder=digest))
    sheet = into / _SHEET
    (into / _FILES).mkdir(parents=True, exist_ok=True)
    lines = (
        json.dumps(row, ensure_ascii=False, allow_nan=False)
        for row in _rows(parts, column, into / _FILES, raw)
    )
    temporary = sheet.with_suffix(".tmp")
    temporary.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    temporary.replace(sheet)
    return Unpacked(into / _FILES, sheet)


def _load(raw: str) -> dict[str, Any]:
    """The data set's splits by name."""
    import datasets

    if raw.startswith(_HUB):
        repo, _, revision = raw.removeprefix(_HUB).strip("/").partition("@")
        found: Any = datasets.load_dataset(repo, revision=revision or None)
    elif any((Path(raw) / name).is_file() for name in _SAVED):
        found = datasets.load_from_disk(raw)
    else:
        found = datasets.load_dataset("parquet", data_files=_parquet_files(Path(raw)))
    return dict(found) if isinstance(found, Mapping) else {"": found}


def _parquet_files(folder: Path) -> dict[str, list[str]]:
    """The files of each split, by their names: ``data/train-00000-of-00002.parquet`` as the Hub has it.

    Raises:
        ValueError: some names say a split, and others do not.
    """
    from datasets.data_files import DataFilesDict, get_data_patterns

    names = {str(path) for path in folder.rglob("*.parquet")}
    found = DataFilesDict.from_patterns(get_data_patterns(str(folder)), base_path=str(folder))
    parts = {str(split): sorted(names & set(files)) for split, files in found.items()}
    left = sorted(names.difference(*parts.values()))
    if left and len(parts) > 1:
        raise ValueError(f"{folder}: the names of other files say their split, but not that of {left[0]}")
    return {split: files for split, files in parts.items() if files} if not left else {"train": sorted(names)}


def _video_column(raw: str, features: Mapping[str, Any]) -> str:
    import datasets

    def is_video(kind: Any) -> bool:
        return isinstance(kind, datasets.Video) or (isinstance(kind, dict) and set(kind) == {"bytes", "path"})

    found = [name for name, kind in features.items() if is_video(kind)]
    if len(found) > 1 and "video" in found:
        return "video"
    if len(found) != 1:
        what = "several video columns" if found else "no video column"
        raise ValueError(f"{raw} has {what}; its columns: {', '.join(features)}")
    return found[0]


def _rows(parts: Mapping[str, Any], column: str, folder: Path, raw: str) -> Iterator[dict[str, Any]]:
    import datasets

    named = [_SPLIT_NAMES.get(name, name) for name in parts]
    # A data set whose only split is "train" was never divided.
    divided = len(parts) > 1 and all(name in SPLITS for name in named)
    for split, (name, part) in zip(named, parts.items(), strict=True):
        if isinstance(part.features[column], datasets.Video):
            part = part.cast_column(column, datasets.Video(decode=False))
        for place, row in enumerate(part):
            video = row.pop(column)
            if not video or (video["bytes"] is None and not video["path"]):
                raise ValueError(f"{raw}: row {place}{f' of {name}' if name else ''} has no video")
            file = _write(video, folder, f"{name or 'row'}-{place:08d}")
            told = {"original_path" if key == "path" else key: value for key, value in row.items()}
            told = {key: _named(part.features.get(key), value) for key, value in told.items()}
            yield {"path": file, **told, **({"split": split} if divided and "split" not in told else {})}


def _write(video: Mapping[str, Any], folder: Path, stem: str) -> str:
    """The name of the file with a row's video; what an earlier run wrote stays."""
    from emovid_dataset.media.source import SUFFIXES

    suffix = PurePosixPath(str(video["path"] or "")).suffix.lower()
    path = folder / f"{stem}{suffix if suffix in SUFFIXES else '.mp4'}"
    data: bytes | None = video["bytes"]
    size = len(data) if data is not None else os.path.getsize(video["path"])
    if not path.exists() or path.stat().st_size != size:
        temporary = path.with_suffix(".tmp")
        if data is not None:
            temporary.write_bytes(data)
        else:
            shutil.copyfile(video["path"], temporary)
        temporary.replace(path)
    return path.name


def _named(kind: Any, value: Any) -> Any:
    """A cell as JSON holds it: a class label by its name, a date by its text."""
    if hasattr(kind, "int2str") and isinstance(value, int):
        return kind.int2str(value) if value >= 0 else None
    if isinstance(value, (str, int, float, bool)) or value is None:
        return value
    if isinstance(value, Mapping):
        return {str(key): _named(None, entry) for key, entry in value.items()}
    if isinstance(value, Iterable) and not isinstance(value, bytes):
        return [_named(None, entry) for entry in value]
    return None if isinstance(value, bytes) else str(value)
