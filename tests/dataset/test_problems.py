"""Clips that show or say nothing, are there twice, or stand out, beside some that only nearly do."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from scipy.fft import dctn
from typer.testing import CliRunner
from video_files import MINI, full_decode, numbered_frames, sticker, write_sheet, write_video

from emovid_dataset import BuildReport, build
from emovid_dataset.builder.append import append
from emovid_dataset.builder.duplicates import Looks, near_duplicates
from emovid_dataset.check import check_build
from emovid_dataset.cli import program
from emovid_dataset.media.traits import fingerprint
from emovid_dataset.report.page import write_report
from emovid_dataset.report.problems import PROBLEMS_NAME, to_json

SIZE, RATE = (48, 64), 24
TONE = np.sin(2 * np.pi * 440 * np.arange(44100) / 44100).astype(np.float32)
FILMS = tuple(sorted((MINI / "cartoon").glob("*.mp4")))[::9]


def flat(level: int, count: int = RATE) -> list[np.ndarray]:
    return [np.full((*SIZE, 3), level, np.uint8)] * count


def moving(seed: int, count: int = RATE) -> list[np.ndarray]:
    """Blocks of some grey levels, of which a stripe wanders."""
    blocks = np.random.default_rng(seed).integers(30, 220, (6, 8, 1)).astype(np.uint8)
    picture = np.broadcast_to(np.kron(blocks, np.ones((8, 8, 1), np.uint8)), (*SIZE, 3))
    return [np.roll(picture, 2 * index, axis=1) for index in range(count)]


def spotted(seed: int, levels: int) -> list[np.ndarray]:
    """A still picture of which a small spot changes by some levels."""
    picture = moving(seed)[0]
    other = picture.copy()
    spot = picture[20:24, 30:34].astype(int)
    other[20:24, 30:34] = np.where(spot > 128, spot - levels, spot + levels)
    return [picture, other] * 8


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, BuildReport]:
    """A build of clips that are odd and of others that nearly are."""
    folder = tmp_path_factory.mktemp("odd")
    raw = folder / "raw"
    raw.mkdir()
    write_video(raw / "black.mp4", flat(16))
    write_video(raw / "dark.mp4", [np.full((*SIZE, 3), 40, np.uint8)] * 12 + flat(60, 12))
    write_video(raw / "still.mkv", spotted(90, 0))
    # an encoder wavers by some levels from one key frame to the next
    write_video(raw / "wavers.mkv", moving(97)[:1] * RATE, options={"crf": "18", "g": "8"})
    write_video(raw / "stirs.mkv", spotted(91, 30))
    write_video(raw / "one.mkv", moving(1, 1))
    write_video(raw / "silent.mp4", moving(2), sound=np.zeros(44100, np.float32))
    write_video(raw / "hushed.mkv", moving(3), sound=0.0008 * TONE, sound_codec="flac")
    write_video(raw / "quiet.mkv", moving(4), sound=0.0015 * TONE, sound_codec="flac")
    write_video(raw / "clipped.mp4", moving(5), sound=np.clip(4 * TONE, -1, 1))
    write_video(raw / "overdriven.mkv", moving(6), sound=np.clip(1.5 * TONE, -1, 1), sound_codec="flac")
    write_video(raw / "full.mkv", moving(7), sound=0.99 * TONE, sound_codec="flac")
    write_video(raw / "long.mp4", moving(8, 8 * RATE))
    write_video(raw / "short.mp4", moving(9, 3))
    write_video(raw / "nearly long.mp4", moving(10, 4 * RATE))
    names = sorted(path.name for path in raw.iterdir())
    rows = [{"path": name, "emotion": "awe", "content_type": "movie"} for name in names]
    sheet = write_sheet(folder, rows)
    return folder / "out", build(raw, sheet, folder / "out", ratios=(0.8, 0.2, 0.0), engine="serial")


def found(report: BuildReport) -> dict[str, list[str]]:
    return {
        group["problem"]: [clip["path"] for one in group["which"] for clip in one["clips"]]
        for group in to_json(report.problems)
    }


def test_each_kind_holds_the_clips_that_have_it_and_no_others(odd: tuple[Path, BuildReport]) -> None:
    _, report = odd
    assert not report.rejections
    assert found(report) == {
        "one frame": ["one.mkv"],
        "black": ["black.mp4"],
        "still": ["still.mkv", "wavers.mkv"],
        "silent audio": ["hushed.mkv", "silent.mp4"],
        "clipped audio": ["clipped.mp4", "overdriven.mkv"],
        "unusual length": ["long.mp4", "one.mkv", "short.mp4"],
    }


@pytest.fixture(scope="module")
def doubled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve films, and two of them again: smaller and in another codec, faster and in bad quality."""
    folder = tmp_path_factory.mktemp("doubled")
    (folder / "raw").mkdir()
    for number, film in enumerate(FILMS[:12]):
        pictures = full_decode(film)[:RATE]
        write_video(folder / f"raw/film{number:02}.mp4", pictures)
        if number == 3:
            small = [picture[::2, ::2] for picture in pictures]
            write_video(folder / "raw/again03.avi", small, codec="mpeg4", options={"qscale": "4"})
        if number == 7:
            slow = pictures[::2]
            rate = Fraction(RATE, 2)
            write_video(folder / "raw/again07.mkv", slow, rate=rate, options={"crf": "34"})
    return folder


