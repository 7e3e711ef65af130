"""Write the proxy of a shard: of its clips, or of an earlier proxy from which clips leave."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any, cast

from emovid_dataset.builder.prepare import WORK_FOLDER
from emovid_dataset.builder.shards import HashingWriter, member_header
from emovid_dataset.engine import Failure, Part, Record, Stage
from emovid_dataset.media.portable.errors import VideoError
from emovid_dataset.media.proxy import write_proxy
from emovid_dataset.read.shard import HashedReader, read_samples
from emovid_dataset.schema.manifest import ShardRecord
from emovid_dataset.schema.proxies import PROXY_MEMBERS, ProxySettings, ProxyShard, proxy_path
from emovid_dataset.store import Store

MADE = PROXY_MEMBERS[-1]
"""The member that says what became of a clip's MP4."""


@dataclass(frozen=True, slots=True)
class ProxyPart(Part):
    """A shard of which a proxy is to be made."""

    shard: ShardRecord

    @classmethod
    def of(cls, shard: ShardRecord, settings: ProxySettings) -> ProxyPart:
        """The part of a shard; another content or other settings give another key."""
        digest = _sha256(repr((shard, settings)).encode())
        return cls(digest[:32], shard.samples, float(shard.size), shard)


class ProxyStage(Stage[ProxyPart, None]):
    """Makes proxies of shards. Its records are the fields of `ProxyShard`, and `seconds` in which it did
    nothing but decode and encode.

    Args:
        build: holds the shards, and gets the proxies.
        shards: of the build's manifest.
        settings: of the proxies.
    """

    name, unit, ledger = "proxy", "clips", f"{WORK_FOLDER}/proxied"

    def __init__(self, build: Store, shards: Iterable[ShardRecord], settings: ProxySettings) -> None:
        self.build, self.shards, self.settings = build, tuple(shards), settings

    def parts(self, store: Store) -> Iterator[ProxyPart]:
        """The shards, in the order in which they were given."""
        yield from (ProxyPart.of(shard, self.settings) for shard in self.shards)

    def run(self, state: None, part: ProxyPart, store: Store) -> Iterator[Record]:
        """Make one."""
        proxy, seconds = make_proxy_shard(self.build, part.shard, self.settings)
        yield asdict(proxy)
        yield {"seconds": seconds}

    def refuse(self, part: ProxyPart, failure: Failure) -> None:
        """Nothing can stand for a shard that cannot be read."""
        return None

    def is_whole(self, part: ProxyPart, records: Iterable[Record], store: Store) -> bool:
        """Whether the proxy is still there."""
        proxy = next(iter(records))
        return self.build.exists(proxy["path"]) and self.build.size(proxy["path"]) == proxy["size"]


def make_proxy_shard(build: Store, shard: ShardRecord, settings: ProxySettings) -> tuple[ProxyShard, float]:
    """Make the proxy of a shard.

    Args:
        build: holds the shard, and gets the proxy.
        shard: of the build's manifest.
        settings: of the proxy.

    Returns:
        What is said of it, and the seconds for which clips were decoded and encoded.

    Raises:
        ValueError: the shard is damaged, or is another one than its record says.
        OSError: the build cannot be read or written.
    """
    path, seconds = proxy_path(shard.path, settings.short_side), 0.0
    with build.open(shard.path) as file, tempfile.TemporaryDirectory(prefix="emovid-proxy-") as scratch:
        source = HashedReader(file)
        with _shard_written(build, path) as out:
            for key, members, _ in read_samples(cast(IO[bytes], source)):
                begun = time.perf_counter()
                video, made = _made(members["mp4"], settings, Path(scratch, "proxy.mp4"))
                seconds += time.perf_counter() - begun
                out.add(key, {**members, "mp4": video}, made)
            while source.read(1 << 20):
                pass
            if source.sha256.hexdigest() != shard.sha256 or out.samples != shard.samples:
                raise ValueError(
                    f"{build.shown(shard.path)} is damaged: it is not the file that the manifest names; "
                    "see `emovid repair`"
                )
    return out.record(shard, path), seconds


