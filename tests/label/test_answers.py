"""Raters' answers: what a file holds after corrections, crashes, full disks and strange names."""

from __future__ import annotations

import json
import os
import random
import resource
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from emovid_dataset.label.answers import Answer, AnswerFile, AnswersError, read_answers, read_lines
from emovid_dataset.label.raters import file_name, rater_name
from emovid_dataset.schema.taxonomy import Taxonomy

AT = "2025-03-01T10:00:00.250+00:00"
GIVEN: dict[str, Any] = {
    "rater": "anna",
    "id": "movie-00112233445566aa",
    "emotion": "awe",
    "second": "fear",
    "intensity": 0.5,
    "ms": 2300,
    "at": AT,
    "version": 1,
}


def answer(clip: str = "movie-01", emotion: str | None = "awe", **other: Any) -> Answer:
    return Answer(**{"rater": "anna", "id": clip, "emotion": emotion, "ms": 10, "at": AT, **other})


def test_a_line_holds_the_eight_fields(tmp_path: Path) -> None:
    with AnswerFile(tmp_path, "anna") as file:
        assert file.append(Answer(**GIVEN))
        assert file.append(answer("movie-02", "none", repeat=1))
    lines = [json.loads(line) for line in (tmp_path / "anna.jsonl").read_text().splitlines()]
    assert lines[0] == GIVEN and list(lines[0]) == list(GIVEN)
    assert lines[1]["repeat"] == 1 and lines[1]["second"] is None and lines[1]["intensity"] is None


def test_the_last_version_of_a_question_counts(tmp_path: Path) -> None:
    with AnswerFile(tmp_path, "anna") as file:
        file.append(answer("movie-01", "awe"))
        file.append(answer("movie-02", "unclear"))
        file.append(answer("movie-01", None, version=2))
        file.append(answer("movie-01", "fear", version=3))
        file.append(answer("movie-01", "sadness", repeat=1))
        file.append(answer("movie-03", "anger"))
        file.append(answer("movie-03", None, version=2))
    found = read_answers(tmp_path)
    assert [(one.id, one.repeat, one.emotion) for one in found] == [
        ("movie-01", 0, "fear"),
        ("movie-02", 0, "unclear"),
        ("movie-01", 1, "sadness"),
    ]
    with AnswerFile(tmp_path, "anna") as file:
        undone = file.latest("movie-03")
        assert undone is not None and undone.emotion is None and undone.version == 2
        with pytest.raises(AnswersError, match="has version 2; the next is 3"):
            file.append(answer("movie-03", "anger", version=2))


def test_an_answer_that_is_sent_twice_is_written_once(tmp_path: Path) -> None:
    with AnswerFile(tmp_path, "anna") as file:
        assert file.append(answer())
        assert not file.append(answer(ms=99, at=AT.replace("10:", "11:")))
        with pytest.raises(AnswersError, match="has version 1; the next is 2"):
            file.append(answer(emotion="fear"))
    with AnswerFile(tmp_path, "anna") as file:  # the file knows it after a restart, too
        assert not file.append(answer())
    assert len(read_lines(tmp_path / "anna.jsonl")) == 1


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("rater", "../anna"),
        ("rater", " anna"),
        ("rater", None),
        ("id", ""),
        ("id", "../x"),
        ("id", 3),
        ("emotion", "joy"),
        ("emotion", "all"),
        ("emotion", 3),
        ("emotion", ["awe"]),
        ("emotion", "none"),  # with a second
        ("second", "awe"),  # as the first
        ("second", "unclear"),
        ("intensity", 1.01),
        ("intensity", float("nan")),
        ("intensity", True),
        ("intensity", "0.5"),
        ("ms", -1),
        ("ms", 2.5),
        ("at", "yesterday"),
        ("at", "2025-03-01T10:00:00"),
        ("at", 0),
        ("version", 0),
        ("version", True),
        ("repeat", -1),
        ("surname", "x"),
    ],
)
def test_what_is_not_an_answer_is_refused_with_its_line(tmp_path: Path, field: str, value: object) -> None:
    path = tmp_path / "anna.jsonl"
    path.write_text(json.dumps(GIVEN) + "\n\n" + json.dumps({**GIVEN, "id": "movie-02", field: value}) + "\n")
    with pytest.raises(AnswersError, match=r"anna\.jsonl, line 3: "):
        read_answers(path)


@pytest.mark.parametrize("line", [b"{", b"\xff", b"[1]", b'"awe"', b'{"rater": "anna"}', b"NaN"])
def test_what_is_not_an_object_is_refused_with_its_line(tmp_path: Path, line: bytes) -> None:
    (tmp_path / "anna.jsonl").write_bytes(line + b"\n")
    with pytest.raises(AnswersError, match=r"anna\.jsonl, line 1: "):
        read_answers([tmp_path])


def test_answers_are_of_the_taxonomy_that_was_asked(tmp_path: Path) -> None:
    moods = Taxonomy("moods", ("joy", "grief"), (0, 1))
    with AnswerFile(tmp_path, "anna", moods) as file:
        file.append(answer(emotion="joy", second="grief"))
        with pytest.raises(AnswersError, match="'awe'; allowed: joy, grief, none, unclear"):
            file.append(answer("movie-02"))
    assert [one.emotion for one in read_answers(tmp_path, moods)] == ["joy"]


