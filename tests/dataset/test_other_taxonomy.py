"""A build of other emotions, content types and splits is read by what its manifest says."""

from __future__ import annotations

import io
import json
import re
import tarfile
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from datasets import load_dataset

import loading_script
from emovid_dataset import load, select, stream
from emovid_dataset.builder.index import write_card, write_metadata
from emovid_dataset.builder.shards import ShardSample, write_shard
from emovid_dataset.check import verify
from emovid_dataset.read.manifest import read_manifest
from emovid_dataset.report.page import write_report
from emovid_dataset.report.stats import measure
from emovid_dataset.schema.clip import Clip
from emovid_dataset.schema.features import FEATURES
from emovid_dataset.schema.manifest import MANIFEST_NAME, REJECTED_NAME, Manifest
from emovid_dataset.schema.taxonomy import Taxonomy
from emovid_dataset.store import Store

MOODS = Taxonomy("moods", ("joy", "calm", "grief"), (0, 0, 1))
AS_ON_THE_PAGE = Taxonomy("words of the page's own", ("neutral", "ink", "type-0"), (0, 0, 1))
PARTS = (("game", "train", 3), ("game", "benchmark", 3), ("sticker", "train", 3))


@pytest.fixture(scope="module")
def build(mini_build: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Clips of the miniature under other emotions, in a build made by hand."""
    out = Store.at(tmp_path_factory.mktemp("moods"))
    taken = iter(select(mini_build, content_type="sticker", limit=9))
    records: list[Any] = []
    for content_type, split, count in PARTS:
        samples = []
        for number in range(count):
            item = next(taken)
            clip = replace(
                item.clip,
                id=f"{content_type}-{item.clip.id.partition('-')[2]}",
                content_type=content_type,
                emotion=MOODS.names[number],
                valence=MOODS.valences[number],
                emotion_scores=(0.5, 0.25, 0.25),
                raters=4,
                votes=(1, 1, 2),
                agreement=(0.25, 0.25, 0.5)[number],
                extra='{"level": 3}',
                taxonomy=MOODS,
            )
            samples.append(ShardSample(clip, len(item.video), lambda video=item.video: io.BytesIO(video)))  # type: ignore[misc]
        path = f"data/{content_type}/{split}-00000.tar"
        records += write_shard(out, path, content_type, split, samples)
    manifest = Manifest(
        version="0",
        seed=0,
        every=20,
        split_ratios=(0.8, 0.1, 0.1),
        shard_size=1,
        source_digest="",
        settings_digest="",
        rejected=0,
        complete=True,
        taxonomy=MOODS,
        content_types=("game", "sticker"),
        split_names=("train", "benchmark"),
        features=FEATURES,
    ).with_shards(write_metadata(out, records))
    configs = {**manifest.config_types, "both": ("game", "sticker")}
    manifest = replace(manifest, config_types=configs)
    out.put(REJECTED_NAME, b"")
    out.put(MANIFEST_NAME, manifest.to_json().encode())
    write_card(out, manifest, ())
    assert out.folder is not None
    return out.folder


def test_the_manifest_survives_the_file(build: Path) -> None:
    manifest = read_manifest(build)
    assert manifest.taxonomy == MOODS
    assert manifest.configs() == ("all", "game", "sticker", "both")
    assert manifest.to_json() == (build / MANIFEST_NAME).read_text()
    assert list(manifest.splits("game")) == ["train", "benchmark"]


def test_it_is_verified(build: Path, tmp_path: Path) -> None:
    assert verify(build, engine="serial") == []


@pytest.mark.parametrize("streaming", [False, True])
def test_load_and_the_script_type_it(build: Path, streaming: bool, tmp_path: Path) -> None:
    found = load(build, "both", streaming=streaming, cache_dir=tmp_path)
    assert list(found) == ["train", "benchmark"]
    features = found["train"].features
    assert features["emotion"].names == list(MOODS.names)
    assert features["content_type"].names == ["game", "sticker"]
    rows = list(found["benchmark"])
    assert [features["emotion"].int2str(row["emotion"]) for row in rows] == list(MOODS.names)
    assert all(row["votes"] == [1, 1, 2] and row["extra"] == '{"level": 3}' for row in rows)
    with pytest.raises(ValueError, match=r"config is 'movie'; .* has: all, game, sticker, both, metadata"):
        load(build, "movie")
    with pytest.raises(ValueError, match=r"config 'movie' has no clips in .*; it has: all, game, sticker"):
        loading_script.EmoVid(config_name="movie", data_dir=str(build))
    table = load(build, "metadata", cache_dir=tmp_path)
    assert Counter(table["train"]["content_type"]) == {"game": 3, "sticker": 3}


def test_the_typed_card_loads_it(build: Path, tmp_path: Path) -> None:
    for config, count in (("game", 6), ("both", 9), ("all", 9)):
        found = load_dataset(str(build), config, streaming=True, cache_dir=str(tmp_path))
        rows = [row for split in found.values() for row in split.select_columns(["cls", "json"])]
        assert len(rows) == count
        assert found["train"].features["cls"].names == list(MOODS.names)
        assert all(MOODS.names[row["cls"]] == row["json"]["emotion"] for row in rows)


def test_stream_and_select_know_its_emotions(build: Path) -> None:
    items = list(stream(build, "game", split="benchmark", emotions=["grief"], frames=1, size=8, shuffle=0))
    assert [(item["label"], item["valence"], item["votes"].tolist()) for item in items] == [(2, 1, [1, 1, 2])]
    assert items[0]["emotion_scores"].tolist() == [0.5, 0.25, 0.25]
    assert {clip.emotion for clip in select(build, emotion=["joy", 1], content_type="game").clips} == {
        "joy",
        "calm",
    }
    with pytest.raises(ValueError, match=r"emotion 'awe' is unknown; allowed: joy, calm, grief or 0\.\.2"):
        select(build, emotion="awe")
    with pytest.raises(ValueError, match="split is 'test'; allowed: train, benchmark"):
        select(build, split="test")


def test_an_emotion_may_be_called_as_a_colour_of_the_page(build: Path, tmp_path: Path) -> None:
    for path in build.rglob("*"):
        if path.is_file():
            (tmp_path / path.relative_to(build)).parent.mkdir(parents=True, exist_ok=True)
            text = path.read_bytes()
            if path.name == MANIFEST_NAME or path.suffix == ".md":
                for old, new in zip(MOODS.names, AS_ON_THE_PAGE.names, strict=True):
                    text = text.replace(f'"{old}"'.encode(), f'"{new}"'.encode())
            elif path.suffix == ".parquet":
                text = renamed(text)
            (tmp_path / path.relative_to(build)).write_bytes(text)
    page = write_report(tmp_path, tmp_path / "page.html", clips=0).path.read_text()
    light = page.partition(":root {")[2].partition("}")[0]
    variables = re.findall(r"^ +--([a-z0-9-]+):", light, flags=re.MULTILINE)
    assert len(set(variables)) == len(variables) > 10, "no variable is set twice"
    for name in AS_ON_THE_PAGE.names:
        assert f"--emotion-{name}: #" in page and f"var(--emotion-{name})" in page


def renamed(table: bytes) -> bytes:
    """A metadata table with the emotions' other names."""
    import pyarrow
    from pyarrow import parquet

    found = parquet.read_table(io.BytesIO(table))
    names = dict(zip(MOODS.names, AS_ON_THE_PAGE.names, strict=True))
    column = pyarrow.array([names[name] for name in found["emotion"].to_pylist()])
    file = io.BytesIO()
    parquet.write_table(found.set_column(found.column_names.index("emotion"), "emotion", column), file)
    return file.getvalue()


def test_statistics_page_and_card_are_of_its_emotions(build: Path, tmp_path: Path) -> None:
    statistics = measure(build)
    assert statistics.counts["game", "grief", "benchmark"] == 1
    assert statistics.content_types == ("game", "sticker")
    page = write_report(build, tmp_path / "page.html", clips=2).path.read_text()
    assert "grief" in page and "amusement" not in page and "benchmark" in page
    card = (build / "README.md").read_text()
    assert "joy, calm are positive (`valence` 0), grief negative" in card
    assert "| game | benchmark | 1 | 1 | 1 | 3 |" in card


def damaged(build: Path, change: dict[str, Any]) -> str:
    return json.dumps({**json.loads((build / MANIFEST_NAME).read_text()), **change})


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"format": 3}, "has format 3; this version reads 1 and 2"),
        ({"taxonomy": {"name": "x", "labels": []}}, "must name each emotion once"),
        (
            {"taxonomy": {"name": "x", "labels": [{"name": "Joy!", "valence": 0}]}},
            "'Joy!' cannot be the name of an emotion",
        ),
        ({"taxonomy": {"name": "x", "labels": [{"name": "all", "valence": 0}]}}, "'all' stands for all"),
        ({"taxonomy": {"name": "x", "labels": [{"name": "joy", "valence": 2}]}}, "valences is (2,)"),
        ({"taxonomy": {"name": "x"}}, "not a name and labels"),
        ({"content_types": ["game"]}, "has the content type 'sticker'"),
        ({"content_types": ["game", "sticker", "../up"]}, "content_types is"),
        ({"splits": ["train"]}, "has the content type 'game' and the split 'benchmark'"),
        ({"splits": ["train", "benchmark", "all"]}, "none is 'all'"),
        ({"configs": {"all": ["movie"]}}, "config 'all' has the content types"),
        ({"features": {"id": "string"}}, "features: content_type is None, not 'string'"),
        ({"features": {**FEATURES, "votes": "int64"}}, "features: votes is 'int64'"),
        ({"features": {**FEATURES, "icon": "blob"}}, "features: icon has the type 'blob'"),
        ({"every": None}, "every is None, not int"),
    ],
)
def test_a_manifest_that_is_wrong_is_refused_in_one_line(
    build: Path, change: dict[str, Any], says: str
) -> None:
    with pytest.raises(ValueError, match=r"^manifest\.json") as caught:
        Manifest.from_json(damaged(build, change))
    assert says in str(caught.value) and "\n" not in str(caught.value)


