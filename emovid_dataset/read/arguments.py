"""What `load`, `stream` and `select` are asked for: configs, splits, emotions, and their tables."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from emovid_dataset.schema.manifest import Manifest
from emovid_dataset.schema.taxonomy import Taxonomy
from emovid_dataset.store import Store


def check_config(config: str, manifest: Manifest, store: Store, *, also: Sequence[str] = ()) -> None:
    """Check the name of a config.

    Raises:
        ValueError: the build has no such config.
    """
    allowed = (*manifest.configs(), *also)
    if config not in allowed:
        raise ValueError(f"config is {config!r}; {store.name} has: {', '.join(allowed)}")


def check_split(split: str | None, manifest: Manifest, config: str) -> None:
    """Check the names of the splits in a text such as "train[:10%]+test".

    Raises:
        ValueError: the config has no such split.
    """
    # Slices and sums of splits ("train[:10%]+test") are left to `datasets`, their names are not.
    held = manifest.splits(config)
    for name in re.findall(r"(?:^|\+)\s*(\w+)", split or ""):
        if name not in held:
            raise ValueError(f"split is {split!r}; {config} has: {', '.join(held)}")


def labels_of(argument: str, emotions: str | int | Iterable[str | int], taxonomy: Taxonomy) -> set[int]:
    """The labels of a taxonomy's emotions by names or indices.

    Raises:
        ValueError: an unknown emotion, or none.
    """
    given = (emotions,) if isinstance(emotions, (str, int)) else emotions
    labels = {taxonomy.parse(emotion) for emotion in given}
    if not labels:
        raise ValueError(f"{argument} is empty; name at least one of: {', '.join(taxonomy.names)}")
    return labels
