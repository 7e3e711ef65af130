"""Make the proxies of a build, and remake those that are missing, damaged or stale."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace

from emovid_dataset import __version__
from emovid_dataset.builder.commit import changing
from emovid_dataset.builder.held import damaged_shards
from emovid_dataset.builder.proxy_shards import ProxyStage
from emovid_dataset.engine import Executor, executor, records, run_stage
from emovid_dataset.read.manifest import read_manifest
from emovid_dataset.read.proxies import read_proxies
from emovid_dataset.report.decoding_limit import DecodingLimit, workers_of
from emovid_dataset.schema.manifest import Manifest, ShardRecord
from emovid_dataset.schema.proxies import (
    PROXIES_NAME,
    PROXY_FOLDER,
    ProxySet,
    ProxySettings,
    ProxyShard,
    proxies_json,
)
from emovid_dataset.store import Store


@dataclass(frozen=True, slots=True)
class ProxyReport:
    """What was made.

    Attributes:
        settings: of the proxies.
        made: shards whose proxies were made now.
        kept: shards whose proxies were there already.
        copied: clips whose proxy is the original, since none could be made of it.
        clips: in all.
        size: bytes of the proxies.
        original_size: bytes of the shards.
        psnr: mean over the clips, dB over Y, U and V, against the originals scaled to the same size; None
            where no clip was encoded.
        least_psnr: of a clip; likewise.
        seconds: wall time.
        limit: how near it came to decoding and encoding alone; None where that is not known, as after an
            interruption.
    """

    settings: ProxySettings
    made: tuple[str, ...]
    kept: tuple[str, ...]
    copied: int
    clips: int
    size: int
    original_size: int
    psnr: float | None
    least_psnr: float | None
    seconds: float
    limit: DecodingLimit | None


def make_proxy(
    build: str | os.PathLike[str],
    *,
    short_side: int = 256,
    keyframe_every: int | None = None,
    crf: int | None = None,
    byte_share: float | None = None,
    overwrite: bool = False,
    engine: str | Executor = "processes",
    workers: int | None = None,
    progress: bool = False,
) -> ProxyReport:
    """Make training copies of a build's clips, beside them: smaller, and with many key frames.

    They lie in ``proxy/{short_side}/``, a shard for each shard of ``data/``, under the same ids and in the
    same order, with the same frames at the same times and the same sound; ``proxy/manifest.json`` says how
    they were made. `emovid_dataset.stream` reads them with ``proxy=True`` or ``"auto"``. What is there
    already and is of the shards as they are now is kept; what is missing, damaged or stale is made.
    Interrupted, the next call goes on from there.

    Args:
        build: its folder or URL.
        short_side: pixels to which the shorter side of a clip is reduced, an even number; smaller clips keep
            their size.
        keyframe_every: frames from one key frame to the next, 1 or more. None is what the proxies of this
            size have that are there, or 8.
        crf: x264's constant rate factor, 0..51. None is likewise, or 20.
        byte_share: of a clip's bytes that its proxy takes at most, above 0 and up to 1, if it has at most
            half of the clip's pixels; else nothing limits it. None is likewise, or 0.5.
        overwrite: make proxies of this size anew that were made with other settings.
        engine: "processes", "serial" (all in this process), "ray", or an `Executor`.
        workers: processes, None for one per core.
        progress: show progress on stderr.

    Returns:
        `ProxyReport`.

    Raises:
        ValueError: a setting is out of range, or those that are there have another and `overwrite` is false;
            the build is unfinished, damaged, or being changed by another process.
        FileNotFoundError: there is no such build.
        OSError: the build cannot be written.
    """
    started = time.monotonic()
    given = {"keyframe_every": keyframe_every, "crf": crf, "byte_share": byte_share}
    asked = {name: value for name, value in given.items() if value is not None}
    settings = ProxySettings(short_side=short_side, **asked)  # type: ignore[arg-type]
    runner = executor(engine, workers) if isinstance(engine, str) else engine
    place = Store.at(build)
    with changing(place) as turn, runner:
        manifest = read_manifest(place)
        others = [one for one in read_proxies(place) if one.settings.short_side != short_side]
        there = next((one for one in read_proxies(place) if one.settings.short_side == short_side), None)
        if there is not None:
            settings = _settled(there.settings, asked, overwrite, place)
        kept: dict[str, ProxyShard] = {}
        if there is not None and there.settings == settings:
            kept = _sound(place, manifest, there, runner, progress)
        turn.lease.check()
        # from now on nobody takes what is about to be replaced
        _write_list(place, manifest, others, settings, kept.values())
        missing = [shard for shard in manifest.shards if shard.path not in kept]
        stage = ProxyStage(place, missing, settings)
        clips = sum(shard.samples for shard in missing)
        begun = time.monotonic()
        rows = run_stage(stage, place, executor=runner, progress=progress, total=clips)
        taken, at_work = time.monotonic() - begun, workers_of(runner)
        found = list(records(stage, place))
        made = [ProxyShard(**record) for record in found if "path" in record]
        coded = sum(record["seconds"] for record in found if "seconds" in record)
        turn.lease.check()
        done = _write_list(place, manifest, others, settings, [*kept.values(), *made])
        delete_unlisted(place, [*others, done])
    limit = None
    if made and at_work is not None and not rows.reused:
        limit = DecodingLimit("proxy", coded / (taken * at_work), "decoding and encoding")
    psnr = [(proxy.psnr, proxy.samples - proxy.copied) for proxy in done.shards if proxy.psnr is not None]
    encoded = sum(count for _, count in psnr)
    least = [proxy.least_psnr for proxy in done.shards if proxy.least_psnr is not None]
    return ProxyReport(
        settings=settings,
        made=tuple(shard.path for shard in missing),
        kept=tuple(kept),
        copied=sum(proxy.copied for proxy in done.shards),
        clips=sum(proxy.samples for proxy in done.shards),
        size=sum(proxy.size for proxy in done.shards),
        original_size=sum(shard.size for shard in manifest.shards),
        psnr=round(sum(value * count for value, count in psnr) / encoded, 3) if encoded else None,
        least_psnr=min(least, default=None),
        seconds=time.monotonic() - started,
        limit=limit,
    )


def _settled(there: ProxySettings, asked: dict[str, float], overwrite: bool, build: Store) -> ProxySettings:
    """The settings by which proxies are made where there are some already."""
    wanted = replace(there, **asked)  # type: ignore[arg-type]
    if wanted != there and not overwrite:
        name = next(name for name in asked if getattr(there, name) != getattr(wanted, name))
        raise ValueError(
            f"{name} is {getattr(wanted, name)}, but {build.name} has proxies of {there.short_side} with "
            f"{name} {getattr(there, name)}; give --overwrite to make them anew"
        )
    return wanted


def _sound(
    build: Store, manifest: Manifest, there: ProxySet, runner: Executor, progress: bool
) -> dict[str, ProxyShard]:
    """The proxies that are of the shards as they are now, and as they were written; by the shards' paths."""
    fresh = there.of(manifest.shards)
    files = [
        ShardRecord(
            fresh[shard.path].path, shard.content_type, shard.split, shard.samples, one.size, one.sha256
        )
        for shard in manifest.shards
        if (one := fresh.get(shard.path)) is not None
    ]
    damaged = damaged_shards(build, files, executor=runner, progress=progress)
    return {path: proxy for path, proxy in fresh.items() if proxy.path not in damaged}


def _write_list(
    build: Store,
    manifest: Manifest,
    others: Iterable[ProxySet],
    settings: ProxySettings,
    proxies: Iterable[ProxyShard],
) -> ProxySet:
    """Write which proxies there are; of this size those that are given."""
    by_source = {proxy.source: proxy for proxy in proxies}
    shards = tuple(by_source[shard.path] for shard in manifest.shards if shard.path in by_source)
    one = ProxySet(__version__, settings, shards)
    text = proxies_json([*others, one]).encode()
    if not build.exists(PROXIES_NAME) or build.read(PROXIES_NAME) != text:
        build.put(PROXIES_NAME, text)
    return one


def delete_unlisted(build: Store, sets: Iterable[ProxySet]) -> None:
    """Delete what lies among the proxies and that no set names."""
    named = {proxy.path for one in sets for proxy in one.shards} | {PROXIES_NAME}
    for name in list(build.list(PROXY_FOLDER)):
        if name not in named:
            build.delete(name)