def test_fields_that_this_version_does_not_know_are_left_out(build: Path) -> None:
    manifest = Manifest.from_json(damaged(build, {"features": {**FEATURES, "tempo": "float64"}}))
    with tarfile.open(next(build.glob("data/game/train-*.tar"))) as tar:
        row = json.loads(next(tar.extractfile(i).read() for i in tar if i.name.endswith(".json")))  # type: ignore[union-attr]
    clip = manifest.clip({**row, "tempo": 1.5})
    assert clip == Clip.from_mapping(row, taxonomy=MOODS)
    with pytest.raises(ValueError, match="tempo is 'fast'"):
        manifest.clip({**row, "tempo": "fast"})
    with pytest.raises(ValueError, match=r"missing \['tempo'\]"):
        manifest.clip(row)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"brightness": None}, "brightness is None"),
        ({"colorfulness": 1.2}, "colorfulness is 1.2, outside 0..1"),
        ({"votes": [1, 1]}, "not 3 numbers of people"),
        ({"votes": [5, 1, 2]}, "more than the 4 raters"),
        ({"raters": None}, "more than the None raters"),
        ({"agreement": 0.9}, "agreement is 0.9, but 1 of 4 raters chose joy"),
        ({"emotion": "grief"}, "valence is 0, but grief has 1"),
        ({"extra": "[1]"}, "not a JSON object"),
        (
            {"content_type": "movie", "id": "movie-0123456789abcdef"},
            "allowed: game, stic",
        ),
    ],
)
def test_a_clip_that_is_wrong_is_refused(build: Path, change: dict[str, Any], says: str) -> None:
    with tarfile.open(next(build.glob("data/game/train-*.tar"))) as tar:
        row = json.loads(next(tar.extractfile(i).read() for i in tar if i.name.endswith(".json")))  # type: ignore[union-attr]
    with pytest.raises(ValueError) as caught:
        read_manifest(build).clip({**row, **change})
    assert says in str(caught.value)
