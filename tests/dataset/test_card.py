"""The card and timm's info, read by the programs that they are for."""

from __future__ import annotations

import json
import shutil
import tarfile
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet
import pytest
from datasets import ClassLabel, Video, get_dataset_config_names, load_dataset
from huggingface_hub import DatasetCard

from emovid_dataset.read.manifest import read_manifest
from emovid_dataset.report.card import info_json, render_card
from emovid_dataset.schema.clip import CONTENT_TYPES, SPLITS
from emovid_dataset.schema.emotions import EMOTIONS
from emovid_dataset.schema.features import json_features
from emovid_dataset.schema.manifest import Manifest


def members(shard: Path) -> list[tuple[str, bytes]]:
    with tarfile.open(shard) as tar:
        return [(member.name, tar.extractfile(member).read()) for member in tar]


def samples(folder: Path, config: str, split: str) -> dict[str, dict[str, bytes]]:
    """What the shards hold, by Python's own tarfile."""
    pattern = f"data/{'*' if config == 'all' else config}/{split}-*.tar"
    found: dict[str, dict[str, bytes]] = {}
    for shard in sorted(folder.glob(pattern)):
        for name, data in members(shard):
            key, _, extension = name.partition(".")
            found.setdefault(key, {})[extension] = data
    return found


@pytest.fixture(scope="module")
def manifest(mini_build: Path) -> Manifest:
    return read_manifest(mini_build)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tmp_path_factory.mktemp("cache"))


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("config", ["all", "cartoon", "movie", "sticker"])
def test_load_dataset_gives_every_clip_as_the_shards_hold_it(
    mini_build: Path, config: str, streaming: bool, cache: str
) -> None:
    loaded = load_dataset(str(mini_build), config, streaming=streaming, cache_dir=cache)
    assert list(loaded) == [split for split in SPLITS if samples(mini_build, config, split)]
    for split, clips in loaded.items():
        expected = samples(mini_build, config, split)
        rows = list(clips.cast_column("mp4", Video(decode=False)))
        assert [row["__key__"] for row in rows] == list(expected)
        for row in rows:
            sample = expected[row["__key__"]]
            assert row["mp4"]["bytes"] == sample["mp4"]
            assert row["json"] == json.loads(sample["json"])
            assert row["txt"] == sample["txt"].decode() == row["json"]["caption"]
            assert row["cls"] == int(sample["cls"]) == EMOTIONS.index(row["json"]["emotion"])


def test_types_are_known_before_a_shard_is_read(mini_build: Path, cache: str) -> None:
    clips = load_dataset(str(mini_build), "sticker", split="train", streaming=True, cache_dir=cache)
    assert clips.features["cls"] == ClassLabel(names=list(EMOTIONS))
    assert isinstance(clips.features["mp4"], Video)
    assert dict(clips.features["json"]) == json_features()
    assert list(clips.features["json"]) == list(json_features())


def test_the_default_config_is_all(mini_build: Path, cache: str) -> None:
    assert get_dataset_config_names(str(mini_build))[0] == "all"
    default = load_dataset(str(mini_build), split="test", streaming=True, cache_dir=cache)
    assert len(list(default.select_columns("__key__"))) == len(samples(mini_build, "all", "test"))


def test_captions_and_labels_need_no_decoder(mini_build: Path, cache: str) -> None:
    clips = load_dataset(str(mini_build), "all", split="test", streaming=True, cache_dir=cache)
    rows = list(clips.select_columns(["txt", "cls"]))
    expected = samples(mini_build, "all", "test").values()
    assert [(row["txt"], row["cls"]) for row in rows] == [
        (sample["txt"].decode(), int(sample["cls"])) for sample in expected
    ]


def test_the_hub_accepts_the_front_matter(mini_build: Path, manifest: Manifest) -> None:
    card = DatasetCard(render_card(manifest, mini_build))
    assert card.data.license == "other"
    assert "video-classification" in card.data.task_categories
    infos = {info["config_name"]: info for info in card.data.to_dict()["dataset_info"]}
    assert tuple(infos) == manifest.configs()
    for name, info in infos.items():
        told = {split["name"]: (split["num_examples"], split["num_bytes"]) for split in info["splits"]}
        held = {}
        for split in SPLITS:
            if clips := samples(mini_build, name, split):
                pattern = f"data/{'*' if name == 'all' else name}/{split}-*.tar"
                held[split] = (len(clips), sum(file.stat().st_size for file in mini_build.glob(pattern)))
        assert told == held


