"""Whatever a file's content causes is a `VideoError`; what the machine causes is not."""

from __future__ import annotations

import io
import random
import resource
import subprocess
import sys
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image
from test_fuzz import MUTATIONS, seeds
from video_files import cartoon, full_decode, numbered_frames, read_stamp, sticker, write_video

from emovid_dataset.media.conforming import nonconforming
from emovid_dataset.media.encode import transcode
from emovid_dataset.media.frames import decode, sample_for_attributes
from emovid_dataset.media.portable.truncation import is_truncated
from emovid_dataset.media.source import Reader, VideoError, probe
from emovid_models.remote.annotator.reading import _read_file


def test_nothing_but_a_refusal_comes_out_of_damaged_files(tmp_path: Path) -> None:
    whole = seeds(tmp_path / "seeds")
    contents = [path.read_bytes() for path in whole]
    draw = random.Random(7)
    refused = 0
    for number in range(120):
        index = draw.randrange(len(whole))
        data = bytes(MUTATIONS[number % len(MUTATIONS)](bytearray(contents[index]), draw, contents))
        (tmp_path / f"a{whole[index].suffix}").write_bytes(data)
        try:
            with Reader(tmp_path / f"a{whole[index].suffix}") as reader:
                nonconforming(reader)
                list(sample_for_attributes(reader, 4))
                transcode(reader, tmp_path / "out.mp4", start=0.1, end=0.3)
                transcode(reader, tmp_path / "out.mp4")
                assert reader.count_frames() == len(decode(data))
        except VideoError as error:
            refused += 1
            assert str(error) and "\n" not in str(error) and " object at 0x" not in str(error)
    assert 40 < refused < 120


def test_a_picture_may_not_be_larger_than_x264_encodes(tmp_path: Path) -> None:
    """Two bytes of a small file's header may claim a picture of any width."""
    images = [Image.fromarray(frame) for frame in numbered_frames(96)[:3]]
    images[0].save(tmp_path / "a.gif", save_all=True, append_images=images[1:], duration=40)
    data = bytearray((tmp_path / "a.gif").read_bytes())
    data[6:8] = (40_000).to_bytes(2, "little")
    with pytest.raises(VideoError, match=r"^has pictures of 40000x96; at most 16384 pixels on a side"):
        probe(bytes(data))


def test_a_size_that_ffmpeg_never_allocates_is_the_files_fault(tmp_path: Path) -> None:
    data = bytearray(sticker().read_bytes())
    at = data.index(b"stts") + 8
    data[at : at + 4] = b"\xff\xff\xff\xff"
    with pytest.raises(av.error.MemoryError):
        av.open(io.BytesIO(data))
    with pytest.raises(VideoError, match="Cannot allocate memory"):
        probe(bytes(data))


SHORT_OF_MEMORY = """
import resource, sys
from emovid_dataset.media.frames import decode
from emovid_dataset.media.source import VideoError, probe
def used():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmSize")) * 1024
probe(sys.argv[2]), probe(sys.argv[1])
before = used() + int(sys.argv[3])
resource.setrlimit(resource.RLIMIT_AS, (before, before))
try:
    print(decode(sys.argv[1], frames=4).shape)
except MemoryError:
    print("out of memory")
except VideoError as error:
    print("refused:", error)
"""


@pytest.mark.parametrize("suffix", [".webp", ".mp4"])
def test_a_lack_of_memory_refuses_no_file(suffix: str, tmp_path: Path) -> None:
    """Whether a file is refused may not depend on the machine."""
    path = tmp_path / f"large{suffix}"
    if suffix == ".webp":
        images = [Image.new("RGB", (3000, 3000), (9 * shade, 0, 0)) for shade in range(8)]
        images[0].save(path, save_all=True, append_images=images[1:], duration=100, lossless=True)
    else:
        plain = [np.full((6000, 6000, 3), shade, np.uint8) for shade in (0, 99)]
        write_video(path, plain, options={"preset": "ultrafast"})
    left = 100_000_000 if suffix == ".webp" else 40_000_000  # less than one frame of the film
    command = [sys.executable, "-c", SHORT_OF_MEMORY, str(path), str(sticker()), str(left)]
    done = subprocess.run(command, capture_output=True, text=True, env={"OPENBLAS_NUM_THREADS": "1"})
    assert done.stdout == "out of memory\n", done.stderr[-2000:]
    assert resource.getrlimit(resource.RLIMIT_AS)[0] == resource.RLIM_INFINITY


def test_a_disk_is_not_a_refusal(tmp_path: Path) -> None:
    for path, kind in ((tmp_path / "absent.mp4", FileNotFoundError), (tmp_path, IsADirectoryError)):
        with pytest.raises(kind):
            probe(path)
    with Reader(sticker()) as reader:
        for out in (tmp_path / "absent" / "out.mp4", Path("/dev/full"), tmp_path):
            with pytest.raises(OSError, match=out.name) as caught:
                transcode(reader, out)
            assert type(caught.value).__module__ == "builtins", "PyAV's own do not survive pickling"


