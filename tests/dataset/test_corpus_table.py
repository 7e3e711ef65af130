"""Table 2 of the paper and the label counts of any build, beside the paper's own figures."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import mean, stdev

import pytest
from labelled_corpus import labelled_corpus
from typer.testing import CliRunner

from emovid_dataset.builder.build import build
from emovid_dataset.cli import program
from emovid_dataset.read.select import select
from emovid_dataset.report.corpus_table import (
    Agreement,
    CorpusRow,
    corpus_rows,
    label_columns,
    length_columns,
    paper_notes,
)
from emovid_dataset.report.page import write_report
from emovid_dataset.report.paper import TABLE_2
from emovid_dataset.report.stats import Statistics, measure


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A build with a benchmark, that says it is the paper's corpus."""
    folder = tmp_path_factory.mktemp("made")
    sheet = labelled_corpus(folder / "raw")
    build(folder / "raw", sheet, folder / "out", engine="serial", benchmark=2, corpus="emovid")
    return folder / "out"


@pytest.fixture(scope="module")
def statistics(made: Path) -> Statistics:
    return measure(made)


def test_every_row_has_lengths_and_sound_of_its_clips(made: Path, statistics: Statistics) -> None:
    clips = select(made).clips
    rows = corpus_rows(statistics)
    assert [row.content_type for row in rows] == ["movie", "sticker", "all"]
    for row in rows:
        some = [clip for clip in clips if row.content_type in ("all", clip.content_type)]
        lengths = [clip.duration for clip in some]
        assert row.clips == len(some) and row.audible == sum(clip.has_audio for clip in some)
        assert row.mean == pytest.approx(mean(lengths), abs=1e-9)
        assert row.sd == pytest.approx(stdev(lengths), abs=1e-9)
        assert row.seconds == pytest.approx(sum(lengths), abs=1e-9)
    assert [row.audible for row in rows] == [2, 0, 2]


def test_ambiguity_is_the_entropy_of_the_votes(made: Path, statistics: Statistics) -> None:
    from scipy.stats import entropy

    clips = [clip for clip in select(made).clips if clip.votes is not None and (clip.raters or 0) > 1]
    by_emotion: dict[str, list[float]] = {"all": []}
    for clip in clips:
        votes = clip.votes or ()
        bits = float(entropy([*votes, (clip.raters or 0) - sum(votes)], base=2))
        by_emotion.setdefault(clip.emotion, []).append(bits)
        by_emotion["all"].append(bits)
    assert max(by_emotion["all"]) == pytest.approx(entropy([2, 1], base=2))
    for name, bits in by_emotion.items():
        found = statistics.ambiguity[name]
        assert (found.clips, found.divided) == (len(bits), sum(value > 0 for value in bits))
        assert found.entropy == pytest.approx(mean(bits))
    said = statistics.to_json()["ambiguity"]["all"]
    assert said["mean_entropy_bits"] == statistics.ambiguity["all"].entropy


def test_human_labels_are_counted_by_raters_and_agreement(statistics: Statistics) -> None:
    movie, sticker, everything = corpus_rows(statistics)
    assert (movie.human, movie.model, movie.agreements) == (2, 0, (Agreement(3, 3, 2),))
    # 0, 1, 4 and four of amusement; 3; 6; and 5 by a model. 2 is left out of the splits.
    found = (Agreement(3, 3, 7), Agreement(3, 2, 1), Agreement(2, 2, 1))
    assert (sticker.human, sticker.model, sticker.agreements) == (9, 1, found)
    assert (everything.human, everything.model) == (11, 1)
    columns, table = label_columns((movie, sticker, everything))
    assert columns[:6] == ["content type", "model", "people", "3 of 3", "2 of 3", "2 of 2"]
    assert [row[:6] for row in table] == [
        ["movie", 0, 2, 2, 0, 0],
        ["sticker", 1, 9, 7, 1, 1],
        ["all", 1, 11, 9, 1, 1],
    ]


