"""Ratings come from answers, sheets and Label Studio alike; nonsense is refused with its line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from emovid_dataset.agree.rating import Rating
from emovid_dataset.agree.sources import read_ratings
from emovid_dataset.label.answers import Answer, AnswerFile
from emovid_dataset.store import Store

SAID = [
    ("anna", "movie/a.mp4", "awe"),
    ("anna", "movie/b.mp4", "none"),
    ("bob", "movie/a.mp4", "fear"),
    ("bob", "movie/b.mp4", "unclear"),
]


def lines(path: Path, *rows: Any) -> Path:
    path.write_text("".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in rows), "utf-8")
    return path


def said(ratings: list[Rating]) -> set[tuple[str, str, str | None]]:
    return {(one.rater, one.id, one.emotion) for one in ratings}


def test_the_label_pages_own_file_with_undo_and_repeats(tmp_path: Path) -> None:
    at = "2025-03-01T10:00:00+00:00"
    with AnswerFile(tmp_path, "zoë k") as file:
        for clip, emotion, more in (
            ("c1", "awe", {"second": "fear"}),
            ("c1", None, {"version": 2}),
            ("c1", "sadness", {"version": 3, "second": "awe"}),
            ("c2", "anger", {}),
            ("c2", None, {"version": 2}),
            ("c1", "awe", {"repeat": 1}),
        ):
            file.append(Answer(rater="zoë k", id=clip, emotion=emotion, ms=1200, at=at, **more))  # type: ignore[arg-type]
    found = read_ratings([tmp_path])
    assert [(one.id, one.emotion, one.second, one.repeat, one.ms) for one in found] == [
        ("c1", "sadness", "awe", 0, 1200),
        ("c1", "awe", None, 1, 1200),
    ]


def test_answers_that_others_wrote(tmp_path: Path) -> None:
    rows = [
        {"rater": "anna", "id": "c1", "emotion": "Fearful"},
        {"rater": 3, "id": 17, "emotion": "No specific emotion", "tool": {"name": "x"}, "version": "2.1"},
        {"rater": "anna", "id": "c1", "emotion": "awe", "second": "", "intensity": 4, "ms": None},
        {"rater": "anna", "id": "c2", "emotion": "awe", "second": "awe", "version": 2},
        {"rater": "anna", "id": "c2", "emotion": "fear", "version": 1},
        {
            "rater": "anna",
            "id": "c3",
            "emotion": "none",
            "second": "fear",
            "path": "movie/c.mp4",
            "start": 1.5,
        },
    ]
    path = lines(tmp_path / "a.jsonl", *rows, "")
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes() + b'{"rater": "anna", "id": "c4", "emo')
    told: list[str] = []
    found = {(one.rater, one.id): one for one in read_ratings([path], tell=told.append)}
    assert {key: one.emotion for key, one in found.items()} == {
        ("anna", "c1"): "awe",
        ("3", "17"): "none",
        ("anna", "c2"): "awe",
        ("anna", "c3"): "none",
    }
    assert all(one.second is None for one in found.values())
    assert found["anna", "c3"].place == {"path": "movie/c.mp4", "start": 1.5}
    assert told == [f"{path}: line 8 was cut off while it was written, and is left out"]


FINE = {"rater": "anna", "id": "c1", "emotion": "awe"}


@pytest.mark.parametrize(
    "row, reason",
    [
        ("{", "is not JSON: "),
        ("[1]", "is not an object"),
        ({"rater": "anna", "id": "c1"}, "has no emotion"),
        ({}, "has no rater and no id and no emotion"),
        ({**FINE, "emotion": "joy"}, "emotion 'joy' is unknown; allowed: amusement, "),
        ({**FINE, "emotion": "happy"}, "it may be amusement or contentment or excitement"),
        ({**FINE, "emotion": 3}, "emotion 3 is unknown"),
        ({**FINE, "emotion": "3"}, "emotion '3' is unknown"),
        ({**FINE, "emotion": ["awe"]}, "emotion ['awe'] is unknown"),
        ({**FINE, "rater": ""}, "rater '' is not a name"),
        ({**FINE, "rater": None}, "rater is None, not a name"),
        ({**FINE, "id": "a\nb"}, "id 'a\\nb' is not a name"),
        ({**FINE, "second": "joy"}, "emotion 'joy' is unknown"),
        ({**FINE, "intensity": "much"}, "intensity is 'much', not a number"),
        ({**FINE, "ms": -1}, "ms is -1, not a number of milliseconds"),
        ({**FINE, "repeat": -1}, "repeat is -1, not the how-many-eth time"),
        ('{"rater": "a", "id": "b", "emotion": "awe", "ms": NaN}', "is not JSON: NaN is not a JSON number"),
    ],
)
def test_nonsense_is_refused_with_its_line(tmp_path: Path, row: Any, reason: str) -> None:
    path = lines(tmp_path / "a.jsonl", FINE, row, FINE)
    with pytest.raises(ValueError) as refused:
        read_ratings([path])
    assert str(refused.value).startswith(f"{path} line 2: ") and reason in str(refused.value)


STUDIO = [
    {
        "id": 1,
        "data": {"video": "/data/local-files/?d=movie/a.mp4"},
        "annotations": [
            {
                "completed_by": {"email": "anna"},
                "updated_at": "2025-01-02",
                "lead_time": 2.5,
                "result": [{"type": "choices", "value": {"choices": ["Awe", "Fear"]}}],
            },
            {
                "completed_by": {"email": "anna"},
                "updated_at": "2025-01-01",
                "result": [{"type": "choices", "value": {"choices": ["Sadness"]}}],
            },
            {
                "completed_by": {"email": "bob"},
                "result": [{"type": "choices", "value": {"choices": ["Fear"]}}],
            },
        ],
    },
    {
        "id": 2,
        "data": {"video": "/data/local-files/?d=movie/b.mp4"},
        "annotations": [
            {
                "completed_by": {"email": "anna"},
                "result": [{"type": "choices", "value": {"choices": ["None"]}}],
            },
            {"completed_by": {"email": "bob"}, "was_cancelled": True, "result": []},
            {
                "completed_by": {"email": "bob"},
                "result": [
                    {"type": "rating", "value": {"rating": 3}},
                    {"type": "choices", "value": {"choices": ["unclear"]}},
                ],
            },
        ],
    },
]
STUDIO_MIN = [
    {
        "id": 7,
        "video": f"/data/upload/1/0a1b2c3d-{name}",
        "emotion": choice,
        "annotator": person,
        "annotation_id": number,
        "lead_time": 2.5,
    }
    for number, (person, name, choice) in enumerate(SAID)
]
FORMS = {
    "long.csv": "rater,id,emotion\n" + "".join(f"{who},{clip},{what}\n" for who, clip, what in SAID),
    "long.tsv": "Annotator\tpath\tLabel\n" + "".join(f"{a}\t{b}\t{c}\n" for a, b, c in SAID),
    "wide.csv": "id,anna,bob\nmovie/a.mp4,awe,Fear\nmovie/b.mp4,none,unclear\nmovie/c.mp4,,\n",
    "excel.csv": "path;content type;anna;bob\nmovie/a.mp4;movie;awe;fear\nmovie/b.mp4;movie;none;unclear\n",
    "studio.json": json.dumps(STUDIO),
    "min.json": json.dumps([{**row, "video": row["video"].replace("-movie/", "-")} for row in STUDIO_MIN]),
    "studio.csv": "annotation_id,annotator,id,video,emotion\n"
    + "".join(f"9,{who},7,/data/local-files/?d={clip},{what}\n" for who, clip, what in SAID),
    "answers.json": json.dumps([{"rater": who, "id": clip, "emotion": what} for who, clip, what in SAID]),
}


@pytest.mark.parametrize("name", FORMS)
def test_every_form_says_the_same(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text(FORMS[name], encoding="utf-8")
    found = read_ratings([path])
    short = name == "min.json"  # an upload keeps the file's name alone
    wanted = {(who, clip.removeprefix("movie/") if short else clip, what) for who, clip, what in SAID}
    assert said(found) == wanted
    if name.startswith(("studio", "excel", "min")):
        assert all(one.place["path"] == one.id for one in found)
    if name == "studio.json":
        first = next(one for one in found if (one.rater, one.emotion) == ("anna", "awe"))
        assert first.second == "fear" and first.ms == 2500


def test_a_sheets_stretches_are_clips_of_their_own(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("path,start,end,anna\nf.mp4,0,2,awe\nf.mp4,2,4.5,fear\n", encoding="utf-8")
    found = read_ratings([path])
    assert [(one.id, one.emotion) for one in found] == [("f.mp4@0-2", "awe"), ("f.mp4@2-4.5", "fear")]
    assert found[1].place == {"path": "f.mp4", "start": "2", "end": "4.5"}


@pytest.mark.parametrize(
    "text, reason",
    [
        ("id,anna\na,joy\n", "row 1: emotion 'joy' is unknown"),
        ("rater,emotion\na,awe\n", "has no column id and no path"),
        ("rater,id\na,b\n", "has no column emotion"),
        ("id,path\na,b\n", "has no column of a rater"),
        ("rater,id,emotion\n,b,awe\n", "row 1: rater '' is not a name"),
        ("rater,id,emotion,repeat\na,b,awe,x\n", "row 1: repeat is 'x'"),
    ],
)
def test_a_wrong_sheet_is_refused(tmp_path: Path, text: str, reason: str) -> None:
    (tmp_path / "a.csv").write_text(text, encoding="utf-8")
    with pytest.raises(ValueError) as refused:
        read_ratings([tmp_path / "a.csv"])
    assert reason in str(refused.value) and "a.csv" in str(refused.value)


def test_any_address(tmp_path: Path) -> None:
    store = Store.at("memory://rated/answers")
    for name, emotion in (("a.jsonl", "awe"), ("b.jsonl", "fear")):
        store.put(name, json.dumps({"rater": name, "id": "c1", "emotion": emotion}).encode())
    wanted = {("a.jsonl", "c1", "awe"), ("b.jsonl", "c1", "fear")}
    assert said(read_ratings(["memory://rated/answers"])) == wanted
    assert said(read_ratings(["memory://rated/answers/b.jsonl"])) == {("b.jsonl", "c1", "fear")}
    with pytest.raises(FileNotFoundError, match=r"has no file of answers"):
        read_ratings([tmp_path])
    with pytest.raises(FileNotFoundError, match=r"none.jsonl"):
        read_ratings([tmp_path / "none.jsonl"])
