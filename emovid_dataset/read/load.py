"""`load`: a typed `datasets.Dataset`, as the loading script gives it, on every version of `datasets`."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from emovid_dataset.read.arguments import check_config, check_split
from emovid_dataset.read.manifest import read_manifest
from emovid_dataset.schema.features import FORMAT_1_NAMES
from emovid_dataset.schema.manifest import ALL, Manifest
from emovid_dataset.store import Store

if TYPE_CHECKING:
    from datasets import Dataset, DatasetDict, IterableDataset, IterableDatasetDict

METADATA = "metadata"
"""The config of `load` that holds every field but the video."""


def load(
    source: str | os.PathLike[str],
    config: str = "all",
    *,
    split: str | None = None,
    streaming: bool = False,
    revision: str | None = None,
    token: str | bool | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
    num_proc: int | None = None,
) -> Dataset | DatasetDict | IterableDataset | IterableDatasetDict:
    """Load clips, or only their metadata, with flat and typed columns.

    The same on every version of `datasets`, also on those that run no loading scripts. The columns are
    `emovid_dataset.schema.features.flat_features`, under their names of format 2 also where the build is of
    format 1; the video is ``{"path", "bytes"}`` and needs no decoder.

    Args:
        source: a build: its folder, a Hub repo (``owner/name``), or an http(s) address.
        config: one of the build's, such as "all" or "sticker"; or "metadata" for every field but the video,
            plus the shard, and the offset and size of the MP4 in it.
        split: one of the build's, such as "train", a slice such as "train[:10%]", or None for all of them.
        streaming: read while iterating, without a cache on disk.
        revision: branch, tag or commit of a Hub repo.
        token: for a private Hub repo.
        cache_dir: where `datasets` keeps its cache.
        num_proc: processes that prepare the cache.

    Returns:
        What `datasets.load_dataset` returns: a Dataset, an IterableDataset, or a dict of them by split.

    Raises:
        ValueError: an unknown config or split, or one without clips.
        FileNotFoundError: the source is not a build.
    """
    store = Store.find(source, revision=revision, token=token)
    manifest = read_manifest(store)
    check_config(config, manifest, store, also=(METADATA,))
    check_split(split, manifest, ALL if config == METADATA else config)
    cache = None if cache_dir is None else os.fspath(cache_dir)
    if config == METADATA:
        return _load_metadata(store, manifest, split, streaming, cache, num_proc)

    from emovid_dataset.read._builder import EmoVid

    builder = EmoVid(
        config_name=config,
        data_dir=store.root,
        dataset_name="emovid",
        # The cache must tell two builds at one address apart.
        hash=hashlib.sha256(manifest.to_json().encode()).hexdigest()[:16],
        token=token,
        cache_dir=cache,
    )
    if streaming:
        return builder.as_streaming_dataset(split=split)
    builder.download_and_prepare(num_proc=num_proc)
    return builder.as_dataset(split=split)


def loading_script() -> Path:
    """The file of the builder that `load` uses; it works alone, and a dataset's repo carries it."""
    from emovid_dataset.read import _builder

    return Path(str(_builder.__file__))


def _load_metadata(
    store: Store,
    manifest: Manifest,
    split: str | None,
    streaming: bool,
    cache_dir: str | None,
    num_proc: int | None,
) -> Dataset | DatasetDict | IterableDataset | IterableDatasetDict:
    from datasets import load_dataset

    files = {
        name: [store.url(path) for path in manifest.tables(splits=(name,))] for name in manifest.splits()
    }
    rows = load_dataset(
        "parquet",
        data_files=files,
        split=split,
        streaming=streaming,
        token=store.token,
        cache_dir=cache_dir,
        num_proc=None if streaming else num_proc,
    )
    return rows.rename_columns(FORMAT_1_NAMES) if manifest.format == 1 else rows