def test_the_papers_figures_stand_beside_only_where_they_belong(statistics: Statistics) -> None:
    beside = corpus_rows(statistics)
    assert [row.paper for row in beside] == [TABLE_2["movie"], TABLE_2["sticker"], TABLE_2["all"]]
    columns, table = length_columns(beside)
    assert columns[6:] == ["paper: clips", "paper: mean s", "paper: sd s", "paper: total s", "paper: sound"]
    assert [row[6:] for row in table] == [
        [13_255, 8.75, 4.71, None, "yes"],
        [6_696, 2.91, 2.18, None, "no"],
        [22_758, 6.18, 4.53, 140_580, None],
    ]
    assert label_columns(beside)[0][-1] == "paper: people"
    assert [row[-1] for row in label_columns(beside)[1]] == [2_771, 6_996, 10_049]
    assert any("6,996 human-labelled stickers, more than its 6,696" in note for note in paper_notes(beside))
    alone = corpus_rows(statistics, paper=False)
    assert {row.paper for row in alone} == {None} and list(paper_notes(alone)) == []
    assert len(length_columns(alone)[0]) == 6 and label_columns(alone)[0][-1] == "2 of 2"


def test_the_papers_own_sums_are_as_its_errors_say() -> None:
    parts = [TABLE_2[name] for name in ("cartoon", "movie", "sticker")]
    everything = TABLE_2["all"]
    assert sum(row.clips for row in parts) == everything.clips
    assert sum(row.human for row in parts) == everything.human
    seconds = sum(row.clips * row.mean for row in parts)
    assert (round(seconds), round(seconds / everything.clips, 2)) == (149_838, 6.58)
    assert everything.seconds is not None and everything.seconds / everything.clips == pytest.approx(
        6.18, abs=0.005
    )


def test_a_single_clip_has_no_deviation(tmp_path: Path) -> None:
    sheet = labelled_corpus(tmp_path / "raw")
    lines = sheet.read_text(encoding="utf-8").splitlines()[:2]
    sheet.write_text("\n".join(lines) + "\n", encoding="utf-8")
    build(tmp_path / "raw", sheet, tmp_path / "out", engine="serial")
    row, everything = corpus_rows(measure(tmp_path / "out"))
    assert (row.sd, everything.sd, row.paper) == (None, None, None)
    assert isinstance(row, CorpusRow) and length_columns((row,))[1][0][3] is None


def test_the_command_prints_them_and_json_holds_them(made: Path) -> None:
    shown = CliRunner().invoke(program(), ["stats", str(made)]).stdout
    assert "paper: clips" in shown and "The paper's rows add up to 149,838 s" in shown
    assert "benchmark: 7 of 32 clips" in shown and "no specific emotion: 4 more rows" in shown
    bare = CliRunner().invoke(program(), ["stats", str(made), "--no-paper"]).stdout
    assert "paper: clips" not in bare and "3 of 3" in bare
    told = json.loads(CliRunner().invoke(program(), ["stats", str(made), "--json"]).stdout)
    assert (told["corpus"], told["none_clips"]) == ("emovid", 4)
    assert [row["row"] for row in told["without_emotion"]] == [12, 13, 14, 17]
    sticker = told["table_2"][1]
    assert (sticker["clips"], sticker["human"], sticker["paper"]["human"]) == (10, 9, 6_996)
    assert sticker["agreements"][0] == {"raters": 3, "agreed": 3, "clips": 7}
    assert told["benchmark"]["left_out"] == 2


def test_the_page_shows_them(made: Path, tmp_path: Path) -> None:
    write_report(made, tmp_path / "page.html", clips=0)
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    for part in ('id="table-2"', 'id="label-counts"', 'id="benchmark"', 'id="none-clips" value="4"'):
        assert part in page
    assert 'id="left-out" value="2"' in page and "paper: clips" in page and "sticker/12.mp4" in page
    write_report(made, tmp_path / "page.html", clips=0, paper=False)
    assert "paper: clips" not in (tmp_path / "page.html").read_text(encoding="utf-8")
