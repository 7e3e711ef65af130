"""`ProxySet`: the training copies of a build, and the file that lists them.

A set of proxies is a second set of shards, beside the originals and under the same names, so that the shards
of a build and their proxies hold the same clips in the same order::

    data/sticker/00001/train-02000.tar  ->  proxy/256/sticker/00001/train-02000.tar
    data/cartoon/test-00000.tar         ->  proxy/256/cartoon/test-00000.tar
    manifest.json                           proxy/manifest.json

A sample has the members of the original, its JSON, caption and label to the byte, and as a fifth
``{id}.proxy.json``, what became of the MP4.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from emovid_dataset.schema.file_names import DATA_FOLDER, is_shard_path
from emovid_dataset.schema.manifest import ShardRecord

PROXY_FOLDER = "proxy"
PROXIES_NAME = f"{PROXY_FOLDER}/manifest.json"

PROXY_MEMBERS = ("mp4", "json", "txt", "cls", "proxy.json")
"""The members of a proxy's sample, in order."""

SHORT_SIDES = (16, 8192)  # pixels
HIGHEST_CRF = 51
MOST_KEYFRAMES_APART = 1000

_FORMAT = 1
_SHA256 = re.compile(r"[0-9a-f]{64}")


def proxy_path(shard: str, short_side: int) -> str:
    """Name of the proxy of a shard.

    Args:
        shard: its path below the build folder.
        short_side: of the set of proxies.

    >>> proxy_path("data/sticker/00001/train-02000.tar", 256)
    'proxy/256/sticker/00001/train-02000.tar'
    """
    return f"{PROXY_FOLDER}/{short_side}/{shard.removeprefix(f'{DATA_FOLDER}/')}"


@dataclass(frozen=True, slots=True)
class ProxySettings:
    """How the proxies of a set are made.

    Attributes:
        short_side: pixels to which the shorter side of a clip is reduced, an even number; smaller clips keep
            their size.
        keyframe_every: frames from one key frame to the next.
        crf: x264's constant rate factor, 0..51.
        byte_share: of a clip's bytes that its proxy takes at most, above 0 and up to 1, if it has at most
            half of the clip's pixels; else nothing limits it. The pictures are as good as `crf` asks for
            where that suffices; where it would leave less than 30 dB, 14 steps of crf more take its place.

    Raises:
        ValueError: one of them is out of range.
    """

    short_side: int = 256
    keyframe_every: int = 8
    crf: int = 20
    byte_share: float = 0.5

    def __post_init__(self) -> None:
        low, high = SHORT_SIDES
        if type(self.short_side) is not int or self.short_side % 2 or not low <= self.short_side <= high:
            raise ValueError(f"short_side is {self.short_side}; it must be an even number {low}..{high}")
        for name, least, most in (("keyframe_every", 1, MOST_KEYFRAMES_APART), ("crf", 0, HIGHEST_CRF)):
            value = getattr(self, name)
            if type(value) is not int or not least <= value <= most:
                raise ValueError(f"{name} is {value}; it must be {least}..{most}")
        if type(self.byte_share) not in (int, float) or not 0 < self.byte_share <= 1:
            raise ValueError(f"byte_share is {self.byte_share}; it must be above 0 and at most 1")


@dataclass(frozen=True, slots=True)
class ProxyShard:
    """The proxy of one shard.

    Attributes:
        source: path of the shard.
        source_sha256: of the shard that it was made of.
        path: of the proxy.
        samples: number of clips.
        size: bytes.
        sha256: of the file.
        psnr: mean over the clips, dB over Y, U and V, against the originals scaled to the same size; None
            where no clip was encoded.
        least_psnr: of a clip; likewise.
        copied: clips whose MP4 is the original, since none could be made of it.
    """

    source: str
    source_sha256: str
    path: str
    samples: int
    size: int
    sha256: str
    psnr: float | None
    least_psnr: float | None
    copied: int = 0

    def is_of(self, shard: ShardRecord) -> bool:
        """Whether it was made of this very shard."""
        return (self.source, self.source_sha256, self.samples) == (shard.path, shard.sha256, shard.samples)