def _made(clip: bytes, settings: ProxySettings, scratch: Path) -> tuple[bytes, dict[str, Any]]:
    """The MP4 of a clip's proxy, and what is said of it."""
    try:
        facts = write_proxy(clip, scratch, settings)
    except VideoError as error:
        # what a stream does of the clip itself it does of its proxy too
        return clip, {"copied": str(error), "sha256": _sha256(clip)}
    video = scratch.read_bytes()
    return video, {**asdict(facts), "psnr": round(facts.psnr, 3), "sha256": _sha256(video)}


def proxy_without(
    build: Store,
    proxy: ProxyShard,
    new: ShardRecord,
    dropped: Iterable[str],
    labels: Mapping[str, Mapping[str, bytes]],
    out: Store,
) -> ProxyShard:
    """Write a proxy again whose shard has lost clips or got other labels; no video is encoded.

    Args:
        build: holds the proxy as it is.
        proxy: of the shard as it was.
        new: the shard as it is now.
        dropped: ids of the clips that have left it.
        labels: the members json, txt and cls of clips that have others now, by id.
        out: gets the proxy.

    Raises:
        ValueError: the proxy is damaged.
    """
    gone = set(dropped)
    with build.open(proxy.path) as file, _shard_written(out, proxy.path) as written:
        source = HashedReader(file)
        for key, members in read_proxy_samples(cast(IO[bytes], source)):
            if key not in gone:
                made = json.loads(members.pop(MADE))
                written.add(key, {**members, **labels.get(key, {})}, made)
        while source.read(1 << 20):
            pass
        if source.sha256.hexdigest() != proxy.sha256 or written.samples != new.samples:
            raise ValueError(f"{build.shown(proxy.path)} is damaged")
    return written.record(new, proxy.path)


def read_proxy_samples(shard: IO[bytes]) -> Iterator[tuple[str, dict[str, bytes]]]:
    """Read the samples of a proxy one after the other: key, and the bytes of the members by name.

    Raises:
        ValueError: it is not a tar, or a member is not where it should be.
    """
    yield from ((key, members) for key, members, _ in read_samples(shard, PROXY_MEMBERS))


class _Written:
    """A proxy that is being written, and what its record will say."""

    def __init__(self, tar: tarfile.TarFile, sink: HashingWriter) -> None:
        self._tar, self._sink = tar, sink
        self.samples = self._copied = 0
        self._psnr: list[float] = []

    def add(self, key: str, members: Mapping[str, bytes], made: Mapping[str, Any]) -> None:
        """Add a sample."""
        text = (json.dumps(made, allow_nan=False) + "\n").encode()
        for name, data in {**members, MADE: text}.items():
            self._tar.addfile(member_header(f"{key}.{name}", len(data)), io.BytesIO(data))
        self.samples += 1
        if "psnr" in made:
            self._psnr.append(float(made["psnr"]))
        else:
            self._copied += 1

    def record(self, shard: ShardRecord, path: str) -> ProxyShard:
        """What is said of it once it is written."""
        psnr = self._psnr
        return ProxyShard(
            source=shard.path,
            source_sha256=shard.sha256,
            path=path,
            samples=self.samples,
            size=self._sink.size,
            sha256=self._sink.digest.hexdigest(),
            psnr=round(sum(psnr) / len(psnr), 3) if psnr else None,
            least_psnr=min(psnr, default=None),
            copied=self._copied,
        )


@contextmanager
def _shard_written(out: Store, path: str) -> Iterator[_Written]:
    """A proxy that is there, whole, at the clean end of the block."""
    with out.create(path) as file:
        sink = HashingWriter(file)
        with tarfile.open(fileobj=sink, mode="w|", format=tarfile.USTAR_FORMAT, bufsize=1 << 18) as tar:
            yield _Written(tar, sink)


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
