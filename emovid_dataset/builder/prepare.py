"""Prepare source files: hash, probe, transcode where needed, compute the attributes.

A `Unit` is one source file with segments that are cut from it. Units are shared out in parts of about the
same size. What becomes of each segment is a record in the ledger; transcoded clips wait in the staging folder
until they are written into shards.
"""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from functools import lru_cache
from itertools import groupby
from pathlib import Path
from typing import IO, Any

from emovid_dataset.builder.plan import Plan
from emovid_dataset.engine import Failure, FailureKind, Part, Record, Stage
from emovid_dataset.media.attributes import Attributes, measure
from emovid_dataset.media.compare import MadeClip
from emovid_dataset.media.crop import Crop
from emovid_dataset.media.encode import VERBATIM, Encoded
from emovid_dataset.media.encoding import Encoding
from emovid_dataset.media.source import Reader, VideoError, refuse_still_picture
from emovid_dataset.media.traits import Traits, Watch
from emovid_dataset.media.video_settings import USUAL, VideoSettings
from emovid_dataset.schema.clip import clip_id
from emovid_dataset.store import Store

WORK_FOLDER = ".build"
"""What is under way, in the build's store; it goes when the build is done."""

STAGING_FOLDER = f"{WORK_FOLDER}/clips"
"""Transcoded clips on their way into shards."""

SEGMENTS_PER_UNIT = 8
"""A film's segments are shared out in pieces of so many."""

SEGMENTS_PER_SLOW_UNIT = 64
"""Those of a film that must be decoded whole before any segment can be found, once for each piece."""

_SLOW = (".mpg", ".mpeg", ".avi")  # few timestamps are in these files

FILES_PER_PART = 64
BYTES_PER_PART = 256_000_000
LEAST_PARTS = 64
"""At most so many units in a part and, beyond its first unit, bytes; about so many parts at least."""

_OF_THE_DISK = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS, errno.EACCES))


@dataclass(frozen=True, slots=True)
class Segment:
    """One clip to be made: a stretch of the source file, None for the whole of it.

    Attributes:
        content_type: such as "movie".
        start, end: seconds in the file.
        crop: what is taken from the sides of its pictures, as `Crop.read` takes it; None for nothing.
    """

    content_type: str
    start: float | None
    end: float | None
    crop: str | None = None


