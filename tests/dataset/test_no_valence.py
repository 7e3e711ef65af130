"""A taxonomy of names alone: all holds but what is counted by valence, which says why it is missing."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from torch.utils.data import DataLoader
from typer.testing import CliRunner

from emovid_dataset import load, select, stream
from emovid_dataset.check import verify
from emovid_dataset.cli import program
from emovid_dataset.read.manifest import read_manifest
from emovid_dataset.schema.label_set import read_label_set
from emovid_dataset.schema.taxonomy import Taxonomy

MINI = Path(__file__).parents[2] / "emovid_dataset" / "mini"
NAMES = ("joy", "surprise", "grief")
OF_MINI = {"amusement": "joy", "awe": "surprise", "sadness": "grief"}
REASON = "the taxonomy has no valence"


def run(*words: object) -> str:
    done = CliRunner().invoke(program(), [*map(str, words)])
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.fixture(scope="module")
def moods(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Parts of a film and stickers, two of each emotion."""
    folder = tmp_path_factory.mktemp("names")
    (folder / "moods.json").write_text(json.dumps(NAMES))
    with (MINI / "labels.csv").open(newline="", encoding="utf-8") as file:
        every = list(csv.DictReader(file))
    lines = ["path,emotion,content_type"]
    for emotion, name in OF_MINI.items():
        its = [row for row in every if row["emotion"] == emotion and row["content_type"] == "sticker"][:2]
        lines += [f"{row['path']},{name},sticker" for row in its]
    film = next(row["path"] for row in every if row["content_type"] == "cartoon")
    lines[0] += ",start,end"
    lines[1:] = [f"{line},," for line in lines[1:]]
    lines += [f"{film},joy,cartoon,0,0.4", f"{film},grief,cartoon,0.5,0.9"]
    (folder / "sheet.csv").write_text("\n".join(lines))
    run(
        *("build", MINI, "--labels", folder / "sheet.csv", "--out", folder / "out", "--workers", 1),
        *("--taxonomy", folder / "moods.json", "--split", "1/0/0"),
    )
    return folder / "out"


def test_the_build_has_clips_without_a_valence(moods: Path) -> None:
    taxonomy = read_manifest(moods).taxonomy
    assert taxonomy == Taxonomy("moods", NAMES, (None, None, None))
    assert json.loads((moods / "manifest.json").read_text())["taxonomy"]["labels"] == [
        {"name": name} for name in NAMES
    ]
    assert verify(moods, engine="serial") == []
    found = select(moods)
    assert {item.clip.valence for item in found} == {None} and len(found) == 8
    assert load(moods, "sticker", split="train")["valence"][:] == [None] * 6
    batch = next(iter(DataLoader(stream(moods, "sticker", split="train", frames=1, size=8), batch_size=6)))
    assert batch["valence"].tolist() == [-1] * 6


def test_statistics_and_card_leave_it_out(moods: Path, tmp_path: Path) -> None:
    card = (moods / "README.md").read_text()
    assert "in the order of their indices: joy, surprise, grief. They have no valence" in card
    assert "positive (`valence` 0)" not in card
    run("stats", moods, "--html", tmp_path / "page.html")
    legend = (tmp_path / "page.html").read_text().partition('class="legend"')[2].partition("</div>")[0]
    assert "<b>emotions</b>" in legend and all(name in legend for name in NAMES)


def test_analyses_say_why_figures_by_valence_are_missing(moods: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    found: dict[str, Any] = json.loads(run("analyse", moods, "--html", page, "--no-sound", "--json"))
    nothing = {"not_computed": REASON}
    assert [entry["positive"] for entry in found["emotions"]] == [nothing] * 3
    assert found["positive_share"]["brightness"]["all"] == nothing
    assert found["means"]["brightness"]["all"]["valences"] == []
    assert len(found["means"]["brightness"]["all"]["emotions"]) == 3
    chain = found["transitions"]
    assert (chain["within"]["value"], chain["across"]["value"]) == (nothing, nothing)
    assert chain["counts"][0][2] == 1
    html = page.read_text()
    for words in ("Positive clips by", "crossing valence", "clips, positive", "same valence, mean cell"):
        assert words not in html, words
    assert "within valence" not in run("analyse", moods, "--no-sound")


@pytest.mark.parametrize(
    ("body", "valences"),
    [
        (["joy", "grief"], (None, None)),
        ({"name": "two", "labels": ["joy", {"name": "grief", "valence": 1}]}, (None, 1)),
        ({"name": "two", "labels": [{"name": "joy", "valence": None}, {"name": "grief"}]}, (None, None)),
    ],
)
def test_a_file_may_leave_valences_out(body: Any, valences: tuple[int | None, ...], tmp_path: Path) -> None:
    (tmp_path / "two.json").write_text(json.dumps(body))
    found = read_label_set(tmp_path / "two.json").taxonomy
    assert found == Taxonomy("two", ("joy", "grief"), valences)
    assert not found.has_valence
    assert Taxonomy.from_mapping(json.loads(json.dumps(found.to_mapping()))) == found


@pytest.mark.parametrize("labels", [[1], [["joy"]], [{"valence": 0}], [{"name": "joy", "valence": "good"}]])
def test_labels_that_are_none_are_refused(labels: list[Any], tmp_path: Path) -> None:
    (tmp_path / "two.json").write_text(json.dumps({"name": "two", "labels": labels}))
    with pytest.raises(ValueError, match=r"^taxonomy .*two\.json: "):
        read_label_set(tmp_path / "two.json")
