"""A clip that does not show what its source shows is found; every faithful one passes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image
from video_files import cartoon, noise, numbered_frames, remux, rotate, write_sheet, write_video

from emovid_dataset.builder.build import build
from emovid_dataset.media import encode
from emovid_dataset.media.compare import MadeClip, check_faithful
from emovid_dataset.media.encode import transcode
from emovid_dataset.media.source import Reader, VideoError

COUNT, RATE = 72, 24
FRAMES = numbered_frames(COUNT)


def pillow(name: str, **how: Any) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        hole = [np.dstack([frame, np.full(frame.shape[:2], 255, np.uint8)]) for frame in FRAMES[:24]]
        for frame in hole:
            frame[40:80, 40:80] = (10, 20, 30, 0)
        images = [Image.fromarray(frame) for frame in hole]
        images[0].save(folder / name, save_all=True, append_images=images[1:], duration=40, **how)
        return folder / name

    return make


def video(name: str, frames: Sequence[np.ndarray] = FRAMES, **how: Any) -> Callable[[Path], Path]:
    return lambda folder: write_video(folder / name, frames, **how)


def anamorphic(folder: Path) -> Path:
    options = {"x264-params": "sar=16/11"}
    return write_video(folder / "wide.mkv", FRAMES, options=options)


def snow(count: int) -> list[np.ndarray]:
    """The hardest pictures to encode."""
    draw = np.random.default_rng(0)
    return [draw.integers(0, 256, (96, 160, 3), np.uint8) for _ in range(count)]


def still(count: int) -> list[np.ndarray]:
    return [FRAMES[0]] * count


TIMES = np.cumsum(np.random.default_rng(3).integers(15, 300, COUNT)) / 1000
OPEN = {"x264-params": "open-gop=1:keyint=10:min-keyint=10:scenecut=0:bframes=3:b-pyramid=normal"}
SOURCES: dict[str, Callable[[Path], Path]] = {
    "open groups": video("a.mkv", options=OPEN),
    "with sound": video("a.mov", sound=noise(3)),
    "mpeg-4 with B-frames in avi": video("a.avi", codec="mpeg4", options={"b": "2000000", "bf": "2"}),
    "program stream": video("a.mpg", codec="mpeg2video", options={"b": "4000000", "bf": "2"}),
    "transport stream": video("a.ts"),
    "a container that cannot be sought": video("a.mkv", codec="vc2", options={"b": "40000000"}),
    "vp9": video("a.webm", codec="libvpx-vp9", options={"deadline": "realtime", "cpu-used": "8"}),
    "av1": video("a.mp4", codec="libsvtav1", options={"preset": "12", "g": "24"}),
    "ten bits": video("a.mkv", pixels="yuv420p10le"),
    "full chroma and odd size": video("a.mkv", [frame[:95, :159] for frame in FRAMES], pixels="yuv444p"),
    "variable rate": video("a.mkv", times=list(TIMES)),
    "interlaced": video("a.mkv", options={"flags": "+ildct+ilme", "x264-params": "tff=1"}),
    "pixel aspect": anamorphic,
    "a still scene": video("a.mkv", still(48)),
    "snow": video("a.mkv", snow(24), codec="ffv1", pixels="bgr0"),
    "one frame": video("a.mkv", FRAMES[:1]),
    "two frames": video("a.mkv", FRAMES[:2]),
    "animated webp": pillow("a.webp", quality=80),
    "gif": pillow("a.gif", disposal=2),
    "turned by the container": lambda folder: rotate(write_video(folder / "a.mp4", FRAMES), 90),
    "real film": lambda folder: remux(cartoon(), folder / "a.mkv"),
}
CUTS = ((None, None), (0.5, 1.5), (1.02, 1.9))


@pytest.mark.parametrize("kind", list(SOURCES))
def test_a_faithful_clip_passes(kind: str, tmp_path: Path) -> None:
    path = SOURCES[kind](tmp_path)
    with Reader(path) as reader:
        for start, end in CUTS:
            if end is not None and end > reader.info.duration:
                continue
            transcode(reader, tmp_path / "out.mp4", start=start, end=end)
            with MadeClip(tmp_path / "out.mp4") as made:
                check_faithful(reader, made, start=start, end=end)


def test_fine_detail_of_a_small_picture_counts_by_its_colour_on_the_whole(tmp_path: Path) -> None:
    """Colours are stored at half the size, so that those of the smallest cells are not the source's."""
    paints = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0), (0, 255, 255), (255, 0, 255)]
    bars = [paints[place % 5] for place in range(8)]  # of twelve pixels, and then of three
    tiles = np.array(bars, np.uint8).repeat(12, 0)[None].repeat(64, 0)
    tiles[40:] = 255 - tiles[40:]
    source = write_video(tmp_path / "in.mkv", [tiles] * 12, codec="ffv1", pixels="bgr0")
    with Reader(source) as reader:
        transcode(reader, tmp_path / "out.mp4", height=16)
        with MadeClip(tmp_path / "out.mp4") as made:
            check_faithful(reader, made, start=None, end=None)
    swapped = write_video(tmp_path / "swapped.mkv", [tiles[..., [2, 1, 0]]] * 12, codec="ffv1", pixels="bgr0")
    with Reader(swapped) as reader:
        transcode(reader, tmp_path / "out.mp4", height=16)
    with (
        Reader(source) as reader,
        MadeClip(tmp_path / "out.mp4") as made,
        pytest.raises(VideoError, match="not encoded faithfully"),
    ):
        check_faithful(reader, made, start=None, end=None)


