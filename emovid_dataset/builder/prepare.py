"""Prepare source files: hash, probe, transcode where needed, compute the attributes.

One `Unit` is one source file with the segments that are cut from it. It is prepared by one process and its
outcome is plain data, so that it can be journalled and the shards planned from it.
"""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import IO, Any

import av

from emovid_dataset.builder.sheet import Label
from emovid_dataset.media import attributes
from emovid_dataset.media.video import Reader, VideoError, sample_for_attributes, transcode
from emovid_dataset.schema.clip import clip_id

_OF_THE_DISK = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS, errno.EACCES))

SEGMENTS_PER_UNIT = 8
"""A film's segments are shared out over the processes in pieces of so many."""


@dataclass(frozen=True, slots=True)
class Segment:
    """One clip to be made: a row of the label sheet, and its stretch of the source file."""

    row: int
    content_type: str
    start: float | None
    end: float | None


@dataclass(frozen=True, slots=True)
class Unit:
    """A source file and clips to be made of it, the work of one process.

    Attributes:
        path: below the raw folder.
        size: bytes, as found when the build was planned.
        mtime_ns: time of the last change, likewise.
        frames: frames a clip for the attributes.
        segments: in the sheet's order.
    """

    path: str
    size: int
    mtime_ns: int
    frames: int
    segments: tuple[Segment, ...]

    def key(self) -> str:
        """Names this unit in the journal; another file, sheet row or setting gives another key."""
        return hashlib.sha256(repr(self).encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class Prepared:
    """What is known of a clip before it has its place in a shard.

    Attributes:
        row: of the label sheet.
        id: clip id.
        verbatim: whether the source file itself is the clip; else it stands in the staging folder.
        size: bytes of the MP4.
        sha256: of the MP4.
        width, height, fps, num_frames, duration, has_audio: as in `Clip`.
        brightness, colorfulness, hue: as in `Clip`.
    """

    row: int
    id: str
    verbatim: bool
    size: int
    sha256: str
    width: int
    height: int
    fps: float
    num_frames: int
    duration: float
    has_audio: bool
    brightness: float
    colorfulness: float
    hue: float | None

    def staged_name(self) -> str:
        """File name in the staging folder, for a clip that is not verbatim."""
        return f"{self.id}.mp4"


@dataclass(frozen=True, slots=True)
class Refused:
    """A segment that cannot be made, and why."""

    row: int
    reason: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a unit."""

    key: str
    clips: tuple[Prepared, ...]
    refused: tuple[Refused, ...]

    def to_record(self) -> dict[str, Any]:
        """Plain data for the journal."""
        return asdict(self)

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> Outcome:
        """The outcome of a journal line."""
        return cls(
            key=record["key"],
            clips=tuple(Prepared(**clip) for clip in record["clips"]),
            refused=tuple(Refused(**refused) for refused in record["refused"]),
        )


def plan_units(raw: Path, labels: Iterable[Label], frames: int) -> Iterator[Unit]:
    """Group the rows of the sheet by source file, long films in several units."""
    by_path: dict[str, list[Label]] = {}
    for label in labels:
        by_path.setdefault(label.path, []).append(label)
    for path, rows in by_path.items():
        status = (raw / path).stat()
        segments = [Segment(row.row, row.content_type, row.start, row.end) for row in rows]
        segments.sort(key=lambda segment: (segment.start or 0.0, segment.row))
        for first in range(0, len(segments), SEGMENTS_PER_UNIT):
            piece = tuple(segments[first : first + SEGMENTS_PER_UNIT])
            yield Unit(path, status.st_size, status.st_mtime_ns, frames, piece)


def prepare(unit: Unit, raw: Path, staging: Path) -> Outcome:
    """Do a unit's work.

    Args:
        unit: what to do.
        raw: folder of the source files.
        staging: folder that transcoded clips are written to, each under a temporary name first.

    Returns:
        The clips made and those refused; a broken source never raises.

    Raises:
        OSError: the staging folder cannot be written.
    """
    clips: list[Prepared] = []
    refused: list[Refused] = []
    source = raw / unit.path
    try:
        digest = _source_digest(source, unit.size, unit.mtime_ns)
        reader = Reader(source)
    except (VideoError, OSError) as error:
        reason = _reason(error)
        return Outcome(unit.key(), (), tuple(Refused(segment.row, reason) for segment in unit.segments))
    with reader:
        for segment in unit.segments:
            try:
                clips.append(_prepare_segment(unit, segment, reader, digest, source, staging))
            except VideoError as error:
                refused.append(Refused(segment.row, str(error)))
            except av.FFmpegError as error:
                if error.errno in _OF_THE_DISK:
                    # a plain OSError: PyAV's own do not survive the way from process to process
                    raise OSError(error.errno, os.strerror(error.errno), str(staging)) from None
                refused.append(Refused(segment.row, f"cannot be encoded: {error.strerror}"))
    return Outcome(unit.key(), tuple(clips), tuple(refused))


def _prepare_segment(
    unit: Unit, segment: Segment, reader: Reader, digest: Any, source: Path, staging: Path
) -> Prepared:
    identity = clip_id(segment.content_type, digest, segment.start, segment.end)
    whole = segment.start is None
    if segment.end is not None:
        # half a frame of grace: a film's end is often noted as its rounded duration
        limit = reader.info.duration + 0.5 / reader.info.fps
        if segment.end > limit:
            raise VideoError(
                f"the segment ends at {segment.end} s, beyond the film's end at {reader.info.duration:.3f} s"
            )
    if whole and reader.nonconforming() is None:
        sample, rotation = sample_for_attributes(reader, unit.frames)
        if not rotation:
            return _record(segment, identity, True, digest.hexdigest(), unit.size, reader, sample)
    target = staging / f"{identity}.mp4"
    temporary = staging / f".{identity}.{os.getpid()}.tmp"
    try:
        transcode(reader, temporary, start=segment.start, end=segment.end)
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
            sha256 = _digest_of(file).hexdigest()
        size = temporary.stat().st_size
        with Reader(temporary) as made:
            sample, _ = sample_for_attributes(made, unit.frames)
            record = _record(segment, identity, False, sha256, size, made, sample)
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)
    return record


def _record(
    segment: Segment, identity: str, verbatim: bool, sha256: str, size: int, reader: Reader, sample: Any
) -> Prepared:
    info = reader.info
    visual = attributes.attributes(sample)
    return Prepared(
        row=segment.row,
        id=identity,
        verbatim=verbatim,
        size=size,
        sha256=sha256,
        width=info.width,
        height=info.height,
        fps=round(info.fps, 6),
        num_frames=info.num_frames,
        duration=round(info.duration, 6),
        has_audio=info.has_audio,
        brightness=visual.brightness,
        colorfulness=visual.colorfulness,
        hue=visual.hue,
    )


@lru_cache(maxsize=2)
def _source_digest(source: Path, size: int, mtime_ns: int) -> Any:
    """The hash object of a file; size and time are part of the key, so that a changed file is read anew."""
    with source.open("rb") as file:
        return _digest_of(file)


def _digest_of(file: IO[bytes]) -> Any:
    digest = hashlib.sha256()
    while block := file.read(1 << 20):
        digest.update(block)
    return digest


def _reason(error: Exception) -> str:
    if isinstance(error, OSError):
        return f"cannot be read: {error.strerror or type(error).__name__}"
    return str(error)
