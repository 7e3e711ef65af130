"""Where packets do not tell the frames: fields, faulty timestamps, joined files, open groups, codecs."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from field_pairs import level, write_field_pairs
from test_video import trim
from video_files import (
    exact_rgb,
    full_decode,
    full_sound,
    noise,
    numbered_frames,
    read_stamp,
    write_sheet,
    write_video,
)

from emovid_dataset import build
from emovid_dataset.media.conforming import nonconforming
from emovid_dataset.media.encode import transcode
from emovid_dataset.media.frames import decode
from emovid_dataset.media.portable.video_file import VideoFile
from emovid_dataset.media.source import Reader, probe
from emovid_models.remote.annotator.reading import _read_file

RATE = 25
needs_ffmpeg = pytest.mark.skipif(
    shutil.which("ffmpeg") is None, reason="the ffmpeg command is not installed"
)


def counted_by_ffmpeg(path: Path) -> int:
    """Frames that the ffmpeg command decodes."""
    command = ["ffmpeg", "-v", "error", "-i", str(path), "-map", "0:v:0", "-vsync", "passthrough"]
    done = subprocess.run([*command, "-f", "framemd5", "-"], capture_output=True, text=True, check=True)
    return sum(not line.startswith("#") for line in done.stdout.splitlines())


def cut(path: Path, folder: Path, start: float | None = None, end: float | None = None) -> Path:
    with Reader(path) as reader:
        transcode(reader, folder / "out.mp4", start=start, end=end)
    return folder / "out.mp4"


def stamps(path: Path) -> list[int]:
    return [read_stamp(frame) for frame in full_decode(path)]


def test_a_program_stream_is_decoded_whole_once_for_its_segments(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_video(tmp_path / "raw.mpg", numbered_frames(96), rate=RATE, codec="mpeg2video", options={"g": "12"})
    rows = [
        {"path": "raw.mpg", "emotion": "awe", "content_type": "movie", "start": 0.3 * i, "end": 0.3 * i + 0.2}
        for i in range(12)
    ]
    opened = []
    monkeypatch.setattr(VideoFile, "__init__", _noting(VideoFile.__init__, opened))
    report = build(tmp_path, write_sheet(tmp_path, rows), tmp_path / "out", engine="serial")
    assert not report.rejections and sum(shard.samples for shard in report.manifest.shards) == 12
    assert sum(str(source).endswith("raw.mpg") for source in opened) == 1


def _noting(plainly: Any, opened: list[Any]) -> Any:
    def init(self: Any, source: Any, **options: Any) -> None:
        opened.append(source)
        plainly(self, source, **options)

    return init


# an index that contradicts the pictures


def exchanged(times: list[int]) -> list[int]:
    times[10], times[14] = times[14], times[10]
    return times


def thrown_back(times: list[int]) -> list[int]:
    times[30] = times[12] + 1
    return times


@pytest.mark.parametrize("change", [sorted, exchanged, thrown_back])
def test_times_against_the_order_of_the_pictures_are_put_right(change: Any, tmp_path: Path) -> None:
    """Times in the order of decoding, as of a muxer that knows no other, and single wrong ones."""
    options = {"bf": "3", "g": "24", "sc_threshold": "0"}
    whole = write_video(tmp_path / "whole.mp4", numbered_frames(48), rate=RATE, options=options)
    path = tmp_path / "a.mp4"
    with av.open(str(whole)) as old, av.open(str(path), "w", options={"movflags": "+faststart"}) as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        packets = [packet for packet in old.demux(video=0) if packet.size]
        early = 48 * (packets[0].duration or 0)  # no picture is shown before it is decoded
        for packet, time in zip(packets, change([packet.pts or 0 for packet in packets]), strict=True):
            packet.pts, packet.dts, packet.stream = time, (packet.dts or 0) - early, stream
            new.mux(packet)
    assert stamps(path) == list(range(48)) and counted_by_ffmpeg(path) == 48
    with Reader(path) as reader:
        assert reader.info.num_frames == 48
        assert nonconforming(reader) is not None
        assert (np.diff(reader.times) > 0).all()
        assert [read_stamp(exact_rgb(frame)) for _, frame in reader.frames([9, 14, 31])] == [9, 14, 31]
    made = cut(path, tmp_path)
    assert stamps(made) == list(range(48))
    with Reader(made) as reader, Reader(whole) as good:
        assert nonconforming(reader) is None and nonconforming(good) is None
        assert reader.info.duration == pytest.approx(48 / RATE, abs=0.1)


# fields


def is_pair(picture: np.ndarray, number: int) -> bool:
    """Whether a picture's first two lines are of the two fields of a frame, but for rounding."""
    upper, lower = (float(line.mean()) / 255 * 219 + 16 for line in picture[:2])
    return abs(upper - level(number)) < 1 and abs(lower - level(number) - 2) < 1


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts"])
def test_two_fields_are_one_frame(suffix: str, tmp_path: Path) -> None:
    path = write_field_pairs(tmp_path / f"paff{suffix}", 50)
    info = probe(path)
    assert (info.num_frames, info.fps, info.duration, info.constant_rate) == (50, 25, 2, True)
    chosen = [(2 * part + 1) * 50 // 32 for part in range(16)]
    for frame, number in zip(decode(path, frames=16), chosen, strict=True):
        assert is_pair(frame, number)
    for frame, number in zip(_read_file(path, lambda count: [0, 17, count - 1]), [0, 17, 49], strict=True):
        assert is_pair(frame, number)
    with Reader(path) as reader:
        assert nonconforming(reader) is not None
        transcode(reader, tmp_path / "whole.mp4")
        transcode(reader, tmp_path / "part.mp4", start=0.72, end=1.52)
    for name, places in (("whole.mp4", range(50)), ("part.mp4", range(18, 38))):
        made = full_decode(tmp_path / name)
        assert len(made) == len(places)
        for frame, number in zip(made, places, strict=True):
            assert abs(float(frame.mean()) / 255 * 219 + 16 - level(number) - 1) < 1.5


@needs_ffmpeg
def test_the_ffmpeg_command_sees_the_same_field_pairs(tmp_path: Path) -> None:
    assert counted_by_ffmpeg(write_field_pairs(tmp_path / "paff.mp4", 12)) == 12


# timestamps


def retimed(path: Path, shifts: dict[int, int]) -> Path:
    """Shift the timestamps of some packets of a Matroska file, by milliseconds."""
    data = bytearray(path.read_bytes())
    with av.open(str(path)) as container:
        packets = [bytes(packet) for packet in container.demux(video=0) if packet.size]
    for number, shift in shifts.items():
        at = data.index(packets[number]) - 3  # a block's track, timestamp and flags stand before its packet
        time = int.from_bytes(data[at : at + 2], "big", signed=True) + shift
        data[at : at + 2] = time.to_bytes(2, "big", signed=True)
    path.write_bytes(data)
    return path


FAULTS = {
    "doubled": {60: -40},
    "doubled forward": {60: 40},
    "three doubled": {10: -40, 40: -40, 90: 40},
    "backward": {60: -130},
    "far backward": {60: -1517},
    "far ahead": {60: 5003},
    "the first": {0: 40},
    "the last": {99: -40},
}


@pytest.mark.parametrize("codec", ["libvpx", "libx264"])
@pytest.mark.parametrize("fault", list(FAULTS))
def test_a_faulty_timestamp_costs_its_own_frame_alone(codec: str, fault: str, tmp_path: Path) -> None:
    """Four seconds of picture stay four seconds, whatever single timestamps say."""
    options = {
        "libvpx": {"deadline": "realtime", "cpu-used": "8"},
        "libx264": {"x264-params": "keyint=24:bframes=3:b-adapt=0"},
    }[codec]
    frames = numbered_frames(240)[:100]
    path = write_video(tmp_path / "a.mkv", frames, rate=RATE, codec=codec, options=options)
    retimed(path, FAULTS[fault])
    with Reader(path) as reader:
        assert reader.info.num_frames == 100
        assert reader.info.duration == pytest.approx(4, abs=0.002)
        assert reader.times == pytest.approx(np.arange(100) / RATE, abs=0.002)
        transcode(reader, tmp_path / "whole.mp4")
        transcode(reader, tmp_path / "part.mp4", start=2.2, end=2.6)
    assert stamps(tmp_path / "whole.mp4") == list(range(100))
    assert probe(tmp_path / "whole.mp4").duration == pytest.approx(4, abs=0.002)
    assert stamps(tmp_path / "part.mp4") == list(range(55, 65))
    assert [read_stamp(frame) for frame in decode(path, frames=5)] == [10, 30, 50, 70, 90]


@pytest.mark.parametrize("codec", ["libx264", "mpeg4", "mpeg2video"])
def test_times_of_decoding_are_not_those_of_the_pictures(codec: str, tmp_path: Path) -> None:
    """ASF has one time for a packet, which writers fill with that of decoding."""
    options = (
        {"x264-params": "keyint=24:bframes=2:b-adapt=0"}
        if codec == "libx264"
        else {"b": "4000000", "bf": "2"}
    )
    path = write_video(tmp_path / "a.asf", numbered_frames(48), rate=RATE, codec=codec, options=options)
    with Reader(path) as reader:
        assert reader.times == pytest.approx(np.arange(48) / RATE, abs=1.01 / RATE)
        transcode(reader, tmp_path / "whole.mp4")
        transcode(reader, tmp_path / "part.mp4", start=1.0, end=1.4)
    assert stamps(tmp_path / "whole.mp4") == list(range(48))
    part = stamps(tmp_path / "part.mp4")
    assert part == list(range(part[0], part[0] + 10)) and part[0] in (24, 25)
    sampled = [read_stamp(frame) for frame in decode(path, frames=4)]
    assert np.abs(np.array(sampled) - [6, 18, 30, 42]).max() <= 1  # the first time may be made up


MPEG2: dict[str, Any] = {"codec": "mpeg2video", "sound_codec": "mp2", "options": {"b": "2000000", "bf": "2"}}
JOINABLE: dict[str, dict[str, Any]] = {
    ".mpg": MPEG2,
    ".ts": {"sound_codec": "mp2", "options": {"x264-params": "bframes=2"}},
    ".vob": MPEG2,
    # the last packets of a part's sound stand behind the first pictures of the next one
    ".m2ts": {"sound_codec": "ac3", "options": {"x264-params": "bframes=2"}},
}


@pytest.mark.parametrize("suffix", [".mpg", ".ts"])
def test_a_program_stream_is_cut_at_its_frames(suffix: str, tmp_path: Path) -> None:
    """Most of its packets have no timestamp of their own."""
    frames, sound = numbered_frames(240)[:200], noise(8)
    path = write_video(tmp_path / f"a{suffix}", frames, rate=RATE, sound=sound, **JOINABLE[suffix])
    for start, end, first, stop in ((3.02, 4.0, 76, 100), (6.2, 8.0, 155, 200), (0.5, 0.9, 13, 23)):
        assert stamps(cut(path, tmp_path, start, end)) == list(range(first, stop)), (start, end)
    info = probe(path)
    assert (info.num_frames, info.constant_rate) == (200, True) and info.fps == pytest.approx(25)


@pytest.mark.parametrize("suffix", list(JOINABLE))
def test_joined_files_follow_each_other(suffix: str, tmp_path: Path) -> None:
    """Their clocks begin anew in the middle."""
    parts = []
    for number in range(2):
        frames = numbered_frames(240)[50 * number : 50 * number + 50]
        sound = noise(4)[number * 2 * 44100 : (number + 1) * 2 * 44100]
        part = tmp_path / f"{number}{suffix}"
        parts.append(write_video(part, frames, rate=RATE, sound=sound, **JOINABLE[suffix]).read_bytes())
    path = tmp_path / f"joined{suffix}"
    path.write_bytes(b"".join(parts))
    info = probe(path)
    assert (info.num_frames, info.constant_rate, round(info.duration, 3)) == (100, True, 4)
    assert stamps(cut(path, tmp_path)) == list(range(100))
    for start, end in ((1.5, 2.6), (2.4, 3.2)):
        out = cut(path, tmp_path, start, end)
        first, stop = round(np.ceil(start * RATE - 1e-6)), round(np.ceil(end * RATE - 1e-6))
        assert stamps(out) == list(range(first, stop))
        heard, rate, begin = full_sound(out)
        assert abs(begin) < 0.01 and len(heard) / rate == pytest.approx(end - start, abs=0.05)
        # where the first part's sound ends and the second one's begins there may be a few milliseconds more
        due = (2.8 if start > 2 else 1.6) * 44100
        piece = noise(4)[round(due) : round(due) + 11025]
        found = np.argmax(np.correlate(heard, piece, "valid")) / rate
        assert found == pytest.approx(due / 44100 - first / RATE, abs=0.04)


# open groups


@pytest.mark.parametrize("name", ["a.mkv", "a.mp4"])
def test_what_does_not_decode_at_the_beginning_is_not_counted(name: str, tmp_path: Path) -> None:
    """Frames shown before the first key frame refer to one that a cut has taken away."""
    options = {"x264-params": "open-gop=1:keyint=30:min-keyint=30:scenecut=0:bframes=3:b-adapt=0"}
    whole = write_video(tmp_path / "whole.mp4", numbered_frames(240)[:70], rate=RATE, options=options)
    muxer = {"use_editlist": "0", "movflags": "+faststart"} if name == "a.mp4" else {}
    with av.open(str(whole)) as old, av.open(str(tmp_path / name), "w", options=muxer) as new:
        stream = old.streams.video[0]
        out = new.add_stream_from_template(stream)
        packets = [packet for packet in old.demux(stream) if packet.size]
        second = [index for index, packet in enumerate(packets) if packet.is_keyframe][1]
        leading = sum((packet.pts or 0) < (packets[second].pts or 0) for packet in packets[second:])
        assert leading
        for packet in packets[second:]:
            packet.stream = out
            new.mux(packet)
    plain = stamps(tmp_path / name)
    assert plain == list(range(second + leading, 70))
    with Reader(tmp_path / name) as reader:
        assert reader.info.num_frames == len(plain)
        assert nonconforming(reader) is not None
        transcode(reader, tmp_path / "out.mp4")
    assert [read_stamp(frame) for frame in decode(tmp_path / name)] == plain == stamps(tmp_path / "out.mp4")
    if shutil.which("ffmpeg"):
        assert counted_by_ffmpeg(tmp_path / name) == len(plain)


@needs_ffmpeg
def test_packets_that_show_nothing_are_not_counted(tmp_path: Path) -> None:
    """VP8 keeps pictures for later frames to refer to, each in a packet of its own."""
    options = {"deadline": "realtime", "cpu-used": "8", "g": "40"}
    frames = numbered_frames(240)[:80]
    path = write_video(tmp_path / "a.webm", frames, rate=RATE, codec="libvpx", options=options)
    data = bytearray(path.read_bytes())
    with av.open(str(path)) as container:
        packets = [bytes(packet) for packet in container.demux(video=0) if packet.size]
    hidden = (5, 31, 62)
    for number in hidden:
        data[data.index(packets[number])] &= ~0x10  # its frame is not to be shown
    path.write_bytes(data)
    left = [number for number in range(80) if number not in hidden]
    assert probe(path).num_frames == counted_by_ffmpeg(path) == len(left)
    assert [read_stamp(frame) for frame in decode(path)] == left == stamps(cut(path, tmp_path))
    assert stamps(cut(path, tmp_path, 1.2, 2.0)) == [30, *range(32, 50)]


@needs_ffmpeg
@pytest.mark.parametrize("suffix", [".ts", ".mpg"])
def test_a_recording_that_begins_in_the_middle(suffix: str, tmp_path: Path) -> None:
    """As a broadcast does: what comes before the first key frame does not decode."""
    options = {"x264-params": "keyint=20:bframes=2"} if suffix == ".ts" else {"b": "2000000", "g": "20"}
    codec = "libx264" if suffix == ".ts" else "mpeg2video"
    path = write_video(
        tmp_path / f"a{suffix}", numbered_frames(240)[:100], rate=RATE, codec=codec, options=options
    )
    data = path.read_bytes()
    unit = 188 if suffix == ".ts" else 2048
    path.write_bytes(data[len(data) // 3 // unit * unit :])
    count = counted_by_ffmpeg(path)
    made = stamps(cut(path, tmp_path))
    assert made == list(range(100 - len(made), 100)) and 20 < len(made) <= 80
    assert probe(path).num_frames == len(made)
    assert len(made) <= count, "what refers to lost frames is not taken"


# decoder settings

_FAST = {"deadline": "realtime", "cpu-used": "8"}
_FINE = {"flags": "+qscale", "global_quality": "236"}
CODECS: dict[str, tuple[str, str, dict[str, str]]] = {
    # encoder: suffix, pixel format, options
    "libx264": (".mp4", "yuv420p", {"x264-params": "keyint=20:bframes=3:b-pyramid=normal"}),
    "libx265": (".mp4", "yuv420p", {"x265-params": "log-level=none:keyint=20:bframes=4:temporal-layers=3"}),
    "libsvtav1": (".mp4", "yuv420p", {"preset": "12", "g": "20"}),
    "libvpx": (".webm", "yuv420p", {**_FAST, "g": "20"}),
    "libvpx-vp9": (".webm", "yuv420p", {**_FAST, "g": "20"}),
    "mpeg1video": (".mpg", "yuv420p", {"b": "2000000", "bf": "2"}),
    "mpeg2video": (".ts", "yuv420p", {"b": "2000000", "bf": "2"}),
    "mpeg4": (".mp4", "yuv420p", {"b": "2000000", "bf": "2"}),
    "wmv2": (".asf", "yuv420p", _FINE),
    "flv": (".flv", "yuv420p", _FINE),
    "snow": (".avi", "yuv420p", _FINE),
    "svq1": (".mov", "yuv410p", _FINE),
    "cinepak": (".mov", "rgb24", {}),
    "zmbv": (".avi", "bgr0", {}),
    "flashsv": (".flv", "bgr24", {}),
    "utvideo": (".avi", "yuv420p", {}),
    "rawvideo": (".avi", "yuv420p", {}),
    "mjpeg": (".avi", "yuvj420p", {}),
    "prores": (".mov", "yuv422p10le", {}),
    "ffv1": (".mkv", "yuv420p", {}),
    "huffyuv": (".avi", "yuv422p", {}),
    "qtrle": (".mov", "rgb24", {}),
    "png": (".mov", "rgb24", {}),
    "gif": (".gif", "rgb8", {}),
    "apng": (".apng", "rgb24", {}),
    "libwebp_anim": (".webp", "bgra", {}),
}


@pytest.mark.parametrize("codec", list(CODECS))
def test_chosen_frames_and_segments_are_those_of_plain_decoding(codec: str, tmp_path: Path) -> None:
    """Whatever a decoder is told to leave out, the frames that are wanted come out the same."""
    if codec not in av.codecs_available:
        pytest.skip(f"this PyAV cannot encode {codec}")
    suffix, pixels, options = CODECS[codec]
    frames = numbered_frames(240)[:64]
    form = "apng" if suffix == ".apng" else None
    path = write_video(
        tmp_path / f"a{suffix}", frames, rate=RATE, codec=codec, pixels=pixels, options=options, form=form
    )
    if suffix == ".webp":
        assert [read_stamp(frame) for frame in decode(path)] == list(range(64))
        return
    everything = full_decode(path)
    assert [read_stamp(frame) for frame in everything] == list(range(64))
    with Reader(path) as reader:
        assert reader.info.num_frames == 64
        for chosen in ([0, 31, 63], [9, 10, 11, 45], [63], list(range(5, 64, 7))):
            found = {index: exact_rgb(frame) for index, frame in reader.frames(chosen)}
            assert list(found) == chosen
            assert all(np.array_equal(found[index], everything[index]) for index in chosen), chosen
        for start, end in ((0.4, 1.2), (1.6, 2.56)):
            transcode(reader, tmp_path / "out.mp4", start=start, end=end)
            assert stamps(tmp_path / "out.mp4") == list(range(round(start * RATE), round(end * RATE)))


@pytest.mark.parametrize("start", [7, 27])
def test_an_edit_list_over_av1(start: int, tmp_path: Path) -> None:
    """Its decoder gives hidden frames too."""
    options = {"preset": "12", "g": "20"}
    source = write_video(
        tmp_path / "a.mp4", numbered_frames(240)[:50], rate=RATE, codec="libsvtav1", options=options
    )
    path = trim(source, tmp_path / "trimmed.mp4", start, whole=True, encoder="libsvtav1")
    with Reader(path) as reader:
        assert reader.info.num_frames == 50 - start
        transcode(reader, tmp_path / "out.mp4")
        transcode(reader, tmp_path / "part.mp4", start=0.2, end=0.6)
    assert stamps(tmp_path / "out.mp4") == list(range(start, 50))
    assert stamps(tmp_path / "part.mp4") == list(range(start + 5, start + 15))
    assert [read_stamp(frame) for frame in decode(path)] == list(range(start, 50))
