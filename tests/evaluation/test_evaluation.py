"""The protocol on real clips: exact figures, nothing judged twice, what is wrong is said in one line."""

from __future__ import annotations

import dataclasses
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from emovid_dataset.schema.emotions import EMOTIONS
from emovid_models import evaluation
from emovid_models.evaluation import INTENDED_NAME, Intended, Judge, Judged, Judgement
from emovid_models.metrics.ea_8cls import ea_8cls


class Counting:
    """The judge's pipeline, with a count of the videos that it was given, and a stop after some."""

    def __init__(self, judge: Judge, stop: int | None = None) -> None:
        self.annotator, self.stop, self.seen = judge.annotator, stop, 0

    def __call__(self, videos: Any, **options: Any) -> Any:
        for result in self.annotator(videos, **options):
            if self.seen == self.stop:
                raise KeyboardInterrupt
            self.seen += 1
            yield result


def test_figures_are_the_metrics_on_the_annotators_answers(videos: Path, judge: Judge) -> None:
    judged = evaluation.judge_videos(videos, videos / INTENDED_NAME, judge)
    asked = evaluation.read_intended(videos / INTENDED_NAME)
    answers = [judge.annotator(str(videos / row.file), top_k=1)[0]["label"] for row in asked]
    assert [video.judged for video in judged.videos] == answers
    intended = [row.emotion for row in asked]
    figures = evaluation.score(judged)
    right = sum(a == b for a, b in zip(answers, intended, strict=True))
    same_valence = sum(
        EMOTIONS.index(a) // 4 == EMOTIONS.index(b) // 4 for a, b in zip(answers, intended, strict=True)
    )
    assert figures.n == len(asked) == 16
    assert figures.ea_8cls.value == right / 16 and figures.ea_2cls.value == same_valence / 16
    assert (figures.ea_8cls.low, figures.ea_8cls.high) == ea_8cls.wilson_interval(right, 16)
    assert (figures.ea_2cls.low, figures.ea_2cls.high) == ea_8cls.wilson_interval(same_valence, 16)
    for row, name in enumerate(EMOTIONS):
        counts = [
            sum((a, b) == (other, name) for a, b in zip(answers, intended, strict=True)) for other in EMOTIONS
        ]
        assert list(figures.confusion[row]) == counts
        assert figures.recall[name] == (counts[row] / sum(counts) if sum(counts) else None)


def test_nothing_is_judged_twice_until_the_file_or_the_judge_changes(videos: Path, judge: Judge) -> None:
    table = videos / INTENDED_NAME
    first = evaluation.judge_videos(videos, table, judge)
    counting = Counting(judge)
    again = evaluation.judge_videos(videos, table, Judge(judge.identity, counting))
    assert counting.seen == 0 and again.reused == 16
    assert again.videos == first.videos
    changed, other = (videos / row.file for row in evaluation.read_intended(table)[:2])
    shutil.copyfile(other, changed)
    third = evaluation.judge_videos(videos, table, Judge(judge.identity, counting))
    assert counting.seen == 1 and third.videos[0].scores == pytest.approx(first.videos[1].scores, abs=1e-6)
    evaluation.judge_videos(videos, table, Judge("another judge", counting))
    assert counting.seen == 17
    assert evaluation.judge_videos(videos, table, Judge(judge.identity, counting)).reused == 16


def test_an_interrupted_run_goes_on(videos: Path, judge: Judge) -> None:
    table = videos / INTENDED_NAME
    with pytest.raises(KeyboardInterrupt):
        evaluation.judge_videos(videos, table, Judge(judge.identity, Counting(judge, stop=9)), batch_size=4)
    counting = Counting(judge)
    judged = evaluation.judge_videos(videos, table, Judge(judge.identity, counting), batch_size=4)
    assert counting.seen == 16 - 8 and judged.reused == 8, "what counts is the batches that were done whole"
    assert all(video.judged for video in judged.videos)


def test_what_cannot_be_judged_is_wrong_and_listed(videos: Path, judge: Judge) -> None:
    table = videos / INTENDED_NAME
    asked = evaluation.read_intended(table)
    whole = evaluation.score(evaluation.judge_videos(videos, table, judge))
    (videos / asked[0].file).write_bytes(b"no video")
    (videos / asked[1].file).unlink()
    with pytest.raises(
        ValueError, match=re.escape(f"1 of 16 videos of {table}") + r".*first " + asked[1].file
    ):
        evaluation.judge_videos(videos, table, judge)
    judged = evaluation.judge_videos(videos, table, judge, allow_missing=True)
    assert [video.file for video in judged.failed] == [asked[0].file, asked[1].file]
    assert "cannot be decoded" in str(judged.failed[0].error)
    assert judged.failed[1].error == "the video is missing"
    figures = evaluation.score(judged)
    assert figures.n == 16 and figures.unscored == 2
    assert figures.ea_8cls.value <= whole.ea_8cls.value
    assert sum(map(sum, figures.confusion)) == 14


def test_a_video_that_the_table_does_not_name_is_left_out(videos: Path, judge: Judge) -> None:
    table = videos / INTENDED_NAME
    evaluation.write_intended(table, evaluation.read_intended(table)[:3])
    assert len(evaluation.judge_videos(videos, table, judge).videos) == 3


def test_real_clips_of_a_build(mini_build: Path, judge: Judge, tmp_path: Path) -> None:
    from emovid_dataset.read.select import select

    judged = evaluation.judge_clips(mini_build, judge, content_type="sticker", out=tmp_path / "real")
    clips = select(mini_build, split="test", content_type="sticker").clips
    assert [(video.file, video.intended) for video in judged.videos] == [(c.id, c.emotion) for c in clips]
    again = evaluation.judge_clips(mini_build, judge, content_type="sticker", out=tmp_path / "real")
    assert again.reused == len(clips) and again.videos == judged.videos
    with pytest.raises(ValueError, match="nosuch"):
        evaluation.judge_clips(mini_build, judge, split="nosuch", out=tmp_path / "real")


