"""Frames, cuts and transcodes against plain full decodes by PyAV, and by OpenCV and torchcodec."""

from __future__ import annotations

import random
from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from PIL import Image
from scipy.signal import correlate
from video_files import (
    MINI,
    SOUND_RATE,
    cartoon,
    full_decode,
    full_sound,
    noise,
    numbered_frames,
    read_stamp,
    remux,
    rotate,
    sticker,
    write_video,
)

from emovid_dataset.media.conforming import nonconforming
from emovid_dataset.media.encode import transcode
from emovid_dataset.media.frames import decode, uniform_indices
from emovid_dataset.media.portable.truncation import is_truncated
from emovid_dataset.media.portable.video_file import VideoFile
from emovid_dataset.media.source import Reader, VideoError, probe

COUNT = 96

X264 = {
    "closed groups": "keyint=12:min-keyint=12:scenecut=0:bframes=2",
    "open groups": "open-gop=1:keyint=10:min-keyint=10:scenecut=0:bframes=3:b-pyramid=normal",
    "b-pyramid": "keyint=250:bframes=8:b-pyramid=strict:b-adapt=0",
    "no b-frames": "keyint=20:bframes=0",
    "one group": "keyint=infinite:bframes=3",
    "intra refresh": "keyint=30:intra-refresh=1:bframes=0",
    "all key frames": "keyint=1",
    "many slices": "keyint=24:slices=4:bframes=2",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("video")


def opencv_decode(path: Path) -> list[np.ndarray]:
    capture = cv2.VideoCapture(str(path))
    frames = []
    while True:
        there, frame = capture.read()
        if not there:
            return frames
        frames.append(frame[..., ::-1])


def torchcodec_decode(path: Path) -> np.ndarray:
    decoders = pytest.importorskip("torchcodec.decoders", exc_type=Exception)
    decoder = decoders.VideoDecoder(str(path), dimension_order="NHWC", num_ffmpeg_threads=1)
    return np.stack([decoder.get_frame_at(i).data.numpy() for i in range(decoder.metadata.num_frames)])


def apart(one: np.ndarray, other: np.ndarray) -> float:
    """Mean difference of two pictures in grey levels."""
    return float(np.abs(one.astype(int) - other.astype(int)).mean())


@pytest.fixture(scope="module", params=list(X264))
def coded(request: pytest.FixtureRequest, folder: Path) -> Path:
    path = folder / f"{request.param.replace(' ', '-')}.mp4"
    options = {"x264-params": X264[request.param]}
    return write_video(path, numbered_frames(COUNT), options=options)


def test_sampled_frames_are_those_of_a_full_decode(coded: Path) -> None:
    everything = full_decode(coded)
    assert [read_stamp(frame) for frame in everything] == list(range(COUNT))
    with VideoFile(coded) as file:
        assert file.packets.doubt is None, "nothing has to be decoded twice"
    for count in (1, 4, 16, 17, COUNT, 2 * COUNT):
        chosen = uniform_indices(COUNT, count)
        frames = decode(coded, frames=count)
        assert frames.dtype == np.uint8 and frames.shape == (count, 96, 160, 3)
        for index, frame in zip(chosen, frames, strict=True):
            assert np.array_equal(frame, everything[index]), f"{count}: frame {index}"


def test_any_frames_are_those_of_a_full_decode(coded: Path) -> None:
    everything = full_decode(coded)
    draw = random.Random(coded.name)
    for _ in range(12):
        chosen = [draw.randrange(COUNT) for _ in range(draw.randint(1, 9))]
        frames = decode(coded, frames=lambda count, chosen=chosen: chosen)
        for index, frame in zip(chosen, frames, strict=True):
            assert np.array_equal(frame, everything[index]), f"{chosen}: frame {index}"


def test_other_decoders_see_the_same_frames(coded: Path) -> None:
    with_opencv, with_torchcodec = opencv_decode(coded), torchcodec_decode(coded)
    assert len(with_opencv) == len(with_torchcodec) == COUNT
    for index, frame in zip(uniform_indices(COUNT, 16), decode(coded, frames=16), strict=True):
        # they convert to RGB by other roads, so a grey level or two apart
        assert apart(frame, with_opencv[index]) < 3
        assert apart(frame, with_torchcodec[index]) < 3
        assert read_stamp(with_opencv[index]) == read_stamp(with_torchcodec[index]) == index


def test_the_yuv_planes_are_bit_exact_and_threads_change_nothing(coded: Path) -> None:
    planes = full_decode(coded, pixels="yuv420p")
    with Reader(coded) as reader:
        for index, frame in reader.frames(range(3, COUNT, 7)):
            assert np.array_equal(frame.to_ndarray(), planes[index])
    assert np.array_equal(decode(coded, frames=9), decode(coded, frames=9, threads=2))


def test_bytes_and_paths_give_the_same(coded: Path) -> None:
    assert probe(coded) == probe(coded.read_bytes()) == probe(str(coded))
    assert np.array_equal(decode(coded, frames=5), decode(coded.read_bytes(), frames=5))


@pytest.mark.parametrize("count", [1, 2, 3, 5, 17, 31])
def test_odd_frame_counts(folder: Path, count: int) -> None:
    path = write_video(folder / f"count{count}.mp4", numbered_frames(COUNT)[:count])
    info = probe(path)
    assert (info.num_frames, info.constant_rate) == (count, True)
    assert info.duration == pytest.approx(count / 24, abs=1e-6) and info.fps == pytest.approx(24, abs=1e-3)
    seen = [read_stamp(frame) for frame in decode(path, frames=16)]
    assert seen == uniform_indices(count, 16)


def test_every_clip_of_the_miniature_corpus() -> None:
    for path in sorted(MINI.glob("*/*.mp4"))[::9]:
        everything = full_decode(path)
        assert probe(path).num_frames == len(everything), path.name
        for index, frame in zip(uniform_indices(len(everything), 16), decode(path, frames=16), strict=True):
            assert np.array_equal(frame, everything[index]), f"{path.name}: frame {index}"


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_variable_rate_is_sampled_in_time(folder: Path, suffix: str) -> None:
    gaps = np.random.default_rng(3).integers(15, 400, COUNT - 1)
    times = np.concatenate([[0], np.cumsum(gaps)]) / 1000
    path = write_video(folder / f"vfr{suffix}", numbered_frames(COUNT), times=list(times))
    info = probe(path)
    assert not info.constant_rate and info.num_frames == COUNT
    middles = (np.arange(16) + 0.5) * info.duration / 16
    shown = [int(np.flatnonzero(times <= middle + 1e-4)[-1]) for middle in middles]
    assert [read_stamp(frame) for frame in decode(path, frames=16)] == shown
    assert [read_stamp(frame) for frame in decode(path)] == list(range(COUNT))


def trim(
    source: Path, path: Path, start: int, *, whole: bool, title: str = "", encoder: str | None = None
) -> Path:
    """Copy an MP4's packets and hide the frames before `start` by an edit list, as `ffmpeg -ss -c copy` does.

    With `whole` the hidden packets are all those of the source, else they begin at the key frame. Where the
    codec's decoder is no encoder, an `encoder` of the same codec must be named.
    """
    with av.open(str(source)) as old, av.open(str(path), "w", options={"movflags": "+faststart"}) as new:
        stream = old.streams.video[0]
        out: Any
        if encoder is None:
            out = new.add_stream_from_template(stream)
        else:
            out = new.add_stream(encoder, rate=stream.average_rate)
            out.width, out.height, out.pix_fmt = stream.width, stream.height, "yuv420p"
            out.codec_context.extradata = stream.codec_context.extradata
            out.codec_context.time_base = stream.time_base
        if title:
            new.metadata["title"] = title
        packets = [packet for packet in old.demux(stream) if packet.size]
        times = sorted(packet.pts for packet in packets if packet.pts is not None)
        first = times[start]
        keys = [i for i, packet in enumerate(packets) if packet.is_keyframe and (packet.pts or 0) <= first]
        for packet in packets[0 if whole else keys[-1] :]:
            assert packet.pts is not None and packet.dts is not None
            packet.pts -= first
            packet.dts -= first
            packet.stream = out
            new.mux(packet)
    return path


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("start", [5, 36, 41])
def test_a_trimmed_video_shows_its_own_frames(start: int, whole: bool, folder: Path, tmp_path: Path) -> None:
    """What an edit list hides is not counted, but later frames refer to it."""
    options = {"x264-params": "keyint=12:min-keyint=12:scenecut=0:bframes=3"}
    source = write_video(folder / "untrimmed.mp4", numbered_frames(COUNT)[:60], options=options)
    path = trim(source, tmp_path / "trimmed.mp4", start, whole=whole)
    everything = full_decode(path)
    assert [read_stamp(frame) for frame in everything] == list(range(start, 60))
    assert np.array_equal(decode(path), everything)
    for chosen in ([0], [1, 2], [len(everything) - 1]):
        frames = decode(path, frames=lambda count, chosen=chosen: chosen)
        assert np.array_equal(frames, [everything[index] for index in chosen])
    with Reader(path) as reader:
        assert reader.info.num_frames == 60 - start
        assert reader.info.duration == pytest.approx((60 - start) / 24, abs=1e-3)
        hidden = whole or start != 36  # at a key frame nothing needs to be hidden
        assert nonconforming(reader) == ("frames that its edit list leaves out" if hidden else None)
        transcode(reader, tmp_path / "out.mp4")
        transcode(reader, tmp_path / "part.mp4", start=0.25, end=0.5)
    assert [read_stamp(frame) for frame in full_decode(tmp_path / "out.mp4")] == list(range(start, 60))
    assert [read_stamp(frame) for frame in full_decode(tmp_path / "part.mp4")] == list(
        range(start + 6, start + 12)
    )


def test_a_title_in_another_encoding_does_not_matter(folder: Path, tmp_path: Path) -> None:
    """Where an edit list leaves out frames altogether, the file is opened once more to count them."""
    options = {"x264-params": "keyint=12:min-keyint=12:scenecut=0:bframes=3"}
    source = write_video(folder / "untitled.mp4", numbered_frames(COUNT)[:60], options=options)
    path = trim(source, tmp_path / "trimmed.mp4", 41, whole=True, title="Zaehne")
    data = path.read_bytes()
    assert data.count(b"Zaehne") == 1
    frames = decode(data.replace(b"Zaehne", b"Z\xe4\xe4hne"))
    assert [read_stamp(frame) for frame in frames] == list(range(41, 60))


def test_av1_is_decoded_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its decoder cannot be told anew for every frame which to leave out, but groups are left out."""
    options = {"preset": "12", "g": "24"}
    path = write_video(folder / "once.mp4", numbered_frames(COUNT), codec="libsvtav1", options=options)
    everything = full_decode(path)

    def again(self: Any) -> Any:
        raise AssertionError("everything is decoded again")

    monkeypatch.setattr(VideoFile, "_decode_all", again)
    for chosen in ([0, 40, 95], [5, 6, 33], [95], [17]):
        frames = decode(path, frames=lambda count, chosen=chosen: chosen)
        assert np.array_equal(frames, [everything[index] for index in chosen])


def test_a_gradual_refresh_is_no_place_to_begin(folder: Path) -> None:
    """MPEG-TS marks where a gradual refresh begins as a key frame; it needs the frames before it."""
    options = {"x264-params": "intra-refresh=1:keyint=10:bframes=0:scenecut=0"}
    path = write_video(folder / "refresh.ts", numbered_frames(COUNT)[:60], options=options)
    everything = full_decode(path)
    for index in range(60):
        assert np.array_equal(decode(path, frames=lambda count, index=index: [index])[0], everything[index])


def test_an_mp4_without_its_last_frames_is_truncated(folder: Path, tmp_path: Path) -> None:
    """The box of the frames reaches to the end of the file, so that only the index knows of more."""
    data = bytearray(write_video(folder / "index.mp4", numbered_frames(COUNT)[:60]).read_bytes())
    at = data.index(b"mdat")
    data[at - 4 : at] = bytes(4)
    path = tmp_path / "cut.mp4"
    path.write_bytes(data)
    assert probe(path).num_frames == 60
    path.write_bytes(data[: (at + len(data)) // 2])
    with pytest.raises(VideoError, match=r"is truncated: \d+ of 60 frames are there"):
        probe(path)


def test_the_wrong_indices_are_refused() -> None:
    with pytest.raises(ValueError, match=r"frame indices 0\.\.999 of \d+ frames"):
        decode(sticker(), frames=lambda count: [0, 999])
    with pytest.raises(ValueError, match="must be at least 1"):
        uniform_indices(0, 4)


# cutting

FILMS: dict[str, dict[str, Any]] = {
    "film.mp4": {},
    "open.mp4": {"options": {"x264-params": X264["open groups"]}},
    "film.mkv": {},
    "one-key-frame.mkv": {"options": {"x264-params": X264["one group"]}},
    "film.mov": {},
    "h264.avi": {"sound_codec": "mp2"},
    "mpeg4.avi": {"codec": "mpeg4", "sound_codec": "mp2", "options": {"b": "2000000"}},
    "mpeg4-b.avi": {"codec": "mpeg4", "sound_codec": "mp2", "options": {"b": "2000000", "bf": "2"}},
    "av1.mp4": {"codec": "libsvtav1", "options": {"preset": "12", "g": "48"}},
    "film.mpg": {"codec": "mpeg2video", "sound_codec": "mp2", "options": {"b": "4000000", "bf": "2"}},
    "film.webm": {
        "codec": "libvpx-vp9",
        "sound_codec": "libopus",
        "sound_rate": 48000,
        "options": {"deadline": "realtime", "cpu-used": "8"},
    },
}
CUTS = ((0.0, 1.0), (2.0, 4.5), (3.1, 5.26), (6.95, 7.0), (7.75, 10.0))
LENGTH = 240


@pytest.fixture(scope="module", params=list(FILMS))
def film(request: pytest.FixtureRequest, folder: Path) -> Path:
    how = dict(FILMS[request.param])
    sound = noise(LENGTH / 24, rate=how.get("sound_rate", SOUND_RATE))
    return write_video(folder / request.param, numbered_frames(LENGTH), sound=sound, **how)


def test_segments_hold_exactly_their_frames_and_sound(film: Path, tmp_path: Path) -> None:
    everything = full_decode(film)
    assert [read_stamp(frame) for frame in everything] == list(range(LENGTH))
    with av.open(str(film)) as container:
        first = next(container.decode(video=0)).time or 0.0
    if film.suffix == ".avi":
        first = 0.0  # AVI shows frame n at n / rate, whatever FFmpeg guesses
    sound, rate, sound_first = full_sound(film)
    with Reader(film) as reader:
        for start, end in CUTS:
            out = tmp_path / f"{start}.mp4"
            transcode(reader, out, start=start, end=end)
            with Reader(out) as made:
                assert nonconforming(made) is None
            frames = full_decode(out)
            wanted = [i for i in range(LENGTH) if start - 1e-6 <= i / 24 < end - 1e-6]
            assert [read_stamp(frame) for frame in frames] == wanted, f"{start}..{end}"
            assert max(apart(a, everything[i]) for a, i in zip(frames, wanted, strict=True)) < 5
            if end - start < 0.5:
                continue
            cut, cut_rate, cut_first = full_sound(out)
            assert (cut_rate, round(cut_first, 2)) == (rate, 0)
            # the middle of the cut's sound, looked for a half second about where it must be
            middle = cut[rate // 4 : len(cut) - rate // 4][: 2 * rate]
            due = round((wanted[0] / 24 + first - sound_first + 0.25) * rate)
            low = max(due - rate // 2, 0)
            stretch = sound[low : due + rate // 2 + len(middle)]
            likeness = correlate(stretch, middle, "valid")
            found = low + int(np.argmax(likeness))
            assert abs(found - due) / rate < 0.002, f"{start}..{end}: {(found - due) / rate * 1000} ms"
            same = sound[found : found + len(middle)]
            assert np.max(likeness) / np.linalg.norm(same) / np.linalg.norm(middle) > 0.8


def test_segments_in_any_order_and_again_are_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    path = write_video(folder / "again.mkv", numbered_frames(LENGTH), sound=noise(10))
    with Reader(path) as reader:
        for name, (start, end) in (("a", CUTS[2]), ("x", CUTS[4]), ("y", CUTS[0]), ("b", CUTS[2])):
            transcode(reader, tmp_path / f"{name}.mp4", start=start, end=end)
    with Reader(path) as fresh:
        transcode(fresh, tmp_path / "c.mp4", start=CUTS[2][0], end=CUTS[2][1])
    one = (tmp_path / "a.mp4").read_bytes()
    assert one == (tmp_path / "b.mp4").read_bytes() == (tmp_path / "c.mp4").read_bytes()


def test_neighbouring_segments_share_no_frame_and_lose_none(folder: Path, tmp_path: Path) -> None:
    path = write_video(folder / "next.mp4", numbered_frames(LENGTH))
    edges = [0.0, 0.51, 1.2345, 3.0, 3.04, 7.77, 10.0]
    seen: list[int] = []
    with Reader(path) as reader:
        for start, end in pairwise(edges):
            transcode(reader, tmp_path / "part.mp4", start=start, end=end)
            seen += [read_stamp(frame) for frame in full_decode(tmp_path / "part.mp4")]
    assert seen == list(range(LENGTH))


def test_a_segment_between_two_frames_shows_the_one_on_display(folder: Path, tmp_path: Path) -> None:
    path = write_video(folder / "slow.mp4", numbered_frames(COUNT)[:8], rate=2)
    with Reader(path) as reader:
        transcode(reader, tmp_path / "one.mp4", start=1.1, end=1.4)
        with pytest.raises(VideoError, match="has no frame in the segment"):
            transcode(reader, tmp_path / "none.mp4", start=4.0, end=4.2)
    assert [read_stamp(frame) for frame in full_decode(tmp_path / "one.mp4")] == [2]
    assert probe(tmp_path / "one.mp4").duration == pytest.approx(0.3, abs=1e-3)


def test_a_gap_in_the_sound_stays_a_gap(folder: Path, tmp_path: Path) -> None:
    sound = noise(10)
    path = write_video(folder / "gap.mkv", numbered_frames(LENGTH), sound=sound, sound_gap=(3, 5))
    with Reader(path) as reader:
        transcode(reader, tmp_path / "gap.mp4")
    heard, rate, _ = full_sound(tmp_path / "gap.mp4")
    assert rate == SOUND_RATE
    assert np.abs(heard[int(3.2 * rate) : int(4.8 * rate)]).max() < 1e-3
    for second in (1, 6, 8):
        piece = sound[second * rate : (second + 1) * rate]
        found = np.argmax(correlate(heard, piece, "valid")) / rate
        assert found == pytest.approx(second, abs=0.002)


# transcoding whole files


def with_hole(count: int) -> list[np.ndarray]:
    """RGBA frames with a transparent hole whose hidden colour is dark."""
    frames = []
    for picture in numbered_frames(COUNT)[:count]:
        alpha = np.full((*picture.shape[:2], 1), 255, np.uint8)
        alpha[40:80, 40:80] = 0
        hidden = picture.copy()
        hidden[40:80, 40:80] = (10, 20, 30)
        frames.append(np.concatenate([hidden, alpha], axis=2))
    return frames


def webm(codec: str) -> Callable[[Path], Path]:
    options = {"deadline": "realtime", "cpu-used": "8", "auto-alt-ref": "0"}
    return lambda folder: write_video(
        folder / f"{codec}.webm", with_hole(24), codec=codec, pixels="yuva420p", options=options
    )


def pillow(name: str, **how: Any) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        images = [Image.fromarray(frame) for frame in with_hole(24)]
        images[0].save(folder / name, save_all=True, append_images=images[1:], duration=40, **how)
        return folder / name

    return make


TRANSPARENT: dict[str, Callable[[Path], Path]] = {
    "animated webp": pillow("hole.webp", quality=90),
    "lossless webp": pillow("lossless.webp", lossless=True),
    "gif": pillow("hole.gif", disposal=2),
    "apng": lambda folder: write_video(
        folder / "hole.apng", with_hole(24), codec="apng", pixels="rgba", form="apng"
    ),
    "vp9 webm": webm("libvpx-vp9"),
    "vp8 webm": webm("libvpx"),
}


@pytest.mark.parametrize("kind", list(TRANSPARENT))
def test_transparent_pixels_become_white(kind: str, tmp_path: Path) -> None:
    path = TRANSPARENT[kind](tmp_path)
    frames = decode(path)
    assert [read_stamp(frame) for frame in frames] == list(range(24))
    with Reader(path) as reader:
        assert nonconforming(reader) is not None
        transcode(reader, tmp_path / "out.mp4")
    made = full_decode(tmp_path / "out.mp4")
    assert [read_stamp(frame) for frame in made] == list(range(24))
    source = numbered_frames(COUNT)
    for frame in (*frames[::8], *made[::8]):
        assert frame[46:74, 46:74].min() > 245, "the hole is not white"
        assert apart(frame[:32, :], source[read_stamp(frame)][:32, :]) < 12


def test_half_transparent_is_half_white(tmp_path: Path) -> None:
    pictures = [np.full((32, 128, 4), (0, 0, 0, alpha), np.uint8) for alpha in (0, 64, 128, 255)]
    images = [Image.fromarray(picture) for picture in pictures]
    images[0].save(
        tmp_path / "half.webp", save_all=True, append_images=images[1:], duration=100, lossless=True
    )
    levels = [int(frame[16, 64, 0]) for frame in decode(tmp_path / "half.webp")]
    assert levels == [255, 191, 127, 0]


@pytest.mark.parametrize("name", ["slow.webp", "slow.gif"])
def test_the_delays_of_a_sticker_are_kept(name: str, tmp_path: Path) -> None:
    delays = [40, 200, 40, 1000, 120, 40, 2500]
    images = [Image.fromarray(frame) for frame in numbered_frames(COUNT)[: len(delays)]]
    images[0].save(tmp_path / name, save_all=True, append_images=images[1:], duration=delays)
    with Reader(tmp_path / name) as reader:
        assert reader.info.duration == pytest.approx(sum(delays) / 1000)
        transcode(reader, tmp_path / "out.mp4")
    with Reader(tmp_path / "out.mp4") as made:
        assert nonconforming(made) is None
        assert made.info.duration == pytest.approx(sum(delays) / 1000, abs=1e-3)
        assert made.times == pytest.approx(np.cumsum([0, *delays[:-1]]) / 1000, abs=1e-3)
    # most of the time the last frame is seen
    assert [read_stamp(frame) for frame in decode(tmp_path / "out.mp4", frames=4)] == [3, 6, 6, 6]


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_a_rotated_clip_comes_out_upright(degrees: int, folder: Path, tmp_path: Path) -> None:
    path = rotate(write_video(tmp_path / "phone.mp4", numbered_frames(COUNT)[:8]), degrees)
    upright = opencv_decode(path)  # OpenCV turns by the file's matrix by itself
    frames = decode(path)
    assert frames.shape == (8, *upright[0].shape)
    assert max(apart(*pair) for pair in zip(frames, upright, strict=True)) < 3
    with Reader(path) as reader:
        transcode(reader, tmp_path / "out.mp4")
    made = full_decode(tmp_path / "out.mp4")
    assert max(apart(*pair) for pair in zip(made, upright, strict=True)) < 6


NONCONFORMING: dict[str, tuple[str, dict[str, Any]]] = {
    "ten bits": ("pixel format yuv420p10le", {"pixels": "yuv420p10le"}),
    "full chroma": ("pixel format yuv444p", {"pixels": "yuv444p"}),
    "full range": ("pixel format yuvj420p", {"pixels": "yuvj420p"}),
    "hevc": ("codec hevc", {"codec": "libx265", "options": {"x265-params": "log-level=none"}}),
    "mpeg-4": ("codec mpeg4", {"codec": "mpeg4"}),
    "index last": ("index behind the frames", {"container": {"movflags": "+write_colr"}}),
    "mp3 sound": ("sound codec mp3float", {"sound": noise(0.3), "sound_codec": "libmp3lame"}),
}


@pytest.mark.parametrize("kind", list(NONCONFORMING))
def test_what_does_not_conform_is_named_and_made_conforming(kind: str, tmp_path: Path) -> None:
    reason, how = NONCONFORMING[kind]
    path = write_video(tmp_path / "in.mp4", numbered_frames(COUNT)[:12], **how)
    with Reader(path) as reader:
        assert nonconforming(reader) == reason
        transcode(reader, tmp_path / "out.mp4")
    with Reader(tmp_path / "out.mp4") as made:
        assert nonconforming(made) is None
        assert (made.info.num_frames, made.info.fps) == (12, 24.0)
        assert made.info.has_audio == ("sound" in how)
    for frame, source in zip(full_decode(tmp_path / "out.mp4"), numbered_frames(COUNT), strict=False):
        assert apart(frame, source) < 6


def test_the_quicktime_brand_is_no_mp4(tmp_path: Path) -> None:
    with Reader(remux(sticker(), tmp_path / "clip.mov")) as reader:
        assert nonconforming(reader) == "container mov"
    with Reader(remux(sticker(), tmp_path / "clip.mkv")) as reader:
        assert nonconforming(reader) == "container matroska"
    with Reader(sticker()) as reader:
        assert nonconforming(reader) is None


def test_odd_sizes_are_made_even(tmp_path: Path) -> None:
    frames = [frame[:95, :159] for frame in numbered_frames(COUNT)[:6]]
    path = write_video(tmp_path / "odd.mkv", frames, pixels="yuv444p")
    with Reader(path) as reader:
        assert (reader.info.width, reader.info.height) == (159, 95)
        transcode(reader, tmp_path / "out.mp4")
    info = probe(tmp_path / "out.mp4")
    assert (info.width, info.height, info.num_frames) == (160, 96, 6)


def test_ntsc_rates_stay_exact(tmp_path: Path) -> None:
    path = write_video(tmp_path / "ntsc.avi", numbered_frames(COUNT), rate=Fraction(30000, 1001))
    with Reader(path) as reader:
        transcode(reader, tmp_path / "out.mp4")
    with av.open(str(tmp_path / "out.mp4")) as made:
        assert made.streams.video[0].average_rate == Fraction(30000, 1001)


def test_sound_without_picture_and_picture_without_sound() -> None:
    assert probe(cartoon()).has_audio and not probe(sticker()).has_audio


# truncation


@pytest.mark.parametrize("name", ["a.mp4", "a.mov", "a.mkv", "a.webm", "a.avi", "a.gif", "a.webp", "a.apng"])
def test_a_cut_file_is_told_from_a_whole_one(name: str, tmp_path: Path) -> None:
    frames = numbered_frames(COUNT)[:10]
    path = tmp_path / name
    if path.suffix in (".gif", ".webp"):
        images = [Image.fromarray(frame) for frame in frames]
        images[0].save(path, save_all=True, append_images=images[1:], duration=40)
    else:
        codec = {".webm": "libvpx", ".apng": "apng"}.get(path.suffix, "libx264")
        pixels = "rgb24" if path.suffix == ".apng" else "yuv420p"
        write_video(path, frames, codec=codec, pixels=pixels)
    data = path.read_bytes()
    assert probe(data).num_frames == 10
    with path.open("rb") as file:
        assert not is_truncated(file)
    for length in [*range(12, 80), *range(80, len(data), 997), len(data) - 1]:
        with pytest.raises(VideoError) as caught:
            probe(data[:length])
        assert "\n" not in str(caught.value)
    assert probe(data + b"\0" * 16).num_frames == 10, "padding behind the end is not the file's"
