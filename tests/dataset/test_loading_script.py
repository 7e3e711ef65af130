"""The loading script: it works alone, and says the same as the package."""

from __future__ import annotations

import hashlib
import importlib.util
import io
import json
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from types import ModuleType

import pytest
from datasets import load_dataset

from emovid_dataset.read.manifest import read_manifest
from emovid_dataset.schema.clip import CONTENT_TYPES, SPLITS
from emovid_dataset.schema.emotions import EMOTIONS, MIKELS
from emovid_dataset.schema.features import FEATURES, FORMAT_1_NAMES, flat_features
from emovid_dataset.schema.manifest import FORMATS, MANIFEST_NAME

SCRIPT = Path(__file__).parents[2] / "loading_script.py"


def by_its_path() -> ModuleType:
    """The script as a module, as `datasets` imports it: by its path, whatever is called so elsewhere."""
    spec = importlib.util.spec_from_file_location("script_beside_the_data", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


loading_script = by_its_path()


def rewrite(shard: Path, members: list[tuple[str, bytes]]) -> None:
    with tarfile.open(shard, "w", format=tarfile.USTAR_FORMAT) as tar:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


def read(shard: Path) -> list[tuple[str, bytes]]:
    with tarfile.open(shard) as tar:
        return [(member.name, tar.extractfile(member).read()) for member in tar]


@pytest.fixture
def build(mini_build: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "build"
    shutil.copytree(mini_build, folder)
    return folder


def streamed(folder: Path, config: str = "sticker", split: str = "test") -> list[dict]:
    builder = loading_script.EmoVid(config_name=config, data_dir=str(folder))
    return list(builder.as_streaming_dataset(split=split))


def test_it_spells_the_contract_as_the_package_does() -> None:
    assert loading_script.MANIFEST_NAME == MANIFEST_NAME
    assert FORMATS == (1, 2)
    old = loading_script._FORMAT_1
    assert list(old["features"].items()) == list(FEATURES.items())
    assert [label["name"] for label in old["taxonomy"]["labels"]] == list(EMOTIONS)
    assert tuple(old["content_types"]) == CONTENT_TYPES and tuple(old["splits"]) == SPLITS
    assert {new: old for old, new in FORMAT_1_NAMES.items()} == loading_script._FORMAT_1_NAMES
    columns = loading_script.columns(old)
    assert columns == flat_features(FEATURES, MIKELS, CONTENT_TYPES)
    assert list(columns) == list(flat_features(FEATURES, MIKELS, CONTENT_TYPES))


def test_it_works_alone(mini_build: Path, tmp_path: Path) -> None:
    shutil.copy(SCRIPT, tmp_path / "alone.py")
    code = (
        "import sys\n"
        "sys.modules['emovid_dataset'] = sys.modules['emovid_models'] = None\n"  # an import is now an error
        "import alone\n"
        "builder = alone.EmoVid(config_name='movie', data_dir=sys.argv[1], cache_dir='cache')\n"
        "builder.download_and_prepare()\n"
        "print(sum(map(len, builder.as_dataset().values())))\n"
    )
    command = [sys.executable, "-c", code, str(mini_build)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    movies = read_manifest(mini_build).select("movie")
    assert int(done.stdout) == sum(shard.samples for shard in movies)


def test_beside_the_data_it_is_left_alone(build: Path, tmp_path: Path) -> None:
    before = load_dataset(str(build), "movie", streaming=True)
    shutil.copy(SCRIPT, build)
    after = load_dataset(str(build), "movie", streaming=True)
    assert {split: rows.features for split, rows in after.items()} == {
        split: rows.features for split, rows in before.items()
    }
    assert [row["id"] for row in streamed(build, "movie", "train")] == [
        row["__key__"] for row in after["train"].select_columns(["__key__"])
    ]


def test_the_video_is_the_member_and_numbers_keep_their_digits(build: Path) -> None:
    (shard,) = build.glob("data/sticker/test-00000.tar")
    files = dict(read(shard))
    rows = {row["id"]: row for row in streamed(build)}
    for name, data in files.items():
        if name.endswith(".json"):
            fields = json.loads(data)
            row = rows[fields["id"]]
            assert row["video"]["bytes"] == files[f"{fields['id']}.mp4"]
            assert hashlib.sha256(row["video"]["bytes"]).hexdigest() == fields["sha256"]
            for key in ("brightness", "colorfulness", "hue", "fps", "duration", "start", "emotion_scores"):
                assert row[key] == fields[key]
            assert EMOTIONS[row["emotion"]] == fields["emotion"]
            assert CONTENT_TYPES[row["content_type"]] == fields["content_type"]


def test_a_relative_data_dir_is_below_the_working_folder(
    build: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(build.parent)
    assert streamed(Path(build.name)) == streamed(build)


@pytest.mark.parametrize("left_out", ["mp4", "json", "txt", "cls"])
def test_a_sample_that_lacks_a_member_is_named(build: Path, left_out: str) -> None:
    (shard,) = build.glob("data/sticker/test-00000.tar")
    files = read(shard)
    key = files[0][0].partition(".")[0]
    rewrite(shard, [file for file in files if file[0] != f"{key}.{left_out}"])
    with pytest.raises(ValueError, match=f"sample '{key}' has members"):
        streamed(build)


def test_a_shard_that_ends_within_a_sample_is_refused(build: Path) -> None:
    (shard,) = build.glob("data/sticker/test-00000.tar")
    rewrite(shard, read(shard)[:-1])
    with pytest.raises(ValueError, match="has members"):
        streamed(build)


def test_an_unknown_member_is_refused(build: Path) -> None:
    (shard,) = build.glob("data/sticker/test-00000.tar")
    files = read(shard)
    key = files[0][0].partition(".")[0]
    rewrite(shard, [(f"{key}.jpg" if name == f"{key}.txt" else name, data) for name, data in files])
    with pytest.raises(ValueError, match="jpg"):
        streamed(build)


def test_what_is_no_finished_build_is_refused_in_one_line(build: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"not an EmoVid build: it has no manifest\.json"):
        streamed(tmp_path)
    manifest = json.loads((build / MANIFEST_NAME).read_text())
    for change, message in (
        ({"complete": False}, "unfinished build"),
        ({"format": 3}, "not an EmoVid manifest of format 1 or 2"),
        ({"name": "other"}, "not an EmoVid manifest of format 1"),
        (
            {"shards": [shard for shard in manifest["shards"] if shard["content_type"] != "sticker"]},
            "config 'sticker' has no clips in .*; it has: all, cartoon, movie",
        ),
    ):
        (build / MANIFEST_NAME).write_text(json.dumps({**manifest, **change}))
        with pytest.raises(ValueError, match=message):
            streamed(build)
