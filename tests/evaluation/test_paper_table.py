"""The paper's table as data: consistent with what the metric holds, and its oddities as they are stated."""

from __future__ import annotations

import json
import math
import re

import pytest

from emovid_models.evaluation.paper import CAUTIONS, TABLE_3, N, Task, published_record, published_rows
from emovid_models.metrics.ea_8cls import ea_8cls

TASKS: tuple[Task, ...] = ("t2v", "i2v")


def is_share(percent: float) -> bool:
    """Whether a whole number of videos gives this percentage, rounded or cut off to two digits."""
    counts = (math.floor(percent / 100 * N) + step for step in (0, 1))
    shares = [100 * count / N for count in counts]
    return any(abs(share - percent) < 0.01 for share in shares)


@pytest.mark.parametrize("task", TASKS)
def test_the_fine_tuned_rows_are_the_metrics_published_values(task: Task) -> None:
    rows = published_rows(task)
    assert len(rows) == 5 and all(row.task == task for row in rows)
    (after,) = [row for row in rows if row.fine_tuned]
    assert after.ea_8cls == pytest.approx(100 * ea_8cls.PUBLISHED_EA_8CLS[task])
    (before,) = [row for row in rows if row.fine_tuned is False]
    assert before.model == after.model and before.ea_8cls < after.ea_8cls
    assert all((row.clip is None) == (task == "i2v") == (row.sd is not None) for row in rows)


def test_values_that_no_number_of_videos_gives_are_the_ones_that_are_named() -> None:
    odd = {
        (row.task, value) for row in TABLE_3 for value in (row.ea_2cls, row.ea_8cls) if not is_share(value)
    }
    assert odd == {("t2v", 76.87), ("i2v", 71.30)}
    for task, value in odd:
        assert any(f"{value:.2f}" in caution and "not a multiple" in caution for caution in CAUTIONS[task])


@pytest.mark.parametrize("task", TASKS)
def test_the_intervals_that_are_named_are_wilsons_and_overlap(task: Task) -> None:
    before, after = (row for row in published_rows(task) if row.fine_tuned is not None)
    intervals = [ea_8cls.wilson_interval(round(row.ea_8cls / 100 * N), N) for row in (before, after)]
    assert intervals[0][1] > intervals[1][0]
    stated = [float(number) for number in re.findall(r"\d\d\.\d", CAUTIONS[task][0])]
    assert stated == [round(100 * bound, 1) for interval in intervals for bound in interval]


def test_a_record_is_json_of_one_task_and_says_whose_it_is() -> None:
    record = json.loads(json.dumps(published_record("i2v")))
    assert {row["task"] for row in record["rows"]} == {"i2v"} and record["n"] == 240
    assert "EmoVid" in record["source"] and "other weights" in record["judge"]
    assert any("92.08" in caution and "72.92" in caution for caution in record["cautions"])