def test_a_line_that_was_cut_off_is_left_out_and_given_again(tmp_path: Path) -> None:
    whole = (answer("movie-01").to_json() + "\n").encode()
    second = (answer("movie-02").to_json() + "\n").encode()
    path = tmp_path / "anna.jsonl"
    for cut in random.Random(3).sample(range(len(second)), 12):
        path.write_bytes(whole + second[:cut])
        assert [one.id for one in read_answers(path)] == ["movie-01"]
        with AnswerFile(tmp_path, "anna") as file:
            assert file.latest("movie-02") is None
            file.append(answer("movie-02"))
        assert path.read_bytes() == whole + second


def test_an_answer_is_on_the_disk_when_it_is_confirmed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[tuple[int, int]] = []
    real = os.fsync

    def seen(descriptor: int) -> None:
        real(descriptor)
        found = os.fstat(descriptor)
        synced.append((found.st_ino, found.st_size))

    monkeypatch.setattr(os, "fsync", seen)
    with AnswerFile(tmp_path / "new", "anna") as file:
        assert synced[-1][0] == (tmp_path / "new").stat().st_ino  # the file's name
        for number in range(3):
            file.append(answer(f"movie-{number}"))
            held = file.path.stat()
            assert synced[-1] == (held.st_ino, held.st_size)


def test_a_full_disk_leaves_nothing_of_an_answer(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with AnswerFile(tmp_path, "anna") as file:
        file.append(answer("movie-01"))
        size = file.path.stat().st_size
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 20, hard))
        try:
            with pytest.raises(OSError, match="too large"):
                file.append(answer("movie-02"))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert file.path.stat().st_size == size and file.latest("movie-02") is None
        file.append(answer("movie-02"))
    assert [one.id for one in read_answers(tmp_path)] == ["movie-01", "movie-02"]


def test_one_process_appends_to_a_file(tmp_path: Path) -> None:
    with (
        AnswerFile(tmp_path, "anna"),
        AnswerFile(tmp_path, "ben"),
        pytest.raises(BlockingIOError, match="another process appends"),
    ):
        AnswerFile(tmp_path, "anna")
    AnswerFile(tmp_path, "anna").close()


def test_a_file_of_another_rater_is_refused(tmp_path: Path) -> None:
    with AnswerFile(tmp_path, "ben") as file:
        file.append(answer(rater="ben"))
        with pytest.raises(AnswersError, match="'anna' does not go into"):
            file.append(answer("movie-02"))
    (tmp_path / "ben.jsonl").rename(tmp_path / "anna.jsonl")
    with pytest.raises(AnswersError, match="holds answers of 'ben', not of 'anna'"):
        AnswerFile(tmp_path, "anna")
    target = tmp_path / "elsewhere"
    target.touch()
    (tmp_path / "zoe.jsonl").symlink_to(target)
    with pytest.raises(OSError, match="symbolic"):
        AnswerFile(tmp_path, "zoe")


def test_files_that_contradict_each_other_are_refused(tmp_path: Path) -> None:
    one, other = tmp_path / "one.jsonl", tmp_path / "other.jsonl"
    one.write_text(answer().to_json() + "\n")
    other.write_text(answer().to_json() + "\n")
    assert len(read_answers([one, other])) == 1
    other.write_text(replace(answer(), emotion="fear").to_json() + "\n")
    with pytest.raises(AnswersError, match=r"two answers about movie-01 with version 1: awe at .* and fear"):
        read_answers([one, other])
    with pytest.raises(FileNotFoundError):
        read_answers(tmp_path / "missing.jsonl")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="holds no answers"):
        read_answers(tmp_path / "empty")


def test_raters_never_share_a_file() -> None:
    names = ["anna", "Anna", "ANNA", "a%6e", "%41nna", "%61nna", "a_b", "a b", "a-b", "zoë", "zoe", "ZOË"]
    names += ["con", "Con", "com1", "lpt9.x", "x.jsonl", "x", "安娜", "Ａnna", "a~b", "a:b", "a'b", 'a"<b>&']
    files = [file_name(name).lower() for name in names]  # as on a disk that knows no upper case
    assert len(set(files)) == len(names)
    assert not {"con.jsonl", "com1.jsonl"} & set(files)
    for name in files:
        assert os.path.basename(name) == name and name.isascii() and not name.startswith(".")
    assert file_name("zoe\u0308") == file_name("zoë")


@pytest.mark.parametrize(
    "name",
    [
        "",
        "  ",
        ".",
        "..",
        ".hidden",
        "a/b",
        "a\\b",
        "../a",
        "a\0b",
        "a\nb",
        "a\u202eb",
        "a\u200bb",
        "\ud800a",
        "x" * 65,
        "安" * 40,
        "--",
        "'; --",
        3,
        None,
        b"anna",
    ],
)
def test_what_is_not_a_name_is_refused(name: object) -> None:
    with pytest.raises(ValueError, match="rater"):
        rater_name(name)
