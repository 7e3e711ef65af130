"""The paper's protocol from sheet to report, at tiny size, with the miniature annotator as its base."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import emovid_dataset
from emovid_dataset.cli import program
from emovid_dataset.schema.emotions import EMOTIONS
from emovid_models import MINI_ANNOTATOR
from emovid_models.protocol.record import ProtocolRecord

MINI = Path(emovid_dataset.__file__).parent / "mini"
RATERS = ("anna", "bob", "cleo")
FILM = "cartoon/kite-480300-481600.mp4"


def emovid(*arguments: str | Path) -> dict[str, Any]:
    result = CliRunner().invoke(program(), ["protocol", *map(str, arguments), "--json"])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout.splitlines()[-1])
    return found


@pytest.fixture(scope="module")
def sheet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve stickers and a film of four stretches, without labels."""
    folder = tmp_path_factory.mktemp("protocol")
    with (folder / "clips.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "start", "end", "shot"])
        for path in sorted((MINI / "sticker").glob("*.mp4"))[:12]:
            (folder / "sticker").mkdir(exist_ok=True)
            shutil.copy(path, folder / "sticker" / path.name)
            writer.writerow([f"sticker/{path.name}", "", "", "whole"])
        (folder / "cartoon").mkdir()
        shutil.copy(MINI / FILM, folder / FILM)
        for place in range(4):
            writer.writerow([FILM, place * 0.3, (place + 1) * 0.3, place])
    return folder / "clips.csv"


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def rate(sheet: Path, folder: Path, raters: Sequence[str]) -> None:
    """What raters say: two of three agree, but for the last clip, of which each says something else."""
    folder.mkdir(exist_ok=True)
    rows = rows_of(sheet)
    for number, rater in enumerate(raters):
        lines = []
        for place, row in enumerate(rows):
            first = EMOTIONS[place % 2 * 4]
            said = [first, first, "none"][number] if place < len(rows) - 1 else EMOTIONS[number]
            lines.append(json.dumps({"rater": rater, "id": row["id"], "emotion": said}))
        (folder / f"{rater}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


def test_from_sheet_to_report(sheet: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    given = [sheet, "--base", MINI_ANNOTATOR, "--out", out, "--share", "0.5", "--audit-share", "0.2"]
    given += ["--epochs", "1", "--batch-size", "8"]
    found = emovid("paper", *given)
    assert found["draw"] == {"clips": 16, "films": 2, "drawn": 8, "ids": found["draw"]["ids"]}
    assert "24 ratings are missing (none yet; 3 for each of 8 clips)" in found["waits"]
    assert f"emovid label {out}/drawn.csv --raw {sheet.parent} --rater rater1" in found["waits"]
    drawn, rest = rows_of(out / "drawn.csv"), rows_of(out / "rest.csv")
    assert sum(row["path"] == FILM for row in drawn) == sum(row["path"] == FILM for row in rest) == 2
    assert len({row["id"] for row in (*drawn, *rest)}) == 16 and drawn[0]["shot"]

    rate(out / "drawn.csv", out / "answers", RATERS[:2])
    assert "8 ratings are missing (anna 8 of 8, bob 8 of 8;" in emovid("agree", "--out", out)["waits"]
    with pytest.raises(ValueError, match=r"the step agree of .* is not done"):
        emovid("train", "--out", out)
    rate(out / "drawn.csv", out / "answers", RATERS)
    agreed = emovid("agree", "--out", out)["agree"]
    assert agreed["rated"] == 8 and agreed["kept"] == agreed["with_emotion"] == 7
    kept = rows_of(out / "agreed.csv")
    assert {row["agreement"] for row in kept} == {str(2 / 3)} and drawn[-1]["id"] not in {
        r["id"] for r in kept
    }
    assert [row["id"] for row in rows_of(out / "disagreed.csv")] == [drawn[-1]["id"]]

    found = emovid("paper", *given)  # goes on: trains, labels, and waits for the audit
    assert sum(found["train"]["clips"].values()) == 7 and found["train"]["targets"] == "auto"
    assert found["annotate"]["labelled"] == 8 and found["annotate"]["failed"] == []
    assert "ratings are missing" in found["waits"] and f"{out}/audit.csv" in found["waits"]
    labels = rows_of(out / "labels.csv")
    assert [row["emotion_source"] for row in labels] == ["human"] * 7 + ["model"] * 8
    by_id = {row["id"]: row for row in labels}
    stretch = next(row for row in rest if row["path"] == FILM)
    assert by_id[stretch["id"]]["start"] == stretch["start"]
    scores = json.loads(by_id[stretch["id"]]["emotion_scores"])
    assert (
        sum(scores) == pytest.approx(1)
        and by_id[stretch["id"]]["emotion"] == EMOTIONS[scores.index(max(scores))]
    )

    audit = rows_of(out / "audit.csv")
    assert len(audit) == 3 and {row["id"] for row in audit} <= {row["id"] for row in rest}
    rate(out / "audit.csv", out / "audit", RATERS)
    found = emovid("paper", *given)
    assert found["waits"] is None and found["audit"]["clips"] == 3
    assert found["audit"]["raters"] == list(RATERS) and len(found["audit"]["pairs"]) == 6
    page = (out / "report.html").read_text(encoding="utf-8")
    assert found["audit"]["in_words"] in page and "7 of 8 kept" in page and "<script" not in page
    assert emovid("paper", *given) == found  # nothing is left to do

    record = ProtocolRecord.read(out)
    assert list(record.steps) == ["draw", "agree", "train", "annotate", "audit", "report"]
    with pytest.raises(ValueError, match=r"holds a run with share 0.5, now it is 0.2; choose another --out"):
        emovid("paper", sheet, "--base", MINI_ANNOTATOR, "--out", out, "--audit-share", "0.2")
    rate(out / "drawn.csv", out / "answers", ("anna", "bob", "dora"))
    (out / "answers" / "cleo.jsonl").unlink()
    emovid("agree", "--out", out)
    assert list(ProtocolRecord.read(out).steps) == ["draw", "agree"]  # what followed was of other answers
    with sheet.open("a", encoding="utf-8") as file:
        file.write(f"{FILM},0.1,0.9,9\n")
    with pytest.raises(ValueError, match="is not the sheet that was drawn from"):
        emovid("draw", *given)