def built(doubled: Path, name: str, emotions: Sequence[str] = (), **options: object) -> BuildReport:
    names = sorted(path.name for path in (doubled / "raw").iterdir())
    wrong = dict(zip(("again03.avi", "again07.mkv"), emotions, strict=False))
    rows = [{"path": name, "emotion": wrong.get(name, "awe"), "content_type": "movie"} for name in names]
    sides = options.pop("sides", {})
    if sides:
        rows = [{**row, "split": sides.get(row["path"], "train")} for row in rows]
    sheet = write_sheet(doubled, rows, f"{name}.csv")
    return build(doubled / "raw", sheet, doubled / name, ratios=(0.5, 0.25, 0.25), engine="serial", **options)


def splits(folder: Path) -> dict[str, tuple[str, str]]:
    """Split and group by source."""
    from pyarrow import parquet

    rows: dict[str, tuple[str, str]] = {}
    for path in folder.glob("metadata/*/*.parquet"):
        split = path.stem.split("-")[0]
        for row in parquet.read_table(path, columns=["source", "group"]).to_pylist():
            rows[row["source"]] = split, row["group"]
    return rows


PAIRS = [["again03.avi", "film03.mp4"], ["again07.mkv", "film07.mp4"]]


def test_near_duplicates_are_told_and_put_together(doubled: Path) -> None:
    # a seed by which both pairs are torn apart
    for seed in range(20):
        apart = built(doubled, f"apart{seed}", seed=seed)
        sides = splits(doubled / f"apart{seed}")
        torn = [pair for pair in PAIRS if len({sides[name][0] for name in pair}) == 2]
        told = [
            [clip.path for clip in problem.clips]
            for problem in apart.problems
            if problem.problem == "near-duplicates across splits"
        ]
        assert told == torn
        if len(torn) == 2:
            break
    assert len(torn) == 2
    together = built(doubled, "together", seed=seed, group_duplicates=True)
    sides = splits(doubled / "together")
    assert not together.problems
    assert all(sides[one] == sides[other] for one, other in PAIRS)
    assert len({group for _, group in sides.values()}) == 12
    assert "near-duplicates were put together into 2 groups" in together.remarks
    assert check_build(doubled / "together", engine="serial").violations == ()


def test_near_duplicates_with_two_emotions_contradict_each_other(doubled: Path) -> None:
    report = built(doubled, "contrary", ["fear"], group_duplicates=True)
    (problem,) = report.problems
    assert problem.problem == "conflicting labels" and problem.detail == "fear and awe"
    assert [clip.path for clip in problem.clips] == PAIRS[0]


def test_given_splits_that_tear_near_duplicates_apart_are_refused(doubled: Path) -> None:
    sides = {"again03.avi": "test", "film00.mp4": "validation"}
    report = built(doubled, "given", sides=sides, group_duplicates=True)
    assert [(row.path, row.reason[:42]) for row in report.rejections] == [
        (name, "its near-duplicates are given to test and ") for name in PAIRS[0]
    ]


def test_an_append_tells_which_clips_of_the_build_a_new_one_resembles(doubled: Path) -> None:
    names = [f"film{number:02}.mp4" for number in range(12)]
    rows = [{"path": name, "emotion": "awe", "content_type": "movie", "split": "train"} for name in names]
    build(doubled / "raw", write_sheet(doubled, rows), doubled / "grown", engine="serial")
    # one pair lies across splits, the other has two emotions; a third new clip is like none
    write_video(doubled / "raw/new.mp4", moving(12))
    new = [("again03.avi", "awe", "test"), ("again07.mkv", "fear", "train"), ("new.mp4", "awe", "test")]
    rows += [
        {"path": name, "emotion": emotion, "content_type": "movie", "split": split}
        for name, emotion, split in new
    ]
    sheet = write_sheet(doubled, rows)
    report = append(doubled / "raw", sheet, doubled / "grown", engine="serial")
    (doubled / "raw/new.mp4").unlink()
    told = [(problem.problem, problem.detail, problem.clips) for problem in report.problems]
    assert [(kind, detail) for kind, detail, _ in told] == [
        ("near-duplicates across splits", "test and train"),
        ("conflicting labels", "fear and awe"),
    ]
    assert [[(clip.path, clip.row) for clip in clips] for _, _, clips in told] == [
        [("again03.avi", 13), ("film03.mp4", 0)],
        [("again07.mkv", 14), ("film07.mp4", 0)],
    ]
    ids = {source: clip for clip, source in ids_of(doubled / "grown")}
    assert told[0][2][1].id == ids["film03.mp4"]
    checked = check_build(doubled / "grown", engine="serial")
    assert checked.violations == () and checked.problems[1:] == report.problems
    assert (checked.problems[0].problem, checked.problems[0].detail) == ("empty split", "validation")
    again = append(doubled / "raw", sheet, doubled / "grown", engine="serial")
    assert again.problems == ()