@pytest.mark.parametrize(("start", "end"), [(14.5, 21.0), (12.6, 14.8), (4.89, 10.0), (4.95, 12.0)])
def test_a_segment_may_begin_shortly_before_the_next_slide(start: float, end: float, tmp_path: Path) -> None:
    """However different that one is."""
    slides = [np.full((96, 160, 3), 40 * number, np.uint8) for number in range(6)]
    path = write_video(tmp_path / "a.mp4", slides, times=[5.0 * number for number in range(6)], rate=25)
    with Reader(path) as reader:
        transcode(reader, tmp_path / "out.mp4", start=start, end=end)
        with MadeClip(tmp_path / "out.mp4") as made:
            check_faithful(reader, made, start=start, end=end)


def without(*places: int) -> list[np.ndarray]:
    """As many frames, but some are missing, and what comes after them is early."""
    rest = [frame for place, frame in enumerate(FRAMES) if place not in places]
    return [*rest, *FRAMES[: len(places)]][:COUNT]


UNFAITHFUL: dict[str, tuple[Sequence[np.ndarray], str]] = {
    "a frame too few": (FRAMES[:-1], "it has 71 frames, the source 72"),
    "a frame too many": ([*FRAMES, FRAMES[0]], "it has 73 frames, the source 72"),
    "one frame late": ([FRAMES[0], *FRAMES[:-1]], r"the picture at \d\.\d+ s is"),
    "one frame early": ([*FRAMES[1:], FRAMES[-1]], r"the picture at \d\.\d+ s is"),
    "a frame lost before the middle": (without(20), r"the picture at \d\.\d+ s is"),
    "a frame lost after the middle": (without(50), r"the picture at 2\.958 s is not the source's"),
    "upside down": ([frame[::-1] for frame in FRAMES], "the picture at 0.000 s is not the source's"),
    "grey": ([np.full_like(frame, 128) for frame in FRAMES], "is not the source's"),
    "red for blue": (
        [frame[..., ::-1] for frame in FRAMES],
        r"the colours at 0\.000 s are \d+ of 255 levels",
    ),
    "pale": ([frame // 2 + 96 for frame in FRAMES], "the picture at 0.000 s is not the source's"),
}


@pytest.mark.parametrize("kind", list(UNFAITHFUL))
def test_an_unfaithful_clip_is_found(kind: str, tmp_path: Path) -> None:
    frames, message = UNFAITHFUL[kind]
    source = write_video(tmp_path / "in.mkv", FRAMES)
    options = {"crf": "18", "x264-params": "keyint=250"}
    made = write_video(tmp_path / "out.mp4", [np.ascontiguousarray(f) for f in frames], options=options)
    with (
        Reader(source) as reader,
        MadeClip(made) as clip,
        pytest.raises(VideoError, match=f"was not encoded faithfully: .*{message}"),
    ):
        check_faithful(reader, clip, start=None, end=None)


def pan(count: int) -> list[np.ndarray]:
    """A wide picture that passes slowly."""
    wide = np.asarray(Image.fromarray(FRAMES[30]).resize((320, 192), Image.Resampling.BICUBIC))
    return [np.ascontiguousarray(wide[40:136, place : place + 160]) for place in range(count)]


@pytest.mark.parametrize("late", [0, 1])
def test_pictures_that_are_nearly_the_same_are_told_apart(late: int, tmp_path: Path) -> None:
    frames = pan(50)
    source = write_video(tmp_path / "in.mkv", frames[1:49])
    made = write_video(tmp_path / "out.mp4", frames[1 - late : 49 - late], options={"crf": "18"})
    with Reader(source) as reader, MadeClip(made) as clip:
        if not late:
            check_faithful(reader, clip, start=None, end=None)
            return
        with pytest.raises(VideoError, match=r"the picture at \d\.\d+ s is that of the frame beside it"):
            check_faithful(reader, clip, start=None, end=None)


@pytest.mark.parametrize("shift", [-2, -1, 1, 2])
def test_a_segment_that_is_shifted_is_found(shift: int, tmp_path: Path) -> None:
    path = write_video(tmp_path / "in.mp4", FRAMES, options=OPEN)
    start, end = 1.0, 2.0
    with Reader(path) as reader:
        transcode(reader, tmp_path / "out.mp4", start=start + shift / RATE, end=end + shift / RATE)
        with (
            MadeClip(tmp_path / "out.mp4") as made,
            pytest.raises(VideoError, match="not encoded faithfully"),
        ):
            check_faithful(reader, made, start=start, end=end)


def with_time(picture: av.VideoFrame, of: av.VideoFrame) -> av.VideoFrame:
    copy = av.VideoFrame.from_ndarray(picture.to_ndarray(format="rgb24"), format="rgb24")
    copy.pts, copy.time_base = of.pts, of.time_base
    return copy


def test_a_build_refuses_what_its_encoder_gets_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An encoder that is given each picture one place too late."""
    raw = tmp_path / "raw"
    (raw / "movie").mkdir(parents=True)
    write_video(raw / "movie/film.mkv", FRAMES, pixels="yuv444p")
    shutil.copy(cartoon(), raw / "movie/verbatim.mp4")
    rows = [{"path": "movie/film.mkv", "emotion": "awe"}, {"path": "movie/verbatim.mp4", "emotion": "awe"}]
    right = encode.segment

    def late(*arguments: Any) -> Any:
        before: av.VideoFrame | None = None
        for frame in right(*arguments):
            yield frame if before is None else with_time(before, frame)
            before = frame

    monkeypatch.setattr(encode, "segment", late)
    report = build(raw, write_sheet(raw, rows), tmp_path / "out", engine="serial")
    (refused,) = [json.loads(line) for line in (tmp_path / "out/rejected.jsonl").read_text().splitlines()]
    assert refused["path"] == "movie/film.mkv"
    assert refused["reason"].startswith("was not encoded faithfully: the picture at")
    assert report.manifest.rejected == 1
