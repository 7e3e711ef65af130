"""WebDataset shards: plan, write, verify.

A sample is four members, adjacent, always all four::

    sticker-0123456789abcdef.mp4    H.264, yuv420p
    sticker-0123456789abcdef.json   Clip.to_json()
    sticker-0123456789abcdef.txt    caption
    sticker-0123456789abcdef.cls    label index

Everything about a shard is known before a byte of it is written: which clips, in which order, at which
offsets. So shards are written in any order, by any number of processes, and come out byte for byte the same.
"""

from __future__ import annotations

import hashlib
import io
import os
import random
import tarfile
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from emovid_dataset.media.video import Reader, VideoError
from emovid_dataset.schema.clip import CONTENT_TYPES, KEYS, SPLITS, Clip, json_features
from emovid_dataset.schema.manifest import (
    CARD_NAME,
    DATA_FOLDER,
    INFO_NAME,
    MANIFEST_NAME,
    METADATA_FOLDER,
    REJECTED_NAME,
    Manifest,
    ShardRecord,
    metadata_path,
    shard_path,
    write_atomic,
)

MEMBERS = ("mp4", "json", "txt", "cls")
"""The members of a sample, in order."""

MIN_TRAIN_SHARDS = 8
"""A train split has at least so many shards, where it has as many clips: loaders share shards out."""

_BLOCK = tarfile.BLOCKSIZE


@dataclass(frozen=True, slots=True)
class PlannedClip:
    """A clip and the file that holds its MP4."""

    clip: Clip
    video: Path
    size: int


@dataclass(frozen=True, slots=True)
class ShardPlan:
    """One shard to be written.

    Attributes:
        path: below the build folder.
        content_type: of all its clips.
        split: of all its clips.
        clips: in the order in which they are written.
    """

    path: str
    content_type: str
    split: str
    clips: tuple[PlannedClip, ...]

    def digest(self) -> str:
        """Names the plan: a shard of another plan is not taken for this one's."""
        digest = hashlib.sha256()
        for planned in self.clips:
            digest.update(planned.clip.to_json().encode())
        return digest.hexdigest()

    def offsets(self) -> list[int]:
        """Byte offset of every clip's MP4 within the tar, known before it is written."""
        offsets: list[int] = []
        position = 0
        for planned in self.clips:
            offsets.append(position + _BLOCK)
            position += _padded(planned.size) + sum(_padded(len(data)) for _, data in _texts(planned.clip))
        return offsets


def plan_shards(
    clips: Sequence[PlannedClip], splits: Sequence[str], *, shard_size: int, seed: int
) -> list[ShardPlan]:
    """Lay clips out in shards.

    Args:
        clips: in any order; the outcome does not depend on it.
        splits: "train", "validation" or "test" for every clip.
        shard_size: bytes aimed at.
        seed: of the order of the clips.

    Returns:
        The shards, in the order of content types, splits and their numbers.
    """
    parts: dict[tuple[str, str], list[PlannedClip]] = defaultdict(list)
    for planned, split in zip(clips, splits, strict=True):
        parts[planned.clip.content_type, split].append(planned)
    plans: list[ShardPlan] = []
    for content_type in CONTENT_TYPES:
        for split in SPLITS:
            members = sorted(parts[content_type, split], key=lambda planned: planned.clip.id)
            if not members:
                continue
            random.Random(f"{seed}/{content_type}/{split}").shuffle(members)
            pieces = _pieces(members, shard_size, MIN_TRAIN_SHARDS if split == "train" else 1)
            plans += [
                ShardPlan(
                    shard_path(content_type, split, index, len(pieces)), content_type, split, tuple(piece)
                )
                for index, piece in enumerate(pieces)
            ]
    return plans


