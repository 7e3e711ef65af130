"""Names of shards: what earlier versions wrote is read, and what is written now can grow."""

from __future__ import annotations

import json
import re
import shutil
import tarfile
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from datasets import load_dataset
from foldered_build import smallest_stickers, write_foldered_build

from emovid_dataset import load, select, stream
from emovid_dataset.analyse.clips import read_clips
from emovid_dataset.builder.build import build
from emovid_dataset.check import verify
from emovid_dataset.read.manifest import read_manifest
from emovid_dataset.report.card import front_matter
from emovid_dataset.report.stats import measure
from emovid_dataset.schema.file_names import is_shard_path, shard_path
from emovid_dataset.schema.manifest import Manifest, ShardRecord, tables_of
from emovid_models.publish.repos import assemble
from tools import same_build

COUNTED = Path(__file__).parent / "counted_names"
"""A build of an earlier version of format 2, whose shards have their number in their names."""


@pytest.fixture(scope="module")
def foldered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("foldered")
    write_foldered_build(folder / "raw", folder / "out")
    return folder / "out"


@pytest.fixture(params=["counted", "foldered"])
def built(request: pytest.FixtureRequest, foldered: Path) -> Path:
    return COUNTED if request.param == "counted" else foldered


def rows(build: Path, split: str) -> list[dict[str, Any]]:
    """The JSON members as they lie in the shards, in the order of the shards' numbers, by tarfile alone."""
    found = []
    shards = (path for path in (build / "data").rglob("*.tar") if path.name.startswith(f"{split}-"))
    for shard in sorted(shards, key=lambda path: path.name):
        with tarfile.open(shard) as tar:
            found += [json.loads(tar.extractfile(m).read()) for m in tar if m.name.endswith(".json")]  # type: ignore[union-attr]
    return found


def test_the_next_shards_go_into_subfolders(foldered: Path) -> None:
    held = {path.relative_to(foldered).as_posix() for path in foldered.rglob("*") if path.is_file()}
    train = sum(name.startswith("data/sticker/") and "train-" in name for name in held)
    assert train > 4, "three folders at least"
    for number in range(train):
        folder = f"{number // 2:05d}/" if number > 1 else ""
        assert f"data/sticker/{folder}train-{number:05d}.tar" in held
    assert {"metadata/sticker/train.parquet", "metadata/sticker/00002/train.parquet"} <= held
    assert {"none/sticker/none-00000.tar", "none/sticker/none.parquet"} <= held


def test_every_reader_finds_the_clips(built: Path, tmp_path: Path) -> None:
    assert verify(built, decode=True, engine="serial") == []
    train = rows(built, "train")
    ids = [row["id"] for row in train]
    everything = {row["id"] for split in ("train", "validation", "test") for row in rows(built, split)}
    assert len(train) > 4 and len(everything) == 8
    for config in ("sticker", "all"):
        card = load_dataset(str(built), config, split="train", streaming=True)
        assert [row["json"]["id"] for row in card.select_columns(["json"])] == ids
    for config in ("sticker", "metadata"):
        loaded = load(built, config, cache_dir=tmp_path)
        assert {
            row["id"]
            for split in loaded
            for row in loaded[split].remove_columns("video" if config == "sticker" else [])
        } == everything
    assert [clip.clip.id for clip in select(built, split="train")] == ids
    assert {clip.id for clip in select(built).clips} == everything
    items = list(
        stream(
            built, "sticker", split="train", frames=1, size=8, shuffle=0, where=lambda clip: clip.id != ids[1]
        )
    )
    assert [item["id"] for item in items] == [key for key in ids if key != ids[1]]
    ranks = [
        stream(
            built,
            "sticker",
            split="train",
            frames=1,
            size=8,
            shuffle=0,
            rank=rank,
            world_size=2,
            emotions=["awe", "fear"],
            even="none",
        )
        for rank in (0, 1)
    ]
    wanted = [row["id"] for row in train if row["emotion"] in ("awe", "fear")]
    assert [item["id"] for part in ranks for item in part] == wanted
    assert measure(built).total.clips == len(read_clips(built)) == 8
    held = {path.relative_to(built).as_posix() for path in built.rglob("*") if path.is_file()}
    tree = assemble("dataset", built, repo_id="me/clips")
    assert set(tree.files) == held - {"rejected.jsonl", "none.jsonl"} | {"loading_script.py"}


