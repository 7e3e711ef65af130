"""Names of a build's files: shards, and the metadata table that lists each shard's clips.

A name holds no total, so that a build can grow without renaming what is there. A folder takes so many shards
of each split; the next ones go into numbered subfolders::

    data/sticker/train-00000.tar          ...  train-01999.tar         metadata/sticker/train.parquet
    data/sticker/00001/train-02000.tar    ...  train-03999.tar         metadata/sticker/00001/train.parquet
    data/sticker/00002/train-04000.tar    ...                          metadata/sticker/00002/train.parquet

Builds of earlier versions have the names ``data/sticker/train-00000-of-00008.tar``, and keep them.
"""

from __future__ import annotations

import re

from emovid_dataset.schema.no_emotion import NONE

DATA_FOLDER = "data"
METADATA_FOLDER = "metadata"

IMAGES_FOLDER = "images"
CONTACT_SHEET = f"{IMAGES_FOLDER}/contact_sheet.jpg"
"""A picture of some clips, for the card."""
EMOTION_CHART = f"{IMAGES_FOLDER}/emotions.jpg"
"""The number of clips of each emotion as a picture, for the card."""

SHARDS_PER_FOLDER = 2_000
"""Shards of one split in one folder: four splits and the subfolders stay below the Hub's 10,000 entries."""

_SHARD = re.compile(
    rf"({DATA_FOLDER}|{NONE})/[a-z0-9_]+/([0-9]{{5,}}/)?[a-z0-9_]+-[0-9]{{5,}}(-of-[0-9]{{5,}})?\.tar"
)


def shard_path(content_type: str, split: str, number: int) -> str:
    """Name of a shard below the build folder.

    Args:
        content_type: of its clips.
        split: of its clips, or `NONE` for those that show no specific emotion.
        number: 0, 1, ... among the shards of this content type and split.

    >>> shard_path("sticker", "train", 3), shard_path("sticker", "none", 0)
    ('data/sticker/train-00003.tar', 'none/sticker/none-00000.tar')
    >>> shard_path("sticker", "train", 4321)
    'data/sticker/00002/train-04321.tar'
    """
    top = NONE if split == NONE else DATA_FOLDER
    folder = number // SHARDS_PER_FOLDER
    return f"{top}/{content_type}/{f'{folder:05d}/' if folder else ''}{split}-{number:05d}.tar"


def is_shard_path(path: str, top: str) -> bool:
    """Whether a path is the name of a shard, as this or an earlier version writes it.

    Args:
        path: below the build folder.
        top: the folder at the top that it must be in: `DATA_FOLDER` or `NONE`.

    >>> is_shard_path("data/sticker/train-00000-of-00008.tar", "data")
    True
    >>> is_shard_path("data/sticker/../train-00000.tar", "data")
    False
    """
    match = _SHARD.fullmatch(path)
    return match is not None and match[1] == top


def table_path(shard: str, split: str) -> str:
    """Name of the metadata table that lists a shard's clips.

    Args:
        shard: its path.
        split: of its clips.

    >>> table_path("data/sticker/train-00003.tar", "train")
    'metadata/sticker/train.parquet'
    >>> table_path("data/sticker/00002/train-04321.tar", "train")
    'metadata/sticker/00002/train.parquet'
    >>> table_path("none/sticker/none-00000.tar", "none")
    'none/sticker/none.parquet'
    """
    top, *folders, _ = shard.split("/")
    return "/".join((METADATA_FOLDER if top == DATA_FOLDER else top, *folders, f"{split}.parquet"))
