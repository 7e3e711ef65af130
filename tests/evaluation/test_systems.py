"""The systems of an evaluation are read from a YAML file or named by their folders."""

from __future__ import annotations

from pathlib import Path

import pytest

from emovid_models.evaluation.intended import INTENDED_NAME
from emovid_models.evaluation.systems import Generator, GivenVideos, find_systems, read_systems
from emovid_models.wan.loras import WeightedLora

FILE = """
plain:
  base: mini
ours:
  base: wan
  lora: [me/emotion, "style:0.5"]
  emotion_lora: me/emotion
  settings: {intensity: 1.5, size: 64x32, frames: 17, wording: paper}
other:
  videos: there
  intended: asked.csv
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    for name in ("wan", "there", "style"):
        (tmp_path / name).mkdir()
    (tmp_path / "asked.csv").touch()
    path = tmp_path / "systems.yaml"
    path.write_text(FILE, encoding="utf-8")
    return path


def test_a_file_names_systems_with_paths_relative_to_it(file: Path) -> None:
    folder = file.parent
    plain, ours, other = read_systems(file)
    assert plain == Generator("plain", "mini")
    assert ours == Generator(
        "ours",
        str(folder / "wan"),
        (WeightedLora("me/emotion"), WeightedLora(str(folder / "style"), 0.5)),
        "me/emotion",
        {"intensity": 1.5, "size": "64x32", "frames": 17, "wording": "paper"},
    )
    assert other == GivenVideos("other", str(folder / "there"), str(folder / "asked.csv"))


def test_a_system_is_a_name_of_the_file_or_else_a_folder(file: Path) -> None:
    known = read_systems(file)
    assert find_systems([], known) == known
    (file.parent / "there" / INTENDED_NAME).touch()
    folder = str(file.parent / "there")
    assert find_systems(["other", "plain", f"{folder}/"], known) == [
        known[2],
        known[0],
        GivenVideos("there", f"{folder}/", f"{folder}/{INTENDED_NAME}"),
    ]
    with pytest.raises(ValueError, match="system 'there' comes twice"):
        find_systems([folder, folder])
    with pytest.raises(
        FileNotFoundError, match="not a folder, and not one of the file's: plain, ours, other"
    ):
        find_systems(["mine"], known)
    with pytest.raises(FileNotFoundError, match="says what each video was to show"):
        find_systems([str(file.parent / "style")])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]", "is not a mapping of names to systems"),
        ("a: [", "is not YAML"),
        ("a: 3", "system a is not a mapping with some of: base, lora"),
        ("a: {}", "system a needs either videos or base"),
        ("a: {base: mini, videos: b}", "system a needs either videos or base"),
        ("a: {videos: b, lora: c}", "system a: lora does not go with"),
        ("a: {base: mini, intended: c}", "system a: intended does not go with"),
        ("a: {base: 3}", "system a: base is 3; it must be a text"),
        ("a: {base: mini, lora: {b: 1}}", "it must be a text or a list of texts"),
        ("a: {base: mini, lora: 'b:nan'}", "system a: weight nan of b is not a finite number"),
        ("a: {base: mini, emotion_lora: b}", "system a: emotion_lora b is not among its lora"),
        ("a: {base: mini, settings: {sise: 1}}", "settings has unknown sise; allowed: size, frames, steps"),
        ("a: {base: mini, settings: {size: 65x64}}", "settings: size is '65x64'"),
        ("a: {base: mini, settings: {size: 64}}", "settings: size is 64"),
        ("a: {base: mini, settings: {frames: 16}}", "16 is not 4k"),
        ("a: {base: mini, settings: {steps: 0}}", "settings: steps is 0: it must be a whole number"),
        ("a: {base: mini, settings: {guidance: .nan}}", "settings: guidance is nan: it must be a number"),
        ("a: {base: mini, settings: {intensity: true}}", "settings: intensity is True"),
        ("a: {base: mini, settings: {wording: poem}}", "settings: wording is 'poem': allowed: paper, mood"),
        ("a/b: {base: mini}", "a name is a text without slashes"),
        ("'..': {base: mini}", "a name is a text without slashes"),
        ("3: {base: mini}", "a name is a text without slashes"),
    ],
)
def test_a_wrong_file_is_refused_in_one_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "systems.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError) as error:
        read_systems(path)
    assert message in str(error.value) and "\n" not in str(error.value)


def test_the_real_clips_name_is_theirs(tmp_path: Path) -> None:
    path = tmp_path / "systems.yaml"
    path.write_text("real clips: {base: mini}", encoding="utf-8")
    with pytest.raises(ValueError, match="this name is that of the real clips"):
        find_systems([], read_systems(path))
