"""Write one damaged shard again, of what is sound of it and of the source files, or fetch it."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import IO, Any

from emovid_dataset import __version__
from emovid_dataset.builder.commit import NEXT_FOLDER, take_place, waiting
from emovid_dataset.builder.join import crop_of
from emovid_dataset.builder.prepare import WORK_FOLDER, Prepared, Segment, Unit, prepare
from emovid_dataset.builder.rewrite import clip_of
from emovid_dataset.builder.shards import ShardSample, write_shard
from emovid_dataset.engine import Failure, Part, Record, Stage
from emovid_dataset.media.attributes import EVERY
from emovid_dataset.media.video_settings import VideoSettings
from emovid_dataset.schema.manifest import Manifest, ShardRecord
from emovid_dataset.store import Store


@dataclass(frozen=True, slots=True)
class MendPart(Part):
    """A shard to be mended.

    Attributes:
        shard: of the manifest.
        clips: what its metadata table says of each clip, in order.
        sources: paths of files in the raw store that a clip may be made of, by its id.
    """

    shard: ShardRecord
    clips: Sequence[Record] = ()
    sources: Mapping[str, Sequence[str]] | None = None

    @classmethod
    def of(
        cls,
        shard: ShardRecord,
        clips: Sequence[Record] = (),
        sources: Mapping[str, Sequence[str]] | None = None,
    ) -> MendPart:
        """The part of a shard."""
        key = hashlib.sha256(repr((shard, sorted((sources or {}).items()))).encode()).hexdigest()[:32]
        return cls(key, 1, float(shard.size), shard, clips, sources)


class MendStage(Stage[MendPart, None]):
    """Mends shards. Its records are the `path` of each, and why it could not be mended as `wrong`, or None.

    Args:
        build: holds the shards.
        manifest: of the build.
        parts_: the shards.
        raw: where the source files are; None where there are none.
        repo: a Hub repo with the same build, or another copy of it; None where there is none.
    """

    name, unit, ledger = "repair", "shards", f"{WORK_FOLDER}/mended"

    def __init__(
        self,
        build: Store,
        manifest: Manifest,
        parts_: Sequence[MendPart],
        *,
        raw: Store | None = None,
        repo: Store | None = None,
    ) -> None:
        self.build, self.manifest, self._parts, self.raw, self.repo = build, manifest, parts_, raw, repo

    def parts(self, store: Store) -> Iterator[MendPart]:
        """The shards, in the order of the manifest."""
        yield from self._parts

    def run(self, state: None, part: MendPart, store: Store) -> Iterator[Record]:
        """Mend one."""
        path = part.shard.path
        try:
            self._fetch(part.shard, store) if self.repo is not None else self._rebuild(part, store)
        except ValueError as error:
            yield {"path": path, "wrong": str(error)}
        else:
            yield {"path": path, "wrong": None}

    def refuse(self, part: MendPart, failure: Failure) -> list[Record]:
        """A shard that cannot be mended leaves the others to be."""
        return [{"path": part.shard.path, "wrong": failure.summary}]

    def is_whole(self, part: MendPart, records: Iterable[Record], store: Store) -> bool:
        """What is damaged now was not mended, whatever an earlier run has noted."""
        return False

    def _fetch(self, shard: ShardRecord, store: Store) -> None:
        assert self.repo is not None
        digest, size = hashlib.sha256(), 0
        try:
            # by a copy, which is fetched again where the connection breaks off
            with (
                self.repo.local(shard.path) as copy,
                copy.open("rb") as source,
                store.create(shard.path) as target,
            ):
                while block := source.read(1 << 20):
                    size += len(block)
                    digest.update(block)
                    target.write(block)
                if digest.hexdigest() != shard.sha256:  # so that nothing takes the shard's place
                    raise ValueError(
                        f"{self.repo.name} has another file of that name: {size} bytes with sha256 "
                        f"{digest.hexdigest()}, the manifest says {shard.size} and {shard.sha256}"
                    )
        except FileNotFoundError as error:
            raise ValueError(f"{self.repo.name} does not have it") from error

    def _rebuild(self, part: MendPart, store: Store) -> None:
        shard = part.shard
        samples = (self._sample(record, part, store) for record in part.clips)
        written = write_shard(
            waiting(store),
            shard.path,
            shard.content_type,
            shard.split,
            samples,
            features=self.manifest.features,
        )
        record = ShardRecord(**next(iter(written))["shard"])
        if record != shard:
            made = f"{self.manifest.version} of this package wrote it, this is {__version__}"
            raise ValueError(
                f"comes out with sha256 {record.sha256}, the manifest says {shard.sha256}; its videos are "
                f"right, so its labels are other ones than the metadata says, or version {made}"
            )
        take_place(store, f"{NEXT_FOLDER}/{shard.path}", shard.path)

    def _sample(self, record: Record, part: MendPart, store: Store) -> ShardSample:
        clip = clip_of(record["clip"], self.manifest)
        size, start = int(record["size"]), int(record["offset"])
        video = self._left(part.shard.path, start, size)
        if hashlib.sha256(video).hexdigest() == clip.sha256:
            return ShardSample(clip, size, lambda: nullcontext(io.BytesIO(video)))
        sources = (part.sources or {}).get(clip.id, ())
        if self.raw is None:
            raise ValueError(f"{clip.id} is damaged; give --from RAW, or --repo NAME")
        why = f"no file of {self.raw.name} is its source {clip.source!r}"
        for path in sources:
            opened, why = self._made(path, record["clip"], clip.sha256, store)
            if opened is not None:
                return ShardSample(clip, size, opened)
        raise ValueError(f"{clip.id} is damaged, and {why}")

    def _left(self, path: str, start: int, size: int) -> bytes:
        """What stands in a clip's place in the damaged shard, as far as it is there."""
        if not self.build.exists(path) or self.build.size(path) < start + size:
            return b""
        return self.build.range(path, start, start + size)

    def _made(
        self, path: str, row: Mapping[str, Any], sha256: str, store: Store
    ) -> tuple[Callable[[], AbstractContextManager[IO[bytes]]] | None, str]:
        """Make a clip of its source again; why not, where that gives other bytes."""
        assert self.raw is not None
        try:
            crop = crop_of(row["extra"])
            segment = Segment(row["content_type"], row["start"], row["end"], crop)
            unit = Unit(path, self.raw.size(path), self.raw.version(path), (segment,))
        except FileNotFoundError:
            return None, f"its source {path} is missing"
        video = VideoSettings(**self.manifest.video)
        made = next(iter(prepare(unit, self.raw, store, self.manifest.every or EVERY, video)))
        if made["clip"] is None:
            return None, f"its source {path} {made['refused']}"
        clip = Prepared(**made["clip"])
        if clip.id != row["id"]:
            return None, f"its source {path} is another file now"
        if clip.sha256 != sha256:
            return (
                None,
                f"its source {path} gives other bytes here: FFmpeg or x264 has another version",
            )
        if clip.verbatim:
            return partial(self.raw.open, path), ""
        return partial(store.open, clip.staged_name()), ""
