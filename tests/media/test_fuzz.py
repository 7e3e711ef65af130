"""Real files, damaged at random by a fixed seed: each is accepted or refused, and nothing else happens.

EMOVID_FUZZ_FILES and EMOVID_FUZZ_SEED make it longer and another:
`EMOVID_FUZZ_FILES=3600 EMOVID_FUZZ_SEED=7 pytest tests/media/test_fuzz.py`. What it refused and took lies in
the folder that pytest keeps.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import random
import re
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import av
import pytest
from PIL import Image
from pyarrow import parquet
from video_files import MINI, full_decode, noise, numbered_frames, remux, write_sheet, write_video

from emovid_dataset.builder.build import build
from emovid_dataset.check import verify
from emovid_dataset.media.frames import decode
from emovid_dataset.read.manifest import read_manifest

FILES = int(os.environ.get("EMOVID_FUZZ_FILES", "300"))
SEED = int(os.environ.get("EMOVID_FUZZ_SEED", "101"))
SECONDS = 60 + FILES // 2
"""Nothing is waited for longer: some file hangs the decoder."""


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
    remux(folder / "d.mp4", folder / "l.ts").rename(folder / "l.mpg")
    remux(folder / "d.mp4", folder / "m.mp4", options={"movflags": "frag_keyframe+empty_moov"})
    options = {"deadline": "realtime", "cpu-used": "8"}
    sound = noise(0.4, rate=48000)
    write_video(
        folder / "n.webm",
        frames,
        codec="libvpx-vp9",
        options=options,
        sound=sound,
        sound_codec="libopus",
        sound_rate=48000,
    )
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


def packets_of(data: bytes, kind: str) -> list[tuple[int, int]]:
    """Where a whole file's packets of one kind lie: first byte and length; none where it cannot be opened."""
    found: list[tuple[int, int]] = []
    try:
        with av.open(io.BytesIO(data)) as container:
            streams = [stream for stream in container.streams if stream.type == kind]
            for packet in container.demux(streams[:1]) if streams else ():
                content = bytes(packet)
                at = data.find(content, found[-1][0] + 1 if found else 0) if len(content) > 3 else -1
                if at >= 0:
                    found.append((at, len(content)))
    except av.FFmpegError:
        pass
    return found