def test_the_table_of_counts_adds_up(mini_build: Path, manifest: Manifest) -> None:
    rows: list[dict[str, Any]] = []
    for content_type in CONTENT_TYPES:
        for split in SPLITS:
            found = samples(mini_build, content_type, split).values()
            rows += [{"split": split, **json.loads(sample["json"])} for sample in found]
    text = render_card(manifest, mini_build)
    for content_type in CONTENT_TYPES:
        for split in SPLITS:
            here = [row for row in rows if (row["content_type"], row["split"]) == (content_type, split)]
            count = Counter(row["emotion"] for row in here)
            line = " | ".join([content_type, split, *(str(count[name]) for name in EMOTIONS), str(len(here))])
            assert (f"| {line} |" in text) == bool(here)
    total = Counter(row["emotion"] for row in rows)
    line = " | ".join(["all", "", *(str(total[name]) for name in EMOTIONS), str(len(rows))])
    assert f"| {line} |" in text


def test_the_card_says_what_must_be_known(mini_build: Path, manifest: Manifest) -> None:
    text = render_card(manifest, mini_build, notes=["All cartoon clips come\nfrom one film."])
    assert "- All cartoon clips come from one film.\n" in text
    assert "An emotion label is a perception" in text
    assert manifest.every == 20 and "Over frames 0, 20, 40 ... of each clip" in text
    assert "Read this first" not in render_card(manifest, mini_build)


def test_the_card_asks_for_terms_and_says_how_clips_are_removed(mini_build: Path, manifest: Manifest) -> None:
    text = render_card(manifest, mini_build)
    card = DatasetCard(text)
    fields = card.data.to_dict()["extra_gated_fields"]
    assert {"text", "checkbox"} <= {kind for kind in fields.values() if isinstance(kind, str)}
    assert "perceptions" in card.data.to_dict()["extra_gated_prompt"]
    for section in ("Intended use, limits and bias", "Sources and licences", "Removal"):
        assert f"\n## {section}\n" in text
    counts = Counter(json.loads(sample["json"])["emotion"] for sample in _all(mini_build))
    (most, high), (least, low) = counts.most_common()[0], counts.most_common()[-1]
    assert f"{most} has {high} clips, {least} {low}" in text


def _all(folder: Path) -> list[dict[str, bytes]]:
    return [sample for split in SPLITS for sample in samples(folder, "all", split).values()]


def test_a_hostile_licence_stays_in_its_cell(mini_build: Path, manifest: Manifest, tmp_path: Path) -> None:
    folder = tmp_path / "build"
    shutil.copytree(mini_build, folder)
    path = folder / "metadata/sticker/train.parquet"
    table = pyarrow.parquet.read_table(path, partitioning=None)
    index = table.column_names.index("license")
    hostile = pa.array(["CC | 0\n---\nlicense: mit\n# <b>{{ 1 }}"] * len(table))
    pyarrow.parquet.write_table(table.set_column(index, "license", hostile), path)
    text = render_card(manifest, folder)
    assert f"\n| CC \\| 0 --- license: mit # <b>{{{{ 1 }}}} | {len(table)} |\n" in text
    assert DatasetCard(text).data.license == "other"


def test_a_card_is_as_reproducible_as_the_build(mini_build: Path, manifest: Manifest) -> None:
    assert render_card(manifest, mini_build) == render_card(manifest, mini_build)


def test_a_build_without_clips_has_no_card(manifest: Manifest, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="holds no clips"):
        render_card(replace(manifest, shards=()), tmp_path)


def test_info_counts_the_samples_of_every_shard(mini_build: Path, manifest: Manifest) -> None:
    info = json.loads(info_json(manifest))
    assert {"train", "sticker-train"} <= set(info["splits"])
    for name, split in info["splits"].items():
        assert set(split) == {"name", "num_samples", "filenames", "shard_lengths"}
        assert split["name"] == name
        config, _, part = name.rpartition("-")
        assert split["num_samples"] == sum(split["shard_lengths"])
        assert split["num_samples"] == len(samples(mini_build, config or "all", part))
        for filename, length in zip(split["filenames"], split["shard_lengths"], strict=True):
            assert len(members(mini_build / filename)) == 4 * length


def test_timm_reads_the_info(mini_build: Path, manifest: Manifest) -> None:
    reader_wds = pytest.importorskip("timm.data.readers.reader_wds")
    reader = reader_wds.ReaderWds(str(mini_build), split="sticker-train", input_key="mp4")
    shards = manifest.select("sticker", "train")
    assert reader.num_samples == len(samples(mini_build, "sticker", "train"))
    assert reader.split_info.filenames == tuple(shard.path for shard in shards)
    assert reader.split_info.shard_lengths == tuple(shard.samples for shard in shards)
