"""Write shards of a finished build again: without some clips, or with other labels; the videos stay."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import asdict, dataclass
from typing import Any

from emovid_dataset.builder.commit import waiting
from emovid_dataset.builder.prepare import WORK_FOLDER
from emovid_dataset.builder.proxy_shards import proxy_without
from emovid_dataset.builder.shards import ShardSample, texts_of, write_shard
from emovid_dataset.engine import Failure, Part, Record, Stage
from emovid_dataset.read.proxies import read_proxies
from emovid_dataset.read.shard import read_samples
from emovid_dataset.schema.clip import Clip
from emovid_dataset.schema.manifest import Manifest, ShardRecord
from emovid_dataset.schema.no_emotion import ClipWithoutEmotion
from emovid_dataset.schema.proxies import ProxyShard
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
    """A shard to be written again, and its proxies."""

    change: ShardChange
    proxies: tuple[ProxyShard, ...] = ()

    @classmethod
    def of(cls, change: ShardChange, proxies: tuple[ProxyShard, ...] = ()) -> RewritePart:
        """The part of a change; another change of the same shard is another part."""
        replaced = sorted((change.replaced or {}).items())
        digest = hashlib.sha256(repr((change.shard, sorted(change.dropped), replaced, proxies)).encode())
        return cls(digest.hexdigest()[:32], 1, float(change.shard.size), change, proxies)


class RewriteStage(Stage[RewritePart, None]):
    """Writes shards again, and their proxies, to wait beside the build until they take their places.

    Its records are those of `shards.write_shard`, and the fields of each `ProxyShard` as `proxy`.

    Its records are those of `shards.write_shard`.

    Args:
        build: holds the shards.
        manifest: of the build.
        changes: of the shards that keep at least one clip.
    """

    name, unit, ledger = "rewrite", "shards", f"{WORK_FOLDER}/rewritten"

    def __init__(self, build: Store, manifest: Manifest, changes: Sequence[ShardChange]) -> None:
        self.build, self.manifest, self.changes = build, manifest, tuple(changes)
        self.proxies = [one.of(change.shard for change in self.changes) for one in read_proxies(build)]

    def parts(self, store: Store) -> Iterator[RewritePart]:
        """The shards, in the order in which they were given."""
        for change in self.changes:
            path = change.shard.path
            yield RewritePart.of(change, tuple(made[path] for made in self.proxies if path in made))

    def run(self, state: None, part: RewritePart, store: Store) -> Iterator[Record]:
        """Write one."""
        shard = part.change.shard
        with self.build.open(shard.path) as file:
            samples = self._samples(file, part.change)
            first, *clips = write_shard(
                waiting(store),
                shard.path,
                shard.content_type,
                shard.split,
                samples,
                features=self.manifest.features,
            )
        yield first
        yield from clips
        new, labels = ShardRecord(**first["shard"]), self._labels(part.change)
        for proxy in part.proxies:
            # of a damaged one nothing is kept: it goes with the commit, and `emovid proxy` makes it anew
            with suppress(ValueError, FileNotFoundError):
                done = proxy_without(self.build, proxy, new, part.change.dropped, labels, waiting(store))
                yield {"proxy": asdict(done)}

    def refuse(self, part: RewritePart, failure: Failure) -> None:
        """Nothing can stand for a shard that cannot be read."""
        return None

    def is_whole(self, part: RewritePart, records: Iterable[Record], store: Store) -> bool:
        """Whether the shard still waits."""
        files = [record.get("shard") or record["proxy"] for record in records if "clip" not in record]
        place = waiting(store)
        return all(place.exists(file["path"]) and place.size(file["path"]) == file["size"] for file in files)

    def _labels(self, change: ShardChange) -> dict[str, dict[str, bytes]]:
        """The members json, txt and cls of the clips that have others now."""
        clips = {
            key: clip_of(json.loads(line), self.manifest) for key, line in (change.replaced or {}).items()
        }
        return {key: dict(texts_of(clip, self.manifest.features)) for key, clip in clips.items()}

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
