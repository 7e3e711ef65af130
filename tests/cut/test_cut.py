"""`emovid cut` on films whose shots are known."""

from __future__ import annotations

import csv
import json
import tarfile
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from known_films import black, blend, shot, stamped
from video_files import full_decode, read_stamp, rotate, write_sheet, write_video

from emovid_dataset.builder.build import build
from emovid_dataset.cut import CutReport, CutSettings, cut_films
from emovid_dataset.media.segment import stretch_of
from emovid_dataset.media.source import Reader

A, B, C, D = "flowers-063900-069200", "kite-473000-479900", "burrow-034000-039500", "trap-340500-344800"
DROPPED = "sheet.dropped.csv"


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def spans(path: Path) -> list[tuple[int, int]]:
    """First frame, and the frame behind the last one, of every row."""
    return [(int(row["first_frame"]), int(row["first_frame"]) + int(row["frames"])) for row in rows(path)]


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, CutReport]:
    """A folder with a film and its sheet: A | B dissolves into C, black, D | a bit of A | D | A standing."""
    folder = tmp_path_factory.mktemp("known")
    a, b, c, d = shot(A, 60), shot(B, 60), shot(C, 60), shot(D, 60)
    moving = stamped([*a, *b[:48], *blend(b[48:], c[:12]), *c[12:]])
    pictures = [*moving, *black(48), *d, *shot(A, 20), *d, *[a[0]] * 48]
    write_video(folder / "film.mp4", pictures)
    report = cut_films([folder / "film.mp4"], folder / "sheet.csv", CutSettings("adaptive"))
    return folder, report


def test_shots_are_clips_and_the_rest_is_left_out_with_a_reason(
    known: tuple[Path, CutReport],
) -> None:
    folder, report = known
    kept, dropped = spans(folder / "sheet.csv"), spans(folder / DROPPED)
    assert kept[0] == (0, 60) and kept[1][0] == 60 and kept[2][1] == 168 and kept[3:] == [(216, 276)]
    # frames 108 to 119 are mixed; at most two of either shot go with them
    assert 106 <= kept[1][1] <= 108 and 120 <= kept[2][0] <= 122
    reasons = [row["reason"] for row in rows(folder / DROPPED)]
    told = ["a gradual transition", "", "shorter than 1.5 s: 0.83 s", "looks like 9.00-11.50 s", "still: "]
    assert len(reasons) == len(told)
    assert all(reason.startswith(begin) for reason, begin in zip(reasons, told, strict=True))
    assert "black" in reasons[1] or reasons[1] == "a gradual transition"
    every = sorted(kept + dropped)
    assert every[0][0] == 0 and every[-1][1] == 404
    assert all(before[1] == behind[0] for before, behind in pairwise(every))
    assert [film.error for film in report.films] == [None] and report.films[0].facts is not None
    assert report.films[0].facts.cuts == 4


def test_build_finds_exactly_the_frames_of_the_sheet(known: tuple[Path, CutReport], tmp_path: Path) -> None:
    folder, _ = known
    labelled = [{**row, "emotion": "awe", "content_type": "cartoon"} for row in rows(folder / "sheet.csv")][
        :3
    ]
    build(folder, write_sheet(tmp_path, labelled), tmp_path / "built")
    found = {}
    for shard in (tmp_path / "built").glob("data/*/*.tar"):
        with tarfile.open(shard) as archive:
            archive.extractall(tmp_path / "clips", filter="data")
    for clip in (tmp_path / "clips").glob("*.mp4"):
        fields = json.loads(clip.with_suffix(".json").read_text())
        found[fields["start"]] = [read_stamp(picture) for picture in full_decode(clip)]
    for row, (first, stop) in zip(labelled, spans(folder / "sheet.csv")[:3], strict=True):
        assert found[float(row["start"])] == list(range(first, stop))


def test_frames_of_a_variable_rate_are_found_by_their_times(tmp_path: Path) -> None:
    pictures = [*shot(A, 48), *shot(B, 48)]
    steps = np.random.default_rng(5).choice([0.02, 0.033, 0.071, 0.09], len(pictures))
    write_video(tmp_path / "vfr.mkv", pictures, times=[float(t) for t in np.cumsum(steps)])
    cut_films([tmp_path / "vfr.mkv"], tmp_path / "sheet.csv", CutSettings("adaptive"))
    assert spans(tmp_path / "sheet.csv") == [(0, 48), (48, 96)], rows(tmp_path / DROPPED)
    with Reader(tmp_path / "vfr.mkv") as reader:
        for row, (first, stop) in zip(
            rows(tmp_path / "sheet.csv"), spans(tmp_path / "sheet.csv"), strict=True
        ):
            stretch = stretch_of(reader, float(row["start"]), float(row["end"]))
            assert (stretch.first, stretch.stop) == (first, stop)


def test_bars_are_measured_upright_in_a_turned_film(tmp_path: Path) -> None:
    pictures = [picture.copy() for picture in shot(A, 48)]
    for picture in pictures:
        picture[:, :16] = picture[:, -16:] = 0
    rotate(write_video(tmp_path / "turned.mp4", pictures), 90)
    cut_films([tmp_path / "turned.mp4"], tmp_path / "sheet.csv", CutSettings("adaptive"))
    # what is left and right in the file is above and below for whoever looks
    assert [row["bars"] for row in rows(tmp_path / "sheet.csv")] == ["16 16 0 0"]


def test_the_network_finds_the_same_shots(known: tuple[Path, CutReport], tmp_path: Path) -> None:
    folder, _ = known
    cut_films([folder / "film.mp4"], tmp_path / "sheet.csv", CutSettings("transnet"))
    kept = spans(tmp_path / "sheet.csv")
    assert kept[0] == (0, 60) and kept[1][0] == 60 and kept[3:] == [(216, 276)]
