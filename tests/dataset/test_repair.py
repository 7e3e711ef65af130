"""Damaged builds that are mended: from what is left, from the sources, from another copy, or not at all."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from pyarrow import parquet
from video_files import folder_bytes, numbered_frames, sticker, write_sheet, write_video

from emovid_dataset.builder.build import build
from emovid_dataset.builder.repair import RepairReport, repair
from emovid_dataset.check import verify
from emovid_dataset.schema.emotions import EMOTIONS


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four stickers, which go into shards as they are, and two segments of a film, which do not."""
    folder = tmp_path_factory.mktemp("raw")
    rows = []
    for index, path in enumerate(sorted(sticker().parent.glob("*.mp4"))[:4]):
        (folder / "sticker").mkdir(exist_ok=True)
        shutil.copy(path, folder / "sticker" / path.name)
        rows.append({"path": f"sticker/{path.name}", "emotion": EMOTIONS[index], "source": f"Emoji {index}"})
    (folder / "movie").mkdir()
    write_video(folder / "movie/film.mp4", numbered_frames(240)[:24], rate=12)
    for index in range(2):
        times = {"start": index, "end": index + 0.9}
        rows.append({"path": "movie/film.mp4", "emotion": "awe", "source": "A film", **times})
    rows = [{"start": "", "end": "", **row} for row in rows]
    write_sheet(folder, rows)
    return folder


@pytest.fixture(scope="module")
def sound(raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The build as it should be."""
    out = tmp_path_factory.mktemp("sound") / "out"
    assert not build(raw, raw / "labels.csv", out, engine="serial", seed=1).rejections
    return out


@pytest.fixture
def out(sound: Path, tmp_path: Path) -> Path:
    """A copy that a test may damage."""
    return Path(shutil.copytree(sound, tmp_path / "out"))


def flip(path: Path, *places: int) -> None:
    data = bytearray(path.read_bytes())
    for place in places:
        data[place] ^= 0x40
    path.write_bytes(data)


def of_film(out: Path) -> Path:
    return next(out.glob("data/movie/*.tar"))


def in_a_video(out: Path) -> None:
    row = parquet.read_table(out / "metadata/movie" / f"{of_film(out).name[:-10]}.parquet").to_pylist()[1]
    flip(of_film(out), row["offset"] + row["size"] // 2)


def beside_the_videos(out: Path) -> None:
    flip(of_film(out), 5, of_film(out).stat().st_size - 3000, of_film(out).stat().st_size - 1)


DAMAGE: dict[str, tuple[Callable[[Path], object], bool]] = {
    "a bit of a video": (in_a_video, False),
    "a header, a label and the end": (beside_the_videos, True),
    "cut off": (lambda out: of_film(out).write_bytes(of_film(out).read_bytes()[:3000]), False),
    "gone": (lambda out: of_film(out).unlink(), False),
    "gone, of verbatim files": (lambda out: next(out.glob("data/sticker/*.tar")).unlink(), False),
}
"""What is done to a build, and whether what is left of it is enough."""


@pytest.mark.parametrize("how", DAMAGE)
def test_a_shard_is_mended_byte_for_byte(how: str, out: Path, sound: Path, raw: Path) -> None:
    damage, is_enough = DAMAGE[how]
    damage(out)
    assert verify(out, engine="serial") != []
    alone = repair(out, engine="serial")
    if is_enough:
        assert not alone.left
    else:
        assert "give --from RAW, or --repo NAME" in str(alone.left[0].reason)
        done = repair(out, raw=raw, labels=raw / "labels.csv", engine="serial")
        assert [file.reason for file in done.files] == [None]
    assert folder_bytes(out) == folder_bytes(sound) and verify(out, engine="serial") == []


def test_a_shard_is_fetched_from_another_copy_if_it_is_the_same(
    out: Path, sound: Path, raw: Path, tmp_path: Path
) -> None:
    of_film(out).unlink()
    (out / "metadata/movie").rename(tmp_path / "lost")
    assert len(repair(out, raw=raw, labels=raw / "labels.csv", engine="serial").left) > 1
    other = Path(shutil.copytree(sound, tmp_path / "other"))
    flip(of_film(other), 700)
    wrong = repair(out, repo=other, engine="serial")
    assert "has another file of that name" in str(wrong.left[0].reason) and not list(out.glob("data/movie/*"))
    of_film(other).unlink()
    assert "does not have it" in str(repair(out, repo=other, engine="serial").left[0].reason)
    assert not repair(out, repo=sound, engine="serial").left
    assert folder_bytes(out) == folder_bytes(sound)


def test_tables_and_card_follow_from_the_shards(out: Path, sound: Path) -> None:
    next(out.glob("metadata/movie/*.parquet")).write_bytes(b"PAR1")
    (out / "README.md").unlink()
    (out / "_info.json").write_text("{}")
    done = repair(out, engine="serial")
    assert len(done.files) == 3 and not done.left
    assert folder_bytes(out) == folder_bytes(sound)
    assert repair(out, engine="serial").files == ()


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("another film", "is another file now"),
        ("no film", "movie/film.mp4 is missing|no file of .* is its source 'A film'"),
        ("no sheet", "is its source 'A film'|its source A film is missing"),
    ],
)
def test_what_cannot_be_rebuilt_says_why(
    source: str, says: str, out: Path, raw: Path, tmp_path: Path
) -> None:
    raw = Path(shutil.copytree(raw, tmp_path / "raw"))
    of_film(out).unlink()
    if source == "another film":
        write_video(raw / "movie/film.mp4", numbered_frames(240)[24:48], rate=12)
    elif source == "no film":
        (raw / "movie/film.mp4").unlink()
    sheet = None if source == "no sheet" else raw / "labels.csv"
    done: RepairReport = repair(out, raw=raw, labels=sheet, engine="serial")
    assert len(done.left) == 1
    assert re.search(says, str(done.left[0].reason))
