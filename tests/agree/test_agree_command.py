"""`emovid agree`: figures, the label sheet that `build` takes, the clips for another look, and the page."""

from __future__ import annotations

import csv
import io
import json
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest
from typer.testing import CliRunner

from emovid_dataset import build, select
from emovid_dataset.agree.measure import measure_raters
from emovid_dataset.agree.page import render_agreement_page
from emovid_dataset.agree.rating import Rating
from emovid_dataset.cli import program
from emovid_dataset.store import Store

STICKERS = Path(__file__).parents[2] / "emovid_dataset" / "mini" / "sticker"
RATED = {
    # clip: what anna, bob and [/cleo] say
    "s1": ("awe", "awe", "fear"),
    "s2": ("none", "none", "awe"),
    "s3": ("fear", "sadness", "unclear"),
    "s4": ("anger", "anger", "anger"),
    "s5": ("amusement", None, None),
}
RATERS = ("anna", "bob", "[/cleo]")


def emovid(*arguments: str | Path, code: int = 0) -> str:
    result = CliRunner().invoke(program(), ["agree", *map(str, arguments)])
    assert result.exit_code == code, (result.output, result.exception)
    return result.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Answers of three raters, and a sheet of five stickers."""
    folder = tmp_path_factory.mktemp("agree")
    (folder / "answers").mkdir()
    for place, rater in enumerate(RATERS):
        rows = [
            {"rater": rater, "id": clip, "emotion": said[place], "ms": 1000 * (place + 1)}
            for clip, said in RATED.items()
            if said[place] is not None
        ]
        rows += [{"rater": rater, "id": "s4", "emotion": "fear", "repeat": 1}] if rater == "bob" else []
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / "answers" / f"{place}.jsonl").write_text(text, encoding="utf-8")
    (folder / "sticker").mkdir()
    names = [path.name for path in sorted(STICKERS.glob("*.mp4"))[: len(RATED)]]
    for name in names:
        shutil.copy(STICKERS / name, folder / "sticker" / name)
    with (folder / "sheet.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "File Name", "group", "emotion", "shot"])
        writer.writerows(
            [clip, f"sticker/{name}", f"of {clip}", "disgust", place]
            for place, (clip, name) in enumerate(zip(RATED, names, strict=True))
        )
    return folder


def test_the_figures_as_json(folder: Path) -> None:
    found = json.loads(emovid(folder / "answers", "--json", "--draws", 200))
    assert found["n_items"] == 5 and found["n_compared"] == 4 and found["n_raters"] == 3
    assert found["n_ratings"] == 12 and found["n_unclear"] == 1 and found["n_decided"] == 4
    # by hand: 11 answers have a pair; s1, s2 and s3 have 4, 4 and 2 unlike ordered pairs of 3, 3, 2 raters
    margin = [3, 2, 2, 1, 3]  # awe, none, fear, sadness, anger
    unlike = (4 / 2 + 4 / 2 + 2 / 1) / 11
    expected = 1 - sum(n * (n - 1) for n in margin) / (11 * 10)
    assert found["krippendorff_alpha"] == pytest.approx(1 - unlike / expected)
    assert found["fleiss_kappa"] == pytest.approx(_fleiss())
    pairs = {tuple(pair["raters"]): pair for pair in found["pairwise_cohen_kappa"]}
    assert pairs["anna", "bob"]["n_items"] == 4 and pairs["anna", "bob"]["percent_agreement"] == 0.75
    assert pairs["anna", "bob"]["kappa"] == pytest.approx((0.75 - 3 / 16) / (1 - 3 / 16))
    assert pairs["anna", "bob"]["confusion"][6][7] == 1  # fear, sadness
    low, high = found["intervals"]["krippendorff_alpha"]
    assert low < found["krippendorff_alpha"] < high
    bob = next(one for one in found["raters"] if one["rater"] == "bob")
    assert bob["same_again"] == 0 and bob["median_ms"] == 2000
    reasons = {one["id"]: one["reasons"] for one in found["look"]}
    assert reasons["s3"][:2] == ["tie: fear 1, sadness 1", "unclear to 1"]
    assert "bob said anger, then fear" in reasons["s4"] and reasons["s5"][0].startswith("rated by 1")
    assert found["look"][0]["id"] == "s3" and set(reasons) == {"s3", "s4", "s5"}


def _fleiss() -> float:
    """Pairs that agree by clip, and shares of all answers, by hand."""
    observed = (1 / 3 + 1 / 3 + 0 + 1) / 4
    shares = [3 / 11, 2 / 11, 2 / 11, 1 / 11, 3 / 11]
    expected = sum(share**2 for share in shares)
    return (observed - expected) / (1 - expected)


def test_build_takes_the_sheet(folder: Path, tmp_path: Path) -> None:
    out, look = tmp_path / "labels.csv", tmp_path / "look.jsonl"
    said = emovid(folder / "answers", "--sheet", folder / "sheet.csv", "--out", out, "--look", look)
    assert "[/cleo]" in said and f"{out}: 4 clips" in said
    rows = list(csv.DictReader(io.StringIO(out.read_text(encoding="utf-8"))))
    assert list(rows[0])[:4] == ["id", "path", "start", "end"]
    assert [(row["id"], row["emotion"]) for row in rows] == [
        ("s1", "awe"),
        ("s2", "no specific emotion"),
        ("s4", "anger"),
        ("s5", "amusement"),
    ]
    assert json.loads(rows[0]["rated_by"]) == sorted(RATERS)
    looks = [json.loads(line) for line in look.read_text(encoding="utf-8").splitlines()]
    assert looks[0]["id"] == "s3" and looks[0]["emotion"] is None and looks[0]["group"] == "of s3"
    report = build(folder, out, tmp_path / "made", ratios=(1, 0, 0), engine="serial")
    assert not report.rejections
    clips = {clip.group: clip for clip in select(tmp_path / "made").clips}
    assert len(clips) == 3
    first = clips["of s1"]
    assert first.emotion == "awe" and first.emotion_source == "human" and first.raters == 3
    assert first.votes == (0, 2, 0, 0, 0, 0, 1, 0) and first.agreement == pytest.approx(2 / 3)
    assert first.emotion_scores == pytest.approx((0, 2 / 3, 0, 0, 0, 0, 1 / 3, 0))
    assert clips["of s5"].raters == 1 and clips["of s5"].emotion_scores is None
    assert json.loads(first.extra or "")["shot"] == "0"


def test_more_raters_must_agree_on_request(folder: Path, tmp_path: Path) -> None:
    found = json.loads(emovid(folder / "answers", "--json", "--least", 2, "--draws", 0))
    reasons = {one["id"]: one["reasons"] for one in found["look"]}
    assert reasons["s5"][0] == "1 of 1 chose amusement; 2 must agree" and found["n_decided"] == 3
    assert found["intervals"]["fleiss_kappa"] is None
    out = tmp_path / "model.csv"
    emovid(folder / "answers", "--least", 3, "--source", "model", "--out", out)
    rows = list(csv.DictReader(io.StringIO(out.read_text(encoding="utf-8"))))
    assert [(row["id"], row["emotion_source"]) for row in rows] == [("s4", "model")]


def test_a_build_says_where_its_clips_come_from(folder: Path, tmp_path: Path) -> None:
    sheet = tmp_path / "first.csv"
    paths = sorted(path.relative_to(folder).as_posix() for path in (folder / "sticker").iterdir())
    sheet.write_text("path,emotion\n" + "".join(f"{path},awe\n" for path in paths), encoding="utf-8")
    build(folder, sheet, tmp_path / "made", engine="serial")
    ids = {clip.source: clip.id for clip in select(tmp_path / "made").clips}
    said = [json.dumps({"rater": "a", "id": name, "emotion": "fear"}) for name in ids.values()]
    (tmp_path / "a.jsonl").write_text("\n".join(said), encoding="utf-8")
    out = "memory://agreed/labels.csv"
    emovid(
        tmp_path / "a.jsonl", "--sheet", tmp_path / "made", "--out", out, "--html", "memory://agreed/a.html"
    )
    store = Store.at("memory://agreed")
    rows = list(csv.DictReader(io.StringIO(store.read("labels.csv").decode())))
    assert {row["path"]: row["id"] for row in rows} == ids
    assert b"not defined: there is one rater only" in store.read("a.html")
    # the same ids, from the sheet without any and the files
    again = tmp_path / "again.csv"
    emovid(tmp_path / "a.jsonl", "--sheet", sheet, "--raw", folder, "--out", again)
    rows = list(csv.DictReader(io.StringIO(again.read_text(encoding="utf-8"))))
    assert {row["path"]: row["id"] for row in rows} == ids and rows[0]["content_type"] == "sticker"
    # paths that name the folder too are those of the same files, and the other columns go with them
    whole = [f"{folder / path},sticker,shot {number},of {path}\n" for number, path in enumerate(paths)]
    again.write_text("path,content_type,shot,group\n" + "".join(whole), encoding="utf-8")
    emovid(tmp_path / "a.jsonl", "--sheet", again, "--raw", folder, "--out", tmp_path / "out.csv")
    rows = list(csv.DictReader(io.StringIO((tmp_path / "out.csv").read_text(encoding="utf-8"))))
    assert {row["path"]: row["id"] for row in rows} == ids
    assert {row["path"]: (row["shot"], row["group"]) for row in rows} == {
        path: (f"shot {number}", f"of {path}") for number, path in enumerate(paths)
    }


class _Texts(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.texts += [data.strip()] if data.strip() else []


def test_the_page_escapes_names_and_shows_the_figures() -> None:
    evil = "<script>alert(1)</script>"
    said = (("c<1>", "awe", "awe"), ("c2", "awe", "fear"), ("c3", "none", "none"))
    ratings = [
        Rating(rater=rater, id=clip, emotion=emotion)
        for clip, *both in said
        for rater, emotion in zip((evil, "bob"), both, strict=True)
    ]
    found = measure_raters(ratings, draws=20)
    page = _Texts()
    page.feed(render_agreement_page(found))
    assert "script" not in page.tags and evil in page.texts
    assert f"{found.alpha.value:.3f}" in page.texts and "tie: awe 1, fear 1" in page.texts
