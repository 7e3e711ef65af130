"""EmoVid as a builder of `datasets`: flat, typed columns over the same shards as the typed card.

It needs `datasets` and nothing else, so that it can lie beside the data. On `datasets` 3 it is run by name::

    load_dataset("loading_script.py", name="sticker", data_dir="path/to/build", trust_remote_code=True)

Newer versions of `datasets` run no scripts; there `emovid_dataset.load` uses the class, or one's own code::

    builder = EmoVid(config_name="sticker", data_dir="path/to/build")
    builder.download_and_prepare()
    clips = builder.as_dataset(split="train")

`data_dir` is what `emovid build` made: a local folder, ``hf://datasets/<repo>`` or an http(s) address.
Without it the folder of this file is read.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from typing import Any

import datasets

EMOTIONS = ("amusement", "awe", "contentment", "excitement", "anger", "disgust", "fear", "sadness")
CONTENT_TYPES = ("cartoon", "movie", "sticker")
SPLITS = ("train", "validation", "test")
MANIFEST_NAME = "manifest.json"

FEATURES = datasets.Features(
    {
        "id": datasets.Value("string"),
        "video": datasets.Video(decode=False),
        "emotion": datasets.ClassLabel(names=list(EMOTIONS)),
        "caption": datasets.Value("string"),
        "content_type": datasets.ClassLabel(names=list(CONTENT_TYPES)),
        "valence": datasets.Value("int64"),
        "emotion_source": datasets.Value("string"),
        "emotion_scores": datasets.Sequence(datasets.Value("float64")),
        "brightness": datasets.Value("float64"),
        "colorfulness": datasets.Value("float64"),
        "hue": datasets.Value("float64"),
        "width": datasets.Value("int64"),
        "height": datasets.Value("int64"),
        "fps": datasets.Value("float64"),
        "num_frames": datasets.Value("int64"),
        "duration": datasets.Value("float64"),
        "has_audio": datasets.Value("bool"),
        "source": datasets.Value("string"),
        "group": datasets.Value("string"),
        "license": datasets.Value("string"),
        "start": datasets.Value("float64"),
        "end": datasets.Value("float64"),
        "sha256": datasets.Value("string"),
    }
)
"""The columns, in order. The video is its bytes, so that no decoder is needed to read the others."""

_EXTENSIONS = ("mp4", "json", "txt", "cls")


class EmoVid(datasets.GeneratorBasedBuilder):
    """Reads the shards that the manifest of a build names."""

    BUILDER_CONFIGS = [  # noqa: RUF012 (a plain list is what `datasets` asks for)
        datasets.BuilderConfig(name="all", description="clips of every content type"),
        *(
            datasets.BuilderConfig(name=content_type, description=f"clips of content type {content_type}")
            for content_type in CONTENT_TYPES
        ),
    ]
    DEFAULT_CONFIG_NAME = "all"
    # Rows hold whole videos: the default of 1,000 rows a batch would be gigabytes.
    DEFAULT_WRITER_BATCH_SIZE = 32

    def __init__(
        self,
        *args: Any,
        data_dir: str | None = None,
        base_path: str | None = None,
        hash: str | None = None,
        info: Any = None,
        **kwargs: Any,
    ) -> None:
        root = str(data_dir or base_path or ".").rstrip("/")
        if "://" not in root:
            # A relative data_dir means the user's working folder, not the script's.
            root = os.path.abspath(root)
        manifest = os.path.join(root, MANIFEST_NAME)
        if os.path.isfile(manifest):
            # The cache is keyed by the folder's name alone: a folder that was built anew must not come
            # back as its predecessor.
            with open(manifest, "rb") as file:
                hash = (hash or "") + hashlib.sha256(file.read()).hexdigest()[:16]
        # `info` is not taken over: that of a typed card beside the script has WebDataset's columns.
        super().__init__(
            *args, data_dir=data_dir, base_path=base_path, hash=hash, info=self._info(), **kwargs
        )
        self._root = root

    def _info(self) -> datasets.DatasetInfo:
        return datasets.DatasetInfo(description="Emotion-labelled video clips", features=FEATURES)

    def _split_generators(self, dl_manager: Any) -> list[datasets.SplitGenerator]:
        manifest = self._manifest(dl_manager)
        name = self.config.name
        shards = [shard for shard in manifest["shards"] if name in ("all", shard["content_type"])]
        if not shards:
            held = sorted({shard["content_type"] for shard in manifest["shards"]})
            raise ValueError(
                f"config {name!r} has no clips in {self._root}; it has: {', '.join(['all', *held])}"
            )
        generators = []
        for split in SPLITS:
            paths = [f"{self._root}/{shard['path']}" for shard in shards if shard["split"] == split]
            if paths:
                files = dl_manager.download(paths)
                archives = [dl_manager.iter_archive(file) for file in files]
                generators.append(datasets.SplitGenerator(name=split, gen_kwargs={"archives": archives}))
        return generators

    def _manifest(self, dl_manager: Any) -> dict[str, Any]:
        try:
            path = dl_manager.download(f"{self._root}/{MANIFEST_NAME}")
            with open(path, "rb") as file:
                manifest = json.loads(file.read())
        except FileNotFoundError as error:
            raise FileNotFoundError(
                f"{self._root} is not an EmoVid build: it has no {MANIFEST_NAME}"
            ) from error
        if manifest.get("name") != "emovid" or manifest.get("format") != 1:
            raise ValueError(f"{MANIFEST_NAME} in {self._root} is not an EmoVid manifest of format 1")
        if not manifest["complete"]:
            raise ValueError(f"{self._root} is an unfinished build; run the same `emovid build` again")
        return manifest

    def _generate_examples(
        self, archives: Iterable[Iterable[tuple[str, Any]]]
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        for archive in archives:
            for key, members in _samples(archive):
                row = json.loads(members["json"])
                row["video"] = {"path": None, "bytes": members["mp4"]}
                yield key, {name: row[name] for name in FEATURES}


def _samples(archive: Iterable[tuple[str, Any]]) -> Iterator[tuple[str, dict[str, bytes]]]:
    """Group the adjacent members of a shard by their key; every sample has exactly four."""
    members: dict[str, bytes] = {}
    current = ""
    for name, file in archive:
        key, _, extension = name.rpartition(".")
        if members and key != current:
            raise ValueError(f"sample {current!r} has members {sorted(members)}, not {sorted(_EXTENSIONS)}")
        current = key
        members[extension] = file.read()
        if len(members) == len(_EXTENSIONS):
            if set(members) != set(_EXTENSIONS):
                raise ValueError(f"sample {key!r} has members {sorted(members)}, not {sorted(_EXTENSIONS)}")
            yield key, members
            members = {}
    if members:
        raise ValueError(f"sample {current!r} has members {sorted(members)}, not {sorted(_EXTENSIONS)}")
