"""Every kind of violation is told, in one line that names the place; a sound build has none."""

from __future__ import annotations

import io
import json
import random
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from pyarrow import parquet
from video_files import sticker, write_sheet

from emovid_dataset.builder.build import build
from emovid_dataset.check import verify
from emovid_dataset.schema.manifest import Manifest


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve stickers, and a row that is refused: its file is missing."""
    raw = tmp_path_factory.mktemp("raw")
    (raw / "sticker").mkdir()
    rows = []
    for index, path in enumerate(sorted(sticker().parent.glob("*.mp4"))[:12]):
        shutil.copy(path, raw / "sticker" / path.name)
        rows.append({"path": f"sticker/{path.name}", "emotion": index % 2, "caption": f"Clip {index}."})
    rows.append({"path": "sticker/none.mp4", "emotion": 0, "caption": "gone"})
    out = tmp_path_factory.mktemp("out") / "build"
    build(raw, write_sheet(raw, rows), out, workers=1, ratios=(0.7, 0.2, 0.1))
    return out


@pytest.fixture
def damaged(sound: Path, tmp_path: Path) -> Path:
    shutil.copytree(sound, tmp_path / "build")
    return tmp_path / "build"


def shard(folder: Path, index: int = 0) -> Path:
    return sorted(folder.glob("data/*/train-*.tar"))[index]


def samples(path: Path) -> list[tuple[str, bytes]]:
    with tarfile.open(path) as tar:
        return [(info.name, tar.extractfile(info).read()) for info in tar]  # type: ignore[union-attr]


def rewrite(folder: Path, path: Path, members: list[tuple[str, bytes]], *, manifest: bool = True) -> None:
    """Write a shard anew and, as a careful forger would, its size and hash in the manifest."""
    import hashlib

    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    if manifest:
        text = json.loads((folder / "manifest.json").read_text())
        for record in text["shards"]:
            if record["path"] == path.relative_to(folder).as_posix():
                record["size"] = path.stat().st_size
                record["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
        (folder / "manifest.json").write_text(Manifest.from_json(json.dumps(text)).to_json())


def edit_json(folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    members = samples(shard(folder))
    values = json.loads(members[1][1])
    change(values)
    members[1] = (members[1][0], json.dumps(values).encode())
    rewrite(folder, shard(folder), members)


def edit_manifest(folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    text = json.loads((folder / "manifest.json").read_text())
    change(text)
    (folder / "manifest.json").write_text(json.dumps(text, indent=1) + "\n")


def edit_metadata(folder: Path, change: Callable[[list[dict[str, Any]]], Any]) -> None:
    path = folder / "metadata/sticker/train.parquet"
    table = parquet.read_table(path, partitioning=None)
    rows = table.to_pylist()
    change(rows)
    parquet.write_table(pyarrow.Table.from_pylist(rows, schema=table.schema), path)


def edit_text(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def flip(path: Path, at: float = 0.5) -> None:
    data = bytearray(path.read_bytes())
    data[int(len(data) * at)] ^= 1
    path.write_bytes(data)


def replace_member(folder: Path, index: int, data: bytes) -> None:
    members = samples(shard(folder))
    members[index] = (members[index][0], data)
    rewrite(folder, shard(folder), members)


def reorder(folder: Path, order: list[int]) -> None:
    members = samples(shard(folder))
    rewrite(folder, shard(folder), [members[i] for i in order])


def rename_key(folder: Path) -> None:
    members = samples(shard(folder))
    rewrite(folder, shard(folder), [(f"sticker-{'0' * 16}.{n.partition('.')[2]}", d) for n, d in members])


def swap_in_another(folder: Path) -> None:
    rewrite(folder, shard(folder), samples(shard(folder, 1)))


VIOLATIONS: dict[str, tuple[Callable[[Path], Any], str]] = {
    "a flipped byte": (lambda f: flip(shard(f)), r"train-00000\.tar: sha256 is [0-9a-f]{64}, the"),
    "a missing shard": (lambda f: shard(f).unlink(), r"train-00000\.tar: is missing"),
    "a truncated shard": (lambda f: shard(f).write_bytes(shard(f).read_bytes()[:9000]), r"has 9000 bytes"),
    "a shard that is no tar": (lambda f: shard(f).write_bytes(b"x" * 2048), "is not a tar that can be read"),
    "a dropped member": (lambda f: reorder(f, [0, 1, 2]), r"lacks its \.cls"),
    "members in another order": (lambda f: reorder(f, [1, 0, 2, 3]), r"'.*\.json' stands where a \.mp4 is"),
    "a member twice": (lambda f: reorder(f, [0, 0, 1, 2, 3]), r"\.mp4' stands where a \.json is due"),
    "a sample too many": (lambda f: reorder(f, [0, 1, 2, 3, 0, 1, 2, 3]), "stands in .* too"),
    "another sample": (swap_in_another, "stands in .* too"),
    "another key": (rename_key, "json has the id sticker-"),
    "an int for a float": (lambda f: edit_json(f, lambda v: v.update(fps=24)), "fps is 24 .int., not float"),
    "a string for an int": (lambda f: edit_json(f, lambda v: v.update(width="128")), "width is '128'"),
    "scores that are no list": (lambda f: edit_json(f, lambda v: v.update(emotion_scores=5)), "_scores is 5"),
    "a missing key": (lambda f: edit_json(f, lambda v: v.pop("hue")), r"missing \['hue'\]"),
    "an unknown key": (lambda f: edit_json(f, lambda v: v.update(x=1)), r"unknown \['x'\]"),
    "an unknown emotion": (lambda f: edit_json(f, lambda v: v.update(emotion="joy")), "emotion 'joy'"),
    "another valence": (lambda f: edit_json(f, lambda v: v.update(valence=2)), "valence is 2"),
    "not a number": (lambda f: edit_json(f, lambda v: v.update(hue=float("nan"))), "hue is nan"),
    "no JSON": (lambda f: replace_member(f, 1, b"{"), "json is not JSON"),
    "a JSON list": (lambda f: replace_member(f, 1, b"[]"), "json is not an object"),
    "another caption": (lambda f: replace_member(f, 2, b"other"), "txt is not the caption"),
    "another label": (lambda f: replace_member(f, 3, b"9"), "cls is b'9'"),
    "another video": (lambda f: replace_member(f, 0, b"mp4"), "the MP4's sha256 is not the one in the json"),
    "a stray shard": (lambda f: shutil.copy(shard(f), f / "data/sticker/x.tar"), r"x\.tar: is not named by"),
    "a stray table": (lambda f: (f / "metadata/x").write_text(""), "metadata/x: is not named by"),
    "an offset off by one": (
        lambda f: edit_metadata(f, lambda rows: rows[0].update(offset=rows[0]["offset"] + 1)),
        r"train\.parquet: sticker-[0-9a-f]{16}: offset is 513, the shard has 512",
    ),
    "rows in another order": (lambda f: edit_metadata(f, lambda rows: rows.reverse()), "id is '"),
    "a row too few": (lambda f: edit_metadata(f, lambda rows: rows.pop()), r"has \d+ rows, the shards hold"),
    "no table": (lambda f: (f / "metadata/sticker/train.parquet").unlink(), "is missing or not Parquet"),
    "a broken table": (
        lambda f: (f / "metadata/sticker/train.parquet").write_bytes(b"PAR1"),
        "is missing or not Parquet",
    ),
    "a wrong count": (
        lambda f: edit_manifest(f, lambda m: m["shards"][0].update(samples=99)),
        "samples, the manifest says 99",
    ),
    "a wrong total": (
        lambda f: edit_manifest(f, lambda m: m["totals"].update(samples=99)),
        r"manifest\.json: the configs and totals do not agree",
    ),
    "a wrong type": (
        lambda f: edit_manifest(f, lambda m: m["shards"][0].update(size="1")),
        r"manifest\.json: shard 0: size is '1', not int",
    ),
    "a shard outside": (
        lambda f: edit_manifest(f, lambda m: m["shards"][0].update(path="data/../../x.tar")),
        "names a shard outside data/",
    ),
    "a missing field": (lambda f: edit_manifest(f, lambda m: m.pop("seed")), r"manifest\.json is incomplete"),
    "a newer format": (lambda f: edit_manifest(f, lambda m: m.update(format=3)), "has format 3"),
    "an unfinished build": (
        lambda f: edit_manifest(f, lambda m: m.update(complete=False)),
        "is an unfinished",
    ),
    "no manifest": (lambda f: (f / "manifest.json").unlink(), "is not an EmoVid build"),
    "no JSON manifest": (lambda f: (f / "manifest.json").write_text("{"), r"manifest\.json is not JSON"),
    "edited counts of the card": (
        lambda f: edit_text(f / "README.md", "num_examples: ", "num_examples: 1"),
        r"README\.md: dataset_info does not agree with the manifest",
    ),
    "edited types of the card": (
        lambda f: edit_text(f / "README.md", "dtype: float64", "dtype: int64"),
        r"README\.md: dataset_info does not agree with the manifest",
    ),
    "no card": (lambda f: (f / "README.md").unlink(), r"README\.md: is missing"),
    "a card without YAML": (lambda f: (f / "README.md").write_text("# EmoVid"), "has no typed front matter"),
    "edited info": (lambda f: edit_text(f / "_info.json", "1", "2"), r"_info\.json: is missing or does not"),
    "refusals lost": (lambda f: (f / "rejected.jsonl").write_text(""), r"has 0 lines, the manifest says 1"),
    "no refusals": (lambda f: (f / "rejected.jsonl").unlink(), r"rejected\.jsonl: is missing"),
}


def test_a_sound_build_has_no_violation(sound: Path) -> None:
    assert verify(sound, engine="serial") == [] == verify(sound, decode=True, workers=1)


@pytest.mark.parametrize("kind", list(VIOLATIONS))
def test_a_violation_is_one_line(damaged: Path, kind: str) -> None:
    import re

    damage, says = VIOLATIONS[kind]
    damage(damaged)
    found = verify(damaged, engine="serial")
    assert any(re.search(says, line) for line in found), found
    assert all(line and "\n" not in line for line in found)


def test_a_group_on_two_sides_is_told(damaged: Path) -> None:
    other = next(path for path in damaged.glob("data/sticker/*.tar") if "train" not in path.name)
    for path in (shard(damaged), other):
        members = samples(path)
        values = {**json.loads(members[1][1]), "group": "family"}
        members[1] = (members[1][0], json.dumps(values).encode())
        rewrite(damaged, path, members)
    assert any(
        line.startswith("group 'family' is in t") and " and " in line
        for line in verify(damaged, engine="serial")
    )


def test_only_decoding_shows_a_clip_that_is_not_what_it_claims(damaged: Path) -> None:
    import hashlib

    members = samples(shard(damaged))
    values = json.loads(members[1][1])
    video = bytearray(members[0][1])
    start = video.index(b"mdat") + 4
    video[start + len(video[start:]) // 2 :] = bytes(len(video) - start - len(video[start:]) // 2)
    values["sha256"] = hashlib.sha256(video).hexdigest()
    members[0], members[1] = (members[0][0], bytes(video)), (members[1][0], json.dumps(values).encode())
    rewrite(damaged, shard(damaged), members)
    edit_metadata(damaged, lambda rows: rows[0].update(sha256=values["sha256"]))
    assert verify(damaged, engine="serial") == []
    assert any(
        f"{values['id']}: the MP4 is" in line for line in verify(damaged, decode=True, engine="serial")
    )


@pytest.mark.parametrize("seed", range(4))
def test_no_flipped_byte_escapes_and_none_crashes(damaged: Path, seed: int) -> None:
    draw = random.Random(seed)
    paths = [shard(damaged), damaged / "manifest.json", damaged / "metadata/sticker/train.parquet"]
    for path in paths:
        whole = path.read_bytes()
        for _ in range(12):
            data = bytearray(whole)
            for _ in range(draw.choice([1, 1, 8])):
                # mostly headers and texts: a tar's video bytes are all alike to it
                data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
            path.write_bytes(data)
            found = verify(damaged, engine="serial")
            assert all("\n" not in line for line in found)
            if path.suffix == ".tar":
                assert found
        path.write_bytes(whole)
    assert verify(damaged, engine="serial") == []
