"""`read_removed`: the clips that were removed from a build, wherever the build lies."""

from __future__ import annotations

from emovid_dataset.schema.manifest import REMOVED_NAME
from emovid_dataset.schema.removed import Removed, parse_removed
from emovid_dataset.store import Store


def read_removed(build: Store) -> dict[str, Removed]:
    """The clips that were removed from a build, by id.

    Raises:
        ValueError: their list is damaged.
    """
    if not build.exists(REMOVED_NAME):
        return {}
    return {entry.id: entry for entry in parse_removed(build.read(REMOVED_NAME))}
