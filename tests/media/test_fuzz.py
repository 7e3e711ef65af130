"""Real files, damaged at random by a fixed seed: each is accepted or refused, and nothing else happens."""

from __future__ import annotations

import hashlib
import json
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from pyarrow import parquet
from video_files import MINI, full_decode, noise, numbered_frames, remux, write_sheet, write_video

from emovid_dataset.builder.build import build
from emovid_dataset.check import verify
from emovid_dataset.media.frames import decode
from emovid_dataset.read.manifest import read_manifest

FILES = 360
SEED = 101


def seeds(folder: Path) -> list[Path]:
    """Small whole files of every kind, made of clips of the miniature corpus."""
    folder.mkdir()
    frames = list(numbered_frames(96)[:10])
    sticker = MINI / "sticker" / "1f375.mp4"
    small = [Image.fromarray(frame).resize((64, 64)) for frame in full_decode(sticker)[::6]]
    for name, how in (("a.webp", {"quality": 60}), ("b.webp", {"lossless": True}), ("c.gif", {})):
        small[0].save(folder / name, save_all=True, append_images=small[1:], duration=40, **how)
    write_video(folder / "d.mp4", frames, sound=noise(0.4))
    write_video(folder / "e.mkv", frames, sound=noise(0.4))
    write_video(folder / "f.avi", frames, codec="mpeg4")
    write_video(folder / "g.webm", frames, codec="libvpx", options={"deadline": "realtime"})
    write_video(folder / "h.apng", frames[:3], codec="apng", pixels="rgb24", form="apng")
    write_video(folder / "i.mp4", frames, options={"x264-params": "keyint=3:bframes=3"})
    remux(sticker, folder / "j.mkv")
    (folder / "k.mp4").write_bytes(sticker.read_bytes())
    return sorted(folder.iterdir())


def flip_bits(data: bytearray, draw: random.Random, others: list[bytes]) -> bytearray:
    for _ in range(draw.choice([1, 1, 2, 8, 40])):
        data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
    return data


def edit_header(data: bytearray, draw: random.Random, others: list[bytes]) -> bytearray:
    for _ in range(draw.choice([1, 2, 4])):
        data[draw.randrange(min(len(data), 700))] = draw.choice([0, 1, 0x7F, 0x80, 0xFF, draw.randrange(256)])
    return data


def edit_box(data: bytearray, draw: random.Random, others: list[bytes]) -> bytearray:
    names = [
        b"stsz",
        b"stts",
        b"stco",
        b"stsc",
        b"mdhd",
        b"tkhd",
        b"avcC",
        b"ctts",
        b"VP8X",
        b"ANMF",
        b"fcTL",
    ]
    there = [name for name in names if name in data]
    if not there:
        return edit_header(data, draw, others)
    at = data.index(draw.choice(there)) + 4 + draw.randrange(24)
    data[at : at + 4] = draw.choice([b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\0\0\1"])
    return data


def truncate(data: bytearray, draw: random.Random, others: list[bytes]) -> bytearray:
    return data[: draw.randrange(len(data))]


def cut_out(data: bytearray, draw: random.Random, others: list[bytes]) -> bytearray:
    at = draw.randrange(len(data))
    del data[at : at + draw.randint(1, 600)]
    return data


def splice(data: bytearray, draw: random.Random, others: list[bytes]) -> bytearray:
    other = draw.choice(others)
    return data[: draw.randrange(len(data))] + other[draw.randrange(len(other)) :]


def zero_out(data: bytearray, draw: random.Random, others: list[bytes]) -> bytearray:
    at, length = draw.randrange(len(data)), draw.randint(1, 900)
    data[at : at + length] = bytes(len(data[at : at + length]))
    return data


MUTATIONS: tuple[Callable[[bytearray, random.Random, list[bytes]], bytearray], ...] = (
    flip_bits,
    flip_bits,
    edit_header,
    edit_box,
    truncate,
    cut_out,
    splice,
    zero_out,
)


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The raw folder and its build."""
    root = tmp_path_factory.mktemp("fuzz")
    whole = seeds(root / "seeds")
    contents = [path.read_bytes() for path in whole]
    draw = random.Random(SEED)
    raw = root / "raw"
    (raw / "sticker").mkdir(parents=True)
    rows = []
    for number in range(FILES):
        index = draw.randrange(len(whole))
        damaged = MUTATIONS[number % len(MUTATIONS)](bytearray(contents[index]), draw, contents)
        name = f"sticker/{number:03d}-{MUTATIONS[number % len(MUTATIONS)].__name__}{whole[index].suffix}"
        (raw / name).write_bytes(damaged)
        rows.append({"path": name, "emotion": number % 8})
    build(raw, write_sheet(raw, rows), root / "out", workers=2)
    return raw, root / "out"


def test_every_damaged_file_is_accepted_or_refused(fuzzed: tuple[Path, Path]) -> None:
    _, out = fuzzed
    manifest = read_manifest(out)
    refused = [json.loads(line) for line in (out / "rejected.jsonl").read_text().splitlines()]
    accepted = sum(shard.samples for shard in manifest.shards)
    assert accepted + len(refused) == FILES and manifest.rejected == len(refused)
    assert accepted > 20, "the damage is so heavy that nothing is tried"
    for row in refused:
        assert row["reason"] and "\n" not in row["reason"] and "crash" not in row["reason"]
    kinds = Counter(row["path"].split("-")[1].split(".")[0] for row in refused)
    assert kinds["truncate"] == FILES // len(MUTATIONS), "a truncated file was taken for a whole one"


def test_the_build_verifies(fuzzed: tuple[Path, Path]) -> None:
    _, out = fuzzed
    assert verify(out, workers=1) == []


def test_damage_that_a_build_cannot_see_is_only_in_frames_that_it_had_no_need_to_decode(
    fuzzed: tuple[Path, Path],
) -> None:
    raw, out = fuzzed
    told = {line.split(": ")[1] for line in verify(out, decode=True, workers=2) if line.startswith("data/")}
    clips = {
        row["id"]: row
        for path in out.glob("metadata/*/*.parquet")
        for row in parquet.read_table(path, partitioning=None).to_pylist()
    }
    assert told <= set(clips) and len(told) <= 0.03 * len(clips)
    for name in told:
        clip = clips[name]
        # a file that went in as it is; whatever was transcoded was decoded whole
        assert clip["sha256"] == hashlib.sha256((raw / clip["source"]).read_bytes()).hexdigest()
        # and what the attributes and a training run see is there
        assert len(decode(raw / clip["source"], frames=16)) == 16
