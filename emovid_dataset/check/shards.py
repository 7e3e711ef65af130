"""Check the shards of a build: hashes, members, JSON types, and on demand whether the clips decode."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import IO, Any, cast

from emovid_dataset.check.decoding import check_clip
from emovid_dataset.check.proxies import SampleLabels, check_proxy
from emovid_dataset.engine import Failure, FailureKind, Part, Record, Stage
from emovid_dataset.media.attributes import EVERY
from emovid_dataset.read.shard import HashedReader, read_samples
from emovid_dataset.schema.clip import Clip
from emovid_dataset.schema.manifest import Manifest, ShardRecord
from emovid_dataset.schema.no_emotion import NONE, ClipWithoutEmotion
from emovid_dataset.schema.proxies import ProxySet, ProxyShard
from emovid_dataset.store import Store


@dataclass(frozen=True, slots=True)
class ShardPart(Part):
    """A shard to be checked."""

    shard: ShardRecord

    @classmethod
    def of(cls, shard: ShardRecord) -> ShardPart:
        """The part of a shard."""
        return cls(hashlib.sha256(shard.path.encode()).hexdigest()[:32], 1, float(shard.size), shard)


class VerifyStage(Stage[ShardPart, None]):
    """Checks every shard against the manifest.

    Its records are lines as `found`, others that are no violations as `notes`, and every sound clip's fields
    as `clip` with `offset` and `size` and whether it was `decoded`; each names its `shard`.

    Args:
        build: what is checked.
        manifest: of the build.
        shards: those of the manifest that are checked.
        share: of the clips that are decoded whole and compared with what they claim, 0..1; see `is_sampled`.
        proxies: of the build; each is checked with its shard.
    """

    name, unit, ledger = "verify", "shards", "found"
    leaves_only_records = True

    def __init__(
        self,
        build: Store,
        manifest: Manifest,
        shards: tuple[ShardRecord, ...],
        share: float,
        proxies: Sequence[ProxySet] = (),
    ) -> None:
        self.build, self.manifest, self.shards, self.share = build, manifest, shards, share
        self.proxies = [one.of(shards) for one in proxies]

    def parts(self, store: Store) -> Iterator[ShardPart]:
        """The shards, in the manifest's order; each path once."""
        yield from (ShardPart.of(shard) for shard in {shard.path: shard for shard in self.shards}.values())

    def run(self, state: None, part: ShardPart, store: Store) -> Iterator[Record]:
        """Check one."""
        path = part.shard.path
        proxies = [made[path] for made in self.proxies if path in made]
        yield from check_shard(part.shard, self.build, self.manifest, share=self.share, proxies=proxies)

    def refuse(self, part: ShardPart, failure: Failure) -> list[Record]:
        """A shard whose check fails for itself is a violation; the others are checked."""
        crashed = failure.kind is FailureKind.CRASHED
        reason = "makes the decoder crash" if crashed else f"{failure.type}: {failure.reason}"
        return [{"shard": part.shard.path, "found": [f"{part.shard.path}: {reason}"]}]


def check_shard(
    shard: ShardRecord,
    build: Store,
    manifest: Manifest,
    *,
    share: float = 0.0,
    proxies: Iterable[ProxyShard] = (),
) -> Iterator[Record]:
    """Check one shard against the manifest's record.

    Args:
        shard: of the manifest.
        build: the build.
        manifest: of the build.
        share: of the clips that are decoded whole, 0..1.
        proxies: of the shard.

    Yields:
        Records of `VerifyStage`.
    """
    path = shard.path

    def found(line: str) -> Record:
        return {"shard": path, "found": [f"{path}: {line}"]}

    lines: list[str] = []
    samples: list[SampleLabels] = []
    try:
        if not build.exists(path):
            yield found("is missing")
            return
        count = 0
        with build.open(path) as file:
            read = HashedReader(file)
            try:
                for key, members, offset in read_samples(cast(IO[bytes], read)):
                    count += 1
                    samples.append(SampleLabels.of(key, members))
                    try:
                        values = _check_sample(key, members, shard, manifest)
                    except ValueError as error:
                        lines.append(f"{key}: {error}")
                        continue
                    is_decoded = is_sampled(key, share)
                    if is_decoded:
                        seen = check_clip(values, members["mp4"], manifest.every or EVERY)
                        lines += [f"{key}: {line}" for line in seen.wrong]
                        for line in seen.notes:
                            yield {"shard": path, "notes": [f"{path}: {key}: {line}"]}
                    place = {"offset": offset, "size": len(members["mp4"])}
                    yield {"shard": path, "clip": values, **place, "decoded": is_decoded}
            except ValueError as error:
                if isinstance(error.__cause__, OSError):
                    raise error.__cause__ from None
                lines.append(str(error))
            while read.read(1 << 20):
                pass
        if read.size != shard.size:
            yield found(f"has {read.size} bytes, the manifest says {shard.size}")
        if (digest := read.sha256.hexdigest()) != shard.sha256:
            yield found(f"sha256 is {digest}, the manifest says {shard.sha256}")
        if count != shard.samples:
            lines.append(f"has {count} samples, the manifest says {shard.samples}")
        yield from map(found, lines)
    except OSError as error:
        yield from map(found, [*lines, f"cannot be read: {error.strerror or error}"])
        return
    for proxy in proxies:
        decoded = {sample.key for sample in samples if is_sampled(sample.key, share)}
        for line in check_proxy(proxy, build, samples, decoded):
            yield {"shard": path, "found": [f"{proxy.path}: {line}"]}


def is_sampled(key: str, share: float) -> bool:
    """Whether a clip is among those that are decoded: the same ones each time, and more of a larger share.

    Args:
        key: its id.
        share: of all clips, 0..1.

    >>> [is_sampled("sticker-0123456789abcdef", share) for share in (0.0, 1.0)]
    [False, True]
    """
    drawn = int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big")
    return drawn < share * 2**64


def _check_sample(
    key: str, members: dict[str, bytes], shard: ShardRecord, manifest: Manifest
) -> dict[str, Any]:
    try:
        values = json.loads(members["json"])
    except ValueError as error:
        raise ValueError(f"json is not JSON: {error}") from error
    if not isinstance(values, dict):
        raise ValueError("json is not an object")
    clip: Clip | ClipWithoutEmotion
    if shard.split == NONE:
        clip = ClipWithoutEmotion.from_mapping(values, features=manifest.features, taxonomy=manifest.taxonomy)
    else:
        clip = manifest.clip(values)
    if clip.id != key:
        raise ValueError(f"json has the id {clip.id}")
    if clip.content_type != shard.content_type:
        raise ValueError(f"is a {clip.content_type} in a shard of {shard.content_type}")
    if members["txt"] != clip.caption.encode():
        raise ValueError("txt is not the caption")
    if members["cls"] != str(clip.label).encode():
        raise ValueError(f"cls is {members['cls']!r}, the emotion's index is {clip.label}")
    if hashlib.sha256(members["mp4"]).hexdigest() != clip.sha256:
        raise ValueError("the MP4's sha256 is not the one in the json")
    return values
