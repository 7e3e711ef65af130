"""Label sheets: what is read, what is refused, in which words."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import parquet
from video_files import sticker

from emovid_dataset.builder.plan import Plan
from emovid_dataset.builder.sheet import COLUMNS, Label, Rejection
from emovid_dataset.builder.sheet.paths import unlabelled
from emovid_dataset.builder.sheet.read import read_sheet
from emovid_dataset.store import Store

FULL = {
    "path": "sticker/a.mp4",
    "emotion": "awe",
    "content_type": "sticker",
    "caption": "A cup, steaming.",
    "group": "cups",
    "license": "MIT",
    "source": "somewhere",
    "start": 1.5,
    "end": 2.25,
    "emotion_source": "model",
    "emotion_scores": [0.0, 0.3, 0.1, 0.1, 0.1, 0.1, 0.1, 0.2],
    "raters": 4,
    "votes": {"awe": 2, "fear": 1},
    "agreement": 0.5,
    "color": "from HDR10",
    "split": "test",
    "rater": "ann",
    "crop_bars": "16 16 0 0",
}


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    folder = tmp_path / "raw"
    for name in ("sticker/a.mp4", "sticker/b.mp4", "movie/c.mp4", "loose.mp4"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(sticker(), folder / name)
    return folder


def read(raw: Path, text: str | bytes, name: str = "labels.csv") -> tuple[list[Label], list[Rejection]]:
    sheet = raw.parent / name
    sheet.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_path(sheet, raw)


def read_path(sheet: Path, raw: Path) -> tuple[list[Label], list[Rejection]]:
    with Plan() as plan:
        for row in read_sheet(sheet, Store.at(raw)):
            plan.add(row)
        plan.settle()
        return list(plan.labels()), list(plan.rejections())


def json_lines(rows: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def refusal(raw: Path, row: dict[str, Any]) -> str:
    """The reason for which a row of JSON is refused."""
    labels, rejections = read(raw, json_lines([{"path": "sticker/a.mp4", "emotion": 0, **row}]), "l.jsonl")
    assert not labels
    assert rejections[0].row == 1
    return rejections[0].reason


def test_the_three_formats_say_the_same(raw: Path) -> None:
    scores = json.dumps(FULL["emotion_scores"])
    cells = {**FULL, "caption": '"A cup, steaming."', "emotion_scores": f'"{scores}"'}
    cells["votes"] = '"{""awe"": 2, ""fear"": 1}"'
    header = ",".join(COLUMNS)
    from_csv = read(raw, f"{header}\n{','.join(str(cells[name]) for name in COLUMNS)}\n")
    from_json = read(raw, json_lines([FULL]), "labels.jsonl")
    parquet.write_table(pyarrow.Table.from_pylist([FULL]), raw.parent / "labels.parquet")
    from_parquet = read_path(raw.parent / "labels.parquet", raw)
    assert from_csv == from_json == from_parquet
    assert from_csv == (
        [
            Label(
                row=1,
                path="sticker/a.mp4",
                emotion=1,
                content_type="sticker",
                caption="A cup, steaming.",
                group="cups",
                license="MIT",
                source="somewhere",
                start=1.5,
                end=2.25,
                emotion_source="model",
                emotion_scores=(0.0, 0.3, 0.1, 0.1, 0.1, 0.1, 0.1, 0.2),
                raters=4,
                votes=(0, 2, 0, 0, 0, 0, 1, 0),
                agreement=0.5,
                color="from HDR10",
                split="test",
                rater="ann",
                crop_bars="16 16 0 0",
            )
        ],
        [],
    )


@pytest.mark.parametrize("votes", [[0, 2, 0, 0, 0, 0, 1, 0], {"awe": 2, "fear": 1}, '{"Fear": 1, "1": 2}'])
def test_votes_give_raters_and_agreement(raw: Path, votes: Any) -> None:
    row = {"path": "sticker/a.mp4", "emotion": "awe", "votes": votes}
    (label,), _ = read(raw, json_lines([row]), "l.jsonl")
    assert label.votes == (0, 2, 0, 0, 0, 0, 1, 0)
    assert (label.raters, label.agreement) == (3, 2 / 3)
    (label,), _ = read(raw, json_lines([{**row, "raters": 4, "agreement": 0.5}]), "l.jsonl")
    assert (label.raters, label.agreement) == (4, 0.5)
    (label,), _ = read(raw, json_lines([{**row, "agreement": 0.67}]), "l.jsonl")
    assert label.agreement == 2 / 3, "rounded to two decimals in the sheet"


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"votes": [3, 1, 0, 0, 0, 0, 0, 0], "raters": 3}, "votes are 4 together, more than the 3 raters"),
        ({"votes": [3, 1], "raters": 4}, "is not 8 numbers, one for each emotion, nor an object"),
        ({"votes": {"joy": 1}}, "emotion 'joy' is unknown"),
        ({"votes": {"awe": 1, "1": 1}}, "names awe twice"),
        ({"votes": "3 for awe"}, "is not JSON"),
        ({"votes": {"awe": -1}}, "votes: -1 is not a number of people"),
        ({"votes": {"awe": 1.5}}, "votes: 1.5 is not a number of people"),
        ({"votes": {"awe": 0}}, "votes are all 0"),
        ({"raters": 0}, "raters is 0"),
        ({"raters": "three"}, "raters: 'three' is not a number of people"),
        ({"agreement": 1.2}, "agreement 1.2 is not a share of 0 to 1"),
        (
            {"votes": {"amusement": 2, "fear": 1}, "agreement": 1},
            "agreement is 1, but 2 of 3 raters chose amusement: 0.67",
        ),
    ],
)
def test_votes_that_disagree_are_refused(raw: Path, row: dict[str, Any], reason: str) -> None:
    assert reason in refusal(raw, row)


def test_other_columns_are_kept_as_json(raw: Path) -> None:
    row = {"path": "sticker/a.mp4", "emotion": 0, "film": "Sintel ü", "scene": 3, "mood": None, "tags": ["a"]}
    (label,), _ = read(raw, json_lines([row]), "l.jsonl")
    assert label.extra == '{"film": "Sintel ü", "scene": 3, "tags": ["a"]}'
    parquet.write_table(pyarrow.Table.from_pylist([{**row, "icon": b"png"}]), raw.parent / "l.parquet")
    assert read_path(raw.parent / "l.parquet", raw)[0][0].extra == label.extra, "JSON knows no bytes"
    (label,), _ = read(raw, "path,emotion,film,note\nsticker/a.mp4,awe,Sintel,\n")
    assert label.extra == '{"film": "Sintel"}'
    (label,), _ = read(raw, "path,emotion,note\nsticker/a.mp4,awe,\n")
    assert label.extra is None
    assert "cannot be kept as JSON" in refusal(raw, {"weight": float("inf")})


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"], ids=["no mark", "byte-order mark"])
@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"], ids=["LF", "CRLF", "CR"])
def test_byte_order_mark_and_line_ends_of_csv(raw: Path, mark: bytes, end: bytes) -> None:
    lines = [b"path,emotion,caption", b"sticker/a.mp4,awe,na\xc3\xafve", b"movie/c.mp4,7,"]
    labels, rejections = read(raw, mark + end.join(lines) + end)
    assert not rejections
    assert [(label.path, label.emotion, label.caption) for label in labels] == [
        ("sticker/a.mp4", 1, "naïve"),
        ("movie/c.mp4", 7, ""),
    ]


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"], ids=["no mark", "byte-order mark"])
def test_byte_order_mark_and_line_ends_of_json_lines(raw: Path, mark: bytes) -> None:
    lines = [b'{"path": "sticker/a.mp4", "emotion": "Awe "}', b"", b'{"path": "movie/c.mp4", "emotion": 7}']
    labels, rejections = read(raw, mark + b"\r\n".join(lines), "labels.ndjson")
    assert not rejections and [label.emotion for label in labels] == [1, 7]


def test_content_type_from_column_else_from_top_folder(raw: Path) -> None:
    text = "path,emotion,content_type\nsticker/a.mp4,0,Movie\nsticker/b.mp4,0,\nloose.mp4,0,\n"
    labels, rejections = read(raw, text)
    assert [label.content_type for label in labels] == ["movie", "sticker"]
    assert [(r.row, r.path) for r in rejections] == [(3, "loose.mp4")]
    assert "has no content type; allowed: cartoon, movie, sticker" in rejections[0].reason


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        (
            "l.csv",
            "path,mood\na,b\n",
            "has no column emotion; it has: ['path', 'mood']; --column emotion=NAME",
        ),
        ("l.csv", "film\na\n", "has no column path and emotion"),
        ("l.csv", "", "is empty"),
        ("l.csv", 'path,emotion\n"a,awe\n', "is not a CSV file"),
        ("l.jsonl", '{"path": "a"}\n', "has no column emotion"),
        ("l.jsonl", '{"path": "a", "emotion": 0}\n{"path"\n', "line 2 is not JSON"),
        ("l.jsonl", "[1]\n", "row 1 is not an object"),
        ("l.jsonl", "", "is empty"),
        ("l.jsonl", b"\xff\n", "is not UTF-8"),
        ("l.parquet", b"PAR1\0\0 and no more", "is not a Parquet file"),
        ("l.xlsx", b"PK\3\4\0\0 and no more", "is not an XLSX workbook"),
        ("l.parquet", "no parquet at all", "is a text of cells by its content, and was read as such"),
        ("l.xlsx", "x", "is a text of cells by its content, and was read as such"),
        ("l.xls", "x", "must end in .csv, .tsv, .txt, .xlsx, .json, .jsonl, .ndjson or .parquet; save it as"),
        ("l.json", '{"path": "a.mp4"}', "has no column emotion"),
        ("l.json", "[1]", "row 1 is not an object"),
        ("l.json", "[]", "is empty"),
    ],
)
def test_a_sheet_that_cannot_be_read_is_one_line(raw: Path, name: str, text: str | bytes, says: str) -> None:
    with pytest.raises(ValueError) as caught:
        read(raw, text, name)
    assert says in str(caught.value) and "\n" not in str(caught.value)
    assert name in str(caught.value)


def test_a_sheet_or_folder_that_is_not_there(raw: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"label sheet .*none\.csv does not exist"):
        read_path(raw.parent / "none.csv", raw)
    with pytest.raises(FileNotFoundError, match=r"raw folder .* does not exist"):
        read_path(raw.parent / "none.csv", raw / "nowhere")


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"emotion": "joy"}, "emotion 'joy' is unknown; allowed: amusement, awe"),
        ({"emotion": True}, "emotion True is unknown"),
        ({"emotion": ""}, "has no emotion"),
        ({"emotion": None}, "has no emotion"),
        ({"path": ""}, "has no path"),
        ({"path": "../secret.mp4"}, "lies outside the raw folder"),
        ({"path": "sticker/../../secret.mp4"}, "lies outside the raw folder"),
        ({"path": "..\\secret.mp4"}, "lies outside the raw folder"),
        ({"path": "/etc/passwd"}, "lies outside the raw folder"),
        ({"path": "sticker"}, "is a folder"),
        ({"path": "sticker/none.mp4"}, "does not exist"),
        ({"path": "x" * 5000 + ".mp4"}, "cannot be read: File name too long"),
        ({"path": "a\0b.mp4"}, "path holds a zero character"),
        ({"path": "\ud800.mp4"}, "is not valid Unicode"),
        ({"path": ["a"]}, "does not exist"),
        ({"start": 1}, "start is 1.0 but end is None: a segment needs both"),
        ({"end": 1}, "start is None but end is 1.0: a segment needs both"),
        ({"start": 5, "end": 4}, "the segment ends at 4.0 s, not after it starts at 5.0 s"),
        ({"start": 5, "end": 5}, "the segment ends at 5.0 s, not after it starts at 5.0 s"),
        ({"start": -1, "end": 4}, "start -1.0 is below 0"),
        ({"start": "one", "end": 4}, "start 'one' is not a number of seconds"),
        ({"start": "nan", "end": 4}, "start 'nan' is not a number of seconds"),
        ({"start": 0, "end": "inf"}, "end 'inf' is not a number of seconds"),
        ({"start": 0, "end": 10**400}, "is not a number of seconds"),
        ({"start": [0], "end": 4}, "start [0] is not a number of seconds"),
        ({"emotion_source": "cat"}, "emotion_source 'cat' is unknown; allowed: human, model"),
        ({"emotion_scores": [0.5, 0.5]}, "is not 8 probabilities that sum to 1"),
        ({"emotion_scores": [float("nan")] * 8}, "is not 8 probabilities that sum to 1"),
        ({"emotion_scores": [-1, 2, 0, 0, 0, 0, 0, 0]}, "is not 8 probabilities that sum to 1"),
        ({"emotion_scores": [10**400] * 8}, "is not a list of numbers"),
        ({"emotion_scores": 5}, "is not a list of numbers"),
        ({"emotion_scores": "none"}, "is not a JSON list"),
        ({"content_type": "gif"}, "content_type 'gif' is unknown"),
    ],
)
def test_a_row_that_is_wrong_is_refused_in_one_line(raw: Path, row: dict[str, Any], says: str) -> None:
    reason = refusal(raw, row)
    assert says in reason and "\n" not in reason
    reason.encode()


def test_other_rows_of_the_sheet_are_kept(raw: Path) -> None:
    text = "path,emotion\nsticker/a.mp4,joy\nsticker/b.mp4,awe\n../x.mp4,awe\nmovie/c.mp4,fear,5,6\n"
    labels, rejections = read(raw, text)
    assert [label.path for label in labels] == ["sticker/b.mp4"]
    assert [rejection.row for rejection in rejections] == [1, 3, 4]
    assert rejections[2].reason == "has more cells than the header: ['5', '6']"


def test_two_rows_of_a_stretch_are_two_raters_but_two_segments_are_not(raw: Path) -> None:
    rows = [
        {"path": "sticker/a.mp4", "emotion": 0},
        {"path": "sticker//../sticker/./a.mp4", "emotion": 3},
        {"path": "sticker/a.mp4", "emotion": 0, "start": 0, "end": 1},
        {"path": "sticker/a.mp4", "emotion": 0, "start": 1, "end": 2},
        {"path": "sticker/a.mp4", "emotion": 5, "start": 1.0, "end": 2.0},
    ]
    labels, rejections = read(raw, json_lines(rows), "l.jsonl")
    assert [label.row for label in labels] == [3]
    tie = "its 2 raters are in a tie: amusement 1, {} 1; one more rating, or one fewer, decides"
    assert [(r.row, r.reason) for r in rejections] == [
        (1, tie.format("excitement")),
        (2, tie.format("excitement")),
        (4, tie.format("disgust")),
        (5, tie.format("disgust")),
    ]
    agreed = [{**row, "emotion": 0} for row in rows]
    labels, rejections = read(raw, json_lines(agreed), "l.jsonl")
    assert not rejections and [(label.row, label.raters) for label in labels] == [(1, 2), (3, None), (4, 2)]


@pytest.mark.parametrize("given", [{"votes": {"awe": 2}}, {"raters": 2}, {"emotion_source": "model"}])
def test_two_sums_of_ratings_for_a_stretch_are_duplicates(raw: Path, given: dict[str, Any]) -> None:
    row = {"path": "sticker/a.mp4", "emotion": "awe"}
    labels, rejections = read(raw, json_lines([row, {**row, **given}]), "l.jsonl")
    assert [label.row for label in labels] == [1]
    assert [(r.row, r.reason) for r in rejections] == [(2, "is a duplicate of row 1")]


def test_links_may_not_lead_out(raw: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret.mp4"
    shutil.copy(sticker(), secret)
    (raw / "sticker/out.mp4").symlink_to(secret)
    (raw / "sticker/folder").symlink_to(tmp_path)
    (raw / "sticker/loop.mp4").symlink_to(raw / "sticker/loop.mp4")
    (raw / "sticker/in.mp4").symlink_to(raw / "movie/c.mp4")
    outside = "lies outside the raw folder; --allow-root DIR takes the files of DIR too"
    assert refusal(raw, {"path": "sticker/out.mp4"}) == outside
    assert refusal(raw, {"path": "sticker/folder/secret.mp4"}) == outside
    assert refusal(raw, {"path": "sticker/loop.mp4"}) in (
        "is a link in a circle",
        "cannot be read: Too many levels of symbolic links",
    )
    labels, _ = read(raw, "path,emotion\nsticker/in.mp4,0\n")
    assert [label.path for label in labels] == ["sticker/in.mp4"]


def test_a_link_and_two_dots_cannot_swap_the_file_that_was_checked(raw: Path, tmp_path: Path) -> None:
    # sticker/deep/.. is the link's parent for the system, the path's parent for who reads the text
    (raw / "other/inner").mkdir(parents=True)
    shutil.copy(sticker(), raw / "other/x.mp4")
    (raw / "sticker/deep").symlink_to(raw / "other/inner")
    (raw / "sticker/x.mp4").symlink_to(tmp_path / "secret.mp4")
    shutil.copy(sticker(), tmp_path / "secret.mp4")
    assert refusal(raw, {"path": "sticker/deep/../x.mp4"}).startswith("lies outside the raw folder")


def test_special_files_are_refused(raw: Path) -> None:
    os.mkfifo(raw / "sticker/pipe.mp4")
    assert refusal(raw, {"path": "sticker/pipe.mp4"}) == "is not a regular file"


def test_what_a_file_holds_counts_not_its_name(raw: Path) -> None:
    shutil.copy(sticker(), raw / "sticker/download")
    shutil.copy(sticker(), raw / "sticker/clip.bin")
    (raw / "sticker/notes").write_text("hello")
    os.mkfifo(raw / "sticker/pipe")
    labels, _ = read(raw, "path,emotion\nsticker/download,0\n")
    assert [label.path for label in labels] == ["sticker/download"]
    found = list(unlabelled(Store.at(raw), {"sticker/download"}.__contains__))
    assert "sticker/clip.bin" in found and not {"sticker/notes", "sticker/pipe"} & set(found)


def test_files_without_a_label_are_told(raw: Path) -> None:
    (raw / "sticker/.hidden").mkdir()
    shutil.copy(sticker(), raw / "sticker/.hidden/h.mp4")
    with open(os.fsencode(raw) + b"/movie/\xff.mp4", "wb") as file:
        file.write(b"x")
    labels, rejections = read(raw, "path,emotion\nsticker/a.mp4,0\nmovie/c.mp4,joy\n")
    named = {item.path for item in (*labels, *rejections)}
    found = list(unlabelled(Store.at(raw), named.__contains__))
    assert found == ["loose.mp4", "movie/\\udcff.mp4", "sticker/b.mp4"]
    "".join(found).encode()


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(
        st.dictionaries(
            st.sampled_from([*COLUMNS, "other"]),
            st.none()
            | st.text(max_size=12)
            | st.integers()
            | st.floats()
            | st.booleans()
            | st.sampled_from(["sticker/a.mp4", "awe", "../x", "movie"])
            | st.lists(st.floats(0, 1), max_size=9),
        ),
        max_size=6,
    )
)
def test_whatever_stands_in_a_sheet_is_accepted_or_refused(raw: Path, rows: list[dict[str, Any]]) -> None:
    lines = [{"path": "sticker/a.mp4", "emotion": 0}, *rows]
    try:
        labels, rejections = read(raw, json_lines(lines), "l.jsonl")
    except ValueError as error:
        assert "but indices go from 0 (amusement) to 7 (sadness)" in str(error)
        return
    rows_of_clips = {label.row: label.raters or 1 for label in labels}
    assert set(rows_of_clips).isdisjoint(rejection.row for rejection in rejections)
    assert len({rejection.row for rejection in rejections}) == len(rejections)
    assert len(rows_of_clips) + len(rejections) <= len(lines)
    assert {item.row for item in (*labels, *rejections)} <= set(range(1, len(lines) + 1))
    for rejection in rejections:
        assert rejection.reason and "\n" not in rejection.reason + rejection.path
        (rejection.reason + rejection.path).encode()
    for label in labels:
        assert label.path == "sticker/a.mp4" and 0 <= label.emotion < 8
