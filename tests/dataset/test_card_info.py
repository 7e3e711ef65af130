"""The card says what was found and what the owner told, and shows clips and counts as pictures."""

from __future__ import annotations

import csv
import io
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from huggingface_hub import DatasetCard
from PIL import Image

from emovid_dataset.builder.build import build
from emovid_dataset.check import verify
from emovid_dataset.read.manifest import read_manifest
from emovid_dataset.read.select import select
from emovid_dataset.report.card import CITATION, render_card
from emovid_dataset.report.colours import PALETTE
from emovid_dataset.report.page import render_report
from emovid_dataset.report.stats import measure
from emovid_dataset.schema.card_info import CardInfo
from emovid_dataset.schema.file_names import CONTACT_SHEET, EMOTION_CHART

MINI = Path(__file__).parents[2] / "emovid_dataset" / "mini"
TOLD = {
    "title": "Moving stickers",
    "authors": ["Ann Other", "B. Lee"],
    "citation": "@misc{other2026, title = {Moving stickers}}\n",
    "contact": "ann@example.org",
    "language": ["de", "zh-Hant"],
}


def sheet(folder: Path) -> Path:
    """Two stickers of awe, one of fear, each labelled by three people."""
    with (MINI / "labels.csv").open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["content_type"] == "sticker"]
    lines = ["path,emotion,raters,agreement"]
    for emotion, count in (("awe", 2), ("fear", 1)):
        its = [row["path"] for row in rows if row["emotion"] == emotion][:count]
        lines += [f"{path},{emotion},3,{share}" for path, share in zip(its, ("1.0", "0.7"), strict=False)]
    (folder / "labels.csv").write_text("\n".join(lines))
    return folder / "labels.csv"


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A build of which nothing was told."""
    folder = tmp_path_factory.mktemp("plain")
    build(MINI, sheet(folder), folder / "out", engine="serial")
    return folder / "out"


def test_the_report_is_called_as_the_data_set_is(plain: Path) -> None:
    statistics = measure(plain)
    named = replace(statistics.manifest, info=CardInfo(title="Moving <i>stickers</i>"))
    for found, title in (
        (statistics, "out"),
        (replace(statistics, manifest=named), "Moving &lt;i&gt;stickers"),
    ):
        page = render_report(found, {}, seed=0)
        assert f"<h1><bdi>{title}" in page and f"<title>{title}" in page
        assert "<body>" in page  # the names of Mikels' emotions are short


def test_what_was_not_told_is_not_said(plain: Path) -> None:
    text = (plain / "README.md").read_text()
    data = DatasetCard(text).data.to_dict()
    assert "language" not in data
    assert (data["pretty_name"], "Content type: `sticker`" in text) == ("Emotion-labelled video clips", True)
    assert "Citation" not in text
    assert "English" not in text
    assert "paper" not in text.lower() and "emovid/EmoVid" not in text
    assert "Qiu" not in text
    assert "Of 3 clips the number of raters is known: 3 each. On average 90% of them chose" in text
    record = json.loads(text.split("```json\n")[1].split("```")[0])
    assert record["id"] in {clip.id for clip in select(plain).clips}
    assert record == next(clip.to_mapping() for clip in select(plain).clips if clip.id == record["id"])
    assert verify(plain, engine="serial") == []


def test_alpha_stands_where_votes_are_known(tmp_path: Path) -> None:
    with (MINI / "labels.csv").open(newline="", encoding="utf-8") as file:
        paths = [row["path"] for row in csv.DictReader(file) if row["content_type"] == "sticker"][:4]
    answers = {
        "ann": ("awe", "awe", "fear", "awe"),
        "bob": ("awe", "fear", "fear", None),
        "eve": ("awe", "awe", "fear", None),
    }
    lines = ["path,emotion,rater"] + [
        f"{path},{emotion},{rater}"
        for rater, its in answers.items()
        for path, emotion in zip(paths, its, strict=True)
        if emotion
    ]
    (tmp_path / "labels.csv").write_text("\n".join(lines))
    build(MINI, tmp_path / "labels.csv", tmp_path / "out", engine="serial")
    text = " ".join((tmp_path / "out" / "README.md").read_text().split())
    # by hand: 9 answers in three units, coincidences awe-awe 4, fear-fear 3, awe-fear 2
    alpha = 1 - (9 - 1) * 2 / (2 * 5 * 4)
    assert f"alpha (nominal) over the 3 clips with several raters is {alpha:.2f}" in text
    assert f"for each emotion alone: awe {alpha:.2f}, fear {alpha:.2f}." in text


def test_what_the_owner_tells_is_on_the_card_and_in_the_manifest(plain: Path, tmp_path: Path) -> None:
    info = CardInfo.from_mapping(TOLD)
    build(MINI, sheet(tmp_path), tmp_path / "out", engine="serial", info=info)
    text = (tmp_path / "out" / "README.md").read_text()
    data = DatasetCard(text).data.to_dict()
    assert (data["pretty_name"], data["language"]) == ("Moving stickers", ["de", "zh-Hant"])
    for line in (
        "# Moving stickers",
        "By Ann Other, B. Lee.",
        "## Citation\n\n```bibtex\n@misc{other2026, title = {Moving stickers}}\n```",
        "No clip has a caption. The owner names the languages de and zh-Hant.",
        "## Contact\n\nann@example.org",
    ):
        assert line in text
    manifest = read_manifest(tmp_path / "out")
    assert manifest.info == info
    assert "info" not in json.loads((plain / "manifest.json").read_text())
    assert render_card(manifest, tmp_path / "out") == text
    with pytest.raises(ValueError, match="other input or settings"):
        build(MINI, sheet(tmp_path), tmp_path / "out", engine="serial")


def test_the_pictures_show_clips_and_counts_and_are_reproducible(plain: Path, tmp_path: Path) -> None:
    shown = Image.open(plain / CONTACT_SHEET)
    assert shown.size == (2 * 128 + 8, 150 + 8)  # one tile for each of two emotions
    for left in (8, 136):
        assert shown.crop((left, 8, left + 120, 128)).convert("L").getextrema()[0] < 128
    chart = Image.open(io.BytesIO((plain / EMOTION_CHART).read_bytes()))
    widths = []
    for place, emotion in enumerate(PALETTE):
        colour = tuple(int(PALETTE[emotion][0][at : at + 2], 16) for at in (1, 3, 5))
        row = [chart.getpixel((x, 8 + 30 * place + 15)) for x in range(172, 690)]
        widths.append(sum(max(abs(a - b) for a, b in zip(pixel, colour, strict=True)) < 24 for pixel in row))
    awe, fear = list(PALETTE).index("awe"), list(PALETTE).index("fear")
    assert (widths[awe], widths[fear]) == (pytest.approx(498, abs=8), pytest.approx(248, abs=8))
    assert sum(width > 3 for width in widths) == 2
    build(MINI, sheet(tmp_path), tmp_path / "again", engine="serial")
    for name in (CONTACT_SHEET, EMOTION_CHART, "README.md"):
        assert (tmp_path / "again" / name).read_bytes() == (plain / name).read_bytes()


def test_the_papers_corpus_cites_the_paper_and_shows_no_clip(plain: Path, tmp_path: Path) -> None:
    build(MINI, sheet(tmp_path), tmp_path / "out", engine="serial", corpus="emovid")
    text = (tmp_path / "out" / "README.md").read_text()
    assert CITATION in text
    assert DatasetCard(text).data.to_dict()["language"] == ["en"]
    assert not (tmp_path / "out" / CONTACT_SHEET).exists()
    assert CONTACT_SHEET not in text


def test_builds_without_pictures_are_read_and_shown_without_them(plain: Path, tmp_path: Path) -> None:
    shutil.copytree(plain, tmp_path / "old")
    shutil.rmtree(tmp_path / "old" / "images")
    assert "![" not in render_card(read_manifest(tmp_path / "old"), tmp_path / "old")


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ("- a", "is ['a'], not a mapping with title, authors, citation, contact, language"),
        ("name: x", "name is unknown; allowed: title, authors, citation, contact, language"),
        ("title: 3", "title is 3, not text"),
        ("authors: [1]", "authors is [1], not text or a list of texts"),
        ("language: German", "language is 'German', not a code such as en or zh-Hant"),
        ("citation: '```'", "citation holds ```, which would end its block in the card"),
    ],
)
def test_wrong_information_is_one_line(told: str, message: str) -> None:
    with pytest.raises(ValueError) as error:
        CardInfo.from_mapping(yaml.safe_load(told))
    assert str(error.value) == message