def test_a_file_that_is_gone_is_not_damaged(tmp_path: Path) -> None:
    """It was there when it was opened first, and is opened again for every cut."""
    path = tmp_path / "film.mp4"
    path.write_bytes(cartoon().read_bytes())
    with Reader(path) as reader:
        path.unlink()
        with pytest.raises(FileNotFoundError):
            transcode(reader, tmp_path / "out.mp4", start=0.1, end=0.5)


@pytest.mark.parametrize(
    "content",
    [
        b"ffconcat version 1.0\nfile clip.mp4\n",
        b"ffconcat version 1.0\nfile absent.mp4\n",
        b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nclip.mp4\n#EXT-X-ENDLIST\n",
    ],
)
def test_a_list_of_files_is_no_way_to_other_files(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "clip.mp4").write_bytes(sticker().read_bytes())
    (tmp_path / "list.mp4").write_bytes(content)
    with pytest.raises(VideoError):
        probe(tmp_path / "list.mp4")


def test_a_text_is_not_drawn(tmp_path: Path) -> None:
    """FFmpeg draws what a .txt holds as on a screen, 25 frames per second."""
    (tmp_path / "notes.txt").write_text("A line of a diary.\n" * 99)
    with pytest.raises(VideoError, match=r"^is text \(tty\)$"):
        probe(tmp_path / "notes.txt")


@pytest.mark.parametrize(
    "head",
    [
        b"\0\0\0\x08free\0\0\0\1mdat" + b"\xff" * 8,
        b"\0\0\0\x08free\0\0\0\1mdat" + b"\x7f" + b"\xff" * 7,
        b"\x1a\x45\xdf\xa3\x01" + b"\xff" * 6 + b"\xfe",
    ],
    ids=["2^64", "2^63", "2^56"],
)
def test_no_length_is_too_large_to_be_told_as_truncated(head: bytes, tmp_path: Path) -> None:
    """A disk refuses to seek to where it points."""
    path = tmp_path / "a.mp4"
    path.write_bytes(head + bytes(64))
    with path.open("rb") as file:
        assert is_truncated(file)
    with pytest.raises(VideoError, match=r"^is truncated: "):
        probe(path)


def test_pictures_that_change_their_size_become_of_one_size(tmp_path: Path) -> None:
    """A stream may: broadcasts do between a film and what comes before it."""
    parts = []
    for number, (width, height) in enumerate(((96, 64), (64, 48))):
        frames = [frame[:height, :width] for frame in numbered_frames(96)[:4]]
        options = {"x264-params": "bframes=0"}
        parts.append(
            write_video(tmp_path / f"{number}.h264", frames, options=options, form="h264").read_bytes()
        )
    path = tmp_path / "both.h264"
    path.write_bytes(b"".join(parts))
    assert decode(path).shape == (8, 64, 96, 3)
    assert decode(path, size=32).shape == (8, 32, 32, 3)
    with Reader(path) as reader:
        assert next(iter(sample_for_attributes(reader, 8))).reduced.shape == (64, 96, 3)
        transcode(reader, tmp_path / "out.mp4")
    stated, made = probe(path), probe(tmp_path / "out.mp4")
    assert (made.width, made.height, made.num_frames) == (stated.width, stated.height, 8)


@pytest.mark.parametrize(
    "delays",
    [[1_500_000] * 3, [16_000_000] * 3, [16_777_215, 900_000, 2_000_000]],
    ids=["25 minutes", "four hours", "variable"],
)
def test_a_slideshow_may_be_slow(delays: list[int], tmp_path: Path) -> None:
    images = [Image.fromarray(frame) for frame in numbered_frames(96)[: len(delays)]]
    images[0].save(tmp_path / "slow.webp", save_all=True, append_images=images[1:], duration=delays)
    with Reader(tmp_path / "slow.webp") as reader:
        transcode(reader, tmp_path / "out.mp4")
    with Reader(tmp_path / "out.mp4") as made:
        assert nonconforming(made) is None
        assert made.info.num_frames == len(delays)
        assert made.info.duration == pytest.approx(sum(delays) / 1000, rel=1e-6)
        assert made.times == pytest.approx(np.cumsum([0, *delays[:-1]]) / 1000, abs=1e-3)


def test_frames_that_nobody_can_give_are_the_callers_fault() -> None:
    for wanted in ([], [0, 999], [-1]):
        with pytest.raises(ValueError, match=r"no frames are asked for|frame indices") as caught:
            decode(sticker(), frames=lambda count, wanted=wanted: wanted)
        assert not isinstance(caught.value, VideoError)


def with_two_forms(folder: Path, forms: Sequence[tuple[int, int, str]]) -> Path:
    """An MP4, index in front, whose parameter sets change with a key frame in the middle."""
    path = folder / "both.mp4"
    with av.open(str(path), "w", options={"movflags": "+faststart"}) as sink:
        stream: Any = None
        count = 0
        for number, (width, height, pixels) in enumerate(forms):
            frames = [frame[:height, :width] for frame in numbered_frames(96)[:6]]
            options = {"x264-params": "bframes=0:keyint=3"}
            part = write_video(folder / f"{number}.h264", frames, options=options, form="h264", pixels=pixels)
            with av.open(str(part)) as source:
                if stream is None:
                    stream = sink.add_stream_from_template(source.streams.video[0])
                for read in source.demux(video=0):
                    if read.size:
                        packet = av.Packet(bytes(read))
                        packet.pts = packet.dts = count
                        packet.duration, packet.time_base = 1, Fraction(1, 24)
                        packet.is_keyframe, packet.stream = read.is_keyframe, stream
                        sink.mux(packet)
                        count += 1
    return path