def test_examples_of_the_card_name_all_tables(built: Path) -> None:
    text = (built / "README.md").read_text()
    for pattern, files in ((r"metadata/\S+?train\.parquet", "metadata"), (r"none/\S+?\.tar", "none")):
        (glob,) = {match.replace("hf://datasets/emovid/EmoVid/", "") for match in re.findall(pattern, text)}
        named = "train.parquet" if files == "metadata" else "*.tar"
        assert sorted(built.glob(glob)) == sorted((built / files).rglob(named)) != []


def test_a_shard_of_the_plan_that_is_not_in_the_manifest_is_found(foldered: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(foldered, tmp_path / "out")
    for stray in ("data/sticker/00009/train-00018.tar", "metadata/sticker/00009/train.parquet"):
        (folder / stray).parent.mkdir()
        (folder / stray).write_bytes(b"")
        assert f"{stray}: is not named by the manifest" in verify(folder, engine="serial")


def test_a_build_is_the_same_as_that_of_the_version_that_counted(tmp_path: Path) -> None:
    sheet = smallest_stickers(tmp_path / "raw")
    build(tmp_path / "raw", sheet, tmp_path / "out", engine="serial", keep_none=True, shard_size=20_000)
    # the last bits of the attributes are the processor's
    fields = frozenset(rows(COUNTED, "train")[0]) - same_build.ATTRIBUTES
    old, new = (same_build.listing(folder, fields) for folder in (COUNTED, tmp_path / "out"))
    assert old == new and len({place for place, *_ in old}) == 5
    again = build(
        tmp_path / "raw", sheet, tmp_path / "out", engine="serial", keep_none=True, shard_size=20_000
    )
    assert again.reused


@pytest.mark.parametrize(
    "path",
    [
        "data/sticker/train-00000.tar",
        "data/sticker/train-00000-of-00008.tar",
        "data/sticker/00001/train-02000.tar",
        "data/sticker/00078/train-156249.tar",
    ],
)
def test_a_name_of_any_version_is_one(path: str) -> None:
    assert is_shard_path(path, "data") and not is_shard_path(path, "none")


@pytest.mark.parametrize(
    "path",
    [
        "data/sticker/../train-00000.tar",
        "data/../../train-00000.tar",
        "/data/sticker/train-00000.tar",
        "data/sticker/x/train-00000.tar",
        "data/sticker/00001/00001/train-00000.tar",
        "data/sticker/train-00000.tar\n",
        "data\\sticker\\train-00000.tar",
        "data/sticker/train-00000.tar.gz",
        "data/sticker/train-٠٠٠٠٠.tar",
        "metadata/sticker/train-00000.tar",
        "README.md",
    ],
)
def test_another_name_is_refused(path: str) -> None:
    assert not is_shard_path(path, "data")
    text = (COUNTED / "manifest.json").read_text()
    body = json.loads(text)
    body["shards"][0]["path"] = path
    with pytest.raises(ValueError, match="names a shard outside data/"):
        Manifest.from_json(json.dumps(body))


FOLDER_ENTRIES = 10_000
"""The Hub's limit."""


def test_names_of_a_hundred_million_clips() -> None:
    clips, clip, shard_size = 10**8, 500_000, 256_000_000
    total = -(-clips * clip // shard_size)
    assert total == 195_313
    shards: list[ShardRecord] = []
    for split, share in (("train", 0.8), ("validation", 0.1), ("test", 0.1)):
        paths = [shard_path("sticker", split, number) for number in range(round(total * share))]
        assert paths == sorted(paths, key=lambda path: (path.count("/"), path)), "in the order of numbers"
        shards += [ShardRecord(path, "sticker", split, 512, shard_size, "0" * 64) for path in paths]
    names = [shard.path for shard in shards]
    assert len(set(names)) == len(names) and all(is_shard_path(name, "data") for name in names)
    files = [*names, *tables_of(shards)]
    folders = {name.rpartition("/")[0] for name in files}
    entries = Counter(name.rpartition("/")[0] for name in (*files, *folders))
    assert max(entries.values()) < FOLDER_ENTRIES and len(folders) > 100
    manifest = replace(read_manifest(COUNTED), content_types=("sticker",)).with_shards(shards)
    for config in yaml.safe_load(front_matter(manifest))["configs"]:
        for part in config["data_files"]:
            meant = [shard.path for shard in manifest.select(config["config_name"], part["split"])]
            assert [name for pattern in part["path"] for name in matching(names, pattern)] == meant


def matching(names: list[str], pattern: str) -> list[str]:
    """As a glob whose star takes no slash."""
    glob = re.compile(re.escape(pattern).replace(r"\*", "[^/]*"))
    return [name for name in names if glob.fullmatch(name)]
