"""EmoVid as a builder of `datasets`: flat, typed columns over the same shards as the typed card.

It needs `datasets` and nothing else, so that it can lie beside the data. On `datasets` 3 it is run by name::

    load_dataset("loading_script.py", name="sticker", data_dir="path/to/build", trust_remote_code=True)

Newer versions of `datasets` run no scripts; there `emovid_dataset.load` uses the class, or one's own code::

    builder = EmoVid(config_name="sticker", data_dir="path/to/build")
    builder.download_and_prepare()
    clips = builder.as_dataset(split="train")

`data_dir` is what `emovid build` made: a local folder, ``hf://datasets/<repo>`` or an http(s) address.
Without it the folder of this file is read. Configs, splits, columns and the emotions' names are those of the
build's manifest.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import datasets

MANIFEST_NAME = "manifest.json"
DEFAULT_CONFIG = "all"

# What manifests of format 1 do not say. Its clips are read under the names that format 2 gives to their
# fields: `brightness`, `colorfulness` and `hue` were other measures in format 1.
_FORMAT_1_EMOTIONS = ("amusement", "awe", "contentment", "excitement", "anger", "disgust", "fear", "sadness")
_FORMAT_1_NAMES = {"luma": "brightness", "colorfulness_m3": "colorfulness", "hue_chroma": "hue"}
_FORMAT_1: dict[str, Any] = {
    "taxonomy": {"labels": [{"name": name} for name in _FORMAT_1_EMOTIONS]},
    "content_types": ["cartoon", "movie", "sticker"],
    "splits": ["train", "validation", "test"],
    "features": {
        "id": "string",
        "content_type": "string",
        "emotion": "string",
        "valence": "int64",
        "emotion_source": "string",
        "emotion_scores": ["float64"],
        "caption": "string",
        "brightness": "float64",
        "colorfulness": "float64",
        "hue": "float64",
        "luma": "float64",
        "colorfulness_m3": "float64",
        "hue_chroma": "float64",
        "width": "int64",
        "height": "int64",
        "fps": "float64",
        "num_frames": "int64",
        "duration": "float64",
        "has_audio": "bool",
        "source": "string",
        "group": "string",
        "license": "string",
        "start": "float64",
        "end": "float64",
        "sha256": "string",
        "raters": "int64",
        "votes": ["int64"],
        "agreement": "float64",
        "color": "string",
        "extra": "string",
    },
}
_EXTENSIONS = ("mp4", "json", "txt", "cls")


class EmoVid(datasets.GeneratorBasedBuilder):
    """Reads the shards that the manifest of a build names."""

    DEFAULT_CONFIG_NAME = DEFAULT_CONFIG
    # Rows hold whole videos: the default of 1,000 rows a batch would be gigabytes.
    DEFAULT_WRITER_BATCH_SIZE = 32

    def __init__(
        self,
        *args: Any,
        config_name: str | None = None,
        data_dir: str | None = None,
        base_path: str | None = None,
        cache_dir: str | None = None,
        token: str | bool | None = None,
        hash: str | None = None,
        info: Any = None,
        **kwargs: Any,
    ) -> None:
        root = str(data_dir or base_path or ".").rstrip("/")
        if "://" not in root:
            # A relative data_dir means the user's working folder, not the script's.
            root = os.path.abspath(root)
        self._root = root
        text = _read_manifest(root, cache_dir, token)
        self._manifest = _parsed(text, root)
        held = {shard["content_type"] for shard in self._manifest["shards"]}
        self._configs: dict[str, list[str]] = {
            name: types for name, types in self._manifest["configs"].items() if held & set(types)
        }
        config_name = config_name or DEFAULT_CONFIG
        if config_name not in self._configs:
            raise ValueError(
                f"config {config_name!r} has no clips in {root}; it has: {', '.join(self._configs)}"
            )
        # The cache is keyed by the folder's name alone: a folder that was built again must not come back as
        # its predecessor. `info` is not taken over: that of a typed card beside the script has WebDataset's
        # columns.
        super().__init__(
            *args,
            config_name=config_name,
            data_dir=data_dir,
            base_path=base_path,
            cache_dir=cache_dir,
            token=token,
            hash=(hash or "") + hashlib.sha256(text).hexdigest()[:16],
            info=self._info(),
            **kwargs,
        )

    def _info(self) -> datasets.DatasetInfo:
        return datasets.DatasetInfo(
            description="Emotion-labelled video clips", features=columns(self._manifest)
        )

    def _split_generators(self, dl_manager: Any) -> list[datasets.SplitGenerator]:
        types = self._configs[self.config.name]
        shards = [shard for shard in self._manifest["shards"] if shard["content_type"] in types]
        generators = []
        for split in self._manifest["splits"]:
            paths = [f"{self._root}/{shard['path']}" for shard in shards if shard["split"] == split]
            if paths:
                files = dl_manager.download(paths)
                archives = [dl_manager.iter_archive(file) for file in files]
                generators.append(datasets.SplitGenerator(name=split, gen_kwargs={"archives": archives}))
        return generators

    def _generate_examples(
        self, archives: Iterable[Iterable[tuple[str, Any]]]
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        names = list(self.info.features)
        for archive in archives:
            for key, members in _samples(archive):
                row = json.loads(members["json"])
                if self._manifest["format"] == 1:
                    row = _as_format_2(row)
                row["video"] = {"path": None, "bytes": members["mp4"]}
                yield key, {name: row[name] for name in names}


def columns(manifest: Mapping[str, Any]) -> datasets.Features:
    """The columns of a build, in order. The video is its bytes, so that no decoder is needed for the others.

    Args:
        manifest: its parsed JSON.
    """
    emotions = [label["name"] for label in manifest["taxonomy"]["labels"]]
    head = {
        "id": datasets.Value("string"),
        "video": datasets.Video(decode=False),
        "emotion": datasets.ClassLabel(names=emotions),
        "caption": datasets.Value("string"),
        "content_type": datasets.ClassLabel(names=list(manifest["content_types"])),
    }
    typed = {
        name: datasets.Sequence(datasets.Value(kind[0])) if isinstance(kind, list) else datasets.Value(kind)
        for name, kind in manifest["features"].items()
        if name not in head
    }
    return datasets.Features({**head, **typed})


def _read_manifest(root: str, cache_dir: str | None, token: str | bool | None) -> bytes:
    downloads = os.path.join(cache_dir, "downloads") if cache_dir else None
    settings = datasets.DownloadConfig(cache_dir=downloads, token=token)
    settings.disable_tqdm = True
    try:
        path = datasets.DownloadManager(download_config=settings).download(f"{root}/{MANIFEST_NAME}")
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{root} is not an EmoVid build: it has no {MANIFEST_NAME}") from error


def _parsed(text: bytes, root: str) -> dict[str, Any]:
    manifest = json.loads(text)
    if manifest.get("name") != "emovid" or manifest.get("format") not in (1, 2):
        raise ValueError(f"{MANIFEST_NAME} in {root} is not an EmoVid manifest of format 1 or 2")
    if not manifest["complete"]:
        raise ValueError(f"{root} is an unfinished build; run the same `emovid build` again")
    if manifest["format"] == 1:
        names = [name for name in manifest["configs"] if name != DEFAULT_CONFIG]
        configs = {DEFAULT_CONFIG: names, **{name: [name] for name in names}}
        manifest |= {**_FORMAT_1, "configs": configs}
    return dict(manifest)


def _as_format_2(row: Mapping[str, Any]) -> dict[str, Any]:
    values = {name: row.get(name) for name in _FORMAT_1["features"]}
    renamed = {name: row[old] for name, old in _FORMAT_1_NAMES.items()}
    return {**values, **dict.fromkeys(_FORMAT_1_NAMES.values()), **renamed}


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
