"""What `emovid build --check` says of each file, held against what a build makes of it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner
from video_files import noise, numbered_frames, rotate, stored_clips, write_sheet, write_video

from emovid_dataset.cli import program

FRAMES = numbered_frames(24)
AS_IT_IS, COPIED, ENCODED = "as it is", "pictures copied", "encoded"
SAID = {
    "fits.mp4": (AS_IT_IS, None),
    "behind.mp4": (COPIED, "index behind the frames"),
    "box.mkv": (COPIED, "container matroska"),
    "sound.mkv": (COPIED, "container matroska"),
    "turned.mp4": (ENCODED, "pictures that are turned or mirrored"),
    "fine.mp4": (ENCODED, "pixel format yuv444p"),
    "old.avi": (ENCODED, "codec mpeg4"),
    "moves.gif": (ENCODED, "codec gif"),
    "moves.webp": (ENCODED, "animated WebP"),
}
"""What is done to each file, and why it does not go in as it is."""


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("check") / "raw"
    folder.mkdir()
    write_video(folder / "fits.mp4", FRAMES, sound=noise(1.0))
    write_video(folder / "behind.mp4", FRAMES[1:], container={"movflags": "disable_chpl"})
    write_video(folder / "box.mkv", FRAMES[2:])
    write_video(folder / "sound.mkv", FRAMES[3:], sound=noise(0.8), sound_codec="flac")
    rotate(write_video(folder / "turned.mp4", FRAMES[4:]), 90)
    write_video(folder / "fine.mp4", FRAMES[5:], pixels="yuv444p")
    write_video(folder / "old.avi", FRAMES[6:], codec="mpeg4")
    images = [Image.fromarray(np.asarray(frame)) for frame in FRAMES[7:]]
    for name in ("moves.gif", "moves.webp"):
        images[0].save(folder / name, save_all=True, append_images=images[1:], duration=40)
        images = images[1:]
    return folder


def run(raw: Path, *options: str | Path, names: tuple[str, ...] = tuple(SAID)) -> str:
    rows = [{"path": name, "emotion": "awe", "content_type": "movie"} for name in names]
    sheet = write_sheet(raw.parent, rows)
    words = ["build", raw, "--labels", sheet, "--allow-rejected", *options]
    result = CliRunner().invoke(program(), list(map(str, words)))
    assert result.exit_code == 0, result.output
    return result.output


def becomes(text: str) -> dict[tuple[str, str | None], int]:
    return {(entry["way"], entry["why"]): entry["clips"] for entry in json.loads(text)["becomes"]}


@pytest.mark.parametrize("name", SAID)
def test_each_file_is_told_with_its_reason(name: str, raw: Path) -> None:
    text = run(raw, "--check", "--json", names=(name,))
    assert becomes(text) == {SAID[name]: 1}
    if SAID[name][0] != ENCODED:
        assert json.loads(text)["output_bytes"] == (raw / name).stat().st_size


def test_a_build_makes_of_them_what_was_said_and_about_as_large(raw: Path, tmp_path: Path) -> None:
    said = json.loads(run(raw, "--check", "--json"))
    told = json.loads(run(raw, "--out", tmp_path / "out", "--workers", "1", "--split", "1/0/0", "--json"))
    assert told["clips"] == said["clips"] == len(SAID)
    made = {clip["source"]: video for clip, video in stored_clips(tmp_path / "out").values()}
    for name, (way, _) in SAID.items():
        assert (made[name] == (raw / name).read_bytes()) == (way == AS_IT_IS), name
    size = sum(map(len, made.values()))
    assert size / 2.5 < said["output_bytes"] < size * 2.5
    text = run(raw, "--check")
    assert "as it is: 1 clip\n" in text and "pictures copied: 3 clips (container matroska 2, " in text
    assert "about " in text and "pixel format yuv444p 1" in text


def test_the_options_of_a_build_count(raw: Path) -> None:
    def check(*options: str) -> dict[str, object]:
        return dict(json.loads(run(raw, "--check", "--json", *options)))

    every = json.dumps(check("--transcode", "always"))
    assert becomes(every) == {(ENCODED, "everything is encoded"): len(SAID)}
    most = check("--transcode", "always", "--crf", "18")["output_bytes"]
    for options in (("--crf", "30"), ("--height", "32"), ("--fps", "6"), ("--max-seconds", "0.25")):
        fewer = check("--transcode", "always", *options)["output_bytes"]
        assert isinstance(most, int) and isinstance(fewer, int) and fewer < 0.7 * most, options
    never = check("--transcode", "never")
    assert never["clips"] == 3 and never["output_bytes"] == sum(
        (raw / name).stat().st_size for name in ("fits.mp4", "behind.mp4", "box.mkv")
    )
    reasons = [entry["reason"] for entry in never["rejected"]]  # type: ignore[attr-defined]
    assert "would have to be encoded (sound codec flac), which transcode 'never' rules out" in reasons
