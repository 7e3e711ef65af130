"""Write shards of a finished build again: without some clips, or with other labels; the videos stay."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

from emovid_dataset.builder.commit import waiting
from emovid_dataset.builder.prepare import WORK_FOLDER
from emovid_dataset.builder.shards import ShardSample, write_shard
from emovid_dataset.engine import Failure, Part, Record, Stage
from emovid_dataset.read.shard import read_samples
from emovid_dataset.schema.clip import Clip
from emovid_dataset.schema.manifest import Manifest, ShardRecord
from emovid_dataset.schema.no_emotion import ClipWithoutEmotion
from emovid_dataset.store import Store


@dataclass(frozen=True, slots=True)
class ShardChange:
    """What changes in one shard.

    Attributes:
        shard: of the manifest.
        dropped: ids of the clips that leave it.
        replaced: JSON lines of the clips that stay with other fields, by id.
    """

    shard: ShardRecord
    dropped: frozenset[str] = frozenset()
    replaced: Mapping[str, str] | None = None

    @property
    def is_empty(self) -> bool:
        """Whether no clip stays in it."""
        return len(self.dropped) == self.shard.samples


@dataclass(frozen=True, slots=True)
class RewritePart(Part):
    """A shard to be written again."""

    change: ShardChange

    @classmethod
    def of(cls, change: ShardChange) -> RewritePart:
        """The part of a change; another change of the same shard is another part."""
        replaced = sorted((change.replaced or {}).items())
        digest = hashlib.sha256(repr((change.shard, sorted(change.dropped), replaced)).encode())
        return cls(digest.hexdigest()[:32], 1, float(change.shard.size), change)


class RewriteStage(Stage[RewritePart, None]):
    """Writes shards again, to wait beside the build until they take their places.

    Its records are those of `shards.write_shard`.

    Args:
        build: holds the shards.
        manifest: of the build.
        changes: of the shards that keep at least one clip.
    """

    name, unit, ledger = "rewrite", "shards", f"{WORK_FOLDER}/rewritten"

    def __init__(self, build: Store, manifest: Manifest, changes: Sequence[ShardChange]) -> None:
        self.build, self.manifest, self.changes = build, manifest, tuple(changes)

    def parts(self, store: Store) -> Iterator[RewritePart]:
        """The shards, in the order in which they were given."""
        yield from map(RewritePart.of, self.changes)

    def run(self, state: None, part: RewritePart, store: Store) -> Iterator[Record]:
        """Write one."""
        shard = part.change.shard
        with self.build.open(shard.path) as file:
            samples = self._samples(file, part.change)
            yield from write_shard(
                waiting(store),
                shard.path,
                shard.content_type,
                shard.split,
                samples,
                features=self.manifest.features,
            )

    def refuse(self, part: RewritePart, failure: Failure) -> None:
        """Nothing can stand for a shard that cannot be read."""
        return None

    def is_whole(self, part: RewritePart, records: Iterable[Record], store: Store) -> bool:
        """Whether the shard still waits."""
        shard = next(iter(records))["shard"]
        return waiting(store).exists(shard["path"]) and waiting(store).size(shard["path"]) == shard["size"]

    def _samples(self, file: Any, change: ShardChange) -> Iterator[ShardSample]:
        left, replaced = set(change.dropped), dict(change.replaced or {})
        for key, members, _ in read_samples(file):
            if key in left:
                left.remove(key)
                continue
            clip = clip_of(json.loads(replaced.pop(key, "") or members["json"]), self.manifest)
            video = members["mp4"]
            yield ShardSample(clip, len(video), lambda video=video: nullcontext(io.BytesIO(video)))  # type: ignore[misc]
        if left or replaced:
            missing = min([*left, *replaced])
            raise ValueError(f"{self.build.shown(change.shard.path)} is damaged: it does not hold {missing}")


def clip_of(row: Mapping[str, Any], manifest: Manifest) -> Clip | ClipWithoutEmotion:
    """A row of a build's JSON or Parquet as a clip, with or without an emotion.

    Raises:
        ValueError: as `Clip.from_mapping`.
    """
    if row.get("emotion") is None:
        return ClipWithoutEmotion.from_mapping(row, features=manifest.features, taxonomy=manifest.taxonomy)
    return manifest.clip(row)
