"""Check the proxies of a build: that they are of its shards as they are now, whole, and of the same clips."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import IO, cast

from emovid_dataset.media.portable.errors import VideoError
from emovid_dataset.media.source import Reader
from emovid_dataset.read.shard import HashedReader, read_samples
from emovid_dataset.schema.manifest import Manifest
from emovid_dataset.schema.proxies import PROXIES_NAME, PROXY_FOLDER, PROXY_MEMBERS, ProxySet, ProxyShard
from emovid_dataset.store import Store

_LABELS = ("json", "txt", "cls")
_MADE = PROXY_MEMBERS[-1]


@dataclass(frozen=True, slots=True)
class SampleLabels:
    """What a proxy's sample has in common with its original.

    Attributes:
        key: of the sample.
        digest: sha256 over the members json, txt and cls.
    """

    key: str
    digest: bytes

    @classmethod
    def of(cls, key: str, members: Mapping[str, bytes]) -> SampleLabels:
        """Those of a sample."""
        digest = hashlib.sha256()
        for name in _LABELS:
            digest.update(b"%d " % len(members[name]) + members[name])
        return cls(key, digest.digest())


def check_proxy(
    proxy: ProxyShard, build: Store, samples: Sequence[SampleLabels], decoded: Collection[str]
) -> Iterator[str]:
    """Check the proxy of one shard.

    Args:
        proxy: of the build's list.
        build: the build.
        samples: of the shard, in order.
        decoded: keys of the clips that are decoded whole.

    Yields:
        What is wrong, a line each.
    """
    if not build.exists(proxy.path):
        yield "is missing; run `emovid proxy`"
        return
    lines: list[str] = []
    found: list[SampleLabels] = []
    with build.open(proxy.path) as file:
        read = HashedReader(file)
        try:
            for key, members, _ in read_samples(cast(IO[bytes], read), PROXY_MEMBERS):
                found.append(SampleLabels.of(key, members))
                lines += [f"{key}: {line}" for line in _wrong_with(members, decode=key in decoded)]
        except ValueError as error:
            if isinstance(error.__cause__, OSError):
                raise error.__cause__ from None
            lines.append(str(error))
        while read.read(1 << 20):
            pass
    if read.sha256.hexdigest() != proxy.sha256:
        yield f"sha256 is {read.sha256.hexdigest()}, {PROXIES_NAME} says {proxy.sha256}; run `emovid proxy`"
    elif [sample.key for sample in found] != [sample.key for sample in samples]:
        yield f"holds other clips than {proxy.source}, or in another order"
    else:
        for ours, theirs in zip(found, samples, strict=True):
            if ours != theirs:
                yield f"{ours.key}: its labels are not those of {proxy.source}"
    yield from lines


def _wrong_with(members: Mapping[str, bytes], *, decode: bool) -> Iterator[str]:
    """What is wrong with a sample by itself."""
    try:
        made, clip = json.loads(members[_MADE]), json.loads(members["json"])
        sha256, frames = made["sha256"], clip["num_frames"]
    except (ValueError, KeyError, TypeError) as error:
        yield f"{_MADE} or json cannot be read: {error}"
        return
    if hashlib.sha256(members["mp4"]).hexdigest() != sha256:
        yield f"the MP4's sha256 is not the one in the {_MADE}"
    elif decode:
        try:
            with Reader(members["mp4"]) as reader:
                whole = reader.count_frames()
        except VideoError as error:
            yield f"the MP4 {error}"
            return
        if whole != frames:
            yield f"decodes to {whole} frames, the clip has {frames}"


def check_proxy_list(
    build: Store, manifest: Manifest, sets: Sequence[ProxySet]
) -> tuple[list[str], list[str]]:
    """Check which proxies there are.

    Args:
        build: the build.
        manifest: of the build.
        sets: of the build's list.

    Returns:
        What is wrong, and what is unusual, a line each.
    """
    found: list[str] = []
    notes: list[str] = []
    for one in sets:
        side, made = one.settings.short_side, one.of(manifest.shards)
        again = f"run `emovid proxy --short-side {side}`"
        for proxy in one.shards:
            if proxy.source not in made:
                found.append(f"{proxy.path}: is stale: {proxy.source} is another shard now, or gone; {again}")
        if len(one.shards) < len(manifest.shards):
            count = len(manifest.shards) - len(one.shards)
            notes.append(
                f"{PROXY_FOLDER}/{side}: {count} of {len(manifest.shards)} shards have no proxy; {again}"
            )
    named = {proxy.path for one in sets for proxy in one.shards} | {PROXIES_NAME}
    if build.has_listings:
        notes += [
            f"{name}: is not named by {PROXIES_NAME}; `emovid proxy` finishes what was interrupted"
            for name in build.list(PROXY_FOLDER)
            if name not in named
        ]
    return found, notes
