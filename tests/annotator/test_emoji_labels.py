"""The sheet of further emoji: it says what the two passes' answers come to, and nothing else."""

from __future__ import annotations

import csv
import json
import re
from collections import Counter

import krippendorff
import numpy as np
import pytest

from emovid_dataset.schema.emotions import EMOTIONS
from tools.mini_corpus.emoji_labels import PASSES, SHEET
from tools.mini_corpus.labels import SHEETS, reserved_assets

ANSWERS = (*EMOTIONS, "none", "unclear")


@pytest.fixture(scope="module")
def rows() -> list[dict[str, str]]:
    with SHEET.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def said() -> list[dict[str, str]]:
    """By clip what each pass said in the end, read line by line."""
    found = []
    for path in PASSES:
        lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        lines.sort(key=lambda line: line["version"])
        assert {line["rater"] for line in lines} == {path.stem}
        found.append({line["id"]: line["emotion"] for line in lines})
    return found


def test_an_emoji_has_the_emotion_that_both_passes_gave_it(
    rows: list[dict[str, str]], said: list[dict[str, str]]
) -> None:
    assert sum(bool(row["emotion"]) for row in rows) >= 200
    for row in rows:
        first, second = (answers[row["id"]] for answers in said)
        assert (row["pass_1"], row["pass_2"]) == (first, second)
        assert row["emotion"] == (first if first == second and first in EMOTIONS else "")
        assert row["emotion_source"] == "model"


def test_at_least_300_were_rated_twice_and_none_is_reserved_or_in_the_corpus(
    rows: list[dict[str, str]], said: list[dict[str, str]]
) -> None:
    assert len(said[0].keys() & said[1].keys()) >= 300
    with (SHEETS / "sticker_labels.csv").open(newline="", encoding="utf-8") as file:
        corpus = {row["group"] for row in csv.DictReader(file)}
    reserved = {asset.partition(".")[0].partition("-")[0] for asset in reserved_assets()}
    assert not {row["group"] for row in rows} & (corpus | reserved)
    assert len({row["group"] for row in rows}) == len(rows)


def test_the_figures_beside_the_answers_are_theirs(said: list[dict[str, str]]) -> None:
    text = (PASSES[0].parent / "README.md").read_text(encoding="utf-8")
    both = sorted(said[0].keys() & said[1].keys())
    codes = np.array([[ANSWERS.index(answers[clip]) for clip in both] for answers in said])
    alpha = krippendorff.alpha(reliability_data=codes, level_of_measurement="nominal")
    (written,) = re.findall(r"alpha is ([0-9.]+)", text)
    assert float(written) == pytest.approx(alpha, abs=0.006)
    same = int((codes[0] == codes[1]).sum())
    assert f"{same} of {len(both)} emoji" in text
    for name, count in Counter(answers for answers in said[0].values()).items():
        assert re.search(rf"\| {name} \| {count} \| {sum(v == name for v in said[1].values())} \|", text)
