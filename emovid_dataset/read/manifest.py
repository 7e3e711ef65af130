"""`read_manifest`: the manifest of a build, wherever the build lies."""

from __future__ import annotations

import os

from emovid_dataset.schema.manifest import MANIFEST_NAME, Manifest
from emovid_dataset.store import Store


def read_manifest(source: Store | str | os.PathLike[str]) -> Manifest:
    """Read the manifest of a finished build.

    Args:
        source: the build: a store, a folder, a Hub repo (``owner/name``), or a URL.

    Returns:
        The manifest, checked.

    Raises:
        FileNotFoundError: there is none.
        ValueError: it is not a manifest, or the build is unfinished.
        OSError: it cannot be read.
    """
    store = source if isinstance(source, Store) else Store.find(source)
    try:
        text = store.read(MANIFEST_NAME).decode()
    except (FileNotFoundError, IsADirectoryError) as error:
        raise FileNotFoundError(f"{store.name} is not an EmoVid build: it has no {MANIFEST_NAME}") from error
    manifest = Manifest.from_json(text)
    if not manifest.complete:
        advice = "" if store.folder is None else "; run the same `emovid build` again to finish it"
        raise ValueError(f"{store.name} is an unfinished build{advice}")
    return manifest
