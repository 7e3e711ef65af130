"""What is said of how well films are cut: the score, a small share of the joins, and the page."""

from __future__ import annotations

import json
from pathlib import Path

import av
import numpy as np
import pytest
from video_files import MINI

from benchmarks.cutting import RECORD, TRUTH, auto, measures_of, pairs
from benchmarks.cutting_cost import RECORD as COST
from benchmarks.cutting_joins import KINDS, joins
from benchmarks.cutting_page import render
from benchmarks.cutting_score import Score, score

PAGE = Path(__file__).parents[2] / "docs" / "cutting.md"


@pytest.mark.parametrize(
    ("found", "there", "hits"),
    [
        ([(10, 10)], [(12, 12)], 1),
        ([(10, 10)], [(13, 13)], 0),
        ([(10, 10), (11, 11)], [(10, 10)], 1),
        ([(20, 40)], [(42, 60)], 1),
        ([(20, 40)], [(43, 60)], 0),
        ([(30, 30), (50, 50)], [(20, 40), (45, 55)], 2),
        ([], [(5, 5)], 0),
    ],
)
def test_a_boundary_counts_within_two_frames_and_once(
    found: list[tuple[int, int]], there: list[tuple[int, int]], hits: int
) -> None:
    told = score(found, there)
    assert (told.hits, told.wrong, told.missed) == (hits, len(found) - hits, len(there) - hits)
    assert told.f1 == pytest.approx(2 * hits / (len(found) + len(there)))


@pytest.fixture(scope="module")
def pictures() -> tuple[np.ndarray, list[tuple[int, int]]]:
    """Tiny frames of the cartoon clips that last four seconds or more, and where each begins and ends."""
    frames: list[np.ndarray] = []
    shots = []
    for path in sorted((MINI / "cartoon").glob("*.mp4")):
        first, last = (int(part) for part in path.stem.split("-")[-2:])
        if last - first >= 4500 and len(shots) < 6:
            begin = len(frames)
            with av.open(str(path)) as container:
                frames += [
                    frame.reformat(48, 27, "rgb24", interpolation="AREA").to_ndarray()
                    for frame in container.decode(video=0)
                ]
            shots.append((begin, len(frames)))
    return np.stack(frames), shots


@pytest.mark.parametrize("kind", KINDS)
def test_joins_of_shots_are_found(kind: str, pictures: tuple[np.ndarray, list[tuple[int, int]]]) -> None:
    frames, shots = pictures
    total = Score(0, 0, 0)
    for join in joins(shots, 12, 7):
        if join.kind == kind:
            small = join.pictures(frames)
            total += score(pairs(auto(measures_of(small)), len(small) + 1), join.transitions)
    assert total.wrong == 0 and total.missed <= 1


def test_the_page_is_the_record() -> None:
    record, truth = json.loads(RECORD.read_text("utf-8")), json.loads(TRUTH.read_text("utf-8"))
    cost = json.loads(COST.read_text("utf-8")) if COST.exists() else {}
    assert PAGE.read_text("utf-8") == render(record, truth, cost)
    best = max(row["f1"] for name, row in record["film"]["rows"].items() if name.startswith("PySceneDetect"))
    assert record["film"]["rows"]["auto"]["f1"] > best
