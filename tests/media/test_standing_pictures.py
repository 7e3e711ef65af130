"""Pictures that stand long or short: slides, variable rates, and the delays of animated pictures."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.signal import correlate
from video_files import full_decode, full_sound, noise, numbered_frames, read_stamp, write_video

from emovid_dataset.media.conforming import nonconforming
from emovid_dataset.media.encode import transcode
from emovid_dataset.media.source import Reader, probe

# segments


def shown(path: Path) -> list[tuple[int, float]]:
    """Each frame's number and how long it stands, rounded to milliseconds."""
    with Reader(path) as reader:
        ends = [*reader.times[1:], reader.info.duration]
        stands = [round(end - time, 3) for time, end in zip(reader.times, ends, strict=True)]
    return list(zip((read_stamp(frame) for frame in full_decode(path)), stands, strict=True))


SLIDES = [5.0 * number for number in range(6)]  # 0.2 frames per second
SCREEN = [0.0, 0.04, 0.08, 3.0, 3.04, 13.04, 15.5, 15.54]  # a recorder that writes what changes

STANDING: dict[str, tuple[Sequence[float], float, float, list[tuple[int, float]]]] = {
    "between slides": (SLIDES, 14.5, 21, [(2, 0.5), (3, 5), (4, 1)]),
    "within a slide": (SLIDES, 6, 9.5, [(1, 3.5)]),
    "at a slide's own time": (SLIDES, 10, 20, [(2, 5), (3, 5)]),
    "a picture of ten seconds": (SCREEN, 5, 15, [(4, 8.04), (5, 1.96)]),
    "within it": (SCREEN, 4, 12, [(4, 8)]),
    "a picture of three": (SCREEN, 1, 3.5, [(2, 2), (3, 0.04), (4, 0.46)]),
    "just before a change": (SCREEN, 2.98, 3.5, [(3, 0.04), (4, 0.46)]),
}


@pytest.mark.parametrize("kind", list(STANDING))
@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
def test_a_segment_begins_with_the_picture_on_display(kind: str, suffix: str, tmp_path: Path) -> None:
    """It lasts from its start to its end, unless its first picture comes a little later than the start."""
    times, start, end, wanted = STANDING[kind]
    path = write_video(tmp_path / f"a{suffix}", numbered_frames(96)[: len(times)], times=times, rate=25)
    with Reader(path) as reader:
        transcode(reader, tmp_path / "out.mp4", start=start, end=end)
    with Reader(tmp_path / "out.mp4") as made:
        assert nonconforming(made) is None
        assert made.info.duration == pytest.approx(sum(stands for _, stands in wanted), abs=2e-3)
    found = shown(tmp_path / "out.mp4")
    assert [number for number, _ in found] == [number for number, _ in wanted]
    assert [s for _, s in found] == pytest.approx([s for _, s in wanted], abs=2e-3)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_sound_is_in_step_with_a_picture_that_stood_before(suffix: str, tmp_path: Path) -> None:
    """Time zero of the clip is the segment's start, not the time of its first picture.

    In Matroska the sound stands far before its picture, which the encoder has held back.
    """
    sound = noise(25)
    frames = numbered_frames(96)[: len(SLIDES)]
    path = write_video(tmp_path / f"a{suffix}", frames, times=SLIDES, rate=25, sound=sound)
    with Reader(path) as reader:
        transcode(reader, tmp_path / "out.mp4", start=14.5, end=21)
    heard, rate, begin = full_sound(tmp_path / "out.mp4")
    assert begin == pytest.approx(0, abs=0.002) and len(heard) / rate == pytest.approx(6.5, abs=0.03)
    for second in (0.1, 3):
        piece = sound[round((14.5 + second) * rate) : round((15 + second) * rate)]
        found = np.argmax(correlate(heard, piece, "valid")) / rate
        assert found == pytest.approx(second, abs=0.002)


# delays


def animated(path: Path, delays: list[int]) -> Path:
    images = [Image.fromarray(frame) for frame in numbered_frames(96)[: len(delays)]]
    how = {"format": "PNG"} if path.suffix == ".apng" else {}
    images[0].save(path, save_all=True, append_images=images[1:], duration=delays, **how)
    return path


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".apng"])
def test_a_delay_of_ten_milliseconds_or_less_is_a_tenth_of_a_second(suffix: str, tmp_path: Path) -> None:
    """Chromium shows all three kinds so; 20 ms are 20 ms."""
    path = animated(tmp_path / f"a{suffix}", [10, 20, 10, 10, 50, 10])
    stands = [0.1, 0.02, 0.1, 0.1, 0.05, 0.1]
    with Reader(path) as reader:
        assert reader.info.duration == pytest.approx(sum(stands), abs=1e-6)
        assert reader.times == pytest.approx(np.cumsum([0, *stands[:-1]]), abs=1e-6)
        transcode(reader, tmp_path / "out.mp4")
    assert shown(tmp_path / "out.mp4") == list(enumerate(stands))
    with Reader(path) as reader:
        transcode(reader, tmp_path / "part.mp4", start=0.12, end=0.35)
    assert [number for number, _ in shown(tmp_path / "part.mp4")] == [2, 3, 4]


def test_a_still_webp_stands_a_tenth_of_a_second(tmp_path: Path) -> None:
    Image.fromarray(numbered_frames(96)[0]).save(tmp_path / "a.webp")
    info = probe(tmp_path / "a.webp")
    assert (info.num_frames, info.duration) == (1, 0.1)


MEMORY = """
import sys
from pathlib import Path
from emovid_dataset.media.encode import transcode
from emovid_dataset.media.source import Reader
def most():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1024
for path in sys.argv[1:]:
    with Reader(path) as reader:
        transcode(reader, Path(path).with_suffix(".mp4"))
        print(reader.info.num_frames, most())
"""


def test_the_frames_of_an_animated_picture_are_not_held(tmp_path: Path) -> None:
    """A long one takes no more memory than a short one."""
    for name, count in (("short", 8), ("long", 100)):
        images = (Image.new("RGB", (640, 480), (2 * number, 0, 0)) for number in range(count))
        first = next(images)
        first.save(tmp_path / f"{name}.webp", save_all=True, append_images=images, duration=40, lossless=True)
    paths = [str(tmp_path / "short.webp"), str(tmp_path / "long.webp")]
    done = subprocess.run([sys.executable, "-c", MEMORY, *paths], capture_output=True, text=True, check=True)
    (_, before), (count, after) = (map(float, line.split()) for line in done.stdout.splitlines())
    assert count == 100
    assert after - before < 30, "of 117 MiB of pictures"
