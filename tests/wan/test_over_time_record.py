"""What was measured of emotions over time."""

from __future__ import annotations

import json

import pytest

from benchmarks.emotion_over_time import (
    PAIRS,
    RECORD,
    effect_of_whole_videos,
    effect_over_time,
    summarized,
    summary_of,
)


def test_the_record_is_what_its_pairs_say() -> None:
    record = json.loads(RECORD.read_text(encoding="utf-8"))
    assert len(record["pairs"]) == len(PAIRS) == 12
    for pair in record["pairs"]:
        first, second, parts = pair["first"], pair["second"], pair["parts"]
        over = effect_over_time(first, second, parts["there"], parts["back"])
        whole = effect_of_whole_videos(first, second, parts["alone"], parts["other"])
        assert (over, whole) == pytest.approx((pair["effect_over_time"], pair["effect_of_whole_videos"]))
    assert summarized(record["pairs"]) == record["summary"]


def test_effects_are_of_the_own_part_against_the_other() -> None:
    sad, awed = {"awe": 0.1, "sadness": 0.9}, {"awe": 0.8, "sadness": 0.2}
    assert effect_over_time("sadness", "awe", [sad, awed], [awed, sad]) == pytest.approx(0.7)
    assert effect_over_time("sadness", "awe", [sad, awed], [sad, awed]) == pytest.approx(0.0)
    assert effect_of_whole_videos("sadness", "awe", [sad, sad], [awed, awed]) == pytest.approx(0.7)
    found = summary_of([0.1, 0.2, 0.3])
    assert (found["mean"], found["p"]) == (pytest.approx(0.2), 0.25)
    # 0.1 / sqrt(3) times Student's 97.5 % point of two degrees of freedom, 4.302653
    assert found["high"] - found["mean"] == pytest.approx(4.302653 * 0.1 / 3**0.5, rel=1e-6)