@pytest.mark.parametrize("codec", ["mpeg2video", "mpeg1video"])
def test_no_picture_is_lost_where_a_broadcast_changes_its_size(codec: str, tmp_path: Path) -> None:
    """FFmpeg's decoder drops the one that it holds back there."""
    frames, options = numbered_frames(48), {"b": "4000000", "bf": "2"}
    wide = [np.pad(frame, ((0, 32), (0, 48), (0, 0))) for frame in frames[24:]]
    for name, part in (("0.ts", list(frames[:24])), ("1.ts", wide)):
        write_video(tmp_path / name, part, codec=codec, options=options)
    path = tmp_path / "joined.ts"
    path.write_bytes((tmp_path / "0.ts").read_bytes() + (tmp_path / "1.ts").read_bytes())
    with Reader(path) as reader:
        assert reader.info.num_frames == 48
        assert sum(1 for _ in reader.frames(range(20, 28))) == 8
        for start, end, due in ((None, None, 48), (0.5, 1.5, 24)):
            transcode(reader, tmp_path / "out.mp4", start=start, end=end)
            assert len(full_decode(tmp_path / "out.mp4")) == due
    assert read_stamp(decode(path, frames=lambda _: [23])[0]) == 23


@pytest.mark.parametrize(
    "forms",
    [
        [(96, 64, "yuv420p"), (64, 48, "yuv420p")],
        [(64, 48, "yuv420p"), (130, 96, "yuv420p")],
        [(64, 48, "yuv420p"), (64, 48, "yuv444p")],
        [(64, 48, "yuv420p10le"), (64, 48, "yuv420p")],
    ],
)
def test_a_film_that_changes_its_form_is_made_of_one(
    forms: list[tuple[int, int, str]], tmp_path: Path
) -> None:
    """It is scaled to the size that the file states, as the ffmpeg command does, and never taken as it is."""
    path = with_two_forms(tmp_path, forms)
    with av.open(str(path)) as container:
        seen = {(f.width, f.height, f.format.name) for f in container.decode(video=0)}
    assert seen == set(forms), "the file does not change"
    width, height, _ = forms[0]
    with Reader(path) as reader:
        assert (reader.info.width, reader.info.height, reader.info.num_frames) == (width, height, 12)
        assert nonconforming(reader) is not None
        assert len(list(sample_for_attributes(reader, 4))) == 3
        transcode(reader, tmp_path / "whole.mp4")
        transcode(reader, tmp_path / "part.mp4", start=0.1, end=0.4)
    for name, count in (("whole.mp4", 12), ("part.mp4", 7)):
        made = probe(tmp_path / name)
        assert (made.width, made.height, made.num_frames) == (width, height, count)
    assert decode(path).shape == (12, height, width, 3)
    assert [frame.shape[2] for frame in _read_file(path, lambda count: [0, count - 1])] == [3, 3]


@pytest.mark.parametrize(
    ("box", "offset", "value"),
    [(b"stts", 12, 2**31 - 1), (b"mdhd", 12, 2**31 - 1), (b"mdhd", 12, 0), (b"mdhd", 12, 2**32 - 1)],
)
def test_a_rate_that_no_clock_holds_is_the_files_fault(
    box: bytes, offset: int, value: int, tmp_path: Path
) -> None:
    """Hours for each frame, billions of frames per second, or no time at all."""
    data = bytearray(write_video(tmp_path / "a.mp4", numbered_frames(96)[:6]).read_bytes())
    at = data.index(box) + 4 + offset
    data[at : at + 4] = value.to_bytes(4, "big")
    with pytest.raises(VideoError, match=r"^has (frames that stand|no frames)"):
        probe(bytes(data))


@pytest.mark.parametrize("suffix", [".mkv", ".webm"])
def test_damage_between_packets_is_not_the_end_of_the_file(suffix: str, tmp_path: Path) -> None:
    """FFmpeg's reader of Matroska ends there without a word."""
    codec: dict[str, Any] = (
        {} if suffix == ".mkv" else {"codec": "libvpx", "options": {"deadline": "realtime"}}
    )
    path = write_video(tmp_path / f"a{suffix}", numbered_frames(96), **codec)
    assert probe(path).num_frames == 96
    with av.open(str(path)) as container:
        places = [packet.pos for packet in container.demux() if packet.size]
    data = bytearray(path.read_bytes())
    data[places[20] : places[20] + 64] = bytes(range(200, 232)) * 2
    path.write_bytes(data)
    with pytest.raises(VideoError, match=r"is damaged: what can be read ends at 0\.8 of 4\.0 s"):
        probe(path)