def judged_as(answers: list[str | None], intended: list[str], scenes: int = 4) -> Judged:
    return Judged(
        "judge",
        tuple(
            Judgement(f"{place}.mp4", asked, answer, None, None, f"scene {place % scenes}", place % scenes)
            for place, (asked, answer) in enumerate(zip(intended, answers, strict=True))
        ),
    )


def test_paired_comparison_is_exact() -> None:
    from scipy.stats import binomtest

    intended = [EMOTIONS[place % 8] for place in range(40)]
    wrong = [EMOTIONS[(place + 1) % 8] for place in range(40)]
    base = judged_as([*intended[:10], *wrong[10:]], intended)
    lora = judged_as([*wrong[:3], *intended[3:25], *wrong[25:39], None], intended)
    found = evaluation.compare(base, lora)
    assert (found.both, found.base_only, found.lora_only, found.neither) == (7, 3, 15, 15)
    assert found.mcnemar_p == pytest.approx(binomtest(3, 18).pvalue)
    assert found.difference is not None and found.difference.value == pytest.approx(12 / 40)
    assert found.difference.low <= 12 / 40 <= found.difference.high
    assert found.base == evaluation.score(base) and found.lora == evaluation.score(lora)
    shuffled = dataclasses.replace(lora, videos=lora.videos[::-1])
    assert evaluation.compare(base, shuffled).mcnemar_p == found.mcnemar_p


def test_only_equals_are_compared() -> None:
    one = judged_as(["awe", "fear"], ["awe", "awe"])
    with pytest.raises(ValueError, match="one judge"):
        evaluation.compare(one, dataclasses.replace(one, judge="other"))
    with pytest.raises(ValueError, match=r"1 videos are of one model only, first 1\.mp4"):
        evaluation.compare(one, dataclasses.replace(one, videos=one.videos[:1]))
    for name, value in (("intended", "fear"), ("prompt", "x"), ("seed", 9)):
        other = dataclasses.replace(one.videos[1], **{name: value})
        with pytest.raises(ValueError, match=rf"1\.mp4: {name} is"):
            evaluation.compare(one, dataclasses.replace(one, videos=(one.videos[0], other)))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no column 'file'; it has: none"),
        ("file\na.mp4\n", "no column 'emotion'"),
        ("file,emotion,colour\na.mp4,awe,red\n", "unknown columns ['colour']"),
        ("file,emotion,emotion\na.mp4,awe,awe\n", "a column twice"),
        ("file,emotion\na.mp4,joy\n", "line 2: emotion 'joy' is unknown"),
        ("file,emotion\na.mp4,awe\n./a.mp4,awe\n", "line 3: file a.mp4 is also in line 2"),
        ("file,emotion\na.mp4,awe,more\n", "line 2 does not have 2 cells"),
        ("file,emotion,seed\na.mp4,awe\n", "line 2 does not have 3 cells"),
        ("file,emotion\n,awe\n", "line 2: file is empty"),
        ("file,emotion,seed\na.mp4,awe,first\n", "seed 'first' is not a whole number"),
        ('file,emotion\n"a.mp4,awe\n', "is not CSV"),
        ("file,emotion\n", "holds no rows"),
        (b"file,emotion\na.mp4,\xff\n", "is not UTF-8 text"),
    ],
)
def test_wrong_tables_are_refused_in_one_line(tmp_path: Path, text: str | bytes, message: str) -> None:
    table = tmp_path / INTENDED_NAME
    table.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ValueError) as caught:
        evaluation.read_intended(table)
    assert message in str(caught.value) and str(table) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_table_comes_back_as_written(tmp_path: Path) -> None:
    rows = [Intended("a/b.mp4", "awe", 'a "cat", here', 3), Intended("c.mp4", "fear")]
    evaluation.write_intended(tmp_path / INTENDED_NAME, rows)
    assert evaluation.read_intended(tmp_path / INTENDED_NAME) == rows
    (tmp_path / "other.csv").write_text("\ufeffemotion,file\n7,x.mp4\n AWE ,y.mp4\n")
    assert [row.emotion for row in evaluation.read_intended(tmp_path / "other.csv")] == ["sadness", "awe"]


def test_missing_folders_and_empty_folders(tmp_path: Path, judge: Judge) -> None:
    table = tmp_path / INTENDED_NAME
    evaluation.write_intended(table, [Intended("a.mp4", "awe")])
    with pytest.raises(FileNotFoundError, match="is not a folder"):
        evaluation.judge_videos(tmp_path / "none", table, judge)
    with pytest.raises(ValueError, match="holds no video"):
        evaluation.judge_videos(tmp_path, table, judge)
    with pytest.raises(FileNotFoundError, match="is not a file"):
        evaluation.judge_videos(tmp_path, tmp_path / "none.csv", judge)


def test_output_that_cannot_be_written(videos: Path, judge: Judge) -> None:
    (videos / "judged").write_text("a file where the folder should be")
    with pytest.raises(OSError):
        evaluation.judge_videos(videos, videos / INTENDED_NAME, judge)
    assert os.listdir(videos).count("judged") == 1


def test_public_names_are_shown_and_imported_when_asked_for() -> None:
    for name in evaluation.__all__:
        assert name in dir(evaluation) and getattr(evaluation, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        evaluation.nothing  # noqa: B018
    code = (
        "import sys; from emovid_models import evaluation; evaluation.read_intended; "
        "print([name for name in sys.modules if name.startswith(('emovid_models.annotator', 'torch'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