def damage_sound(data: bytearray, draw: random.Random, others: list[bytes]) -> bytearray:
    """Some or all packets of sound hold other bytes."""
    packets = packets_of(bytes(data), "audio")
    if not packets:
        return flip_bits(data, draw, others)
    for at, length in draw.sample(packets, draw.choice([1, (len(packets) + 1) // 2, len(packets)])):
        if draw.random() < 0.5:
            data[at : at + length] = draw.randbytes(length)
        else:
            data[at + draw.randrange(length)] ^= 1 << draw.randrange(8)
    return data


CLOCKS = (b"stts", b"ctts", b"elst", b"mdhd", b"mvhd", b"tfdt", b"trun", b"tfhd")
"""Boxes of MP4 that hold times."""


def edit_times(data: bytearray, draw: random.Random, others: list[bytes]) -> bytearray:
    """Times of packets are earlier, later, doubled or far away."""
    numbers = [0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, draw.randrange(1 << 16), draw.randrange(1 << 32)]
    there = [name for name in CLOCKS if name in data]
    if there:
        for _ in range(draw.choice([1, 1, 3])):
            at = data.index(draw.choice(there)) + 8 + 4 * draw.randrange(6)
            data[at : at + 4] = draw.choice(numbers).to_bytes(4, "big")
        return data
    # Matroska's blocks begin with track, time in two bytes, flags; a PES header ends with its times
    packets = packets_of(bytes(data), draw.choice(["video", "audio"]))
    if not packets:
        return edit_header(data, draw, others)
    for at, _ in draw.sample(packets, draw.choice([1, (len(packets) + 1) // 2])):
        if at > 3:
            data[at - 3 : at - 1] = draw.randrange(1 << 16).to_bytes(2, "big")
    return data


HOLD_BOXES = (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"edts", b"moof", b"traf")
BOX_NAMES = (b"free", b"mdat", b"moov", b"stsd", b"uuid", b"????")
SEGMENT, TRACK, CLUSTER, CUES = (
    b"\x18\x53\x80\x67",
    b"\x16\x54\xae\x6b",
    b"\x1f\x43\xb6\x75",
    b"\x1c\x53\xbb\x6b",
)
ELEMENTS = (SEGMENT, TRACK, CLUSTER, CUES, b"\xe7", b"\xa3")
"""Of Matroska; the last ones are a cluster's time and a block."""


def boxes_of(data: bytes, begin: int, end: int) -> Iterator[int]:
    """Where the boxes of an MP4 begin, those within others too."""
    while begin + 8 <= end:
        size = int.from_bytes(data[begin : begin + 4], "big")
        if size < 8 or begin + size > end:
            return
        yield begin
        if data[begin + 4 : begin + 8] in (
            b"moov",
            b"trak",
            b"mdia",
            b"minf",
            b"stbl",
            b"edts",
            b"moof",
            b"traf",
        ):
            yield from boxes_of(data, begin + 8, begin + size)
        begin += size


def edit_structure(data: bytearray, draw: random.Random, others: list[bytes]) -> bytearray:
    """Boxes of MP4 and elements of Matroska have another size or type, are doubled, swapped or gone."""
    if data[4:8] == b"ftyp":
        boxes = list(boxes_of(data, 0, len(data)))
        at = draw.choice(boxes)
        size = int.from_bytes(data[at : at + 4], "big")
        how = draw.randrange(5)
        if how == 0:
            other = draw.choice([0, 1, 7, 8, size - 1, size + 1, size * 2, 0x7FFFFFFF, 0xFFFFFFFF])
            data[at : at + 4] = other.to_bytes(4, "big")
        elif how == 1:
            data[at + 4 : at + 8] = draw.choice(
                [b"free", b"mdat", b"moov", b"stsd", b"uuid", draw.randbytes(4)]
            )
        elif how == 2:
            data[at : at + size] = data[at : at + size] * 2
        elif how == 3:
            del data[at : at + size]
        else:
            other_at = draw.choice(boxes)
            data[at + 4 : at + 8], data[other_at + 4 : other_at + 8] = (
                data[other_at + 4 : other_at + 8],
                data[at + 4 : at + 8],
            )
        return data
    if data[:4] == b"\x1a\x45\xdf\xa3":
        there = [name for name in ELEMENTS if name in data]
        name = draw.choice(there)
        at = data.index(name, draw.randrange(data.rindex(name) + 1))
        how = draw.randrange(3)
        if how == 0:  # the size
            width = draw.choice([1, 1, 8])
            data[at + len(name) : at + len(name) + width] = draw.choice(
                [b"\x00" * width, b"\xff" * width, draw.randbytes(width)]
            )
        elif how == 1:  # the type
            data[at : at + len(name)] = draw.choice(ELEMENTS)[: len(name)].ljust(len(name), b"\xec")
        else:
            data[at:at] = data[at : at + draw.randrange(1, 200)]
        return data
    return edit_header(data, draw, others)


MUTATIONS: tuple[Callable[[bytearray, random.Random, list[bytes]], bytearray], ...] = (
    flip_bits,
    edit_header,
    edit_box,
    truncate,
    cut_out,
    splice,
    zero_out,
    damage_sound,
    edit_times,
    edit_structure,
)


@contextmanager
def within(seconds: int) -> Iterator[None]:
    """No longer than so many seconds; decoders hang in other processes, so that this one can be woken."""

    def late(*_: object) -> None:
        raise AssertionError(f"a file keeps the build busy for more than {seconds} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


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
    with within(SECONDS):
        build(raw, write_sheet(raw, rows), root / "out", workers=2)
    return raw, root / "out"


def test_every_damaged_file_is_accepted_or_refused(fuzzed: tuple[Path, Path]) -> None:
    raw, out = fuzzed
    manifest = read_manifest(out)
    refused = [json.loads(line) for line in (out / "rejected.jsonl").read_text().splitlines()]
    accepted = sum(shard.samples for shard in manifest.shards)
    assert accepted + len(refused) == FILES and manifest.rejected == len(refused)
    assert accepted > FILES / 18, "the damage is so heavy that nothing is tried"
    for row in refused:
        assert row["reason"] and "\n" not in row["reason"] and "crash" not in row["reason"]
        # an exception that is no refusal would be told with its type
        assert not re.match(r"cannot be (prepared|read|encoded): \w+: ", row["reason"]), row
    paths = {row["path"] for row in refused}
    # a broadcast's stream states no length, and may end anywhere
    cut = {f"sticker/{path.name}" for path in (raw / "sticker").glob("*-truncate.*") if path.suffix != ".mpg"}
    assert len(cut) > FILES / 20 and cut <= paths, "a truncated file was taken for a whole one"


def test_the_build_verifies(fuzzed: tuple[Path, Path]) -> None:
    _, out = fuzzed
    assert verify(out, workers=1) == []


def test_damage_that_a_build_cannot_see_is_only_in_frames_that_it_had_no_need_to_decode(
    fuzzed: tuple[Path, Path],
) -> None:
    raw, out = fuzzed
    told = [
        line.split(": ", 2)[1:] for line in verify(out, decode=True, workers=2) if line.startswith("data/")
    ]
    clips = {
        row["id"]: row
        for path in out.glob("metadata/*/*.parquet")
        for row in parquet.read_table(path, partitioning=None).to_pylist()
    }
    seen = {name for name, what in told if "the sound is damaged" not in what}
    assert len(seen) <= 0.03 * len(clips), told
    for name, what in told:
        clip = clips[name]
        # a file that went in as it is; whatever was transcoded was decoded whole
        assert clip["sha256"] == hashlib.sha256((raw / clip["source"]).read_bytes()).hexdigest(), (clip, what)
        # and what the attributes and a training run see is there
        assert len(decode(raw / clip["source"], frames=16)) == 16
