"""Write WebDataset shards.

A sample is four members, adjacent, always all four::

    sticker-0123456789abcdef.mp4    H.264, yuv420p
    sticker-0123456789abcdef.json   Clip.to_json()
    sticker-0123456789abcdef.txt    caption
    sticker-0123456789abcdef.cls    label index, -1 for no specific emotion
"""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from typing import IO, Any

from emovid_dataset.builder.laid import PlacedClip
from emovid_dataset.builder.plan import Plan
from emovid_dataset.builder.prepare import WORK_FOLDER
from emovid_dataset.engine import Part, Record, Stage
from emovid_dataset.schema.clip import Clip
from emovid_dataset.schema.features import FEATURES, FeatureType
from emovid_dataset.schema.manifest import ShardRecord
from emovid_dataset.schema.no_emotion import ClipWithoutEmotion
from emovid_dataset.store import Store

_BLOCK = tarfile.BLOCKSIZE


@dataclass(frozen=True, slots=True)
class ShardSample:
    """A clip to be written.

    Attributes:
        clip: its fields.
        size: bytes of its MP4.
        video: opens its MP4.
    """

    clip: Clip | ClipWithoutEmotion
    size: int
    video: Callable[[], AbstractContextManager[IO[bytes]]]


def write_shard(
    out: Store,
    path: str,
    content_type: str,
    split: str,
    samples: Iterable[ShardSample],
    *,
    features: Mapping[str, FeatureType] = FEATURES,
) -> Iterator[Record]:
    """Write a shard, whole or not at all.

    Args:
        out: the build.
        path: name of the shard in it.
        content_type: of all its clips.
        split: of all its clips.
        samples: in the order in which they are written.
        features: of the build, the keys of the JSON members.

    Yields:
        When it is written: the fields of `ShardRecord` as `shard`; then for every clip its fields as `clip`,
        and the `offset` and `size` of its MP4 in the shard.

    Raises:
        OSError: the build cannot be written, or its disk is full.
        ValueError: a clip's file is not the one that was prepared.
    """
    rows: list[Record] = []
    with out.create(path) as file:
        sink = HashingWriter(file)
        with tarfile.open(fileobj=sink, mode="w|", format=tarfile.USTAR_FORMAT, bufsize=1 << 18) as tar:
            offset = 0
            for sample in samples:
                _add_video(tar, sample)
                clip = sample.clip.to_mapping(features)
                rows.append({"clip": clip, "offset": offset + _BLOCK, "size": sample.size})
                offset += padded_size(sample.size)
                for name, data in texts_of(sample.clip, features):
                    tar.addfile(member_header(f"{sample.clip.id}.{name}", len(data)), io.BytesIO(data))
                    offset += padded_size(len(data))
    record = ShardRecord(path, content_type, split, len(rows), sink.size, sink.digest.hexdigest())
    yield {"shard": asdict(record)}
    yield from rows


def _add_video(tar: tarfile.TarFile, sample: ShardSample) -> None:
    with sample.video() as video:
        source = _HashingReader(video)
        try:
            tar.addfile(member_header(f"{sample.clip.id}.mp4", sample.size), source)
        except OSError as error:
            if "unexpected end of data" in str(error):
                raise _changed(sample.clip) from error
            raise
    if source.digest.hexdigest() != sample.clip.sha256:
        raise _changed(sample.clip)


def _changed(clip: Clip | ClipWithoutEmotion) -> ValueError:
    return ValueError(f"the file of {clip.id} ({clip.source}) changed while the build ran")


@dataclass(frozen=True, slots=True)
class WritePart(Part):
    """A shard to be written."""

    path: str = ""
    content_type: str = ""
    split: str = ""
    clips: tuple[PlacedClip, ...] = ()

    @classmethod
    def of(
        cls,
        path: str,
        content_type: str,
        split: str,
        clips: tuple[PlacedClip, ...],
    ) -> WritePart:
        """The part of a shard; another content gives another key."""
        digest = hashlib.sha256(path.encode())
        for laid in clips:
            digest.update(laid.line.encode())
        size = sum(laid.size for laid in clips)
        return cls(digest.hexdigest()[:32], 1, float(size), path, content_type, split, clips)


class WriteStage(Stage[WritePart, None]):
    """Writes every shard of the plan.

    Args:
        raw: where the source files are.
        plan: holds the shards; it stays in this process.
    """

    name, unit, ledger = "write", "shards", f"{WORK_FOLDER}/written"

    def __init__(self, raw: Store, plan: Plan) -> None:
        self.raw, self.plan, self.features = raw, plan, plan.features

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "plan": None}

    def parts(self, store: Store) -> Iterator[WritePart]:
        """The shards, in the order of content types, splits and numbers."""
        for number, path, content_type, split in self.plan.shards():
            yield WritePart.of(path, content_type, split, self.plan.laid(number))

    def run(self, state: None, part: WritePart, store: Store) -> Iterator[Record]:
        """Write one."""
        yield from self.write(part, store, store)

    def write(self, part: WritePart, store: Store, out: Store) -> Iterator[Record]:
        """Write a shard.

        Args:
            part: the shard.
            store: the build, which holds the transcoded clips.
            out: where the shard goes.
        """

        def sample(laid: PlacedClip) -> ShardSample:
            held = self.raw if laid.verbatim else store
            return ShardSample(laid.clip, laid.size, lambda: held.open(laid.video))

        samples = (sample(laid) for laid in part.clips)
        yield from write_shard(out, part.path, part.content_type, part.split, samples, features=self.features)

    def is_whole(self, part: WritePart, records: Iterable[Record], store: Store) -> bool:
        """Whether the shard is still there."""
        shard = next(iter(records))["shard"]
        return store.exists(part.path) and store.size(part.path) == shard["size"]


def texts_of(
    clip: Clip | ClipWithoutEmotion, features: Mapping[str, FeatureType]
) -> tuple[tuple[str, bytes], ...]:
    """The members json, txt and cls of a clip, by name."""
    return (
        ("json", clip.to_json(features).encode()),
        ("txt", clip.caption.encode()),
        ("cls", str(clip.label).encode()),
    )


def member_header(name: str, size: int) -> tarfile.TarInfo:
    """The header of a shard's member: no date and no owner, so that the same bytes give the same shard."""
    info = tarfile.TarInfo(name)
    info.size = size
    info.mode = 0o644
    return info


def padded_size(size: int) -> int:
    """Bytes that a member of this size takes in a tar, with its header."""
    return _BLOCK + -(-size // _BLOCK) * _BLOCK


class HashingWriter(io.RawIOBase):
    """A file that is hashed as it is written.

    Args:
        file: takes the bytes.

    Attributes:
        digest: sha256 of them.
        size: how many there are.
    """

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