def _pieces(members: list[PlannedClip], shard_size: int, least: int) -> list[list[PlannedClip]]:
    """Cut a list into pieces of about the same number of bytes, none empty."""
    total = sum(planned.size for planned in members)
    count = min(len(members), max(least if len(members) >= least else 1, -(-total // shard_size)))
    pieces: list[list[PlannedClip]] = [[]]
    before = 0
    for index, planned in enumerate(members):
        full = before * count >= total * len(pieces)
        short = len(members) - index == count - len(pieces)
        if pieces[-1] and len(pieces) < count and (full or short):
            pieces.append([])
        pieces[-1].append(planned)
        before += planned.size
    return pieces


def write_shard(plan: ShardPlan, folder: Path) -> ShardRecord:
    """Write a shard under a temporary name, fsync it and rename it.

    Args:
        plan: the shard.
        folder: the build folder.

    Returns:
        The record for the manifest.

    Raises:
        OSError: the folder cannot be written, or is full.
        ValueError: a clip's file is not the one that was prepared.
    """
    target = folder / plan.path
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            sink = _HashingWriter(file)
            with tarfile.open(fileobj=sink, mode="w|", format=tarfile.USTAR_FORMAT, bufsize=1 << 18) as tar:
                for planned in plan.clips:
                    with planned.video.open("rb") as video:
                        source = _HashingReader(video)
                        try:
                            tar.addfile(_header(f"{planned.clip.id}.mp4", planned.size), source)
                        except OSError as error:
                            if "unexpected end of data" in str(error):
                                raise ValueError(f"{planned.video} changed while the build ran") from error
                            raise
                        if source.digest.hexdigest() != planned.clip.sha256:
                            raise ValueError(f"{planned.video} changed while the build ran")
                    for name, data in _texts(planned.clip):
                        tar.addfile(_header(f"{planned.clip.id}.{name}", len(data)), io.BytesIO(data))
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)
    return ShardRecord(
        path=plan.path,
        content_type=plan.content_type,
        split=plan.split,
        samples=len(plan.clips),
        size=sink.size,
        sha256=sink.digest.hexdigest(),
    )


def write_metadata(plans: Iterable[ShardPlan], folder: Path) -> None:
    """Write `metadata/{content_type}/{split}.parquet`: every clip field plus shard, offset and size."""
    import pyarrow
    from pyarrow import parquet

    parts: dict[tuple[str, str], list[ShardPlan]] = defaultdict(list)
    for plan in plans:
        parts[plan.content_type, plan.split].append(plan)
    for (content_type, split), members in parts.items():
        rows: list[dict[str, Any]] = []
        for plan in members:
            for planned, offset in zip(plan.clips, plan.offsets(), strict=True):
                place = {"shard": plan.path, "offset": offset, "size": planned.size}
                rows.append({**asdict(planned.clip), **place})
        sink = pyarrow.BufferOutputStream()
        parquet.write_table(pyarrow.Table.from_pylist(rows, schema=metadata_schema()), sink)
        write_atomic(folder / metadata_path(content_type, split), sink.getvalue().to_pybytes())


def metadata_schema() -> Any:
    """The pyarrow schema of a metadata file."""
    import pyarrow

    kinds: dict[str, Any] = {}
    for name, feature in json_features().items():
        if name == "emotion_scores":
            kinds[name] = pyarrow.list_(pyarrow.float64())
        else:
            kinds[name] = feature.pa_type
    place = {"shard": pyarrow.string(), "offset": pyarrow.int64(), "size": pyarrow.int64()}
    return pyarrow.schema(list({**kinds, **place}.items()))


def read_samples(shard: Path) -> Iterator[tuple[str, dict[str, bytes], int]]:
    """Read a shard's samples, strictly.

    Args:
        shard: path of a tar.

    Yields:
        Key, the four members' bytes by name, and the MP4's byte offset.

    Raises:
        ValueError: the shard is no tar, or a member is not where the layout wants it.
    """
    key, offset = "", 0
    members: dict[str, bytes] = {}
    try:
        with tarfile.open(shard, mode="r:") as tar:
            for info in tar:
                wanted = MEMBERS[len(members)]
                name, _, suffix = info.name.partition(".")
                if not info.isreg() or suffix != wanted or (members and name != key):
                    raise ValueError(f"member {info.name!r} stands where a .{wanted} is due")
                file = tar.extractfile(info)
                assert file is not None
                if wanted == MEMBERS[0]:
                    key, offset = name, info.offset_data
                members[wanted] = file.read()
                if len(members[wanted]) != info.size:
                    raise ValueError(f"member {info.name!r} is truncated")
                tar.members.clear()  # type: ignore[attr-defined]  # else tarfile keeps every header
                if len(members) == len(MEMBERS):
                    yield key, members, offset
                    members = {}
    except (tarfile.TarError, OSError, EOFError) as error:
        raise ValueError(f"is not a tar that can be read: {error}") from error
    if members:
        raise ValueError(f"sample {key!r} lacks its .{MEMBERS[len(members)]}")


def verify_shard(record: ShardRecord, folder: Path, *, decode: bool = False) -> tuple[list[str], list[Any]]:
    """Check one shard against the manifest's record.

    Args:
        record: of the manifest.
        folder: the build folder.
        decode: decode every clip and compare with what it claims.

    Returns:
        Violations, one line each; and (clip, offset, size) of every sound sample, in order.
    """
    path = folder / record.path
    found: list[str] = []
    samples: list[Any] = []
    if not path.is_file():
        return [f"{record.path}: is missing"], samples
    size = path.stat().st_size
    if size != record.size:
        found.append(f"{record.path}: has {size} bytes, the manifest says {record.size}")
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    if digest.hexdigest() != record.sha256:
        found.append(f"{record.path}: sha256 is {digest.hexdigest()}, the manifest says {record.sha256}")
    count = 0
    try:
        for key, members, offset in read_samples(path):
            count += 1
            try:
                clip = _check_sample(key, members, record)
                if decode:
                    _check_video(clip, members["mp4"])
            except ValueError as error:
                found.append(f"{record.path}: {key}: {error}")
                continue
            samples.append((clip, offset, len(members["mp4"])))
    except ValueError as error:
        found.append(f"{record.path}: {error}")
    if count != record.samples:
        found.append(f"{record.path}: has {count} samples, the manifest says {record.samples}")
    return found, samples


def _check_sample(key: str, members: dict[str, bytes], record: ShardRecord) -> Clip:
    import json

    try:
        values = json.loads(members["json"])
    except ValueError as error:
        raise ValueError(f"json is not JSON: {error}") from error
    if not isinstance(values, dict):
        raise ValueError("json is not an object")
    clip = Clip.from_mapping(values)
    if clip.id != key:
        raise ValueError(f"json has the id {clip.id}")
    if clip.content_type != record.content_type:
        raise ValueError(f"is a {clip.content_type} in a shard of {record.content_type}")
    if members["txt"] != clip.caption.encode():
        raise ValueError("txt is not the caption")
    if members["cls"] != str(clip.label).encode():
        raise ValueError(f"cls is {members['cls']!r}, the emotion's index is {clip.label}")
    if hashlib.sha256(members["mp4"]).hexdigest() != clip.sha256:
        raise ValueError("the MP4's sha256 is not the one in the json")
    return clip


def _check_video(clip: Clip, data: bytes) -> None:
    try:
        with Reader(data) as reader:
            info = reader.info
            decoded = reader.count_frames()
    except VideoError as error:
        raise ValueError(f"the MP4 {error}") from error
    for name, value in (("width", info.width), ("height", info.height), ("has_audio", info.has_audio)):
        if value != getattr(clip, name):
            raise ValueError(f"{name} is {value}, the json says {getattr(clip, name)}")
    if decoded != clip.num_frames:
        raise ValueError(f"decodes to {decoded} frames, the json says {clip.num_frames}")


def verify_index(folder: Path, manifest: Manifest, samples: dict[str, list[Any]]) -> list[str]:
    """Check what stands beside the shards: metadata, splits, `_info.json`, card, stray files.

    Args:
        folder: the build folder.
        manifest: of the build.
        samples: by shard path, what `verify_shard` found.

    Returns:
        Violations, one line each.
    """
    import pyarrow
    from pyarrow import parquet

    from emovid_dataset.report.card import info_json

    found: list[str] = []
    if (folder / MANIFEST_NAME).read_text(encoding="utf-8") != manifest.to_json():
        found.append(f"{MANIFEST_NAME}: the configs and totals do not agree with its shards")
    shards = {shard.path: shard for shard in manifest.shards}
    if len(shards) != len(manifest.shards):
        found.append(f"{MANIFEST_NAME}: names a shard twice")
    split_of: dict[str, set[str]] = defaultdict(set)
    seen: dict[str, str] = {}
    for path, held in samples.items():
        for clip, _, _ in held:
            split_of[clip.group].add(shards[path].split)
            if clip.id in seen:
                found.append(f"{path}: {clip.id}: stands in {seen[clip.id]} too")
            seen[clip.id] = path
    found += [
        f"group {group!r} is in {' and '.join(sorted(splits))}"
        for group, splits in sorted(split_of.items())
        if len(splits) > 1
    ]
    parts = {(shard.content_type, shard.split) for shard in manifest.shards}
    for content_type, split in sorted(parts):
        name = metadata_path(content_type, split)
        try:
            table = parquet.read_table(folder / name, partitioning=None)
            rows = table.to_pylist()
        except (OSError, ValueError, pyarrow.ArrowException) as error:
            found.append(f"{name}: is missing or not Parquet: {' '.join(str(error).split())}")
            continue
        if not table.schema.equals(metadata_schema()):
            found.append(f"{name}: has other columns or types than the clips")
            continue
        expected = [
            {**asdict(clip), "shard": shard.path, "offset": offset, "size": size}
            for shard in manifest.select(content_type, split)
            for clip, offset, size in samples.get(shard.path, [])
        ]
        found += _compare_rows(name, rows, expected)
    if (
        not (folder / INFO_NAME).is_file()
        or (folder / INFO_NAME).read_bytes() != info_json(manifest).encode()
    ):
        found.append(f"{INFO_NAME}: is missing or does not agree with the manifest")
    found += _check_card(folder, manifest)
    if not (folder / REJECTED_NAME).is_file():
        found.append(f"{REJECTED_NAME}: is missing")
    else:
        refused = (folder / REJECTED_NAME).read_bytes().count(b"\n")
        if refused != manifest.rejected:
            found.append(f"{REJECTED_NAME}: has {refused} lines, the manifest says {manifest.rejected}")
    known = set(shards) | {metadata_path(*part) for part in parts}
    for top in (DATA_FOLDER, METADATA_FOLDER):
        for stray in sorted((folder / top).rglob("*")):
            name = stray.relative_to(folder).as_posix()
            if stray.is_file() and name not in known:
                found.append(f"{name}: is not named by the manifest")
    return found


def _compare_rows(name: str, rows: list[dict[str, Any]], expected: list[dict[str, Any]]) -> list[str]:
    if len(rows) != len(expected):
        return [f"{name}: has {len(rows)} rows, the shards hold {len(expected)} sound clips"]
    found = []
    for row, clip in zip(rows, expected, strict=True):
        if row["emotion_scores"] is not None:
            row["emotion_scores"] = tuple(row["emotion_scores"])
        for key in (*KEYS, "shard", "offset", "size"):
            if row[key] != clip[key]:
                found.append(f"{name}: {clip['id']}: {key} is {row[key]!r}, the shard has {clip[key]!r}")
    return found


def _check_card(folder: Path, manifest: Manifest) -> list[str]:
    import yaml

    from emovid_dataset.report.card import front_matter

    path = folder / CARD_NAME
    if not path.is_file():
        return [f"{CARD_NAME}: is missing"]
    wanted = yaml.safe_load(front_matter(manifest))
    try:
        parts = path.read_text(encoding="utf-8").split("---\n", 2)
        card = yaml.safe_load(parts[1]) if len(parts) == 3 and not parts[0] else None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        return [f"{CARD_NAME}: has no typed front matter: {' '.join(str(error).split())}"]
    if not isinstance(card, dict):
        return [f"{CARD_NAME}: has no typed front matter"]
    # whoever publishes may add keys, such as a citation, but what loaders read must be the manifest's
    return [
        f"{CARD_NAME}: {key} does not agree with the manifest"
        for key in ("configs", "dataset_info")
        if card.get(key) != wanted[key]
    ]


def _texts(clip: Clip) -> tuple[tuple[str, bytes], ...]:
    return (
        ("json", clip.to_json().encode()),
        ("txt", clip.caption.encode()),
        ("cls", str(clip.label).encode()),
    )


def _header(name: str, size: int) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size = size
    info.mode = 0o644
    return info


def _padded(size: int) -> int:
    """Bytes that a member of this size takes in a tar, with its header."""
    return _BLOCK + -(-size // _BLOCK) * _BLOCK


class _HashingWriter(io.RawIOBase):
    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.digest = hashlib.sha256()
        self.size = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.digest.update(data)
        self.size += len(data)
        return self._file.write(data)


class _HashingReader(io.RawIOBase):
    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.digest = hashlib.sha256()

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self.digest.update(data)
        return data