@dataclass(frozen=True, slots=True)
class ProxySet:
    """The proxies of one size.

    Attributes:
        version: of the package that made them.
        settings: how.
        shards: in the order of the build's.
    """

    version: str
    settings: ProxySettings
    shards: tuple[ProxyShard, ...] = field(default=(), repr=False)

    def of(self, shards: Iterable[ShardRecord]) -> dict[str, ProxyShard]:
        """The proxies of some shards, by the shards' paths; those without one of this very shard are not
        among them."""
        made = {proxy.source: proxy for proxy in self.shards}
        return {
            shard.path: made[shard.path]
            for shard in shards
            if shard.path in made and made[shard.path].is_of(shard)
        }


def proxies_json(sets: Iterable[ProxySet]) -> str:
    """The text of `PROXIES_NAME`."""
    body = {
        "name": "emovid-proxies",
        "format": _FORMAT,
        "sets": [
            {
                "version": one.version,
                **asdict(one.settings),
                "shards": [asdict(shard) for shard in one.shards],
            }
            for one in sorted(sets, key=lambda one: one.settings.short_side)
        ],
    }
    return json.dumps(body, indent=1, allow_nan=False) + "\n"


def parse_proxies(text: str) -> tuple[ProxySet, ...]:
    """Parse the text of `PROXIES_NAME`.

    Returns:
        The sets, by ascending short side.

    Raises:
        ValueError: it is not such a text; the message says what is wrong.
    """
    try:
        body = json.loads(text)
    except ValueError as error:
        raise ValueError(f"{PROXIES_NAME} is not JSON: {error}") from error
    if not isinstance(body, Mapping) or body.get("name") != "emovid-proxies":
        raise ValueError(f"{PROXIES_NAME} does not list proxies")
    if body.get("format") != _FORMAT:
        raise ValueError(f"{PROXIES_NAME} has format {body.get('format')!r}; this version reads {_FORMAT}")
    try:
        sets = [_set_of(entry) for entry in body["sets"]]
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{PROXIES_NAME} is incomplete: {error}") from error
    sides = [one.settings.short_side for one in sets]
    if len(set(sides)) != len(sides):
        raise ValueError(f"{PROXIES_NAME} lists a short side twice")
    return tuple(sorted(sets, key=lambda one: one.settings.short_side))


def _set_of(entry: Mapping[str, Any]) -> ProxySet:
    names = ("short_side", "keyframe_every", "crf", "byte_share")
    try:
        settings = ProxySettings(**{name: entry[name] for name in names})
    except ValueError as error:
        raise ValueError(f"{PROXIES_NAME}: {error}") from error
    shards = tuple(ProxyShard(**shard) for shard in entry["shards"])
    for shard in shards:
        _check_shard(shard, settings)
    return ProxySet(str(entry["version"]), settings, shards)


def _check_shard(shard: ProxyShard, settings: ProxySettings) -> None:
    for name, kind in (("source", str), ("source_sha256", str), ("path", str), ("sha256", str)):
        if type(getattr(shard, name)) is not kind:
            raise ValueError(f"{PROXIES_NAME}: {name} is {getattr(shard, name)!r}, not a text")
    for name in ("samples", "size", "copied"):
        if type(getattr(shard, name)) is not int:
            raise ValueError(f"{PROXIES_NAME}: {name} is {getattr(shard, name)!r}, not a number")
    for name in ("psnr", "least_psnr"):
        value = getattr(shard, name)
        if value is not None and not (type(value) in (int, float) and math.isfinite(value)):
            raise ValueError(f"{PROXIES_NAME}: {name} is {value!r}, not a number or null")
    if (
        not is_shard_path(shard.source, DATA_FOLDER)
        or shard.path != proxy_path(shard.source, settings.short_side)
        or not _SHA256.fullmatch(shard.sha256)
    ):
        raise ValueError(
            f"{PROXIES_NAME} names a proxy of {shard.source!r} that cannot be one: {shard.path!r}"
        )