def ids_of(folder: Path) -> list[tuple[str, str]]:
    """Ids and sources of a build's clips."""
    from pyarrow import parquet

    rows = [
        row
        for path in folder.glob("metadata/*/*.parquet")
        for row in parquet.read_table(path, columns=["id", "source"], partitioning=None).to_pylist()
    ]
    return [(row["id"], row["source"]) for row in rows]


def test_the_same_content_with_two_labels_is_a_problem_too(tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    for name in ("a.mp4", "b.mp4"):
        (tmp_path / "raw" / name).write_bytes(sticker().read_bytes())
    write_video(tmp_path / "raw/c.mp4", moving(11))
    rows = [
        {"path": path, "emotion": emotion, "content_type": "movie"}
        for path, emotion in (("a.mp4", "awe"), ("b.mp4", "fear"), ("c.mp4", "awe"))
    ]
    report = build(tmp_path / "raw", write_sheet(tmp_path, rows), tmp_path / "out", engine="serial")
    told = to_json(report.problems)
    assert [(group["problem"], group["count"]) for group in told] == [
        ("empty split", 2),
        ("conflicting labels", 1),
    ]
    assert [one["detail"] for one in told[0]["which"]] == ["validation", "test"]


def test_every_command_tells_them(odd: tuple[Path, BuildReport], tmp_path: Path) -> None:
    folder, report = odd
    listed = json.loads(json.dumps(to_json(report.problems)))
    assert len((folder / PROBLEMS_NAME).read_text().splitlines()) == len(report.problems)
    runner = CliRunner()
    verified = json.loads(runner.invoke(program(), ["verify", str(folder), "--json"]).stdout)
    assert verified["problems"] == listed and verified["violations"] == []
    table = runner.invoke(program(), ["verify", str(folder)], env={"COLUMNS": "160"}).stdout
    assert "Problems" in table and "hushed.mkv, silent.mp4" in table
    statistics = write_report(folder, tmp_path / "page.html").statistics
    assert json.loads(json.dumps(statistics.to_json()["problems"])) == listed
    page = (tmp_path / "page.html").read_text()
    assert '<section id="problems"' in page and "long.mp4, one.mkv, short.mp4" in page


def test_a_damaged_list_is_a_violation(odd: tuple[Path, BuildReport], tmp_path: Path) -> None:
    shutil.copytree(odd[0], tmp_path / "copy")
    (tmp_path / "copy" / PROBLEMS_NAME).write_text('{"problem": "boredom", "detail": "", "clips": []}\n')
    (line,) = check_build(tmp_path / "copy", engine="serial").violations
    assert line.startswith("problems.jsonl, line 1, is not a problem")


def test_the_fingerprint_is_that_of_the_cosine_transform() -> None:
    levels = np.stack([picture[..., 0] for picture in numbered_frames(3, 64, 64)])
    wanted = ""
    for picture in levels:
        small = picture.astype(float).reshape(32, 2, 32, 2).mean((1, 3))
        low = dctn(small, type=2)[:8, :8].ravel()  # another scale of the first row and column moves no median
        wanted += f"{int(''.join('01'[bit] for bit in (low > np.median(low)).astype(int)), 2):016x}"
    assert fingerprint(levels) == wanted


def test_only_what_is_alike_in_every_frame_and_in_colour_is_a_near_duplicate() -> None:
    random = np.random.default_rng(5)
    bits = random.integers(0, 2, 512)

    def looks(changed: dict[int, int], luma: float = 0.5) -> Looks:
        other = bits.copy()
        for frame, count in changed.items():
            other[64 * frame + random.permutation(64)[:count]] ^= 1
        return Looks(np.packbits(other).tobytes().hex(), luma, 0.3)

    same = looks({})
    assert near_duplicates([same, looks(dict.fromkeys(range(8), 5))]) == [(0, 1)]
    assert near_duplicates([same, looks(dict.fromkeys(range(8), 6))]) == []
    assert near_duplicates([same, looks({3: 12})]) == [(0, 1)]
    assert near_duplicates([same, looks({3: 13})]) == []
    assert near_duplicates([same, looks({}, 0.55)]) == [(0, 1)]
    assert near_duplicates([same, looks({}, 0.57)]) == []
    # however many look the same, each is compared once
    (family,) = near_duplicates([*[same] * 20_000, looks(dict.fromkeys(range(8), 5)), looks({3: 13})])
    assert family == tuple(range(20_001))
    assert near_duplicates([Looks(None, 0.5, 0.3)] * 2 + [same]) == []
