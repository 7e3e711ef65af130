"""The proxies of a build, wherever it lies: which there are, and which a stream takes."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Literal

from emovid_dataset.schema.manifest import ShardRecord
from emovid_dataset.schema.proxies import PROXIES_NAME, ProxySet, parse_proxies
from emovid_dataset.store import Store

ProxyChoice = bool | Literal["auto"]
"""Whether proxies are read: always, never, or where they serve."""


def read_proxies(build: Store) -> tuple[ProxySet, ...]:
    """The sets of proxies of a build, by ascending short side.

    Raises:
        ValueError: their list is damaged.
        OSError: it cannot be read.
    """
    try:
        text = build.read(PROXIES_NAME).decode()
    except (FileNotFoundError, NotADirectoryError):
        return ()
    try:
        return parse_proxies(text)
    except ValueError as error:
        raise ValueError(f"{error}; delete that file and run `emovid proxy` again") from error


def proxies_for(
    build: Store, shards: Sequence[ShardRecord], size: tuple[int, int], proxy: ProxyChoice
) -> dict[str, str]:
    """Which file is read for each of some shards: its proxy, or itself.

    A set of proxies serves if the size that is asked for fits within its short side, so that no picture is
    enlarged that need not be, and if it holds every shard as it is now. Of those that serve the smallest is
    taken.

    Args:
        build: where the shards and their proxies lie.
        shards: to be read.
        size: height and width of the pictures that are wanted.
        proxy: True takes proxies and nothing else, "auto" takes them where they serve, with a warning where
            they would but for being stale, and False never.

    Returns:
        Paths of proxies by those of the shards; empty where the originals are read.

    Raises:
        ValueError: `proxy` is something else, or True and no set serves.
    """
    if not isinstance(proxy, bool) and proxy != "auto":
        raise ValueError(f"proxy is {proxy!r}; allowed: True, False, 'auto'")
    if not proxy:
        return {}
    sets = read_proxies(build)
    fitting = [one for one in sets if max(size) <= one.settings.short_side]
    lacking: list[str] = []
    for one in fitting:
        made = one.of(shards)
        if len(made) == len(shards):
            return {path: shard.path for path, shard in made.items()}
        lacking.append(
            f"its proxies of {one.settings.short_side} are stale: {len(shards) - len(made)} of "
            f"{len(shards)} shards have none that was made of them as they are now"
        )
    if lacking:
        reason = lacking[-1]
    elif sets:
        largest = sets[-1].settings.short_side
        reason = f"its largest proxies have a short side of {largest}, and size is {max(size)}"
    else:
        reason = "it has no proxies"
    if proxy is True:
        side = max(256, max(size) + max(size) % 2) if not lacking else fitting[-1].settings.short_side
        raise ValueError(
            f"proxy is True, but {build.name}: {reason}; make them by `emovid proxy DIR --short-side {side}`"
        )
    if lacking:
        warnings.warn(
            f"{build.name}: {reason}; the originals are read until `emovid proxy` has made them",
            stacklevel=4,
        )
    return {}