@dataclass(frozen=True, slots=True)
class Unit:
    """A source file and clips to be made of it.

    Attributes:
        path: of the file in the raw store.
        size: bytes, as found when the build was planned.
        version: changes when the file does.
        segments: by time.
    """

    path: str
    size: int
    version: str
    segments: tuple[Segment, ...]

    def key(self, every: int, video: VideoSettings) -> str:
        """Names the work by the file and what is made of it, not by where it stands in the sheet."""
        return hashlib.sha256(repr((self, every, video)).encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class PreparePart(Part):
    """Units that one worker prepares in one go."""

    units: tuple[Unit, ...] = ()
    every: int = 20
    video: VideoSettings = USUAL

    @classmethod
    def of(cls, units: Iterable[Unit], every: int, video: VideoSettings) -> PreparePart:
        """The part with these units."""
        units = tuple(units)
        digest = hashlib.sha256("".join(unit.key(every, video) for unit in units).encode())
        rows, size = sum(len(unit.segments) for unit in units), float(sum(unit.size for unit in units))
        return cls(digest.hexdigest()[:32], rows, size, units, every, video)

    def halves(self) -> tuple[PreparePart, ...]:
        """Half of the units each, and of a single unit half of its segments."""
        if len(self.units) > 1:
            middle = len(self.units) // 2
            halves = (self.units[:middle], self.units[middle:])
            return tuple(self.of(half, self.every, self.video) for half in halves)
        unit = self.units[0]
        middle = len(unit.segments) // 2
        if not middle:
            return ()
        pieces = (unit.segments[:middle], unit.segments[middle:])
        return tuple(
            self.of([Unit(unit.path, unit.size, unit.version, piece)], self.every, self.video)
            for piece in pieces
        )


@dataclass(frozen=True, slots=True)
class Prepared:
    """What is known of a clip before it has its place in a shard.

    Attributes:
        id: clip id.
        verbatim: whether the source file itself is the clip; else it stands in the staging folder.
        size: bytes of the MP4.
        sha256: of the MP4.
        width, height, fps, num_frames, duration, has_audio: as in `Clip`.
        brightness, colorfulness, hue, luma, colorfulness_m3, hue_chroma: as in `Clip`.
        color: what was done to the colours; None where nothing was.
        damage: what of the source is damaged, and what stands in its place; None where nothing is.
        cut: start and end in the source, seconds, of a clip that was cut to the greatest length; else None.
        traits: the fields of `Traits`.
    """

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
    luma: float
    colorfulness_m3: float
    hue_chroma: float | None
    color: str | None = None
    damage: str | None = None
    cut: tuple[float, float] | None = None
    traits: dict[str, Any] | None = None

    def staged_name(self) -> str:
        """Name in the build's store of a clip that is not verbatim."""
        return f"{STAGING_FOLDER}/{self.id}.mp4"


class _Refusal(Exception):
    """A segment cannot be made; the message says why."""


def plan_units(plan: Plan, raw: Store, every: int, video: VideoSettings = USUAL) -> None:
    """Note in the plan what is to be made of every source file, long films in several units.

    Args:
        plan: holds the labels.
        raw: where the source files are.
        every: the attributes are computed on every such frame.
        video: what is made of the videos.
    """
    with plan.writing():
        for rows in plan.labels_by_path():
            path = rows[0].path
            size, version = raw.size(path), raw.version(path)
            segments = [Segment(row.content_type, row.start, row.end, row.crop_bars) for row in rows]
            together = SEGMENTS_PER_SLOW_UNIT if path.lower().endswith(_SLOW) else SEGMENTS_PER_UNIT
            for first in range(0, len(segments), together):
                unit = Unit(path, size, version, tuple(segments[first : first + together]))
                plan.add_unit(unit.key(every, video), path, size, asdict(unit))


def share_out(plan: Plan, every: int, video: VideoSettings = USUAL) -> Iterator[PreparePart]:
    """Group the plan's units into parts.

    A unit's own content says which part it is in: a new or changed file leaves nearly all other parts as they
    are, so that what was done for them still counts.
    """
    count, size = plan.unit_totals()
    wanted = max(size // BYTES_PER_PART, count // FILES_PER_PART, min(count, LEAST_PARTS), 1)
    for _, members in groupby(plan.units(1 << (wanted - 1).bit_length()), key=lambda entry: entry[0]):
        held: list[Unit] = []
        for _, values in members:
            segments = tuple(Segment(**segment) for segment in values.pop("segments"))
            unit = Unit(**values, segments=segments)
            full = len(held) == FILES_PER_PART or sum(u.size for u in held) + unit.size > BYTES_PER_PART
            if held and full:
                yield PreparePart.of(held, every, video)
                held = []
            held.append(unit)
        yield PreparePart.of(held, every, video)


class PrepareStage(Stage[PreparePart, None]):
    """Prepares every stretch that the plan's labels name.

    Args:
        raw: where the source files are.
        plan: holds the units; it stays in this process.
        every: the attributes are computed on every such frame.
        video: what is made of the videos.
    """

    name, unit, ledger = "prepare", "clips", f"{WORK_FOLDER}/prepared"

    def __init__(self, raw: Store, plan: Plan, every: int, video: VideoSettings = USUAL) -> None:
        self.raw, self.plan, self.every, self.video = raw, plan, every, video

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "plan": None}

    def parts(self, store: Store) -> Iterator[PreparePart]:
        """Units by their content."""
        yield from share_out(self.plan, self.every, self.video)

    def run(self, state: None, part: PreparePart, store: Store) -> Iterator[Record]:
        """Prepare the part's units; a file that is broken is refused and stops nothing."""
        for unit in part.units:
            yield from prepare(unit, self.raw, store, part.every, part.video)

    def refuse(self, part: PreparePart, failure: Failure) -> list[Record]:
        """Refuse the one segment that cannot be prepared whatever the circumstances."""
        if failure.kind is FailureKind.CRASHED:
            reason = "makes the decoder crash"
        else:
            reason = f"cannot be prepared: {failure.type}: {failure.reason}"
        unit = part.units[0]
        return [_refused(unit, segment, reason) for segment in unit.segments]

    def is_whole(self, part: PreparePart, records: Iterable[Record], store: Store) -> bool:
        """Whether the transcoded clips are still there."""
        for record in records:
            if record["clip"] is not None and not record["clip"]["verbatim"]:
                clip = Prepared(**record["clip"])
                name = clip.staged_name()
                if not store.exists(name) or store.size(name) != clip.size:
                    return False
        return True


def prepare(unit: Unit, raw: Store, out: Store, every: int, video: VideoSettings = USUAL) -> Iterator[Record]:
    """Do a unit's work.

    Args:
        unit: what to do.
        raw: where the source files are.
        out: the build; transcoded clips go into its staging folder.
        every: the attributes are computed on every such frame.
        video: what is made of the file.

    Yields:
        For every segment its path, content type, start and end, and either the fields of `Prepared` as `clip`
        or a reason as `refused`. A broken source never raises.

    Raises:
        OSError: the build cannot be written, or the raw store is out of reach.
        MemoryError: the machine is at its limit; that says nothing about the file.
    """
    with ExitStack() as stack:
        try:
            source = stack.enter_context(_source(raw, unit))
            with _refusing("cannot be read"):
                digest = _digest_of_source(source, unit.size, unit.version)
                reader = stack.enter_context(Reader(source))
                refuse_still_picture(reader)
        except _Refusal as refusal:
            yield from (_refused(unit, segment, str(refusal)) for segment in unit.segments)
            return
        for segment in unit.segments:
            try:
                clip = _prepare_segment(unit, segment, reader, digest, out, every, video)
            except _Refusal as refusal:
                yield _refused(unit, segment, str(refusal))
            else:
                yield {**_stretch(unit, segment), "clip": asdict(clip), "refused": None}


def _stretch(unit: Unit, segment: Segment) -> dict[str, Any]:
    return {"path": unit.path, "start": segment.start, "end": segment.end}


def _refused(unit: Unit, segment: Segment, reason: str) -> Record:
    return {**_stretch(unit, segment), "clip": None, "refused": reason}


@contextmanager
def _source(raw: Store, unit: Unit) -> Iterator[Path]:
    """The source file on this disk."""
    with ExitStack() as stack:
        try:
            path = stack.enter_context(raw.local(unit.path))
        except (FileNotFoundError, PermissionError) as error:
            raise _Refusal(f"cannot be read: {error.strerror or error}") from error
        yield path


@contextmanager
def _refusing(what: str, *, writing: bool = False) -> Iterator[None]:
    """Whatever a file's content raises is that file's refusal; what the machine raises is not.

    Args:
        what: begins the reason where the exception is not PyAV's or ours.
        writing: whether a full or broken disk may be what raised.
    """
    try:
        yield
    except (_Refusal, MemoryError):
        raise
    except VideoError as error:
        raise _Refusal(str(error)) from error
    except OSError as error:
        if error.errno == errno.ENOMEM or (writing and error.errno in _OF_THE_DISK):
            # a plain OSError: PyAV's own do not survive the way from process to process
            raise OSError(error.errno, os.strerror(error.errno)) from None
        raise _Refusal(f"{what}: {error.strerror or f'{type(error).__name__}: {error}'}") from error
    except Exception as error:
        raise _Refusal(f"{what}: {type(error).__name__}: {error}") from error


def _prepare_segment(
    unit: Unit,
    segment: Segment,
    reader: Reader,
    digest: Any,
    out: Store,
    every: int,
    video: VideoSettings,
) -> Prepared:
    watch = Watch()
    with _refusing("cannot be read"), watch.hearing(reader):
        refuse_beyond_end(segment, reader)
        cut = cut_to_length(segment, reader, video)
        start, end = (segment.start, segment.end) if cut is None else cut
        identity = clip_id(segment.content_type, digest, start, end)
        crop = None if segment.crop is None else Crop.read(segment.crop)
        encoding = Encoding.of(reader, video, is_whole=start is None, crop=crop)
        if encoding.takes_file:
            with watch.seeing(reader):
                visual, is_upright = measure(reader, every)
            if is_upright:
                whole = digest.hexdigest(), unit.size
                return _prepared(identity, True, *whole, reader, visual, watch.traits(), VERBATIM)
            encoding = encoding.after("pictures that are turned or mirrored")
    # PyAV cannot move the index to the front of an open file
    staged = out.create_local(f"{STAGING_FOLDER}/{identity}.mp4")
    with staged as path, _refusing("cannot be encoded", writing=True):
        while True:
            try:
                if encoding.refusal is not None:
                    raise _Refusal(encoding.refusal)
                with watch.hearing(reader):
                    done = encoding.write(reader, path, start, end)
                with path.open("rb") as file:
                    made_file = _digest_of(file).hexdigest(), path.stat().st_size
                with MadeClip(path) as made:
                    with watch.seeing(made):
                        visual, _ = measure(made, every)
                    encoding.check(reader, made, start, end)
                    return _prepared(identity, False, *made_file, made, visual, watch.traits(), done, cut)
            except VideoError as error:
                if not encoding.copies_pictures:
                    raise
                encoding = encoding.after(str(error))


def refuse_beyond_end(segment: Segment, reader: Reader) -> None:
    """Refuse a stretch that ends when its film has ended.

    Raises:
        VideoError: it does.
    """
    # half a frame of grace: a film's end is often noted as its rounded duration
    if segment.end is not None and segment.end > reader.info.duration + 0.5 / reader.info.fps:
        length = f"{reader.info.duration:.3f} s"
        raise VideoError(f"the segment ends at {segment.end} s, beyond the film's end at {length}")


def cut_to_length(segment: Segment, reader: Reader, video: VideoSettings) -> tuple[float, float] | None:
    """Start and end of what is left of a stretch that is longer than clips may be."""
    begin = segment.start or 0.0
    length = (reader.info.duration if segment.end is None else segment.end) - begin
    if video.max_seconds is None or length <= video.max_seconds + 0.5 / reader.info.fps:
        return None
    return begin, begin + video.max_seconds


def _prepared(
    identity: str,
    verbatim: bool,
    sha256: str,
    size: int,
    reader: Reader,
    visual: Attributes,
    traits: Traits,
    encoded: Encoded,
    cut: tuple[float, float] | None = None,
) -> Prepared:
    info = reader.info
    return Prepared(
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
        color=encoded.colours,
        damage=encoded.damage,
        cut=cut,
        traits=asdict(traits),
        **asdict(visual),
    )


@lru_cache(maxsize=2)
def _digest_of_source(source: Path, size: int, version: str) -> Any:
    """The hash object of a file; size and version are in the key, so that a changed file is re-read."""
    with source.open("rb") as file:
        return _digest_of(file)


def _digest_of(file: IO[bytes]) -> Any:
    digest = hashlib.sha256()
    while block := file.read(1 << 20):
        digest.update(block)
    return digest
